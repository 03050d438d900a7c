//! A node, a host for clients and a publisher, on either network, and what they saw.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::Level;
use tradewire_sim::client::{Call, Profile, Remote, TransportChoice};
use tradewire_sim::journal::{Journal, Memory, Seen};
use tradewire_sim::net::stack::Stack;
use tradewire_sim::net::turmoil::Turmoil;
use tradewire_sim::net::{HostId, HostTime, Latency, Network};
use tradewire_sim::observation::Observation;
use tradewire_sim::publisher::{Feed, Publishing};
use tradewire_sim::world::{NodeId, NodeSettings, World};

use super::{millis, seconds, stack};

pub const TOKEN: &str = "token";

pub struct Rig<W: Network> {
    pub world: World<W>,
    pub node: NodeId,
    /// Where clients are.
    pub host: HostId,
    feed: Feed,
    pub journal: Memory,
    watch: Receiver<Seen>,
    seen: Vec<Seen>,
}

/// On the main network.
pub fn rig(seed: u64) -> Rig<Stack> {
    rig_with(seed, HostTime::default())
}

/// On the main network, with a node whose clocks are its own.
pub fn rig_with(seed: u64, time: HostTime) -> Rig<Stack> {
    let (network, memory) = stack(seed);
    rig_on(network, memory, seed, &[], time)
}

/// On the main network, with a node that has these settings.
pub fn rig_set(seed: u64, flags: &[String]) -> Rig<Stack> {
    let (network, memory) = stack(seed);
    rig_on(network, memory, seed, flags, HostTime::default())
}

/// On the second network.
pub fn rig_on_turmoil(seed: u64) -> Rig<Turmoil> {
    let memory = Memory::default();
    let latency = Latency {
        min: millis(10),
        max: millis(10),
    };
    let network = Turmoil::new(seed, millis(5), latency, Journal::new(memory.clone()));
    rig_on(network.unwrap(), memory, seed, &[], HostTime::default())
}

fn rig_on<W: Network>(
    network: W,
    memory: Memory,
    seed: u64,
    flags: &[String],
    time: HostTime,
) -> Rig<W> {
    let mut world = World::new(seed, network, Level::DEBUG);
    let watch = world.journal().watch();
    let node = world
        .add_node(NodeSettings {
            name: "node0".to_owned(),
            publish_token: TOKEN.to_owned(),
            flags: flags.to_vec(),
            time,
        })
        .unwrap();
    let host = world.add_host("clients").unwrap();
    let feeds = world.add_host("feeds").unwrap();
    let feed = world.add_publisher(
        feeds,
        Publishing {
            name: "pub".to_owned(),
            token: TOKEN.to_owned(),
            attempts_max: 60,
            seed,
        },
    );
    Rig {
        world,
        node,
        host,
        feed,
        journal: memory,
        watch,
        seen: Vec::new(),
    }
}

impl<W: Network> Rig<W> {
    pub fn client(&mut self, name: &str, user: &str, transport: TransportChoice) -> Remote {
        let profile = Profile {
            name: name.to_owned(),
            user: user.to_owned(),
            session: format!("s-{user}"),
            transport,
            resumes: true,
            wants: vec![Call::Portfolio, Call::Trades, watch_aapl()],
            after: Duration::ZERO,
            seed: 7,
        };
        self.world.add_client(self.host, profile)
    }

    /// Lets time pass until `who` has seen something, and returns when that was. Panics when it does
    /// not happen.
    pub fn until(
        &mut self,
        limit: Duration,
        who: &str,
        is_it: impl Fn(&Observation) -> bool,
    ) -> Duration {
        self.seen.extend(self.watch.try_iter());
        let from = self.seen.len();
        self.until_from(from, limit, who, is_it)
    }

    /// The same, also content with what was seen before.
    pub fn until_ever(
        &mut self,
        limit: Duration,
        who: &str,
        is_it: impl Fn(&Observation) -> bool,
    ) -> Duration {
        self.until_from(0, limit, who, is_it)
    }

    fn until_from(
        &mut self,
        from: usize,
        limit: Duration,
        who: &str,
        is_it: impl Fn(&Observation) -> bool,
    ) -> Duration {
        let until = self.world.now() + limit;
        loop {
            self.seen.extend(self.watch.try_iter());
            let new = self.seen[from..].iter();
            if let Some(seen) = new
                .clone()
                .find(|seen| &*seen.who == who && is_it(&seen.what))
            {
                return seen.at;
            }
            assert!(
                self.world.now() < until,
                "{who} did not see it within {limit:?}; the end of the log:\n{}",
                tail(&self.journal.text())
            );
            self.world.step();
        }
    }

    pub fn until_connected(&mut self, who: &str) -> Duration {
        self.until(seconds(30), who, |what| {
            matches!(what, Observation::Connected { .. })
        })
    }

    pub fn until_event(&mut self, who: &str, event: &str) -> Value {
        self.until(
            seconds(30),
            who,
            |what| matches!(what, Observation::Event { name, .. } if name == event),
        );
        self.events(who, event).pop().unwrap()
    }

    /// The payloads of all events of a name that `who` has seen.
    pub fn events(&self, who: &str, event: &str) -> Vec<Value> {
        let of = |seen: &Seen| {
            let Observation::Event { name, payload } = &seen.what else {
                return None;
            };
            (&*seen.who == who && name == event).then(|| serde_json::from_str(payload).unwrap())
        };
        self.seen.iter().filter_map(of).collect()
    }

    /// How often `who` has seen something.
    pub fn count(&mut self, who: &str, is_it: impl Fn(&Observation) -> bool) -> usize {
        self.seen.extend(self.watch.try_iter());
        let new = self.seen.iter();
        new.filter(|seen| &*seen.who == who && is_it(&seen.what))
            .count()
    }

    pub fn publish_trade(&self, user: &str, number: u32) {
        let item = json!([{"event": "trade:executed", "id": format!("t{number}"), "userId": user,
            "data": {"n": number}}]);
        self.feed.publish(item.to_string());
    }
}

pub fn watch_aapl() -> Call {
    Call::Watch(vec!["AAPL".to_owned()])
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
