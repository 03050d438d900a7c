//! The only reader of clocks: the engine's time and the wall's.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tradewire_engine::time::{Timestamp, WallTime};

/// Where time comes from.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Milliseconds since this clock's origin; never goes back.
    fn now(&self) -> Timestamp;

    /// The instant, for timers, at which [`Self::now`] will be `at`.
    fn instant(&self, at: Timestamp) -> Instant;

    /// The wall's time, which may jump.
    fn wall(&self) -> WallTime;

    /// For measuring what something takes; nothing is decided by it.
    fn precise(&self) -> Instant {
        Instant::now()
    }
}

/// The machine's clocks, with the origin where it was made.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts counting now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.origin.elapsed().as_millis();
        Timestamp::from_ms(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.origin + at.since(Timestamp::ZERO)
    }

    fn wall(&self) -> WallTime {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads it"
        )]
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        WallTime::from_unix_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
