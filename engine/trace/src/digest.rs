//! The running digest of everything that an engine has said, and the digest of its state.
//!
//! An effect counts with its kind, ids, figures, and the length and hash of its payload; a delivery with
//! its recipients, too. Texts of payloads do not count, so a trace without them has the same digests.

use tradewire_engine::effect::Effect;
use tradewire_engine::{Effects, Engine};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::bytes::{hash_masked, put};

/// A digest that goes on from step to step.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    running: u64,
    scratch: Vec<u8>,
}

impl Digest {
    /// Goes on from where another has come to.
    #[must_use]
    pub fn from(running: u64) -> Self {
        Self {
            running,
            scratch: Vec::new(),
        }
    }

    /// Where it has come to.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running
    }

    /// What a record keeps of it.
    #[must_use]
    pub fn short(&self) -> u32 {
        self.running as u32
    }

    /// Takes in the effects of one input.
    pub fn update(&mut self, effects: &Effects) {
        self.scratch.clear();
        for effect in effects.list() {
            // Effects are plain data: writing them to memory does not fail. If it did, what is written up to
            // there would count, here and in replay alike.
            let _ = put(&mut self.scratch, effect, true);
            if let Effect::Deliver { recipients, .. } = effect {
                // At once, since a delivery may name thousands.
                let recipients = effects.recipients(recipients);
                let begin = self.scratch.len();
                self.scratch.resize(begin + recipients.len() * 8, 0);
                let (_, places) = self.scratch.split_at_mut(begin);
                for (place, conn) in places.as_chunks_mut().0.iter_mut().zip(recipients) {
                    let id = u64::from(conn.slot()) << 32 | u64::from(conn.generation());
                    *place = id.to_le_bytes();
                }
            }
        }
        self.running = xxh3_64_with_seed(&self.scratch, self.running);
    }
}

/// The digest of an engine's whole state; the texts of payloads do not count.
#[must_use]
pub fn state_digest(engine: &Engine) -> u64 {
    // As above.
    hash_masked(engine).unwrap_or_default()
}
