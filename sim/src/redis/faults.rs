//! What can befall a Redis, as methods of its handle.
//!
//! Faults of the network are the network's: here is only what the process and its host do.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::Redis;

/// What a stop does to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All is there again after the restart.
    Nothing,
    /// What was written in the last so much time is gone, as far back as
    /// [`super::Settings::undo_max`] reaches.
    Latest(Duration),
    /// All is gone.
    Everything,
}

/// Why writes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRefusal {
    /// It became a replica: no writes at all.
    ReadOnly,
    /// It is full: no writes that may take more memory.
    OutOfMemory,
}

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// It works; each command takes this long, one after the other.
    Serving(Duration),
    /// It reads and does nothing.
    Hanging,
    /// It does not even read.
    Paused,
    /// It is not there.
    Stopped,
}

impl Redis {
    /// Goes on normally, after whatever was done with [`Self::slow`], [`Self::hang`] or [`Self::pause`].
    /// A stopped Redis stays so.
    pub fn resume(&self) {
        self.change_activity(Activity::Serving(Duration::ZERO));
    }

    /// Lets each command take `each`, one after the other for all clients together.
    pub fn slow(&self, each: Duration) {
        self.change_activity(Activity::Serving(each));
    }

    /// Accepts and reads, and neither does nor answers anything. What piled up is done on
    /// [`Self::resume`], even for those who have left.
    pub fn hang(&self) {
        self.change_activity(Activity::Hanging);
    }

    /// Does nothing at all, as after SIGSTOP: what is sent stays in the network.
    pub fn pause(&self) {
        self.change_activity(Activity::Paused);
    }

    /// Ends at once: all connections are closed, and new ones as soon as they are served.
    pub fn stop(&self, loss: Loss) {
        self.set_activity(Activity::Stopped);
        // First of all: no script may be half way.
        let mut scripts = self.scripts();
        scripts.forget();
        let mut core = self.core();
        core.disconnect_all();
        match loss {
            Loss::Nothing => {}
            Loss::Latest(span) => core.lose(span),
            Loss::Everything => core.lose_everything(),
        }
    }

    /// Begins another run after [`Self::stop`], which answers `LOADING` for so long.
    pub fn start(&self, loading: Duration) {
        self.core().loading_until = Some(Instant::now() + loading);
        self.set_activity(Activity::Serving(Duration::ZERO));
    }

    /// Refuses writes from now on, or takes them again.
    pub fn refuse_writes(&self, why: Option<WriteRefusal>) {
        self.core().refuses_writes = why;
    }

    /// Forgets the scripts that were loaded, as SCRIPT FLUSH does.
    pub fn forget_scripts(&self) {
        self.scripts().forget();
    }

    /// Lets the wall clock show `now`, as time since the Unix epoch. Expiry and blocking reads go by it.
    pub fn set_clock(&self, now: Duration) {
        self.core().clock.set(now);
        self.shared.changed.notify_waiters();
    }

    /// Lets the wall clock run at `speed`, in its microseconds for each second.
    pub fn set_clock_speed(&self, speed: NonZeroU32) {
        self.core().clock.set_speed(speed);
        self.shared.changed.notify_waiters();
    }

    /// What the wall clock shows, as time since the Unix epoch.
    pub fn clock(&self) -> Duration {
        Duration::from_micros(self.core().clock.now_us())
    }

    fn change_activity(&self, activity: Activity) {
        if self.activity() != Activity::Stopped {
            self.set_activity(activity);
        }
    }
}
