//! G5: per user and call never more admissions in a sliding window than the limit, but for the first
//! call of each kind on a connection; refused ones are not counted, so a refusal has a reason.
//!
//! Admissions are dated by when the client called, which is known to within the time that a message is
//! under way and a call waits for the bus; the checks allow for that.

use std::collections::VecDeque;

use super::{Call, Conn, Facts, Got, Node, Observation, Situation, Verdict, promised};

/// Calls of users.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// By user, then by call.
    users: Vec<[Vec<Made>; 3]>,
    /// By connection, then by call: which of the user's calls wait for an answer, and how many were made.
    waiting: Vec<[(VecDeque<usize>, u32); 3]>,
    /// What came about and was not told yet.
    pub(super) reached: Option<Situation>,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    at: u64,
    conn: Conn,
    node: Node,
    first: bool,
    admitted: bool,
    refused: bool,
    /// When its client read the answer.
    answered: Option<u64>,
}

impl Rate {
    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Called { conn, call, .. } => {
                self.called(facts, *conn, *call);
                Ok(())
            }
            Observation::Got(
                conn,
                Got::Confirmed {
                    call,
                    restored: false,
                    ..
                },
            ) => match self.answered(facts, *conn, *call) {
                Some((user, at)) => self.admitted(facts, user, *call, at),
                None => Ok(()),
            },
            Observation::Got(conn, Got::RateLimited { call }) => {
                match self.answered(facts, *conn, *call) {
                    Some((user, at)) => self.refused(facts, user, *call, at),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn called(&mut self, facts: &Facts, conn: Conn, call: Call) {
        let Some(of) = facts.conn(conn) else { return };
        // The handshake's subscriptions are told before the connection is in, and are not charged.
        if of.entered_at.is_none() {
            return;
        }
        if self.users.len() <= of.user.index() {
            self.users
                .resize_with(of.user.index() + 1, Default::default);
        }
        if self.waiting.len() <= conn.index() {
            self.waiting.resize_with(conn.index() + 1, Default::default);
        }
        let made = &mut self.users[of.user.index()][call.index()];
        let (waiting, count) = &mut self.waiting[conn.index()][call.index()];
        waiting.push_back(made.len());
        *count += 1;
        made.push(Made {
            at: facts.now,
            conn,
            node: of.node,
            first: *count == 1,
            admitted: false,
            refused: false,
            answered: None,
        });
    }

    fn answered(&mut self, facts: &Facts, conn: Conn, call: Call) -> Option<(usize, usize)> {
        let user = facts.conn(conn)?.user.index();
        let (waiting, _) = self.waiting.get_mut(conn.index())?.get_mut(call.index())?;
        let at = waiting.pop_front()?;
        self.users[user][call.index()][at].answered = Some(facts.now);
        Some((user, at))
    }

    fn admitted(&mut self, facts: &Facts, user: usize, call: Call, at: usize) -> Verdict {
        let calls = &mut self.users[user][call.index()];
        calls[at].admitted = true;
        let made = calls[at];
        let (limit, window) = (
            facts.promises.calls_max[call.index()],
            facts.promises.calls_window_ms,
        );
        let slack = facts.promises.bus_request_max_ms + 2 * facts.promises.transit_ms + 500;
        let slack = slack + window * facts.promises.skew_permille / 1000;
        let begin = decided(facts, &made).saturating_sub(window.saturating_sub(slack));
        // A first call goes beyond the limit; one that was sent just before may have come behind.
        let transit = facts.promises.transit_ms;
        let is_before = |other: &Made| {
            let ahead = if other.first { transit } else { 0 };
            other.at + ahead < made.at && other.at > begin
        };
        let before = || {
            calls
                .iter()
                .filter(|other| other.admitted && is_before(other))
        };
        if made.first {
            if before().count() >= limit {
                self.reached = Some(Situation::FirstCallByGrace);
            }
            return Ok(());
        }
        let here = before().filter(|other| other.node == made.node).count();
        promised!(
            facts,
            G5,
            here < limit,
            "{}'s {call:?} call on {} was admitted behind {here} others on {} within {window} ms",
            made.conn,
            made.node,
            made.node
        );
        let well = facts
            .all_well_since()
            .is_some_and(|since| since + slack < begin);
        // What a node admitted while it was cut off was not counted, though it may have left since.
        let well = well && {
            let mut left = facts.nodes.iter().filter(|node| node.ended.is_some());
            left.all(|node| node.unwell_until() + slack < begin)
        };
        let cluster = before().count();
        promised!(
            facts,
            G5,
            !well || cluster < limit,
            "{}'s {call:?} call on {} was admitted behind {cluster} others within {window} ms",
            made.conn,
            made.node
        );
        Ok(())
    }

    fn refused(&mut self, facts: &Facts, user: usize, call: Call, at: usize) -> Verdict {
        let calls = &mut self.users[user][call.index()];
        calls[at].refused = true;
        let made = calls[at];
        promised!(
            facts,
            G5,
            !made.first,
            "{}'s first {call:?} call was refused",
            made.conn
        );
        let (limit, window) = (
            facts.promises.calls_max[call.index()],
            facts.promises.calls_window_ms,
        );
        let slack = facts.promises.bus_request_max_ms + 2 * facts.promises.transit_ms + 500;
        let slack = slack + window * facts.promises.skew_permille / 1000;
        // A request that was under way when the bus hung is counted when it goes on, and what was counted
        // before the bus's clock was set back counts for longer.
        let disturbed = facts
            .all_well_since()
            .is_none_or(|since| since + 2 * window + slack > made.at);
        let begin = if disturbed {
            0
        } else {
            made.at.saturating_sub(window + slack)
        };
        let latest = decided(facts, &made) + slack;
        let counted = calls
            .iter()
            .filter(|other| !other.refused && decided(facts, other) >= begin && other.at <= latest);
        let count = counted.count();
        promised!(
            facts,
            G5,
            count >= limit,
            "{}'s {call:?} call was refused and only {count} of {limit} others were within {window} ms",
            made.conn
        );
        let here = calls
            .iter()
            .filter(|other| !other.refused && other.node == made.node && other.at >= begin);
        if here.count() < limit {
            self.reached = Some(Situation::RateRefusedAcross);
        }
        Ok(())
    }
}

/// When a call was decided at the latest, but for the time that a message is under way. One whose client
/// was held up meanwhile may have come long after it was made.
fn decided(facts: &Facts, made: &Made) -> u64 {
    let able = facts
        .conn(made.conn)
        .is_some_and(|of| of.able_since(made.at));
    if able {
        made.at
    } else {
        made.answered.unwrap_or(facts.now)
    }
}
