//! G9: 202 means delivered as its kind promises, 503 can be tried again without doubling anything, and
//! what only one node's clients got is handed to the bus when it returns.

use std::collections::{BTreeMap, VecDeque};

use super::{Answer, Batch, Facts, Item, Node, Observation, Target, Topic, Verdict, promised};

/// How long a node must have been well for a refusal to have no excuse.
const WELL_MS: u64 = 5_000;

/// By when an answer must have come, beyond the bus's deadline.
const ANSWER_MS: u64 = 1_000;

/// By when the newest value of a topic is handed over.
const HANDED_MS: u64 = 5_000;

/// How long what an emitter sent may be under way to a node: when nothing is heard for 5 s, the node gives
/// its contact up, and what was under way with it.
const UNDER_WAY_MS: u64 = 6_000;

/// Ids that only a node gave count for so long.
const OWN_ID_MS: u64 = 55_000;

/// Questions, and values that the bus is to get.
#[derive(Debug, Default)]
pub(super) struct Answers {
    asked: VecDeque<(u64, Batch, Node, u32)>,
    /// By batch: the attempt that was not answered.
    open: Vec<Option<u32>>,
    /// By node and topic: the newest value that only that node's clients got, and what was accepted there
    /// behind it, for the first time or again.
    newest: BTreeMap<(Node, Topic), Newest>,
}

#[derive(Clone, Debug)]
struct Newest {
    at: u64,
    item: Item,
    /// What was offered at the same moment, or accepted behind it: any of these may have taken its place.
    others: Vec<Item>,
    /// When anything of the topic was accepted last.
    last_at: u64,
}

impl Answers {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        self.overdue(facts)?;
        match observation {
            Observation::Offered {
                batch,
                node,
                attempt,
                ..
            } => {
                let due = facts.now + facts.promises.bus_request_max_ms * 1100 / 1000 + ANSWER_MS;
                self.asked.push_back((due, *batch, *node, *attempt));
                if self.open.len() <= batch.index() {
                    self.open.resize(batch.index() + 1, None);
                }
                self.open[batch.index()] = Some(*attempt);
                Ok(())
            }
            Observation::Answered {
                batch,
                node,
                answer,
            } => {
                if let Some(open) = self.open.get_mut(batch.index()) {
                    *open = None;
                }
                self.answered(facts, *batch, *node, *answer)
            }
            Observation::Unanswered(batch) => {
                self.may_be_held(facts, *batch);
                if let Some(open) = self.open.get_mut(batch.index()) {
                    *open = None;
                }
                Ok(())
            }
            Observation::Logged { item, .. } => once_logged(facts, *item),
            Observation::Took { item } => {
                self.superseded(facts, *item);
                once_taken(facts, *item)
            }
            Observation::Quiet { for_ms } if *for_ms >= 5_000 => self.handed_over(facts),
            _ => Ok(()),
        }
    }

    fn overdue(&mut self, facts: &Facts) -> Verdict {
        while let Some((due, batch, node, attempt)) = self.asked.front().copied()
            && due <= facts.now
        {
            self.asked.pop_front();
            let open = self.open.get(batch.index()).copied().flatten() == Some(attempt);
            promised!(
                facts,
                G9,
                !open || facts.nodes[node.index()].ended.is_some(),
                "{batch} was never answered by {node}"
            );
        }
        Ok(())
    }

    fn answered(&mut self, facts: &Facts, batch: Batch, node: Node, answer: Answer) -> Verdict {
        let Some(asked) = facts.batches.get(batch.index()) else {
            return Ok(());
        };
        let offered_at = asked.asked.map_or(facts.now, |(at, _)| at);
        let has_log = asked
            .offers
            .iter()
            .any(|offer| matches!(offer.target, Target::Trade(_)));
        match answer {
            Answer::Accepted { degraded } => {
                for offer in &asked.offers {
                    let Some(item) = facts.item(offer.item) else {
                        continue;
                    };
                    match offer.target {
                        Target::Trade(user) => {
                            promised!(
                                facts,
                                G9,
                                !item.logged.is_empty(),
                                "{batch} was accepted by {node} and {} of {user} is not in the log",
                                offer.item
                            );
                        }
                        Target::State(topic) => {
                            promised!(
                                facts,
                                G9,
                                degraded || asked.attempt > 0 || !item.taken.is_empty(),
                                "{batch} was accepted by {node} and the bus has not taken {} of {topic}",
                                offer.item
                            );
                            let key = (node, topic);
                            let before = self.newest.get(&key);
                            let is_newest = before.is_none_or(|before| before.at <= offered_at);
                            if degraded && asked.attempt == 0 && is_newest {
                                let own =
                                    |item| asked.offers.iter().any(|offer| offer.item == item);
                                let tie = before.filter(|before| before.at == offered_at);
                                let others = tie
                                    .into_iter()
                                    .flat_map(|tie| tie.others.iter().chain([&tie.item]).copied());
                                let newest = Newest {
                                    at: offered_at,
                                    item: offer.item,
                                    others: others.filter(|item| !own(*item)).collect(),
                                    last_at: facts.now,
                                };
                                self.newest.insert(key, newest);
                            } else if is_newest && let Some(newest) = self.newest.get_mut(&key) {
                                newest.others.push(offer.item);
                                newest.last_at = facts.now;
                            }
                        }
                    }
                }
            }
            Answer::Unavailable => {
                self.may_be_held(facts, batch);
                promised!(
                    facts,
                    G9,
                    has_log,
                    "{batch} has values only and {node} refused it"
                );
                let well = facts.well_since(node, offered_at.saturating_sub(WELL_MS));
                promised!(
                    facts,
                    G9,
                    !well,
                    "{batch} was refused by {node}, which has been well"
                );
            }
            Answer::Draining => {
                let draining = facts.nodes[node.index()].draining;
                promised!(
                    facts,
                    G9,
                    draining.is_some(),
                    "{batch} was turned away by {node}, which does not leave"
                );
            }
        }
        Ok(())
    }

    /// The values of a batch that is to be tried again whole may have taken the place of those before.
    fn may_be_held(&mut self, facts: &Facts, batch: Batch) {
        let asked = facts.batches.get(batch.index());
        let Some((at, node)) = asked.and_then(|asked| asked.asked) else {
            return;
        };
        for offer in asked.into_iter().flat_map(|asked| &asked.offers) {
            if let Target::State(topic) = offer.target
                && let Some(newest) = self.newest.get_mut(&(node, topic))
                && newest.at <= at
            {
                newest.others.push(offer.item);
                newest.last_at = facts.now;
            }
        }
    }

    /// An emitter's value may have taken the place of one that was held, on whichever node took it in.
    fn superseded(&mut self, facts: &Facts, item: Item) {
        let Some(of) = facts.item(item).filter(|of| of.emitted) else {
            return;
        };
        for ((node, topic), newest) in &mut self.newest {
            // To a node that is not well it may come late, behind what was published there meanwhile.
            let late = if facts.well_since(*node, of.offered_at) {
                0
            } else {
                UNDER_WAY_MS
            };
            if of.target == Target::State(*topic) && newest.at <= of.offered_at + late {
                newest.others.push(item);
            }
        }
    }

    /// The newest of each topic came to the bus, unless its node died.
    fn handed_over(&self, facts: &Facts) -> Verdict {
        for ((node, topic), newest) in &self.newest {
            let Newest {
                at,
                item,
                others,
                last_at,
            } = newest;
            // Batches that are tried again may still come.
            if last_at + HANDED_MS > facts.now {
                continue;
            }
            let taken = |item: Item| facts.item(item).is_some_and(|item| !item.taken.is_empty());
            let died = facts.nodes[node.index()].ended.is_some();
            promised!(
                facts,
                G9,
                taken(*item) || others.iter().any(|other| taken(*other)) || died,
                "{item} of {topic} was accepted by {node} alone at {at} ms, and the bus never got it"
            );
        }
        Ok(())
    }

    pub(super) fn finish(&self, facts: &Facts) -> Verdict {
        self.handed_over(facts)
    }
}

fn once_logged(facts: &Facts, item: Item) -> Verdict {
    let Some(of) = facts.item(item) else {
        return Ok(());
    };
    if may_be_taken_in_twice(facts, of) {
        return Ok(());
    }
    let logged = &of.logged;
    let same = logged
        .iter()
        .filter(|(_, life)| *life == facts.life)
        .count();
    promised!(facts, G9, same <= 1, "{item} is in the log {same} times");
    Ok(())
}

fn once_taken(facts: &Facts, item: Item) -> Verdict {
    let Some(of) = facts.item(item) else {
        return Ok(());
    };
    let mut times = of
        .taken
        .iter()
        .filter(|(_, life, _)| *life == facts.life)
        .map(|(.., at)| *at);
    let (first, last) = (times.next(), times.next_back());
    if may_be_taken_in_twice(facts, of) {
        return Ok(());
    }
    let twice = match (first, last) {
        // Ids end by the bus's clock.
        (Some(first), Some(_)) if facts.clock_set_at.is_some_and(|at| at >= first) => false,
        (Some(first), Some(last)) => of.keyed || last - first < OWN_ID_MS,
        (_, None) | (None, Some(_)) => false,
    };
    promised!(
        facts,
        G9,
        !twice,
        "the bus took {item} twice: {:?}",
        of.taken
    );
    Ok(())
}

/// The emitters' lease is the bus's, by the bus's clock: a node that loses it by that, or whose own clock
/// is slow, may not know yet.
pub(super) fn may_be_taken_in_twice(facts: &Facts, of: &super::ItemFacts) -> bool {
    let shaken = facts.clock_set_at.max(facts.data_lost_at);
    of.emitted
        && (facts.promises.skew_permille > 0 || shaken.is_some_and(|at| at + 6_000 > of.offered_at))
}
