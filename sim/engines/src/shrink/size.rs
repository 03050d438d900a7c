//! How large a run is, in the figures by which people compare two.

use core::fmt;
use std::collections::BTreeSet;

use crate::engines::{Outcome, Script};
use crate::swarm::Failure;

/// What a run is made of, until it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What is done from outside: faults, batches, messages of an emitter, calls.
    pub acts: usize,
    /// Those of them that go wrong.
    pub faults: usize,
    /// Places where nodes live.
    pub places: usize,
    /// Clients' tabs.
    pub tabs: usize,
    /// Users of those tabs.
    pub users: usize,
    /// Inputs of engines; `None` after a panic.
    pub inputs: Option<u64>,
    /// When it fails, in simulated milliseconds; `None` after a panic.
    pub ms: Option<u64>,
}

impl Size {
    /// Measures a run.
    #[must_use]
    pub fn of(script: &Script, failure: &Failure, outcome: Option<&Outcome>) -> Self {
        let users: BTreeSet<u32> = script.tabs.iter().map(|client| client.user.0).collect();
        Self {
            acts: script.acts.len(),
            faults: script.acts.iter().filter(|act| act.does.is_fault()).count(),
            places: script.places.len(),
            tabs: script.tabs.len(),
            users: users.len(),
            inputs: outcome.map(|outcome| outcome.inputs),
            ms: match failure {
                Failure::Stuck(violation) | Failure::Violated(violation) => Some(violation.at),
                Failure::Crashed(_) | Failure::Told { .. } => None,
            },
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acts ({} faults), {} tabs of {} users, {} nodes",
            self.acts, self.faults, self.tabs, self.users, self.places
        )?;
        if let Some(inputs) = self.inputs {
            write!(f, ", {inputs} inputs")?;
        }
        if let Some(ms) = self.ms {
            write!(f, ", {}.{:03} s", ms / 1000, ms % 1000)?;
        }
        Ok(())
    }
}
