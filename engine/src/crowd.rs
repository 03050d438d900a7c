//! Every connection, and the hand-over of messages to them.
//!
//! Fan-out walks a list of slots once and decides for each connection whether it is handed the
//! message or owes it to later. It allocates nothing per recipient.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::Table;
use crate::connection::{Connection, Member};
use crate::deadlines::{Deadlines, Due};
use crate::effect::{Control, Effect, Effects, Message, Note};
use crate::event::Topic;
use crate::ids::{ConnId, EventId};
use crate::input::{AckId, Pending};
use crate::limits::Limits;
use crate::outbox::{
    CONGESTED_CONTROLS_MAX, CONTROL_BYTES, Congestion, PACKET_OVERHEAD, Replay, TopicRef,
    total_ceiling, total_step, watch_at_most,
};
use crate::time::Timestamp;

/// Every connection by slot, and what they are owed in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crowd {
    places: Vec<Option<Connection>>,
    count: u32,
    /// How many of them are members.
    pub(crate) members: u32,
    /// How many of those have a session that is looked after.
    pub(crate) watched: u32,
    /// How many of those are congested.
    pub(crate) congested: u32,
    /// Slots of all live members.
    pub(crate) live: Vec<u32>,
    /// The sum of all outboxes' `pending.bytes`.
    pub(crate) pending_bytes: u64,
    /// Ask about all outboxes when the sum comes to this.
    ask_all_at: u64,
    /// Outboxes to ask about before the next input.
    to_ask: Vec<ConnId>,
    /// Connections found too slow while something was handed over, to be closed after.
    pub(crate) too_slow: Vec<ConnId>,
    /// Who got something of the publication that is being handed over; empty but for those that are
    /// to be had once.
    pub(crate) skip: BTreeSet<ConnId>,
    seed: u64,
}

/// What handing over needs beside the connections.
pub(crate) struct Outlet<'a> {
    pub(crate) now: Timestamp,
    pub(crate) limits: &'a Limits,
    pub(crate) deadlines: &'a mut Deadlines,
    pub(crate) effects: &'a mut Effects,
}

/// How a message is remembered by a connection that cannot be handed it now.
#[derive(Clone, Copy)]
pub(crate) enum Owed {
    /// By its topic's name.
    State(TopicRef),
    /// By its number, and what it is charged.
    Log { number: u64, bytes: u64 },
}

impl Crowd {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            places: Vec::new(),
            count: 0,
            members: 0,
            watched: 0,
            congested: 0,
            live: Vec::new(),
            pending_bytes: 0,
            ask_all_at: total_ceiling(limits) / 2,
            to_ask: Vec::new(),
            too_slow: Vec::new(),
            skip: BTreeSet::new(),
            seed,
        }
    }

    /// How many connections there are, of whatever stage.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How many slots were ever used, taken or not.
    pub(crate) fn slots(&self) -> usize {
        self.places.len()
    }

    /// # Panics
    /// When the slot is taken: the driver must not use a slot again before its release.
    pub(crate) fn insert(&mut self, connection: Connection) {
        let slot = connection.id.slot() as usize;
        if self.places.len() <= slot {
            self.places.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.places.get_mut(slot) {
            let taken = place.as_ref().map(|taken| taken.id);
            assert!(
                taken.is_none(),
                "{} came into the slot of {taken:?}",
                connection.id
            );
            *place = Some(connection);
            self.count += 1;
        }
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.get(conn)?;
        let connection = self.places.get_mut(conn.slot() as usize)?.take();
        self.count -= 1;
        connection
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.at(conn.slot())
            .filter(|connection| connection.id == conn)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.places
            .get_mut(conn.slot() as usize)?
            .as_mut()
            .filter(|connection| connection.id == conn)
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&Connection> {
        self.places.get(slot as usize)?.as_ref()
    }

    pub(crate) fn member(&self, conn: ConnId) -> Option<&Member> {
        self.get(conn)?.member()
    }

    pub(crate) fn member_mut(&mut self, conn: ConnId) -> Option<&mut Member> {
        self.get_mut(conn)?.member_mut()
    }

    pub(crate) fn member_at_mut(&mut self, slot: u32) -> Option<&mut Member> {
        self.places.get_mut(slot as usize)?.as_mut()?.member_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.places.iter().flatten()
    }

    pub(crate) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.places
            .iter_mut()
            .flatten()
            .filter_map(Connection::member_mut)
    }

    /// Hands `message` to the live members in `slots` that `wants` it, or has them be owed it.
    pub(crate) fn fan_out<'a>(
        &mut self,
        outlet: &mut Outlet<'_>,
        slots: impl Iterator<Item = &'a u32>,
        wants: impl Fn(&Member) -> bool,
        (message, owed): (Message, Owed),
    ) {
        let bytes = message.payload().bytes() as u64 + PACKET_OVERHEAD;
        let begin = outlet.effects.recipients_begin();
        for slot in slots {
            let Some(connection) = self.places.get_mut(*slot as usize).and_then(Option::as_mut)
            else {
                continue;
            };
            let conn = connection.id;
            let Some(member) = connection.member_mut() else {
                continue;
            };
            if !member.is_live() || !wants(member) || self.skip.contains(&conn) {
                continue;
            }
            let outbox = &mut member.outbox;
            if outbox.congestion.is_none() && outbox.is_full(outlet.limits) {
                self.congested += 1;
                outbox.congestion =
                    Some(Box::new(congest(conn, outbox.pending, outlet, self.seed)));
            }
            if let Some(congestion) = &mut outbox.congestion {
                if !owe(congestion, conn, &message, owed, outlet) {
                    self.too_slow.push(conn);
                }
                continue;
            }
            if let Owed::Log { number, .. } = owed {
                outbox.log_sent = number;
            }
            if outbox.hand(bytes) {
                self.to_ask.push(conn);
            }
            self.pending_bytes += bytes;
            outlet.effects.recipient(conn);
        }
        outlet.effects.deliver_since(begin, message);
    }

    /// Has whoever got something in this input not get what follows.
    pub(crate) fn skip_recipients(&mut self, effects: &Effects) {
        self.skip.extend(effects.all_recipients());
    }

    /// Hands `message` to one member, whatever is pending.
    pub(crate) fn hand(&mut self, effects: &mut Effects, conn: ConnId, message: Message) {
        let bytes = message.payload().bytes() as u64 + PACKET_OVERHEAD;
        self.charge(conn, bytes);
        let begin = effects.recipients_begin();
        effects.recipient(conn);
        effects.deliver_since(begin, message);
    }

    /// Sends a control message, and acknowledges with it if the client waits for that.
    pub(crate) fn tell(
        &mut self,
        effects: &mut Effects,
        conn: ConnId,
        ack: Option<AckId>,
        control: Control,
    ) {
        let bytes = control_bytes(&control);
        self.charge(conn, bytes);
        if let Some(ack) = ack {
            self.charge(conn, bytes);
            effects.push(Effect::Acknowledge {
                conn,
                ack,
                answer: control.clone(),
            });
        }
        effects.push(Effect::Send { conn, control });
        self.count_control(conn);
    }

    /// Acknowledges an event without sending anything else.
    pub(crate) fn acknowledge(
        &mut self,
        effects: &mut Effects,
        conn: ConnId,
        ack: AckId,
        answer: Control,
    ) {
        self.charge(conn, control_bytes(&answer));
        effects.push(Effect::Acknowledge { conn, ack, answer });
        self.count_control(conn);
    }

    fn charge(&mut self, conn: ConnId, bytes: u64) {
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        let ask = member.outbox.hand(bytes);
        self.pending_bytes += bytes;
        if ask {
            self.to_ask.push(conn);
        }
    }

    fn count_control(&mut self, conn: ConnId) {
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        let Some(congestion) = &mut member.outbox.congestion else {
            return;
        };
        congestion.controls += 1;
        if congestion.controls > CONGESTED_CONTROLS_MAX {
            self.too_slow.push(conn);
        }
    }

    /// Takes a measurement of one outbox over.
    pub(crate) fn measured(&mut self, limits: &Limits, conn: ConnId, pending: Pending) {
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        let before = member.outbox.pending.bytes;
        member.outbox.measured(pending, limits);
        self.pending_bytes = self.pending_bytes - before + pending.bytes;
    }

    /// Sets when to ask about all outboxes next, after they were measured.
    pub(crate) fn measured_all(&mut self, limits: &Limits) {
        let left = total_ceiling(limits).saturating_sub(self.pending_bytes);
        let ask_at = self.pending_bytes + (left / 2).max(total_step(limits));
        self.ask_all_at = ask_at
            .min(limits.outbox_total_bytes_max)
            .max(self.pending_bytes + 1);
    }

    /// Takes a member that leaves out of the sums.
    pub(crate) fn discharge(&mut self, member: &Member) {
        self.pending_bytes -= member.outbox.pending.bytes;
        self.members -= 1;
        self.watched -= u32::from(member.watched.is_some());
        self.congested -= u32::from(member.outbox.congestion.is_some());
    }

    /// Orders the measurements that are due.
    pub(crate) fn ask(&mut self, effects: &mut Effects) {
        if self.pending_bytes >= self.ask_all_at {
            self.ask_all_at = u64::MAX;
            // One measurement of each is enough: a second one, taken at the same moment, would not
            // know what was handed over after the first.
            self.to_ask.clear();
            effects.push(Effect::MeasureAll);
            return;
        }
        let mut to_ask = core::mem::take(&mut self.to_ask);
        to_ask.sort_unstable();
        to_ask.dedup();
        for conn in to_ask.drain(..) {
            if self.member(conn).is_some() {
                effects.push(Effect::Measure { conn });
            }
        }
        // Kept for its memory.
        self.to_ask = to_ask;
    }

    /// Marks a member congested if it is not yet, and has the driver tell when there is room.
    pub(crate) fn congest(&mut self, outlet: &mut Outlet<'_>, conn: ConnId) {
        let seed = self.seed;
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        if member.outbox.congestion.is_none() {
            let congestion = congest(conn, member.outbox.pending, outlet, seed);
            member.outbox.congestion = Some(Box::new(congestion));
            self.congested += 1;
        }
    }

    /// Notes a member's congestion, once.
    pub(crate) fn tell_congested(&mut self, effects: &mut Effects, conn: ConnId) {
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        let pending = member.outbox.pending;
        let Some(congestion) = &mut member.outbox.congestion else {
            return;
        };
        if !core::mem::replace(&mut congestion.told, true) {
            effects.note(Note::Congested { conn, pending });
        }
    }

    /// Puts a member's cursor back to `number`; everything after it is owed until the replay ends.
    pub(crate) fn begin_replay(
        &mut self,
        outlet: &mut Outlet<'_>,
        conn: ConnId,
        number: u64,
        replay: Replay,
    ) {
        let seed = self.seed;
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        member.outbox.log_sent = number;
        let fresh = member.outbox.congestion.is_none();
        let congestion = member
            .outbox
            .congestion
            .get_or_insert_with(|| Box::new(owing(conn, outlet, seed)));
        congestion.replay = Some(replay);
        self.congested += u32::from(fresh);
    }

    /// Ends a member's congestion, if it was congested.
    pub(crate) fn uncongest(&mut self, conn: ConnId) -> Option<Box<Congestion>> {
        let congestion = self.member_mut(conn)?.outbox.congestion.take()?;
        self.congested -= 1;
        Some(congestion)
    }

    pub(crate) fn end_replay(&mut self, conn: ConnId) {
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        if let Some(congestion) = &mut member.outbox.congestion {
            congestion.replay = None;
        }
    }

    /// The topic owed longest, which is owed no more.
    pub(crate) fn next_topic(&mut self, conn: ConnId) -> Option<TopicRef> {
        let congestion = self.member_mut(conn)?.outbox.congestion.as_mut()?;
        congestion
            .topics
            .take_first(1)
            .pop()
            .map(|(topic, ())| topic)
    }

    /// Moves a member's cursor over the entry numbered `number`.
    pub(crate) fn log_handed(&mut self, conn: ConnId, number: u64, id: EventId, bytes: u64) {
        let Some(member) = self.member_mut(conn) else {
            return;
        };
        member.outbox.log_sent = number;
        let Some(congestion) = &mut member.outbox.congestion else {
            return;
        };
        if let Some(replay) = &mut congestion.replay {
            *replay = Replay {
                sent: replay.sent + 1,
                last: id,
                moved: true,
                ..*replay
            };
        } else {
            congestion.log_events -= 1;
            congestion.log_bytes -= bytes;
        }
    }
}

fn congest(conn: ConnId, pending: Pending, outlet: &mut Outlet<'_>, seed: u64) -> Congestion {
    outlet.effects.note(Note::Congested { conn, pending });
    outlet.effects.push(Effect::Watch {
        conn,
        at_most: watch_at_most(outlet.limits),
    });
    Congestion {
        told: true,
        ..owing(conn, outlet, seed)
    }
}

/// A connection that owes nothing yet, with its deadline set.
fn owing(conn: ConnId, outlet: &mut Outlet<'_>, seed: u64) -> Congestion {
    let until = outlet.now + outlet.limits.congested_max;
    outlet.deadlines.set(until, Due::Congested(conn));
    Congestion {
        until,
        told: false,
        topics: Table::new(seed),
        log_events: 0,
        log_bytes: 0,
        controls: 0,
        replay: None,
    }
}

/// Whether the message could be owed; if not, the connection is too slow.
fn owe(
    congestion: &mut Congestion,
    conn: ConnId,
    message: &Message,
    owed: Owed,
    outlet: &mut Outlet<'_>,
) -> bool {
    match owed {
        Owed::State(topic_ref) => {
            if congestion.topics.insert(topic_ref, ()).is_some()
                && let Message::State { topic, .. } = message
            {
                outlet.effects.note(Note::Conflated {
                    conn,
                    topic: Topic::clone(topic),
                });
            }
            true
        }
        Owed::Log { bytes, .. } => {
            if congestion.replay.is_some() {
                return true;
            }
            congestion.log_events += 1;
            congestion.log_bytes += bytes;
            congestion.log_events <= outlet.limits.congested_log_events_max
                && congestion.log_bytes <= outlet.limits.congested_log_bytes_max
        }
    }
}

fn control_bytes(control: &Control) -> u64 {
    let symbols = match control {
        Control::Subscribed { symbols, .. } | Control::Unsubscribed { symbols } => {
            symbols.as_slice()
        }
        Control::Error(_) | Control::Resumed { .. } | Control::Shutdown { .. } => &[],
    };
    // Three more for the quotes and the comma around each.
    CONTROL_BYTES
        + symbols
            .iter()
            .map(|symbol| symbol.as_str().len() as u64 + 3)
            .sum::<u64>()
}
