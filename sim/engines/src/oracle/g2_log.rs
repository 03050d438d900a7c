//! G2: every log event once, in order, on each connection; after a resume all of them, or it is told.
//!
//! A connection's place is the last event that it read. Between that and the next one nothing may be
//! missing that was logged after the last moment at which it knew that something might be: when it came
//! in without `lastEventId`, or was told `resume {recovered:false}`. What a node that is cut off reads
//! late may be older than the client; what its node had read before the client came may not be sent.

use tradewire_engine::ids::EventId;

use super::{Conn, Facts, Got, Item, Observation, Resume, Verdict, promised};

/// How much longer than promised a node may take to read the log.
const LAG_MS: u64 = 2_000;

/// Where each connection is in its user's log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// By connection.
    places: Vec<Option<Place>>,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The last event that it read or resumed behind, by its number in the user's log.
    pub(super) last: Option<usize>,
    /// What was logged until then may be missing.
    loose: Option<u64>,
    /// It gave a `lastEventId` and was not answered yet.
    pub(super) resuming: bool,
    /// How many it read.
    read: u64,
    /// The id of the last one.
    last_id: Option<EventId>,
    /// Something is missing, and `resume` has not said yet whether it is.
    missed: Option<usize>,
}

impl Log {
    pub(super) fn place(&self, conn: Conn) -> Option<&Place> {
        self.places.get(conn.index())?.as_ref()
    }

    pub(super) fn observe(&mut self, facts: &Facts, observation: &Observation) -> Verdict {
        match observation {
            Observation::Entered(conn) => {
                self.entered(facts, *conn);
                Ok(())
            }
            Observation::Got(
                conn,
                Got::Resumed {
                    recovered,
                    replayed,
                    last,
                },
            ) => self.resumed(facts, *conn, *recovered, (*replayed, *last)),
            Observation::Got(conn, Got::Confirmed { call, restored, .. }) => {
                // What came before was not for this connection.
                if *call == super::Call::Trades
                    && facts.promises.only_subscribers
                    && !restored
                    && let Some(Some(place)) = self.places.get_mut(conn.index())
                    && facts
                        .conn(*conn)
                        .is_some_and(|of| of.trades == Some(facts.now))
                {
                    place.loose = Some(facts.now);
                }
                Ok(())
            }
            Observation::Logged { item, id } => logged(facts, *item, *id),
            Observation::Quiet { for_ms } if *for_ms >= 5_000 => self.complete(facts),
            _ => Ok(()),
        }
    }

    fn entered(&mut self, facts: &Facts, conn: Conn) {
        let Some(of) = facts.conn(conn) else { return };
        let known = match of.resume {
            Resume::After(id) => {
                let log = facts.log(of.user);
                log.iter()
                    .rposition(|entry| entry.id == id)
                    .map(|at| (at, id))
            }
            Resume::No | Resume::Forged => None,
        };
        if self.places.len() <= conn.index() {
            self.places.resize(conn.index() + 1, None);
        }
        self.places[conn.index()] = Some(Place {
            last: known.map(|(at, _)| at),
            loose: known.is_none().then_some(facts.now),
            resuming: of.resume != Resume::No,
            read: 0,
            last_id: known.map(|(_, id)| id),
            missed: None,
        });
    }

    pub(super) fn trade(&mut self, facts: &Facts, conn: Conn, id: EventId, item: Item) -> Verdict {
        let Some(of) = facts.conn(conn) else {
            return Ok(());
        };
        let user = of.user;
        let log = facts.log(user);
        let logged = facts.item(item).map_or(&[][..], |item| &item.logged);
        let at = logged
            .iter()
            .map(|(at, _)| *at)
            .find(|at| log[*at].id == id);
        let Some(at) = at else {
            promised!(
                facts,
                G2,
                false,
                "{conn} of {user} got {item} as {id}, and it was never logged so"
            );
            return Ok(());
        };
        let Some(Some(place)) = self.places.get_mut(conn.index()) else {
            return Ok(());
        };
        if let Some(last) = place.last {
            promised!(
                facts,
                G2,
                at > last,
                "{conn} of {user} got {item} ({id}, {at} of its log) after {last}: sent again, or out of order"
            );
        } else {
            let entry = log[at];
            promised!(
                facts,
                G2,
                entry.at + LAG_MS >= of.dialled_at
                    || place.resuming
                    || !facts.well_since(of.node, entry.at),
                "{conn} of {user} got {item}, logged at {} ms, long before it came at {} ms without lastEventId",
                entry.at,
                of.dialled_at
            );
        }
        let first = place.last.map_or(0, |last| last + 1);
        let missing = log[first..at]
            .iter()
            .rev()
            .find(|entry| place.loose.is_none_or(|t| entry.at > t));
        // What a resume skips is told behind what it sends.
        if missing.is_some() && place.resuming {
            place.missed = Some(at);
        }
        promised!(
            facts,
            G2,
            missing.is_none() || place.resuming,
            "{conn} of {user} got {item} ({id}) and {missing:?} before it is missing in silence"
        );
        place.last = Some(at);
        place.last_id = Some(id);
        place.read += 1;
        Ok(())
    }

    fn resumed(
        &mut self,
        facts: &Facts,
        conn: Conn,
        recovered: bool,
        (replayed, last): (u64, Option<EventId>),
    ) -> Verdict {
        let Some(Some(place)) = self.places.get_mut(conn.index()) else {
            return Ok(());
        };
        if !recovered {
            place.loose = Some(facts.now);
            if (!place.resuming || last.is_none()) && place.read == 0 {
                // Its log began anew: what it handled elsewhere may be in there.
                place.last = None;
            }
            place.resuming = false;
            if facts.promises.only_subscribers
                && facts.conn(conn).is_some_and(|of| of.trades.is_none())
            {
                // It resumed nothing: whatever its node reads once it subscribes is for it.
                place.last = None;
            }
            return Ok(());
        }
        promised!(
            facts,
            G2,
            place.missed.is_none(),
            "{conn} was told recovered:true, and what is before event {:?} of its log is missing",
            place.missed
        );
        promised!(
            facts,
            G2,
            place.resuming,
            "{conn} was told recovered:true and did not ask"
        );
        promised!(
            facts,
            G2,
            place.last_id.is_some(),
            "{conn} was told recovered:true and resumed behind nothing that was logged"
        );
        promised!(
            facts,
            G2,
            place.read == replayed,
            "{conn} was told that {replayed} were replayed and got {}",
            place.read
        );
        promised!(
            facts,
            G2,
            last == place.last_id,
            "{conn} was told to go on from {last:?} and is at {:?}",
            place.last_id
        );
        place.resuming = false;
        Ok(())
    }

    /// Everyone who reads has everything, or knows that it may not have.
    fn complete(&self, facts: &Facts) -> Verdict {
        for (conn, place) in (0..).map(Conn).zip(&self.places) {
            let (Some(place), Some(of)) = (place, facts.conn(conn)) else {
                continue;
            };
            let since = facts.now.saturating_sub(4_000);
            if !of.able_since(since)
                || of.left_at.is_some()
                || of.entered_at.is_none_or(|at| at > since)
                || (facts.promises.only_subscribers && of.trades.is_none_or(|at| at > since))
            {
                continue;
            }
            promised!(
                facts,
                G2,
                !place.resuming,
                "{conn} of {} was never told what became of its resume",
                of.user
            );
            let first = place.last.map_or(0, |last| last + 1);
            let log = facts.log(of.user);
            let missing = log[first.min(log.len())..]
                .iter()
                .find(|entry| entry.at < since && place.loose.is_none_or(|t| entry.at > t));
            promised!(
                facts,
                G2,
                missing.is_none(),
                "{conn} of {} never got {missing:?} and was not told",
                of.user
            );
        }
        Ok(())
    }

    pub(super) fn finish(&self, facts: &Facts) -> Verdict {
        self.complete(facts)
    }
}

/// The bus's own order: ids only grow.
fn logged(facts: &Facts, item: Item, id: EventId) -> Verdict {
    let Some(of) = facts.item(item) else {
        promised!(facts, G2, false, "{item} was logged and never published");
        return Ok(());
    };
    if let super::Target::Trade(user) = of.target
        && let [.., before, _] = facts.log(user)
    {
        promised!(
            facts,
            G2,
            before.id.epoch != id.epoch || before.id < id,
            "{item} was logged as {id}, not after {}",
            before.id
        );
    }
    Ok(())
}
