//! The engine: `handle` and `next_deadline`, and the dispatch between the modules that decide.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::bus::Slot;
use crate::collections::{Slots, Table};
use crate::contact::{Contact, Link};
use crate::crowd::{Crowd, Outlet};
use crate::deadlines::{DeadlineKind, Deadlines, Due};
use crate::drain::Drain;
use crate::effect::{Asked, Effects, Note};
use crate::event::{Payload, Topic, Version};
use crate::held::Held;
use crate::history::History;
use crate::ids::{ConnId, Epoch, EventId, RequestId, Symbol, UserId};
use crate::input::Input;
use crate::intake::Intake;
use crate::limits::{Limits, LimitsError};
use crate::publishing::{PendingPublish, Publisher};
use crate::rate::Window;
use crate::reason::CloseReason;
use crate::sessions::Check;
use crate::time::Timestamp;

/// How an engine is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Every bound.
    pub limits: Limits,
    /// To whom a user's portfolio and trades go.
    pub delivery: Delivery,
    /// Whose bus it is.
    pub bus: BusKind,
    /// Keys hash tables; must not be guessable by outsiders.
    pub seed: u64,
    /// Tells this life of this node from all others; part of the idempotency keys that it assigns.
    pub instance: u64,
}

/// Whose bus it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BusKind {
    /// This node's alone: there from the start, and nothing is counted elsewhere.
    #[default]
    Embedded,
    /// Shared with other nodes: to be reached first, and connections and calls are counted there.
    Shared,
}

/// To whom a user's portfolio and trades go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// To all connections of the user.
    #[default]
    All,
    /// To those that subscribed.
    Subscribed,
}

/// The state machine behind every decision.
///
/// # Contract with the driver
/// 1. Call [`Self::handle`] with each fact, in the order in which it became known, with a `now` that
///    never goes back; then do what the effects say, in their order.
/// 2. Answer [`crate::Effect::Measure`] and [`crate::Effect::MeasureAll`] before any other input.
/// 3. Call with [`Input::Woke`] when [`Self::next_deadline`] has come, after what the bus has answered
///    by then. Being late is harmless.
/// 4. Use a connection's slot again only after [`crate::Effect::Release`].
/// 5. Every connection that was allowed ends with [`Input::Closed`], once, as its last input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) now: Timestamp,
    pub(crate) crowd: Crowd,
    pub(crate) deadlines: Deadlines,
    pub(crate) user_numbers: Table<UserId, u32>,
    pub(crate) users: Slots<User>,
    pub(crate) symbol_numbers: Table<Symbol, u32>,
    pub(crate) symbols: Slots<SymbolEntry>,
    pub(crate) market: TopicState,
    pub(crate) history: History,
    /// Who is on the way in, by the end of its handshake, so the oldest first; some may have taken
    /// too long to count, until the next one comes.
    pub(crate) admissions: BTreeSet<(Timestamp, ConnId)>,
    pub(crate) lookups: BTreeMap<RequestId, ConnId>,
    pub(crate) claims: BTreeMap<RequestId, ConnId>,
    /// Whose call waits for which answer.
    pub(crate) charges: BTreeMap<RequestId, ConnId>,
    pub(crate) checks: BTreeMap<RequestId, Check>,
    pub(crate) fetches: BTreeMap<RequestId, (Timestamp, Vec<Topic>)>,
    pub(crate) publishes: BTreeMap<Publisher, PendingPublish>,
    /// Which bus request belongs to which publish.
    pub(crate) publish_parts: BTreeMap<RequestId, Publisher>,
    pub(crate) link: Link,
    pub(crate) held: Held,
    /// Lives of the bus's data that ended during this contact, oldest first.
    pub(crate) retired_epochs: VecDeque<Epoch>,
    pub(crate) epoch: Option<Epoch>,
    /// The last request before that epoch was known.
    pub(crate) epoch_since: RequestId,
    pub(crate) rounds: Rounds,
    pub(crate) intake: Intake,
    /// Who waits for which log event to arrive, to go on behind it.
    pub(crate) awaited: BTreeSet<(EventId, ConnId)>,
    pub(crate) last_request: u64,
    pub(crate) last_publish_id: u64,
    pub(crate) drain: Option<Drain>,
}

/// A user with connections, or whose rate windows are still remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: UserId,
    /// Slots of admitted connections, oldest first.
    pub(crate) members: Vec<u32>,
    pub(crate) connects: Window,
    pub(crate) calls: [Window; 3],
    pub(crate) portfolio: TopicState,
    /// Set while the user has no connection: when it is forgotten.
    pub(crate) idle_until: Option<Timestamp>,
}

/// A symbol that some connection holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SymbolEntry {
    pub(crate) symbol: Symbol,
    /// Slots of live members.
    pub(crate) subscribers: Vec<u32>,
    pub(crate) topic: TopicState,
}

/// Work that goes round all users, in turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rounds {
    pub(crate) renew_at: Option<Timestamp>,
    pub(crate) renew_turn: u32,
    /// Turns that come sooner than usual.
    pub(crate) renew_hurried: u32,
    /// Before that, the bus may not know of every slot that was given up, or that is held.
    pub(crate) judged_from: Timestamp,
    /// Slots that were given up while the bus was away.
    pub(crate) unreleased: Vec<(UserId, Slot)>,
    pub(crate) check_at: Option<Timestamp>,
    pub(crate) check_turn: u32,
}

/// What is known of a topic in which someone here is interested.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicState {
    pub(crate) value: Option<(Version, Payload)>,
    pub(crate) spread: Spread,
    pub(crate) fetch: Fetch,
    /// Values may have passed by unseen: what is fetched next is news to everyone.
    pub(crate) missed: bool,
}

/// Who was sent a topic's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Spread {
    /// Everyone whom it concerns.
    #[default]
    Everyone,
    /// Those who asked for the topic: it was fetched, and the others get it when it arrives by itself.
    Subscribers,
    /// No one yet: it arrived while the bus was being asked, or is to be, whose answer may be newer.
    Nobody,
}

/// Whether the bus was asked for a topic's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fetch {
    /// Not yet.
    #[default]
    Never,
    /// It is to be asked when it can be.
    Wanted,
    /// It owes an answer.
    Asked(RequestId),
    /// It has answered; from then on every value arrives by itself.
    Answered,
}

/// Figures about the engine's state; what happened is told by [`Note`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Transport sessions of whatever stage.
    pub transports: u32,
    /// Handshakes without CONNECT.
    pub handshakes: u32,
    /// Clients that are in.
    pub connections: u32,
    /// Users with at least one connection.
    pub users: u32,
    /// Symbols held by at least one connection.
    pub symbols: u32,
    /// Connections that are congested.
    pub congested: u32,
    /// Bytes handed over and not known to be written.
    pub pending_bytes: u64,
    /// Log events kept for resume.
    pub history_events: u64,
    /// Bytes of log events kept for resume.
    pub history_bytes: u64,
    /// Publishes that wait for the bus.
    pub publishes: u32,
    /// Values that wait for the bus.
    pub held: u32,
    /// How this node and the bus stand.
    pub contact: Contact,
}

impl Engine {
    /// Makes an engine that knows nothing yet.
    ///
    /// # Errors
    /// When the limits contradict each other.
    pub fn new(config: Config) -> Result<Self, LimitsError> {
        config.limits.check()?;
        let seed = config.seed;
        Ok(Self {
            now: Timestamp::ZERO,
            crowd: Crowd::new(&config.limits, seed),
            deadlines: Deadlines::default(),
            user_numbers: Table::new(seed),
            users: Slots::default(),
            symbol_numbers: Table::new(seed),
            symbols: Slots::default(),
            market: TopicState::default(),
            history: History::new(seed),
            admissions: BTreeSet::new(),
            lookups: BTreeMap::new(),
            claims: BTreeMap::new(),
            charges: BTreeMap::new(),
            checks: BTreeMap::new(),
            fetches: BTreeMap::new(),
            publishes: BTreeMap::new(),
            publish_parts: BTreeMap::new(),
            link: Link::new(config.bus),
            held: Held::new(seed),
            retired_epochs: VecDeque::new(),
            epoch: None,
            epoch_since: RequestId::new(0),
            rounds: Rounds::default(),
            intake: Intake::default(),
            awaited: BTreeSet::new(),
            last_request: 0,
            last_publish_id: 0,
            drain: None,
            config,
        })
    }

    /// Takes one fact in and writes what is to be done about it, after doing what has fallen due.
    ///
    /// # Panics
    /// When `now` goes back, or the driver breaks its contract about slots.
    pub fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Effects) {
        assert!(now >= self.now, "time went back from {} to {now}", self.now);
        self.now = now;
        self.expire(matches!(input, Input::Woke), effects);
        match input {
            Input::Appended { request, outcome } => self.appended(request, outcome, effects),
            Input::BusLost => self.bus_lost(effects),
            Input::BusReached => self.bus_reached(effects),
            Input::Charged { request, verdict } => self.charged(request, verdict, effects),
            Input::Claimed { request, verdict } => self.claimed(request, verdict, effects),
            Input::Closed { conn } => self.closed(conn, effects),
            Input::Connected { conn } => self.enter(conn, effects),
            Input::ConnectRequested {
                conn,
                socket,
                auth,
                cookie,
            } => {
                self.connect_requested(conn, socket, auth, cookie, effects);
            }
            Input::Disconnected { conn } => self.disconnected(conn, effects),
            Input::DrainHurried => self.hurry_drain(effects),
            Input::DrainStarted { wall } => self.start_drain(wall, effects),
            Input::Emitted { items, wall } => self.emitted(items, wall, effects),
            Input::Fetched { request, values } => self.fetched(request, values, effects),
            Input::HandshakeStarted { conn } => self.handshake_started(conn, effects),
            Input::Led { request, held } => self.led(request, held, effects),
            Input::LogArrived { entries } => self.log_arrived(entries, effects),
            Input::LogGap { cause } => self.log_gap(cause, effects),
            Input::LogLoaded { entries } => self.log_loaded(entries, effects),
            Input::OutboxMeasured { conn, pending } => self.outbox_measured(conn, pending, effects),
            Input::OutboxesMeasured { pending } => self.outboxes_measured(&pending, effects),
            Input::Published {
                request,
                items,
                wall,
            } => {
                self.published(request, items, wall, effects);
            }
            Input::Received { conn, event, ack } => self.received(conn, event, ack, effects),
            Input::SessionLookedUp { request, verdict } => {
                self.session_looked_up(request, verdict, effects);
            }
            Input::SessionsChecked { request, present } => {
                self.sessions_checked(request, present, effects);
            }
            Input::Shared { request, outcome } => self.shared(request, outcome, effects),
            Input::SlotsLost { slots } => self.slots_lost(slots, effects),
            Input::StateArrived { values, once } => self.state_arrived(values, once, effects),
            Input::StateMissed => {
                if self.is_reached() {
                    self.refresh(effects);
                }
            }
            Input::TransportFailed { conn, fault } => self.close(conn, fault.into(), effects),
            Input::Woke => {}
        }
        self.settle(effects);
    }

    /// When the engine wants to be woken, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Timestamp, DeadlineKind)> {
        let history = self.history.next_expiry(&self.config.limits);
        let history = history.map(|at| (at, DeadlineKind::History));
        [self.deadlines.next(), history].into_iter().flatten().min()
    }

    /// How the engine was set up.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Figures about the state.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Stats {
            transports: self.crowd.count(),
            handshakes: count(self.deadlines.handshakes.len()),
            connections: self.crowd.members,
            users: count(self.users.len() - self.deadlines.idle_users.len()),
            symbols: count(self.symbols.len()),
            congested: self.crowd.congested,
            pending_bytes: self.crowd.pending_bytes,
            history_events: self.history.len(),
            history_bytes: self.history.bytes(),
            publishes: count(self.publishes.len()),
            held: count(self.held.len()),
            contact: self.link.contact,
        }
    }

    /// How many slots connections have used so far: a driver that numbers them densely never names one
    /// beyond the next.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.crowd.slots()
    }

    /// The whole state as bytes, from which [`Self::restore`] makes an engine that goes on the same.
    ///
    /// # Errors
    /// None are known: the state is plain data and the bytes go to memory.
    pub fn checkpoint(&self) -> Result<Vec<u8>, CheckpointError> {
        postcard::to_allocvec(self).map_err(|_| CheckpointError::Unwritable)
    }

    /// Makes an engine from [`Self::checkpoint`]'s bytes.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint of this version, or one that contradicts itself.
    pub fn restore(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let engine: Self = postcard::from_bytes(bytes).map_err(|_| CheckpointError::Unreadable)?;
        engine.check().map_err(CheckpointError::Inconsistent)?;
        Ok(engine)
    }

    /// XXH3-64 of the whole state: equal states have equal digests.
    ///
    /// # Errors
    /// As [`Self::checkpoint`].
    pub fn digest(&self) -> Result<u64, CheckpointError> {
        Ok(xxhash_rust::xxh3::xxh3_64(&self.checkpoint()?))
    }

    /// Does everything that has fallen due.
    ///
    /// An answer of the bus may wait behind what the driver is busy with, so it only counts as late
    /// when the driver has nothing else to tell.
    fn expire(&mut self, woke: bool, effects: &mut Effects) {
        while let Some((at, conn)) = self.deadlines.handshakes.first().copied()
            && at <= self.now
        {
            self.close(conn, CloseReason::HandshakeTimeout, effects);
        }
        while let Some((at, due)) = self.deadlines.first_due(self.now, woke) {
            self.deadlines.unset(at, due);
            self.fell_due(due, effects);
        }
        while let Some((at, user)) = self.deadlines.idle_users.first().copied()
            && at <= self.now
        {
            self.forget_user(user);
        }
        self.trim_history(effects);
    }

    fn fell_due(&mut self, due: Due, effects: &mut Effects) {
        match due {
            Due::Charge(request)
            | Due::Claim(request)
            | Due::Fetch(request)
            | Due::Share(request) => {
                self.bus_too_slow(request, effects);
            }
            Due::Check(request) => self.check_timed_out(request, effects),
            Due::CheckSessions => self.check_turn(effects),
            Due::Congested(conn) => self.congested_too_long(conn, effects),
            Due::DrainClose(conn) => self.close(conn, CloseReason::Draining, effects),
            Due::DrainEnd => self.end_drain(effects),
            Due::HandOver => {
                self.held.retry_at = None;
                self.hand_over(effects);
            }
            Due::Lead => self.ask_for_intake(effects),
            Due::LookUp(request) => {
                let asked = Asked::Sessions;
                effects.note(Note::RequestTimedOut { request, asked });
                if let Some(conn) = self.lookups.get(&request).copied() {
                    self.close(conn, CloseReason::SessionStore, effects);
                }
            }
            Due::Probe => self.probe(effects),
            Due::Publish(Publisher::Driver(request) | Publisher::Emitter(request)) => {
                self.bus_too_slow(request, effects);
            }
            Due::Renew => self.renew_turn(effects),
            Due::Resume(conn) => self.awaited_too_long(conn, effects),
        }
    }

    /// Ends every input: closes who was found too slow, and asks for the measurements due.
    fn settle(&mut self, effects: &mut Effects) {
        while let Some(conn) = self.crowd.too_slow.pop() {
            self.close(conn, CloseReason::SlowLog, effects);
        }
        self.ask_gathered(effects);
        self.crowd.ask(effects);
        self.finish_drain(effects);
    }

    pub(crate) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId::new(self.last_request)
    }

    /// The connections, and what handing over to them needs.
    pub(crate) fn outlet<'a>(
        &'a mut self,
        effects: &'a mut Effects,
    ) -> (&'a mut Crowd, Outlet<'a>) {
        let outlet = Outlet {
            now: self.now,
            limits: &self.config.limits,
            deadlines: &mut self.deadlines,
            effects,
        };
        (&mut self.crowd, outlet)
    }
}

/// Why a checkpoint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It was read, and breaks an invariant.
    #[error("the checkpoint contradicts itself: {0}")]
    Inconsistent(String),
    /// It is not a checkpoint of this version.
    #[error("not a checkpoint of this version of the engine: record again with this build")]
    Unreadable,
    /// The state could not be written.
    #[error("the state could not be written")]
    Unwritable,
}
