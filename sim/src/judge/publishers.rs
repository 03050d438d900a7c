//! What publishers did and were told, and what Redis took, in the oracle's words.

use std::sync::Arc;

use tradewire_engine::ids::EventId;

use super::names::{symbol_of, topic_of, user_of};
use super::texts::{self, Payload};
use super::{Judge, Node};
use crate::observation::Observation as Saw;
use crate::oracle::{
    Answer, Batch, Guarantee, Item, Observation, Offer, Situation, Target, Topic, Verdict,
};

/// One publisher.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    /// Which of its batches is under way, and what the oracle calls it.
    batch: Option<(u64, Batch)>,
    /// The node that it talks to, until that fails.
    node: Option<(String, Node)>,
}

/// One room's part of an emitter's message.
#[derive(Clone, Copy, Debug)]
pub struct Emission {
    /// What it says.
    pub item: Item,
    /// For whom.
    pub target: Target,
}

impl Judge {
    /// An emitter sends a message: one part for each of its rooms, the first of which it says.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn emitted(&mut self, parts: &[Emission]) -> Verdict {
        let offer = |part: &Emission| Offer {
            item: part.item,
            target: part.target,
            keyed: false,
        };
        let offers = parts.iter().map(offer).collect();
        if let [first, _, ..] = parts {
            self.shared.insert(first.item, parts.to_vec());
        }
        self.see(&Observation::Emitted { offers })
    }

    pub(super) fn publisher(&mut self, who: &Arc<str>, what: &Saw) -> Verdict {
        match what {
            Saw::Publishing {
                batch,
                attempt,
                node,
                body,
            } => self.offered(who, *batch, *attempt, node, body),
            Saw::Answered { status, body, .. } => self.answered(who, *status, body),
            Saw::Unanswered { .. } => {
                let publisher = self.publishers.entry(Arc::clone(who)).or_default();
                publisher.node = None;
                match publisher.batch {
                    Some((_, batch)) => self.see(&Observation::Unanswered(batch)),
                    None => Ok(()),
                }
            }
            Saw::GaveUp { batch } => {
                let facts = format!("{who} tried batch {batch} again and again, in vain");
                self.broken(Guarantee::Liveness, facts)
            }
            _ => Ok(()),
        }
    }

    fn offered(
        &mut self,
        who: &Arc<str>,
        number: u64,
        attempt: u32,
        name: &str,
        body: &str,
    ) -> Verdict {
        let items: Vec<texts::Published<'_>> = match serde_json::from_str(body) {
            Ok(items) => items,
            Err(error) => {
                let facts = format!("the simulation published what it cannot read: {error}");
                return self.broken(Guarantee::G9, facts);
            }
        };
        let offers: Option<Vec<Offer>> = items.iter().map(offer).collect();
        let kept = self
            .publishers
            .get(who)
            .and_then(|publisher| publisher.node.clone())
            .filter(|(kept, node)| kept == name && self.is_kept(*node))
            .map(|(_, node)| node);
        let (Some(offers), Some(node)) = (offers, kept.or_else(|| self.latest(name))) else {
            return Ok(());
        };
        let before = self
            .publishers
            .get(who)
            .and_then(|publisher| publisher.batch)
            .filter(|(before, _)| *before == number);
        let batch = before.map_or_else(|| self.next_batch(), |(_, batch)| batch);
        self.publishers.insert(
            Arc::clone(who),
            Publisher {
                batch: Some((number, batch)),
                node: Some((name.to_owned(), node)),
            },
        );
        self.see(&Observation::Offered {
            batch,
            node,
            offers,
            attempt: attempt - 1,
        })
    }

    fn answered(&mut self, who: &Arc<str>, status: u16, body: &str) -> Verdict {
        let Some(publisher) = self.publishers.get_mut(who) else {
            return Ok(());
        };
        let (Some((_, batch)), Some((name, node))) = (publisher.batch, publisher.node.clone())
        else {
            return Ok(());
        };
        let said: texts::Answer = serde_json::from_str(body).unwrap_or(texts::Answer {
            degraded: false,
            ids: None,
        });
        let answer = match (status, said.ids) {
            (202, _) => Answer::Accepted {
                degraded: said.degraded,
            },
            (503, Some(_)) => Answer::Unavailable,
            (503, None) => Answer::Draining,
            (_, _) => {
                let facts = format!("{who}'s {batch} was answered {status} by {name}: {body}");
                return self.broken(Guarantee::G9, facts);
            }
        };
        if !matches!(answer, Answer::Accepted { .. }) {
            publisher.node = None;
        }
        self.see(&Observation::Answered {
            batch,
            node,
            answer,
        })
    }

    pub(super) fn bus(&mut self, what: &Saw) -> Verdict {
        match what {
            Saw::Logged { id, user, payload } => {
                let item = serde_json::from_str::<Payload<'_>>(payload);
                let (Ok(payload), Some(id), Some(user)) = (item, EventId::parse(id), user_of(user))
                else {
                    return Ok(());
                };
                let item = self.item(payload.item(), Target::Trade(user));
                self.see(&Observation::Logged { item, id })
            }
            Saw::Took { topic, payload } => {
                let item = serde_json::from_str::<Payload<'_>>(payload);
                let (Ok(payload), Some(topic)) = (item, topic_of(topic)) else {
                    return Ok(());
                };
                let item = self.item(payload.item(), Target::State(topic));
                let target = self.oracle.facts().item(item).map(|item| item.target);
                if target != Some(Target::State(topic)) {
                    let facts = format!("Redis took {item} as {topic}, which is {target:?}");
                    return self.broken(Guarantee::G3, facts);
                }
                self.see(&Observation::Took { item })
            }
            Saw::SlotRetaken => {
                self.reached(Situation::LeaseLost);
                Ok(())
            }
            Saw::DataLost => self.see(&Observation::DataLost),
            Saw::ClockSet => self.see(&Observation::ClockSet),
            Saw::Session { user, there } => match user_of(user) {
                Some(user) => {
                    let there = *there;
                    self.see(&Observation::Session { user, there })
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// A bus that hung for longer than a request may take.
    pub fn hung(&mut self) {
        self.reached(Situation::BusHung);
    }
}

fn offer(item: &texts::Published<'_>) -> Option<Offer> {
    let user = || item.user_id.as_deref().and_then(user_of);
    let symbol = || item.symbol.as_deref().and_then(symbol_of);
    let target = match &*item.event {
        "trade:executed" | "trade:failed" => Target::Trade(user()?),
        "portfolio:update" => Target::State(Topic::Portfolio(user()?)),
        "quote:update" => Target::State(Topic::Quote(symbol()?)),
        "market:status" => Target::State(Topic::Market),
        _ => return None,
    };
    Some(Offer {
        item: item.data.item(),
        target,
        keyed: item.id.is_some(),
    })
}
