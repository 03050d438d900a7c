//! Why a trace cannot be read or written.

use tradewire_engine::CheckpointError;

use crate::header::Build;

/// Why a trace cannot be read or written. Offsets are in bytes from the beginning of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The file was damaged, or made by someone else.
    #[error("damaged at byte {offset}: {what}; what comes before can be used")]
    Corrupt {
        /// Where.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The writer was stopped before it had written the first state.
    #[error("it ends before its first checkpoint: nothing was recorded in it yet")]
    Empty,
    /// Another program's file, or none of a program.
    #[error("not a Tradewire trace: it does not begin with TWTRACE")]
    NotATrace,
    /// The state it begins with cannot be used.
    #[error("the checkpoint at byte {offset} cannot be used: {error}{}", of(.build))]
    Restore {
        /// Where.
        offset: usize,
        /// Why not.
        error: CheckpointError,
        /// By whom it was written.
        build: Box<Build>,
    },
    /// More than a frame holds.
    #[error("the state is too large for a trace: 4 GiB at most")]
    Unwritable,
    /// Another version's file.
    #[error(
        "format {found}, and this program reads format {known}: use the program that recorded it"
    )]
    Version {
        /// The file's.
        found: u8,
        /// This program's.
        known: u8,
    },
}

/// Who wrote it, if it was not this program.
fn of(build: &Build) -> String {
    let this = Build::this();
    if *build == this {
        String::new()
    } else {
        format!(
            " (written by version {}, engine {}; this is version {}, engine {})",
            build.version, build.engine, this.version, this.engine
        )
    }
}
