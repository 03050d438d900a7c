//! A cluster of bare engines on a modelled bus: no bytes, no async, one queue of events in simulated
//! milliseconds, everything from one seed. It searches wide; that the server drives the engine as this
//! does is for the full stack to prove.
//!
//! What the driver does is in `node` and `wires`, what lies between a node and the bus in
//! `contact` and `reader`, what stock clients and publishers do in `tabs` and `publishers`, and
//! what goes wrong in `faults`.

#![allow(
    clippy::indexing_slicing,
    reason = "ids are dense and given out by the run itself: a wrong one must stop it"
)]

mod agenda;
mod bus;
mod contact;
pub mod decisions;
mod faults;
mod names;
mod node;
mod plan;
mod publishers;
mod random;
mod reader;
mod script;
mod store;
mod story;
mod strays;
mod tabs;
mod wires;
mod words;
mod world;

use core::time::Duration;

use crate::oracle::{Situations, Violation};

pub(crate) use script::{Act, Client, Content, Does, Wish};
pub use script::{Script, ScriptError};
pub use story::Story;

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub verdict: Result<(), Violation>,
    /// What came about.
    pub situations: Situations,
    /// How many inputs the engines were given.
    pub inputs: u64,
    /// How much time passed in the simulation.
    pub simulated_ms: u64,
}

/// Runs a script.
#[must_use]
pub fn run(script: Script, story: Story<'_>) -> Outcome {
    world::World::new(script, story).run()
}

/// Whole milliseconds of a span.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
