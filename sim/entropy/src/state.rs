//! What a simulated thread knows: its generator's state and its time.
//!
//! Plain cells without destructors, so that they can be read at any moment of a thread's life, its last
//! included. Nothing here may draw chance, read a clock or allocate: everything that does ends up here.

use core::cell::Cell;
use core::marker::PhantomData;
use core::time::Duration;

/// Where a simulated thread's monotonic clock begins. Not at zero: programs subtract from what they read.
const ORIGIN: Duration = Duration::from_secs(1_000);

thread_local! {
    static STATE: Cell<Option<State>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct State {
    generator: u64,
    monotonic: Duration,
    wall: Duration,
}

/// Makes the thread that holds it a simulated one, until it is dropped.
#[derive(Debug)]
pub struct Simulated {
    /// It must end on the thread that it began on.
    thread: PhantomData<*const ()>,
}

/// The thread is simulated already: one simulation a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this thread is simulated already: run each simulation on a thread of its own")]
pub struct AlreadySimulated;

impl Simulated {
    /// Begins with the clocks at their origins: the monotonic one at its own, the wall's at `epoch` after
    /// 1970.
    ///
    /// # Errors
    /// When this thread is simulated already.
    pub fn begin(seed: u64, epoch: Duration) -> Result<Self, AlreadySimulated> {
        if STATE.get().is_some() {
            return Err(AlreadySimulated);
        }
        STATE.set(Some(State {
            generator: seed,
            monotonic: ORIGIN,
            wall: epoch,
        }));
        Ok(Self {
            thread: PhantomData,
        })
    }

    /// Sets this thread's clocks: `elapsed` since the simulation began, and the wall's time since 1970.
    ///
    /// The caller decides whether they go forward; hosts with clocks of their own share one thread.
    pub fn set_time(&self, elapsed: Duration, wall: Duration) {
        STATE.set(STATE.get().map(|state| State {
            monotonic: ORIGIN + elapsed,
            wall,
            ..state
        }));
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        STATE.set(None);
    }
}

/// The simulated monotonic and wall time, if this thread is simulated.
pub(crate) fn time() -> Option<(Duration, Duration)> {
    STATE.get().map(|state| (state.monotonic, state.wall))
}

/// The next word of this thread's generator, if it is simulated. SplitMix64: what draws from here seeds
/// generators of its own.
pub(crate) fn word() -> Option<u64> {
    let state = STATE.get()?;
    let generator = state.generator.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some(State { generator, ..state }));
    let mut word = generator;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(word ^ (word >> 31))
}
