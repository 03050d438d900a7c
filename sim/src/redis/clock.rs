//! The wall clock of the simulated Redis: that of the runtime, from any origin, at any speed.
//!
//! Expiry, stream ids, `TIME` and the end of blocking reads all go by it, as they do in Redis.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// The speed at which a simulated second takes a second.
pub(super) const EVEN: NonZeroU32 = match NonZeroU32::new(1_000_000) {
    Some(even) => even,
    None => NonZeroU32::MIN,
};

/// A clock that may be set and may run fast or slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    since: Instant,
    /// What it showed then, in microseconds since the Unix epoch.
    then: u64,
    /// Its microseconds in a second of the runtime.
    speed: NonZeroU32,
}

impl Clock {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            since: Instant::now(),
            then: micros(now),
            speed: EVEN,
        }
    }

    /// Microseconds since the Unix epoch.
    pub(super) fn now_us(&self) -> u64 {
        let passed = self.since.elapsed().as_micros() * u128::from(self.speed.get());
        let passed = passed / u128::from(EVEN.get());
        self.then
            .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    pub(super) fn set(&mut self, now: Duration) {
        self.then = micros(now);
        self.since = Instant::now();
    }

    pub(super) fn set_speed(&mut self, speed: NonZeroU32) {
        self.then = self.now_us();
        self.since = Instant::now();
        self.speed = speed;
    }

    /// When it will show `ms`, unless it is set before.
    pub(super) fn instant_of(&self, ms: u64) -> Instant {
        let ahead = u128::from(ms.saturating_mul(1_000).saturating_sub(self.now_us()));
        let speed = u128::from(self.speed.get());
        let wait = (ahead * u128::from(EVEN.get())).div_ceil(speed);
        // Further off than any run lasts is as good as never.
        let wait = u64::try_from(wait).unwrap_or(u64::MAX).min(1 << 50);
        Instant::now() + Duration::from_micros(wait)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_can_jump_and_run_at_another_speed() {
        let mut clock = Clock::new(Duration::from_secs(100));
        advance(Duration::from_millis(5)).await;
        assert_eq!(clock.now_us(), 100_005_000);
        clock.set_speed(NonZeroU32::new(2_000_000).unwrap());
        advance(Duration::from_millis(5)).await;
        assert_eq!(clock.now_ms(), 100_015);
        clock.set(Duration::from_secs(50));
        assert_eq!(clock.now_ms(), 50_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_will_show_it_shows_then() {
        let mut clock = Clock::new(Duration::from_secs(100));
        for speed in [1, 333_333, 1_000_000, 7_000_000] {
            clock.set_speed(NonZeroU32::new(speed).unwrap());
            let next = clock.now_ms() + 3;
            sleep_until(clock.instant_of(next)).await;
            assert!(clock.now_ms() >= next, "at {speed}");
        }
        let _ = clock.instant_of(u64::MAX);
    }
}
