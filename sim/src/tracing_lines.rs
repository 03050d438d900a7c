//! The server's log lines in the run's journal: simulated time, the host's name, and no ids.
//!
//! A subscriber of our own, because the usual ones write wall time, thread names and span ids, all of
//! which differ between runs. Spans are not followed, but for the one in which `turmoil` runs a host: it
//! is all that tells which host that is.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::journal::Journal;
use crate::observation::Observation;

/// The span in which `turmoil` runs a host.
const HOST_SPAN: &str = "node";

/// Whose lines are told: most are the engine's notes.
const SERVER: &str = "tradewire_server";

/// Writes events into a journal.
#[derive(Debug)]
pub struct JournalSubscriber {
    journal: Journal,
    max: Level,
    /// The hosts that spans were made for; a span's id is its host's place here, from 1.
    hosts: Mutex<Vec<String>>,
}

impl JournalSubscriber {
    /// Writes what is at least as severe as `max`.
    #[must_use]
    pub const fn new(journal: Journal, max: Level) -> Self {
        Self {
            journal,
            max,
            hosts: Mutex::new(Vec::new()),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<String>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for JournalSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            metadata.name() == HOST_SPAN && metadata.target().starts_with("turmoil")
        } else {
            *metadata.level() <= self.max
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        span.record(&mut line);
        let mut hosts = self.hosts();
        let known = hosts.iter().position(|host| *host == line.name);
        let index = known.unwrap_or_else(|| {
            hosts.push(line.name);
            hosts.len() - 1
        });
        Id::from_u64(index as u64 + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let Line {
            message,
            fields,
            texts,
            ..
        } = line;
        self.journal
            .line_of_host(format_args!("{level} {target}: {message}{fields}"));
        if target.starts_with(SERVER) {
            self.journal.told_by_host(Observation::Noted {
                message,
                fields: texts,
            });
        }
    }

    fn enter(&self, span: &Id) {
        let index = usize::try_from(span.into_u64()).unwrap_or(usize::MAX);
        if let Some(host) = self.hosts().get(index.saturating_sub(1)) {
            self.journal.enter(host);
        }
    }

    fn exit(&self, _: &Id) {
        self.journal.leave();
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    /// The same, one by one and without quotes.
    texts: Vec<(&'static str, String)>,
    /// The field of this name, as text.
    name: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            value.clone_into(&mut self.name);
        }
        self.record_debug(field, &value);
        if let Some((_, text)) = self.texts.last_mut() {
            value.clone_into(text);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            self.texts.push((field.name(), format!("{value:?}")));
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
