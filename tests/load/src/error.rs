//! What can go wrong with a run, with what to do about it.

use std::io;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The server did not take a client.
    #[error("client {client} could not connect: {why}")]
    Connect {
        /// Its number.
        client: usize,
        /// What the server did.
        why: String,
    },
    /// Histogram bounds, which are ours.
    #[error("histogram: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// The network or a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The report could not be written as JSON.
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
    /// Nothing is known of the server's process.
    #[error("process {pid} cannot be looked at ({why}): give the server's process id with --pid")]
    Process {
        /// Which.
        pid: u32,
        /// Why not.
        why: String,
    },
    /// A publish was not taken.
    #[error("publish answered {0}: is --token the server's PUBLISH_TOKEN?")]
    Publish(String),
}
