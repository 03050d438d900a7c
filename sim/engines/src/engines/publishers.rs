//! Publishers, who retry as the README tells them, and an emitter, who is told nothing.

use rand::RngExt as _;
use tradewire_engine::Input;
use tradewire_engine::event::{LogKind, Payload, Publish, Target as EngineTarget};
use tradewire_engine::ids::PublishId;

use super::names::{key, payload};
use super::world::{Event, World};
use crate::oracle::{
    Answer, Batch, Item, Observation, Offer, Symbol, Target, Topic, User, Verdict,
};

/// How long a publisher waits before it tries again.
const RETRY_MS: u64 = 600;

/// How often it does.
const TRIES_MAX: u32 = 20;

#[derive(Debug)]
struct Made {
    offer: Offer,
    payload: Payload,
    key: Option<PublishId>,
}

#[derive(Debug, Default)]
struct BatchState {
    items: Vec<Made>,
    attempt: u32,
    /// The last answer, until the publisher has read it; or that there will be none.
    answer: Option<Option<Answer>>,
}

/// All batches.
#[derive(Debug, Default)]
pub(super) struct Batches {
    list: Vec<BatchState>,
    items: u32,
}

impl Batches {
    /// A node has answered.
    pub(super) fn answered(&mut self, batch: Batch, answer: Answer, ids: &[PublishId]) {
        let batch = &mut self.list[batch.index()];
        batch.answer = Some(Some(answer));
        if answer == Answer::Unavailable {
            for (item, id) in batch.items.iter_mut().zip(ids) {
                item.key = Some(id.clone());
            }
        }
    }

    /// Its node is gone.
    pub(super) fn abandoned(&mut self, batch: Batch) {
        self.list[batch.index()].answer = Some(None);
    }
}

impl World<'_> {
    fn make(&mut self, target: Target, keyed: bool) -> Made {
        let item = Item(self.batches.items);
        self.batches.items += 1;
        let bytes = self.chance.random_range(0..self.plan.payload_max);
        Made {
            offer: Offer {
                item,
                target,
                keyed,
            },
            payload: payload(item, bytes),
            key: keyed.then(|| key(item)),
        }
    }

    fn target(&mut self) -> Target {
        let user = User(self.chance.random_range(0..self.plan.users));
        if self.percent(self.plan.trades) {
            return Target::Trade(user);
        }
        let symbol = Symbol(self.chance.random_range(0..self.plan.symbols));
        Target::State(match self.chance.random_range(0..10) {
            0 => Topic::Market,
            1..=4 => Topic::Portfolio(user),
            _ => Topic::Quote(symbol),
        })
    }

    fn engine_target(&self, target: Target) -> EngineTarget {
        match target {
            Target::State(topic) => EngineTarget::State(self.names.topic(topic)),
            Target::Trade(user) => {
                let kind = if user.0.is_multiple_of(2) {
                    LogKind::TradeExecuted
                } else {
                    LogKind::TradeFailed
                };
                EngineTarget::Log {
                    kind,
                    user: self.names.user(user),
                }
            }
        }
    }

    pub(super) fn publish(&mut self) -> Verdict {
        if !self.is_busy() {
            return Ok(());
        }
        let ms = self.about(self.plan.publish_every_ms);
        self.after(ms, Event::Publish);
        let keyed = self.percent(self.plan.keyed);
        let count = self.chance.random_range(1..=self.plan.batch_max);
        let items = (0..count).map(|_| {
            let target = self.target();
            self.make(target, keyed)
        });
        let items = items.collect();
        let batch = Batch(u32::try_from(self.batches.list.len()).unwrap_or(u32::MAX));
        self.batches.list.push(BatchState {
            items,
            ..BatchState::default()
        });
        self.publish_arrives(batch)
    }

    /// A batch is handed in to whichever node the balancer picks.
    pub(super) fn publish_arrives(&mut self, batch: Batch) -> Verdict {
        let late = self.percent(5);
        let able = self.able(late);
        if able.is_empty() {
            self.after(RETRY_MS, Event::PublishArrives(batch));
            return Ok(());
        }
        let (place, node) = able[self.chance.random_range(0..able.len())];
        let state = &self.batches.list[batch.index()];
        let attempt = state.attempt;
        let offers = state.items.iter().map(|made| made.offer).collect();
        self.see(&Observation::Offered {
            batch,
            node,
            offers,
            attempt,
        })?;
        let items = self.batches.list[batch.index()]
            .items
            .iter()
            .map(|made| Publish {
                id: made.key.clone(),
                target: self.engine_target(made.offer.target),
                payload: made.payload.clone(),
            });
        let items = items.collect();
        self.published(place, batch, items)
    }

    /// The publisher reads its answer, or learns that there will be none.
    pub(super) fn answer_arrives(&mut self, batch: Batch) -> Verdict {
        let state = &mut self.batches.list[batch.index()];
        let Some(answer) = state.answer.take() else {
            return Ok(());
        };
        let keyed = state.items.iter().all(|made| made.key.is_some());
        let again = match answer {
            Some(Answer::Accepted { .. }) => false,
            Some(Answer::Unavailable | Answer::Draining) => true,
            // Whether it was taken is not known, so only one with ids can be tried again.
            None => keyed,
        };
        if again && state.attempt < TRIES_MAX {
            state.attempt += 1;
            let mean = RETRY_MS << state.attempt.min(4);
            let ms = self.about(mean);
            self.after(ms, Event::PublishArrives(batch));
        } else {
            // What it said is in the oracle's books.
            state.items = Vec::new();
        }
        Ok(())
    }

    pub(super) fn emit(&mut self) -> Verdict {
        if !self.is_busy() {
            return Ok(());
        }
        let ms = self.about(self.plan.publish_every_ms * 5);
        self.after(ms, Event::Emit);
        let first = self.target();
        let mut targets = vec![first];
        if self.percent(30) {
            // Several rooms of one kind of event.
            let more = self.chance.random_range(1..4);
            for _ in 0..more {
                let target = self.target();
                let same = match (first, target) {
                    (Target::State(Topic::Quote(_)), Target::State(Topic::Quote(_)))
                    | (Target::State(Topic::Portfolio(_)), Target::State(Topic::Portfolio(_))) => {
                        true
                    }
                    (Target::State(_) | Target::Trade(_), Target::State(_) | Target::Trade(_)) => {
                        false
                    }
                };
                if same && !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        let made: Vec<Made> = targets
            .into_iter()
            .map(|target| self.make(target, false))
            .collect();
        let offers = made.iter().map(|made| made.offer).collect();
        self.see(&Observation::Emitted { offers })?;
        let items: Vec<Publish> = made
            .iter()
            .map(|made| Publish {
                id: None,
                target: self.engine_target(made.offer.target),
                payload: made.payload.clone(),
            })
            .collect();
        let wall = self.wall();
        self.push_emitted(|| Input::Emitted {
            items: items.clone(),
            wall,
        })
    }
}
