//! What was there before the latest writes, so that a stop can lose them.
//!
//! Kept for a bounded time, in slices of time: of a slice, only what a key was at its beginning.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::keyspace::Entry;

/// Writes within one slice are lost together.
const SLICE: Duration = Duration::from_millis(10);

/// A database's number and a key in it.
pub(super) type Place = (usize, Bytes);

/// Undoes the latest writes.
#[derive(Debug)]
pub(super) struct Journal {
    /// How long a write can be undone.
    keeps: Duration,
    slices: VecDeque<Slice>,
}

#[derive(Debug)]
struct Slice {
    begun: Instant,
    before: BTreeMap<Place, Option<Entry>>,
}

impl Journal {
    pub(super) fn new(keeps: Duration) -> Self {
        Self {
            keeps,
            slices: VecDeque::new(),
        }
    }

    /// Remembers what is at `place`, which is about to change.
    pub(super) fn note(&mut self, place: Place, before: impl FnOnce() -> Option<Entry>) {
        if self.keeps.is_zero() {
            return;
        }
        let now = Instant::now();
        if self
            .slices
            .back()
            .is_none_or(|slice| slice.begun + SLICE <= now)
        {
            while self
                .slices
                .front()
                .is_some_and(|slice| slice.begun + SLICE + self.keeps < now)
            {
                self.slices.pop_front();
            }
            self.slices.push_back(Slice {
                begun: now,
                before: BTreeMap::new(),
            });
        }
        if let Some(slice) = self.slices.back_mut() {
            slice.before.entry(place).or_insert_with(before);
        }
    }

    /// What was where before the writes of the last `span`, each place once.
    pub(super) fn undo(&mut self, span: Duration) -> BTreeMap<Place, Option<Entry>> {
        let now = Instant::now();
        let mut undone = BTreeMap::new();
        while let Some(slice) = self.slices.pop_back() {
            if slice.begun + span < now {
                self.slices.push_back(slice);
                break;
            }
            undone.extend(slice.before);
        }
        undone
    }

    pub(super) fn clear(&mut self) {
        self.slices.clear();
    }
}
