//! Traces: what an engine was given and a digest of what it said, so that it can be run again, bit for bit.
//!
//! [`Encoder`] turns inputs and effects into blocks of bytes as they happen; [`Segment`] puts blocks
//! behind the state in which they begin. [`Trace`] reads a segment, and [`Replay`] runs it and compares.
//! Production and simulation record with the same code. Nothing here opens files, reads clocks or starts
//! threads.
//!
//! # The format
//!
//! A recording is a row of segments, each a file that can be read and replayed alone:
//!
//! ```text
//! magic      "TWTRACE", then the version of the format, one byte: 1
//! frame      header       node, build, life, configuration, whether texts were left out
//! frame      checkpoint   seq, now, digest, state digest, lost; then the whole engine
//! frame*     block        seq and now of its first record; then records
//! frame?     end          empty: the segment was closed
//! ```
//!
//! A frame is its kind (1 byte), the length of its body (4), the checksum of its body (4), the checksum
//! of these nine bytes (4), and its body; numbers are little-endian, checksums the low half of XXH3-64.
//! Within bodies values are written by postcard, numbers as variable-length ones.
//!
//! A record is the time since the record before it in milliseconds, the input, and the low half of the
//! running digest after its effects (4 bytes). A record at the end of a block may lack its digest: the
//! engine did not come back from that input. Records are numbered in order, so their numbers are not
//! written. A checkpoint says how many inputs were lost before it (`lost`): the disk was too slow.
//!
//! The digest is of the effects' kinds, ids, figures, recipients, and of the lengths and hashes of
//! payloads; so is that of the state. Both are the same whether the texts of payloads were left out or not.

#![forbid(unsafe_code)]

mod bytes;
mod digest;
mod error;
mod frame;
mod header;
mod mask;
mod read;
mod replay;
mod write;

pub use digest::{Digest, state_digest};
pub use error::TraceError;
pub use header::{Build, Header};
pub use read::{Ending, Step, Trace};
pub use replay::{Replay, ReplayError};
pub use write::{Encoder, Segment, Start};
