//! Whole runs by name, each determined by its seed.

pub mod plan;
pub mod random;
pub mod small;

use std::io;
use std::time::Duration;

use tradewire_sim_entropy::AlreadySimulated;

use crate::journal::Journal;
use crate::oracle::{Guarantee, Situations, Verdict, Violation};
use crate::redis::SandboxError;
use crate::world::NodeError;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The log could not be written.
    #[error("the log could not be written: {0}")]
    Log(#[source] io::Error),
    /// A node could not be started.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A host could not be made.
    #[error("a host could not be made: {0}")]
    Host(#[from] io::Error),
    /// The simulated Redis could not be made.
    #[error(transparent)]
    Redis(#[from] SandboxError),
    /// There is a simulation on this thread already.
    #[error(transparent)]
    Thread(#[from] AlreadySimulated),
}

/// Which network a run is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// [`crate::net::stack`].
    Stack,
    /// [`crate::net::turmoil`].
    Turmoil,
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// How much time passed in the simulation.
    pub took: Duration,
    /// What the oracle says.
    pub verdict: Verdict,
    /// What came about.
    pub situations: Situations,
}

/// A named run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One node on its embedded bus, a few clients, publishers and faults.
    Small,
    /// A cluster under whatever the seed brings, watched by the oracle.
    Random,
}

impl Scenario {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Small, Self::Random];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Random => "random",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// How many clients there are unless someone says otherwise.
    #[must_use]
    pub const fn clients(self) -> u16 {
        match self {
            Self::Small => 20,
            Self::Random => 50,
        }
    }

    /// Runs it with this many clients on a network. The thread must not have been simulated before.
    ///
    /// # Errors
    /// When it could not be run to its end.
    pub fn run(
        self,
        seed: u64,
        clients: usize,
        on: NetworkKind,
        journal: &Journal,
    ) -> Result<Ran, RunError> {
        let mut ran = match self {
            Self::Small => Ran {
                took: small::run(seed, clients, on, journal)?,
                verdict: Ok(()),
                situations: Situations::default(),
            },
            Self::Random => random::run(seed, clients, on, journal)?,
        };
        if let Err(facts) = journal.recordings().replay()
            && ran.verdict.is_ok()
        {
            let (guarantee, at) = (Guarantee::G10, journal.now());
            ran.verdict = Err(Violation {
                guarantee,
                at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
                facts,
            });
        }
        journal.finish().map_err(RunError::Log)?;
        Ok(ran)
    }
}
