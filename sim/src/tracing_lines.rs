//! The server's log lines in the run's journal: simulated time, the host's name, and no ids.
//!
//! A subscriber of our own, because the usual ones write wall time, thread names and span ids, all of
//! which differ between runs. Spans are not followed.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::journal::Journal;

/// Writes events into a journal.
#[derive(Debug)]
pub struct JournalSubscriber {
    journal: Journal,
    max: Level,
}

impl JournalSubscriber {
    /// Writes what is at least as severe as `max`.
    #[must_use]
    pub const fn new(journal: Journal, max: Level) -> Self {
        Self { journal, max }
    }
}

impl Subscriber for JournalSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.max
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let Line { message, fields } = line;
        self.journal
            .line_of_host(format_args!("{level} {target}: {message}{fields}"));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
