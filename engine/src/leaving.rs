//! From admission to the end of the transport: who is closed, how, and what is given back.
//!
//! What a stock client should come back from is closed at the transport; only one that may not come
//! back is sent a Socket.IO DISCONNECT first.

use core::time::Duration;

use crate::connection::{Life, Member, Stage};
use crate::deadlines::Due;
use crate::effect::{Control, Effect, Effects, Note};
use crate::engine::Engine;
use crate::ids::ConnId;
use crate::reason::{ClientError, CloseReason};

impl Engine {
    pub(crate) fn disconnected(&mut self, conn: ConnId, effects: &mut Effects) {
        let Some(member) = self.crowd.member(conn) else {
            return;
        };
        if let Some(user) = self.users.get(member.user) {
            let user = user.id.clone();
            effects.note(Note::Disconnected { conn, user });
        }
        self.retire(conn, effects);
        // One transport serves one client: one that only left the namespace must open another.
        effects.push(Effect::Close {
            conn,
            reason: CloseReason::Left,
            flush: Duration::ZERO,
        });
    }

    pub(crate) fn closed(&mut self, conn: ConnId, effects: &mut Effects) {
        if self.crowd.get(conn).is_none() {
            return;
        }
        if let Some(member) = self.crowd.member(conn)
            && let Some(user) = self.users.get(member.user)
        {
            effects.note(Note::Disconnected {
                conn,
                user: user.id.clone(),
            });
        }
        self.retire(conn, effects);
        self.crowd.remove(conn);
        effects.push(Effect::Release { conn });
    }

    /// Closes a transport; what a drain or a flood leaves pending is given time to be written.
    pub(crate) fn close(&mut self, conn: ConnId, reason: CloseReason, effects: &mut Effects) {
        let Some(connection) = self.crowd.get(conn) else {
            return;
        };
        if connection.stage == Stage::Leaving {
            return;
        }
        let user = connection
            .member()
            .and_then(|member| self.users.get(member.user));
        let user = user.map(|user| user.id.clone());
        let flush = self.flush_time(reason);
        effects.note(Note::Closing { conn, user, reason });
        self.retire(conn, effects);
        effects.push(Effect::Close {
            conn,
            reason,
            flush,
        });
    }

    /// Tells a member why it may not stay, and disconnects it for good.
    pub(crate) fn dismiss(
        &mut self,
        conn: ConnId,
        error: ClientError,
        reason: CloseReason,
        effects: &mut Effects,
    ) {
        // One whose CONNECT answer is on its way cannot be told; it will be refused when it comes back.
        if self.crowd.member(conn).is_some_and(Member::is_live) {
            self.crowd.tell(effects, conn, None, Control::Error(error));
            effects.push(Effect::Disconnect { conn });
        }
        self.close(conn, reason, effects);
    }

    /// How long what is pending may take to be written before the transport is closed.
    fn flush_time(&self, reason: CloseReason) -> Duration {
        match reason {
            CloseReason::Draining => self.drain_flush(),
            // So that the `error` or the CONNECT_ERROR before it arrives.
            CloseReason::Flood
            | CloseReason::HandshakeTimeout
            | CloseReason::SessionExpired
            | CloseReason::TooManyConnections => Duration::from_secs(1),
            CloseReason::BufferFull
            | CloseReason::ConnectRate
            | CloseReason::HandshakesFull
            | CloseReason::Left
            | CloseReason::Overloaded
            | CloseReason::Replaced
            | CloseReason::SessionStore
            | CloseReason::SlowLog
            | CloseReason::SlowTime
            | CloseReason::SlowTotal
            | CloseReason::Stalled
            | CloseReason::Unread => Duration::ZERO,
        }
    }

    /// Takes a connection out of every index; only its transport is left.
    fn retire(&mut self, conn: ConnId, effects: &mut Effects) {
        self.end_look_up(conn);
        if let Some(entrant) = self.end_claim(conn) {
            // It may be granted before the bus hears that it is not wanted any more.
            self.release_slot(entrant.user.clone(), entrant.slot(), effects);
        }
        let Some(connection) = self.crowd.get_mut(conn) else {
            return;
        };
        self.deadlines
            .handshakes
            .remove(&(connection.handshake_until, conn));
        self.admissions.remove(&(connection.handshake_until, conn));
        let stage = core::mem::replace(&mut connection.stage, Stage::Leaving);
        let Stage::Admitted(member) = stage else {
            return;
        };
        self.crowd.discharge(&member);
        if let Some(congestion) = &member.outbox.congestion {
            self.deadlines.unset(congestion.until, Due::Congested(conn));
            self.stop_awaiting(conn, congestion.replay.as_ref());
        }
        if let Some(waiting) = &member.waiting {
            self.deadlines
                .unset(waiting.until, Due::Charge(waiting.request));
            self.charges.remove(&waiting.request);
        }
        if let Some(user) = self.users.get(member.user) {
            self.release_slot(user.id.clone(), member.slot(), effects);
        }
        for watch in &member.watches {
            self.drop_watch(watch.symbol, watch.place);
        }
        if let Life::Live { place, drains_at } = member.life {
            self.leave_live(place);
            if let Some(at) = drains_at {
                self.deadlines.unset(at, Due::DrainClose(conn));
            }
        }
        if let Some(record) = self.users.get_mut(member.user) {
            record.members.retain(|slot| *slot != conn.slot());
        }
        self.idle_if_alone(member.user, effects);
    }

    /// Takes a place out of the list of live members; the last one moves into it.
    fn leave_live(&mut self, place: u32) {
        self.crowd.live.swap_remove(place as usize);
        if let Some(moved) = self.crowd.live.get(place as usize).copied()
            && let Some(member) = self.crowd.member_at_mut(moved)
            && let Life::Live {
                place: its_place, ..
            } = &mut member.life
        {
            *its_place = place;
        }
    }
}
