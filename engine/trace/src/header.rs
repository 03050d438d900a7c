//! What a segment says of itself before anything else.

use serde::{Deserialize, Serialize};
use tradewire_engine::Config;
use tradewire_engine::time::WallTime;

/// Which program made a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version of the package.
    pub version: String,
    /// A hash of the engine's sources: with the same ones, the same inputs give the same effects.
    pub engine: String,
}

impl Build {
    /// This program.
    #[must_use]
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: env!("ENGINE_HASH").to_owned(),
        }
    }
}

/// Whose life of which node a segment is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Which program wrote it.
    pub build: Build,
    /// What the node is called.
    pub node: String,
    /// When this life of the node began.
    pub started: WallTime,
    /// When the segment began.
    pub begun: WallTime,
    /// The segment's number in this life, from 0.
    pub segment: u32,
    /// Whether the texts of payloads were left out.
    pub masked: bool,
    /// How the engine was set up, its seed and the life's number with it.
    pub config: Config,
}
