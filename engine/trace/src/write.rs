//! Writing: records into blocks, blocks into segments.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{Effects, Engine, Input};

use crate::bytes::put;
use crate::digest::{Digest, state_digest};
use crate::error::TraceError;
use crate::frame::{Kind, MAGIC, head};
use crate::header::Header;

/// Turns what an engine is given and says into blocks. It only appends to a buffer, so it may stand beside the
/// engine.
#[derive(Debug)]
pub struct Encoder {
    masked: bool,
    digest: Digest,
    seq: u64,
    now: Timestamp,
    block: Vec<u8>,
}

impl Encoder {
    /// An encoder for an engine that was given nothing yet. `masked` leaves the texts of payloads out.
    #[must_use]
    pub fn new(masked: bool) -> Self {
        Self {
            masked,
            digest: Digest::default(),
            seq: 0,
            now: Timestamp::ZERO,
            block: Vec::new(),
        }
    }

    /// Records what the engine is about to be given.
    pub fn input(&mut self, now: Timestamp, input: &Input) {
        self.seq += 1;
        let masked = self.masked;
        let out = &mut self.block;
        // Inputs are plain data: writing them to memory does not fail. If it did, whoever reads the block
        // would be told.
        if out.is_empty() {
            let _ = put(out, &(self.seq, now.as_ms()), false);
            self.now = now;
        }
        let passed = now.as_ms().saturating_sub(self.now.as_ms());
        let _ = put(out, &passed, false);
        let _ = put(out, input, masked);
        self.now = now;
    }

    /// Records what the engine said to it.
    pub fn effects(&mut self, effects: &Effects) {
        self.digest.update(effects);
        self.block
            .extend_from_slice(&self.digest.short().to_le_bytes());
    }

    /// Counts an input that is not recorded. What follows begins with [`Self::start`].
    pub fn skip(&mut self) {
        self.seq += 1;
    }

    /// How large the block has become.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.block.len()
    }

    /// Ends the block, and begins the next in `buffer`, whose contents are discarded.
    pub fn take_block(&mut self, mut buffer: Vec<u8>) -> Vec<u8> {
        buffer.clear();
        std::mem::replace(&mut self.block, buffer)
    }

    /// What a segment that begins here begins with. The block must have been taken.
    #[must_use]
    pub fn start(&self, engine: &Engine, now: Timestamp, lost: u64) -> Start {
        Start {
            engine: engine.clone(),
            mark: Mark {
                seq: self.seq,
                now,
                digest: self.digest.running(),
                lost,
            },
        }
    }
}

/// Where in a recording a segment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The number of the last input before it.
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    pub(crate) digest: u64,
    pub(crate) lost: u64,
}

/// What a segment begins with: the engine as it was.
#[derive(Clone, Debug)]
pub struct Start {
    engine: Engine,
    mark: Mark,
}

impl Start {
    /// Holds the engine's indexes against its state.
    ///
    /// # Errors
    /// Describes the first contradiction.
    pub fn check(&self) -> Result<(), String> {
        self.engine.check()
    }

    /// How the engine was set up.
    #[must_use]
    pub fn config(&self) -> &tradewire_engine::Config {
        self.engine.config()
    }

    /// How many inputs were lost before it.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.mark.lost
    }
}

/// Writes one segment.
#[derive(Debug)]
pub struct Segment<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Segment<W> {
    /// Writes everything that stands before the first block. The state is written in one piece; this takes as
    /// much memory as it has bytes, and time, so it is not for the engine's task.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, header: &Header, start: &Start) -> io::Result<Self> {
        let mut segment = Self { out, bytes: 0 };
        segment.write(&MAGIC)?;
        let mut body = Vec::new();
        put(&mut body, header, false).map_err(unwritable)?;
        segment.frame(Kind::Header, &body)?;
        body.clear();
        let state = state_digest(&start.engine);
        put(&mut body, &(start.mark, state), false).map_err(unwritable)?;
        put(&mut body, &start.engine, header.masked).map_err(unwritable)?;
        segment.frame(Kind::Checkpoint, &body)?;
        Ok(segment)
    }

    /// Writes a block as [`Encoder::take_block`] gave it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn block(&mut self, block: &[u8]) -> io::Result<()> {
        self.frame(Kind::Block, block)
    }

    /// Says that nothing more comes, after the last block.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&mut self) -> io::Result<()> {
        self.frame(Kind::End, &[])?;
        self.out.flush()
    }

    /// How many bytes were written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it writes to.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    fn frame(&mut self, kind: Kind, body: &[u8]) -> io::Result<()> {
        self.write(&head(kind, body).map_err(io::Error::other)?)?;
        self.write(body)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn unwritable(_: postcard::Error) -> io::Error {
    io::Error::other(TraceError::Unwritable)
}
