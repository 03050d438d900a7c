//! What should happen, said as simply as possible: lists of everything, searched from end to end.
//!
//! Answers to clients are foretold exactly. What depends on how fast clients read is not foretold but
//! held against what each connection is due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tradewire_engine::effect::Control;
use tradewire_engine::event::{LogEntry, StateValue, Topic};
use tradewire_engine::ids::{ConnId, EventId, RequestId, SessionId, SocketId, Symbol, UserId};
use tradewire_engine::input::SessionVerdict;
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::{Auth, LastEventId, UserClaim};
use tradewire_engine::reason::{Call, CloseReason, Refusal, Unavailable};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{Delivery, Effect, Input};

pub(crate) struct Reference {
    pub(crate) limits: Limits,
    pub(crate) delivery: Delivery,
    pub(crate) now: Timestamp,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    /// The log of everyone that is young enough to be kept.
    pub(crate) history: Vec<(Timestamp, LogEntry)>,
    /// All log events ever, and whose they are.
    pub(crate) events: Vec<(UserId, EventId)>,
    pub(crate) connects: BTreeMap<UserId, Vec<Timestamp>>,
    pub(crate) calls: BTreeMap<(UserId, Call), Vec<Timestamp>>,
    /// The bus's order of values, by payload, and the newest of each topic.
    pub(crate) order: BTreeMap<String, u64>,
    pub(crate) newest: BTreeMap<Topic, u64>,
    pub(crate) publishes: BTreeMap<RequestId, (Timestamp, usize)>,
    pub(crate) drain: Option<Drain>,
    /// Effects that the input at hand must have, in order.
    pub(crate) expected: VecDeque<Effect>,
}

pub(crate) struct Drain {
    pub(crate) end: Timestamp,
    pub(crate) hurried: bool,
    pub(crate) drained: bool,
}

pub(crate) struct Conn {
    pub(crate) stage: Stage,
    pub(crate) began: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) auth: Auth,
    pub(crate) socket: Option<SocketId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) user: Option<UserId>,
    pub(crate) portfolio: bool,
    pub(crate) trades: bool,
    pub(crate) symbols: BTreeSet<Symbol>,
    pub(crate) called: BTreeSet<Call>,
    /// When the next event would be due if events came evenly at the limit.
    pub(crate) even_at: u64,
    /// Log events that it must still be sent, in this order.
    pub(crate) due: VecDeque<EventId>,
    pub(crate) resume: Option<Resume>,
    pub(crate) congested: Option<Timestamp>,
    /// The newest value that it was sent, by topic.
    pub(crate) seen: BTreeMap<Topic, u64>,
    /// How much the bus had ordered when it came in.
    pub(crate) entered: u64,
    /// When a drain promised to close it.
    pub(crate) told: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Handshaking,
    LookingUp(RequestId, Timestamp),
    Entering,
    Live,
    Leaving,
}

pub(crate) struct Resume {
    pub(crate) sent: u64,
    pub(crate) last: EventId,
}

impl Reference {
    pub(crate) fn new(limits: Limits, delivery: Delivery) -> Self {
        Self {
            limits,
            delivery,
            now: Timestamp::ZERO,
            conns: BTreeMap::new(),
            history: Vec::new(),
            events: Vec::new(),
            connects: BTreeMap::new(),
            calls: BTreeMap::new(),
            order: BTreeMap::new(),
            newest: BTreeMap::new(),
            publishes: BTreeMap::new(),
            drain: None,
            expected: VecDeque::new(),
        }
    }

    /// The bus has ordered these values.
    pub(crate) fn bus_took(&mut self, values: &[StateValue]) {
        for value in values {
            let counter = value.version.counter;
            self.order.insert(value.payload.text().into(), counter);
            self.newest.insert(value.topic.clone(), counter);
        }
    }

    /// Foretells what an input must bring.
    pub(crate) fn expect(&mut self, now: Timestamp, input: &Input) -> Result<(), String> {
        self.now = now;
        let age_max = self.limits.history_max;
        self.history.retain(|(at, _)| now.since(*at) < age_max);
        match input {
            Input::HandshakeStarted { conn } => self.expect_handshake(*conn),
            Input::ConnectRequested {
                conn,
                socket,
                auth,
                cookie: _,
            } => {
                self.expect_connect(*conn, socket, auth);
            }
            Input::SessionLookedUp { request, verdict } => self.expect_verdict(*request, verdict),
            Input::Connected { conn } => self.expect_entry(*conn),
            Input::Received { conn, event, ack } => self.expect_answer(*conn, event, *ack),
            Input::Disconnected { conn } => {
                if self.is_admitted(*conn) {
                    self.expect_close(*conn, CloseReason::Left);
                }
            }
            Input::Closed { conn } => {
                if self.conns.contains_key(conn) {
                    self.expected.push_back(Effect::Release { conn: *conn });
                }
            }
            Input::LogArrived { entries } => self.log_arrived(entries),
            Input::Published { request, items, .. } => {
                self.publishes.insert(*request, (now, items.len()));
            }
            Input::DrainStarted { .. } if self.drain.is_none() => {
                let end = now + self.limits.drain_deadline;
                self.drain = Some(Drain {
                    end,
                    hurried: false,
                    drained: false,
                });
            }
            Input::DrainHurried => {
                if let Some(drain) = &mut self.drain {
                    drain.hurried = true;
                }
            }
            Input::Appended { .. }
            // A node alone is not told these.
            | Input::BusLost
            | Input::BusReached
            | Input::Charged { .. }
            | Input::Claimed { .. }
            | Input::DrainStarted { .. }
            | Input::Emitted { .. }
            | Input::Fetched { .. }
            | Input::Led { .. }
            | Input::LogGap { .. }
            | Input::LogLoaded { .. }
            | Input::OutboxMeasured { .. }
            | Input::OutboxesMeasured { .. }
            | Input::SessionsChecked { .. }
            | Input::Shared { .. }
            | Input::SlotsLost { .. }
            | Input::StateArrived { .. }
            | Input::StateMissed
            // Nothing fails in this world.
            | Input::TransportFailed { .. }
            | Input::Woke => {}
        }
        Ok(())
    }

    pub(crate) fn is_admitted(&self, conn: ConnId) -> bool {
        self.conns
            .get(&conn)
            .is_some_and(|conn| matches!(conn.stage, Stage::Entering | Stage::Live))
    }

    pub(crate) fn members(&self, user: &UserId) -> Vec<ConnId> {
        let of_user = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.user.as_ref() == Some(user));
        of_user
            .map(|(id, _)| *id)
            .filter(|id| self.is_admitted(*id))
            .collect()
    }

    /// The ids of a user's log events, or of everyone's, oldest first.
    pub(crate) fn events_of(&self, user: Option<&UserId>) -> Vec<EventId> {
        let all = self.events.iter();
        let theirs = all.filter(|(of, _)| user.is_none_or(|user| user == of));
        theirs.map(|(_, id)| *id).collect()
    }

    /// Whether log events concern a connection.
    pub(crate) fn wants_log(&self, conn: &Conn) -> bool {
        self.delivery == Delivery::All || conn.trades
    }

    fn expect_close(&mut self, conn: ConnId, reason: CloseReason) {
        let flush = core::time::Duration::from_secs(u64::from(reason == CloseReason::Flood));
        self.expected.push_back(Effect::Close {
            conn,
            reason,
            flush,
        });
    }

    fn expect_handshake(&mut self, conn: ConnId) {
        let reason = if self.drain.is_some() {
            Some(Unavailable::Draining)
        } else if self.conns.len() >= self.limits.connections_max as usize {
            Some(Unavailable::Full)
        } else if self.on_the_way_in() >= self.limits.admissions_pending_max as usize {
            Some(Unavailable::Busy)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.expected
                .push_back(Effect::RefuseHandshake { conn, reason });
            self.expected.push_back(Effect::Release { conn });
            return;
        }
        self.expected.push_back(Effect::AllowHandshake { conn });
        self.conns.insert(conn, Conn::new(self.now, &self.limits));
    }

    fn on_the_way_in(&self) -> usize {
        let second = core::time::Duration::from_secs(1);
        let newcomers = self.conns.values().filter(|conn| {
            let began = conn.began;
            self.now < began + second
                && match conn.stage {
                    Stage::Handshaking | Stage::LookingUp(..) => true,
                    Stage::Entering | Stage::Live | Stage::Leaving => false,
                }
        });
        newcomers.count()
    }

    fn expect_connect(&mut self, conn: ConnId, socket: &SocketId, auth: &Auth) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if state.stage != Stage::Handshaking || self.drain.is_some() {
            return;
        }
        state.auth = auth.clone();
        state.socket = Some(socket.clone());
        state.session = auth.session.clone();
        if auth.session.is_none() {
            let reason = Refusal::NoSession;
            self.expected.push_back(Effect::Refuse { conn, reason });
        }
    }

    fn expect_verdict(&mut self, request: RequestId, verdict: &SessionVerdict) {
        let waiting = self.conns.iter().find(|(_, conn)| {
            matches!(conn.stage, Stage::LookingUp(waits_for, _) if waits_for == request)
        });
        let Some((&conn, state)) = waiting else {
            return;
        };
        let claim = &state.auth.user;
        let refusal = match (verdict, claim) {
            (SessionVerdict::Unavailable, _) => {
                // Closed as when no answer comes, and at once.
                let overdue = Stage::LookingUp(request, self.now);
                self.conns.get_mut(&conn).unwrap().stage = overdue;
                return;
            }
            (SessionVerdict::Unknown, _) => Err(Refusal::UnknownSession),
            (_, UserClaim::Malformed) => Err(Refusal::MalformedUser),
            (SessionVerdict::Trusted, UserClaim::Absent) => Err(Refusal::NoUser),
            (SessionVerdict::Trusted, UserClaim::Claimed(user)) => Ok(user.clone()),
            (SessionVerdict::Found { user }, UserClaim::Absent) => Ok(user.clone()),
            (SessionVerdict::Found { user }, UserClaim::Claimed(claimed)) if user == claimed => {
                Ok(user.clone())
            }
            (SessionVerdict::Found { .. }, UserClaim::Claimed(_)) => Err(Refusal::UserMismatch),
        };
        match refusal {
            Err(reason) => self.expected.push_back(Effect::Refuse { conn, reason }),
            Ok(user) => self.expect_admission(conn, user),
        }
    }

    fn expect_admission(&mut self, conn: ConnId, user: UserId) {
        let minute = core::time::Duration::from_secs(60);
        let connects = self.connects.entry(user.clone()).or_default();
        let recent = connects
            .iter()
            .filter(|at| self.now.since(**at) < minute)
            .count();
        if recent >= self.limits.connects_per_user_minute_max as usize {
            return self.expect_close(conn, CloseReason::ConnectRate);
        }
        let members = self.members(&user);
        let state = &self.conns[&conn];
        let replaced = members.iter().copied().find(|member| {
            let member = &self.conns[member];
            member.socket == state.auth.replaces && member.session == state.session
        });
        let max = self.limits.connections_per_user_max;
        if let Some(replaced) = replaced {
            self.expect_close(replaced, CloseReason::Replaced);
        } else if members.len() >= max as usize {
            let reason = Refusal::TooManyConnections { max };
            return self.expected.push_back(Effect::Refuse { conn, reason });
        }
        self.expected.push_back(Effect::Admit { conn });
        self.connects
            .entry(user.clone())
            .or_default()
            .push(self.now);
        let state = self.conns.get_mut(&conn).unwrap();
        state.user = Some(user);
        state.even_at = self.now.as_ms();
    }

    /// What a connection gets for its handshake's wishes once it can be sent events.
    pub(crate) fn expect_entry(&mut self, conn: ConnId) {
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if state.stage != Stage::Entering {
            return;
        }
        state.stage = Stage::Live;
        state.entered = self.newest.values().copied().max().unwrap_or(0);
        let auth = state.auth.clone();
        match auth.subscriptions {
            None => {}
            Some(Err(_)) => self.expect_error(
                conn,
                None,
                tradewire_engine::reason::ClientError::InvalidSubscriptions,
            ),
            Some(Ok(wished)) => self.expect_restored(conn, wished),
        }
        let LastEventId::Given(id) = auth.last_event_id else {
            return;
        };
        let state = &self.conns[&conn];
        let mine = |entry: &&LogEntry| Some(&entry.user) == state.user.as_ref();
        let log: Vec<EventId> = self
            .history
            .iter()
            .map(|(_, entry)| entry)
            .filter(mine)
            .map(|entry| entry.id)
            .collect();
        let place = id.and_then(|id| log.iter().position(|kept| *kept == id));
        match place.filter(|_| self.wants_log(state)) {
            Some(place) => {
                let resume = Resume {
                    sent: 0,
                    last: log[place],
                };
                let state = self.conns.get_mut(&conn).unwrap();
                state.resume = Some(resume);
                state.due = log[place + 1..].iter().copied().collect();
            }
            None => {
                let control = Control::Resumed {
                    recovered: false,
                    replayed: 0,
                    last: log.last().copied(),
                };
                self.expected.push_back(Effect::Send { conn, control });
            }
        }
    }

    fn log_arrived(&mut self, entries: &[LogEntry]) {
        for entry in entries {
            self.history.push((self.now, entry.clone()));
            self.events.push((entry.user.clone(), entry.id));
            for member in self.members(&entry.user) {
                let state = &self.conns[&member];
                if state.stage == Stage::Live && self.wants_log(state) {
                    self.conns.get_mut(&member).unwrap().due.push_back(entry.id);
                }
            }
        }
    }
}

impl Conn {
    fn new(began: Timestamp, limits: &Limits) -> Self {
        Self {
            stage: Stage::Handshaking,
            began,
            until: began + limits.handshake_max,
            auth: Auth::default(),
            socket: None,
            session: None,
            user: None,
            portfolio: false,
            trades: false,
            symbols: BTreeSet::new(),
            called: BTreeSet::new(),
            even_at: 0,
            due: VecDeque::new(),
            resume: None,
            congested: None,
            seen: BTreeMap::new(),
            entered: 0,
            told: None,
        }
    }
}
