//! What named scenarios are told with: a cluster on one Redis, people by name, what befalls them, and what is
//! waited for.
//!
//! A script says who is there and what happens; the oracle watches all of it as it does in a random cluster,
//! and the story is what each of them came through. Chance decides latencies, waits and ids, never what a
//! script does. Nothing here judges.

mod faults;
mod known;
mod people;
mod setup;
mod story;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tracing::Level;

use crate::client::Remote;
use crate::journal::{Journal, Seen};
use crate::judge::{Judge, Link};
use crate::net::stack::{Stack, StackSettings};
use crate::net::turmoil::Turmoil;
use crate::net::{HostId, HostTime, Network};
use crate::oracle::{Guarantee, Verdict, Violation};
use crate::redis::{Redis, Settings};
use crate::scenarios::script::Script;
use crate::scenarios::{NetworkKind, Ran, RunError, store};
use crate::world::{NodeError, NodeId, NodeSettings, World};

use known::Known;
use story::Story;

pub(super) use faults::Spot;
pub(super) use people::{Site, Tab};
pub(super) use setup::Setup;

const TOKEN: &str = "sim";

/// How long a slot's lease is, as the servers are started.
const LEASE_MS: u64 = 30_000;

/// Hosts in all: every life of a node takes one.
const HOSTS_MAX: usize = 24;

/// How long anything takes to arrive at most when nothing is in its way.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// When, after the last of a script, what must have come about is judged.
const QUIET: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(16)];

/// Why a script does not go on.
pub(super) enum Stop {
    /// A promise was broken, or what the script waits for did not come about.
    Broken(Violation),
    /// It could not be run.
    Failed(RunError),
}

/// How a step of a script went.
pub(super) type Played<T = ()> = Result<T, Stop>;

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl From<NodeError> for Stop {
    fn from(error: NodeError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Something that is over at its time.
#[derive(Clone, Debug)]
enum Over {
    Link(Link),
    Trouble(u32),
}

/// A script's cluster, its people, and what is known of them.
pub(super) struct Stage<W: Network> {
    world: World<W>,
    on: NetworkKind,
    setup: Setup,
    chance: StdRng,
    judge: Judge,
    seen: Receiver<Seen>,
    known: Known,
    story: Story,
    redis: Redis,
    redis_host: HostId,
    nodes: Vec<(NodeId, &'static str)>,
    sites: Vec<Site>,
    tabs: BTreeMap<&'static str, Remote>,
    /// Items that were published, of each target too.
    items: u32,
    numbers: BTreeMap<String, u32>,
    /// What is wrong, by the two ends.
    wrong: Vec<(Spot, Spot, Over)>,
    over: Vec<(Duration, Over)>,
}

/// Runs a script.
///
/// # Errors
/// When a part of the world could not be made.
pub(super) fn run(
    script: Script,
    seed: u64,
    on: NetworkKind,
    journal: &Journal,
) -> Result<Ran, RunError> {
    let mut chance = StdRng::seed_from_u64(seed);
    let settings = StackSettings {
        hosts_max: HOSTS_MAX,
        ..StackSettings::default()
    };
    let seed_of_network = chance.random();
    journal.line("plan", format_args!("{}, seed {seed}", script.name()));
    match on {
        NetworkKind::Stack => {
            let network = Stack::new(seed_of_network, settings, journal.clone())?;
            Stage::new(network, script, on, chance)?.perform(script)
        }
        NetworkKind::Turmoil => {
            let StackSettings { tick, latency, .. } = settings;
            let network = Turmoil::new(seed_of_network, tick, latency, journal.clone())?;
            Stage::new(network, script, on, chance)?.perform(script)
        }
    }
}

impl<W: Network> Stage<W> {
    fn new(
        network: W,
        script: Script,
        on: NetworkKind,
        mut chance: StdRng,
    ) -> Result<Self, RunError> {
        let journal = network.journal().clone();
        let seen = journal.watch();
        let mut world = World::new(chance.random(), network, Level::DEBUG);
        let redis = Redis::new(Settings {
            now: crate::net::host::EPOCH,
            ..Settings::default()
        })?;
        let redis_host = world.add_host("redis")?;
        store::listen(&redis, &journal, LEASE_MS);
        let served = redis.clone();
        world.serve(redis_host, 6379, move |stream| {
            let redis = served.clone();
            async move { redis.serve(stream).await }
        });
        let setup = script.setup();
        let judge = Judge::new(setup.promises());
        let mut story = Story::new(script.name(), script.shows());
        story.cast("redis");
        Ok(Self {
            world,
            on,
            setup,
            chance,
            judge,
            seen,
            known: Known::default(),
            story,
            redis,
            redis_host,
            nodes: Vec::new(),
            sites: Vec::new(),
            tabs: BTreeMap::new(),
            items: 0,
            numbers: BTreeMap::new(),
            wrong: Vec::new(),
            over: Vec::new(),
        })
    }

    fn perform(mut self, script: Script) -> Result<Ran, RunError> {
        let verdict = match script.play(&mut self).and_then(|()| self.rest()) {
            Ok(()) => self.judge.finish(),
            Err(Stop::Broken(violation)) => Err(violation),
            Err(Stop::Failed(error)) => return Err(error),
        };
        if let Err(violation) = &verdict {
            let journal = self.world.journal();
            journal.line("oracle", format_args!("VIOLATED {violation}"));
        }
        Ok(Ran {
            took: self.world.now(),
            verdict,
            situations: self.judge.situations().clone(),
            story: self.story.text(),
            size: None,
        })
    }

    /// Waits until what was mended is through, and lets the oracle say whether what must come about did.
    fn rest(&mut self) -> Played {
        while !self.over.is_empty() {
            self.step()?;
        }
        let begun = self.world.now();
        for span in QUIET {
            while self.world.now() < begun + span {
                self.step()?;
            }
            self.judge.quiet(span)?;
        }
        Ok(())
    }

    /// What happens next, in the words of the story.
    /// What is under way from before arrives in time to be told with it.
    pub(super) fn scene(&mut self, words: &str) -> Played {
        self.until(30, "publishers have their answers", |known| {
            known.publishers_rest()
        })?;
        let until = self.world.now() + UNDER_WAY;
        while self.world.now() < until {
            self.step()?;
        }
        self.story.scene(words);
        let journal = self.world.journal();
        journal.line("world", format_args!("== {words}"));
        Ok(())
    }

    /// Adds a node of the cluster.
    pub(super) fn node(&mut self, name: &'static str) -> Played<Spot> {
        self.story.cast(name);
        let drift = self.chance.random_range(-200..=200);
        let ahead = self.chance.random_range(-5_000..=5_000);
        let node = self.world.add_node(NodeSettings {
            name: name.to_owned(),
            publish_token: TOKEN.to_owned(),
            flags: self.setup.flags(),
            time: HostTime::new(drift, ahead),
        })?;
        self.nodes.push((node, name));
        self.until_ready(name)?;
        Ok(Spot::Node(self.nodes.len() - 1))
    }

    /// Waits until a node that was started reaches Redis; as a balancer that asks `/health/ready` does, nobody
    /// is sent there before.
    fn until_ready(&mut self, name: &'static str) -> Played {
        self.world.balancer().remove(name);
        self.until(10, &format!("{name} reaches Redis"), |known| {
            known.node(name).reaches
        })?;
        self.world.balancer().add(name);
        Ok(())
    }

    /// Lets time pass until something is so.
    pub(super) fn until(
        &mut self,
        seconds: u64,
        what: &str,
        mut is_so: impl FnMut(&Known) -> bool,
    ) -> Played {
        let limit = self.world.now() + Duration::from_secs(seconds);
        while !is_so(&self.known) {
            if self.world.now() >= limit {
                return Err(
                    self.missing(format!("within {seconds} s it did not come about: {what}"))
                );
            }
            self.step()?;
        }
        Ok(())
    }

    /// Lets time pass in which something must stay as it is.
    pub(super) fn while_for(
        &mut self,
        seconds: u64,
        what: &str,
        mut is_so: impl FnMut(&Known) -> bool,
    ) -> Played {
        let until = self.world.now() + Duration::from_secs(seconds);
        while self.world.now() < until {
            self.step()?;
            if !is_so(&self.known) {
                return Err(self.missing(format!("it did not stay so for {seconds} s: {what}")));
            }
        }
        Ok(())
    }

    fn missing(&self, facts: String) -> Stop {
        let at = self.world.now().as_millis();
        Stop::Broken(Violation {
            guarantee: Guarantee::Liveness,
            at: u64::try_from(at).unwrap_or(u64::MAX),
            facts,
        })
    }

    fn step(&mut self) -> Played {
        self.world.step();
        let now = self.world.now();
        self.watch()?;
        let (over, rest) = self.over.drain(..).partition(|(at, _)| *at <= now);
        self.over = rest;
        let over: Vec<(Duration, Over)> = over;
        for (_, over) in over {
            match over {
                Over::Link(link) => self.judge.mend(&link),
                Over::Trouble(trouble) => self.judge.trouble_over(trouble)?,
            }
        }
        Ok(())
    }

    /// Has the oracle and the story look at what was seen.
    fn watch(&mut self) -> Verdict {
        let steered = self.world.balancer().count() == 1;
        while let Ok(seen) = self.seen.try_recv() {
            self.known.take(&seen);
            self.story.take(&seen, steered);
            self.judge.take(&seen)?;
        }
        self.judge.come_to(self.world.now())
    }
}
