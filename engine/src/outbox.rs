//! What a connection was handed, what it is owed, and when it is too slow.
//!
//! The driver alone knows what was written. Asking it about every delivery would double the work, so
//! the engine keeps an upper bound: what was pending at the last measurement and all that was handed
//! over since. It asks again when that bound has come half the way to the limit, and only a measured
//! outbox is called congested, or one whose bound passed the limit between two measurements.
//!
//! A congested connection is owed: of each topic the newest value, kept as the topic's name alone,
//! and of its log everything after the last entry handed over, which the history keeps. Both are
//! handed over, log first, as room appears. So congestion costs a few words per topic, no payloads.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::collections::Table;
use crate::ids::EventId;
use crate::input::Pending;
use crate::limits::Limits;
use crate::time::Timestamp;

/// What a packet may cost beside its payload: event name, `eventId`, frame.
pub(crate) const PACKET_OVERHEAD: u64 = 96;

/// What an answer or another control message is charged at the least.
pub(crate) const CONTROL_BYTES: u64 = 160;

/// Control messages that a congested connection may still be handed before it counts as too slow.
///
/// They are answers to the client's own calls, and the driver's buffer keeps room for them.
pub const CONGESTED_CONTROLS_MAX: u32 = 1_024;

/// A topic as one connection sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum TopicRef {
    Market,
    /// Of the connection's own user.
    Portfolio,
    /// By symbol number.
    Quote(u32),
}

/// One connection's outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outbox {
    /// Never less than what is really pending.
    pub(crate) pending: Pending,
    /// Ask the driver when `pending` comes to this.
    ask_at: Pending,
    pub(crate) congestion: Option<Box<Congestion>>,
    /// The number of the last log entry handed over, or passed over on entering.
    pub(crate) log_sent: u64,
    /// What the client said that it has handled, while this node has not read so far.
    pub(crate) handled: Option<EventId>,
}

/// What there is to know of a connection only while it is congested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Congestion {
    /// When it will have lasted too long.
    pub(crate) until: Timestamp,
    /// Whether it was noted: a replay that goes through at once is none.
    pub(crate) told: bool,
    /// Topics owed, in the order in which they came to be owed.
    pub(crate) topics: Table<TopicRef, ()>,
    pub(crate) log_events: u32,
    pub(crate) log_bytes: u64,
    pub(crate) controls: u32,
    /// Set while the log is being replayed: that part is not charged to the bounds.
    pub(crate) replay: Option<Replay>,
}

/// A replay under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) sent: u64,
    pub(crate) last: EventId,
    /// Whether anything was handed over since the connection's deadline was set.
    pub(crate) moved: bool,
    /// Set while the event behind which it goes on has not arrived: until when it may.
    pub(crate) awaits: Option<Timestamp>,
    /// Whether it begins behind an event that was found, so that nothing is missing.
    pub(crate) complete: bool,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits, log_sent: u64) -> Self {
        let mut outbox = Self {
            pending: Pending::default(),
            ask_at: Pending::default(),
            congestion: None,
            log_sent,
            handled: None,
        };
        outbox.measured(Pending::default(), limits);
        outbox
    }

    /// Whether the client has handled this log event elsewhere.
    pub(crate) fn has_handled(&self, id: EventId) -> bool {
        self.handled
            .is_some_and(|handled| handled.epoch == id.epoch && id <= handled)
    }

    /// Takes a measurement over.
    pub(crate) fn measured(&mut self, pending: Pending, limits: &Limits) {
        self.pending = pending;
        let half_way = |now: u64, max: u64| now + max.saturating_sub(now) / 2;
        self.ask_at = Pending {
            bytes: half_way(pending.bytes, limits.outbox_bytes_max),
            packets: u32::try_from(half_way(
                u64::from(pending.packets),
                u64::from(limits.outbox_packets_max),
            ))
            .unwrap_or(u32::MAX),
        };
    }

    /// Counts one packet as handed over and tells whether it is time to ask.
    pub(crate) fn hand(&mut self, bytes: u64) -> bool {
        self.pending.bytes += bytes;
        self.pending.packets += 1;
        self.pending.bytes >= self.ask_at.bytes || self.pending.packets >= self.ask_at.packets
    }

    /// Whether what is pending, as far as is known, is over the limit.
    pub(crate) fn is_full(&self, limits: &Limits) -> bool {
        self.pending.bytes >= limits.outbox_bytes_max
            || self.pending.packets >= limits.outbox_packets_max
    }

    /// Whether what is owed may be handed over: less than half of the limit is pending.
    pub(crate) fn has_room(&self, limits: &Limits) -> bool {
        self.pending.bytes < limits.outbox_bytes_max.div_ceil(2)
            && self.pending.packets < limits.outbox_packets_max.div_ceil(2)
    }
}

/// How far an outbox must have emptied before what is owed is handed over: a quarter of the limit,
/// so that each time there is at least another quarter of room.
pub(crate) fn watch_at_most(limits: &Limits) -> Pending {
    Pending {
        bytes: limits.outbox_bytes_max / 4,
        packets: limits.outbox_packets_max / 4,
    }
}

/// What all outboxes are measured again after, at the least, when they are near their bound: a 64th
/// of it. Asking at every message then would cost more than the messages.
pub(crate) fn total_step(limits: &Limits) -> u64 {
    (limits.outbox_total_bytes_max / 64).max(1)
}

/// What all outboxes together are brought down to when they are measured above it, so that they are
/// within their bound one step later too.
pub(crate) fn total_ceiling(limits: &Limits) -> u64 {
    limits
        .outbox_total_bytes_max
        .saturating_sub(total_step(limits))
}
