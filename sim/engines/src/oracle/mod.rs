//! What was promised to whom, and whether it was kept: an independent, naive model of the guarantees.
//!
//! It is fed [`Observation`]s, which any level of simulation can give, and knows nothing of engines,
//! servers or bytes. One file judges one guarantee; each keeps only what it needs beside the common
//! [`Facts`]. What the design allows while something is wrong is written beside each check.

#![allow(
    clippy::indexing_slicing,
    reason = "ids are dense and given out by the run itself: a wrong one must stop it"
)]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "each guarantee looks only at what concerns it; a new observation concerns one or two"
)]

mod facts;
mod g1_isolation;
mod g2_log;
mod g3_state;
mod g4_connections;
mod g5_rate;
mod g6_shutdown;
mod g7_bounded;
mod g8_independence;
mod g9_answers;
mod liveness;
mod observation;
mod rows;
mod sessions;
mod situations;
mod words;

pub use facts::{ConnFacts, Entry, Facts, ItemFacts, NodeFacts, Promises};
pub use observation::{
    Answer, Batch, Call, Conn, Ended, Got, Item, Node, Observation, Offer, Refused, Resume, Symbol,
    Tab, Target, Topic, User,
};
pub use situations::{Situation, Situations};

use core::fmt;

/// A promise.
///
/// That the same seed gives the same bytes, also G10, is judged by comparing two runs:
/// `tests/determinism.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Isolation.
    G1,
    /// Log.
    G2,
    /// State.
    G3,
    /// Connections.
    G4,
    /// Rate.
    G5,
    /// Shutdown.
    G6,
    /// Bounded.
    G7,
    /// Independence.
    G8,
    /// Honest answers.
    G9,
    /// Determinism: a recording replays to the same effects.
    G10,
    /// When a session counts as gone.
    Sessions,
    /// What must come about once nothing is wrong any more.
    Liveness,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// When, in simulated milliseconds.
    pub at: u64,
    /// What happened, to whom, and what should have.
    pub facts: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            guarantee,
            at,
            facts,
        } = self;
        write!(
            f,
            "{guarantee:?} at {}.{:03}s: {facts}",
            at / 1000,
            at % 1000
        )
    }
}

/// What a check comes to.
pub type Verdict = Result<(), Violation>;

/// Breaks off with a violation unless the condition holds.
macro_rules! promised {
    ($facts:expr, $guarantee:ident, $holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err($crate::oracle::Violation {
                guarantee: $crate::oracle::Guarantee::$guarantee,
                at: $facts.now,
                facts: format!($($what)+),
            });
        }
    };
}
pub(crate) use promised;

/// The judge.
#[derive(Debug)]
pub struct Oracle {
    facts: Facts,
    situations: Situations,
    witness: situations::Witness,
    isolation: g1_isolation::Isolation,
    log: g2_log::Log,
    state: g3_state::State,
    connections: g4_connections::Connections,
    rate: g5_rate::Rate,
    shutdown: g6_shutdown::Shutdown,
    bounded: g7_bounded::Bounded,
    independence: g8_independence::Independence,
    answers: g9_answers::Answers,
    sessions: sessions::Sessions,
    liveness: liveness::Liveness,
}

impl Oracle {
    /// Knows nothing but the promises.
    #[must_use]
    pub fn new(promises: Promises) -> Self {
        Self {
            facts: Facts::new(promises),
            situations: Situations::default(),
            witness: situations::Witness::default(),
            isolation: g1_isolation::Isolation::default(),
            log: g2_log::Log::default(),
            state: g3_state::State::default(),
            connections: g4_connections::Connections,
            rate: g5_rate::Rate::default(),
            shutdown: g6_shutdown::Shutdown::default(),
            bounded: g7_bounded::Bounded::default(),
            independence: g8_independence::Independence::default(),
            answers: g9_answers::Answers::default(),
            sessions: sessions::Sessions::default(),
            liveness: liveness::Liveness,
        }
    }

    /// Takes in what was seen at `now`, in milliseconds that never go back.
    ///
    /// # Errors
    /// When it breaks a promise, or shows that one was broken before.
    pub fn observe(&mut self, now: u64, observation: &Observation) -> Verdict {
        // What only reads and writes of clients concern is by far the most.
        if let Observation::Got(conn, got @ (Got::Value { .. } | Got::Trade { .. })) = observation {
            self.facts.now = now;
            self.isolation.got(&self.facts, *conn, got)?;
            if let Got::Trade { id, item } = got {
                self.log.trade(&self.facts, *conn, *id, *item)?;
            }
            if let Got::Value { topic, item } = got {
                self.state.value(&self.facts, *conn, *topic, *item)?;
            }
            self.facts.note(now, observation);
            return Ok(());
        }
        self.witness
            .observe(&self.facts, observation, &mut self.situations);
        self.facts.note(now, observation);
        let facts = &self.facts;
        self.isolation.observe(facts, observation)?;
        self.log.observe(facts, observation)?;
        self.state.observe(facts, observation)?;
        self.connections.observe(facts, observation)?;
        self.rate.observe(facts, observation)?;
        if let Some(situation) = self.rate.reached.take() {
            self.situations.count(situation);
        }
        self.shutdown.observe(facts, observation)?;
        self.bounded.observe(facts, &self.log, observation)?;
        self.independence.observe(facts, observation)?;
        self.answers.observe(facts, observation)?;
        self.sessions.observe(facts, observation)?;
        self.liveness.observe(facts, observation)
    }

    /// Judges what can only be judged at the end.
    ///
    /// # Errors
    /// When a promise was not kept by then.
    pub fn finish(&mut self) -> Verdict {
        let facts = &self.facts;
        self.log.finish(facts)?;
        self.state.finish(facts)?;
        self.connections.finish(facts)?;
        self.answers.finish(facts)?;
        self.shutdown.finish(facts)
    }

    /// A situation that only the level itself can tell.
    pub fn reached(&mut self, situation: Situation) {
        self.situations.count(situation);
    }

    /// What came about so far.
    #[must_use]
    pub fn situations(&self) -> &Situations {
        &self.situations
    }

    /// What happened so far.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}
