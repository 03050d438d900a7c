//! The real server in a deterministic cluster simulation, and the parts of its world.

pub mod redis;
