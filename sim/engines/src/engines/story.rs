//! What a run tells of itself, a line for each thing that happened, when anyone listens.

use core::fmt;
use std::io::Write;

/// Where a run's lines go.
pub struct Story<'a> {
    to: Option<&'a mut dyn Write>,
    /// Engine inputs and effects too.
    frames: bool,
    failed: bool,
}

impl<'a> Story<'a> {
    /// Nobody listens.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            to: None,
            frames: false,
            failed: false,
        }
    }

    /// Every line goes to `to`, with `frames` also what the engines are told and say.
    #[must_use]
    pub fn to(to: &'a mut dyn Write, frames: bool) -> Self {
        Self {
            to: Some(to),
            frames,
            failed: false,
        }
    }

    /// Whether anyone listens.
    pub(super) fn is_told(&self) -> bool {
        self.to.is_some()
    }

    /// Whether anyone wants every input and effect.
    pub(super) fn tells_frames(&self) -> bool {
        self.to.is_some() && self.frames
    }

    pub(super) fn tell(&mut self, now: u64, line: fmt::Arguments<'_>) {
        if let Some(to) = &mut self.to
            && !self.failed
        {
            // Whoever listened may be gone; the run's verdict does not depend on that.
            self.failed = writeln!(to, "{:>4}.{:03}  {line}", now / 1000, now % 1000).is_err();
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
