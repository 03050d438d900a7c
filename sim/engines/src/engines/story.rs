//! What a run tells of itself, when anyone listens: a line for each thing that happened, or a recording.

use core::fmt;
use std::io::Write;

use tradewire_engine::ids::ConnId;
use tradewire_engine::{Effect, Input};

use super::decisions::{decided, told};
use super::script::Does;
use crate::oracle::{Conn, Node, Observation};
use crate::report::Recording;

/// Who sits where.
type Seated<'a> = &'a dyn Fn(ConnId) -> Option<Conn>;

fn name(conn: ConnId, seated: Seated<'_>) -> String {
    seated(conn).map_or_else(|| format!("seat {conn}"), |conn| conn.to_string())
}

/// Where a run's story goes.
pub struct Story<'a> {
    to: To<'a>,
    /// Engine inputs and effects too.
    frames: bool,
    failed: bool,
}

enum To<'a> {
    Nobody,
    Lines(&'a mut dyn Write),
    Recording(&'a mut Recording),
}

impl<'a> Story<'a> {
    fn new(to: To<'a>, frames: bool) -> Self {
        Self {
            to,
            frames,
            failed: false,
        }
    }

    /// Nobody listens.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(To::Nobody, false)
    }

    /// Every line goes to `to`, with `frames` also what the engines are told and decide.
    #[must_use]
    pub fn to(to: &'a mut dyn Write, frames: bool) -> Self {
        Self::new(To::Lines(to), frames)
    }

    /// Everything is recorded.
    #[must_use]
    pub fn recorded(recording: &'a mut Recording) -> Self {
        Self::new(To::Recording(recording), true)
    }

    /// Whether anyone listens.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self.to, To::Nobody)
    }

    /// Whether anyone wants every input and effect.
    pub(super) fn tells_frames(&self) -> bool {
        self.is_told() && self.frames
    }

    fn line(&mut self, now: u64, line: fmt::Arguments<'_>) {
        if let To::Lines(to) = &mut self.to
            && !self.failed
        {
            // Whoever listened may be gone; the run's verdict does not depend on that.
            self.failed = writeln!(to, "{:>4}.{:03}  {line}", now / 1000, now % 1000).is_err();
        }
    }

    pub(super) fn tell(&mut self, now: u64, line: fmt::Arguments<'_>) {
        if let To::Recording(recording) = &mut self.to {
            recording.words(now, line.to_string());
        }
        self.line(now, line);
    }

    /// Something is done from outside.
    pub(super) fn act(&mut self, now: u64, does: &Does) {
        if let To::Recording(recording) = &mut self.to {
            recording.act(now, does);
        }
        self.line(now, format_args!("== {does}"));
    }

    /// A node begins to live at a place.
    pub(super) fn starts(&mut self, place: u32, node: Node) {
        if let To::Recording(recording) = &mut self.to {
            recording.starts(place, node);
        }
    }

    /// Something was seen.
    pub(super) fn seen(&mut self, now: u64, observation: &Observation) {
        if let To::Recording(recording) = &mut self.to {
            recording.seen(now, observation);
        }
        self.line(now, format_args!("{observation}"));
    }

    /// An engine is told something.
    pub(super) fn input(&mut self, now: u64, node: Node, input: &Input, seated: Seated<'_>) {
        let words = told(input, &|conn| name(conn, seated));
        self.line(now, format_args!("    {node} < {words}"));
        if let To::Recording(recording) = &mut self.to {
            recording.input(now, node, words);
        }
    }

    /// An engine decides something.
    pub(super) fn effect(
        &mut self,
        now: u64,
        node: Node,
        (effect, recipients): (&Effect, &[ConnId]),
        seated: Seated<'_>,
    ) {
        let words = decided(effect, recipients, &|conn| name(conn, seated));
        self.line(now, format_args!("    {node} > {words}"));
        if let To::Recording(recording) = &mut self.to {
            recording.decision(words);
        }
    }
}

impl fmt::Debug for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Story")
            .field("told", &self.is_told())
            .finish_non_exhaustive()
    }
}
