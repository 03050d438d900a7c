//! Many seeds of one level: run in parallel, counted, stopped at the first failure.
//!
//! A run's verdict depends on its seed and the build alone, so which thread takes which seed does not
//! matter; when several fail, the lowest is told.

mod process;
mod report;

pub use process::sums;
pub use report::{Failure, Report, reproduce};

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::engines::{self, Outcome, Script, Story};
use crate::oracle::Situation;

/// Seeds from which on a swarm must have come into every situation.
pub const SUFFICIENT: u64 = 500;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Bare engines on a modelled bus.
    Engine,
    /// Real servers on a simulated network, each run in a process of its own.
    Server,
}

impl Level {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Engine, Self::Server];

    /// The name by which it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Server => "server",
        }
    }

    /// What it is.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Engine => "bare engines on a modelled bus: no bytes, no async, fast",
            Self::Server => "real servers, a simulated Redis and clients on a simulated network",
        }
    }

    /// Whether it can know of this: what a node has read of the log does not show outside of it.
    #[must_use]
    pub fn can_tell(self, situation: Situation) -> bool {
        self == Self::Engine || situation != Situation::ResumeAwaited
    }

    fn run(self, seed: u64) -> (Result<(), Failure>, Option<Outcome>) {
        match self {
            Self::Engine => run_engines(Script::of_seed(seed), Story::silent()),
            Self::Server => process::run(seed),
        }
    }
}

/// Reads seeds as they are asked for.
///
/// # Errors
/// Says how they are written.
pub fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not FIRST..END, as in 0..100");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let range = first.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        Err(format!("{text} has no seeds"))
    } else {
        Ok(range)
    }
}

/// Runs a script of bare engines; a panic is a finding like any other.
///
/// # Errors
/// Says what came of it when it is not what was promised.
pub fn run_engines(script: Script, story: Story<'_>) -> (Result<(), Failure>, Option<Outcome>) {
    match catch_unwind(AssertUnwindSafe(|| engines::run(script, story))) {
        Ok(outcome) => {
            let verdict = outcome.verdict.clone().map_err(Failure::from);
            (verdict, Some(outcome))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let text = text.unwrap_or("without a word").to_owned();
            (Err(Failure::Crashed(text)), None)
        }
    }
}

/// Runs the seeds from `first` to before `end` on `jobs` threads.
#[must_use]
pub fn swarm(level: Level, first: u64, end: u64, jobs: usize) -> Report {
    #[expect(
        clippy::disallowed_methods,
        reason = "the real time that a swarm takes, in which nothing is decided by it"
    )]
    let begun = Instant::now();
    let bar = ProgressBar::new(end.saturating_sub(first));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {eta} left  {msg}")
    {
        bar.set_style(style);
    }
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= end {
                        return;
                    }
                    let (verdict, outcome) = level.run(seed);
                    if verdict.is_err() {
                        stop.store(true, Ordering::SeqCst);
                    }
                    bar.inc(1);
                    let mut report = report
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.add(seed, verdict, outcome.as_ref());
                }
            });
        }
    });
    bar.finish_and_clear();
    let report = report
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let took = begun.elapsed();
    Report { took, ..report }
}
