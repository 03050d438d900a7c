//! The log, and what congested and returning connections are owed of everything.
//!
//! A connection's log is a cursor into its user's history. While it keeps up, events are handed over
//! as they come; when it does not, or when it resumes, they are read from the history as room
//! appears: never out of order, never twice, and with a gap only if the connection is closed for it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::connection::Member;
use crate::crowd::{Outlet, Owed};
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Message, Note};
use crate::engine::{Delivery, Engine};
use crate::event::LogEntry;
use crate::history::Kept;
use crate::ids::ConnId;
use crate::input::{GapCause, Pending};
use crate::outbox::{total_ceiling, watch_at_most};
use crate::reason::CloseReason;

/// What came of trying to hand over what a connection is owed.
enum Pumped {
    /// Nothing is owed any more.
    Empty,
    /// There is no more room.
    Full,
    /// An event must arrive first.
    Waiting,
}

impl Engine {
    pub(crate) fn log_arrived(&mut self, entries: Vec<LogEntry>, effects: &mut Effects) {
        for entry in entries {
            let LogEntry {
                id,
                kind,
                user,
                payload,
            } = entry.clone();
            let number = self.history.keep(self.now, entry);
            self.awaited_arrived(id, effects);
            let Some(record) = self
                .user_numbers
                .get(&user)
                .and_then(|number| self.users.get(*number))
            else {
                continue;
            };
            for slot in &record.members {
                // One that waited for this very event has handled it, and those before it.
                if let Some(member) = self.crowd.member_at_mut(*slot)
                    && member.outbox.has_handled(id)
                {
                    member.outbox.log_sent = number;
                }
            }
            let mut outlet = Outlet {
                now: self.now,
                limits: &self.config.limits,
                deadlines: &mut self.deadlines,
                effects,
            };
            let subscribed = self.config.delivery == Delivery::Subscribed;
            let wants =
                |member: &Member| (!subscribed || member.trades) && member.outbox.log_sent < number;
            let bytes = payload.bytes() as u64;
            let message = Message::Log { id, kind, payload };
            let owed = Owed::Log { number, bytes };
            self.crowd
                .fan_out(&mut outlet, record.members.iter(), wants, (message, owed));
        }
        self.trim_history(effects);
    }

    /// Keeps what was logged before this node listened; nobody here was in then.
    pub(crate) fn log_loaded(&mut self, entries: Vec<LogEntry>, effects: &mut Effects) {
        for entry in entries {
            self.history.keep(self.now, entry);
        }
        let last_number = self.history.last_number();
        for member in self.crowd.members_mut() {
            let outbox = &mut member.outbox;
            let replay = outbox.congestion.as_ref().and_then(|owing| owing.replay);
            // A replay goes on; who waits for an event, or is slow, is not owed what came before it.
            // The one waited for is looked for when the bus is reached: what comes behind it is not all
            // here yet.
            if replay.is_none_or(|replay| replay.awaits.is_some()) {
                outbox.log_sent = last_number;
            }
        }
        self.trim_history(effects);
    }

    /// Events are missing: nobody can resume from before, and whom it may concern is told.
    pub(crate) fn log_gap(&mut self, cause: GapCause, effects: &mut Effects) {
        if cause == GapCause::DataLoss {
            self.forget_sessions_seen();
            // Slots went with the rest. At the usual pace the bus would know of all of them after one period,
            // and tell who is in excess only after another.
            self.hurry_renewals();
        }
        self.history.clear();
        let told = self.tell_gap(&BTreeSet::new(), effects);
        effects.note(Note::LogGap { cause, told });
    }

    /// Tells every client but some that events may be missing, and begins its log anew.
    pub(crate) fn tell_gap(&mut self, but: &BTreeSet<ConnId>, effects: &mut Effects) -> u32 {
        let last_number = self.history.last_number();
        let mut concerned = Vec::new();
        for slot in &self.crowd.live {
            if let Some(connection) = self.crowd.at(*slot)
                && let Some(member) = connection.member()
                && self.wants_log(member)
                && !but.contains(&connection.id)
            {
                concerned.push(connection.id);
            }
        }
        for conn in &concerned {
            let Some(member) = self.crowd.member_mut(*conn) else {
                continue;
            };
            member.outbox.log_sent = last_number;
            let replay = member.outbox.congestion.as_mut().and_then(|congestion| {
                congestion.log_events = 0;
                congestion.log_bytes = 0;
                congestion.replay.take()
            });
            self.stop_awaiting(*conn, replay.as_ref());
            self.tell_resumed(*conn, None, None, effects);
            if replay.is_some() {
                self.pump(*conn, effects);
            }
        }
        u32::try_from(concerned.len()).unwrap_or(u32::MAX)
    }

    /// Forgets what is too old or too much; a connection that was still owed it is closed.
    pub(crate) fn trim_history(&mut self, effects: &mut Effects) {
        while let Some(forgotten) = self.history.forget_one(self.now, &self.config.limits) {
            let number = self.user_numbers.get(&forgotten.entry.user);
            let Some(record) = number.and_then(|number| self.users.get(*number)) else {
                continue;
            };
            let owed = record
                .members
                .iter()
                .filter_map(|slot| self.crowd.at(*slot));
            let behind: Vec<ConnId> = owed
                .filter(|connection| {
                    connection.member().is_some_and(|member| {
                        member.outbox.congestion.is_some()
                            && member.outbox.log_sent < forgotten.number
                            && self.wants_log(member)
                    })
                })
                .map(|connection| connection.id)
                .collect();
            for conn in behind {
                self.close(conn, CloseReason::SlowLog, effects);
            }
        }
    }

    pub(crate) fn wants_log(&self, member: &Member) -> bool {
        self.config.delivery == Delivery::All || member.trades
    }

    pub(crate) fn outbox_measured(
        &mut self,
        conn: ConnId,
        pending: Pending,
        effects: &mut Effects,
    ) {
        self.crowd.measured(&self.config.limits, conn, pending);
        self.congest_or_pump(conn, effects);
    }

    /// Does what a measurement asks for: calls an outbox that is full congested, and hands over what
    /// is owed if there is room.
    fn congest_or_pump(&mut self, conn: ConnId, effects: &mut Effects) {
        let limits = &self.config.limits;
        let Some(member) = self.crowd.member(conn) else {
            return;
        };
        if member.outbox.congestion.is_some() {
            if member.outbox.has_room(limits) {
                self.pump(conn, effects);
            }
        } else if member.is_live() && member.outbox.is_full(limits) {
            let (crowd, mut outlet) = self.outlet(effects);
            crowd.congest(&mut outlet, conn);
        }
    }

    /// Takes over what is pending everywhere, and closes the worst until it is within the bound.
    ///
    /// Only then is handed over what is owed, as far as the bound lets it; the others are told of
    /// again when they have room.
    pub(crate) fn outboxes_measured(
        &mut self,
        pending: &[(ConnId, Pending)],
        effects: &mut Effects,
    ) {
        let members: Vec<ConnId> = self
            .crowd
            .iter()
            .filter(|connection| connection.member().is_some())
            .map(|connection| connection.id)
            .collect();
        for conn in &members {
            let at = pending.binary_search_by_key(conn, |(conn, _)| *conn).ok();
            let pending = at
                .and_then(|at| pending.get(at))
                .map(|(_, pending)| *pending);
            self.crowd
                .measured(&self.config.limits, *conn, pending.unwrap_or_default());
        }
        self.close_worst(effects);
        let limits = &self.config.limits;
        let max = total_ceiling(limits).saturating_sub(limits.outbox_bytes_max / 2);
        for conn in members {
            if self.crowd.pending_bytes > max {
                break;
            }
            self.congest_or_pump(conn, effects);
        }
        self.crowd.measured_all(&self.config.limits);
    }

    /// Closes who has the most pending until all together are within the bound.
    fn close_worst(&mut self, effects: &mut Effects) {
        let max = total_ceiling(&self.config.limits);
        if self.crowd.pending_bytes <= max {
            return;
        }
        let mut worst: Vec<(u64, ConnId)> = self
            .crowd
            .iter()
            .filter_map(|connection| {
                Some((connection.member()?.outbox.pending.bytes, connection.id))
            })
            .collect();
        worst.sort_unstable();
        while self.crowd.pending_bytes > max
            && let Some((_, conn)) = worst.pop()
        {
            self.close(conn, CloseReason::SlowTotal, effects);
        }
    }

    pub(crate) fn congested_too_long(&mut self, conn: ConnId, effects: &mut Effects) {
        let until = self.now + self.config.limits.congested_max;
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        let Some(congestion) = &mut member.outbox.congestion else {
            return;
        };
        if let Some(replay) = &mut congestion.replay
            && core::mem::take(&mut replay.moved)
        {
            // A long replay may take longer, as long as it moves.
            congestion.until = until;
            self.deadlines.set(until, Due::Congested(conn));
            return;
        }
        self.close(conn, CloseReason::SlowTime, effects);
    }

    /// Hands over what a congested connection is owed, log first, while there is room.
    pub(crate) fn pump(&mut self, conn: ConnId, effects: &mut Effects) {
        match self.hand_owed(conn, effects) {
            Pumped::Empty => {
                let Some(congestion) = self.crowd.uncongest(conn) else {
                    return;
                };
                self.deadlines.unset(congestion.until, Due::Congested(conn));
                if congestion.told {
                    effects.note(Note::Uncongested { conn });
                }
            }
            Pumped::Waiting => {}
            Pumped::Full => {
                self.crowd.tell_congested(effects, conn);
                effects.push(Effect::Watch {
                    conn,
                    at_most: watch_at_most(&self.config.limits),
                });
            }
        }
    }

    fn hand_owed(&mut self, conn: ConnId, effects: &mut Effects) -> Pumped {
        loop {
            let Some(member) = self.crowd.member(conn) else {
                return Pumped::Empty;
            };
            let Some(congestion) = &member.outbox.congestion else {
                return Pumped::Empty;
            };
            if congestion
                .replay
                .is_some_and(|replay| replay.awaits.is_some())
            {
                return Pumped::Waiting;
            }
            let owes_others = congestion.replay.is_some() || congestion.topics.len() > 0;
            if !owes_others && self.next_kept(member).is_none() {
                return Pumped::Empty;
            }
            if !member.outbox.has_room(&self.config.limits) {
                return Pumped::Full;
            }
            let replay = congestion.replay;
            if let Some(message) = self.next_log_event(conn) {
                self.crowd.hand(effects, conn, message);
            } else if let Some(replay) = replay {
                self.crowd.end_replay(conn);
                if replay.complete {
                    self.tell_resumed(conn, Some(replay.sent), Some(replay.last), effects);
                } else {
                    self.tell_not_resumed(conn, effects);
                }
            } else if let Some(name) = self.crowd.next_topic(conn) {
                if let Some(topic) = self.topic_named(conn, name)
                    && let Some(payload) = self.current(&topic)
                {
                    self.crowd
                        .hand(effects, conn, Message::State { topic, payload });
                }
            } else {
                return Pumped::Empty;
            }
        }
    }

    /// The next log event that a member is owed.
    fn next_kept(&self, member: &Member) -> Option<&Kept> {
        if !self.wants_log(member) {
            return None;
        }
        let user = self.users.get(member.user)?;
        self.history.after(&user.id, member.outbox.log_sent).next()
    }

    /// Moves a connection's cursor over its next log event, if it is owed one.
    fn next_log_event(&mut self, conn: ConnId) -> Option<Message> {
        let kept = self.next_kept(self.crowd.member(conn)?)?;
        let LogEntry {
            id, kind, payload, ..
        } = kept.entry.clone();
        self.crowd
            .log_handed(conn, kept.number, id, payload.bytes() as u64);
        Some(Message::Log { id, kind, payload })
    }
}
