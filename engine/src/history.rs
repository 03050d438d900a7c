//! The recent log by user, from which a congested or returning connection is served.
//!
//! It keeps what is at most [`Limits::history_max`] old and at most [`Limits::history_bytes_max`] in
//! all, and forgets the oldest first. Entries get a number in the order in which they arrived here, none
//! is left out, and a connection's place in its user's log is the number of the last entry that it was
//! handed.
//!
//! Entries lie in runs that copies of the engine share, so that a copy, which a recording takes now and
//! then on the engine's own task, does not touch each of some hundred thousand entries.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::Table;
use crate::event::LogEntry;
use crate::ids::{EventId, UserId};
use crate::limits::Limits;
use crate::time::Timestamp;

/// How many entries a run has: as many are copied when one is added while a copy is held.
const RUN_ENTRIES: usize = 256;

/// How many bytes a run is charged with, but for its last entry. So much may be held beyond the bound, since
/// a run is let go as a whole.
const RUN_BYTES: u64 = 256 * 1024;

/// What an entry costs beside its payload and its user's name: the entry, its places in two queues, its share of a table.
const ENTRY_OVERHEAD: u64 = 160;

/// A kept entry, its number, and when it arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    at: Timestamp,
    pub(crate) entry: LogEntry,
}

impl Kept {
    /// What the entry is charged to the history.
    pub(crate) fn bytes(&self) -> u64 {
        (self.entry.payload.bytes() + self.entry.user.as_str().len()) as u64 + ENTRY_OVERHEAD
    }
}

/// Entries that arrived one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// The number of the first.
    first: u64,
    entries: Vec<Kept>,
    bytes: u64,
}

/// The recent log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    /// Oldest first; of the first run some entries may be forgotten already.
    runs: VecDeque<Arc<Run>>,
    /// The numbers of each user's entries, oldest first.
    users: Table<UserId, VecDeque<u64>>,
    /// How many entries are kept.
    len: u64,
    bytes: u64,
    last_number: u64,
    /// The newest of all that were kept since the last gap.
    last_id: Option<EventId>,
}

impl History {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            runs: VecDeque::new(),
            users: Table::new(seed),
            len: 0,
            bytes: 0,
            last_number: 0,
            last_id: None,
        }
    }

    /// Keeps an entry and tells its number.
    pub(crate) fn keep(&mut self, now: Timestamp, entry: LogEntry) -> u64 {
        self.last_number += 1;
        self.last_id = Some(entry.id);
        let number = self.last_number;
        self.users
            .get_or_insert_with(entry.user.clone(), VecDeque::new)
            .push_back(number);
        let kept = Kept {
            number,
            at: now,
            entry,
        };
        let bytes = kept.bytes();
        self.bytes += bytes;
        self.len += 1;
        let last = self.runs.back_mut();
        let room = |run: &&mut Arc<Run>| run.entries.len() < RUN_ENTRIES && run.bytes < RUN_BYTES;
        if let Some(run) = last.filter(room) {
            let run = Arc::make_mut(run);
            run.entries.push(kept);
            run.bytes += bytes;
        } else {
            // A busy log fills one run after the other: no use in having each grow.
            let room = self.runs.back().map_or(1, |run| run.entries.len());
            let mut entries = Vec::with_capacity(room);
            entries.push(kept);
            self.runs.push_back(Arc::new(Run {
                first: number,
                entries,
                bytes,
            }));
        }
        number
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.users.clear();
        self.len = 0;
        self.bytes = 0;
        self.last_id = None;
    }

    /// The id of the newest entry since the last gap, whoever's.
    pub(crate) fn last_id(&self) -> Option<EventId> {
        self.last_id
    }

    /// Forgets the oldest entry if it is too old or the history too large.
    pub(crate) fn forget_one(&mut self, now: Timestamp, limits: &Limits) -> Option<Kept> {
        let oldest = self.oldest()?;
        let too_old = now.since(oldest.at) >= limits.history_max;
        if !too_old && self.bytes <= limits.history_bytes_max {
            return None;
        }
        let kept = oldest.clone();
        let log = self.users.get_mut(&kept.entry.user)?;
        log.pop_front();
        if log.is_empty() {
            self.users.remove(&kept.entry.user);
        }
        self.bytes -= kept.bytes();
        self.len -= 1;
        let run = self.runs.front()?;
        if run.entries.last().map(|last| last.number) == Some(kept.number) {
            self.runs.pop_front();
        }
        Some(kept)
    }

    /// When the oldest entry will be too old.
    pub(crate) fn next_expiry(&self, limits: &Limits) -> Option<Timestamp> {
        Some(self.oldest()?.at + limits.history_max)
    }

    /// The number of the newest entry of all.
    pub(crate) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The user's entries after the one numbered `number`, in order.
    pub(crate) fn after(&self, user: &UserId, number: u64) -> impl Iterator<Item = &Kept> {
        let log = self.users.get(user).into_iter();
        log.flat_map(move |log| log.range(log.partition_point(|kept| *kept <= number)..))
            .filter_map(|number| self.numbered(*number))
    }

    /// The number of the user's entry with this id.
    pub(crate) fn number_of(&self, user: &UserId, id: EventId) -> Option<u64> {
        let log = self.users.get(user)?;
        // Newest first: a client that comes back missed little.
        let mut entries = log.iter().rev().filter_map(|number| self.numbered(*number));
        entries
            .find(|kept| kept.entry.id == id)
            .map(|kept| kept.number)
    }

    /// The id of the user's newest entry.
    pub(crate) fn newest_id(&self, user: &UserId) -> Option<EventId> {
        let newest = self.users.get(user)?.back()?;
        Some(self.numbered(*newest)?.entry.id)
    }

    /// Bytes charged for what is kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many entries are kept.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Entries and bytes counted anew by user, for [`crate::Engine::check`].
    pub(crate) fn recount(&self) -> (u64, u64) {
        let oldest = self.oldest().map_or(0, |kept| kept.number);
        let entries = self.users.iter().flat_map(|(user, log)| {
            let kept = log.iter().filter_map(|number| self.numbered(*number));
            kept.filter(move |kept| kept.number >= oldest && kept.entry.user == *user)
        });
        entries.fold((0, 0), |(entries, bytes), kept| {
            (entries + 1, bytes + kept.bytes())
        })
    }

    fn oldest(&self) -> Option<&Kept> {
        if self.len == 0 {
            return None;
        }
        // A checkpoint from outside may hold any figures.
        let number = self.last_number.checked_sub(self.len)? + 1;
        let run = self.runs.front()?;
        let place = usize::try_from(number.checked_sub(run.first)?).ok()?;
        run.entries.get(place)
    }

    fn numbered(&self, number: u64) -> Option<&Kept> {
        let before = self.runs.partition_point(|run| run.first <= number);
        let run = self.runs.get(before.checked_sub(1)?)?;
        let place = usize::try_from(number.checked_sub(run.first)?).ok()?;
        run.entries.get(place)
    }
}
