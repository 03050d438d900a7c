//! What publishers hand in: split by kind, given to the bus, answered when the bus has it all.
//!
//! While the bus cannot be used, a batch with log events is refused whole, and values are delivered
//! here and held for the bus ([`crate::held`]).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bus::{BusRequest, LogPublish, StatePublish};
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Note, PublishOutcome};
use crate::engine::{BusKind, Engine};
use crate::event::{Publish, Target};
use crate::ids::{PublishId, RequestId};
use crate::input::BusOutcome;
use crate::time::{Timestamp, WallTime};

/// Who waits for a publish to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Publisher {
    /// A request, by the driver's number.
    Driver(RequestId),
    /// Nobody: an emitter does not hear what became of its message. By the engine's number.
    Emitter(RequestId),
}

/// A publish of which the bus has not answered every part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingPublish {
    pub(crate) ids: Vec<PublishId>,
    /// The log's part, until the bus has taken it.
    pub(crate) log: Option<RequestId>,
    /// The values' part, until the bus has taken it; the values are kept in case that it does not.
    pub(crate) state: Option<(RequestId, Vec<StatePublish>)>,
    pub(crate) until: Timestamp,
    /// Whether some of the values were delivered here only.
    degraded: bool,
}

impl PendingPublish {
    /// The bus requests that are not answered.
    pub(crate) fn parts(&self) -> impl Iterator<Item = RequestId> {
        let state = self.state.as_ref().map(|(part, _)| *part);
        self.log.into_iter().chain(state)
    }
}

impl Engine {
    pub(crate) fn published(
        &mut self,
        request: RequestId,
        items: Vec<Publish>,
        wall: WallTime,
        effects: &mut Effects,
    ) {
        if self.drain.is_some() {
            let outcome = PublishOutcome::Draining;
            effects.push(Effect::AnswerPublish { request, outcome });
            return;
        }
        self.publish(Publisher::Driver(request), items, wall, effects);
    }

    pub(crate) fn publish(
        &mut self,
        publisher: Publisher,
        items: Vec<Publish>,
        wall: WallTime,
        effects: &mut Effects,
    ) {
        let count = items.len();
        let log = items
            .iter()
            .filter(|item| matches!(item.target, Target::Log { .. }))
            .count();
        let has_log = log > 0;
        let mut entries = Vec::with_capacity(log);
        let mut values = Vec::with_capacity(count - log);
        let mut ids = Vec::with_capacity(count);
        let mut degraded = false;
        // A node's own bus takes everything at once, so that no publisher is told to try again.
        let shared = self.config.bus == BusKind::Shared;
        for Publish {
            id: given,
            target,
            payload,
        } in items
        {
            let is_given = given.is_some();
            let Some(id) = given.or_else(|| self.assign_publish_id()) else {
                continue;
            };
            ids.push(id.clone());
            match target {
                Target::Log { kind, user } => {
                    entries.push(LogPublish {
                        id,
                        lasting: is_given || shared,
                        kind,
                        user,
                        payload,
                    });
                }
                // It may be handed in again if the publisher gave the id, or is told to use it; and by
                // this node if it does not hear whether a shared bus has taken it.
                Target::State(topic) => {
                    let lasting = is_given || (has_log && shared);
                    if lasting && self.held.knows(self.now, &id) {
                        // Nobody gets it twice; the bus has it once its topic is not held any more.
                        degraded |= self.held.get(&topic).is_some();
                    } else {
                        values.push(StatePublish {
                            id: (lasting || shared).then_some(id),
                            lasting,
                            topic,
                            payload,
                        });
                    }
                }
            }
        }
        let reached = self.is_reached();
        // A topic that is held stays with this node until the bus has taken what is held.
        let (local, values): (Vec<_>, Vec<_>) = if !reached {
            (values, Vec::new())
        } else if self.held.len() == 0 {
            (Vec::new(), values)
        } else {
            let is_held = |value: &StatePublish| self.held.get(&value.topic).is_some();
            values.into_iter().partition(is_held)
        };
        let local_bytes = local.iter().map(|value| value.payload.bytes()).sum();
        let fits = local.is_empty() || self.held.has_room(local.len(), local_bytes);
        if (has_log && !reached) || !fits {
            self.refuse_publish(publisher, ids, effects);
            return;
        }
        degraded |= !local.is_empty();
        for value in local {
            self.hold(value, effects);
        }
        let log = (!entries.is_empty()).then(|| self.next_request());
        if let Some(request) = log {
            self.publish_parts.insert(request, publisher);
            effects.push(Effect::Bus(BusRequest::Append {
                request,
                entries,
                wall,
            }));
        }
        let state = (!values.is_empty()).then(|| (self.next_request(), values));
        if let Some((request, values)) = &state {
            self.publish_parts.insert(*request, publisher);
            // What an emitter sends to several rooms is one message to whoever is in them.
            let once = matches!(publisher, Publisher::Emitter(_)) && values.len() > 1;
            effects.push(Effect::Bus(BusRequest::Share {
                request: *request,
                values: values.clone(),
                once,
            }));
        }
        let until = self.now + self.config.limits.bus_request_max;
        self.deadlines.set(until, Due::Publish(publisher));
        let publish = PendingPublish {
            ids,
            log,
            state,
            until,
            degraded,
        };
        self.publishes.insert(publisher, publish);
        self.answer_if_complete(publisher, effects);
    }

    /// An idempotency key that nobody else gives: this life of this node, and a count.
    pub(crate) fn assign_publish_id(&mut self) -> Option<PublishId> {
        self.last_publish_id += 1;
        PublishId::counted(self.config.instance, self.last_publish_id)
    }

    pub(crate) fn appended(&mut self, part: RequestId, outcome: BusOutcome, effects: &mut Effects) {
        let Some(publisher) = self.publish_parts.remove(&part) else {
            return;
        };
        match outcome {
            BusOutcome::Done => {
                if let Some(publish) = self.publishes.get_mut(&publisher) {
                    publish.log = None;
                }
                self.answer_if_complete(publisher, effects);
            }
            BusOutcome::Failed => self.fail_publish(publisher, effects),
        }
    }

    pub(crate) fn shared(&mut self, part: RequestId, outcome: BusOutcome, effects: &mut Effects) {
        if self.handed_over(part, outcome, effects) {
            return;
        }
        let Some(publisher) = self.publish_parts.remove(&part) else {
            return;
        };
        let Some(publish) = self.publishes.get_mut(&publisher) else {
            return;
        };
        let values = publish.state.take().map(|(_, values)| values);
        publish.degraded |= outcome == BusOutcome::Failed;
        for value in values.into_iter().flatten() {
            match (outcome, value.id) {
                (BusOutcome::Failed, id) => self.hold(StatePublish { id, ..value }, effects),
                (BusOutcome::Done, Some(id)) if value.lasting => {
                    self.held.remember(self.now, id);
                }
                (BusOutcome::Done, _) => {}
            }
        }
        self.answer_if_complete(publisher, effects);
    }

    /// The bus is lost: log events may be taken or not; values go their way without it.
    pub(crate) fn fail_publishes(&mut self, effects: &mut Effects) {
        let pending = self.publishes.iter();
        let mut publishers: Vec<(Option<RequestId>, Publisher)> = pending
            .map(|(publisher, publish)| (publish.parts().last(), *publisher))
            .collect();
        // As they came, so that of two values of a topic the newer one is held.
        publishers.sort_unstable();
        for (_, publisher) in publishers {
            let Some(publish) = self.publishes.get(&publisher) else {
                continue;
            };
            match (publish.log, &publish.state) {
                (None, Some((part, _))) => self.shared(*part, BusOutcome::Failed, effects),
                (Some(_), _) | (None, None) => self.fail_publish(publisher, effects),
            }
        }
    }

    fn answer_if_complete(&mut self, publisher: Publisher, effects: &mut Effects) {
        if self
            .publishes
            .get(&publisher)
            .is_none_or(|publish| publish.parts().next().is_some())
        {
            return;
        }
        let Some(publish) = self.take_publish(publisher) else {
            return;
        };
        if let Publisher::Driver(request) = publisher {
            let outcome = PublishOutcome::Accepted {
                ids: publish.ids,
                degraded: publish.degraded,
            };
            effects.push(Effect::AnswerPublish { request, outcome });
        }
    }

    fn fail_publish(&mut self, publisher: Publisher, effects: &mut Effects) {
        if let Some(publish) = self.take_publish(publisher) {
            self.refuse_publish(publisher, publish.ids, effects);
        }
    }

    fn refuse_publish(&mut self, publisher: Publisher, ids: Vec<PublishId>, effects: &mut Effects) {
        match publisher {
            Publisher::Driver(request) => {
                let outcome = PublishOutcome::Unavailable { ids };
                effects.push(Effect::AnswerPublish { request, outcome });
            }
            Publisher::Emitter(_) => {
                let items = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                effects.note(Note::EmittedLost { items });
            }
        }
    }

    fn take_publish(&mut self, publisher: Publisher) -> Option<PendingPublish> {
        let publish = self.publishes.remove(&publisher)?;
        self.deadlines.unset(publish.until, Due::Publish(publisher));
        for part in publish.parts() {
            self.publish_parts.remove(&part);
        }
        Some(publish)
    }
}
