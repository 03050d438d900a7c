//! A whole cluster under whatever a seed brings: several nodes, a Redis, clients in many tabs, publishers,
//! an emitter, and faults; then quiet, in which what was promised must come about. The oracle watches all of it.

mod chance;
mod document;
mod emitter;
mod faults;
mod numbers;
mod people;
mod plan;
mod size;
mod store;

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tracing::Level;

use crate::journal::{Journal, Seen};
use crate::judge::Judge;
use crate::net::stack::{Stack, StackSettings};
use crate::net::turmoil::Turmoil;
use crate::net::{HostId, HostTime, Network};
use crate::observation::{Observation as Saw, Reason};
use crate::oracle::Verdict;
use crate::publisher::{Feed, Publishing};
use crate::redis::{Redis, Settings};
use crate::scenarios::store::listen;
use crate::scenarios::{NetworkKind, Ran, RunError};
use crate::world::{NodeId, NodeSettings, World};

pub use document::{CLIENTS_MAX, Document, DocumentError, Without};
pub use numbers::{Numbers, NumbersError};
pub use plan::FaultKind;
pub use size::{Size, Tally};

use chance::{Draws, about};
use faults::Ongoing;
use people::Place;
use plan::Plan;

const CLIENT_HOSTS: usize = 3;
const PUBLISHERS: usize = 3;
const TOKEN: &str = "sim";

/// Hosts in all: every life of a node takes one.
const HOSTS_MAX: usize = 120;

/// When, after the last fault, what must have come about is judged.
const QUIET: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(16),
    Duration::from_secs(75),
];

/// Something that will be done.
#[derive(Clone, Debug)]
enum Act {
    Adds,
    ClientActs,
    Connects(usize),
    Emits(u64),
    FaultBegins(usize, u64),
    FaultEnds(u32),
    Judges(usize),
    NodeStarts(usize),
    Publishes(u64),
    RollsOn(usize, u64),
    Settles,
    TroubleOver(u32),
}

/// One run.
struct Random<W: Network> {
    world: World<W>,
    plan: Plan,
    without: Without,
    size: Size,
    judge: Judge,
    seen: Receiver<Seen>,
    agenda: BTreeMap<(Duration, u64), Act>,
    acts: u64,
    redis: Redis,
    redis_host: HostId,
    /// By number; those that are left out are none.
    nodes: Vec<Option<NodeId>>,
    hosts: Vec<HostId>,
    clients: Vec<Place>,
    feeds: Vec<Feed>,
    ongoing: BTreeMap<u32, Ongoing>,
    ongoings: u32,
    /// Faults and publishes come until then.
    busy_until: Duration,
    over: bool,
}

/// Runs it.
///
/// # Errors
/// When a part of the world could not be made.
pub fn run(document: &Document, on: NetworkKind, journal: &Journal) -> Result<Ran, RunError> {
    let mut chance = StdRng::seed_from_u64(document.seed ^ 0x5eed);
    let settings = StackSettings {
        hosts_max: HOSTS_MAX,
        ..StackSettings::default()
    };
    let seed_of_network = chance.random();
    let mut plan = document.plan();
    plan.lasts_ms = document.busy_ms();
    let without = document.without.clone();
    for line in plan.to_string().lines() {
        journal.line("plan", format_args!("{line}"));
    }
    match on {
        NetworkKind::Stack => {
            let network = Stack::new(seed_of_network, settings, journal.clone())?;
            Random::new(network, plan, without, chance)?.run()
        }
        NetworkKind::Turmoil => {
            let StackSettings { tick, latency, .. } = settings;
            let network = Turmoil::new(seed_of_network, tick, latency, journal.clone())?;
            Random::new(network, plan, without, chance)?.run()
        }
    }
}

impl<W: Network> Random<W> {
    fn new(network: W, plan: Plan, without: Without, mut chance: StdRng) -> Result<Self, RunError> {
        let journal = network.journal().clone();
        let seen = journal.watch();
        let mut world = World::new(chance.random(), network, Level::DEBUG);
        let redis = Redis::new(Settings {
            now: crate::net::host::EPOCH,
            ..Settings::default()
        })?;
        let redis_host = world.add_host("redis")?;
        listen(&redis, &journal, plan.lease_ms());
        let served = redis.clone();
        world.serve(redis_host, 6379, move |stream| {
            let redis = served.clone();
            async move { redis.serve(stream).await }
        });
        let mut hosts = Vec::new();
        for index in 0..CLIENT_HOSTS {
            hosts.push(world.add_host(&format!("clients{index}"))?);
        }
        let feeds_host = world.add_host("feeds")?;
        let feeds = (0..PUBLISHERS)
            .map(|index| {
                let publishing = Publishing {
                    name: format!("pub{index}"),
                    token: TOKEN.to_owned(),
                    attempts_max: 200,
                    seed: chance.random(),
                };
                world.add_publisher(feeds_host, publishing)
            })
            .collect();
        let judge = Judge::new(plan.promises());
        let busy_until = Duration::from_millis(plan.lasts_ms);
        let mut random = Self {
            world,
            plan,
            without,
            size: Size::default(),
            judge,
            seen,
            agenda: BTreeMap::new(),
            acts: 0,
            redis,
            redis_host,
            nodes: Vec::new(),
            hosts,
            clients: Vec::new(),
            feeds,
            ongoing: BTreeMap::new(),
            ongoings: 0,
            busy_until,
            over: false,
        };
        random.plant_sessions();
        random.add_nodes(feeds_host)?;
        for _ in 0..random.plan.clients {
            random.add_client();
        }
        Ok(random)
    }

    fn add_nodes(&mut self, host: HostId) -> Result<(), RunError> {
        let skew = i32::try_from(self.plan.skew_permille * 1_000).unwrap_or(0);
        for index in 0..self.plan.nodes {
            let left_out = self.without.nodes.contains(index as u64);
            if !self.size.nodes.counts(left_out) {
                self.nodes.push(None);
                continue;
            }
            let mut chance = self.chance_of(Draws::Node, index as u64);
            let drift = chance.random_range(-skew..=skew);
            let ahead = chance.random_range(-5_000..=5_000);
            let node = self.world.add_node(NodeSettings {
                name: format!("node{index}"),
                publish_token: TOKEN.to_owned(),
                flags: self.plan.flags(),
                time: HostTime::new(drift, ahead),
            })?;
            self.world.read_metrics(host, &format!("node{index}"));
            self.nodes.push(Some(node));
        }
        Ok(())
    }

    fn run(mut self) -> Result<Ran, RunError> {
        let journal = self.world.journal().clone();
        self.schedule();
        let verdict = self.live()?;
        if let Err(violation) = &verdict {
            journal.line("oracle", format_args!("VIOLATED {violation}"));
        }
        let took = self.world.now();
        self.size.ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(Ran {
            took,
            verdict,
            situations: self.judge.situations().clone(),
            story: String::new(),
            size: Some(self.size),
        })
    }

    fn schedule(&mut self) {
        self.after(3_000, Act::Publishes(0));
        self.after(4_000, Act::ClientActs);
        if self.plan.emitter {
            self.after(4_000, Act::Emits(0));
        }
        for (number, fault) in self.plan.faults.clone().into_iter().enumerate() {
            let mut chance = self.chance_of(Draws::Fault(fault.kind), 0);
            let ms = about(&mut chance, fault.every_ms) + 3_000;
            self.after(ms, Act::FaultBegins(number, 0));
        }
        self.at(self.busy_until, Act::Settles);
    }

    /// Goes on to the end, or to the first promise that is broken.
    fn live(&mut self) -> Result<Verdict, RunError> {
        while !self.over {
            let Some(((at, _), act)) = self.agenda.pop_first() else {
                break;
            };
            while self.world.now() < at {
                self.world.step();
                if let Err(violation) = self.watch() {
                    return Ok(Err(violation));
                }
            }
            match self.act(act)? {
                Ok(()) => {}
                Err(violation) => return Ok(Err(violation)),
            }
        }
        Ok(self.judge.finish())
    }

    /// Has the oracle look at what was seen.
    fn watch(&mut self) -> Verdict {
        while let Ok(seen) = self.seen.try_recv() {
            self.judge.take(&seen)?;
            let rests = matches!(
                seen.what,
                Saw::ConnectError { .. }
                    | Saw::Disconnected {
                        reason: Reason::ServerDisconnect
                    }
            );
            // Its user loads the page again after a while.
            if rests && let Some(client) = people::index_of(&seen.who) {
                self.later(client, 2_000..12_000, Act::Connects(client));
            }
        }
        let now = self.world.now();
        self.judge.come_to(now)
    }

    fn act(&mut self, act: Act) -> Result<Verdict, RunError> {
        match act {
            Act::Adds => {
                self.add_client();
            }
            Act::ClientActs => self.client_acts(),
            Act::Connects(client) => self.connects(client),
            Act::Emits(ordinal) => return Ok(self.emits(ordinal)),
            Act::FaultBegins(fault, ordinal) => return self.fault_begins(fault, ordinal),
            Act::FaultEnds(ongoing) => return Ok(self.fault_ends(ongoing)),
            Act::Judges(turn) => {
                let span = QUIET.get(turn).copied().unwrap_or_default();
                self.over = turn + 1 == QUIET.len();
                return Ok(self.judge.quiet(span));
            }
            Act::NodeStarts(index) => self.node_starts(index)?,
            Act::Publishes(ordinal) => self.publishes(ordinal),
            Act::RollsOn(index, deploy) => self.rolls_on(index, deploy),
            Act::Settles => self.settles(),
            Act::TroubleOver(trouble) => return Ok(self.judge.trouble_over(trouble)),
        }
        Ok(Ok(()))
    }

    /// Waits until everything is mended and everyone is back, then calls it quiet.
    fn settles(&mut self) {
        let mut nodes = self.nodes.iter().flatten();
        let down = nodes.any(|node| self.world.host_of(*node).is_none());
        let waiting = self.agenda.values().any(|act| {
            matches!(
                act,
                Act::FaultEnds(_) | Act::TroubleOver(_) | Act::NodeStarts(_)
            )
        });
        let draining = self.world.balancer().count() < self.nodes.iter().flatten().count();
        if down || waiting || draining || !self.ongoing.is_empty() {
            self.after(500, Act::Settles);
            return;
        }
        self.world.journal().line("world", format_args!("quiet"));
        for (turn, span) in QUIET.into_iter().enumerate() {
            self.at(self.world.now() + span, Act::Judges(turn));
        }
    }

    fn at(&mut self, at: Duration, act: Act) {
        self.acts += 1;
        let at = at.max(self.world.now());
        self.agenda.insert((at, self.acts), act);
    }

    fn after(&mut self, ms: u64, act: Act) {
        self.at(self.world.now() + Duration::from_millis(ms), act);
    }

    /// Whether faults still come.
    fn is_busy(&self) -> bool {
        self.world.now() < self.busy_until
    }

    fn node(&self, place: usize) -> Option<NodeId> {
        self.nodes.get(place).copied().flatten()
    }

    fn chance_of(&self, draws: Draws, ordinal: u64) -> StdRng {
        chance::generator(self.plan.seed, draws, ordinal)
    }
}
