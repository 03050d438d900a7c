//! From a failing run to the smallest one that fails in the same way.
//!
//! A run is a document ([`Script`]), so a smaller run is a document with something taken out: acts, tabs,
//! places, time, whatever is not as the contract has it. Whatever still fails in the same way is kept, and
//! the next cut is made from there, until no cut is left that does. The result depends on the document and
//! the build alone. Nothing here knows what a run is about.

mod cuts;
mod edits;
mod size;
mod split;

pub use size::Size;
pub use split::smallest;

use crate::engines::{Outcome, Script, Story};
use crate::swarm::{self, Failure};

/// Runs after which it is good enough.
const TRIES_MAX: u64 = 30_000;

/// What is said of a run beside what it was.
const SHRUNK: &str = ", shrunk";

/// What came of it.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest run that was found.
    pub script: Script,
    /// How it fails.
    pub failure: Failure,
    /// How large the run was at first.
    pub before: Size,
    /// How large it is now.
    pub after: Size,
    /// How many runs that took.
    pub tries: u64,
}

/// Why there is nothing to shrink.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// The run does not fail.
    #[error("the run keeps every promise: search for a seed that does not, with swarm")]
    Kept,
}

/// Makes a failing run as small as it can; `tell` hears how far it is.
///
/// # Errors
/// When the run does not fail.
pub fn shrink(script: Script, tell: impl FnMut(&str)) -> Result<Shrunk, ShrinkError> {
    let judge = |script| swarm::run_engines(script, Story::silent());
    shrink_by(script, judge, tell)
}

fn shrink_by(
    script: Script,
    judge: fn(Script) -> Judged,
    tell: impl FnMut(&str),
) -> Result<Shrunk, ShrinkError> {
    let (verdict, outcome) = judge(script.clone());
    let Err(failure) = verdict else {
        return Err(ShrinkError::Kept);
    };
    let before = Size::of(&script, &failure, outcome.as_ref());
    let mut search = Search {
        way: way(&failure),
        script,
        failure,
        after: before,
        tries: 1,
        judge,
        tell,
    };
    search.run();
    if !search.script.words.ends_with(SHRUNK) {
        search.script.words.push_str(SHRUNK);
    }
    Ok(Shrunk {
        script: search.script,
        failure: search.failure,
        before,
        after: search.after,
        tries: search.tries,
    })
}

/// What a run came to.
type Judged = (Result<(), Failure>, Option<Outcome>);

/// The smallest run so far, and what may be taken from it.
struct Search<T> {
    /// How it must fail.
    way: String,
    script: Script,
    failure: Failure,
    after: Size,
    tries: u64,
    judge: fn(Script) -> Judged,
    tell: T,
}

impl<T: FnMut(&str)> Search<T> {
    fn run(&mut self) {
        loop {
            let before = self.script.clone();
            self.stage("time", Self::cut_end);
            self.stage("kinds of fault, tabs and nodes", Self::cut_groups);
            self.stage("single acts", Self::cut_acts);
            self.stage("details", Self::cut_details);
            self.stage("gaps", Self::cut_gaps);
            if self.script == before || self.tries >= TRIES_MAX {
                return;
            }
        }
    }

    fn stage(&mut self, words: &str, cut: impl Fn(&mut Self)) {
        cut(self);
        let line = format!("{:>6} runs, {words}: {}", self.tries, self.after);
        (self.tell)(&line);
    }

    /// Keeps a smaller run if it fails in the same way.
    fn keep(&mut self, script: Script) -> bool {
        if script == self.script || self.tries >= TRIES_MAX || script.check().is_err() {
            return false;
        }
        self.tries += 1;
        let (verdict, outcome) = (self.judge)(script.clone());
        match verdict {
            Err(failure) if way(&failure) == self.way => {
                self.after = Size::of(&script, &failure, outcome.as_ref());
                (self.script, self.failure) = (script, failure);
                true
            }
            Err(_) | Ok(()) => false,
        }
    }

    /// The same with a change that is made to a copy.
    fn change(&mut self, change: impl FnOnce(&mut Script)) -> bool {
        let mut script = self.script.clone();
        change(&mut script);
        self.keep(script)
    }
}

/// How a run fails, without whom it hit and when: the guarantee and the first plain words.
#[must_use]
pub fn way(failure: &Failure) -> String {
    let (kind, text) = match failure {
        Failure::Crashed(text) | Failure::Told { text, .. } => ("crash".to_owned(), text),
        Failure::Stuck(violation) | Failure::Violated(violation) => {
            (format!("{:?}", violation.guarantee), &violation.facts)
        }
    };
    let plain = |word: &&str| {
        let word = word.trim_end_matches([',', ':', ';']);
        word != "market" && word.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let words: Vec<&str> = text.split_whitespace().filter(plain).take(8).collect();
    format!("{kind} {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::{Act, Does};
    use crate::oracle::{Guarantee, Target, Topic, User, Violation};

    fn violated(facts: &str) -> Failure {
        Failure::Violated(Violation {
            guarantee: Guarantee::G3,
            at: 7,
            facts: facts.to_owned(),
        })
    }

    #[test]
    fn a_way_to_fail_is_told_by_its_words_not_by_whom_it_hit() {
        let one = violated(
            "portfolio(u3) went back at c12 of u3: i9, place Some(4), came behind place 5",
        );
        let other = violated("market went back at c1 of u0: i19, place None, came behind place 1");
        assert_eq!(way(&one), way(&other));
        let third = violated("the bus took i4, which nobody published");
        assert_ne!(way(&one), way(&third));
    }

    /// As if what is published for u1 while place 0 is cut off were lost, if tab 2 is there.
    fn judge(script: Script) -> Judged {
        let mut cut = false;
        let mut verdict = Ok(());
        for act in &script.acts {
            let mut items = act.does.items().iter();
            cut |= matches!(
                act.does,
                Does::Cut {
                    place: 0,
                    ms: 1_000..
                }
            );
            if cut && items.any(|item| item.to == Target::State(Topic::Portfolio(User(1)))) {
                verdict = Err(violated(&format!("i{} went back", act.at)));
                break;
            }
        }
        if script.tabs.iter().all(|client| client.tab != 2) {
            verdict = Ok(());
        }
        (verdict, None)
    }

    #[test]
    fn what_a_failure_needs_stays_and_nothing_else() {
        let mut script = Script::of_seed(3);
        let cut = Does::Cut {
            place: 0,
            ms: 30_000,
        };
        script.acts.insert(0, Act { at: 10, does: cut });
        let shrunk = shrink_by(script, judge, |_| {}).unwrap();
        let Shrunk { script, after, .. } = &shrunk;
        assert_eq!((after.acts, after.faults), (2, 1), "{:?}", script.acts);
        assert!(matches!(
            script.acts[0].does,
            Does::Cut {
                ms: 1_000..2_000,
                ..
            }
        ));
        assert_eq!(script.acts[1].does.items().len(), 1);
        assert_eq!((after.tabs, after.places), (1, 1));
        assert!(script.plan.unusual_limits().is_empty() && !script.plan.whims);
        assert_eq!(script.acts[1].at, 0, "no time is left between them");
        assert!(
            shrunk.before.acts > 500 && shrunk.tries < 1_000,
            "{shrunk:?}"
        );
        // What was written down is the same run.
        assert_eq!(&Script::read(&script.write().unwrap()).unwrap(), script);
    }

    #[test]
    fn a_run_that_keeps_its_promises_is_not_shrunk() {
        let mut script = Script::of_seed(1);
        script.acts.truncate(10);
        assert!(matches!(shrink(script, |_| {}), Err(ShrinkError::Kept)));
    }
}
