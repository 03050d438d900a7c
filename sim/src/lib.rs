//! Clusters of Tradewire under faults from a seed, on two levels, and the oracle that judges both.
//!
//! [`engines`] is a cluster of bare engines on a modelled bus, without bytes or async: it searches wide.
//! [`world`] holds real server nodes, clients and publishers on a simulated network ([`net`]) under a
//! simulated clock, with a simulated [`redis`]: the server is the one that production runs, and
//! [`journal::Journal`] is the byte-for-byte log. [`judge`] holds the oracle over it. [`oracle`] knows the
//! guarantees and nothing of how a cluster is made; [`swarm`] runs many seeds. [`shrinking`] makes a run that fails smaller. Every node is recorded
//! ([`recordings`]), and [`trace`] looks at recordings. Everything that a run
//! does follows from its seed.
//!
//! `sim/README.md` lists every source of chance and time, and how each is closed.

mod chance;
mod http_client;
mod metrics_reader;
mod tracing_lines;

pub mod balancer;
pub mod client;
pub mod journal;
pub mod judge;
pub mod net;
pub mod observation;
pub mod publisher;
pub mod recordings;
pub mod redis;
pub mod scenarios;
pub mod shrinking;
pub mod trace;
pub mod world;

pub use http_client::PORT;
pub use tracing_lines::JournalSubscriber;
pub use tradewire_sim_engines::{command, engines, oracle, report, shrink, swarm};
