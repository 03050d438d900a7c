//! The guarantees, held against every effect as it is seen and against the whole after each input.

use tradewire_engine::effect::{Control, Message, Note, PublishOutcome};
use tradewire_engine::event::Topic;
use tradewire_engine::ids::{ConnId, EventId, UserId};
use tradewire_engine::reason::CloseReason;
use tradewire_engine::{Delivery, Effect, Effects, Engine};

use crate::outboxes::Clients;
use crate::reference::{Conn, Reference, Stage};

/// The longest message there is: its payload and what it costs beside that.
const MESSAGE_BYTES_MAX: u64 = 400;

impl Reference {
    pub(crate) fn see(
        &mut self,
        effect: &Effect,
        effects: &Effects,
        clients: &Clients,
    ) -> Result<(), String> {
        if is_foretold(effect) {
            let expected = self.expected.pop_front();
            ensure!(
                expected.as_ref() == Some(effect),
                "expected {expected:?}, saw {effect:?}"
            );
        }
        match effect {
            Effect::Admit { conn } => self.stage(*conn, Stage::Entering)?,
            Effect::AnswerPublish { request, outcome } => {
                let asked = self.publishes.remove(request);
                let ids = match outcome {
                    PublishOutcome::Accepted {
                        ids,
                        degraded: false,
                    } => {
                        Some(ids.len())
                    }
                    PublishOutcome::Draining => None,
                    // Its own bus is there for as long as the node is.
                    PublishOutcome::Accepted { degraded: true, .. }
                    | PublishOutcome::Unavailable { .. } => {
                        return Err(format!("{request}: {outcome:?}"));
                    }
                };
                let items = asked.map(|(_, items)| items);
                ensure!(
                    items.is_some() && ids.is_none_or(|ids| Some(ids) == items),
                    "{request}: {outcome:?}"
                );
            }
            Effect::Close { conn, reason, .. } => self.closes(*conn, *reason, clients)?,
            Effect::Deliver {
                message,
                recipients,
            } => {
                let recipients = effects.recipients(recipients);
                ensure!(!recipients.is_empty(), "a delivery to nobody");
                for conn in recipients {
                    self.delivered(*conn, message)?;
                }
            }
            Effect::Drained => {
                let drain = self.drain.as_mut().ok_or("drained without a drain")?;
                ensure!(!drain.drained, "drained twice");
                drain.drained = true;
            }
            Effect::Disconnect { conn } => {
                return Err(format!("{conn} was disconnected for nothing"));
            }
            Effect::LookUpSession { request, .. } => {
                let until = self.now + self.limits.session_lookup_max;
                let asking = self
                    .conns
                    .values_mut()
                    .find(|conn| conn.stage == Stage::Handshaking && conn.session.is_some());
                asking.ok_or("nobody asked")?.stage = Stage::LookingUp(*request, until);
            }
            Effect::Note(Note::Congested { conn, .. }) => {
                self.conn(*conn)?.congested = Some(self.now)
            }
            Effect::Note(Note::Uncongested { conn }) => self.conn(*conn)?.congested = None,
            Effect::Refuse { conn, .. } => {
                self.stage(*conn, Stage::Handshaking)?;
                self.conn(*conn)?.session = None;
            }
            Effect::Release { conn } => {
                self.conns.remove(conn);
            }
            Effect::Send { conn, control } => self.told(*conn, control)?,
            Effect::Acknowledge { .. }
            | Effect::AllowHandshake { .. }
            | Effect::Bus(_)
            // Not answered in this world: a store that does not answer ends nobody's session.
            | Effect::CheckSessions { .. }
            | Effect::Measure { .. }
            | Effect::MeasureAll
            | Effect::Note(_)
            | Effect::RefuseHandshake { .. }
            | Effect::Watch { .. } => {}
        }
        Ok(())
    }

    fn conn(&mut self, conn: ConnId) -> Result<&mut Conn, String> {
        self.conns
            .get_mut(&conn)
            .ok_or_else(|| format!("{conn} is gone"))
    }

    fn stage(&mut self, conn: ConnId, stage: Stage) -> Result<(), String> {
        self.conn(conn)?.stage = stage;
        Ok(())
    }

    /// G1, G2 and G3 for one recipient.
    fn delivered(&mut self, conn: ConnId, message: &Message) -> Result<(), String> {
        let (all, now_wants) = (
            self.delivery == Delivery::All,
            self.conns
                .get(&conn)
                .is_some_and(|state| self.wants_log(state)),
        );
        let order = self.order.get(message.payload().text()).copied();
        let state = self.conn(conn)?;
        ensure!(state.stage == Stage::Live, "{conn} is not in");
        match message {
            Message::Log { id, .. } => {
                ensure!(now_wants, "{conn} did not subscribe to trades");
                let due = state.due.pop_front();
                ensure!(due == Some(*id), "{conn} was due {due:?}, got {id}");
                if let Some(resume) = &mut state.resume {
                    resume.sent += 1;
                    resume.last = *id;
                }
            }
            Message::State { topic, .. } => {
                let concerns = match topic {
                    Topic::Market => true,
                    Topic::Portfolio(user) => {
                        state.user.as_ref() == Some(user) && (all || state.portfolio)
                    }
                    Topic::Quote(symbol) => state.symbols.contains(symbol),
                };
                ensure!(concerns, "{topic} does not concern {conn}");
                let order = order.ok_or("a value that was never published")?;
                let seen = state.seen.insert(topic.clone(), order);
                ensure!(
                    seen <= Some(order),
                    "{topic} went back from {seen:?} to {order} at {conn}"
                );
            }
        }
        Ok(())
    }

    fn told(&mut self, conn: ConnId, control: &Control) -> Result<(), String> {
        let now = self.now;
        let state = self.conn(conn)?;
        ensure!(state.stage == Stage::Live, "{conn} is not in");
        match control {
            Control::Resumed {
                recovered: true,
                replayed,
                last,
            } => {
                let resume = state.resume.take().ok_or("resumed without being asked")?;
                ensure!(state.due.is_empty(), "{conn} is still due {:?}", state.due);
                let told: (u64, Option<EventId>) = (*replayed, *last);
                ensure!(
                    told == (resume.sent, Some(resume.last)),
                    "{conn} resumed with {told:?}"
                );
            }
            Control::Shutdown {
                reconnect_in_ms, ..
            } => {
                ensure!(state.told.is_none(), "{conn} was told twice to leave");
                state.told = Some(now + core::time::Duration::from_millis(*reconnect_in_ms));
            }
            Control::Unsubscribed { symbols } => {
                for symbol in symbols {
                    state.symbols.remove(symbol);
                }
            }
            Control::Error(_) | Control::Resumed { .. } | Control::Subscribed { .. } => {}
        }
        Ok(())
    }

    /// Whether there is reason enough for a close.
    fn closes(
        &mut self,
        conn: ConnId,
        reason: CloseReason,
        clients: &Clients,
    ) -> Result<(), String> {
        let (now, limits) = (self.now, self.limits.clone());
        let hurried = self.drain.as_ref().is_some_and(|drain| drain.hurried);
        let draining = self.drain.is_some();
        let mut handshakes: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, state)| state.stage == Stage::Handshaking)
            .collect();
        handshakes.sort_by_key(|(id, state)| (state.until, **id));
        let oldest = handshakes.first().map(|(id, _)| **id);
        let crowded = handshakes.len() > limits.handshakes_max as usize;
        let looking_up = self.conns.values();
        let looking_up = looking_up.filter(|state| matches!(state.stage, Stage::LookingUp(..)));
        let overloaded = looking_up.count() >= limits.handshakes_max as usize;
        let state = self.conn(conn)?;
        ensure!(state.stage != Stage::Leaving, "{conn} was closed twice");
        let enough = match reason {
            CloseReason::Draining => {
                draining
                    && (state.stage != Stage::Live
                        || hurried
                        || state.told.is_some_and(|at| now >= at))
            }
            CloseReason::HandshakeTimeout => {
                state.stage == Stage::Handshaking && now >= state.until
            }
            CloseReason::HandshakesFull => crowded && oldest == Some(conn),
            CloseReason::SessionStore => matches!(state.stage, Stage::LookingUp(..)),
            CloseReason::SlowTime => {
                // A client that reads is never too slow, and one that is has had its time.
                let since = state.congested.map(|since| now.since(since));
                clients.has_unread(conn) && since.is_some_and(|since| since >= limits.congested_max)
            }
            CloseReason::SlowLog => {
                clients.has_unread(conn) && (state.congested.is_some() || state.resume.is_some())
            }
            CloseReason::SlowTotal => clients.has_unread(conn),
            CloseReason::Overloaded => overloaded && state.stage == Stage::Handshaking,
            CloseReason::BufferFull
            | CloseReason::SessionExpired
            | CloseReason::Stalled
            | CloseReason::TooManyConnections
            | CloseReason::Unread => false,
            CloseReason::ConnectRate
            | CloseReason::Flood
            | CloseReason::Left
            | CloseReason::Replaced => true,
        };
        ensure!(enough, "{conn} was closed as {} for nothing", reason.name());
        state.stage = Stage::Leaving;
        state.due.clear();
        Ok(())
    }

    /// Nothing that was foretold is missing.
    pub(crate) fn done(&mut self) -> Result<(), String> {
        let missing = self.expected.pop_front();
        ensure!(missing.is_none(), "missing {missing:?}");
        for (conn, state) in &self.conns {
            let told = state.told.is_some() || state.stage != Stage::Live;
            ensure!(self.drain.is_none() || told, "{conn} was not told to leave");
            for due in &state.due {
                let kept = self.history.iter().any(|(_, entry)| entry.id == *due);
                ensure!(kept, "{conn} is due {due}, which is forgotten");
            }
        }
        Ok(())
    }

    /// G4, G5 and G7 after an input and everything that the driver had to answer.
    pub(crate) fn rested(&self, engine: &Engine, clients: &Clients) -> Result<(), String> {
        let (stats, limits) = (engine.stats(), &self.limits);
        let users: Vec<&UserId> = self.connects.keys().collect();
        let mut connections = 0;
        for user in users {
            let members = self.members(user).len();
            connections += members;
            ensure!(
                members <= limits.connections_per_user_max as usize,
                "{user} has {members} connections"
            );
        }
        ensure!(
            stats.connections as usize == connections,
            "{} are in, counted {}",
            connections,
            stats.connections
        );
        ensure!(
            stats.transports as usize == self.conns.len(),
            "{} transports",
            stats.transports
        );
        ensure!(
            stats.handshakes <= limits.handshakes_max,
            "{} handshakes",
            stats.handshakes
        );
        ensure!(
            stats.pending_bytes <= limits.outbox_total_bytes_max,
            "{} B pending",
            stats.pending_bytes
        );
        ensure!(
            stats.publishes as usize == self.publishes.len(),
            "{} publishes",
            stats.publishes
        );
        for (request, (at, _)) in &self.publishes {
            ensure!(
                self.now.since(*at) < limits.bus_request_max,
                "{request} is overdue"
            );
        }
        let mut real = 0;
        for (conn, state) in &self.conns {
            if let Stage::LookingUp(_, until) = state.stage {
                ensure!(self.now < until, "{conn}'s session is overdue");
            }
            if state.stage != Stage::Live {
                continue;
            }
            real += clients.pending(*conn).bytes;
            let events = clients.pending_events(*conn);
            ensure!(
                events.packets <= limits.outbox_packets_max
                    && events.bytes <= limits.outbox_bytes_max + MESSAGE_BYTES_MAX,
                "{conn} was handed {events:?}"
            );
            let owed_max = match (&state.resume, state.congested) {
                (Some(_), _) => usize::MAX,
                (None, Some(_)) => limits.congested_log_events_max as usize,
                (None, None) => 0,
            };
            ensure!(
                state.due.len() <= owed_max,
                "{conn} is owed {}",
                state.due.len()
            );
        }
        ensure!(
            real <= stats.pending_bytes,
            "{real} B are pending, known {}",
            stats.pending_bytes
        );
        if let Some(drain) = &self.drain {
            ensure!(
                drain.drained || self.now < drain.end,
                "the drain is overdue"
            );
        }
        Ok(())
    }

    /// G2 and G3 once faults have stopped: everyone has everything.
    pub(crate) fn settled(&self, clients: &Clients) -> Result<(), String> {
        for (conn, state) in self
            .conns
            .iter()
            .filter(|(_, state)| state.stage == Stage::Live)
        {
            let quiet = state.due.is_empty() && state.resume.is_none() && state.congested.is_none();
            ensure!(
                quiet && !clients.has_unread(*conn),
                "{conn} did not come to rest"
            );
            for (topic, newest) in &self.newest {
                let subscribed = match topic {
                    Topic::Market => true,
                    Topic::Portfolio(user) => {
                        let later = self.delivery == Delivery::All && *newest > state.entered;
                        state.user.as_ref() == Some(user) && (state.portfolio || later)
                    }
                    Topic::Quote(symbol) => state.symbols.contains(symbol),
                };
                let seen = state.seen.get(topic);
                ensure!(
                    !subscribed || seen == Some(newest),
                    "{conn} has {seen:?} of {topic}, not {newest}"
                );
            }
        }
        Ok(())
    }
}

/// Whether the reference says in advance that this effect comes.
fn is_foretold(effect: &Effect) -> bool {
    match effect {
        Effect::Acknowledge { .. }
        | Effect::Admit { .. }
        | Effect::AllowHandshake { .. }
        | Effect::Refuse { .. }
        | Effect::RefuseHandshake { .. }
        | Effect::Release { .. } => true,
        Effect::Send { control, .. } => match control {
            Control::Resumed { recovered, .. } => !recovered,
            Control::Shutdown { .. } => false,
            Control::Error(_) | Control::Subscribed { .. } | Control::Unsubscribed { .. } => true,
        },
        Effect::Close { reason, .. } => matches!(
            reason,
            CloseReason::ConnectRate
                | CloseReason::Flood
                | CloseReason::Left
                | CloseReason::Replaced
        ),
        Effect::AnswerPublish { .. }
        | Effect::Bus(_)
        | Effect::CheckSessions { .. }
        | Effect::Deliver { .. }
        | Effect::Disconnect { .. }
        | Effect::Drained
        | Effect::LookUpSession { .. }
        | Effect::Measure { .. }
        | Effect::MeasureAll
        | Effect::Note(_)
        | Effect::Watch { .. } => false,
    }
}
