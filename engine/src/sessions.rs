//! Sessions after admission: when one is gone, its connections are closed.
//!
//! A session counts as gone only when it was seen in this life of the store's data, and was missing in
//! two checks in a row with the store up between them: neither a store that comes back empty nor one
//! that is being restored logs anyone out.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::deadlines::Due;
use crate::effect::{Asked, Effect, Effects, Note};
use crate::engine::Engine;
use crate::ids::{ConnId, RequestId, SessionId};
use crate::reason::{ClientError, CloseReason};
use crate::slots::TURNS;
use crate::time::Timestamp;

/// Sessions in one check.
const CHECK_MAX: usize = 256;

/// What is known of a member's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// Whether it was there since the store's data began.
    pub(crate) seen: bool,
    /// When the check began that did not find it any more.
    pub(crate) missing_since: Option<Timestamp>,
}

/// A question to the session store that is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    asked_at: Timestamp,
    pub(crate) until: Timestamp,
    conns: Vec<ConnId>,
}

impl Engine {
    /// Asks after the sessions of those users whose turn it is.
    pub(crate) fn check_turn(&mut self, effects: &mut Effects) {
        self.rounds.check_at = None;
        let turn = self.rounds.check_turn % TURNS;
        self.rounds.check_turn = turn + 1;
        let mut watched: Vec<(ConnId, SessionId)> = Vec::new();
        for (_, user) in self.users.every(turn, TURNS) {
            for slot in &user.members {
                if let Some(connection) = self.crowd.at(*slot)
                    && let Some(member) = connection.member()
                    && member.watched.is_some()
                {
                    watched.push((connection.id, member.session.clone()));
                }
            }
        }
        for watched in watched.chunks(CHECK_MAX) {
            let request = self.next_request();
            let until = self.now + self.config.limits.session_lookup_max;
            let check = Check {
                asked_at: self.now,
                until,
                conns: watched.iter().map(|(conn, _)| *conn).collect(),
            };
            self.deadlines.set(until, Due::Check(request));
            self.checks.insert(request, check);
            let sessions = watched.iter().map(|(_, session)| session.clone()).collect();
            effects.push(Effect::CheckSessions { request, sessions });
        }
        self.start_rounds();
    }

    pub(crate) fn sessions_checked(
        &mut self,
        request: RequestId,
        present: Option<Vec<bool>>,
        effects: &mut Effects,
    ) {
        let Some(check) = self.checks.remove(&request) else {
            return;
        };
        self.deadlines.unset(check.until, Due::Check(request));
        let apart = self.config.limits.session_check_every;
        for (conn, present) in check.conns.into_iter().zip(present.into_iter().flatten()) {
            let Some(member) = self.crowd.member_mut(conn) else {
                continue;
            };
            let Some(watched) = &mut member.watched else {
                continue;
            };
            if present {
                *watched = Watched {
                    seen: true,
                    missing_since: None,
                };
                continue;
            }
            if !watched.seen {
                continue;
            }
            let since = *watched.missing_since.get_or_insert(check.asked_at);
            if check.asked_at.since(since) >= apart {
                let user = member.user;
                if let Some(user) = self.users.get(user) {
                    let user = user.id.clone();
                    effects.note(Note::SessionGone { conn, user });
                }
                let reason = CloseReason::SessionExpired;
                self.dismiss(conn, ClientError::SessionExpired, reason, effects);
            }
        }
    }

    pub(crate) fn check_timed_out(&mut self, request: RequestId, effects: &mut Effects) {
        let asked = Asked::Sessions;
        effects.note(Note::RequestTimedOut { request, asked });
        self.checks.remove(&request);
    }

    /// The store was away: what was missing before may have been missing because of that.
    pub(crate) fn forget_misses(&mut self) {
        let checks = core::mem::take(&mut self.checks);
        for (request, check) in checks {
            self.deadlines.unset(check.until, Due::Check(request));
        }
        for member in self.crowd.members_mut() {
            if let Some(watched) = &mut member.watched {
                watched.missing_since = None;
            }
        }
    }

    /// The store began anew: what is missing was lost with the rest, and what was asked is of before.
    pub(crate) fn forget_sessions_seen(&mut self) {
        self.forget_misses();
        for member in self.crowd.members_mut() {
            if let Some(watched) = &mut member.watched {
                watched.seen = false;
            }
        }
    }
}
