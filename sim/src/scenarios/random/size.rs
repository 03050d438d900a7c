//! How large a random run was when it ended: what was drawn, and how much of it was done.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::FaultKind;

/// Things of one kind, which have numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many numbers there were.
    pub drawn: u64,
    /// How many of them were not left out.
    pub done: u64,
}

impl Tally {
    /// The next number; whether it is not left out.
    pub(super) fn counts(&mut self, left_out: bool) -> bool {
        self.drawn += 1;
        self.done += u64::from(!left_out);
        !left_out
    }
}

/// What a run was made of, up to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Nodes.
    pub nodes: Tally,
    /// Clients, with those that came for others.
    pub clients: Tally,
    /// Whatever went wrong.
    pub faults: BTreeMap<FaultKind, Tally>,
    /// What clients did beside connecting.
    pub calls: Tally,
    /// Items that were published or emitted.
    pub items: Tally,
    /// When it ended, in simulated milliseconds.
    pub ms: u64,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().map(|tally| tally.done).sum();
        let kinds = self.faults.values().filter(|tally| tally.done > 0);
        write!(
            f,
            "{} nodes, {} clients, {} calls, {} items, {faults} faults of {} kinds, {}.{:03} s",
            self.nodes.done,
            self.clients.done,
            self.calls.done,
            self.items.done,
            kinds.count(),
            self.ms / 1000,
            self.ms % 1000
        )
    }
}
