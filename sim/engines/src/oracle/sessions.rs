//! A session counts as gone only after two checks at least 10 s apart with the bus up between them, and
//! never because the store lost its data; one that is gone closes its connections.

use super::{Facts, Got, Observation, Refused, User, Verdict, promised};

/// By when the connections of a session that is gone are closed.
const CLOSED_MS: u64 = 40_000;

/// Which sessions are gone.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// By user: from when to when its session was gone, the last without an end if it still is.
    gone: Vec<Vec<(u64, Option<u64>)>>,
}

impl Sessions {
    fn gone(&self, user: User) -> &[(u64, Option<u64>)] {
        self.gone.get(user.index()).map_or(&[], Vec::as_slice)
    }

    /// Since when it is gone.
    fn since(&self, user: User) -> Option<u64> {
        self.gone(user)
            .last()
            .filter(|(_, until)| until.is_none())
            .map(|(since, _)| *since)
    }

    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Session { user, there } => {
                if self.gone.len() <= user.index() {
                    self.gone.resize(user.index() + 1, Vec::new());
                }
                let gone = &mut self.gone[user.index()];
                if *there {
                    if let Some((_, until)) = gone.last_mut() {
                        *until = Some(facts.now);
                    }
                } else {
                    gone.push((facts.now, None));
                }
                Ok(())
            }
            Observation::Got(conn, Got::SessionExpired) => {
                let Some(of) = facts.conn(*conn) else {
                    return Ok(());
                };
                let node = &facts.nodes[of.node.index()];
                // What the client reads was decided when the server let it go.
                let decided = of.left_at.unwrap_or(facts.now);
                let apart =
                    facts.promises.session_check_ms * (1000 - facts.promises.skew_permille) / 1000;
                let first = decided.saturating_sub(apart);
                let admitted = of.admitted_at.unwrap_or(0);
                let gone = self.gone(of.user);
                let twice = gone.iter().any(|(since, until)| {
                    *since <= first && until.is_none_or(|until| until >= admitted)
                });
                promised!(
                    facts,
                    Sessions,
                    twice,
                    "{conn} of {} was told that its session is gone, which was gone {gone:?} only",
                    of.user
                );
                // One that was lost with the rest was not seen in this life of the data.
                let lost = facts
                    .data_lost_at
                    .filter(|lost| admitted < *lost && gone.last() == Some(&(*lost, None)));
                promised!(
                    facts,
                    Sessions,
                    lost.is_none(),
                    "{conn} of {} was told that its session is gone, which was lost with all data at {lost:?}",
                    of.user
                );
                promised!(
                    facts,
                    Sessions,
                    node.reached_since
                        .is_none_or(|since| since <= first || since > decided),
                    "{conn} of {} was told that its session is gone, and {} has reached the bus only since {:?}",
                    of.user,
                    of.node,
                    node.reached_since
                );
                Ok(())
            }
            Observation::Refused {
                conn,
                why: Refused::UnknownSession,
            } => {
                let Some(of) = facts.conn(*conn) else {
                    return Ok(());
                };
                let lately = self
                    .gone(of.user)
                    .last()
                    .is_some_and(|(_, until)| until.is_none_or(|until| until + 10_000 > facts.now));
                promised!(
                    facts,
                    Sessions,
                    lately,
                    "{conn} was refused and the session of {} is there",
                    of.user
                );
                Ok(())
            }
            Observation::Quiet { for_ms } if *for_ms >= CLOSED_MS => self.closed(facts),
            _ => Ok(()),
        }
    }

    fn closed(&self, facts: &Facts) -> Verdict {
        for user in (0..).map(User).take(self.gone.len()) {
            let Some(since) = self
                .since(user)
                .filter(|since| since + CLOSED_MS < facts.now)
            else {
                continue;
            };
            for (conn, of) in facts.admitted(user) {
                // One that was let in before the data was lost was never seen in this life of it.
                let seen = of
                    .admitted_at
                    .is_some_and(|at| facts.data_lost_at.is_none_or(|lost| lost < at));
                promised!(
                    facts,
                    Liveness,
                    !seen,
                    "{conn} of {user} is in and its session is gone since {since} ms"
                );
            }
        }
        Ok(())
    }
}
