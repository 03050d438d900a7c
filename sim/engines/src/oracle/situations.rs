//! Situations that a swarm must come into: an oracle that was never tried proves nothing.
//!
//! Most are read off the observations; those that only the server's own notes tell are counted by the
//! level. A swarm that is large enough and has not come into each of them fails.

use core::fmt;

use super::{Answer, Conn, Facts, Got, Item, Observation, Refused, Resume, Target};

macro_rules! situations {
    ($($name:ident $words:literal)*) => {
        /// Something that should come about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Situation {
            $(#[doc = $words] $name,)*
        }

        impl Situation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What came about.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

situations! {
    AdmissionRefusedBelow "an admission was refused below Socket.IO"
    BusHung "the bus hung for longer than a request may take"
    ClockSet "the bus's clock was set"
    Conflated "a value was replaced before a congested connection got it"
    Congested "a connection was congested"
    CongestedClosed "a congested connection passed its bound and was closed"
    DrainDeadline "a drain came to its deadline"
    DrainHurried "a drain was hurried"
    EmitterChanged "the emitter lease changed hands"
    EmitterLost "an emitter message was dropped"
    ExcessClosed "what was in excess after an outage was closed"
    FirstCallByGrace "a first call was admitted over the limit"
    GapTold "a gap in the log was told"
    HandedOver "held values were handed over"
    LateRequest "the bus did what was asked of it after the asker had given up"
    LeaseLost "a lease ended and its slot was taken again"
    NewEpoch "the bus's data began a new life"
    NodeCrashed "a node crashed with clients"
    RateRefusedAcross "a call was refused for what was admitted on another node"
    Refused503 "a publish was refused and tried again with its ids"
    ReplacedAcross "a connection took the slot of one on another node"
    ResumeAwaited "a resume waited for an event that its node had not read"
    ResumedWhole "a resume replayed events and missed none"
    ResumeInPartition "a client resumed on a node that was cut off"
    SessionExpired "a session ended and its connection was closed"
    ShutdownFull "a node left while an outbox was full"
    SixthAcross "a connection was refused for those on other nodes"
    SlowResumed "a client that was closed as slow came back and got everything"
    StateMissed "values were missed and read anew"
    TotalBound "the worst connection was closed for the sum of all"
    Unsubscribed "a client unsubscribed"
    Vanished "a client vanished without a word"
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// How often each came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situations(Vec<u64>);

impl Default for Situations {
    fn default() -> Self {
        Self(vec![0; Situation::ALL.len()])
    }
}

impl Situations {
    /// It came about once more.
    pub fn count(&mut self, situation: Situation) {
        self.0[situation as usize] += 1;
    }

    /// How often each came about, in the order of [`Situation::ALL`].
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// Those counts, if they are as many as there are situations.
    #[must_use]
    pub fn from_counts(counts: Vec<u64>) -> Option<Self> {
        (counts.len() == Situation::ALL.len()).then_some(Self(counts))
    }

    /// How often it came about.
    #[must_use]
    pub fn get(&self, situation: Situation) -> u64 {
        self.0[situation as usize]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// Those that never came about.
    #[must_use]
    pub fn missing(&self) -> Vec<Situation> {
        let all = Situation::ALL.iter().copied();
        all.filter(|situation| self.get(*situation) == 0).collect()
    }
}

/// Reads situations off what is seen; it is shown each observation before the facts are.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Connections that were closed as slow, by tab.
    slow: Vec<Option<Conn>>,
    /// By item: whether it is a log event whose publisher was told that it was not taken, and has not tried
    /// again.
    given_up: Vec<bool>,
}

impl Witness {
    /// The level saw that a tab's connection was closed as slow.
    pub(super) fn observe(
        &mut self,
        facts: &Facts,
        observation: &Observation,
        found: &mut Situations,
    ) {
        match observation {
            Observation::Answered {
                batch,
                answer: Answer::Unavailable,
                ..
            } => {
                let offers = facts.batches.get(batch.index()).map(|batch| &batch.offers);
                let trades = offers.into_iter().flatten();
                let trades = trades.filter(|offer| matches!(offer.target, Target::Trade(_)));
                for offer in trades {
                    self.give_up(offer.item);
                }
            }
            Observation::Offered {
                attempt, offers, ..
            } if *attempt > 0 => {
                for offer in offers {
                    self.take_up(offer.item);
                }
                found.count(Situation::Refused503)
            }
            Observation::Logged { item, .. } if self.take_up(*item) => {
                found.count(Situation::LateRequest);
            }
            Observation::ClockSet => found.count(Situation::ClockSet),
            Observation::DataLost => found.count(Situation::NewEpoch),
            Observation::NodeCrashed(node) if !facts.nodes[node.index()].present.is_empty() => {
                found.count(Situation::NodeCrashed);
            }
            Observation::NodeDraining { hurried: true, .. } => found.count(Situation::DrainHurried),
            Observation::Refused {
                conn,
                why: Refused::TooMany,
            } => {
                if let Some(of) = facts.conn(*conn) {
                    let here = facts
                        .admitted(of.user)
                        .filter(|(_, other)| other.node == of.node);
                    if here.count() < facts.promises.connections_max {
                        found.count(Situation::SixthAcross);
                    }
                }
            }
            Observation::Got(conn, got) => self.got(facts, *conn, got, found),
            Observation::Ended { conn, .. } => {
                if let Some(of) = facts.conn(*conn)
                    && of.stalled
                {
                    if self.slow.len() <= of.tab.index() {
                        self.slow.resize(of.tab.index() + 1, None);
                    }
                    self.slow[of.tab.index()] = Some(*conn);
                }
            }
            _ => {}
        }
    }

    fn give_up(&mut self, item: Item) {
        if self.given_up.len() <= item.index() {
            self.given_up.resize(item.index() + 1, false);
        }
        self.given_up[item.index()] = true;
    }

    /// Tells whether it had been given up.
    fn take_up(&mut self, item: Item) -> bool {
        let given_up = self.given_up.get_mut(item.index());
        given_up.is_some_and(core::mem::take)
    }

    fn got(&mut self, facts: &Facts, conn: Conn, got: &Got, found: &mut Situations) {
        let Some(of) = facts.conn(conn) else { return };
        match got {
            Got::Excess => found.count(Situation::ExcessClosed),
            Got::SessionExpired => found.count(Situation::SessionExpired),
            Got::Unsubscribed { .. } => found.count(Situation::Unsubscribed),
            Got::Resumed {
                recovered: false, ..
            } => {
                if of.resume == Resume::No {
                    found.count(Situation::GapTold);
                } else if facts.nodes[of.node.index()].well_since.is_none() {
                    found.count(Situation::ResumeInPartition);
                }
            }
            Got::Resumed {
                recovered: true,
                replayed,
                ..
            } => {
                if facts.nodes[of.node.index()].well_since.is_none() {
                    found.count(Situation::ResumeInPartition);
                }
                if *replayed > 0 {
                    found.count(Situation::ResumedWhole);
                    if self.slow.get(of.tab.index()).copied().flatten().is_some() {
                        self.slow[of.tab.index()] = None;
                        found.count(Situation::SlowResumed);
                    }
                }
            }
            Got::Confirmed { .. }
            | Got::Error
            | Got::RateLimited { .. }
            | Got::Shutdown { .. }
            | Got::Trade { .. }
            | Got::Value { .. } => {}
        }
    }
}
