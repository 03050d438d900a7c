//! What will happen when: a wheel of milliseconds for what is near, a heap for what is far.
//!
//! Events of one millisecond come in the order in which they were planned. Nearly all are near, so
//! planning one and taking it cost next to nothing, and neither do milliseconds in which nothing happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::world::Event;

/// Milliseconds on the wheel; a multiple of the bits of a word.
const NEAR_MS: u64 = 2_048;

/// Words with a bit for each millisecond on the wheel.
const WORDS: usize = NEAR_MS as usize / u64::BITS as usize;

/// No entry.
const NONE: u32 = u32::MAX;

/// Events in order.
#[derive(Debug)]
pub(super) struct Agenda {
    /// The millisecond up to which everything was taken.
    at: u64,
    /// By millisecond: the first of its entries and the last.
    near: Vec<(u32, u32)>,
    /// Which milliseconds have any.
    filled: [u64; WORDS],
    /// Events with the entry that follows in the same millisecond. All of them in one place that is used
    /// again at once stay in the processor's cache.
    entries: Vec<(Event, u32)>,
    /// The first entry that is free; the others follow.
    free: u32,
    far: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
}

impl Agenda {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            near: vec![(NONE, NONE); NEAR_MS as usize],
            filled: [0; WORDS],
            entries: Vec::new(),
            free: NONE,
            far: BinaryHeap::new(),
            planned: 0,
        }
    }

    fn slot(at: u64) -> usize {
        usize::try_from(at % NEAR_MS).unwrap_or(0)
    }

    /// Plans an event for a time that is not past.
    pub(super) fn plan(&mut self, at: u64, event: Event) {
        if at < self.at + NEAR_MS {
            self.put(Self::slot(at), event);
        } else {
            self.planned += 1;
            self.far.push(Reverse((at, self.planned, event)));
        }
    }

    fn put(&mut self, slot: usize, event: Event) {
        let entry = self.free;
        let entry = if entry == NONE {
            self.entries.push((event, NONE));
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        } else {
            let place = &mut self.entries[entry as usize];
            self.free = core::mem::replace(place, (event, NONE)).1;
            entry
        };
        let (first, last) = &mut self.near[slot];
        if *first == NONE {
            *first = entry;
            self.filled[slot / 64] |= 1 << (slot % 64);
        } else {
            self.entries[*last as usize].1 = entry;
        }
        *last = entry;
    }

    fn pop(&mut self, slot: usize) -> Option<Event> {
        let first = &mut self.near[slot].0;
        let entry = *first;
        if entry == NONE {
            return None;
        }
        let (event, next) = &mut self.entries[entry as usize];
        *first = core::mem::replace(next, self.free);
        self.free = entry;
        if *first == NONE {
            self.filled[slot / 64] &= !(1 << (slot % 64));
        }
        Some(*event)
    }

    /// The next millisecond with an event on the wheel.
    fn next_near(&self) -> Option<u64> {
        let from = Self::slot(self.at);
        let (word, bit) = (from / 64, from % 64);
        let first = self.filled[word] >> bit;
        if first != 0 {
            return Some(self.at + u64::from(first.trailing_zeros()));
        }
        let begin = self.at + 64 - bit as u64;
        // The last word is the first one again: its lower bits are a round later.
        (0..WORDS).find_map(|turn| {
            let filled = self.filled[(word + 1 + turn) % WORDS];
            (filled != 0).then(|| begin + 64 * turn as u64 + u64::from(filled.trailing_zeros()))
        })
    }

    /// The first event until `end`, and when it is.
    pub(super) fn take(&mut self, end: u64) -> Option<(u64, Event)> {
        loop {
            if let Some(event) = self.pop(Self::slot(self.at)) {
                return Some((self.at, event));
            }
            if self.at >= end {
                return None;
            }
            let far = self.far.peek().map(|Reverse((at, ..))| *at);
            let next = self.next_near().into_iter().chain(far).min();
            self.at = next.map_or(end, |at| at.min(end));
            // What was far for that long comes before what is planned from here on.
            while let Some(Reverse((at, _, event))) = self.far.peek().copied()
                && at < self.at + NEAR_MS
            {
                self.far.pop();
                self.put(Self::slot(at), event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was planned comes in the order of time, then of planning, wherever it waited meanwhile.
    #[test]
    fn events_come_in_order_from_the_wheel_and_from_afar() {
        let mut agenda = Agenda::new();
        let mut number = 0;
        let mut expected = Vec::new();
        let mut taken = Vec::new();
        let mut plan = |agenda: &mut Agenda, at: u64| {
            agenda.plan(at, Event::TroubleEnds(number));
            expected.push((at, number));
            number += 1;
        };
        for at in [5_000, 3, 2_047, 2_048, 3, 100_000, 2_049, 5_000, 63, 64] {
            plan(&mut agenda, at);
        }
        while let Some((at, Event::TroubleEnds(number))) = agenda.take(200_000) {
            taken.push((at, number));
            if number < 30 {
                // At once, soon, on the wheel's last millisecond, just beyond it, and far.
                for ms in [0, 1, NEAR_MS - 1, NEAR_MS, 3_001] {
                    plan(&mut agenda, at + ms);
                }
            }
        }
        expected.sort_unstable();
        assert_eq!(taken, expected);
        assert!(taken.len() > 100);
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut agenda = Agenda::new();
        agenda.plan(10, Event::Second);
        assert_eq!(agenda.take(9), None);
        agenda.plan(9, Event::TroubleEnds(0));
        assert_eq!(agenda.take(9), Some((9, Event::TroubleEnds(0))));
        assert_eq!(agenda.take(9), None);
        assert_eq!(agenda.take(u64::MAX), Some((10, Event::Second)));
    }
}
