//! Bytes out of values and values out of bytes: postcard into a buffer that is used again.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::mask::Masked;

/// Writes to the end of a buffer.
struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// How much is gathered before it is hashed: most of what is written is a byte or two.
const GATHERED: usize = 4_096;

/// Keeps nothing of what is written but its hash.
#[derive(Default)]
struct Hashed {
    hash: Xxh3,
    gathered: Vec<u8>,
}

impl Flavor for Hashed {
    type Output = u64;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.gathered.extend_from_slice(data);
        self.hash_gathered(GATHERED);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.gathered.push(data);
        self.hash_gathered(GATHERED);
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<u64> {
        self.hash_gathered(0);
        Ok(self.hash.digest())
    }
}

impl Hashed {
    /// Hashes what was gathered, if it is this much.
    #[inline]
    fn hash_gathered(&mut self, at_least: usize) {
        if self.gathered.len() >= at_least {
            self.hash.update(&self.gathered);
            self.gathered.clear();
        }
    }
}

/// Appends a value, whole or with the texts of its payloads left out.
///
/// # Errors
/// None for the engine's types, which are plain data and know their lengths.
pub(crate) fn put<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
    masked: bool,
) -> postcard::Result<()> {
    if masked {
        postcard::serialize_with_flavor(&Masked(value), Appended(out))
    } else {
        postcard::serialize_with_flavor(value, Appended(out))
    }
}

/// The hash of a value without the texts of its payloads.
///
/// # Errors
/// As [`put`].
pub(crate) fn hash_masked<T: Serialize + ?Sized>(value: &T) -> postcard::Result<u64> {
    postcard::serialize_with_flavor(&Masked(value), Hashed::default())
}

/// Takes a value off the front of `bytes`.
///
/// # Errors
/// When the bytes are not such a value. What is allocated meanwhile is bounded by serde (1 MiB ahead for each
/// sequence) and by the bytes that are there.
pub(crate) fn take<'a, T: Deserialize<'a>>(bytes: &mut &'a [u8]) -> postcard::Result<T> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    *bytes = rest;
    Ok(value)
}

/// What frames are checked by.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}
