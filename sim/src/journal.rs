//! What happened, in order: the run's log, and what the parts observed.
//!
//! A line is the simulated time, who, and what; the time is that of the tick, so lines never go back.
//! Nothing that depends on real time, addresses in memory or other runs may be written here: two runs
//! of one seed must give the same bytes. What is observed is also handed to whoever watches.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::observation::Observation;
use crate::recordings::Recordings;

/// Who writes while no host is running.
const NOBODY: &str = "world";

/// One thing observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, since the beginning.
    pub at: Duration,
    /// Who saw it: a client, a publisher or a node by its name.
    pub who: Arc<str>,
    /// What.
    pub what: Observation,
}

struct Inner {
    now: Duration,
    /// The host that is running.
    host: String,
    /// What hosts are called that a network knows by something else.
    names: BTreeMap<String, String>,
    out: Box<dyn Write + Send>,
    watchers: Vec<Sender<Seen>>,
    recordings: Recordings,
    failed: Option<io::Error>,
}

/// The handle that every part of a run writes with.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<Inner>>);

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// A journal that is written to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            now: Duration::ZERO,
            host: NOBODY.to_owned(),
            names: BTreeMap::new(),
            out: Box::new(out),
            watchers: Vec::new(),
            recordings: Recordings::default(),
            failed: None,
        })))
    }

    /// The same, whose run's nodes record into `recordings`.
    #[must_use]
    pub fn with_recordings(self, recordings: Recordings) -> Self {
        self.with(|inner| inner.recordings = recordings);
        self
    }

    fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        // One thread runs everything, so the lock is never waited for.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes a line of `who`.
    pub fn line(&self, who: &str, text: fmt::Arguments<'_>) {
        self.with(|inner| inner.line(who, text));
    }

    /// Writes a line of the host that is running.
    pub fn line_of_host(&self, text: fmt::Arguments<'_>) {
        self.with(|inner| {
            let host = std::mem::take(&mut inner.host);
            let name = inner.names.get(&host).cloned();
            inner.line(name.as_ref().unwrap_or(&host), text);
            inner.host = host;
        });
    }

    /// Writes what `who` observed, and tells the watchers.
    pub fn observe(&self, who: &Arc<str>, what: Observation) {
        self.with(|inner| {
            inner.line(who, format_args!("{what}"));
            inner.tell(Arc::clone(who), what);
        });
    }

    /// Tells the watchers of something that the host that is running has written a line of.
    pub(crate) fn told_by_host(&self, what: Observation) {
        self.with(|inner| {
            let name = inner.names.get(&inner.host).unwrap_or(&inner.host);
            inner.tell(Arc::from(name.as_str()), what);
        });
    }

    /// Hands over what is observed from now on.
    #[must_use]
    pub fn watch(&self) -> Receiver<Seen> {
        let (watcher, seen) = channel();
        self.with(|inner| inner.watchers.push(watcher));
        seen
    }

    /// What the run's nodes record.
    #[must_use]
    pub fn recordings(&self) -> Recordings {
        self.with(|inner| inner.recordings.clone())
    }

    /// The time of what is written next.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.with(|inner| inner.now)
    }

    /// Writes out what is still buffered.
    ///
    /// # Errors
    /// When anything could not be written, now or before.
    pub fn finish(&self) -> io::Result<()> {
        self.with(|inner| match inner.failed.take() {
            Some(error) => Err(error),
            None => inner.out.flush(),
        })
    }

    pub(crate) fn set_now(&self, now: Duration) {
        self.with(|inner| inner.now = now);
    }

    /// A host that is entered as `known` is called `name`.
    pub(crate) fn call(&self, known: &str, name: &str) {
        self.with(|inner| inner.names.insert(known.to_owned(), name.to_owned()));
    }

    /// `host` runs from now on.
    pub(crate) fn enter(&self, host: &str) {
        self.with(|inner| {
            inner.host.clear();
            inner.host.push_str(host);
        });
    }

    /// No host runs any more.
    pub(crate) fn leave(&self) {
        self.enter(NOBODY);
    }
}

impl Inner {
    fn tell(&mut self, who: Arc<str>, what: Observation) {
        let at = self.now;
        let seen = Seen { at, who, what };
        self.watchers
            .retain(|watcher| watcher.send(seen.clone()).is_ok());
    }

    fn line(&mut self, who: &str, text: fmt::Arguments<'_>) {
        let (seconds, millis) = (self.now.as_secs(), self.now.subsec_millis());
        let written = writeln!(self.out, "{seconds:>4}.{millis:03} {who:<8} {text}");
        if let Err(error) = written {
            self.failed.get_or_insert(error);
        }
    }
}

/// The last lines of a log, for those who only want to know how it came to its end.
#[derive(Clone, Debug)]
pub struct Tail(Arc<Mutex<(usize, VecDeque<u8>)>>);

impl Tail {
    /// Keeps at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new((bytes_max, VecDeque::new()))))
    }

    /// What is kept, from the beginning of a line.
    #[must_use]
    pub fn text(&self) -> String {
        let (max, kept) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let whole = if bytes.len() < *max {
            Some(&*text)
        } else {
            text.split_once('\n').map(|(_, rest)| rest)
        };
        whole.unwrap_or_default().to_owned()
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (max, kept) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(bytes);
        let excess = kept.len().saturating_sub(*max);
        kept.drain(..excess);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes in memory, for those who read the journal afterwards.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// All that was written, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
