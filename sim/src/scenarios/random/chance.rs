//! Where a random run's chance comes from: a generator of its own for each thing that happens.
//!
//! Seeded by the run's seed, what it is for, and which of them it is, so that one that is left out, or that
//! draws more, moves no other. Nothing in a run may draw from a generator that several things share.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::plan::FaultKind;

/// What a generator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draws {
    /// What clients do.
    Calls,
    /// A client, by its number, and whatever befalls it.
    Client,
    /// What an emitter says.
    Emissions,
    /// One time that something goes wrong.
    Fault(FaultKind),
    /// A node, by its number.
    Node,
    /// What publishers say.
    Publishes,
    /// The nodes of a rolling deploy.
    Rolls,
}

impl Draws {
    fn number(self) -> u64 {
        match self {
            Self::Calls => 1,
            Self::Client => 2,
            Self::Emissions => 3,
            Self::Node => 4,
            Self::Publishes => 5,
            Self::Rolls => 6,
            Self::Fault(kind) => 100 + kind as u64,
        }
    }
}

/// The generator for one of them.
pub(super) fn generator(seed: u64, draws: Draws, ordinal: u64) -> StdRng {
    crate::chance::generator(seed, draws.number(), ordinal)
}

/// One of a list that is written out.
pub(super) fn pick<T: Copy>(chance: &mut StdRng, of: &[T]) -> T {
    #[expect(
        clippy::indexing_slicing,
        reason = "the index is drawn below the length of a list that is written out"
    )]
    of[chance.random_range(0..of.len())]
}

/// A time that is `mean` on average and neither nothing nor very long.
pub(super) fn about(chance: &mut StdRng, mean: u64) -> u64 {
    chance.random_range(mean / 4..=mean * 7 / 4).max(1)
}

/// Whether it comes to something that comes so often.
pub(super) fn percent(chance: &mut StdRng, percent: u32) -> bool {
    chance.random_range(0..100) < percent
}
