//! What tests of the simulation share: a network under test and what its hosts noted.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "each test uses a part of it, and one that cannot go on fails"
)]

pub mod rig;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tradewire_sim::journal::{Journal, Memory};
use tradewire_sim::net::stack::{Stack, StackSettings};
use tradewire_sim::net::{Latency, Network};

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A network on which packets take 10 ms, and its journal.
pub fn stack(seed: u64) -> (Stack, Memory) {
    let memory = Memory::default();
    let settings = StackSettings {
        latency: Latency {
            min: millis(10),
            max: millis(10),
        },
        ..StackSettings::default()
    };
    let journal = Journal::new(memory.clone());
    (Stack::new(seed, settings, journal).unwrap(), memory)
}

pub fn run_for(network: &mut impl Network, span: Duration) {
    let until = network.now() + span;
    while network.now() < until {
        network.step();
    }
}

/// Lets time pass until something is so; panics when it does not become so within `limit`.
pub fn run_until(
    network: &mut impl Network,
    limit: Duration,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) {
    let until = network.now() + limit;
    while !is_so() {
        assert!(network.now() < until, "not within {limit:?}: {what}");
        network.step();
    }
}

/// What a host noted, read by the test.
#[derive(Clone, Debug, Default)]
pub struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Notes<T> {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub fn add(&self, note: T) {
        self.0.lock().unwrap().push(note);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
