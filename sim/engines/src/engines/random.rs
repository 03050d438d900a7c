//! What a seed means: a cluster, its people, and which faults come how often and how hard, written out
//! as a script.
//!
//! Each seed turns on only some features and faults, so that runs differ in kind and not only in detail.
//! Nothing is drawn here while a run goes on.

use core::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tradewire_engine::Delivery;
use tradewire_engine::limits::Limits;

use super::plan::Plan;
use super::script::{Act, Client, Content, Does, Script, Seat, Wish};
use crate::oracle::{Symbol, Target, Topic, User};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    /// A node and the bus cannot reach each other.
    Cut,
    /// What a node asks does not arrive.
    RequestsStuck,
    /// What the bus answers does not arrive.
    AnswersStuck,
    /// What the bus pushes does not arrive.
    PushesStuck,
    /// The bus takes long for everything.
    SlowBus,
    /// The bus does nothing for a while.
    HungBus,
    /// The bus crashes and comes back with its data.
    BusCrash,
    /// The bus loses its data, with or without a crash.
    DataLoss,
    /// A process is gone at once, and comes back.
    NodeCrash,
    /// A node leaves in good order, and comes back.
    Restart,
    /// All nodes do, one after the other.
    Deploy,
    /// Clients stop reading.
    StalledClients,
    /// Clients are gone without a word, and come back elsewhere.
    VanishedClients,
    /// Everyone comes back at once.
    Herd,
    /// The bus's clock is set.
    ClockSet,
    /// A session ends.
    SessionEnds,
    /// A node's queue of pushes overflows.
    PushesMissed,
    /// The log is trimmed hard.
    Trimmed,
    /// Clients and emitters send what does not fit.
    Garbage,
}

impl FaultKind {
    const ALL: [Self; 19] = [
        Self::Cut,
        Self::RequestsStuck,
        Self::AnswersStuck,
        Self::PushesStuck,
        Self::SlowBus,
        Self::HungBus,
        Self::BusCrash,
        Self::DataLoss,
        Self::NodeCrash,
        Self::Restart,
        Self::Deploy,
        Self::StalledClients,
        Self::VanishedClients,
        Self::Herd,
        Self::ClockSet,
        Self::SessionEnds,
        Self::PushesMissed,
        Self::Trimmed,
        Self::Garbage,
    ];
}

/// Pauses between the nodes of a rolling deploy.
const DEPLOY_MS: u64 = 14_000;

fn pick<T: Copy>(chance: &mut StdRng, of: &[T]) -> T {
    of[chance.random_range(0..of.len())]
}

fn percent(chance: &mut StdRng, percent: u32) -> bool {
    chance.random_range(0..100) < percent
}

/// A time that is `mean` on average and neither nothing nor very long.
pub(super) fn about(chance: &mut StdRng, mean: u64) -> u64 {
    chance.random_range(mean / 4..=mean * 7 / 4).max(1)
}

impl Script {
    /// What a seed means.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let chance = &mut chance;
        let nodes = pick(chance, &[1, 2, 2, 3, 3, 3, 4, 5]);
        let users = chance.random_range(2..=6);
        let crowded = chance.random_bool(0.4);
        let each = if crowded {
            chance.random_range(4..=9)
        } else {
            chance.random_range(1..=4)
        };
        let plan = Plan {
            seed,
            users,
            symbols: chance.random_range(2..=8),
            delivery: if chance.random_bool(0.75) {
                Delivery::All
            } else {
                Delivery::Subscribed
            },
            sessions: chance.random_bool(0.5),
            whims: true,
            payload_max: pick(chance, &[40, 300, 1500]),
            log_max: pick(chance, &[20, 200, 5_000, 500_000]),
            lasts_ms: chance.random_range(20_000..=150_000),
            skew_permille: pick(chance, &[0, 0, 1, 20]),
            bus_ms: pick(chance, &[1, 1, 3, 20]),
            limits: limits(chance),
        };
        let places = (0..nodes).map(|place| Seat {
            place,
            starts_at: chance.random_range(0..2_000),
        });
        let places = places.collect();
        let mut made = Made {
            tabs: clients(chance, &plan, users * each),
            chance,
            nodes,
            plan: &plan,
            acts: Vec::new(),
        };
        made.faults();
        made.calls();
        made.publishes();
        let Made { tabs, mut acts, .. } = made;
        acts.sort_by_key(|act| act.at);
        Self {
            words: format!("seed {seed}"),
            places,
            tabs,
            acts,
            plan,
        }
    }
}

fn clients(chance: &mut StdRng, plan: &Plan, count: u32) -> Vec<Client> {
    // In percent: who resumes, names what it replaces, has subscriptions restored, reads slowly.
    let resume = pick(chance, &[0, 50, 90, 100, 100]);
    let replaces = pick(chance, &[0, 50, 100]);
    let restore = pick(chance, &[0, 50, 100]);
    let slow = pick(chance, &[0, 0, 10, 30]);
    let tabs = (0..count).map(|tab| {
        let watched = chance.random_range(0..=plan.symbols.min(3));
        let symbols = (0..watched).map(|_| Symbol(chance.random_range(0..plan.symbols)));
        let mut symbols: Vec<Symbol> = symbols.collect();
        symbols.sort_unstable();
        symbols.dedup();
        Client {
            tab,
            user: User(tab % plan.users),
            dials_at: chance.random_range(500..8_000),
            latency: chance.random_range(1..=40),
            resumes: percent(chance, resume),
            replaces: percent(chance, replaces),
            restores: percent(chance, restore),
            slow: percent(chance, slow).then(|| chance.random_range(1..=20)),
            symbols,
        }
    });
    tabs.collect()
}

/// What is being written.
struct Made<'a> {
    chance: &'a mut StdRng,
    plan: &'a Plan,
    nodes: u32,
    tabs: Vec<Client>,
    acts: Vec<Act>,
}

impl Made<'_> {
    fn act(&mut self, at: u64, does: Does) {
        if at < self.plan.lasts_ms {
            self.acts.push(Act { at, does });
        }
    }

    /// Each moment, `every` apart on average, until the end.
    fn moments(&mut self, first: u64, every: u64) -> Vec<u64> {
        let (mut at, mut moments) = (first, Vec::new());
        while at < self.plan.lasts_ms {
            moments.push(at);
            at += about(self.chance, every);
        }
        moments
    }

    fn some_tabs(&mut self, share: u32) -> Vec<u32> {
        let tabs = 0..u32::try_from(self.tabs.len()).unwrap_or(u32::MAX);
        tabs.filter(|_| percent(self.chance, share)).collect()
    }

    fn faults(&mut self) {
        // Now and then nothing goes wrong: what must hold then is the most.
        let share = pick(self.chance, &[0.0, 0.15, 0.3, 0.3, 0.6]);
        for kind in FaultKind::ALL {
            if self.chance.random_bool(share) {
                let every_ms = pick(self.chance, &[3_000, 10_000, 30_000]);
                let lasts_ms = pick(self.chance, &[300, 2_000, 8_000, 40_000]);
                let first = about(self.chance, every_ms) + 5_000;
                for at in self.moments(first, every_ms) {
                    let ms = self.chance.random_range(lasts_ms / 10..=lasts_ms);
                    self.fault(at, kind, ms);
                }
            }
        }
    }

    fn fault(&mut self, at: u64, kind: FaultKind, ms: u64) {
        let place = self.chance.random_range(0..self.nodes);
        let does = match kind {
            FaultKind::Cut => Does::Cut { place, ms },
            FaultKind::RequestsStuck => Does::RequestsStuck { place, ms },
            FaultKind::AnswersStuck => Does::AnswersStuck { place, ms },
            FaultKind::PushesStuck => Does::PushesStuck { place, ms },
            FaultKind::SlowBus => Does::SlowBus {
                slow_ms: self.chance.random_range(20..900),
                ms,
            },
            FaultKind::HungBus => Does::HungBus { ms },
            FaultKind::BusCrash => Does::BusCrash { ms },
            FaultKind::DataLoss => {
                self.act(at, Does::DataLoss);
                if self.plan.sessions {
                    for user in 0..self.plan.users {
                        self.session_ends(at, User(user), ms);
                    }
                }
                if self.chance.random_bool(0.6) {
                    self.act(at, Does::BusCrash { ms });
                }
                return;
            }
            FaultKind::NodeCrash => Does::NodeCrash {
                place,
                power: self.chance.random_bool(0.3),
                ms,
            },
            FaultKind::Restart => self.restart(place, ms),
            FaultKind::Deploy => {
                for place in 0..self.nodes {
                    let does = self.restart(place, 0);
                    self.act(at + DEPLOY_MS * u64::from(place), does);
                }
                return;
            }
            FaultKind::StalledClients => Does::Stall {
                tabs: self.some_tabs(30),
                ms,
            },
            FaultKind::VanishedClients => Does::Vanish {
                tabs: self.some_tabs(20),
            },
            FaultKind::Herd => Does::Herd {
                tabs: self.some_tabs(100),
            },
            FaultKind::ClockSet => Does::ClockSet {
                // Less than the life of a publisher's id, which ends by this clock.
                offset_ms: self.chance.random_range(-120_000..120_000),
            },
            FaultKind::SessionEnds => {
                let user = User(self.chance.random_range(0..self.plan.users));
                if self.plan.sessions {
                    self.session_ends(at, user, ms);
                }
                return;
            }
            FaultKind::PushesMissed => Does::PushesMissed { place },
            FaultKind::Trimmed => Does::Trimmed {
                keep: self.chance.random_range(0..10),
            },
            FaultKind::Garbage => {
                self.garbage(at, ms);
                return;
            }
        };
        self.act(at, does);
    }

    fn restart(&mut self, place: u32, ms: u64) -> Does {
        Does::Restart {
            place,
            hurried: self.chance.random_bool(0.2),
            ms,
        }
    }

    fn session_ends(&mut self, at: u64, user: User, ms: u64) {
        // Long enough, now and then, for it to be found out.
        let more = if self.chance.random_bool(0.5) {
            0
        } else {
            30_000
        };
        let ms = ms + more + 1_000;
        self.act(at, Does::SessionEnds { user, ms });
    }

    fn garbage(&mut self, at: u64, ms: u64) {
        self.act(at, Does::Garbage { ms });
        for tab in self.some_tabs(10) {
            let events = self.chance.random_range(1..260);
            let at = at + self.chance.random_range(0..=ms);
            let does = Wish::Flood(events);
            self.act(at, Does::Client { tab, does });
        }
    }

    fn calls(&mut self) {
        let every = pick(self.chance, &[1_000, 5_000, 20_000]);
        for number in 0..self.tabs.len() {
            let (tab, dials_at) = (self.tabs[number].tab, self.tabs[number].dials_at);
            let first = dials_at + about(self.chance, every);
            for at in self.moments(first, every) {
                let symbol = Symbol(self.chance.random_range(0..self.plan.symbols));
                let does = match self.chance.random_range(0..10) {
                    0 => Wish::AskPortfolio,
                    1 => Wish::AskTrades,
                    2..=5 => Wish::Watch(symbol),
                    6..=7 => Wish::Unwatch(symbol),
                    8 => Wish::Leave,
                    _ => continue,
                };
                self.act(at, Does::Client { tab, does });
            }
        }
    }

    fn publishes(&mut self) {
        // In percent: batches whose items carry ids, and trades among items.
        let keyed = pick(self.chance, &[0, 30, 100]);
        let trades = pick(self.chance, &[5, 30, 60]);
        let every = pick(self.chance, &[5, 10, 20, 50, 200]);
        let batch_max = pick(self.chance, &[1, 3, 8]);
        for at in self.moments(3_000, every) {
            let count = self.chance.random_range(1..=batch_max);
            let does = Does::Publish {
                place: self.chance.random_range(0..self.nodes),
                keyed: percent(self.chance, keyed),
                late: percent(self.chance, 5),
                items: (0..count).map(|_| self.content(trades)).collect(),
            };
            self.act(at, does);
        }
        if self.chance.random_bool(0.5) {
            for at in self.moments(4_000, every * 5) {
                let items = self.rooms(trades);
                self.act(at, Does::Emit { items });
            }
        }
    }

    fn content(&mut self, trades: u32) -> Content {
        let user = User(self.chance.random_range(0..self.plan.users));
        let symbol = Symbol(self.chance.random_range(0..self.plan.symbols));
        let to = if percent(self.chance, trades) {
            Target::Trade(user)
        } else {
            Target::State(match self.chance.random_range(0..10) {
                0 => Topic::Market,
                1..=4 => Topic::Portfolio(user),
                _ => Topic::Quote(symbol),
            })
        };
        let bytes = self.chance.random_range(0..self.plan.payload_max);
        Content { to, bytes }
    }

    /// One event for one room, or for several.
    fn rooms(&mut self, trades: u32) -> Vec<Content> {
        let first = self.content(trades);
        let mut items = vec![first];
        if percent(self.chance, 30) {
            let more = self.chance.random_range(1..4);
            for _ in 0..more {
                let another = self.content(trades);
                let same = match (first.to, another.to) {
                    (Target::State(Topic::Quote(_)), Target::State(Topic::Quote(_)))
                    | (Target::State(Topic::Portfolio(_)), Target::State(Topic::Portfolio(_))) => {
                        true
                    }
                    (Target::State(_) | Target::Trade(_), Target::State(_) | Target::Trade(_)) => {
                        false
                    }
                };
                if same && items.iter().all(|item| item.to != another.to) {
                    items.push(another);
                }
            }
        }
        items
    }
}

/// Often the contract's own, often small enough that every bound is reached.
fn limits(chance: &mut StdRng) -> Limits {
    let limits = Limits::default();
    if chance.random_bool(0.2) {
        return limits;
    }
    Limits {
        connections_per_user_max: pick(chance, &[2, 3, 5, 5, 5]),
        connects_per_user_minute_max: pick(chance, &[10, 120, 120, 120]),
        connections_max: pick(chance, &[30, 100_000, 100_000]),
        portfolio_calls_max: pick(chance, &[1, 1, 2]),
        watchlist_calls_max: pick(chance, &[2, 4, 10]),
        calls_window: Duration::from_secs(pick(chance, &[10, 30, 60])),
        outbox_bytes_max: pick(chance, &[4_000, 20_000, 1 << 20]),
        outbox_packets_max: pick(chance, &[8, 64, 4_096]),
        congested_log_events_max: pick(chance, &[4, 32, 1_024]),
        congested_log_bytes_max: pick(chance, &[4_000, 1 << 20]),
        congested_max: Duration::from_secs(pick(chance, &[3, 10, 30])),
        outbox_total_bytes_max: pick(chance, &[30_000, 256 << 20, 256 << 20]),
        history_max: Duration::from_secs(pick(chance, &[20, 600, 600])),
        history_bytes_max: pick(chance, &[20_000, 64 << 20, 64 << 20]),
        drain_window: Duration::from_secs(pick(chance, &[2, 5])),
        ..limits
    }
}
