//! What publishers hand in: split by kind, given to the bus, answered when the bus has it all.

use alloc::format;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bus::{BusRequest, LogPublish, StatePublish};
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, PublishOutcome};
use crate::engine::Engine;
use crate::event::{Publish, Target};
use crate::ids::{PublishId, RequestId};
use crate::input::BusOutcome;
use crate::time::{Timestamp, WallTime};

/// A publish of which the bus has not answered every part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingPublish {
    pub(crate) ids: Vec<PublishId>,
    /// The bus requests that are not answered.
    pub(crate) parts: Vec<RequestId>,
    pub(crate) until: Timestamp,
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
        let (mut ids, mut entries, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for Publish {
            id,
            target,
            payload,
        } in items
        {
            let Some(id) = id.or_else(|| self.assign_publish_id()) else {
                continue;
            };
            ids.push(id.clone());
            match target {
                Target::Log { kind, user } => {
                    entries.push(LogPublish {
                        id,
                        kind,
                        user,
                        payload,
                    });
                }
                Target::State(topic) => values.push(StatePublish { id, topic, payload }),
            }
        }
        let mut parts = Vec::new();
        if !entries.is_empty() {
            let part = self.next_request();
            parts.push(part);
            effects.push(Effect::Bus(BusRequest::Append {
                request: part,
                entries,
                wall,
            }));
        }
        if !values.is_empty() {
            let part = self.next_request();
            parts.push(part);
            effects.push(Effect::Bus(BusRequest::Share {
                request: part,
                values,
            }));
        }
        let until = self.now + self.config.limits.bus_request_max;
        self.deadlines.set(until, Due::Publish(request));
        self.publish_parts
            .extend(parts.iter().map(|part| (*part, request)));
        self.publishes
            .insert(request, PendingPublish { ids, parts, until });
        self.answer_if_complete(request, effects);
    }

    /// An idempotency key that nobody else gives: this life of this node, and a count.
    fn assign_publish_id(&mut self) -> Option<PublishId> {
        self.last_publish_id += 1;
        let text = format!("{:016x}-{}", self.config.instance, self.last_publish_id);
        PublishId::new(&text).ok()
    }

    pub(crate) fn bus_answered(
        &mut self,
        part: RequestId,
        outcome: BusOutcome,
        effects: &mut Effects,
    ) {
        let Some(request) = self.publish_parts.remove(&part) else {
            return;
        };
        match outcome {
            BusOutcome::Done => {
                if let Some(publish) = self.publishes.get_mut(&request) {
                    publish.parts.retain(|pending| *pending != part);
                }
                self.answer_if_complete(request, effects);
            }
            BusOutcome::Failed => self.fail_publish(request, effects),
        }
    }

    pub(crate) fn publish_timed_out(&mut self, request: RequestId, effects: &mut Effects) {
        self.fail_publish(request, effects);
    }

    fn answer_if_complete(&mut self, request: RequestId, effects: &mut Effects) {
        if self
            .publishes
            .get(&request)
            .is_none_or(|publish| !publish.parts.is_empty())
        {
            return;
        }
        if let Some(publish) = self.take_publish(request) {
            let outcome = PublishOutcome::Accepted { ids: publish.ids };
            effects.push(Effect::AnswerPublish { request, outcome });
        }
    }

    fn fail_publish(&mut self, request: RequestId, effects: &mut Effects) {
        if let Some(publish) = self.take_publish(request) {
            let outcome = PublishOutcome::Unavailable { ids: publish.ids };
            effects.push(Effect::AnswerPublish { request, outcome });
        }
    }

    fn take_publish(&mut self, request: RequestId) -> Option<PendingPublish> {
        let publish = self.publishes.remove(&request)?;
        self.deadlines.unset(publish.until, Due::Publish(request));
        for part in &publish.parts {
            self.publish_parts.remove(part);
        }
        Some(publish)
    }
}
