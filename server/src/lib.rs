//! A Socket.IO server for live trading dashboards.
//!
//! The server moves bytes, asks the engine, and does what it says. [`run`] is
//! handed its network, clock, seeds and shutdown, so that production and simulation run the same code.
//!
//! `gate` → socketioxide → `gateway` → `driver` → engine → `perform` → socketioxide is the way of a
//! client's event; `http/publish` → `driver` → engine → `bus` → engine → `perform` that of a publish.

mod accept;
mod bus;
mod driver;
mod frames;
mod gate;
mod gateway;
mod http;
mod inbox;
mod link;
mod metrics;
mod notes;
mod perform;
mod queue;
pub mod recorder;
mod redis;
mod rounds;
mod sessions;
mod stream;
mod wire;

pub mod clock;
pub mod config;
pub mod cookie;
pub mod demo;
pub mod doctor;
pub mod logging;
pub mod net;
pub mod origin;
mod run;

pub use run::{Handles, Seeds, Shutdown, StartError, run};
