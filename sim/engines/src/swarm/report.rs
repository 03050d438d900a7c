//! What a swarm came to, in words and as an exit code.

use core::fmt;
use core::time::Duration;

use super::{Level, SUFFICIENT};
use crate::engines::Outcome;
use crate::oracle::{Guarantee, Situation, Situations, Violation};

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It panicked.
    Crashed(String),
    /// What must come about did not.
    Stuck(Violation),
    /// A process of its own told so, the end of its log and all.
    Told {
        /// Its exit code, if it came to that.
        code: Option<u8>,
        /// What it said.
        text: String,
    },
    /// A guarantee was violated.
    Violated(Violation),
}

impl Failure {
    /// The process's exit code: 2 is a wrong call.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Violated(_) => 1,
            Self::Stuck(_) => 3,
            Self::Crashed(_) => 4,
            Self::Told { code, .. } => code.unwrap_or(4),
        }
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        if violation.guarantee == Guarantee::Liveness {
            Self::Stuck(violation)
        } else {
            Self::Violated(violation)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed(text) => write!(f, "crashed: {text}"),
            Self::Stuck(violation) => write!(f, "stuck: {violation}"),
            Self::Told { text, .. } => write!(f, "failed:\n{text}"),
            Self::Violated(violation) => write!(f, "violated: {violation}"),
        }
    }
}

/// The exit code of a swarm that did not come into every situation.
const NOT_REACHED: u8 = 5;

/// A swarm's sums.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs that were finished.
    pub runs: u64,
    /// Inputs that the engines were given.
    pub inputs: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// How long all of it took, in real time.
    pub took: Duration,
    /// What came about.
    pub situations: Situations,
    /// The lowest seed that failed.
    pub failure: Option<(u64, Failure)>,
}

impl Report {
    pub(super) fn add(
        &mut self,
        seed: u64,
        verdict: Result<(), Failure>,
        outcome: Option<&Outcome>,
    ) {
        self.runs += 1;
        if let Some(outcome) = outcome {
            self.inputs += outcome.inputs;
            self.simulated_ms += outcome.simulated_ms;
            self.situations.add(&outcome.situations);
        }
        if let Err(failure) = verdict
            && self
                .failure
                .as_ref()
                .is_none_or(|(lowest, _)| seed < *lowest)
        {
            self.failure = Some((seed, failure));
        }
    }

    /// Situations that a swarm of this size should have come into and has not.
    #[must_use]
    pub fn missing(&self, level: Level) -> Vec<Situation> {
        if self.runs < SUFFICIENT {
            return Vec::new();
        }
        let missing = self.situations.missing().into_iter();
        missing
            .filter(|situation| level.can_tell(*situation))
            .collect()
    }

    /// The process's exit code.
    #[must_use]
    pub fn code(&self, level: Level) -> u8 {
        match &self.failure {
            Some((_, failure)) => failure.code(),
            None if self.missing(level).is_empty() => 0,
            None => NOT_REACHED,
        }
    }

    /// The report in words.
    #[must_use]
    pub fn words(&self, level: Level) -> String {
        let mut words = format!("{} runs, ", self.runs);
        // A run of servers does not tell what its engines were given.
        if self.inputs > 0 {
            words.push_str(&format!("{} inputs, ", self.inputs));
        }
        words.push_str(&format!(
            "{} simulated seconds, {:.0} in one of {:.0} real ones\n",
            self.simulated_ms / 1000,
            self.simulated_ms as f64 / 1000.0 / self.took.as_secs_f64().max(0.001),
            self.took.as_secs_f64()
        ));
        for situation in Situation::ALL {
            words.push_str(&format!(
                "{:>10}  {situation}\n",
                self.situations.get(*situation)
            ));
        }
        for situation in self.missing(level) {
            words.push_str(&format!("never: {situation}\n"));
        }
        if let Some((seed, failure)) = &self.failure {
            words.push_str(&format!(
                "seed {seed} {failure}\nreproduce: {}\n",
                reproduce(level, *seed)
            ));
        }
        words
    }
}

/// The command that runs a seed again.
#[must_use]
pub fn reproduce(level: Level, seed: u64) -> String {
    let scenario = match level {
        Level::Engine => "",
        Level::Server => " --scenario random",
    };
    format!(
        "cargo run --release -p tradewire-sim -- run --level {}{scenario} --seed {seed}",
        level.name()
    )
}
