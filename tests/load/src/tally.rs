//! What the clients have received: how many, how late, in which order.
//!
//! Lateness is counted from when an event was meant to be published, which it carries: a publisher that
//! is held up by the server does not make the server look faster (coordinated omission).

use std::time::Instant;

use hdrhistogram::Histogram;
use memchr::memmem::Finder;
use serde::Serialize;

use crate::error::BenchError;

/// The longest lateness that is told apart, in microseconds.
const LATE_MAX_US: u64 = 600_000_000;

/// What all clients of a run have in common.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    sequence: Finder<'static>,
    due: Finder<'static>,
    /// Of the current phase.
    pub(crate) received: u64,
    pub(crate) late: u64,
    pub(crate) out_of_order: u64,
    latency: Histogram<u64>,
    late_us: u64,
    /// Of the run.
    pub(crate) closed: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// The percentiles of a histogram of microseconds.
pub(crate) fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |q| histogram.value_at_quantile(q) as f64 / 1_000.0;
    Percentiles {
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: histogram.max() as f64 / 1_000.0,
    }
}

/// A histogram of microseconds.
pub(crate) fn histogram() -> Result<Histogram<u64>, BenchError> {
    Ok(Histogram::new_with_bounds(1, LATE_MAX_US, 3)?)
}

impl Tally {
    pub(crate) fn new() -> Result<Self, BenchError> {
        Ok(Self {
            started: Instant::now(),
            sequence: Finder::new(br#""seq":"#),
            due: Finder::new(br#""due":"#),
            received: 0,
            late: 0,
            out_of_order: 0,
            latency: histogram()?,
            late_us: u64::MAX,
            closed: 0,
        })
    }

    /// Begins a phase, in which what takes longer than `late_us` is late.
    pub(crate) fn begin(&mut self, late_us: u64) {
        self.received = 0;
        self.late = 0;
        self.out_of_order = 0;
        self.latency.reset();
        self.late_us = late_us;
    }

    /// Microseconds since the run began: the clock of everything that is published.
    pub(crate) fn clock_us(&self) -> u64 {
        micros(self.started.elapsed())
    }

    /// Counts an event of which a client has received all before `next`.
    pub(crate) fn event(&mut self, text: &[u8], next: &mut u64, now_us: u64) {
        let (Some(sequence), Some(due)) = (
            number_after(&self.sequence, text),
            number_after(&self.due, text),
        ) else {
            return;
        };
        if sequence < *next {
            self.out_of_order += 1;
            return;
        }
        *next = sequence + 1;
        let late = now_us.saturating_sub(due);
        self.received += 1;
        self.late += u64::from(late > self.late_us);
        self.latency.saturating_record(late);
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        percentiles(&self.latency)
    }
}

/// Whole microseconds.
pub(crate) fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn number_after(key: &Finder<'_>, text: &[u8]) -> Option<u64> {
    let begin = key.find(text)? + key.needle().len();
    let digits = text.get(begin..)?.iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64, due: u64) -> Vec<u8> {
        format!(r#"42["quote:update",{{"due":{due},"price":1.5,"seq":{sequence}}}]"#).into_bytes()
    }

    #[test]
    fn lateness_is_from_when_an_event_was_due() {
        let mut tally = Tally::new().unwrap();
        tally.begin(200_000);
        let mut next = 0;
        tally.event(&event(0, 1_000_000), &mut next, 1_150_000);
        tally.event(&event(1, 1_000_000), &mut next, 1_250_000);
        assert_eq!((tally.received, tally.late, next), (2, 1, 2));
        assert!((tally.percentiles().max_ms - 250.0).abs() < 1.0);
    }

    #[test]
    fn what_comes_twice_or_too_late_is_not_received() {
        let mut tally = Tally::new().unwrap();
        tally.begin(200_000);
        let mut next = 0;
        for sequence in [0, 2, 1, 2] {
            tally.event(&event(sequence, 0), &mut next, 1);
        }
        assert_eq!((tally.received, tally.out_of_order), (2, 2));
    }

    #[test]
    fn what_is_not_of_the_load_is_passed_over() {
        let mut tally = Tally::new().unwrap();
        let mut next = 0;
        tally.event(br#"42["market:status",{"isOpen":true}]"#, &mut next, 1);
        assert_eq!((tally.received, tally.out_of_order, next), (0, 0, 0));
    }
}
