//! One life of a node: its segments, replayed one after the other, a step at a time.

use std::collections::VecDeque;

use tradewire_sim_engines::report;
use tradewire_trace::{Replay, ReplayError, Step, TraceError, state_digest};

use super::Sheet;
use super::account::Account;
use crate::trace::{CRASHED, DIFFERS, UNREADABLE, lines};

/// What is said of a trace that the engine does not say the same to.
const DIFFERS_WORDS: &str = "The engine decides otherwise";
const DAMAGED_WORDS: &str = "The trace cannot be read on";

/// A life, as far as it was replayed.
pub(super) struct Life<'a> {
    account: Account,
    segments: VecDeque<(&'a str, &'a [u8])>,
    replay: Option<Replay<'a>>,
    next: Option<Step>,
    /// What is added to its times.
    offset: u64,
    at: u64,
    /// The step and the state in which the segment before ended.
    reached: Option<(u64, u64)>,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        account: Account,
        segments: Vec<(&'a str, &'a [u8])>,
        offset: u64,
        now: u64,
    ) -> Self {
        Self {
            account,
            segments: segments.into(),
            replay: None,
            next: None,
            offset,
            at: offset.saturating_add(now),
            reached: None,
        }
    }

    /// When its next step is.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next step; whether there is another.
    pub(super) fn turn(&mut self, sheet: &mut Sheet) -> bool {
        let goes_on = match (self.replay.take(), self.next.take()) {
            (Some(replay), Some(step)) => self.step(replay, step, sheet),
            (Some(replay), None) => {
                self.ends(&replay, sheet);
                !self.segments.is_empty()
            }
            (None, _) => self.opens(sheet),
        };
        if !goes_on {
            let step = self
                .account
                .gone(self.at, &mut sheet.recording, &mut sheet.lanes);
            sheet.push(step);
        }
        goes_on
    }

    /// Begins the next segment.
    fn opens(&mut self, sheet: &mut Sheet) -> bool {
        let Some((name, bytes)) = self.segments.pop_front() else {
            return false;
        };
        let replay = match Replay::open(bytes) {
            Ok(replay) => replay,
            Err(error @ TraceError::Empty) => {
                sheet.words(self.at, format!("{name}: {error}"));
                return !self.segments.is_empty();
            }
            Err(error) => return self.damaged(&format!("{name}: {error}"), sheet),
        };
        let trace = replay.trace();
        sheet.words(self.at, format!("{name}: {}", lines::segment(trace)));
        if let Some((seq, state)) = self.reached {
            let missing = trace.seq().saturating_sub(seq);
            if missing > 0 {
                let step =
                    self.account
                        .forgets(self.at, missing, &mut sheet.recording, &mut sheet.lanes);
                sheet.push(step);
            } else if trace.state() != state {
                let words = format!(
                    "{name}: it does not begin with the state that the segment before ended with"
                );
                let step = self.account.words(self.at, words.clone());
                sheet.wrong(step, DIFFERS_WORDS, words, DIFFERS);
                return false;
            }
        } else {
            let step = self.account.begins(self.at, &mut sheet.recording);
            sheet.push(step);
        }
        self.reads(replay, sheet)
    }

    /// Reads the step after this one.
    fn reads(&mut self, mut replay: Replay<'a>, sheet: &mut Sheet) -> bool {
        match replay.next_step() {
            Ok(step) => {
                if let Some(step) = &step {
                    self.at = self.offset.saturating_add(step.now.as_ms());
                }
                self.next = step;
                self.replay = Some(replay);
                true
            }
            Err(error) => self.damaged(&error.to_string(), sheet),
        }
    }

    fn damaged(&mut self, error: &str, sheet: &mut Sheet) -> bool {
        let step = self.account.words(self.at, error.to_owned());
        sheet.wrong(step, DAMAGED_WORDS, error.to_owned(), UNREADABLE);
        false
    }

    fn step(&mut self, mut replay: Replay<'a>, step: Step, sheet: &mut Sheet) -> bool {
        let mut draft = self.account.told(self.at, &step, &mut sheet.recording);
        let was_answered = step.digest.is_some();
        let applied = replay.apply(step);
        let effects = replay.effects();
        self.account
            .decided(&mut draft, effects, &mut sheet.recording, &mut sheet.lanes);
        match applied {
            Ok(()) => {
                sheet.steps += 1;
                sheet.push(draft);
                self.reads(replay, sheet)
            }
            Err(error) => {
                wrong(draft, &error, was_answered, sheet);
                false
            }
        }
    }

    fn ends(&mut self, replay: &Replay<'_>, sheet: &mut Sheet) {
        self.reached = Some((replay.trace().seq(), state_digest(replay.engine())));
        let ending = lines::ending(replay.trace().ending());
        let step = self
            .account
            .words(self.at, format!("the segment is {ending}"));
        sheet.push(step);
    }
}

fn wrong(mut step: report::Step, error: &ReplayError, was_answered: bool, sheet: &mut Sheet) {
    let words = error.to_string();
    let (name, code) = match error {
        ReplayError::Differs { .. } => (DIFFERS_WORDS, DIFFERS),
        ReplayError::GaveUp { .. } if was_answered => {
            step.o
                .push("when it was recorded the engine went on".to_owned());
            (DIFFERS_WORDS, DIFFERS)
        }
        ReplayError::GaveUp { .. } => {
            step.o.push("so it did when it was recorded".to_owned());
            ("The engine gave up", CRASHED)
        }
        ReplayError::Trace(_) => (DAMAGED_WORDS, UNREADABLE),
    };
    sheet.wrong(step, name, words, code);
}
