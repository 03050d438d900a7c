//! What scripts and clients write and tell, as they do it, for whoever judges the run.
//!
//! Told while the command that writes still runs, so that what follows from it is seen later. Who listens
//! must not ask the Redis anything meanwhile.

use std::fmt;

use bytes::Bytes;

use super::Redis;
use super::core::Core;
use super::stream::StreamId;

/// Something that was written or told.
#[derive(Clone, Copy, Debug)]
pub enum Wrote<'a> {
    /// A stream got an entry.
    Appended {
        /// The stream's key.
        stream: &'a [u8],
        /// The entry's id.
        id: StreamId,
        /// Its fields and values.
        pairs: &'a [[Bytes; 2]],
    },
    /// A hash got a field that it did not have.
    Added {
        /// The hash's key.
        hash: &'a [u8],
        /// The field.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// A message was published, whether anyone heard it or not.
    Published {
        /// Where.
        channel: &'a [u8],
        /// What.
        message: &'a [u8],
    },
}

/// Who listens, if anyone does.
#[derive(Default)]
pub(super) struct Tap(Option<Box<Listener>>);

type Listener = dyn FnMut(Wrote<'_>) + Send;

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

impl Redis {
    /// Tells `listener` of every write to a stream, every new field of a hash and every message from now on, in order.
    pub fn tap(&self, listener: impl FnMut(Wrote<'_>) + Send + 'static) {
        self.core().tap = Tap(Some(Box::new(listener)));
    }
}

impl Core {
    pub(super) fn wrote(&mut self, what: Wrote<'_>) {
        if let Tap(Some(listener)) = &mut self.tap {
            listener(what);
        }
    }
}
