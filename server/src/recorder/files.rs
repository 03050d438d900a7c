//! A recording into files, by a thread of its own: the disk may take its time.
//!
//! What waits for the thread is bounded in chunks and in bytes. When the disk cannot be written, chunks
//! are refused until the next segment begins, and the log says so once.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::ring::Ring;
use super::{Chunk, TraceSink};

/// How many chunks may wait.
const CHUNKS_MAX: usize = 256;

/// How many bytes of blocks may wait: some seconds of a busy node.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// How often the thread looks whether it was asked to keep what there is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long the end of a recording may take. A process that drains has a deadline.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Why a recording could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The directory cannot be used.
    #[error(
        "cannot record into {dir}: {error}; give a directory that can be written as RECORD_DIR"
    )]
    Directory {
        /// Which.
        dir: String,
        /// Why not.
        error: io::Error,
    },
    /// There can be no more threads.
    #[error(
        "cannot start the thread that records: {0}; allow the process more threads, or leave RECORD_DIR out"
    )]
    Thread(#[source] io::Error),
}

/// What the thread is told.
enum Order {
    Chunk(Chunk),
    /// Say when everything before is written.
    Finish(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes of blocks that wait.
    waiting: AtomicUsize,
    /// A segment's beginning waits, and with it a copy of the engine's state: one is all there may be.
    beginning: AtomicBool,
    /// The disk could not be written, and no segment has begun since.
    broken: AtomicBool,
    keep: AtomicBool,
}

/// Hands chunks to the thread that writes them.
pub struct FileSink {
    orders: SyncSender<Order>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for FileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSink").finish_non_exhaustive()
    }
}

/// Asks that what was recorded is kept.
#[derive(Clone, Debug)]
pub struct Keeper(Arc<Shared>);

impl Keeper {
    /// Has every segment that there is kept, the open one too: the log says where.
    pub fn keep(&self) {
        self.0.keep.store(true, Ordering::Relaxed);
    }
}

impl FileSink {
    /// Records into `dir`, which is made if it does not exist, and keeps at most `bytes_max` in it.
    ///
    /// # Errors
    /// When the directory cannot be used, or the thread cannot be started.
    pub fn start(dir: PathBuf, bytes_max: u64) -> Result<(Self, Keeper), FilesError> {
        let shown = dir.display().to_string();
        let ring = Ring::open(dir, bytes_max)
            .map_err(|error| FilesError::Directory { dir: shown, error })?;
        let (orders, taken) = sync_channel(CHUNKS_MAX);
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            ring,
            shared: Arc::clone(&shared),
            contradicted: false,
        };
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(FilesError::Thread)?;
        let keeper = Keeper(Arc::clone(&shared));
        Ok((Self { orders, shared }, keeper))
    }
}

impl TraceSink for FileSink {
    fn has_room(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) < BYTES_MAX
    }

    fn offer(&mut self, chunk: Chunk) -> bool {
        let begins = matches!(chunk, Chunk::Begin(..));
        let refused = if begins {
            self.shared.beginning.load(Ordering::Relaxed)
        } else {
            self.shared.broken.load(Ordering::Relaxed)
        };
        if refused || !self.has_room() {
            return false;
        }
        let bytes = match &chunk {
            Chunk::Block(block) => block.len(),
            Chunk::Begin(..) | Chunk::End => 0,
        };
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        if begins {
            self.shared.beginning.store(true, Ordering::Relaxed);
        }
        let taken = self.orders.try_send(Order::Chunk(chunk)).is_ok();
        if !taken {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            if begins {
                self.shared.beginning.store(false, Ordering::Relaxed);
            }
        }
        taken
    }

    fn finish(&mut self) {
        let (done, finished) = sync_channel(1);
        if self.orders.try_send(Order::Finish(done)).is_ok() {
            // If the disk takes longer, the file ends where the disk had come to.
            let _ = finished.recv_timeout(FINISH_MAX);
        }
    }
}

/// The thread.
struct Writer {
    ring: Ring,
    shared: Arc<Shared>,
    /// A state contradicted itself, and what led to it is kept. The states after it most likely do, too:
    /// keeping each of them would fill the disk.
    contradicted: bool,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = orders.recv_timeout(LOOK_EVERY);
            if self.shared.keep.swap(false, Ordering::Relaxed) {
                self.keep();
            }
            match order {
                Ok(Order::Chunk(chunk)) => self.write(chunk),
                Ok(Order::Finish(done)) => {
                    // Whoever waited may have given up.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&mut self, chunk: Chunk) {
        let written = match chunk {
            Chunk::Begin(header, start) => {
                self.shared.broken.store(false, Ordering::Relaxed);
                if let Err(contradiction) = start.check()
                    && !std::mem::replace(&mut self.contradicted, true)
                {
                    tracing::error!(%contradiction, "the engine's state contradicts itself: please report it with this recording");
                    self.keep();
                }
                let begun = self.ring.begin(&header, &start);
                drop(start);
                self.shared.beginning.store(false, Ordering::Relaxed);
                begun
            }
            Chunk::Block(block) => {
                self.shared
                    .waiting
                    .fetch_sub(block.len(), Ordering::Relaxed);
                self.ring.block(&block)
            }
            Chunk::End => self.ring.end(),
        };
        if let Err(error) = written
            && !self.shared.broken.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, dir = %self.ring.dir().display(), "the recording cannot be written");
        }
    }

    fn keep(&self) {
        match self.ring.keep() {
            Ok((place, files)) => {
                tracing::info!(place = %place.display(), files, "the recording is kept");
            }
            Err(error) => tracing::warn!(%error, "the recording could not be kept"),
        }
    }
}
