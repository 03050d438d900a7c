//! A run of real servers as a process of its own: this very program, which says what came of it.
//!
//! A process runs one simulation: what an earlier one left behind in it would show in a later one.

use std::process::{Command, Stdio};

use super::Failure;
use crate::engines::Outcome;
use crate::oracle::Situations;

/// What the line begins with in which a run tells its sums.
const SUMS: &str = "sums";

/// The line of a run's sums, for whoever started the process.
#[must_use]
pub fn sums(simulated_ms: u64, situations: &Situations) -> String {
    let mut line = format!("{SUMS} {simulated_ms}");
    for count in situations.counts() {
        line.push_str(&format!(" {count}"));
    }
    line
}

fn read_sums(line: &str) -> Option<Outcome> {
    let mut numbers = line.strip_prefix(SUMS)?.split_whitespace().map(str::parse);
    let simulated_ms = numbers.next()?.ok()?;
    let counts: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
    Some(Outcome {
        verdict: Ok(()),
        situations: Situations::from_counts(counts)?,
        inputs: 0,
        simulated_ms,
    })
}

/// Runs a seed in a process of its own.
pub(super) fn run(seed: u64) -> (Result<(), Failure>, Option<Outcome>) {
    let crashed = |text: String| (Err(Failure::Crashed(text)), None);
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return crashed(format!("this program cannot be found: {error}")),
    };
    let ran = Command::new(program)
        .args([
            "run",
            "--level",
            "server",
            "--scenario",
            "random",
            "--brief",
        ])
        .args(["--seed", &seed.to_string()])
        .stdin(Stdio::null())
        .output();
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return crashed(format!("this program cannot be started: {error}")),
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    let outcome = said.lines().last().and_then(read_sums);
    if ran.status.success() && outcome.is_some() {
        return (Ok(()), outcome);
    }
    let errors = String::from_utf8_lossy(&ran.stderr);
    let failure = Failure::Told {
        // One that was killed has none, and one that says nothing has not run to its end.
        code: ran
            .status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .filter(|code| *code != 0),
        text: format!("{said}{errors}"),
    };
    (Err(failure), outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Situation;

    #[test]
    fn sums_read_back_as_they_were_told() {
        let mut situations = Situations::default();
        situations.count(Situation::Vanished);
        let outcome = read_sums(&sums(12, &situations)).unwrap();
        assert_eq!(outcome.simulated_ms, 12);
        assert_eq!(outcome.situations, situations);
        for line in ["", "sums", "sums 1", "sums 1 x", "other 1 2"] {
            assert!(read_sums(line).is_none(), "{line}");
        }
    }
}
