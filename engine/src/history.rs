//! The recent log by user, from which a congested or returning connection is served.
//!
//! It keeps what is at most [`Limits::history_max`] old and at most [`Limits::history_bytes_max`] in
//! all, and forgets the oldest first. Entries get a number in the order in which they arrived here;
//! a connection's place in its user's log is the number of the last entry that it was handed.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::collections::Table;
use crate::event::LogEntry;
use crate::ids::{EventId, UserId};
use crate::limits::Limits;
use crate::time::Timestamp;

/// What an entry costs beside its payload and its user's name: the entry, its places in two queues, its share of a table.
const ENTRY_OVERHEAD: u64 = 160;

/// A kept entry and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    pub(crate) entry: LogEntry,
}

impl Kept {
    /// What the entry is charged to the history.
    pub(crate) fn bytes(&self) -> u64 {
        (self.entry.payload.bytes() + self.entry.user.as_str().len()) as u64 + ENTRY_OVERHEAD
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Arrival {
    at: Timestamp,
    user: UserId,
}

/// The recent log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    users: Table<UserId, VecDeque<Kept>>,
    arrivals: VecDeque<Arrival>,
    bytes: u64,
    last_number: u64,
    /// The newest of all that were kept since the last gap.
    last_id: Option<EventId>,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            users: Table::new(seed),
            arrivals: VecDeque::new(),
            bytes: 0,
            last_number: 0,
            last_id: None,
        }
    }

    /// Keeps an entry and tells its number.
    pub(crate) fn keep(&mut self, now: Timestamp, entry: LogEntry) -> u64 {
        self.last_number += 1;
        self.last_id = Some(entry.id);
        let user = entry.user.clone();
        let kept = Kept {
            number: self.last_number,
            entry,
        };
        self.bytes += kept.bytes();
        self.users
            .get_or_insert_with(user.clone(), VecDeque::new)
            .push_back(kept);
        self.arrivals.push_back(Arrival { at: now, user });
        self.last_number
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.users.clear();
        self.arrivals.clear();
        self.bytes = 0;
        self.last_id = None;
    }

    /// The id of the newest entry since the last gap, whoever's.
    pub(crate) fn last_id(&self) -> Option<EventId> {
        self.last_id
    }

    /// Forgets the oldest entry if it is too old or the history too large.
    pub(crate) fn forget_one(&mut self, now: Timestamp, limits: &Limits) -> Option<Kept> {
        let oldest = self.arrivals.front()?;
        let too_old = now.since(oldest.at) >= limits.history_max;
        if !too_old && self.bytes <= limits.history_bytes_max {
            return None;
        }
        let Arrival { user, .. } = self.arrivals.pop_front()?;
        let log = self.users.get_mut(&user)?;
        let kept = log.pop_front()?;
        if log.is_empty() {
            self.users.remove(&user);
        }
        self.bytes -= kept.bytes();
        Some(kept)
    }

    /// When the oldest entry will be too old.
    pub(crate) fn next_expiry(&self, limits: &Limits) -> Option<Timestamp> {
        Some(self.arrivals.front()?.at + limits.history_max)
    }

    /// The number of the newest entry of all.
    pub(crate) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The user's entries after the one numbered `number`, in order.
    pub(crate) fn after(&self, user: &UserId, number: u64) -> impl Iterator<Item = &Kept> {
        let log = self.users.get(user).into_iter();
        log.flat_map(move |log| log.range(log.partition_point(|kept| kept.number <= number)..))
    }

    /// The number of the user's entry with this id.
    pub(crate) fn number_of(&self, user: &UserId, id: EventId) -> Option<u64> {
        let log = self.users.get(user)?;
        // Newest first: a client that comes back missed little.
        log.iter()
            .rev()
            .find(|kept| kept.entry.id == id)
            .map(|kept| kept.number)
    }

    /// The id of the user's newest entry.
    pub(crate) fn newest_id(&self, user: &UserId) -> Option<EventId> {
        Some(self.users.get(user)?.back()?.entry.id)
    }

    /// Bytes charged for what is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many entries are kept.
    pub(crate) fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Entries and bytes counted anew, for [`crate::Engine::check`].
    pub(crate) fn recount(&self) -> (usize, u64) {
        self.users
            .iter()
            .flat_map(|(_, log)| log)
            .fold((0, 0), |(entries, bytes), kept| {
                (entries + 1, bytes + kept.bytes())
            })
    }
}
