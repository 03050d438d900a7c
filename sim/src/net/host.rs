//! A host and its time: clocks that run at speeds of their own, and walls that disagree.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_server::clock::Clock;

/// One host. A machine that comes back after a crash is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

impl HostId {
    pub(super) const fn new(index: usize) -> Self {
        Self(index)
    }

    pub(super) const fn index(self) -> usize {
        self.0
    }
}

/// The wall's time when a simulation begins: 2026-01-15 14:30 UTC, in a trading week.
pub const EPOCH: Duration = Duration::from_secs(1_768_487_400);

/// A million: the speed of a clock that is right.
const PER_MILLION: u64 = 1_000_000;

/// How a host's clocks differ from the world's.
#[derive(Clone, Debug)]
pub struct HostTime {
    /// Microseconds that its monotonic clock counts in a second.
    speed: u64,
    /// Milliseconds that its wall is ahead.
    ahead: Arc<AtomicI64>,
}

impl Default for HostTime {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl HostTime {
    /// Clocks that gain `drift` microseconds in each second, on a wall that is `ahead` by milliseconds.
    #[must_use]
    pub fn new(drift: i32, ahead: i64) -> Self {
        Self {
            speed: PER_MILLION.saturating_add_signed(i64::from(drift)),
            ahead: Arc::new(AtomicI64::new(ahead)),
        }
    }

    /// Sets the wall to be ahead by so many milliseconds, at once: walls may jump.
    pub fn set_ahead(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// How much this host's clock counts in a span of the world's.
    pub(super) fn counted(&self, span: Duration) -> Duration {
        let micros = span.as_micros() * u128::from(self.speed) / u128::from(PER_MILLION);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What the wall says, since 1970, when `elapsed` has passed by this host's clock.
    pub(super) fn wall(&self, elapsed: Duration) -> Duration {
        let right = EPOCH + elapsed;
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 {
            right.saturating_sub(by)
        } else {
            right + by
        }
    }
}

/// The clock that a server on a host is given. Its milliseconds are those of the host's runtime, so
/// that timers and decisions agree.
#[derive(Clone, Debug)]
pub struct HostClock {
    time: HostTime,
    /// When the host was switched on, by its runtime and by the world.
    booted: Instant,
    booted_after: Duration,
}

impl HostClock {
    pub(super) const fn new(time: HostTime, booted: Instant, booted_after: Duration) -> Self {
        Self {
            time,
            booted,
            booted_after,
        }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(millis(self.booted.elapsed()))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.booted + at.since(Timestamp::ZERO)
    }

    fn wall(&self) -> WallTime {
        let elapsed = self.booted_after + self.booted.elapsed();
        WallTime::from_unix_ms(millis(self.time.wall(elapsed)))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains_what_it_was_told() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(HostTime::default().counted(hour), hour);
        assert_eq!(
            HostTime::new(500, 0).counted(hour),
            hour + Duration::from_micros(500 * 3_600)
        );
        assert_eq!(
            HostTime::new(-500, 0).counted(hour),
            hour - Duration::from_micros(500 * 3_600)
        );
    }

    #[test]
    fn a_wall_may_be_ahead_behind_and_jump() {
        let time = HostTime::new(0, -1_500);
        let second = Duration::from_secs(1);
        assert_eq!(time.wall(second), EPOCH - Duration::from_millis(500));
        time.set_ahead(2_000);
        assert_eq!(time.wall(second), EPOCH + 3 * second);
    }
}
