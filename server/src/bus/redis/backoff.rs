//! How long to wait between attempts: longer after each, and never in step with other nodes.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The wait after the first failure, in milliseconds.
const FIRST_MS: u64 = 100;

/// The longest wait before jitter, in milliseconds.
const LONGEST_MS: u64 = 2_000;

/// Waits between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    chance: StdRng,
    /// What the next wait is about; 0 is no wait.
    about_ms: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: StdRng::seed_from_u64(seed),
            about_ms: FIRST_MS,
        }
    }

    /// After what had worked the next attempt comes at once.
    pub(super) fn reset(&mut self) {
        self.about_ms = 0;
    }

    /// How long to wait before the next attempt.
    pub(super) fn next_wait(&mut self) -> Duration {
        let about = self.about_ms;
        self.about_ms = (about * 2).clamp(FIRST_MS, LONGEST_MS);
        // Half as long to half as long again.
        Duration::from_millis(self.chance.random_range(about / 2..=about + about / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(1);
        for about in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let wait = backoff.next_wait().as_millis();
            assert!(
                (about / 2..=about * 3 / 2).contains(&wait),
                "{wait} is not about {about}"
            );
        }
        backoff.reset();
        assert_eq!(backoff.next_wait(), Duration::ZERO);
        let wait = backoff.next_wait().as_millis();
        assert!((50..=150).contains(&wait), "{wait}");
    }

    #[test]
    fn nodes_with_other_seeds_wait_differently() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..5).map(|_| backoff.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
