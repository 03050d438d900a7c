//! Rate limits in integers: sliding windows per user, a token bucket per connection.
//!
//! Nothing here knows what is being limited.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::time::{Timestamp, millis};

/// The most recent admissions of one kind: exact, since it remembers as many as the limit counts.
///
/// Most users have one or two, which stay here for a minute after everything else of theirs is gone:
/// with no memory of their own they leave no holes between what others are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    admitted: SmallVec<[Timestamp; 2]>,
}

impl Window {
    /// After how long one more admission would be within `limit` in any span of `window`, if not now.
    pub(crate) fn wait(&self, now: Timestamp, limit: u32, window: Duration) -> Option<Duration> {
        let limit = limit as usize;
        if self.admitted.len() < limit {
            return None;
        }
        // The admission that must have left the window is the `limit`th from the newest.
        let oldest = *self.admitted.get(self.admitted.len() - limit)?;
        let free_at = oldest + window;
        if now >= free_at {
            None
        } else {
            Some(free_at.since(now))
        }
    }

    /// When the newest admission leaves `window`, if there is one.
    pub(crate) fn empty_at(&self, window: Duration) -> Option<Timestamp> {
        self.admitted.last().map(|newest| *newest + window)
    }

    /// Counts an admission, and forgets what `limit` does not need.
    pub(crate) fn count(&mut self, now: Timestamp, limit: u32) {
        self.admitted.push(now);
        let excess = self.admitted.len().saturating_sub(limit as usize);
        self.admitted.drain(..excess);
    }
}

/// Tokens that come back evenly; one event costs [`TOKEN`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    millitokens: u64,
    filled_at: Timestamp,
}

/// Thousandths, so that a rate per second fills in whole numbers per millisecond.
const TOKEN: u64 = 1000;

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(now: Timestamp, burst: u32) -> Self {
        Self {
            millitokens: u64::from(burst) * TOKEN,
            filled_at: now,
        }
    }

    /// Takes one token if there is one.
    pub(crate) fn take(&mut self, now: Timestamp, per_second: u32, burst: u32) -> bool {
        let gained = millis(now.since(self.filled_at)).saturating_mul(u64::from(per_second));
        let full = u64::from(burst) * TOKEN;
        self.millitokens = self.millitokens.saturating_add(gained).min(full);
        self.filled_at = now;
        if self.millitokens < TOKEN {
            return false;
        }
        self.millitokens -= TOKEN;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn a_window_admits_again_exactly_when_the_oldest_leaves_it() {
        let mut window = Window::default();
        for ms in [0, 10, 20] {
            assert_eq!(window.wait(at(ms), 3, MINUTE), None);
            window.count(at(ms), 3);
        }
        assert_eq!(
            window.wait(at(59_999), 3, MINUTE),
            Some(Duration::from_millis(1))
        );
        assert_eq!(window.wait(at(60_000), 3, MINUTE), None);
        window.count(at(60_000), 3);
        assert_eq!(
            window.wait(at(60_000), 3, MINUTE),
            Some(Duration::from_millis(10))
        );
    }

    #[test]
    fn admissions_beyond_the_limit_push_the_next_one_back() {
        let mut window = Window::default();
        window.count(at(0), 1);
        window.count(at(50_000), 1);
        assert_eq!(window.admitted.len(), 1);
        assert_eq!(
            window.wait(at(60_000), 1, MINUTE),
            Some(Duration::from_secs(50))
        );
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::full(at(0), 200);
        assert!((0..200).all(|_| bucket.take(at(0), 100, 200)));
        assert!(!bucket.take(at(0), 100, 200));
        assert!(!bucket.take(at(9), 100, 200));
        assert!(bucket.take(at(10), 100, 200));
        assert!(!bucket.take(at(10), 100, 200));
        assert!((0..200).all(|_| bucket.take(at(1_000_000), 100, 200)));
        assert!(!bucket.take(at(1_000_000), 100, 200));
    }
}
