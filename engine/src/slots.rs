//! Connection slots: how many connections a user may have in the whole cluster.
//!
//! The bus keeps a lease for each connection. A claim comes before admission; while the bus cannot be
//! used, this node admits as many as it would alone, and registers them when it is back. What is in
//! excess then is closed, the newest first: the bus says which those are, so that all nodes agree.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::bus::{BusRequest, Renewal, Slot};
use crate::connection::{Claiming, Entrant, Stage};
use crate::contact::Contact;
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Note};
use crate::engine::Engine;
use crate::ids::{ConnId, RequestId, UserId};
use crate::input::{ClaimVerdict, SlotLoss};
use crate::reason::{ClientError, CloseReason, Refusal};

/// Into how many parts a round over all users is divided, so that its work does not come at once.
pub(crate) const TURNS: u32 = 20;

/// How many times faster slots are renewed when the bus is back, or lost its data.
const HURRY: u32 = 5;

/// Users in one [`BusRequest::Renew`].
const RENEW_MAX: usize = 64;

/// How long one part of a round takes; never nothing, or it would never come to rest.
fn turn_of(round: Duration) -> Duration {
    (round / TURNS).max(Duration::from_millis(1))
}

impl Engine {
    /// Asks the bus for a slot; admission goes on with its answer.
    pub(crate) fn claim(&mut self, conn: ConnId, entrant: Entrant, effects: &mut Effects) {
        let request = self.next_request();
        let until = self.now + self.config.limits.bus_request_max;
        let slot = entrant.slot();
        let replaces = entrant.auth.replaces.clone();
        let replaces = replaces.map(|socket| Slot::new(socket, &entrant.session));
        let user = entrant.user.clone();
        let Some(connection) = self.crowd.get_mut(conn) else {
            return;
        };
        self.deadlines
            .handshakes
            .remove(&(connection.handshake_until, conn));
        connection.stage = Stage::Claiming(Box::new(Claiming {
            request,
            until,
            entrant,
        }));
        self.deadlines.set(until, Due::Claim(request));
        self.claims.insert(request, conn);
        effects.push(Effect::Bus(BusRequest::Claim {
            request,
            user,
            slot,
            replaces,
        }));
    }

    pub(crate) fn claimed(
        &mut self,
        request: RequestId,
        verdict: ClaimVerdict,
        effects: &mut Effects,
    ) {
        let Some(conn) = self.claims.get(&request).copied() else {
            return;
        };
        let Some(entrant) = self.end_claim(conn) else {
            return;
        };
        match verdict {
            ClaimVerdict::Granted => {
                let (user, slot) = (entrant.user.clone(), entrant.slot());
                if !self.admit(conn, entrant, effects) {
                    self.release_slot(user, slot, effects);
                }
            }
            // As this node alone would decide; the slot is registered with the next renewal.
            ClaimVerdict::Failed => self.admit_alone(conn, entrant, effects),
            ClaimVerdict::Full => {
                let max = self.config.limits.connections_per_user_max;
                self.refuse(conn, Refusal::TooManyConnections { max }, effects);
            }
            ClaimVerdict::TooOften => self.close(conn, CloseReason::ConnectRate, effects),
        }
    }

    /// Takes the connection's claim out; it is handshaking again.
    pub(crate) fn end_claim(&mut self, conn: ConnId) -> Option<Entrant> {
        let connection = self.crowd.get_mut(conn)?;
        let Stage::Claiming(_) = connection.stage else {
            return None;
        };
        let stage = core::mem::replace(&mut connection.stage, Stage::Handshaking);
        let Stage::Claiming(claiming) = stage else {
            return None;
        };
        self.claims.remove(&claiming.request);
        self.deadlines
            .unset(claiming.until, Due::Claim(claiming.request));
        self.deadlines
            .handshakes
            .insert((connection.handshake_until, conn));
        Some(claiming.entrant)
    }

    /// The bus is lost: what was asked of it is decided here.
    pub(crate) fn decide_claims(&mut self, effects: &mut Effects) {
        while let Some((request, _)) = self.claims.first_key_value() {
            let request = *request;
            self.claimed(request, ClaimVerdict::Failed, effects);
        }
    }

    /// Gives a slot back. One that cannot be given back now ends with its lease.
    pub(crate) fn release_slot(&mut self, user: UserId, slot: Slot, effects: &mut Effects) {
        if self.asks_others() {
            effects.push(Effect::Bus(BusRequest::Release { user, slot }));
        } else if self.link.contact == Contact::Lost
            && self.rounds.unreleased.len() < self.config.limits.connections_max as usize
        {
            self.rounds.unreleased.push((user, slot));
        }
    }

    /// Lets a client in without the bus, if this node's own counts do.
    ///
    /// The slot that it left behind on another node is given back: that node may be gone, and until the
    /// lease ends the client would be in excess itself.
    pub(crate) fn admit_alone(&mut self, conn: ConnId, entrant: Entrant, effects: &mut Effects) {
        let user = entrant.user.clone();
        let replaces = entrant.auth.replaces.clone();
        let left = replaces
            .map(|socket| Slot::new(socket, &entrant.session))
            .filter(|slot| self.holder(&user, slot).is_none());
        if self.admit(conn, entrant, effects)
            && let Some(slot) = left
        {
            self.release_slot(user, slot, effects);
        }
    }

    /// Gives back what could not be given back while the bus was away.
    pub(crate) fn release_all(&mut self, effects: &mut Effects) {
        for (user, slot) in core::mem::take(&mut self.rounds.unreleased) {
            self.release_slot(user, slot, effects);
        }
    }

    /// Begins to renew slots and to look after sessions, in turns.
    pub(crate) fn start_rounds(&mut self) {
        if self.asks_others() && self.rounds.renew_at.is_none() && self.crowd.members > 0 {
            let mut period = self.config.limits.slot_renew_every;
            if self.rounds.renew_hurried > 0 {
                period /= HURRY;
            }
            let at = self.now + turn_of(period);
            self.rounds.renew_at = Some(at);
            self.deadlines.set(at, Due::Renew);
        }
        if self.is_reached() && self.rounds.check_at.is_none() && self.crowd.watched > 0 {
            let at = self.now + turn_of(self.config.limits.session_check_every);
            self.rounds.check_at = Some(at);
            self.deadlines.set(at, Due::CheckSessions);
        }
    }

    pub(crate) fn stop_rounds(&mut self) {
        if let Some(at) = self.rounds.renew_at.take() {
            self.deadlines.unset(at, Due::Renew);
        }
        if let Some(at) = self.rounds.check_at.take() {
            self.deadlines.unset(at, Due::CheckSessions);
        }
    }

    /// Renews the slots of those users whose turn it is.
    pub(crate) fn renew_turn(&mut self, effects: &mut Effects) {
        self.rounds.renew_at = None;
        let turn = self.rounds.renew_turn % TURNS;
        self.rounds.renew_turn = turn + 1;
        self.rounds.renew_hurried = self.rounds.renew_hurried.saturating_sub(1);
        let mut renewals = Vec::new();
        for (_, user) in self.users.every(turn, TURNS) {
            let members = user.members.iter().filter_map(|slot| {
                let member = self.crowd.at(*slot)?.member()?;
                Some((member.slot(), self.now.since(member.admitted_at)))
            });
            let slots: Vec<(Slot, Duration)> = members.collect();
            if !slots.is_empty() {
                renewals.push(Renewal {
                    user: user.id.clone(),
                    slots,
                });
            }
        }
        for users in renewals.chunks(RENEW_MAX) {
            let users = users.to_vec();
            effects.push(Effect::Bus(BusRequest::Renew { users }));
        }
        self.start_rounds();
    }

    /// Has every slot renewed sooner than usual: the bus may have forgotten some. Not all at once,
    /// since what is asked meanwhile must not wait behind that.
    pub(crate) fn hurry_renewals(&mut self) {
        if self.crowd.members > 0 {
            let limits = &self.config.limits;
            self.rounds.renew_hurried = TURNS;
            self.rounds.judged_from =
                self.now + limits.slot_renew_every / HURRY + limits.bus_request_max;
        }
    }

    pub(crate) fn slots_lost(
        &mut self,
        slots: Vec<(UserId, Slot, SlotLoss)>,
        effects: &mut Effects,
    ) {
        for (user, slot, loss) in slots {
            let Some(conn) = self.holder(&user, &slot) else {
                continue;
            };
            // Other nodes may not have given back yet what their clients left behind meanwhile; what is
            // in excess then is told again with the next renewal.
            if loss == SlotLoss::Excess && self.now < self.rounds.judged_from {
                continue;
            }
            effects.note(Note::SlotLost { conn, user, loss });
            match loss {
                SlotLoss::Excess => {
                    let max = self.config.limits.connections_per_user_max;
                    let error = ClientError::TooManyConnections { max };
                    self.dismiss(conn, error, CloseReason::TooManyConnections, effects);
                }
                SlotLoss::Replaced => self.close(conn, CloseReason::Replaced, effects),
            }
        }
    }

    fn holder(&self, user: &UserId, slot: &Slot) -> Option<ConnId> {
        let user = self.users.get(*self.user_numbers.get(user)?)?;
        let connections = user.members.iter().filter_map(|at| self.crowd.at(*at));
        connections
            .filter(|connection| {
                connection
                    .member()
                    .is_some_and(|member| member.slot() == *slot)
            })
            .map(|connection| connection.id)
            .next()
    }
}
