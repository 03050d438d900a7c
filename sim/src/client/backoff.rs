//! How long a stock client waits before it tries again: `backo2` with `socket.io-client`'s defaults.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The first wait, in milliseconds, before chance changes it.
const FIRST_MS: f64 = 1_000.0;

/// The longest wait, in milliseconds.
const LONGEST_MS: f64 = 5_000.0;

/// By how much chance changes a wait, as a part of it.
const JITTER: f64 = 0.5;

/// The waits of one client.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempts: i32,
    chance: StdRng,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            attempts: 0,
            chance: StdRng::seed_from_u64(seed),
        }
    }

    /// The next wait, which is longer than the one before but for chance.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = FIRST_MS * 2_f64.powi(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        let drawn: f64 = self.chance.random();
        let deviation = (drawn * JITTER * whole).floor();
        // The first decimal of what was drawn decides the sign.
        let wait = if (drawn * 10.0).floor() % 2.0 == 0.0 {
            whole - deviation
        } else {
            whole + deviation
        };
        Duration::from_secs_f64(wait.min(LONGEST_MS).floor() / 1_000.0)
    }

    /// Begins anew, as after a success.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_within_the_jitter() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            for whole in [1_000, 2_000, 4_000] {
                let wait = backoff.next().as_millis();
                assert!(
                    (whole / 2..=(whole * 3 / 2).min(5_000)).contains(&wait),
                    "{wait}"
                );
            }
            for _ in 0..1_100 {
                let wait = backoff.next().as_millis();
                assert!((4_000..=5_000).contains(&wait), "{wait}");
            }
            backoff.reset();
            assert!(backoff.next() <= Duration::from_millis(1_500));
        }
    }

    #[test]
    fn clients_of_different_seeds_do_not_march_in_step() {
        assert_ne!(Backoff::new(1).next(), Backoff::new(2).next());
    }
}
