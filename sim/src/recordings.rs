//! What the nodes of a run recorded, kept in memory: a recording for each life of each node.
//!
//! The recorder is the server's own; only where its chunks go is different. At the end of a run each
//! recording is replayed, and must say what the node said.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tradewire_server::recorder::{Chunk, Recording, TraceSink};
use tradewire_trace::{Replay, Segment, state_digest};

/// How large segments become: small, so that there are several.
const SEGMENT_BYTES: u64 = 256 * 1024;

/// One segment.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `<node>-<life>-<segment>.trace`; in the order of these they were made.
    pub name: String,
    bytes: Bytes,
}

impl Recorded {
    /// The segment's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.with(|bytes| bytes.clone())
    }
}

/// Bytes that are still written to.
#[derive(Clone, Debug, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Bytes {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|held| held.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All recordings of a run.
#[derive(Clone, Debug, Default)]
pub struct Recordings(Arc<Mutex<Vec<Recorded>>>);

impl Recordings {
    /// How the server of a node's `life`th life is to be recorded.
    #[must_use]
    pub fn recording(&self, node: &str, life: u32) -> Recording {
        Recording {
            sink: Box::new(MemorySink {
                recordings: self.clone(),
                prefix: format!("{node}-{life:03}"),
                segment: None,
            }),
            node: node.to_owned(),
            masked: false,
            segment_bytes_max: SEGMENT_BYTES,
        }
    }

    /// Every segment, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Recorded> {
        let mut all = self.with(|recorded| recorded.clone());
        all.sort_by(|one, two| one.name.cmp(&two.name));
        all
    }

    /// Writes every segment into a directory, which is made if there is none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        for recorded in self.all() {
            std::fs::write(dir.join(&recorded.name), recorded.bytes())?;
        }
        Ok(())
    }

    /// Replays every recording and tells how many inputs there were.
    ///
    /// # Errors
    /// Says where the first differs from what was recorded.
    pub fn replay(&self) -> Result<u64, String> {
        let mut steps = 0;
        let mut before: Option<(u64, u64, u64)> = None;
        for recorded in self.all() {
            let told = |error: &dyn std::fmt::Display| format!("{}: {error}", recorded.name);
            let bytes = recorded.bytes();
            let mut replay = Replay::open(&bytes).map_err(|error| told(&error))?;
            let life = replay.trace().header().config.instance;
            let begins = (life, replay.trace().seq(), replay.trace().state());
            if before.is_some_and(|before| before.0 == life && before != begins) {
                return Err(told(&"does not begin where the segment before it ends"));
            }
            steps += replay.run().map_err(|error| told(&error))?;
            let state = state_digest(replay.engine());
            before = Some((life, replay.trace().seq(), state));
        }
        Ok(steps)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Vec<Recorded>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the recorder of one life writes to.
struct MemorySink {
    recordings: Recordings,
    prefix: String,
    segment: Option<Segment<Bytes>>,
}

impl TraceSink for MemorySink {
    fn has_room(&self) -> bool {
        true
    }

    fn offer(&mut self, chunk: Chunk) -> bool {
        let written = match chunk {
            Chunk::Begin(header, start) => {
                let bytes = Bytes::default();
                let name = format!("{}-{:06}.trace", self.prefix, header.segment);
                let recorded = Recorded {
                    name,
                    bytes: bytes.clone(),
                };
                self.recordings.with(|all| all.push(recorded));
                let ended = self.end();
                let begun = Segment::begin(bytes, &header, &start);
                ended.and_then(|()| begun.map(|segment| self.segment = Some(segment)))
            }
            Chunk::Block(block) => match &mut self.segment {
                Some(segment) => segment.block(&block),
                None => Ok(()),
            },
            Chunk::End => self.end(),
        };
        written.is_ok()
    }

    fn finish(&mut self) {}
}

impl MemorySink {
    fn end(&mut self) -> io::Result<()> {
        match self.segment.take() {
            Some(mut segment) => segment.end(),
            None => Ok(()),
        }
    }
}
