//! Generators that do not move each other: each is known by what it is for.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// The generator of a seed for one of many things of a kind. Different figures give streams that have
/// nothing to do with each other.
pub(crate) fn generator(seed: u64, kind: u64, number: u64) -> StdRng {
    let mut key = [0; 32];
    let words = [seed, kind, number];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    StdRng::from_seed(key)
}
