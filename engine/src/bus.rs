//! What the engine asks of the bus, and the bus that one node carries within itself.
//!
//! The bus orders what is published. [`EmbeddedBus`] is that of a server without Redis, and the
//! model that a simulation of bare engines uses. Like the engine it has no IO and no clock.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::collections::Table;
use crate::event::{LogEntry, LogKind, Payload, StateValue, Topic, Version};
use crate::ids::{Epoch, EventId, PublishId, RequestId, SessionId, SocketId, UserId};
use crate::input::{BusOutcome, Input};
use crate::reason::Call;
use crate::time::{Timestamp, WallTime};

/// How much of a batch arrives in one input. Outboxes are measured between inputs, so this bounds by
/// how much they can pass their bounds.
pub const ARRIVALS_MAX: usize = 32;

/// A question to the bus, or work for it; the answer names the same request.
///
/// Requests take effect in the order in which they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BusRequest {
    /// Append log events, those excepted whose id was taken before; answered by `Appended`.
    Append {
        /// The request's name.
        request: RequestId,
        /// The events, in the publisher's order.
        entries: Vec<LogPublish>,
        /// When the publish came in.
        wall: WallTime,
    },
    /// Count a call against its user's window in the whole cluster; answered by `Charged`.
    Charge {
        /// The request's name.
        request: RequestId,
        /// Whose.
        user: UserId,
        /// Which call.
        call: Call,
        /// It was admitted already and is only counted.
        admitted: bool,
    },
    /// Take a connection slot of a user; answered by `Claimed`.
    Claim {
        /// The request's name.
        request: RequestId,
        /// Whose.
        user: UserId,
        /// The slot's name.
        slot: Slot,
        /// The slot that this one takes the place of, if it is still held.
        replaces: Option<Slot>,
    },
    /// Read current values; answered by `Fetched`.
    Fetch {
        /// The request's name.
        request: RequestId,
        /// Of which topics, at most [`FETCH_MAX`].
        topics: Vec<Topic>,
    },
    /// Hold the lease under which emitter messages are taken in; answered by `Led`.
    Lead {
        /// The request's name.
        request: RequestId,
    },
    /// Begin or stop to hear emitter messages, which come as `Emitted`; not answered.
    Listen {
        /// Begin.
        on: bool,
    },
    /// Answer with `BusReached` as soon as the bus answers anything.
    Probe,
    /// Give a slot back; not answered.
    Release {
        /// Whose.
        user: UserId,
        /// Which.
        slot: Slot,
    },
    /// Hold on to slots, and take those again that the bus has forgotten; answered by `SlotsLost` if
    /// some are to be given up.
    Renew {
        /// The slots by user.
        users: Vec<Renewal>,
    },
    /// Set current values, those excepted whose id was taken before; answered by `Shared`.
    Share {
        /// The request's name.
        request: RequestId,
        /// The values, in the publisher's order.
        values: Vec<StatePublish>,
        /// They are one publication, to be delivered together: see [`Input::StateArrived`].
        once: bool,
    },
}

/// Topics in one [`BusRequest::Fetch`], and values in one hand-over after an outage.
pub const FETCH_MAX: usize = 256;

/// A connection's slot among those of its user, by a name that the client can give when it comes back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The connection's socket id.
    pub socket: SocketId,
    /// XXH3-64 of its session id: only a client of the same session may replace it.
    pub session: u64,
}

impl Slot {
    /// The slot of a socket of a session.
    #[must_use]
    pub fn new(socket: SocketId, session: &SessionId) -> Self {
        let session = xxhash_rust::xxh3::xxh3_64(session.as_str().as_bytes());
        Self { socket, session }
    }
}

/// Without spaces: `<socket id>.<16 hexadecimal digits>`.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.socket, self.session)
    }
}

/// One user's slots on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Whose.
    pub user: UserId,
    /// Each slot, and how long ago its connection was admitted.
    pub slots: Vec<(Slot, Duration)>,
}

/// A log event on its way to the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPublish {
    /// The idempotency key.
    pub id: PublishId,
    /// Whether it may be handed in again with that key: if not, the key need not be remembered.
    pub lasting: bool,
    /// Which event.
    pub kind: LogKind,
    /// Whose.
    pub user: UserId,
    /// What it says.
    pub payload: Payload,
}

/// A value on its way to the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePublish {
    /// The idempotency key, if the same value may be handed in again.
    pub id: Option<PublishId>,
    /// Whether a publisher may do so: its keys count for as long as it was told, one of this node only
    /// until it knows what became of the request.
    pub lasting: bool,
    /// Of which topic.
    pub topic: Topic,
    /// What it says.
    pub payload: Payload,
}

/// Bounds of the embedded bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusLimits {
    /// How long an idempotency key is remembered. Default 10 min.
    pub ids_max_age: Duration,
    /// Idempotency keys remembered. Default 1,000,000. Over it: the oldest is forgotten.
    pub ids_max: usize,
    /// Topics whose current value is kept. Default 1,000,000. Over it: the one set longest ago is
    /// forgotten, and a later subscriber waits for its next value.
    pub topics_max: usize,
    /// Bytes of current values. Default 256 MiB. Over it: the one set longest ago is forgotten.
    pub values_bytes_max: usize,
}

impl Default for BusLimits {
    fn default() -> Self {
        Self {
            ids_max_age: Duration::from_secs(600),
            ids_max: 1_000_000,
            topics_max: 1_000_000,
            values_bytes_max: 256 << 20,
        }
    }
}

/// The bus of a node that has no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedBus {
    limits: BusLimits,
    epoch: Epoch,
    last_event: EventId,
    counter: u64,
    /// Current values, with their place in `written`.
    values: Table<Topic, (Version, Payload)>,
    /// Topics by the counter of their latest value: the order in which they would be forgotten.
    written: BTreeMap<u64, Topic>,
    values_bytes: usize,
    ids: Table<PublishId, ()>,
    ids_by_age: VecDeque<(Timestamp, PublishId)>,
}

impl EmbeddedBus {
    /// Makes an empty bus; `epoch` must be random, `seed` keys its hash tables.
    #[must_use]
    pub fn new(limits: BusLimits, epoch: Epoch, seed: u64) -> Self {
        Self {
            limits,
            epoch,
            last_event: EventId {
                epoch,
                ms: 0,
                seq: 0,
            },
            counter: 0,
            values: Table::new(seed),
            written: BTreeMap::new(),
            values_bytes: 0,
            ids: Table::new(seed),
            ids_by_age: VecDeque::new(),
        }
    }

    /// Does what `request` asks and writes the inputs that follow from it, in order.
    pub fn handle(&mut self, now: Timestamp, request: BusRequest, answers: &mut VecDeque<Input>) {
        self.forget_ids(now);
        match request {
            BusRequest::Append {
                request,
                entries,
                wall,
            } => {
                let entries = entries
                    .into_iter()
                    .filter_map(|entry| self.append(now, wall, entry));
                let entries: Vec<_> = entries.collect();
                for entries in entries.chunks(ARRIVALS_MAX) {
                    let entries = entries.to_vec();
                    answers.push_back(Input::LogArrived { entries });
                }
                answers.push_back(Input::Appended {
                    request,
                    outcome: BusOutcome::Done,
                });
            }
            BusRequest::Fetch { request, topics } => {
                let values = topics.into_iter().filter_map(|topic| {
                    let (version, payload) = self.values.get(&topic).cloned()?;
                    Some(StateValue {
                        topic,
                        version,
                        payload,
                    })
                });
                let values = Some(values.collect());
                answers.push_back(Input::Fetched { request, values });
            }
            BusRequest::Probe => answers.push_back(Input::BusReached),
            // A node alone keeps these by itself and does not ask.
            BusRequest::Charge { .. }
            | BusRequest::Claim { .. }
            | BusRequest::Lead { .. }
            | BusRequest::Listen { .. }
            | BusRequest::Release { .. }
            | BusRequest::Renew { .. } => {}
            BusRequest::Share {
                request,
                values,
                once,
            } => {
                let values = values
                    .into_iter()
                    .filter_map(|value| self.share(now, value));
                let values: Vec<_> = values.collect();
                for values in values.chunks(ARRIVALS_MAX) {
                    let values = values.to_vec();
                    answers.push_back(Input::StateArrived { values, once });
                }
                answers.push_back(Input::Shared {
                    request,
                    outcome: BusOutcome::Done,
                });
            }
        }
    }

    fn append(&mut self, now: Timestamp, wall: WallTime, entry: LogPublish) -> Option<LogEntry> {
        let LogPublish {
            id,
            lasting,
            kind,
            user,
            payload,
        } = entry;
        if lasting && !self.take_id(now, id) {
            return None;
        }
        // As in a Redis stream: a wall clock that stands still or goes back only counts `seq` up.
        let last = &mut self.last_event;
        if wall.as_unix_ms() > last.ms {
            (last.ms, last.seq) = (wall.as_unix_ms(), 0);
        } else {
            last.seq += 1;
        }
        Some(LogEntry {
            id: *last,
            kind,
            user,
            payload,
        })
    }

    fn share(&mut self, now: Timestamp, value: StatePublish) -> Option<StateValue> {
        let StatePublish {
            id, topic, payload, ..
        } = value;
        if id.is_some_and(|id| !self.take_id(now, id)) {
            return None;
        }
        self.counter += 1;
        let version = Version {
            epoch: self.epoch,
            counter: self.counter,
        };
        self.values_bytes += payload.bytes();
        if let Some((old, payload)) = self
            .values
            .insert(topic.clone(), (version, payload.clone()))
        {
            self.written.remove(&old.counter);
            self.values_bytes -= payload.bytes();
        }
        self.written.insert(self.counter, topic.clone());
        while self.values.len() > self.limits.topics_max
            || self.values_bytes > self.limits.values_bytes_max
        {
            let Some((_, topic)) = self.written.pop_first() else {
                break;
            };
            if let Some((_, payload)) = self.values.remove(&topic) {
                self.values_bytes -= payload.bytes();
            }
        }
        Some(StateValue {
            topic,
            version,
            payload,
        })
    }

    /// Whether `id` is new; it is remembered from here on.
    fn take_id(&mut self, now: Timestamp, id: PublishId) -> bool {
        if self.ids.insert(id.clone(), ()).is_some() {
            return false;
        }
        self.ids_by_age.push_back((now, id));
        true
    }

    fn forget_ids(&mut self, now: Timestamp) {
        while let Some((taken, id)) = self.ids_by_age.front()
            && (now.since(*taken) >= self.limits.ids_max_age
                || self.ids_by_age.len() > self.limits.ids_max)
        {
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }
}
