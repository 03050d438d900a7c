//! The bus of a single node: the engine crate's own, called in place.

use std::collections::VecDeque;

use tradewire_engine::Input;
use tradewire_engine::bus::{BusLimits, BusRequest, EmbeddedBus};
use tradewire_engine::ids::Epoch;
use tradewire_engine::time::Timestamp;

use super::Bus;

/// The embedded bus.
#[derive(Debug)]
pub(crate) struct Embedded(EmbeddedBus);

impl Embedded {
    /// An empty bus; `epoch` must be random, since its data lives as long as the process.
    pub(crate) fn new(epoch: u64, seed: u64) -> Self {
        Self(EmbeddedBus::new(
            BusLimits::default(),
            Epoch::new(epoch),
            seed,
        ))
    }
}

impl Bus for Embedded {
    fn submit(&mut self, now: Timestamp, request: BusRequest, answers: &mut VecDeque<Input>) {
        self.0.handle(now, request, answers);
    }
}
