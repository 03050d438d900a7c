//! What will happen when: a wheel of milliseconds for what is near, a heap for what is far.
//!
//! Events of one millisecond come in the order in which they were planned. Nearly all are near, so
//! planning one and taking it cost next to nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::world::Event;

/// Milliseconds on the wheel.
const NEAR_MS: u64 = 2_048;

/// Events in order.
#[derive(Debug)]
pub(super) struct Agenda {
    /// The millisecond up to which everything was taken.
    at: u64,
    near: Vec<VecDeque<Event>>,
    far: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
}

impl Agenda {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            near: (0..NEAR_MS).map(|_| VecDeque::new()).collect(),
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
            self.near[Self::slot(at)].push_back(event);
        } else {
            self.planned += 1;
            self.far.push(Reverse((at, self.planned, event)));
        }
    }

    /// The first event until `end`, and when it is.
    pub(super) fn take(&mut self, end: u64) -> Option<(u64, Event)> {
        loop {
            if let Some(event) = self.near[Self::slot(self.at)].pop_front() {
                return Some((self.at, event));
            }
            if self.at >= end {
                return None;
            }
            self.at += 1;
            // What was far for that long comes before what is planned from here on.
            let reached = self.at + NEAR_MS - 1;
            while let Some(Reverse((at, _, event))) = self.far.peek().copied()
                && at <= reached
            {
                self.far.pop();
                self.near[Self::slot(at)].push_back(event);
            }
        }
    }
}
