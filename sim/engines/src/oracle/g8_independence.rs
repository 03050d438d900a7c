//! G8: clients of a node keep getting the state published on that node while other nodes or the bus are
//! down.
//!
//! A value that was accepted must have reached, within a few seconds, every subscriber at that node who
//! reads: itself, or another of its topic that came since. Only values handed in for the first time are
//! judged, since of a batch that is tried again nobody gets anything twice.

use std::collections::VecDeque;

use super::{Answer, Conn, Facts, Node, Observation, Target, Topic, Verdict, promised};

/// By when it must have come.
const ARRIVED_MS: u64 = 5_000;

/// Values that are due.
#[derive(Debug, Default)]
pub(super) struct Independence {
    due: VecDeque<Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: u64,
    item: super::Item,
    topic: Topic,
    node: Node,
    offered_at: u64,
    degraded: bool,
}

impl Independence {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        while let Some(due) = self.due.front().copied()
            && due.at <= facts.now
        {
            self.due.pop_front();
            arrived(facts, due)?;
        }
        if let Observation::Answered {
            batch,
            node,
            answer: Answer::Accepted { degraded },
        } = observation
            && let Some(asked) = facts.batches.get(batch.index())
            && asked.attempt == 0
        {
            for offer in &asked.offers {
                if let Target::State(topic) = offer.target {
                    self.due.push_back(Due {
                        at: facts.now + ARRIVED_MS,
                        item: offer.item,
                        topic,
                        node: *node,
                        offered_at: asked.asked.map_or(facts.now, |(at, _)| at),
                        degraded: *degraded,
                    });
                }
            }
        }
        Ok(())
    }
}

fn arrived(facts: &Facts, due: Due) -> Verdict {
    let Due {
        item,
        topic,
        node,
        offered_at,
        degraded,
        ..
    } = due;
    let at = &facts.nodes[node.index()];
    // One that the bus took comes by way of the bus.
    let promised_now = at.ended.is_none()
        && at.draining.is_none()
        && (degraded || facts.well_since(node, offered_at));
    if !promised_now {
        return Ok(());
    }
    let since = offered_at.saturating_sub(facts.promises.transit_ms);
    for conn in &at.present {
        let Some(of) = facts.conn(*conn) else {
            continue;
        };
        let before = |at: Option<u64>| at.is_some_and(|at| at < since);
        if !of.able_since(since.saturating_sub(5_000))
            || of.left_at.is_some()
            || !before(of.subscribed_at(topic))
        {
            continue;
        }
        let last = of.value(topic);
        promised!(
            facts,
            G8,
            last.is_some_and(|(_, at)| at >= offered_at),
            "{item} of {topic} was accepted by {node} at {offered_at} ms (degraded: {degraded}), and {} there got {last:?} last",
            Conn(conn.0)
        );
    }
    Ok(())
}
