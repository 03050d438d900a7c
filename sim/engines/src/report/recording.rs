//! A run as data for a page: steps, what each changed of whom, and what lasted from when to when.
//!
//! It is bounded: of a long run the oldest steps are left out, and what they changed is kept as the state
//! in which the rest begins. It knows nothing of what it holds.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::oracle::{Conn, Item, Node, Tab, Target, User};

/// Bytes of steps that are kept, about as many as the page then has.
const STEPS_BYTES_MAX: usize = 7 << 20;

/// Of how many the state is kept in which the steps begin.
const BEGIN_MAX: usize = 5_000;

/// What is drawn at most, and how much of that are moments.
const SPANS_MAX: usize = 12_000;
const MOMENTS_MAX: usize = SPANS_MAX / 2;

/// Bytes of a step beside its texts.
const STEP_BYTES: usize = 40;

/// One thing that happened; names are short, since there are many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, in milliseconds.
    pub t: u64,
    /// Of which kind: fault, act, seen, told, marked, end.
    pub k: &'static str,
    /// What.
    pub x: String,
    /// What an engine decided of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub o: Vec<String>,
    /// What it changed.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub d: Changes,
    /// Whom it is about beside those whom it changed, and beside those whom its words name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub w: Vec<String>,
    /// It is the one with which the run ended badly.
    #[serde(skip_serializing_if = "is_not")]
    pub b: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_not(b: &bool) -> bool {
    !b
}

impl Step {
    fn bytes(&self) -> usize {
        let texts: usize = self
            .o
            .iter()
            .chain(&self.w)
            .map(|text| text.len() + 3)
            .sum();
        let changed = self.d.0.iter();
        let changed: usize = changed
            .map(|(of, what, to)| of.len() + what.len() + to.len() + 12)
            .sum();
        STEP_BYTES + self.x.len() + texts + changed
    }
}

/// What a step changes: of whom, what, and to what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Changes(Vec<(String, String, String)>);

impl Changes {
    /// From here on `what` of this one is `to`; the empty text means that it is no more.
    pub fn set(&mut self, of: &dyn std::fmt::Display, what: &str, to: impl std::fmt::Display) {
        let change = (of.to_string(), what.to_owned(), to.to_string());
        if self.0.last() != Some(&change) {
            self.0.push(change);
        }
    }

    /// Nothing is known of this one any more.
    pub fn forget(&mut self, of: &dyn std::fmt::Display) {
        self.set(of, "", "");
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something that lasts, or a moment if it ends when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Span {
    /// Of whom.
    lane: String,
    from: u64,
    to: u64,
    /// How it is drawn: up, leaving, wrong, blow, away, in, trying, stalled, mark.
    kind: &'static str,
    words: String,
}

/// What was recorded.
#[derive(Debug, Default, Serialize)]
pub struct Recording {
    steps: VecDeque<Step>,
    spans: Vec<Span>,
    /// How everything stood before the first step that is kept.
    begin: BTreeMap<String, BTreeMap<String, String>>,
    /// Steps that were left out for their number.
    left_out: u64,
    /// What is not drawn for its number.
    undrawn: u64,
    /// Whether there were more than the beginning holds.
    begin_is_full: bool,
    #[serde(skip)]
    bytes: usize,
    /// What lasts now, by lane and kind.
    #[serde(skip)]
    open: BTreeMap<(String, &'static str), usize>,
    #[serde(skip)]
    pub(super) targets: BTreeMap<Item, Target>,
    #[serde(skip)]
    pub(super) places: BTreeMap<Node, u32>,
    #[serde(skip)]
    pub(super) tabs: BTreeMap<Conn, (Tab, User)>,
}

impl Recording {
    /// Something happened, after everything before.
    pub fn push(&mut self, step: Step) {
        self.bytes += step.bytes();
        self.steps.push_back(step);
        while self.bytes > STEPS_BYTES_MAX
            && self.steps.len() > 1
            && let Some(step) = self.steps.pop_front()
        {
            self.bytes -= step.bytes();
            self.left_out += 1;
            for change in step.d.0 {
                self.began(change);
            }
        }
    }

    /// A change before the first step that is kept.
    fn began(&mut self, (of, what, to): (String, String, String)) {
        if to.is_empty() {
            if let Some(known) = self.begin.get_mut(&of) {
                known.remove(&what);
                if what.is_empty() || known.is_empty() {
                    self.begin.remove(&of);
                }
            }
        } else if self.begin.len() < BEGIN_MAX || self.begin.contains_key(&of) {
            self.begin.entry(of).or_default().insert(what, to);
        } else {
            self.begin_is_full = true;
        }
    }

    /// Draws something from `from` to `to`.
    pub fn span(
        &mut self,
        lane: String,
        (from, to): (u64, u64),
        kind: &'static str,
        words: String,
    ) {
        let max = if from == to { MOMENTS_MAX } else { SPANS_MAX };
        if self.spans.len() >= max {
            self.undrawn += 1;
            return;
        }
        self.spans.push(Span {
            lane,
            from,
            to,
            kind,
            words,
        });
    }

    /// Something begins that lasts; what there is of its kind in this lane ends.
    pub fn begins(&mut self, now: u64, lane: &str, kind: &'static str, words: String) {
        self.ends(now, lane, kind);
        let number = self.spans.len();
        self.span(lane.to_owned(), (now, u64::MAX), kind, words);
        if number < self.spans.len() {
            self.open.insert((lane.to_owned(), kind), number);
        }
    }

    /// What there is of this kind in this lane ends.
    pub fn ends(&mut self, now: u64, lane: &str, kind: &'static str) {
        let number = self.open.remove(&(lane.to_owned(), kind));
        if let Some(span) = number.and_then(|number| self.spans.get_mut(number)) {
            span.to = now;
        }
    }

    /// When something happened last.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.steps.back().map_or(0, |step| step.t)
    }

    /// Ends what still lasts.
    pub(super) fn finish(&mut self, now: u64) {
        for span in &mut self.spans {
            span.to = span.to.min(now).max(span.from);
        }
    }

    /// Something is said that is nobody's doing.
    pub fn words(&mut self, now: u64, words: String) {
        self.push(Step {
            t: now,
            k: "end",
            x: words,
            ..Step::default()
        });
    }

    /// An engine decides something of what it was told last.
    pub(super) fn decided(&mut self, words: String) {
        // What is seen while a decision is carried out comes between it and the next.
        let told = self.steps.iter_mut().rev().find(|step| step.k == "told");
        if let Some(step) = told {
            self.bytes += words.len() + 3;
            step.o.push(words);
        }
    }
}
