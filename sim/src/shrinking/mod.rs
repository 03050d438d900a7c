//! From a failing random run of real servers to the smallest one that fails in the same way.
//!
//! A run is a [`Document`]: a seed, and what is left out of it. Each try runs one in a process of its own;
//! what still fails with the same guarantee and the same words is kept, and the next is made from there,
//! until nothing more can go, or for so many tries or so long. Only what a seed has can be left out: nothing
//! here changes what a fault does, how long it lasts, or what servers are allowed. Nothing here knows what a
//! run is about.

mod cuts;
mod process;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::command;
use crate::scenarios::random::{Document, DocumentError, Size};

pub use process::said;

use process::{Failed, ProcessError};

/// Runs after which it is good enough.
const TRIES_MAX: u32 = 1_000;

/// How many runs there are between two words of how far it is.
const TOLD_EVERY: u32 = 50;

/// Real time after which it is.
const TIME_MAX: Duration = Duration::from_secs(900);

/// Bytes of a document that is read.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// What is said of a run beside what it was.
const SHRUNK: &str = ", shrunk";

/// The command that runs a document.
const AGAIN: &str = "cargo run --release -p tradewire-sim -- run --scenario random --script";

/// Why there is nothing to shrink, or no document.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// A file could not be read or written.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not a run.
    #[error("{path}: {error}", path = path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// Why.
        error: DocumentError,
    },
    /// A run could not be made.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The run does not fail.
    #[error("the run keeps every promise: search for a seed that does not, with swarm")]
    Kept,
    /// What was found cannot be written down.
    #[error("the run cannot be written down: {0}")]
    Written(#[from] serde_json::Error),
}

/// Reads the document of a run.
///
/// # Errors
/// When there is none, or it makes no sense.
pub fn read(path: &std::path::Path) -> Result<Document, ShrinkError> {
    let file = |error| ShrinkError::File {
        path: path.to_owned(),
        error,
    };
    let mut text = String::new();
    let opened = std::fs::File::open(path).map_err(file)?;
    let mut bytes = io::Read::take(opened, DOCUMENT_BYTES_MAX + 1);
    io::Read::read_to_string(&mut bytes, &mut text).map_err(file)?;
    if bytes.limit() == 0 {
        let words = format!("more than {DOCUMENT_BYTES_MAX} bytes are too many for a run");
        return Err(file(io::Error::new(io::ErrorKind::InvalidData, words)));
    }
    Document::read(&text).map_err(|error| ShrinkError::Document {
        path: path.to_owned(),
        error,
    })
}

/// Shrinks the run that a command line names, of a seed with so many clients, and gives the exit code: that
/// of the failure.
///
/// # Errors
/// When there is no such run, or it does not fail.
pub fn run(arguments: &command::Shrink, clients: u16) -> Result<u8, ShrinkError> {
    let document = match &arguments.which.script {
        Some(path) => read(path)?,
        None => Document::of_seed(arguments.which.seed.unwrap_or_default(), clients),
    };
    let mut search = Search::new(document)?;
    let before = search.failed.size.clone();
    search.run()?;
    let Search {
        mut document,
        failed,
        tries,
        ..
    } = search;
    if !document.words.ends_with(SHRUNK) {
        document.words.push_str(SHRUNK);
    }
    let text = document.write()?;
    // Whoever reads this, as `head` does, may be gone.
    let mut out = io::stdout().lock();
    let _ = write!(out, "{}\n{text}", failed.told);
    let _ = match (&before, &failed.size) {
        (Some(before), Some(after)) => writeln!(out, "before: {before}\nafter:  {after}"),
        (None, _) | (_, None) => Ok(()),
    };
    let _ = writeln!(out, "found in {tries} runs");
    if let Some(path) = &arguments.out {
        std::fs::write(path, &text).map_err(|error| ShrinkError::File {
            path: path.clone(),
            error,
        })?;
        let _ = writeln!(out, "reproduce: {AGAIN} {}", path.display());
    }
    Ok(failed.code)
}

/// The smallest run so far.
struct Search {
    document: Document,
    failed: Failed,
    tries: u32,
    until: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the real time that a search takes, by which no run is decided"
)]
fn now() -> Instant {
    Instant::now()
}

impl Search {
    fn new(document: Document) -> Result<Self, ShrinkError> {
        let Some(failed) = process::run(&document)? else {
            return Err(ShrinkError::Kept);
        };
        Ok(Self {
            document,
            failed,
            tries: 1,
            until: now() + TIME_MAX,
        })
    }

    fn run(&mut self) -> Result<(), ShrinkError> {
        self.tell("the whole run");
        loop {
            let before = self.document.clone();
            self.stage("time", Self::cut_time)?;
            self.stage("kinds of fault", Self::cut_kinds)?;
            self.stage("clients", Self::cut_clients)?;
            self.stage("nodes", Self::cut_nodes)?;
            self.stage("calls", Self::cut_calls)?;
            self.stage("single faults", Self::cut_faults)?;
            self.stage("items", Self::cut_items)?;
            if self.document == before || self.is_enough() {
                return Ok(());
            }
        }
    }

    fn stage(
        &mut self,
        words: &str,
        cut: impl Fn(&mut Self) -> Result<(), ShrinkError>,
    ) -> Result<(), ShrinkError> {
        if !self.is_enough() {
            cut(self)?;
            self.tell(words);
        }
        Ok(())
    }

    fn tell(&self, words: &str) {
        let size = self.failed.size.as_ref().map(Size::to_string);
        let size = size.unwrap_or_else(|| self.failed.way.clone());
        let _ = writeln!(io::stderr(), "{:>4} runs, {words}: {size}", self.tries);
    }

    fn is_enough(&self) -> bool {
        self.tries >= TRIES_MAX || now() >= self.until
    }

    /// Keeps a smaller run if it fails in the same way.
    fn keep(&mut self, document: Document) -> Result<bool, ShrinkError> {
        if document == self.document || self.is_enough() || document.check().is_err() {
            return Ok(false);
        }
        self.tries += 1;
        if self.tries.is_multiple_of(TOLD_EVERY) {
            self.tell("so far");
        }
        match process::run(&document)? {
            Some(failed) if failed.way == self.failed.way => {
                (self.document, self.failed) = (document, failed);
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
    }

    /// The same with a change that is made to a copy.
    fn change(&mut self, change: impl FnOnce(&mut Document)) -> Result<bool, ShrinkError> {
        let mut document = self.document.clone();
        change(&mut document);
        self.keep(document)
    }
}
