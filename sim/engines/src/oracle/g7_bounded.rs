//! G7: what a node keeps is bounded, per connection and in all, whatever anyone does.
//!
//! What a connection is owed is also judged from outside: a client of a healthy node that has read less
//! of its log than the bounds allow to be pending and owed is to be closed, and one that reads is not.

use super::g2_log::Log;
use super::{Conn, Facts, Observation, Target, Verdict, promised};

/// Arrivals that one input brings at most, twice: one may be under way.
const ARRIVALS: u64 = 64;

/// Log events that are under way to a node at most while one after the other comes.
const LOG_ARRIVALS: usize = 8;

/// How long a connection that is owed too much may live on.
const CLOSED_MS: u64 = 1_500;

/// Who has been owed too much, and since when.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    /// By connection.
    over: Vec<Option<u64>>,
}

impl Bounded {
    pub(super) fn observe(
        &mut self,
        facts: &Facts,
        log: &Log,
        observation: &Observation,
    ) -> Verdict {
        let promises = &facts.promises;
        let payload = promises.payload_bytes_max + 96;
        match observation {
            Observation::Pending { conn, bytes } => {
                let max = promises.outbox_bytes_max + ARRIVALS * payload;
                promised!(
                    facts,
                    G7,
                    *bytes <= max,
                    "{bytes} bytes are pending to {conn}, of {max} at most"
                );
                Ok(())
            }
            Observation::Memory {
                node,
                history_bytes,
                pending_bytes,
            } => {
                promised!(
                    facts,
                    G7,
                    *history_bytes <= promises.history_bytes_max,
                    "{node} keeps {history_bytes} bytes of history"
                );
                let crowd = facts.nodes[node.index()].present.len() as u64 + 16;
                let max = promises.pending_bytes_max + ARRIVALS * payload * crowd;
                promised!(
                    facts,
                    G7,
                    *pending_bytes <= max,
                    "{pending_bytes} bytes are pending at {node}, of {max} at most"
                );
                Ok(())
            }
            Observation::TooSlow(conn) => {
                let congested_ms = promises.congested_ms * (1_000 - promises.skew_permille) / 1_000;
                let since = facts.now.saturating_sub(congested_ms);
                promised!(
                    facts,
                    G7,
                    !facts.conn(*conn).is_some_and(|of| of.reads_since(since)),
                    "{conn} was closed as congested for too long, and has read all the time"
                );
                Ok(())
            }
            Observation::Logged { item, .. } => {
                let Some(Target::Trade(user)) = facts.item(*item).map(|item| item.target) else {
                    return Ok(());
                };
                let length = facts.log(user).len();
                for conn in facts.conns_of(user) {
                    self.owed(facts, log, *conn, length)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn owed(&mut self, facts: &Facts, log: &Log, conn: Conn, length: usize) -> Verdict {
        let (Some(of), Some(place)) = (facts.conn(conn), log.place(conn)) else {
            return Ok(());
        };
        if of.left_at.is_some() || of.ended_at.is_some() {
            return Ok(());
        }
        let Some(last) = place.last.filter(|_| !place.resuming) else {
            return Ok(());
        };
        let promises = &facts.promises;
        let max = promises.outbox_packets_max + promises.congested_log_max + LOG_ARRIVALS;
        if self.over.len() <= conn.index() {
            self.over.resize(conn.index() + 1, None);
        }
        let over = &mut self.over[conn.index()];
        if length.saturating_sub(last + 1) <= max {
            *over = None;
            return Ok(());
        }
        let since = *over.get_or_insert(facts.now);
        // While its node is cut off, nothing is added to what it is owed.
        if !facts.well_since(of.node, since) {
            *over = None;
            return Ok(());
        }
        promised!(
            facts,
            G7,
            since + CLOSED_MS > facts.now,
            "{conn} of {} is behind by {} log events, of {max} at most, and was not closed",
            of.user,
            length - last - 1
        );
        Ok(())
    }
}
