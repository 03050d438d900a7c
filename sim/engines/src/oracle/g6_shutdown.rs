//! G6: whoever can take one more packet is told `server:shutdown` within 2 s and before it is closed; it is
//! closed at the transport, at its own moment, spread over the window; the node exits by its deadline.

use super::{Conn, ConnFacts, Ended, Facts, Got, Node, Observation, Verdict, promised};

/// By when a node's own clients are told.
const TOLD_MS: u64 = 2_000;

/// How long what waits for a client that did not read, or not fast enough, may be ahead of what it is told: a
/// connection stays congested for less.
const SLOW_MS: u64 = 30_000;

/// How much later than its deadline a process may be gone: it takes what it has to the bus.
const EXIT_MS: u64 = 1_000;

/// Whom each node that leaves has told.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    told: Vec<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    conn: Conn,
    node: Node,
    at: u64,
    reconnect_in_ms: u64,
}

impl Shutdown {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Got(conn, Got::Shutdown { reconnect_in_ms }) => {
                self.told(facts, *conn, *reconnect_in_ms)
            }
            Observation::Ended { conn, how } => self.ended(facts, *conn, *how),
            Observation::NodeExited(node) => self.exited(facts, *node),
            _ => Ok(()),
        }
    }

    fn told(&mut self, facts: &Facts, conn: Conn, reconnect_in_ms: u64) -> Verdict {
        let Some(of) = facts.conn(conn) else {
            return Ok(());
        };
        let node = &facts.nodes[of.node.index()];
        let Some(draining) = node.draining else {
            promised!(
                facts,
                G6,
                false,
                "{conn} was told of a shutdown and {} stays",
                of.node
            );
            return Ok(());
        };
        promised!(
            facts,
            G6,
            reconnect_in_ms <= facts.promises.drain_window_ms,
            "{conn} was told to come back after {reconnect_in_ms} ms"
        );
        let from = draining.max(of.entered_at.unwrap_or(0));
        promised!(
            facts,
            G6,
            !of.able_since(from.saturating_sub(SLOW_MS))
                || facts.now <= from + TOLD_MS + facts.promises.transit_ms,
            "{conn} was told of the shutdown only after {} ms",
            facts.now - from
        );
        promised!(
            facts,
            G6,
            self.told.iter().all(|told| told.conn != conn),
            "{conn} was told of the shutdown twice"
        );
        let at = facts.now;
        self.told.push(Told {
            conn,
            node: of.node,
            at,
            reconnect_in_ms,
        });
        Ok(())
    }

    fn ended(&mut self, facts: &Facts, conn: Conn, how: Ended) -> Verdict {
        let Some(of) = facts.conn(conn) else {
            return Ok(());
        };
        promised!(
            facts,
            G6,
            how != Ended::Disconnected || of.refused || of.dismissed,
            "{conn} of {} was sent a DISCONNECT without a reason, after which it does not come back",
            of.user
        );
        let node = &facts.nodes[of.node.index()];
        let Some(draining) = node.draining else {
            return Ok(());
        };
        if how != Ended::Transport
            || node.crashed
            || node
                .ended
                .is_some_and(|ended| ended < facts.now && of.left_at == Some(ended))
        {
            return Ok(());
        }
        if !could_be_told(facts, of, draining) {
            return Ok(());
        }
        let Some(told) = self.told.iter().find(|told| told.conn == conn) else {
            promised!(
                facts,
                G6,
                false,
                "{conn} of {} on {} was closed {} ms into the shutdown and not told of it",
                of.user,
                of.node,
                facts.now - draining
            );
            return Ok(());
        };
        let early = told.reconnect_in_ms * (1000 - facts.promises.skew_permille) / 1000;
        promised!(
            facts,
            G6,
            node.hurried.is_some()
                || facts.now + 2 * facts.promises.transit_ms + 50 >= told.at + early,
            "{conn} was closed {} ms after it was told to expect {} ms",
            facts.now - told.at,
            told.reconnect_in_ms
        );
        Ok(())
    }

    fn exited(&mut self, facts: &Facts, node: Node) -> Verdict {
        let Some(draining) = facts.nodes[node.index()].draining else {
            return Ok(());
        };
        let deadline = facts.promises.drain_deadline_ms * (1000 + facts.promises.skew_permille)
            / 1000
            + EXIT_MS;
        promised!(
            facts,
            G6,
            facts.now <= draining + deadline,
            "{node} exited {} ms after it was asked to leave",
            facts.now - draining
        );
        // Those that were in when the signal came are spread evenly.
        let first = self.told.iter().filter(|told| {
            told.node == node
                && facts.conn(told.conn).is_some_and(|of| {
                    of.entered_at
                        .is_some_and(|at| at + 2 * facts.promises.transit_ms < draining)
                })
        });
        let mut times: Vec<u64> = first.map(|told| told.reconnect_in_ms).collect();
        times.sort_unstable();
        // Those who could not be told have their moments, too, between those of the others.
        let present = facts.conns.iter().flatten().filter(|of| {
            of.node == node
                && of.admitted_at.is_some_and(|at| at <= draining)
                && of.left_at.is_none_or(|at| at >= draining)
        });
        if let [first, .., last] = times[..] {
            let (count, window) = (times.len() as u64, facts.promises.drain_window_ms);
            let present = count.max(present.count() as u64);
            promised!(
                facts,
                G6,
                (last - first) * (present + 1) * 3 >= window * (count - 1) || count < 3,
                "{node} spread {count} closes over {} ms only",
                last - first
            );
        }
        Ok(())
    }

    pub(super) fn finish(&self, facts: &Facts) -> Verdict {
        for (number, node) in (0..).map(Node).zip(&facts.nodes) {
            if let (Some(draining), None) = (node.draining, node.ended) {
                let deadline = facts.promises.drain_deadline_ms * 2;
                promised!(
                    facts,
                    G6,
                    facts.now <= draining + deadline,
                    "{number} was asked to leave at {draining} ms and is still there"
                );
            }
        }
        Ok(())
    }
}

/// Whether nothing else explains that it was closed, and it could have read one more packet.
fn could_be_told(facts: &Facts, of: &ConnFacts, draining: u64) -> bool {
    // Nothing can be sent before the CONNECT answer, which a hurried node does not wait for.
    let hurried = facts.nodes[of.node.index()].hurried;
    let able = of
        .entered_at
        .is_some_and(|at| hurried.is_none_or(|hurried| at <= hurried))
        && of
            .stalled_at
            .max(of.unfit_at)
            .is_none_or(|at| at + SLOW_MS < draining)
        && !of.stalled;
    let left_before = of.left_at.is_some_and(|at| at < draining);
    able && !of.replaced && !left_before && facts.now >= draining
}
