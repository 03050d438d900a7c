//! Values that were published here while the bus could not take them: delivered to this node's own
//! clients at once, and the newest of each topic held for the bus.
//!
//! A topic that is held goes by what is held: what the bus tells of it counts again once the bus has
//! taken the held value and was asked for the topic after that. So clients here never see an older
//! value behind a newer one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::{BusRequest, FETCH_MAX, StatePublish};
use crate::collections::Table;
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Note};
use crate::engine::{Engine, Fetch, Spread};
use crate::event::{Payload, Topic};
use crate::ids::{PublishId, RequestId};
use crate::input::BusOutcome;
use crate::time::Timestamp;

/// Topics that may be held. Over it: the publish is refused as unavailable.
pub(crate) const HELD_TOPICS_MAX: usize = 100_000;

/// Bytes of values that may be held. Over it: the publish is refused as unavailable.
pub(crate) const HELD_BYTES_MAX: usize = 64 << 20;

/// Publishers' ids that are remembered of what was held or shared. Over it: the oldest is forgotten.
const IDS_MAX: usize = 65_536;

/// How long they are: as long as the bus does.
const IDS_MAX_AGE: Duration = Duration::from_secs(600);

/// Bytes of values that are handed over at once, unless a single one has more: other requests wait
/// behind them.
const HANDED_BYTES_MAX: usize = 1 << 20;

/// How long to wait before values that the bus refused are handed over again.
const RETRY: Duration = Duration::from_secs(1);

/// What is held for the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    values: Table<Topic, HeldValue>,
    bytes: usize,
    last_number: u64,
    pub(crate) handing: Option<Handing>,
    /// When to hand over again what the bus refused.
    pub(crate) retry_at: Option<Timestamp>,
    /// Publishers' ids of what was held, of which only the newest of each topic come to the bus, and
    /// of what the bus took, which cannot be asked while it is away.
    ids: Table<PublishId, Timestamp>,
    ids_by_age: VecDeque<PublishId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldValue {
    number: u64,
    id: PublishId,
    payload: Payload,
}

/// A hand-over that the bus has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handing {
    pub(crate) request: RequestId,
    pub(crate) until: Timestamp,
    values: Vec<(Topic, u64)>,
}

impl Held {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            values: Table::new(seed),
            bytes: 0,
            last_number: 0,
            handing: None,
            retry_at: None,
            ids: Table::new(seed),
            ids_by_age: VecDeque::new(),
        }
    }

    /// The value held of a topic.
    pub(crate) fn get(&self, topic: &Topic) -> Option<&Payload> {
        self.values.get(topic).map(|held| &held.payload)
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether so much more may be held.
    pub(crate) fn has_room(&self, topics: usize, bytes: usize) -> bool {
        self.values.len() + topics <= HELD_TOPICS_MAX && self.bytes + bytes <= HELD_BYTES_MAX
    }

    /// Whether a publisher handed this in before.
    pub(crate) fn knows(&self, now: Timestamp, id: &PublishId) -> bool {
        self.ids
            .get(id)
            .is_some_and(|at| now.since(*at) < IDS_MAX_AGE)
    }

    /// Whether `id` is new; it is remembered from here on.
    pub(crate) fn remember(&mut self, now: Timestamp, id: PublishId) -> bool {
        if self.knows(now, &id) {
            return false;
        }
        while let Some(oldest) = self.ids_by_age.front()
            && (self.ids.len() >= IDS_MAX || !self.knows_oldest(now, oldest))
        {
            self.ids.remove(oldest);
            self.ids_by_age.pop_front();
        }
        self.ids.insert(id.clone(), now);
        self.ids_by_age.push_back(id);
        true
    }

    /// As [`Self::knows`]. Until the first id was forgotten the oldest is also the table's first, which is
    /// found without a look-up.
    fn knows_oldest(&self, now: Timestamp, oldest: &PublishId) -> bool {
        match self.ids.iter().next() {
            Some((first, at)) if first == oldest => now.since(*at) < IDS_MAX_AGE,
            Some(_) | None => self.knows(now, oldest),
        }
    }

    fn put(&mut self, topic: Topic, id: PublishId, payload: Payload) {
        self.last_number += 1;
        self.bytes += payload.bytes();
        let held = HeldValue {
            number: self.last_number,
            id,
            payload,
        };
        if let Some(old) = self.values.insert(topic, held) {
            self.bytes -= old.payload.bytes();
        }
    }

    /// Removes a topic's value, unless a newer one has taken its place.
    fn remove(&mut self, topic: &Topic, number: u64) -> bool {
        if self
            .values
            .get(topic)
            .is_none_or(|held| held.number != number)
        {
            return false;
        }
        if let Some(held) = self.values.remove(topic) {
            self.bytes -= held.payload.bytes();
        }
        true
    }

    /// Bytes counted anew, for [`crate::Engine::check`].
    pub(crate) fn is_counted_right(&self) -> bool {
        let bytes = self.values.iter().map(|(_, held)| held.payload.bytes());
        self.bytes == bytes.sum::<usize>() && self.ids.len() == self.ids_by_age.len()
    }
}

impl Engine {
    /// Delivers a value to this node's clients, and holds it for the bus, unless it was before.
    pub(crate) fn hold(&mut self, value: StatePublish, effects: &mut Effects) {
        let StatePublish {
            id,
            lasting,
            topic,
            payload,
        } = value;
        if lasting
            && let Some(id) = &id
            && !self.held.remember(self.now, id.clone())
        {
            return;
        }
        let Some(id) = id.or_else(|| self.assign_publish_id()) else {
            return;
        };
        self.held.put(topic.clone(), id, payload.clone());
        effects.note(Note::Held {
            topic: topic.clone(),
        });
        self.spread_to_all(topic, payload, effects);
        self.retry_hand_over();
    }

    /// Sees to it that what is held is handed over some time while the bus can be used.
    fn retry_hand_over(&mut self) {
        if self.is_reached() && self.held.handing.is_none() && self.held.retry_at.is_none() {
            let at = self.now + RETRY;
            self.held.retry_at = Some(at);
            self.deadlines.set(at, Due::HandOver);
        }
    }

    /// Hands the next values over, if none are on their way.
    pub(crate) fn hand_over(&mut self, effects: &mut Effects) {
        if !self.is_reached() || self.held.handing.is_some() || self.held.len() == 0 {
            return;
        }
        if let Some(at) = self.held.retry_at.take() {
            self.deadlines.unset(at, Due::HandOver);
        }
        let request = self.next_request();
        let until = self.now + self.config.limits.bus_request_max;
        let mut bytes = 0;
        let fitting = self
            .held
            .values
            .iter()
            .take(FETCH_MAX)
            .take_while(|(_, held)| {
                bytes += held.payload.bytes();
                bytes <= HANDED_BYTES_MAX
            });
        let count = fitting.count().max(1);
        let next = || self.held.values.iter().take(count);
        let numbers = next()
            .map(|(topic, held)| (topic.clone(), held.number))
            .collect();
        let values = next()
            .map(|(topic, held)| StatePublish {
                id: Some(held.id.clone()),
                lasting: true,
                topic: topic.clone(),
                payload: held.payload.clone(),
            })
            .collect();
        self.deadlines.set(until, Due::Share(request));
        self.held.handing = Some(Handing {
            request,
            until,
            values: numbers,
        });
        effects.push(Effect::Bus(BusRequest::Share {
            request,
            values,
            once: false,
        }));
    }

    /// Takes the bus's answer to a hand-over; tells whether it was one.
    pub(crate) fn handed_over(
        &mut self,
        request: RequestId,
        outcome: BusOutcome,
        effects: &mut Effects,
    ) -> bool {
        let Some(handing) = self
            .held
            .handing
            .take_if(|handing| handing.request == request)
        else {
            return false;
        };
        self.deadlines.unset(handing.until, Due::Share(request));
        match outcome {
            BusOutcome::Done => {
                let mut handed = 0;
                for (topic, number) in handing.values {
                    if self.held.remove(&topic, number) {
                        handed += 1;
                        self.forget_value(topic, effects);
                    }
                }
                effects.note(Note::HandedOver { values: handed });
                self.hand_over(effects);
            }
            BusOutcome::Failed => self.retry_hand_over(),
        }
        true
    }

    /// The bus has taken a value whose version is not known here: it is asked for the topic.
    fn forget_value(&mut self, topic: Topic, effects: &mut Effects) {
        let Some(state) = self.topic_mut(&topic) else {
            return;
        };
        state.value = None;
        state.spread = Spread::Everyone;
        state.missed = true;
        // An answer under way may be older than what the bus took just now.
        state.fetch = Fetch::Never;
        self.fetch(topic, effects);
    }

    /// The bus is lost: whether it took what was on its way is not known, so it is held on.
    pub(crate) fn stop_handing_over(&mut self) {
        if let Some(handing) = self.held.handing.take() {
            self.deadlines
                .unset(handing.until, Due::Share(handing.request));
        }
        if let Some(at) = self.held.retry_at.take() {
            self.deadlines.unset(at, Due::HandOver);
        }
    }
}
