//! G3: values of one topic never go backwards at a client, and when faults stop everyone has the latest.
//!
//! Order is the bus's: a value counts from when the bus takes it. One that was published on a node that
//! is cut off reaches that node's clients before; whatever they are shown behind it must not turn out
//! to be older than it. A client that moves to a node which is cut off may be shown what that node has.

use super::g9_answers::may_be_taken_in_twice;
use super::{Conn, Facts, Item, Observation, Topic, Verdict, promised};

/// How long both nodes must have been well for a client not to go back when it moves.
const SETTLED_MS: u64 = 10_000;

/// What each client has seen.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By connection, then by topic.
    conns: Vec<Vec<Seen>>,
    /// By tab, then by topic: the latest place, and when it was seen.
    tabs: Vec<Vec<(u64, u64)>>,
    /// Places of values that were shown behind a value before the bus took that, by its item.
    behind: Vec<Vec<(u64, Conn, Item)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The latest place among all values.
    place: u64,
    /// The last value, if the bus had not taken it.
    loose: Option<Item>,
}

fn at<T: Clone + Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

impl State {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Took { item } => self.took(facts, *item),
            Observation::Quiet { for_ms } if *for_ms >= 5_000 => converged(facts),
            _ => Ok(()),
        }
    }

    pub(super) fn value(&mut self, facts: &Facts, conn: Conn, topic: Topic, item: Item) -> Verdict {
        let (Some(of), Some(value)) = (facts.conn(conn), facts.item(item)) else {
            return Ok(());
        };
        let seen = at(at(&mut self.conns, conn.index()), topic.index());
        if let Some(loose) = seen.loose.take() {
            let taken = facts.item(loose).and_then(|loose| loose.taken.last());
            if let Some((place, _, taken_at)) = taken {
                // If it was handed in again elsewhere, whoever reads late reads what this node sent
                // before the bus took it from there.
                let elsewhere = facts
                    .item(loose)
                    .is_some_and(|loose| loose.nodes.iter().any(|node| *node != of.node));
                let sent_at = taken_at.saturating_sub(facts.promises.transit_ms);
                if !elsewhere || of.reads_since(sent_at) {
                    seen.place = seen.place.max(*place);
                }
            } else if loose == item {
                seen.loose = Some(item);
                return Ok(());
            } else if let Some((place, ..)) = value.taken.last()
                // One that was handed in again counts anew for the node that cannot ask.
                && !(value.nodes.len() > 1 && value.nodes.contains(&of.node))
                // So does an emitter's that two nodes took in, of which the other was first.
                && !may_be_taken_in_twice(facts, value)
                && facts.item(loose).is_some_and(|loose| !loose.emitted)
            {
                at(&mut self.behind, loose.index()).push((*place, conn, item));
            }
        }
        let place = value
            .taken
            .iter()
            .map(|(place, _, at)| (*place, *at))
            .find(|(place, _)| *place >= seen.place);
        let Some((place, taken_at)) = place else {
            let given = value.nodes.contains(&of.node) || value.emitted;
            promised!(
                facts,
                G3,
                value.taken.is_empty() || given,
                "{topic} went back at {conn} of {}: {item}, place {:?}, came behind place {}",
                of.user,
                value.taken.last(),
                seen.place
            );
            promised!(
                facts,
                G3,
                given,
                "{conn} of {} was shown {item} of {topic}, which the bus has not taken and {} was not given",
                of.user,
                of.node
            );
            // One that was given to this node: whether the bus took it, it may not know.
            promised!(
                facts,
                G3,
                value.taken.is_empty()
                    || !facts.well_since(of.node, facts.now.saturating_sub(SETTLED_MS)),
                "{topic} went back at {conn} of {}: {item}, place {:?}, came behind place {}",
                of.user,
                value.taken.last(),
                seen.place
            );
            seen.loose = Some(item);
            return Ok(());
        };
        // A node may show what it was given before the bus takes it: whoever reads late may have got it so.
        let sent_at = taken_at.saturating_sub(facts.promises.transit_ms);
        if value.nodes.contains(&of.node) && !of.reads_since(sent_at) {
            return Ok(());
        }
        seen.place = place;
        let before = at(at(&mut self.tabs, of.tab.index()), topic.index());
        let settled = facts
            .all_well_since()
            .is_some_and(|since| since + SETTLED_MS < before.1)
            && before.1 + 1_000 < facts.now;
        promised!(
            facts,
            G3,
            !settled || place >= before.0,
            "{topic} went back at {} of {} when it moved to {conn}: {item}, place {place}, came behind place {}",
            of.tab,
            of.user,
            before.0
        );
        *before = (place, facts.now);
        Ok(())
    }

    fn took(&mut self, facts: &Facts, item: Item) -> Verdict {
        let Some((place, ..)) = facts.item(item).and_then(|item| item.taken.last()) else {
            promised!(
                facts,
                G3,
                false,
                "the bus took {item}, which nobody published"
            );
            return Ok(());
        };
        let Some(behind) = self.behind.get_mut(item.index()) else {
            return Ok(());
        };
        let offered_at = |item| facts.item(item).map_or(0, |item| item.offered_at);
        for (shown, conn, newer) in core::mem::take(behind) {
            // Two that were published in this order and taken in the other: the client went with the first.
            if offered_at(newer) >= offered_at(item) {
                continue;
            }
            promised!(
                facts,
                G3,
                *place < shown,
                "{conn} was shown the value of place {shown} behind {item}, which the bus took as {place}"
            );
        }
        Ok(())
    }

    pub(super) fn finish(&self, facts: &Facts) -> Verdict {
        converged(facts)
    }
}

/// Everyone who has subscribed for a while has the latest value.
fn converged(facts: &Facts) -> Verdict {
    let since = facts.now.saturating_sub(4_000);
    for (conn, of) in (0..).map(Conn).zip(&facts.conns) {
        let Some(of) = of else { continue };
        if !of.able_since(since)
            || of.left_at.is_some()
            || of.entered_at.is_none_or(|at| at > since)
        {
            continue;
        }
        let topics =
            core::iter::once(Topic::Market).chain(of.subscribed.iter().map(|(topic, _)| *topic));
        for topic in topics {
            let latest = facts.latest.get(topic.index()).copied().flatten();
            let (Some((latest, at)), Some(asked)) = (latest, of.subscribed_at(topic)) else {
                continue;
            };
            if at > since || asked > since {
                continue;
            }
            let has = of.value(topic).map(|(item, _)| item);
            // One message to several rooms is had once by a client in any of them.
            let group = facts.item(latest).and_then(|item| item.group);
            let once = group.is_some_and(|group| of.groups.contains(&group));
            promised!(
                facts,
                G3,
                has == Some(latest) || once,
                "{conn} of {} at {} has {has:?} of {topic}, whose latest is {latest} since {at} ms",
                of.user,
                of.node
            );
        }
    }
    Ok(())
}
