//! Leaving: every client is told, then closed at its own moment, so that they do not all come back
//! elsewhere at once.
//!
//! Clients are closed at the transport: a stock client does not come back after a DISCONNECT.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connection::Life;
use crate::deadlines::Due;
use crate::effect::{Control, Effect, Effects, Note};
use crate::engine::Engine;
use crate::ids::ConnId;
use crate::reason::CloseReason;
use crate::time::{Timestamp, WallTime, millis};

/// After a second signal, how long what is pending may still take.
const HURRIED_FLUSH: Duration = Duration::from_millis(500);

/// A drain under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) wall: WallTime,
    /// Until when closes are spread.
    pub(crate) window_end: Timestamp,
    /// When whatever is left is ended.
    pub(crate) end: Timestamp,
    /// Whether the driver was told that it may exit.
    pub(crate) finished: bool,
}

impl Engine {
    pub(crate) fn start_drain(&mut self, wall: WallTime, effects: &mut Effects) {
        if self.drain.is_some() {
            return;
        }
        let window = self.config.limits.drain_window;
        let end = self.now + self.config.limits.drain_deadline;
        self.deadlines.set(end, Due::DrainEnd);
        let drain = Drain {
            wall,
            window_end: self.now + window,
            end,
            finished: false,
        };
        self.drain = Some(drain);
        let live: Vec<ConnId> = self
            .crowd
            .live
            .iter()
            .filter_map(|slot| Some(self.crowd.at(*slot)?.id))
            .collect();
        // Evenly over the window, neither at its very beginning nor at its very end.
        let told = u32::try_from(live.len()).unwrap_or(u32::MAX);
        let share = millis(window) / (u64::from(told) + 1);
        let rest = millis(window) % (u64::from(told) + 1);
        for (turn, conn) in (1u64..).zip(live) {
            let wait = share * turn + rest * turn / (u64::from(told) + 1);
            self.tell_shutdown(conn, Duration::from_millis(wait), effects);
        }
        effects.note(Note::Draining { told });
        self.stop_intake(effects);
        let strangers: Vec<ConnId> = self
            .crowd
            .iter()
            .filter(|connection| connection.member().is_none())
            .map(|connection| connection.id)
            .collect();
        for conn in strangers {
            self.close(conn, CloseReason::Draining, effects);
        }
    }

    /// A member that becomes live while the node leaves is told like the others.
    pub(crate) fn join_drain(&mut self, conn: ConnId, effects: &mut Effects) {
        let Some(drain) = &self.drain else { return };
        let left = drain.window_end.since(self.now);
        self.tell_shutdown(conn, left / 2, effects);
    }

    fn tell_shutdown(&mut self, conn: ConnId, wait: Duration, effects: &mut Effects) {
        let Some(Drain { wall, .. }) = self.drain else {
            return;
        };
        let at = self.now + wait;
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        if let Life::Live { drains_at, .. } = &mut member.life {
            *drains_at = Some(at);
        }
        self.deadlines.set(at, Due::DrainClose(conn));
        let control = Control::Shutdown {
            wall,
            reconnect_in_ms: millis(wait),
        };
        self.crowd.tell(effects, conn, None, control);
    }

    /// A second signal: everyone is told by now, so everyone is closed.
    pub(crate) fn hurry_drain(&mut self, effects: &mut Effects) {
        let Some(drain) = &mut self.drain else { return };
        if drain.finished {
            return;
        }
        let end = drain.end.min(self.now + HURRIED_FLUSH);
        self.deadlines.unset(drain.end, Due::DrainEnd);
        self.deadlines.set(end, Due::DrainEnd);
        drain.end = end;
        drain.window_end = drain.window_end.min(self.now);
        let members: Vec<ConnId> = self.crowd.iter().map(|connection| connection.id).collect();
        for conn in members {
            self.close(conn, CloseReason::Draining, effects);
        }
    }

    /// How long a close may wait for what is pending: as long as the drain itself.
    pub(crate) fn drain_flush(&self) -> Duration {
        self.drain
            .as_ref()
            .map_or(Duration::ZERO, |drain| drain.end.since(self.now))
    }

    /// The deadline: whatever is left is ended by the process's exit.
    pub(crate) fn end_drain(&mut self, effects: &mut Effects) {
        if let Some(drain) = &mut self.drain {
            drain.finished = true;
            effects.push(Effect::Drained);
        }
    }

    /// Ends a drain as soon as nobody is left.
    pub(crate) fn finish_drain(&mut self, effects: &mut Effects) {
        let Some(drain) = &self.drain else { return };
        let (end, finished) = (drain.end, drain.finished);
        if !finished
            && self.crowd.count() == 0
            && self.publishes.is_empty()
            && (!self.is_reached() || self.held.len() == 0)
        {
            self.deadlines.unset(end, Due::DrainEnd);
            self.end_drain(effects);
        }
    }
}
