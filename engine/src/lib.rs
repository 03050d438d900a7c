//! The pure state machine behind every decision that Tradewire makes.
//!
//! One function in, effects out: [`Engine::handle`] takes the time and one [`Input`], a fact, and
//! writes [`Effect`]s, orders, into a buffer that the caller owns. The same inputs give the same
//! effects, bit for bit, in production, simulation and replay.
//!
//! ```
//! use tradewire_engine::{BusKind, Config, Delivery, Effect, Effects, Engine, Input};
//! use tradewire_engine::ids::ConnId;
//! use tradewire_engine::limits::Limits;
//! use tradewire_engine::time::Timestamp;
//!
//! let config = Config {
//!     limits: Limits::default(),
//!     delivery: Delivery::All,
//!     bus: BusKind::Embedded,
//!     seed: 7,
//!     instance: 1,
//! };
//! let mut engine = Engine::new(config)?;
//! let mut effects = Effects::new();
//! let conn = ConnId::new(0, 0);
//! engine.handle(Timestamp::ZERO, Input::HandshakeStarted { conn }, &mut effects);
//! assert_eq!(effects.list(), [Effect::AllowHandshake { conn }]);
//! # Ok::<(), tradewire_engine::limits::LimitsError>(())
//! ```
//!
//! Start reading at [`Engine`], then `input.rs` and `effect.rs`: together they are the vocabulary.
//! There is no IO here, no clock, no randomness, no async, no logging, no threads, and nothing that
//! iterates in an order that was not put into it.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::float_arithmetic
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod admission;
mod calls;
mod charges;
mod check;
mod collections;
mod connection;
mod contact;
mod crowd;
mod deadlines;
mod drain;
mod engine;
mod held;
mod history;
mod intake;
mod leaving;
mod log;
mod outbox;
mod publishing;
mod rate;
mod resume;
mod sessions;
mod slots;
mod topics;

pub mod bus;
pub mod effect;
pub mod event;
pub mod ids;
pub mod input;
pub mod limits;
pub mod parse;
pub mod reason;
pub mod time;

pub use contact::Contact;
pub use deadlines::DeadlineKind;
pub use effect::{Effect, Effects};
pub use engine::{BusKind, CheckpointError, Config, Delivery, Engine, Stats};
pub use input::Input;
pub use intake::INTAKE_LEASE;
pub use outbox::CONGESTED_CONTROLS_MAX;
