//! Connections: what was handed over and not read, how it is read, and how a connection ends.
//!
//! A client that keeps up reads all there is after its latency; a slow one a few packets at a time; one
//! that is stalled or gone nothing. What is pending is what was handed over and not read.

use std::collections::VecDeque;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tradewire_engine::Input;
use tradewire_engine::effect::Control;
use tradewire_engine::ids::{ConnId, EventId};
use tradewire_engine::input::{AckId, Pending, TransportFault};
use tradewire_engine::parse::{Auth, ClientEvent};
use tradewire_engine::reason::CloseReason;

use super::world::{Event, World};
use crate::oracle::{Conn, Ended, Item, Node, Observation, Situation, Topic, Verdict};

/// How long a heartbeat may wait, and how often one comes.
const PING_MS: u64 = 25_000;

/// How often a slow client reads.
const SLOW_MS: u64 = 50;

/// A packet on its way to a client.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    Acknowledgement,
    Control(Box<Control>),
    Goodbye,
    Refusal,
    Trade { id: EventId, item: Item },
    Value { topic: Topic, item: Item },
    Welcome,
}

impl Frame {
    fn is_event(&self) -> bool {
        matches!(self, Self::Trade { .. } | Self::Value { .. })
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) tab: usize,
    pub(super) place: usize,
    pub(super) node: Node,
    pub(super) id: ConnId,
    pub(super) latency: u64,
    /// Packets that it reads at a time; `None` if it keeps up.
    pub(super) slow: Option<u32>,
    pub(super) auth: Option<Auth>,
    /// The node has given it a seat.
    pub(super) is_seated: bool,
    pub(super) is_admitted: bool,
    /// The server has ended it.
    pub(super) is_closing: bool,
    /// Nothing more can be read from it.
    is_closed: bool,
    /// Its client has ended it, or is gone.
    pub(super) is_left: bool,
    /// The server was told that it is gone.
    is_reported: bool,
    frames: VecDeque<(Frame, u32)>,
    pub(super) pending: Pending,
    /// Pending bytes beyond answers.
    pub(super) event_bytes: u64,
    pub(super) watching: Option<Pending>,
    is_flushing: bool,
    /// How often it stalled, and whether it does now.
    pub(super) stalls: u32,
    pub(super) is_stalled: bool,
    /// It reads more slowly than it is sent.
    is_lagging: bool,
    pub(super) calls: VecDeque<(ClientEvent, Option<AckId>)>,
    /// Confirmations to come that answer the handshake.
    pub(super) restored: u32,
}

impl Wire {
    pub(super) fn new(
        tab: usize,
        place: usize,
        node: Node,
        latency: u64,
        slow: Option<u32>,
    ) -> Self {
        Self {
            tab,
            place,
            node,
            id: ConnId::new(0, 0),
            latency,
            slow,
            auth: None,
            is_seated: false,
            is_admitted: false,
            is_closing: false,
            is_closed: false,
            is_left: false,
            is_reported: false,
            frames: VecDeque::new(),
            pending: Pending::default(),
            event_bytes: 0,
            watching: None,
            is_flushing: false,
            stalls: 0,
            is_stalled: false,
            is_lagging: false,
            calls: VecDeque::new(),
            restored: 0,
        }
    }
}

impl World<'_> {
    /// Hands a packet over.
    pub(super) fn hand(&mut self, conn: Conn, frame: Frame, bytes: u32) {
        let wire = &mut self.wires[conn.index()];
        if wire.is_closed {
            return;
        }
        wire.pending.bytes += u64::from(bytes);
        wire.pending.packets += 1;
        if frame.is_event() {
            wire.event_bytes += u64::from(bytes);
        }
        wire.frames.push_back((frame, bytes));
        if !wire.is_flushing && !wire.is_stalled {
            wire.is_flushing = true;
            let ms = wire.latency;
            self.after(ms, Event::Flush(conn));
        }
    }

    /// The client reads.
    pub(super) fn flush(&mut self, conn: Conn) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        wire.is_flushing = false;
        if wire.is_stalled {
            return Ok(());
        }
        let slow = wire.slow.filter(|_| self.now < self.busy_until);
        let count = slow.map_or(usize::MAX, |slow| slow as usize);
        self.read(conn, count)?;
        let wire = &mut self.wires[conn.index()];
        let room = wire.watching.filter(|most| {
            wire.pending.bytes <= most.bytes && wire.pending.packets <= most.packets
        });
        let lags = !wire.frames.is_empty();
        if lags && !wire.is_flushing {
            wire.is_flushing = true;
            self.after(SLOW_MS, Event::Flush(conn));
        }
        let wire = &mut self.wires[conn.index()];
        if core::mem::replace(&mut wire.is_lagging, lags) != lags && !wire.is_left {
            self.see(&Observation::Stalled { conn, on: lags })?;
        }
        let wire = &mut self.wires[conn.index()];
        if room.is_some() && !wire.is_closing {
            wire.watching = None;
            let (place, node, id, pending) = (wire.place, wire.node, wire.id, wire.pending);
            if self.life(place, node).is_some() {
                self.input(place, Input::OutboxMeasured { conn: id, pending })?;
            }
        }
        let wire = &self.wires[conn.index()];
        if wire.is_closing && wire.frames.is_empty() {
            self.close_now(conn)?;
        }
        Ok(())
    }

    /// Takes packets off the wire; what is beyond the client's end is for nobody.
    fn read(&mut self, conn: Conn, count: usize) -> Verdict {
        for _ in 0..count {
            let wire = &mut self.wires[conn.index()];
            let Some((frame, bytes)) = wire.frames.pop_front() else {
                break;
            };
            wire.pending.bytes -= u64::from(bytes);
            wire.pending.packets -= 1;
            if frame.is_event() {
                wire.event_bytes -= u64::from(bytes);
            }
            if !wire.is_left {
                self.read_frame(conn, frame)?;
            }
        }
        Ok(())
    }

    /// The server ends a connection, once what is pending is written or its time is over.
    pub(super) fn closing(&mut self, conn: Conn, reason: CloseReason, flush_ms: u64) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        wire.is_closing = true;
        if wire.is_admitted {
            self.see(&Observation::Left(conn))?;
        }
        if self.story.is_told() {
            let reason = reason.name();
            self.story
                .tell(self.now, format_args!("{conn} is closed: {reason}"));
        }
        let wire = &self.wires[conn.index()];
        if flush_ms == 0 || wire.frames.is_empty() {
            self.after(0, Event::CloseForced(conn));
        } else {
            self.after(flush_ms, Event::CloseForced(conn));
        }
        Ok(())
    }

    fn chance_of(&mut self, conn: Conn) -> &mut StdRng {
        let tab = self.wires[conn.index()].tab;
        &mut self.tabs[tab].chance
    }

    /// The transport is closed with what is pending; some of that may be beyond the server's reach.
    pub(super) fn close_now(&mut self, conn: Conn) -> Verdict {
        if self.wires[conn.index()].is_closed {
            return Ok(());
        }
        let read = self.chance_of(conn).random_bool(0.5) && !self.wires[conn.index()].is_stalled;
        if read {
            self.read(conn, usize::MAX)?;
        }
        let wire = &mut self.wires[conn.index()];
        wire.is_closed = true;
        wire.frames = VecDeque::new();
        wire.pending = Pending::default();
        let ms = wire.latency;
        self.after(ms, Event::ClientSeesEnd(conn));
        self.after(1, Event::ServerSeesEnd(conn));
        Ok(())
    }

    /// A handshake is answered with 503, or by nobody.
    pub(super) fn end_below(&mut self, conn: Conn) {
        let wire = &mut self.wires[conn.index()];
        (wire.is_closing, wire.is_closed, wire.is_reported) = (true, true, true);
        let ms = wire.latency;
        self.after(ms, Event::ClientSeesEnd(conn));
    }

    /// A node is gone, and its connections with it.
    pub(super) fn cut_off(&mut self, conn: Conn) {
        let wire = &mut self.wires[conn.index()];
        (wire.is_closing, wire.is_reported) = (true, true);
        let late = self.trouble.power_failure;
        let ms = if late {
            self.chance_of(conn).random_range(100..PING_MS)
        } else {
            self.wires[conn.index()].latency
        };
        let wire = &mut self.wires[conn.index()];
        if !wire.is_closed {
            wire.is_closed = true;
            wire.frames = VecDeque::new();
            self.after(ms, Event::ClientSeesEnd(conn));
        }
    }

    /// The client learns that its connection is over.
    pub(super) fn client_sees_end(&mut self, conn: Conn) -> Verdict {
        let wire = &self.wires[conn.index()];
        // A process that hangs sees nothing; it does when it goes on.
        if wire.is_left || wire.is_stalled {
            return Ok(());
        }
        self.leave(conn, Ended::Transport)
    }

    /// The server learns that a connection is gone.
    pub(super) fn server_sees_end(&mut self, conn: Conn) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        if wire.is_reported || !wire.is_seated {
            return Ok(());
        }
        // What has fallen due is done before, while the connection is still there.
        let (place, node) = (wire.place, wire.node);
        let now = self.now;
        let due = self.life(place, node).and_then(|life| life.wake);
        if due.is_some_and(|at| at <= now) {
            self.wake(place)?;
        }
        let wire = &mut self.wires[conn.index()];
        if wire.is_reported {
            return Ok(());
        }
        wire.is_reported = true;
        wire.is_closed = true;
        let (place, node, id) = (wire.place, wire.node, wire.id);
        let was_in = wire.is_admitted && !wire.is_closing;
        wire.is_closing = true;
        wire.frames = VecDeque::new();
        wire.calls = VecDeque::new();
        if self.life(place, node).is_none() {
            return Ok(());
        }
        if was_in {
            self.see(&Observation::Left(conn))?;
            if self.chance_of(conn).random_bool(0.5) {
                self.input(place, Input::Disconnected { conn: id })?;
            }
        }
        self.input(place, Input::Closed { conn: id })
    }

    pub(super) fn notice_connected(&mut self, conn: Conn) -> Verdict {
        let wire = &self.wires[conn.index()];
        let (place, node, id, tab) = (wire.place, wire.node, wire.id, wire.tab);
        if wire.is_closing {
            return Ok(());
        }
        let last = self.tabs[tab].last_id;
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        let next = life.contact.reader.mark.map_or(0, |mark| mark.next);
        if let Some(last) = last
            && self.bus.log[next.min(self.bus.log.len())..]
                .iter()
                .any(|entry| entry.entry.id == last)
        {
            self.reached(Situation::ResumeAwaited);
        }
        self.input(place, Input::Connected { conn: id })
    }

    /// A client stops reading for a while.
    pub(super) fn stall(&mut self, conn: Conn, ms: u64) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        if wire.is_stalled || wire.is_left || wire.is_closed {
            return Ok(());
        }
        wire.is_stalled = true;
        wire.stalls += 1;
        let stall = wire.stalls;
        self.see(&Observation::Stalled { conn, on: true })?;
        let at = (self.now + ms).min(self.busy_until);
        self.at(at, Event::Unstall(conn, stall));
        let ping = self.chance_of(conn).random_range(PING_MS / 2..PING_MS);
        self.after(ping, Event::PingTimeout(conn, stall));
        Ok(())
    }

    pub(super) fn unstall(&mut self, conn: Conn, stall: u32) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        if !wire.is_stalled || wire.stalls != stall || wire.is_left {
            return Ok(());
        }
        wire.is_stalled = false;
        self.see(&Observation::Stalled { conn, on: false })?;
        if self.wires[conn.index()].is_closed {
            return self.client_sees_end(conn);
        }
        self.flush(conn)
    }

    /// A heartbeat was not answered: the server gives the connection up.
    pub(super) fn ping_timeout(&mut self, conn: Conn, stall: u32) -> Verdict {
        let wire = &self.wires[conn.index()];
        if wire.is_closed || (!wire.is_left && (!wire.is_stalled || wire.stalls != stall)) {
            return Ok(());
        }
        let (place, node, id) = (wire.place, wire.node, wire.id);
        if !wire.is_closing
            && self.chance_of(conn).random_bool(0.3)
            && self.life(place, node).is_some()
        {
            let fault = TransportFault::Stalled;
            return self.input(place, Input::TransportFailed { conn: id, fault });
        }
        self.server_sees_end(conn)
    }

    /// A client's network is gone: it comes back elsewhere, and its server does not know yet.
    pub(super) fn vanish(&mut self, conn: Conn) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        if wire.is_left || wire.is_closed {
            return Ok(());
        }
        self.reached(Situation::Vanished);
        self.see(&Observation::Stalled { conn, on: true })?;
        let wire = &mut self.wires[conn.index()];
        wire.is_stalled = true;
        wire.stalls += 1;
        let stall = wire.stalls;
        let ping = self.chance_of(conn).random_range(PING_MS / 2..PING_MS);
        self.after(ping, Event::PingTimeout(conn, stall));
        self.leave_silently(conn)
    }
}
