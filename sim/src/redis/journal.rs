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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::keyspace::Value;
    use super::*;

    fn place(key: &'static str) -> Place {
        (0, Bytes::from_static(key.as_bytes()))
    }

    fn entry(text: &'static str) -> Option<Entry> {
        let value = Value::Text(Bytes::from_static(text.as_bytes()));
        let expires = None;
        Some(Entry { value, expires })
    }

    fn undone(journal: &mut Journal, span: Duration) -> Vec<(Place, Option<Bytes>)> {
        let text = |entry: Entry| match entry.value {
            Value::Text(text) => text,
            Value::Hash(_) | Value::List(_) | Value::Stream(_) => Bytes::new(),
        };
        let undone = journal.undo(span).into_iter();
        undone
            .map(|(place, before)| (place, before.map(text)))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_key_the_oldest_text_within_the_span_comes_back() {
        let mut journal = Journal::new(Duration::from_secs(10));
        for before in [None, entry("1"), entry("2"), entry("3")] {
            journal.note(place("a"), || before);
            advance(Duration::from_secs(1)).await;
        }
        journal.note(place("b"), || None);
        let expected = [
            (place("a"), Some(Bytes::from_static(b"2"))),
            (place("b"), None),
        ];
        assert_eq!(undone(&mut journal, Duration::from_millis(2_500)), expected);
        // Those are gone; the older ones are still there.
        let rest = [(place("a"), None)];
        assert_eq!(undone(&mut journal, Duration::from_secs(10)), rest);
    }

    #[tokio::test(start_paused = true)]
    async fn it_forgets_what_is_older_than_it_keeps() {
        let mut journal = Journal::new(Duration::from_secs(1));
        journal.note(place("a"), || None);
        advance(Duration::from_secs(2)).await;
        journal.note(place("b"), || None);
        assert_eq!(journal.slices.len(), 1);
        let mut none = Journal::new(Duration::ZERO);
        none.note(place("a"), || None);
        assert!(none.slices.is_empty());
    }
}
