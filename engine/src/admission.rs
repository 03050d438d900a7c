//! From handshake to admission: who may come in, and in whose name.
//!
//! What will not pass by itself is refused with CONNECT_ERROR; what will is refused below Socket.IO,
//! so that a stock client comes back. Sessions are looked up elsewhere; the verdict is used here.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::connection::{CONNECTS_MAX, Connection, Entrant, Life, LookUp, Member, Stage, Wishes};
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Note};
use crate::engine::{Engine, TopicState, User};
use crate::ids::{ConnId, RequestId, SessionId, SocketId, UserId};
use crate::input::SessionVerdict;
use crate::outbox::Outbox;
use crate::parse::{Auth, UserClaim};
use crate::rate::{Bucket, Window};
use crate::reason::{CloseReason, Refusal, Unavailable};
use crate::sessions::Watched;
use crate::time::Timestamp;

impl User {
    /// When the last of what its windows remember has left them.
    fn windows_empty_at(&self, calls_window: Duration) -> Option<Timestamp> {
        let calls = self
            .calls
            .iter()
            .filter_map(|calls| calls.empty_at(calls_window));
        self.connects
            .empty_at(MINUTE)
            .into_iter()
            .chain(calls)
            .max()
    }
}

/// The span of [`crate::limits::Limits::connects_per_user_minute_max`].
const MINUTE: Duration = Duration::from_secs(60);

/// For how long a client that was allowed its handshake counts as on its way in. A client that is not
/// held up by this node is admitted after a few round trips; who never sends CONNECT must not turn
/// others away for longer than that.
pub(crate) const ADMISSION_MAX: Duration = Duration::from_secs(1);

impl Engine {
    pub(crate) fn handshake_started(&mut self, conn: ConnId, effects: &mut Effects) {
        let unavailable = if self.drain.is_some() {
            Some(Unavailable::Draining)
        } else if self.crowd.count() >= self.config.limits.connections_max {
            Some(Unavailable::Full)
        } else if self.pending_admissions() >= self.config.limits.admissions_pending_max as usize {
            Some(Unavailable::Busy)
        } else {
            None
        };
        if let Some(reason) = unavailable {
            effects.push(Effect::RefuseHandshake { conn, reason });
            effects.note(Note::HandshakeRefused { reason });
            effects.push(Effect::Release { conn });
            return;
        }
        let handshake_until = self.now + self.config.limits.handshake_max;
        self.crowd.insert(Connection {
            id: conn,
            handshake_until,
            connects: 0,
            stage: Stage::Handshaking,
        });
        self.deadlines.handshakes.insert((handshake_until, conn));
        self.admissions.insert((handshake_until, conn));
        effects.push(Effect::AllowHandshake { conn });
        self.limit_handshakes(effects);
    }

    /// How many clients are on their way in; those who take longer than [`ADMISSION_MAX`] do not
    /// keep the node busy, only one of its places.
    fn pending_admissions(&mut self) -> usize {
        let dawdles = |until: Timestamp| {
            // When it began is `until` less `handshake_max`.
            until + ADMISSION_MAX <= self.now + self.config.limits.handshake_max
        };
        while self
            .admissions
            .first()
            .is_some_and(|(until, _)| dawdles(*until))
        {
            self.admissions.pop_first();
        }
        self.admissions.len()
    }

    /// Closes the oldest handshakes until there are as many as allowed.
    fn limit_handshakes(&mut self, effects: &mut Effects) {
        while self.deadlines.handshakes.len() > self.config.limits.handshakes_max as usize
            && let Some((_, oldest)) = self.deadlines.handshakes.first().copied()
        {
            self.close(oldest, CloseReason::HandshakesFull, effects);
        }
    }

    pub(crate) fn connect_requested(
        &mut self,
        conn: ConnId,
        socket: SocketId,
        auth: Auth,
        cookie: Option<SessionId>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.crowd.get_mut(conn) else {
            return;
        };
        let handshake_until = connection.handshake_until;
        if connection.stage != Stage::Handshaking {
            return;
        }
        connection.connects += 1;
        if connection.connects > CONNECTS_MAX {
            self.close(conn, CloseReason::Flood, effects);
            return;
        }
        let Some(session) = auth.session.clone().or(cookie) else {
            self.refuse(conn, Refusal::NoSession, effects);
            return;
        };
        // Those whose answers are awaited are no handshakes meanwhile, and as few.
        if self.lookups.len() >= self.config.limits.handshakes_max as usize {
            self.close(conn, CloseReason::Overloaded, effects);
            return;
        }
        let request = self.next_request();
        let until = self.now + self.config.limits.session_lookup_max;
        self.deadlines.handshakes.remove(&(handshake_until, conn));
        self.deadlines.set(until, Due::LookUp(request));
        self.lookups.insert(request, conn);
        effects.push(Effect::LookUpSession {
            request,
            session: session.clone(),
        });
        if let Some(connection) = self.crowd.get_mut(conn) {
            let look_up = LookUp {
                request,
                until,
                socket,
                session,
                auth,
            };
            connection.stage = Stage::LookingUp(Box::new(look_up));
        }
    }

    pub(crate) fn session_looked_up(
        &mut self,
        request: RequestId,
        verdict: SessionVerdict,
        effects: &mut Effects,
    ) {
        let Some(conn) = self.lookups.get(&request).copied() else {
            return;
        };
        let Some(look_up) = self.end_look_up(conn) else {
            return;
        };
        let watched = matches!(verdict, SessionVerdict::Found { .. });
        let user = match (verdict, &look_up.auth.user) {
            (SessionVerdict::Unavailable, _) => {
                self.close(conn, CloseReason::SessionStore, effects);
                return;
            }
            (SessionVerdict::Unknown, _) => Err(Refusal::UnknownSession),
            (SessionVerdict::Trusted, UserClaim::Absent) => Err(Refusal::NoUser),
            (SessionVerdict::Trusted | SessionVerdict::Found { .. }, UserClaim::Malformed) => {
                Err(Refusal::MalformedUser)
            }
            (SessionVerdict::Trusted, UserClaim::Claimed(user)) => Ok(user.clone()),
            (SessionVerdict::Found { user }, UserClaim::Claimed(claimed)) if *claimed != user => {
                Err(Refusal::UserMismatch)
            }
            (SessionVerdict::Found { user }, UserClaim::Absent | UserClaim::Claimed(_)) => Ok(user),
        };
        let LookUp {
            socket,
            session,
            auth,
            ..
        } = look_up;
        match user {
            Ok(user) => {
                let entrant = Entrant {
                    user,
                    socket,
                    session,
                    watched,
                    auth,
                };
                self.identified(conn, entrant, effects);
            }
            Err(refusal) => self.refuse(conn, refusal, effects),
        }
    }

    /// Takes the connection's look-up out; it is handshaking again.
    pub(crate) fn end_look_up(&mut self, conn: ConnId) -> Option<LookUp> {
        let connection = self.crowd.get_mut(conn)?;
        let Stage::LookingUp(_) = connection.stage else {
            return None;
        };
        let stage = core::mem::replace(&mut connection.stage, Stage::Handshaking);
        let Stage::LookingUp(look_up) = stage else {
            return None;
        };
        self.lookups.remove(&look_up.request);
        self.deadlines
            .unset(look_up.until, Due::LookUp(look_up.request));
        self.deadlines
            .handshakes
            .insert((connection.handshake_until, conn));
        Some(*look_up)
    }

    pub(crate) fn refuse(&mut self, conn: ConnId, reason: Refusal, effects: &mut Effects) {
        effects.push(Effect::Refuse { conn, reason });
        effects.note(Note::Refused { conn, reason });
        // It handshakes again, and was not counted while its session was looked up.
        self.limit_handshakes(effects);
    }

    /// A client's user is known: asks for a slot, unless this node alone can say what comes of it.
    fn identified(&mut self, conn: ConnId, entrant: Entrant, effects: &mut Effects) {
        if !self.may_enter(conn, &entrant, effects) {
            return;
        }
        if self.asks_others() {
            self.claim(conn, entrant, effects);
        } else {
            self.admit_alone(conn, entrant, effects);
        }
    }

    /// Whether this node's own counts let a client in; if not, it is told or closed.
    fn may_enter(&mut self, conn: ConnId, entrant: &Entrant, effects: &mut Effects) -> bool {
        let limits = &self.config.limits;
        let (connects_max, max) = (
            limits.connects_per_user_minute_max,
            limits.connections_per_user_max,
        );
        let number = self.user_number(&entrant.user);
        let Some(record) = self.users.get(number) else {
            return false;
        };
        let connects = &record.connects;
        if connects.wait(self.now, connects_max, MINUTE).is_some() {
            self.close(conn, CloseReason::ConnectRate, effects);
            return false;
        }
        if record.members.len() >= max as usize && self.replaced(number, entrant).is_none() {
            self.refuse(conn, Refusal::TooManyConnections { max }, effects);
            self.idle_if_alone(number, effects);
            return false;
        }
        true
    }

    /// Lets a client in, if this node's own counts still do; tells whether it did.
    pub(crate) fn admit(&mut self, conn: ConnId, entrant: Entrant, effects: &mut Effects) -> bool {
        if !self.may_enter(conn, &entrant, effects) {
            return false;
        }
        let user = entrant.user.clone();
        let number = self.user_number(&user);
        let replaced = self.replaced(number, &entrant);
        self.make_member(conn, number, entrant);
        // Only now, so that its user is not gone in between.
        if let Some(replaced) = replaced {
            self.close(replaced, CloseReason::Replaced, effects);
        }
        effects.push(Effect::Admit { conn });
        effects.note(Note::Admitted { conn, user });
        self.start_rounds();
        true
    }

    fn make_member(&mut self, conn: ConnId, number: u32, entrant: Entrant) {
        let Entrant {
            socket,
            session,
            watched,
            auth,
            ..
        } = entrant;
        let limits = &self.config.limits;
        let Some(record) = self.users.get_mut(number) else {
            return;
        };
        record
            .connects
            .count(self.now, limits.connects_per_user_minute_max);
        record.members.push(conn.slot());
        if let Some(until) = record.idle_until.take() {
            self.deadlines.idle_users.remove(&(until, number));
        }
        let Some(connection) = self.crowd.get_mut(conn) else {
            return;
        };
        self.deadlines
            .handshakes
            .remove(&(connection.handshake_until, conn));
        self.admissions.remove(&(connection.handshake_until, conn));
        let wishes = Wishes {
            last_event: auth.last_event_id,
            subscriptions: auth.subscriptions,
        };
        let seen = Watched {
            seen: true,
            missing_since: None,
        };
        connection.stage = Stage::Admitted(Box::new(Member {
            user: number,
            socket,
            session,
            admitted_at: self.now,
            watched: watched.then_some(seen),
            life: Life::Entering(Box::new(wishes)),
            portfolio: false,
            trades: false,
            watches: Vec::new(),
            called: [false; 3],
            events: Bucket::full(self.now, limits.events_burst_max),
            waiting: None,
            outbox: Outbox::new(limits, self.history.last_number()),
        }));
        self.crowd.members += 1;
        self.crowd.watched += u32::from(watched);
    }

    /// The connection whose slot this client may take: its own previous one.
    fn replaced(&self, number: u32, entrant: &Entrant) -> Option<ConnId> {
        let replaces = entrant.auth.replaces.as_ref()?;
        let members = &self.users.get(number)?.members;
        let connections = members.iter().filter_map(|slot| self.crowd.at(*slot));
        connections
            .filter(|connection| {
                connection.member().is_some_and(|member| {
                    member.socket == *replaces && member.session == entrant.session
                })
            })
            .map(|connection| connection.id)
            .next()
    }

    /// The user's number; a user not known yet is idle until it is admitted.
    fn user_number(&mut self, user: &UserId) -> u32 {
        if let Some(number) = self.user_numbers.get(user) {
            return *number;
        }
        let idle_until = self.now + self.config.limits.calls_window.max(MINUTE);
        let number = self.users.insert(User {
            id: user.clone(),
            members: Vec::new(),
            connects: Window::default(),
            calls: Default::default(),
            portfolio: TopicState::default(),
            idle_until: Some(idle_until),
        });
        self.user_numbers.insert(user.clone(), number);
        self.deadlines.idle_users.insert((idle_until, number));
        number
    }

    /// Starts a user's idle time if it has no connection left; forgets whose windows are empty soonest
    /// if there are too many.
    pub(crate) fn idle_if_alone(&mut self, number: u32, effects: &mut Effects) {
        let Some(record) = self.users.get_mut(number) else {
            return;
        };
        if record.members.is_empty() && record.idle_until.is_none() {
            // Nothing is lost by forgetting who has nothing in its windows.
            let until = record.windows_empty_at(self.config.limits.calls_window);
            let until = until.map_or(self.now, |at| at.max(self.now));
            record.idle_until = Some(until);
            record.members = Vec::new();
            record.portfolio = TopicState::default();
            self.deadlines.idle_users.insert((until, number));
        }
        if self.deadlines.idle_users.len() > self.config.limits.idle_users_max as usize
            && let Some((_, oldest)) = self.deadlines.idle_users.first().copied()
        {
            self.forget_user(oldest);
            effects.note(Note::IdleUserForgotten);
        }
    }

    pub(crate) fn forget_user(&mut self, number: u32) {
        let Some(record) = self.users.remove(number) else {
            return;
        };
        self.user_numbers.remove(&record.id);
        if let Some(until) = record.idle_until {
            self.deadlines.idle_users.remove(&(until, number));
        }
    }
}
