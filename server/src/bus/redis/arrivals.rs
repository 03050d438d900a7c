//! The way of inputs to the driver.
//!
//! Sending waits for room, and is where the bus's loops may be cut short: what a loop remembers is to
//! change between [`Arrivals::room`] and [`Room::send`], which nothing can come between.

use tokio::sync::mpsc;
use tradewire_engine::Input;

/// The bounded queue to the driver.
#[derive(Clone, Debug)]
pub(super) struct Arrivals(mpsc::Sender<Input>);

/// Room for one input.
#[derive(Debug)]
pub(super) struct Room<'a>(Option<mpsc::Permit<'a, Input>>);

impl Arrivals {
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self(inputs)
    }

    /// Waits for room. When the driver is gone there is always room, and what is sent is dropped.
    pub(super) async fn room(&self) -> Room<'_> {
        Room(self.0.reserve().await.ok())
    }

    /// Sends when there is room.
    pub(super) async fn send(&self, input: Input) {
        self.room().await.send(input);
    }
}

impl Room<'_> {
    pub(super) fn send(self, input: Input) {
        if let Some(room) = self.0 {
            room.send(input);
        }
    }
}
