//! The real server in a deterministic cluster simulation.
//!
//! [`world::World`] holds server nodes, clients and publishers on a simulated network ([`net`]) under a
//! simulated clock. Everything that a run does follows from its seed; [`journal::Journal`] is the
//! byte-for-byte log of it. The server is the one that production runs.
//!
//! `sim/README.md` lists every source of chance and time, and how each is closed.

mod http_client;
mod tracing_lines;

pub mod balancer;
pub mod client;
pub mod journal;
pub mod net;
pub mod observation;
pub mod publisher;
pub mod redis;
pub mod scenarios;
pub mod world;

pub use http_client::PORT;
pub use tracing_lines::JournalSubscriber;
