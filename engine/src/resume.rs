//! Resume: a client that comes back names the last event that it handled, and goes on behind it.
//!
//! An event that this node has not read yet may still arrive, since another node may have been faster:
//! it is waited for, for as long as a request to the bus may take. A node that has not joined the others yet
//! lets every client wait so, since what comes behind its event may not have been loaded.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::deadlines::Due;
use crate::effect::{Control, Effects, Note};
use crate::engine::{BusKind, Engine};
use crate::ids::{ConnId, EventId};
use crate::outbox::Replay;
use crate::parse::LastEventId;

impl Engine {
    /// Answers a handshake's `lastEventId`: everything after it, then `resume`.
    pub(crate) fn resume(&mut self, conn: ConnId, last: LastEventId, effects: &mut Effects) {
        let LastEventId::Given(id) = last else { return };
        let Some(member) = self.crowd.member(conn) else {
            return;
        };
        let Some(user) = self.users.get(member.user) else {
            return;
        };
        // One that is not subscribed is not sent what it missed, and must not be told that it was.
        let id = id.filter(|_| self.wants_log(member));
        let found = id.and_then(|id| Some((id, self.history.number_of(&user.id, id)?)));
        let waits_for = |id| match found {
            None => self.may_arrive(id),
            // What comes behind it may not have been loaded yet.
            Some(_) => self.was_never_reached(),
        };
        if let Some(id) = id
            && waits_for(id)
        {
            self.await_event(conn, id, effects);
            return;
        }
        let Some((id, number)) = found else {
            self.tell_not_resumed(conn, effects);
            return;
        };
        let (crowd, mut outlet) = self.outlet(effects);
        crowd.begin_replay(
            &mut outlet,
            conn,
            number,
            Replay {
                sent: 0,
                last: id,
                moved: false,
                awaits: None,
                complete: true,
            },
        );
        self.pump(conn, effects);
    }

    /// Whether an event that is not here may be on its way: another node may have been faster, and
    /// its client quicker still.
    fn may_arrive(&self, id: EventId) -> bool {
        self.config.bus == BusKind::Shared
            && self
                .history
                .last_id()
                .is_none_or(|last| last.epoch == id.epoch && (last.ms, last.seq) < (id.ms, id.seq))
    }

    /// Holds a member's log back until the event arrives behind which it goes on.
    fn await_event(&mut self, conn: ConnId, id: EventId, effects: &mut Effects) {
        let until = self.now + self.config.limits.bus_request_max;
        let number = self.history.last_number();
        let (crowd, mut outlet) = self.outlet(effects);
        let replay = Replay {
            sent: 0,
            last: id,
            moved: false,
            awaits: Some(until),
            complete: false,
        };
        crowd.begin_replay(&mut outlet, conn, number, replay);
        self.deadlines.set(until, Due::Resume(conn));
        self.awaited.insert((id, conn));
    }

    /// An event is in the history; who waited for it goes on behind it.
    pub(crate) fn awaited_arrived(&mut self, id: EventId, effects: &mut Effects) {
        let waiting = self.awaited.range((id, ConnId::MIN)..=(id, ConnId::MAX));
        let conns: Vec<ConnId> = waiting.map(|(_, conn)| *conn).collect();
        for conn in conns {
            let Some(member) = self.crowd.member(conn) else {
                continue;
            };
            let number = self
                .users
                .get(member.user)
                .and_then(|user| self.history.number_of(&user.id, id));
            // One that names another user's event waits in vain.
            if let Some(number) = number {
                self.end_awaiting(conn, Some(number));
                self.pump(conn, effects);
            }
        }
    }

    /// The log has been loaded: whoever waits for an event that was in it goes on behind that. Tells who.
    pub(crate) fn resume_awaiting(&mut self, effects: &mut Effects) -> BTreeSet<ConnId> {
        let found = |(id, conn): &(EventId, ConnId)| {
            let user = self.users.get(self.crowd.member(*conn)?.user)?;
            Some((*conn, self.history.number_of(&user.id, *id)?))
        };
        let found: Vec<(ConnId, u64)> = self.awaited.iter().filter_map(found).collect();
        for (conn, number) in &found {
            self.end_awaiting(*conn, Some(*number));
            self.pump(*conn, effects);
        }
        found.into_iter().map(|(conn, _)| conn).collect()
    }

    /// The event did not come: it is forged, or lost.
    pub(crate) fn awaited_too_long(&mut self, conn: ConnId, effects: &mut Effects) {
        // What came since it connected is replayed, and then it is told that something may be missing.
        if !self.is_reached() {
            // This node could not read so far: it will, and must not send again what it then reads.
            self.remember_handled(conn);
        }
        self.end_awaiting(conn, None);
        self.pump(conn, effects);
    }

    /// Keeps in mind up to which event a client that waits for it has handled everything.
    fn remember_handled(&mut self, conn: ConnId) {
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        let congestion = member.outbox.congestion.as_ref();
        let Some(replay) = congestion.and_then(|congestion| congestion.replay) else {
            return;
        };
        member.outbox.handled = Some(replay.last);
        let Some(user) = self.users.get(member.user) else {
            return;
        };
        let outbox = &mut member.outbox;
        let behind = self.history.after(&user.id, outbox.log_sent);
        let handled = behind.take_while(|kept| outbox.has_handled(kept.entry.id));
        if let Some(newest) = handled.last() {
            outbox.log_sent = newest.number;
        }
    }

    /// Begins a replay that waited, behind the entry numbered `number` if that is known.
    fn end_awaiting(&mut self, conn: ConnId, number: Option<u64>) {
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        member.outbox.log_sent = number.unwrap_or(member.outbox.log_sent);
        let Some(congestion) = &mut member.outbox.congestion else {
            return;
        };
        let replay = congestion.replay;
        if let Some(replay) = &mut congestion.replay {
            replay.awaits = None;
            replay.complete = number.is_some();
        }
        self.stop_awaiting(conn, replay.as_ref());
    }

    /// Takes a member out of those who wait.
    pub(crate) fn stop_awaiting(&mut self, conn: ConnId, replay: Option<&Replay>) {
        if let Some(Replay {
            last,
            awaits: Some(until),
            ..
        }) = replay
        {
            self.deadlines.unset(*until, Due::Resume(conn));
            self.awaited.remove(&(*last, conn));
        }
    }

    pub(crate) fn tell_not_resumed(&mut self, conn: ConnId, effects: &mut Effects) {
        let user = self.crowd.member(conn).map(|member| member.user);
        let user = user.and_then(|user| self.users.get(user));
        let last = user.and_then(|user| self.history.newest_id(&user.id));
        self.tell_resumed(conn, None, last, effects);
    }

    pub(crate) fn tell_resumed(
        &mut self,
        conn: ConnId,
        replayed: Option<u64>,
        last: Option<EventId>,
        effects: &mut Effects,
    ) {
        let (recovered, replayed) = (replayed.is_some(), replayed.unwrap_or(0));
        effects.note(Note::Resumed {
            conn,
            recovered,
            replayed,
        });
        let control = Control::Resumed {
            recovered,
            replayed,
            last,
        };
        self.crowd.tell(effects, conn, None, control);
    }
}
