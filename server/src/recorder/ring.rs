//! The files of a recording: a ring of segments, of which the oldest are deleted when they are too many.
//!
//! Names sort by the life of the node and the number of the segment. Only files that are named so are
//! counted and deleted. They hold what users do, and session ids: only the owner may read them.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tradewire_trace::{Header, Segment, Start};

use crate::clock::{Clock as _, SystemClock};

/// What the names of segments end with.
const SUFFIX: &str = ".trace";

/// A directory of segments.
#[derive(Debug)]
pub(super) struct Ring {
    dir: PathBuf,
    bytes_max: u64,
    /// Segments that are closed, oldest first, with their sizes.
    closed: VecDeque<(PathBuf, u64)>,
    closed_bytes: u64,
    open: Option<(PathBuf, Segment<File>)>,
}

impl Ring {
    /// Makes the directory if there is none, and counts what other lives of the node left in it.
    pub(super) fn open(dir: PathBuf, bytes_max: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        // Said at the start, not when something was to be seen in the recording.
        let probe = dir.join(format!(".probe-{}", std::process::id()));
        create(&probe)?;
        fs::remove_file(probe)?;
        let mut closed = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if is_segment(&path) {
                let bytes = fs::metadata(&path)?.len();
                closed.push((path, bytes));
            }
        }
        closed.sort();
        Ok(Self {
            dir,
            bytes_max,
            closed_bytes: closed.iter().map(|(_, bytes)| bytes).sum(),
            closed: closed.into(),
            open: None,
        })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn begin(&mut self, header: &Header, start: &Start) -> io::Result<()> {
        self.end()?;
        let path = self.dir.join(format!(
            "{:013}-{:016x}-{:06}{SUFFIX}",
            header.started.as_unix_ms(),
            header.config.instance,
            header.segment
        ));
        let file = create(&path)?;
        match Segment::begin(file, header, start) {
            Ok(segment) => self.open = Some((path, segment)),
            Err(error) => {
                // Half a state is of no use, and the disk may be full.
                let _ = fs::remove_file(path);
                return Err(error);
            }
        }
        self.trim();
        Ok(())
    }

    pub(super) fn block(&mut self, block: &[u8]) -> io::Result<()> {
        if let Some((_, segment)) = &mut self.open {
            let written = segment.block(block);
            if written.is_err() {
                // What is behind half a block could not be read.
                self.close();
            }
            written?;
            self.trim();
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        let ended = match &mut self.open {
            Some((_, segment)) => segment.end(),
            None => Ok(()),
        };
        self.close();
        ended
    }

    /// Links every segment into a directory of its own, where the ring does not count them. The open one goes on
    /// growing there until it is closed.
    pub(super) fn keep(&self) -> io::Result<(PathBuf, usize)> {
        let wall = SystemClock::start().wall().as_unix_ms();
        let place = self.dir.join(format!("kept-{wall:013}"));
        DirBuilder::new().mode(0o700).create(&place)?;
        let mut files = 0;
        let open = self.open.iter().map(|(path, _)| path);
        for path in self.closed.iter().map(|(path, _)| path).chain(open) {
            if let Some(name) = path.file_name() {
                match fs::hard_link(path, place.join(name)) {
                    Ok(()) => files += 1,
                    // Someone else deleted it: the others are kept all the same.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((place, files))
    }

    fn close(&mut self) {
        if let Some((path, segment)) = self.open.take() {
            self.closed_bytes += segment.bytes();
            self.closed.push_back((path, segment.bytes()));
        }
    }

    /// Deletes the oldest while there is too much. The open segment stays, whatever its size.
    fn trim(&mut self) {
        let open = self.open.as_ref().map_or(0, |(_, segment)| segment.bytes());
        while self.closed_bytes + open > self.bytes_max
            && let Some((path, bytes)) = self.closed.pop_front()
        {
            self.closed_bytes -= bytes;
            // Someone else may have deleted it.
            let _ = fs::remove_file(path);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Whether a file is named as segments are: `<ms>-<life>-<number>.trace`.
fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(stem) = name.and_then(|name| name.strip_suffix(SUFFIX)) else {
        return false;
    };
    let parts: Vec<&str> = stem.split('-').collect();
    let hex = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    parts.len() == 3 && parts.iter().all(hex)
}
