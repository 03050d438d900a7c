//! Reading a segment: its header, its checkpoint, and one record after the other.
//!
//! It believes nothing: every length is held against the bytes that are there, and every value is
//! parsed. It never panics on what it is given.

use tradewire_engine::Input;
use tradewire_engine::time::Timestamp;

use crate::bytes::take;
use crate::error::TraceError;
use crate::frame::{Frame, Frames, Kind, Next};
use crate::header::Header;
use crate::write::Mark;

/// A segment that is being read.
#[derive(Debug)]
pub struct Trace<'a> {
    header: Header,
    mark: Mark,
    state: u64,
    engine: Frame<'a>,
    frames: Frames<'a>,
    /// What is left of the block.
    block: Frame<'a>,
    seq: u64,
    now: Timestamp,
    ending: Option<Ending>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number in this life of the node, from 1.
    pub seq: u64,
    /// When it was.
    pub now: Timestamp,
    /// What the engine was given.
    pub input: Input,
    /// The low half of the digest after its effects; none if the engine did not come back.
    pub digest: Option<u32>,
    /// Where it stands in the file.
    pub offset: usize,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was closed.
    Closed,
    /// It was not closed: it is still being written, or its writer was killed. Its last block is whole.
    Open,
    /// Its writer was stopped while it wrote a block; that block was cut off.
    Torn {
        /// Where the block begins.
        offset: usize,
        /// How much there is of it.
        bytes: usize,
    },
}

impl<'a> Trace<'a> {
    /// Reads the header and finds the checkpoint.
    ///
    /// # Errors
    /// When the bytes are not a segment that this program reads, or are damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, TraceError> {
        let mut frames = Frames::new(bytes)?;
        let frame = expect(&mut frames, Kind::Header)?;
        let unreadable = |frame: &Frame<'_>, what| TraceError::Corrupt {
            offset: frame.offset,
            what,
        };
        let mut body = frame.body;
        let header: Header =
            take(&mut body).map_err(|_| unreadable(&frame, "the header cannot be read"))?;
        let mut engine = expect(&mut frames, Kind::Checkpoint)?;
        let len = engine.body.len();
        let (mark, state): (Mark, u64) = take(&mut engine.body)
            .map_err(|_| unreadable(&engine, "the checkpoint's head cannot be read"))?;
        engine.offset += len - engine.body.len();
        Ok(Self {
            header,
            mark,
            state,
            engine,
            block: Frame {
                kind: Kind::Block,
                body: &[],
                offset: frames.offset(),
            },
            frames,
            seq: mark.seq,
            now: mark.now,
            ending: None,
        })
    }

    /// What the segment says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the last record that was read, or that comes before the segment.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// When that was.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many inputs before the segment were not recorded, because the disk was too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.mark.lost
    }

    /// The digest of the state in which it begins.
    #[must_use]
    pub fn state(&self) -> u64 {
        self.state
    }

    /// How it ends, once [`Self::next_step`] has found its end.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    pub(crate) fn digest(&self) -> u64 {
        self.mark.digest
    }

    /// The engine's bytes.
    pub(crate) fn engine(&self) -> Frame<'a> {
        self.engine
    }

    /// The next record; none at the end, which [`Self::ending`] describes.
    ///
    /// # Errors
    /// When the file is damaged here.
    pub fn next_step(&mut self) -> Result<Option<Step>, TraceError> {
        if self.ending.is_some() {
            return Ok(None);
        }
        while self.block.body.is_empty() {
            let (offset, bytes) = (self.frames.offset(), self.frames.left());
            let frame = match self.frames.next()? {
                Next::Frame(frame) => frame,
                Next::Over => return Ok(self.end(Ending::Open)),
                Next::Torn => return Ok(self.end(Ending::Torn { offset, bytes })),
            };
            match frame.kind {
                Kind::Block => self.enter(frame)?,
                Kind::End if self.frames.left() == 0 => return Ok(self.end(Ending::Closed)),
                Kind::End => return Err(corrupt(offset, "something follows the end mark")),
                Kind::Header | Kind::Checkpoint => {
                    return Err(corrupt(offset, "a segment begins within another"));
                }
            }
        }
        self.record().map(Some)
    }

    fn end(&mut self, ending: Ending) -> Option<Step> {
        self.ending = Some(ending);
        None
    }

    fn enter(&mut self, frame: Frame<'a>) -> Result<(), TraceError> {
        self.block = frame;
        let (seq, now): (u64, Timestamp) = self.take("a block's beginning cannot be read")?;
        if seq.checked_sub(1) != Some(self.seq) {
            return Err(corrupt(frame.offset, "a block is missing before this one"));
        }
        if now < self.now {
            return Err(corrupt(frame.offset, "time goes back"));
        }
        self.now = now;
        Ok(())
    }

    fn record(&mut self) -> Result<Step, TraceError> {
        let offset = self.block.offset;
        let passed: u64 = self.take("a record's time cannot be read")?;
        let now = self.now.as_ms().checked_add(passed);
        let now = now.ok_or_else(|| corrupt(offset, "a record's time is out of range"))?;
        let input = self.take("a record's input cannot be read")?;
        let digest = match self.block.body.split_first_chunk::<4>() {
            Some((digest, rest)) => {
                self.block.body = rest;
                self.block.offset += digest.len();
                Some(u32::from_le_bytes(*digest))
            }
            None if self.block.body.is_empty() => None,
            None => return Err(corrupt(self.block.offset, "a digest is cut short")),
        };
        self.now = Timestamp::from_ms(now);
        self.seq += 1;
        Ok(Step {
            seq: self.seq,
            now: self.now,
            input,
            digest,
            offset,
        })
    }

    fn take<T: serde::Deserialize<'a>>(&mut self, what: &'static str) -> Result<T, TraceError> {
        let len = self.block.body.len();
        let offset = self.block.offset;
        let value = take(&mut self.block.body).map_err(|_| corrupt(offset, what))?;
        self.block.offset += len - self.block.body.len();
        Ok(value)
    }
}

fn corrupt(offset: usize, what: &'static str) -> TraceError {
    TraceError::Corrupt { offset, what }
}

fn expect<'a>(frames: &mut Frames<'a>, kind: Kind) -> Result<Frame<'a>, TraceError> {
    let offset = frames.offset();
    match frames.next()? {
        Next::Frame(frame) if frame.kind == kind => Ok(frame),
        Next::Frame(_) => Err(corrupt(
            offset,
            "a segment begins with a header and a checkpoint",
        )),
        Next::Over | Next::Torn => Err(TraceError::Empty),
    }
}
