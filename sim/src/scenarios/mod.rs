//! Whole runs by name, each determined by its seed.

mod named;
pub mod plan;
pub mod random;
mod script;
pub mod small;
mod stage;
mod store;

use std::io;
use std::time::Duration;

use tradewire_sim_entropy::AlreadySimulated;

use crate::journal::Journal;
use crate::oracle::{Guarantee, Situations, Verdict, Violation};
use crate::redis::SandboxError;
use crate::world::NodeError;

use random::Document;

pub use script::Script;

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
    /// What everyone came through, if the scenario tells it.
    pub story: String,
    /// How large it was, of a random run.
    pub size: Option<random::Size>,
}

/// A named run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One node on its embedded bus, a few clients, publishers and faults.
    Small,
    /// A cluster under whatever the seed brings, watched by the oracle.
    Random,
    /// A script, watched by the oracle.
    Named(Script),
}

impl Scenario {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let named = Script::ALL.into_iter().map(Self::Named);
        [Self::Small, Self::Random].into_iter().chain(named)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Random => "random",
            Self::Named(script) => script.name(),
        }
    }

    /// What it shows, in one line.
    #[must_use]
    pub const fn shows(self) -> &'static str {
        match self {
            Self::Small => {
                "one node on its own, clients of every kind and faults; without an oracle"
            }
            Self::Random => "a cluster under whatever the seed brings, and quiet after it",
            Self::Named(script) => script.shows(),
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|known| known.name() == name)
    }

    /// How many clients there are unless someone says otherwise; a script says itself who is there.
    #[must_use]
    pub const fn clients(self) -> Option<u16> {
        match self {
            Self::Small => Some(20),
            Self::Random => Some(50),
            Self::Named(_) => None,
        }
    }

    /// Whether it can be run on a network.
    #[must_use]
    pub fn can_be_on(self, network: NetworkKind) -> bool {
        match self {
            Self::Small => true,
            // What it knows of disturbed ways is how the main network mends them.
            Self::Random => network == NetworkKind::Stack,
            Self::Named(script) => script.can_be_on(network),
        }
    }

    /// Whether it tells what everyone came through.
    #[must_use]
    pub const fn has_story(self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// Runs it with this many clients, unless a script says who is there, on a network. The thread must not
    /// have been simulated before.
    ///
    /// # Errors
    /// When it could not be run to its end.
    pub fn run(
        self,
        seed: u64,
        clients: u16,
        on: NetworkKind,
        journal: &Journal,
    ) -> Result<Ran, RunError> {
        let ran = match self {
            Self::Small => Ran {
                took: small::run(seed, clients.into(), on, journal)?,
                verdict: Ok(()),
                situations: Situations::default(),
                story: String::new(),
                size: None,
            },
            Self::Random => random::run(&Document::of_seed(seed, clients), on, journal)?,
            Self::Named(script) => stage::run(script, seed, on, journal)?,
        };
        finished(ran, journal)
    }
}

/// Runs what is left of a random run. As [`Scenario::run`].
///
/// # Errors
/// As [`Scenario::run`].
pub fn run_document(
    document: &Document,
    on: NetworkKind,
    journal: &Journal,
) -> Result<Ran, RunError> {
    finished(random::run(document, on, journal)?, journal)
}

/// Judges the recordings of a run, too, and ends its log.
fn finished(mut ran: Ran, journal: &Journal) -> Result<Ran, RunError> {
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
