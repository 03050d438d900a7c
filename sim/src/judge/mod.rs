//! Holds the oracle over a run of the full stack: turns what its parts saw into the oracle's words.
//!
//! What it tells the oracle comes from outside the servers — clients, publishers, what Redis wrote, what
//! the world did — but for what only a server knows: when it counted a connection and when no more, that it
//! reaches Redis, and that a client was too slow; these are its engine's notes. Nothing here judges.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "take() tells every observation to the one who knows it; that one need not name the others"
)]

mod clients;
mod names;
mod nodes;
mod publishers;
mod texts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::journal::Seen;
use crate::observation::Observation as Saw;
use crate::oracle::{
    Batch, Conn, Guarantee, Item, Node, Observation, Oracle, Promises, Situation, Situations, Tab,
    Target, User, Verdict, Violation,
};

pub use names::{Link, symbol_name, user_name};
pub use publishers::Emission;

use clients::Client;
use nodes::{Life, Trouble};
use publishers::Publisher;

/// How long after the way is open again a connection may still be held up: what was lost is sent
/// again a second later, and perhaps more than once.
const MENDED: Duration = Duration::from_secs(4);

/// The oracle, and what its numbers stand for.
pub struct Judge {
    oracle: Oracle,
    now: u64,
    clients: BTreeMap<Arc<str>, Client>,
    /// By number.
    conns: Vec<Seat>,
    /// By socket id.
    sids: BTreeMap<String, Conn>,
    /// By node and the node's own name for it.
    seats: BTreeMap<(Node, String), Conn>,
    /// By number.
    lives: Vec<Life>,
    publishers: BTreeMap<Arc<str>, Publisher>,
    batches: u32,
    troubles: BTreeMap<u32, Trouble>,
    last_trouble: u32,
    /// Links that are disturbed, and how often.
    disturbed: BTreeMap<Link, u32>,
    /// Links that were mended, and when what they held up is through.
    mended: Vec<(u64, Link)>,
    /// Who took in emitters' messages last.
    intake: Option<Node>,
    /// Messages for several rooms, which all say the same, by what they say.
    shared: BTreeMap<Item, Vec<Emission>>,
}

/// A connection.
#[derive(Debug)]
struct Seat {
    client: Arc<str>,
    user: User,
    link: Link,
    /// Confirmations to come that answer the handshake.
    restored: usize,
    entered: bool,
    ended: bool,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Judge {
    /// Judges by these promises.
    #[must_use]
    pub fn new(promises: Promises) -> Self {
        Self {
            oracle: Oracle::new(promises),
            now: 0,
            clients: BTreeMap::new(),
            conns: Vec::new(),
            sids: BTreeMap::new(),
            seats: BTreeMap::new(),
            lives: Vec::new(),
            publishers: BTreeMap::new(),
            batches: 0,
            troubles: BTreeMap::new(),
            last_trouble: 0,
            disturbed: BTreeMap::new(),
            mended: Vec::new(),
            intake: None,
            shared: BTreeMap::new(),
        }
    }

    /// What came about so far.
    #[must_use]
    pub fn situations(&self) -> &Situations {
        self.oracle.situations()
    }

    /// Takes in what a part of the run saw.
    ///
    /// # Errors
    /// When it breaks a promise, or shows that one was broken.
    pub fn take(&mut self, seen: &Seen) -> Verdict {
        self.now = self.now.max(millis(seen.at));
        match &seen.what {
            Saw::Connecting { .. }
            | Saw::Connected { .. }
            | Saw::Unreachable { .. }
            | Saw::ConnectError { .. }
            | Saw::Event { .. }
            | Saw::Emitted { .. }
            | Saw::Acknowledged { .. }
            | Saw::Disconnected { .. }
            | Saw::Stalled
            | Saw::Resumed
            | Saw::Roamed
            | Saw::Vanished
            | Saw::Stopped => self.client(&seen.who, &seen.what),
            Saw::Publishing { .. }
            | Saw::Answered { .. }
            | Saw::Unanswered { .. }
            | Saw::GaveUp { .. } => self.publisher(&seen.who, &seen.what),
            Saw::Logged { .. }
            | Saw::SlotRetaken
            | Saw::Took { .. }
            | Saw::DataLost
            | Saw::ClockSet
            | Saw::Session { .. } => self.bus(&seen.what),
            Saw::Started
            | Saw::Measured { .. }
            | Saw::Listening { .. }
            | Saw::Exited { .. }
            | Saw::Draining
            | Saw::Hurried
            | Saw::Killed
            | Saw::PoweredOff => self.node(&seen.who, &seen.what),
            Saw::Noted { message, fields } => self.noted(&seen.who, message, fields),
        }
    }

    /// Lets time come to `now`, at which nothing need have been seen.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn come_to(&mut self, now: Duration) -> Verdict {
        self.now = self.now.max(millis(now));
        let through: Vec<Link> = {
            let now = self.now;
            let (through, rest) = self.mended.drain(..).partition(|(at, _)| *at <= now);
            self.mended = rest;
            let through: Vec<(u64, Link)> = through;
            through.into_iter().map(|(_, link)| link).collect()
        };
        for link in through {
            if let Some(count) = self.disturbed.get_mut(&link) {
                *count -= 1;
                if *count == 0 {
                    self.disturbed.remove(&link);
                    self.stall_link(&link, false)?;
                }
            }
        }
        Ok(())
    }

    /// From now on what clients on a host and a node send each other is not sure to arrive soon.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn disturb(&mut self, link: &Link) -> Verdict {
        *self.disturbed.entry(link.clone()).or_default() += 1;
        self.stall_link(link, true)
    }

    /// They reach each other again.
    pub fn mend(&mut self, link: &Link) {
        self.mended.push((self.now + millis(MENDED), link.clone()));
    }

    fn stall_link(&mut self, link: &Link, on: bool) -> Verdict {
        let seats = (0..).map(Conn).zip(&self.conns);
        let held_up = seats.filter(|(_, seat)| {
            let client = self.clients.get(&seat.client);
            let frozen = client.is_some_and(|client| client.frozen);
            seat.link == *link && !seat.ended && (on || !frozen)
        });
        let held_up: Vec<Conn> = held_up.map(|(conn, _)| conn).collect();
        held_up
            .into_iter()
            .try_for_each(|conn| self.see(&Observation::Stalled { conn, on }))
    }

    /// Nothing was wrong nor published for so long.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn quiet(&mut self, span: Duration) -> Verdict {
        self.see(&Observation::Quiet {
            for_ms: millis(span),
        })
    }

    /// The run is over.
    ///
    /// # Errors
    /// When a promise was not kept by then.
    pub fn finish(&mut self) -> Verdict {
        self.everyone_is_in()?;
        self.oracle.finish()
    }

    /// Something that the world knows it brought about.
    pub fn reached(&mut self, situation: Situation) {
        self.oracle.reached(situation);
    }

    fn see(&mut self, observation: &Observation) -> Verdict {
        self.oracle.observe(self.now, observation)
    }

    /// What no promise allows, and no observation of the oracle's can say.
    fn broken(&self, guarantee: Guarantee, facts: String) -> Verdict {
        Err(Violation {
            guarantee,
            at: self.now,
            facts,
        })
    }

    fn seat(&self, conn: Conn) -> Option<&Seat> {
        self.conns.get(conn.index())
    }

    /// Which item it is that came with this payload for this target.
    fn item(&self, says: Item, target: Target) -> Item {
        let parts = self.shared.get(&says).into_iter().flatten();
        let mut parts = parts.filter(|part| part.target == target);
        parts.next().map_or(says, |part| part.item)
    }

    fn next_batch(&mut self) -> Batch {
        self.batches += 1;
        Batch(self.batches - 1)
    }

    fn tab(&self) -> Tab {
        Tab(u32::try_from(self.clients.len()).unwrap_or(u32::MAX))
    }
}
