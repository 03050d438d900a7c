//! Limits on calls: what this node can refuse by itself it does, and for the rest the bus counts for
//! all nodes. While it cannot be asked, this node's own count decides.
//!
//! A call that waits for the bus holds back what its client sends after it, so that nothing overtakes.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use crate::bus::BusRequest;
use crate::connection::Waiting;
use crate::deadlines::Due;
use crate::effect::{Effect, Effects, Note};
use crate::engine::Engine;
use crate::ids::{ConnId, RequestId};
use crate::input::{AckId, ChargeVerdict};
use crate::parse::ClientEvent;
use crate::reason::{Call, ClientError};
use crate::time::millis;

impl Engine {
    /// Admits a call, refuses it, or has the bus say which.
    pub(crate) fn limited(
        &mut self,
        conn: ConnId,
        call: Call,
        event: ClientEvent,
        ack: Option<AckId>,
        effects: &mut Effects,
    ) {
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        let number = member.user;
        let Some(called) = member.called.get_mut(call.index()) else {
            return;
        };
        // A second tab or a reconnect must work, so the first call on a connection is never refused.
        let first = !core::mem::replace(called, true);
        // Each call that waits for the bus keeps a place, or the bus would count more than are admitted.
        if !first && let Some(wait) = self.wait_for(number, call, self.kept_places(number, call)) {
            self.limit(conn, call, wait, ack, effects);
            return;
        }
        let asks = self.asks_others();
        if asks {
            let request = self.next_request();
            let Some(user) = self.users.get(number) else {
                return;
            };
            effects.push(Effect::Bus(BusRequest::Charge {
                request,
                user: user.id.clone(),
                call,
                admitted: first,
            }));
            if !first {
                self.wait_for_charge(conn, request, (call, event, ack));
                return;
            }
        }
        self.count(number, call);
        self.subscribe(conn, event, ack, effects);
    }

    fn wait_for_charge(
        &mut self,
        conn: ConnId,
        request: RequestId,
        (call, event, ack): (Call, ClientEvent, Option<AckId>),
    ) {
        let until = self.now + self.config.limits.bus_request_max;
        if let Some(member) = self.crowd.member_mut(conn) {
            member.waiting = Some(Box::new(Waiting {
                request,
                until,
                call,
                event,
                ack,
                behind: VecDeque::new(),
            }));
            self.deadlines.set(until, Due::Charge(request));
            self.charges.insert(request, conn);
        }
    }

    pub(crate) fn charged(
        &mut self,
        request: RequestId,
        verdict: ChargeVerdict,
        effects: &mut Effects,
    ) {
        let Some(conn) = self.charges.remove(&request) else {
            return;
        };
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        let number = member.user;
        let Some(waiting) = member.waiting.take() else {
            return;
        };
        let Waiting {
            until,
            call,
            event,
            ack,
            mut behind,
            ..
        } = *waiting;
        self.deadlines.unset(until, Due::Charge(request));
        let wait = match verdict {
            // It is counted there, so that it is not to be refused here: its place was kept, and whatever
            // took one meanwhile was a first call.
            ChargeVerdict::Admitted => None,
            ChargeVerdict::Failed => self.wait_for(number, call, 0),
            ChargeVerdict::Refused { wait } => Some(wait),
        };
        if let Some(wait) = wait {
            self.limit(conn, call, wait, ack, effects);
        } else {
            self.count(number, call);
            self.subscribe(conn, event, ack, effects);
        }
        while let Some((event, ack)) = behind.pop_front() {
            self.handle_event(conn, event, ack, effects);
            if let Some(member) = self.crowd.member_mut(conn)
                && let Some(waiting) = &mut member.waiting
            {
                waiting.behind = behind;
                return;
            }
        }
    }

    /// The bus is lost: what was asked of it is decided here.
    pub(crate) fn decide_charges(&mut self, effects: &mut Effects) {
        while let Some((request, _)) = self.charges.first_key_value() {
            let request = *request;
            self.charged(request, ChargeVerdict::Failed, effects);
        }
    }

    /// After how long a call would be within its limit as far as this node knows, if it is not, while so
    /// many places are kept for others.
    fn wait_for(&self, number: u32, call: Call, kept: usize) -> Option<Duration> {
        let limits = &self.config.limits;
        let kept = u32::try_from(kept).unwrap_or(u32::MAX);
        let places = limits.calls_max(call).saturating_sub(kept);
        if kept > 0 && places == 0 {
            return Some(limits.calls_window);
        }
        let calls = self.users.get(number)?.calls.get(call.index())?;
        calls.wait(self.now, places, limits.calls_window)
    }

    /// How many calls of this user wait for what the bus says.
    fn kept_places(&self, number: u32, call: Call) -> usize {
        let Some(user) = self.users.get(number) else {
            return 0;
        };
        let members = user.members.iter().filter_map(|slot| self.crowd.at(*slot));
        let waiting = members.filter_map(|connection| connection.member()?.waiting.as_ref());
        waiting.filter(|waiting| waiting.call == call).count()
    }

    fn count(&mut self, number: u32, call: Call) {
        let limit = self.config.limits.calls_max(call);
        if let Some(user) = self.users.get_mut(number)
            && let Some(calls) = user.calls.get_mut(call.index())
        {
            calls.count(self.now, limit);
        }
    }

    fn limit(
        &mut self,
        conn: ConnId,
        call: Call,
        wait: Duration,
        ack: Option<AckId>,
        effects: &mut Effects,
    ) {
        let Some(member) = self.crowd.member(conn) else {
            return;
        };
        if let Some(user) = self.users.get(member.user) {
            let user = user.id.clone();
            effects.note(Note::RateLimited { conn, user, call });
        }
        let error = ClientError::RateLimited {
            call,
            retry_after_ms: millis(wait),
        };
        self.complain(conn, ack, error, effects);
    }
}
