//! What the doctor found, and how it is put to people: a line for each check.

use core::fmt;
use std::time::Duration;

use crate::config::RedisUrl;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// A server works with it, with a risk.
    Warning,
    /// A server does not work with it.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word.
    pub name: &'static str,
    /// How it went.
    pub grade: Grade,
    /// What was found, on one line.
    pub found: String,
    /// What to do, unless that was said with what was found.
    pub mend: String,
}

impl Check {
    pub(super) const fn ok(name: &'static str, found: String) -> Self {
        Self {
            name,
            grade: Grade::Ok,
            found,
            mend: String::new(),
        }
    }

    pub(super) fn warning(name: &'static str, found: String, mend: &str) -> Self {
        Self {
            name,
            grade: Grade::Warning,
            found,
            mend: mend.to_owned(),
        }
    }

    pub(super) fn failure(name: &'static str, found: String, mend: &str) -> Self {
        Self {
            name,
            grade: Grade::Failure,
            found,
            mend: mend.to_owned(),
        }
    }
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct Report {
    redis: String,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(redis: &RedisUrl) -> Self {
        Self {
            redis: redis.to_string(),
            checks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// What was looked at, in that order. After a connection that failed there is no more.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Whether a server works with this Redis.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.count(Grade::Failure) == 0
    }

    fn count(&self, grade: Grade) -> usize {
        let of_grade = |check: &&Check| check.grade == grade;
        self.checks.iter().filter(of_grade).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.redis)?;
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        let (warnings, failures) = (self.count(Grade::Warning), self.count(Grade::Failure));
        let verdict = match (failures, warnings) {
            (0, 0) => "a server works with this Redis",
            (0, _) => "a server works with this Redis, at the risks above",
            (_, _) => "a server does not work with this Redis as it is",
        };
        writeln!(
            f,
            "{verdict} ({} ok, {warnings} warned, {failures} failed)",
            self.count(Grade::Ok)
        )
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warning => "warn",
            Grade::Failure => "fail",
        };
        write!(f, "{grade:<5} {:<12} {}", self.name, self.found)?;
        if self.mend.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.mend)
        }
    }
}

/// A span for people, in milliseconds.
pub(super) fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_check_and_a_verdict() {
        let url = RedisUrl::parse("redis://:s3cret@localhost/1").unwrap();
        let mut report = Report::new(&url);
        report.add(Check::ok("connect", "reached".to_owned()));
        assert!(report.is_healthy());
        let text = report.to_string();
        assert!(text.ends_with("a server works with this Redis (1 ok, 0 warned, 0 failed)\n"));
        report.add(Check::warning("clock", "off".to_owned(), "run NTP"));
        assert!(report.is_healthy());
        report.add(Check::failure("stream", "gone".to_owned(), ""));
        assert!(!report.is_healthy());
        assert_eq!(
            report.to_string(),
            "redis://localhost:6379/1\n\
             ok    connect      reached\n\
             warn  clock        off; run NTP\n\
             fail  stream       gone\n\
             a server does not work with this Redis as it is (1 ok, 1 warned, 1 failed)\n"
        );
        assert_eq!(millis(Duration::from_micros(1_234)), "1.23 ms");
    }
}
