//! One try: a run in a process of its own, this very program, which says what came of it.
//!
//! A process runs one simulation, as in a swarm. The document goes in by standard input; what came of it is
//! the last line of what a brief run says.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::scenarios::random::{Document, Size};
use crate::shrink::way;
use crate::swarm::Failure;

/// What the line begins with in which a run tells how it failed.
const FAILED: &str = "failed ";

/// Exit code of a run that could not be made.
const NOT_RUN: u8 = 2;

/// Exit code of a run that panicked.
const CRASHED: u8 = 4;

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no process.
    #[error("this program cannot be started: {0}")]
    Start(#[from] io::Error),
    /// The document cannot be handed over.
    #[error("the run cannot be written down: {0}")]
    Written(#[from] serde_json::Error),
    /// It was not run.
    #[error("{0}")]
    NotRun(String),
}

/// How a run failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    /// Its exit code.
    pub(super) code: u8,
    /// The guarantee, and the words without names and figures.
    pub(super) way: String,
    /// How large it was; a run that panicked cannot tell.
    pub(super) size: Option<Size>,
    /// The end of its log, and what the oracle said.
    pub(super) told: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    way: String,
    size: Size,
}

/// The line of a run that failed, for whoever started the process.
#[must_use]
pub fn said(failure: &Failure, size: Size) -> String {
    let line = Line {
        way: way(failure),
        size,
    };
    // Strings and numbers can always be written.
    let text = serde_json::to_string(&line).unwrap_or_default();
    format!("{FAILED}{text}")
}

/// Runs a document in a process of its own; nothing comes of one that keeps every promise.
pub(super) fn run(document: &Document) -> Result<Option<Failed>, ProcessError> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["run", "--scenario", "random", "--brief"])
        .args(["--script", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = process.stdin.take() {
        input.write_all(document.write()?.as_bytes())?;
    }
    let ran = process.wait_with_output()?;
    let code = ran.status.code().and_then(|code| u8::try_from(code).ok());
    let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
    match code {
        Some(0) => Ok(None),
        Some(NOT_RUN) => Err(ProcessError::NotRun(errors)),
        code => {
            let said = String::from_utf8_lossy(&ran.stdout);
            Ok(Some(failed(code.unwrap_or(CRASHED), &said, &errors)))
        }
    }
}

fn failed(code: u8, said: &str, errors: &str) -> Failed {
    let (told, last) = said
        .trim_end()
        .rsplit_once('\n')
        .unwrap_or(("", said.trim_end()));
    let line = last.strip_prefix(FAILED);
    match line.and_then(|line| serde_json::from_str::<Line>(line).ok()) {
        Some(Line { way, size }) => Failed {
            code,
            way,
            size: Some(size),
            told: told.to_owned(),
        },
        None => Failed {
            code,
            way: way(&Failure::Crashed(errors.to_owned())),
            size: None,
            told: format!("{said}{errors}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Guarantee, Violation};

    #[test]
    fn a_failure_reads_back_as_it_was_told() {
        let size = Size {
            ms: 7,
            ..Size::default()
        };
        let violation = Violation {
            guarantee: Guarantee::G3,
            at: 7,
            facts: "market went back at c1".to_owned(),
        };
        let line = said(&Failure::from(violation), size.clone());
        let read = failed(1, &format!("log\nmore\n{line}\n"), "");
        assert_eq!((read.code, read.told.as_str()), (1, "log\nmore"));
        assert_eq!(
            (read.way.as_str(), read.size),
            ("G3 went back at", Some(size))
        );
    }

    #[test]
    fn a_crash_is_known_by_what_it_said() {
        let one = failed(
            4,
            "log\n",
            "thread '<unnamed>' (17) panicked at x.rs:3:1:\nno such thing",
        );
        let other = failed(
            4,
            "",
            "thread '<unnamed>' (18) panicked at x.rs:3:1:\nno such thing",
        );
        assert_eq!(one.way, other.way);
        assert!(one.way.contains("no such thing") && one.size.is_none());
    }
}
