//! What must come about once nothing is wrong: every node that lives reaches the bus.
//!
//! The other bounds stand with their guarantees: values in 5 s, what is in excess in 15 s, slots of the
//! dead in 60 s. Whether everyone who should be is connected, the level knows that made the clients.

use super::{Facts, Node, Observation, Verdict, promised};

/// By when a node has reached the bus.
const REACHED_MS: u64 = 5_000;

/// Judges from the facts alone.
#[derive(Debug, Default)]
pub(super) struct Liveness;

impl Liveness {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        if let Observation::Quiet { for_ms } = observation
            && *for_ms >= REACHED_MS
        {
            for (number, node) in (0..).map(Node).zip(&facts.nodes) {
                promised!(
                    facts,
                    Liveness,
                    node.ended.is_some() || node.well_since.is_some(),
                    "{number} has not reached the bus, and nothing was wrong for {for_ms} ms"
                );
            }
        }
        Ok(())
    }
}
