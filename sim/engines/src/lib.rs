//! The part of the simulation that needs no server: clusters of bare engines, the oracle that judges
//! every level, and swarms.
//!
//! It is a package of its own so that a change of the engine is searched for bugs without building the
//! server. It must never depend on the server, on async or on bytes; what does is in `tradewire-sim`,
//! which offers all of this under its own name.

pub mod command;
pub mod engines;
pub mod oracle;
pub mod report;
pub mod shrink;
pub mod swarm;
