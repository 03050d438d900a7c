//! The flight recorder: everything that the engine is given, and a digest of what it says, as a trace.
//!
//! It stands beside the engine in the driver and only appends to a buffer; full buffers go to a
//! [`TraceSink`] that writes them elsewhere. The server never waits for it: when the sink has no room,
//! the trace has a hole, which is told, and goes on with a new segment. A trace that is readable at any
//! moment needs a buffer handed over at least every second.

mod files;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_engine::{Effects, Engine, Input};
use tradewire_trace::{Build, Encoder, Header, Start};

use crate::clock::Clock;
use crate::metrics::Metrics;

pub use files::{FileSink, FilesError, Keeper};

/// How large a block becomes before it is handed over.
const BLOCK_BYTES: usize = 64 * 1024;

/// Room for a block and what its last record has beyond that, so that a block is rarely moved to grow.
const BLOCK_ROOM: usize = BLOCK_BYTES + BLOCK_BYTES / 8;

/// How long a record may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// How long after a hole a new segment is begun. Each one takes a copy of the engine's state, so a disk
/// that stays too slow must not be asked too often.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A piece of a recording.
#[derive(Debug)]
pub enum Chunk {
    /// A new segment begins; the one before, if any, ends.
    Begin(Box<Header>, Box<Start>),
    /// More of the segment.
    Block(Vec<u8>),
    /// The segment ends.
    End,
}

/// Where a recording goes.
pub trait TraceSink: Send {
    /// Whether it would take a chunk now.
    fn has_room(&self) -> bool;

    /// Takes a chunk, unless it has no room or cannot write: then the chunk is gone, and the answer is no.
    /// Never waits.
    fn offer(&mut self, chunk: Chunk) -> bool;

    /// Writes what it was offered, if that takes no longer than a moment.
    fn finish(&mut self);
}

/// How a server is recorded.
pub struct Recording {
    /// Where it goes.
    pub sink: Box<dyn TraceSink>,
    /// What the node is called in it.
    pub node: String,
    /// Leave the texts of payloads out: their lengths and hashes stay.
    pub masked: bool,
    /// How large a segment becomes, without the state that it begins with.
    pub segment_bytes_max: u64,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// What there is of the recording.
enum State {
    /// A segment is open, and has this many bytes.
    Open { bytes: u64 },
    /// The next input begins a segment.
    Due,
    /// The sink had no room: as many inputs were lost since, and at that time there may be room.
    Hole { lost: u64, retry_at: Timestamp },
}

/// The recorder of one engine.
pub(crate) struct Recorder<C> {
    recording: Recording,
    encoder: Encoder,
    clock: C,
    metrics: Arc<Metrics>,
    started: WallTime,
    segment: u32,
    state: State,
    /// Inputs in the block.
    inputs: u64,
    /// When what is in the block is to be handed over.
    flush_at: Option<Timestamp>,
}

impl<C: Clock> Recorder<C> {
    pub(crate) fn new(recording: Recording, clock: C, metrics: Arc<Metrics>) -> Self {
        Self {
            encoder: Encoder::new(recording.masked),
            started: clock.wall(),
            recording,
            clock,
            metrics,
            segment: 0,
            state: State::Due,
            inputs: 0,
            flush_at: None,
        }
    }

    /// Records what the engine is about to be given.
    pub(crate) fn input(&mut self, now: Timestamp, input: &Input, engine: &Engine) {
        match self.state {
            State::Open { .. } => {}
            State::Due => self.begin(now, engine, 0),
            State::Hole { lost, retry_at } => {
                if now >= retry_at {
                    self.begin(now, engine, lost);
                }
            }
        }
        match &mut self.state {
            State::Open { .. } => {
                self.encoder.input(now, input);
                self.inputs += 1;
            }
            State::Due => {}
            State::Hole { lost, .. } => {
                *lost += 1;
                self.encoder.skip();
                self.metrics.record.lost.inc();
            }
        }
    }

    /// Records what it said.
    pub(crate) fn effects(&mut self, now: Timestamp, effects: &Effects) {
        if !matches!(self.state, State::Open { .. }) {
            return;
        }
        self.encoder.effects(effects);
        if self.encoder.block_bytes() >= BLOCK_BYTES {
            self.flush(now);
        } else if self.flush_at.is_none() {
            self.flush_at = Some(now + FLUSH_EVERY);
        }
    }

    /// When [`Self::flush`] is to be called.
    pub(crate) fn flush_at(&self) -> Option<Timestamp> {
        self.flush_at
    }

    /// Hands over what was recorded.
    pub(crate) fn flush(&mut self, now: Timestamp) {
        self.flush_at = None;
        let State::Open { bytes } = self.state else {
            return;
        };
        let size = self.encoder.block_bytes();
        if size == 0 {
            return;
        }
        let block = self.encoder.take_block(Vec::with_capacity(BLOCK_ROOM));
        let inputs = std::mem::take(&mut self.inputs);
        if self.recording.sink.offer(Chunk::Block(block)) {
            let bytes = bytes + size as u64;
            self.metrics.record.bytes.inc_by(size as u64);
            self.state = if bytes < self.recording.segment_bytes_max {
                State::Open { bytes }
            } else {
                State::Due
            };
        } else {
            self.metrics.record.lost.inc_by(inputs);
            self.hole(now, inputs);
        }
    }

    /// Ends the recording.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        self.flush(now);
        if matches!(self.state, State::Open { .. } | State::Due) {
            // If there is no room, the segment has no end mark.
            self.recording.sink.offer(Chunk::End);
        }
        self.recording.sink.finish();
    }

    fn begin(&mut self, now: Timestamp, engine: &Engine, lost: u64) {
        let taken = self.recording.sink.has_room() && {
            let before = self.clock.precise();
            let start = Box::new(self.encoder.start(engine, now, lost));
            self.metrics.record.paused(before.elapsed());
            let header = Box::new(Header {
                build: Build::this(),
                node: self.recording.node.clone(),
                started: self.started,
                begun: self.clock.wall(),
                segment: self.segment,
                masked: self.recording.masked,
                config: engine.config().clone(),
            });
            self.recording.sink.offer(Chunk::Begin(header, start))
        };
        if taken {
            self.segment += 1;
            self.metrics.record.segments.inc();
            self.state = State::Open { bytes: 0 };
        } else {
            self.hole(now, lost);
        }
    }

    fn hole(&mut self, now: Timestamp, lost: u64) {
        if !matches!(self.state, State::Hole { .. }) {
            self.metrics.record.holes.inc();
            tracing::warn!("the recording has a hole: it is not written as fast as it grows");
        }
        self.state = State::Hole {
            lost,
            retry_at: now + RETRY_AFTER,
        };
    }
}

impl<C> Drop for Recorder<C> {
    /// What was recorded is written also when the engine gave up: it shows why.
    fn drop(&mut self) {
        let block = self.encoder.take_block(Vec::new());
        if matches!(self.state, State::Open { .. }) && !block.is_empty() {
            self.recording.sink.offer(Chunk::Block(block));
            self.recording.sink.finish();
        }
    }
}
