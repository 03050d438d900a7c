//! Publishers, who retry as the README tells them, and an emitter, who is told nothing.

use tradewire_engine::Input;
use tradewire_engine::event::{LogKind, Payload, Publish, Target as EngineTarget};
use tradewire_engine::ids::PublishId;

use super::contact::Stage;
use super::names::{key, payload};
use super::script::Content;
use super::world::{Event, World};
use crate::oracle::{Answer, Batch, Item, Observation, Offer, Target, Verdict};

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
    /// Where it is handed in first.
    place: usize,
    late: bool,
    attempt: u32,
    /// The last answer, until the publisher has read it; or that there will be none.
    answer: Option<Option<Answer>>,
}

/// All batches.
#[derive(Debug, Default)]
pub(super) struct Batches {
    list: Vec<BatchState>,
    items: u32,
    /// What an item says while it is written.
    text: String,
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
    fn make(&mut self, content: Content, keyed: bool) -> Made {
        let item = Item(self.batches.items);
        self.batches.items += 1;
        Made {
            offer: Offer {
                item,
                target: content.to,
                keyed,
            },
            payload: payload(&mut self.batches.text, item, content.bytes),
            key: keyed.then(|| key(&mut self.batches.text, item)),
        }
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

    pub(super) fn publish(
        &mut self,
        place: usize,
        keyed: bool,
        late: bool,
        items: &[Content],
    ) -> Verdict {
        let items = items.iter().map(|content| self.make(*content, keyed));
        let items = items.collect();
        let batch = Batch(u32::try_from(self.batches.list.len()).unwrap_or(u32::MAX));
        self.batches.list.push(BatchState {
            items,
            place,
            late,
            ..BatchState::default()
        });
        self.publish_arrives(batch)
    }

    /// A batch is handed in at its place, or the next where a node can take it.
    pub(super) fn publish_arrives(&mut self, batch: Batch) -> Verdict {
        let state = &self.batches.list[batch.index()];
        let (wanted, attempt) = (state.place + state.attempt as usize, state.attempt);
        let wanted = wanted % self.places.len();
        // From the wanted one on, and round again.
        let nearest = self
            .able(state.late && attempt == 0)
            .min_by_key(|(place, _)| (*place < wanted, *place));
        let Some((place, node)) = nearest else {
            self.after(RETRY_MS, Event::PublishArrives(batch));
            return Ok(());
        };
        let state = &self.batches.list[batch.index()];
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
            // Not all at the same moment.
            let ms = mean * (4 + u64::from(batch.0) % 8) / 8;
            self.after(ms, Event::PublishArrives(batch));
        } else {
            // What it said is in the oracle's books.
            state.items = Vec::new();
        }
        Ok(())
    }

    pub(super) fn emit(&mut self, items: &[Content]) -> Verdict {
        let made = items.iter().map(|content| self.make(*content, false));
        let made: Vec<Made> = made.collect();
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
        self.push_to_all(Input::Emitted { items, wall }, |contact| {
            contact.stage == Stage::Up && contact.listens
        });
        Ok(())
    }
}
