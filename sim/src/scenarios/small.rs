//! One node on its embedded bus, clients on three hosts, two publishers, and faults of every kind, for 60
//! simulated seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tracing::Level;

use crate::client::{Command, Remote};
use crate::journal::Journal;
use crate::net::stack::{Stack, StackSettings};
use crate::net::turmoil::Turmoil;
use crate::net::{HostId, HostTime, Network};
use crate::publisher::{Feed, Publishing};
use crate::scenarios::plan::{Action, Plan};
use crate::scenarios::{NetworkKind, RunError};
use crate::world::{NodeId, NodeSettings, World};

const CLIENT_HOSTS: usize = 3;
const PUBLISHERS: usize = 2;
const TOKEN: &str = "sim";

/// Runs it, and returns how much simulated time passed.
///
/// # Errors
/// When a part of the world could not be made.
pub fn run(
    seed: u64,
    clients: usize,
    on: NetworkKind,
    journal: &Journal,
) -> Result<Duration, RunError> {
    let mut chance = StdRng::seed_from_u64(seed);
    let (seed_of_network, settings) = (chance.random(), StackSettings::default());
    match on {
        NetworkKind::Stack => {
            let network = Stack::new(seed_of_network, settings, journal.clone())?;
            run_on(network, seed, clients, chance)
        }
        NetworkKind::Turmoil => {
            let StackSettings { tick, latency, .. } = settings;
            let network = Turmoil::new(seed_of_network, tick, latency, journal.clone())?;
            run_on(network, seed, clients, chance)
        }
    }
}

fn run_on(
    network: impl Network,
    seed: u64,
    clients: usize,
    mut chance: StdRng,
) -> Result<Duration, RunError> {
    let journal = network.journal().clone();
    let plan = Plan::draw(chance.random(), clients, CLIENT_HOSTS, PUBLISHERS);
    journal.line(
        "plan",
        format_args!("small, seed {seed}, {clients} clients"),
    );
    for (at, action) in &plan.actions {
        if !matches!(action, Action::Publish(..)) {
            journal.line("plan", format_args!("{:.3} {action}", at.as_secs_f64()));
        }
    }
    let world = World::new(chance.random(), network, Level::DEBUG);
    let mut small = Small::new(world, &plan, &mut chance)?;
    for (at, action) in plan.actions {
        small.run_to(at);
        small.act(action)?;
    }
    small.run_to(plan.length);
    Ok(small.world.now())
}

struct Small<W: Network> {
    world: World<W>,
    node: NodeId,
    hosts: Vec<HostId>,
    clients: Vec<Remote>,
    publishers: Vec<Feed>,
    /// The ways that are disturbed, by client host.
    disturbed: BTreeMap<usize, Vec<(HostId, HostId)>>,
}

impl<W: Network> Small<W> {
    fn new(mut world: World<W>, plan: &Plan, chance: &mut StdRng) -> Result<Self, RunError> {
        let drift = chance.random_range(-200..=200);
        let ahead = chance.random_range(-5_000..=5_000);
        let node = world.add_node(NodeSettings {
            name: "node0".to_owned(),
            publish_token: TOKEN.to_owned(),
            flags: Vec::new(),
            time: HostTime::new(drift, ahead),
        })?;
        let mut hosts = Vec::new();
        for index in 0..CLIENT_HOSTS {
            hosts.push(world.add_host(&format!("clients{index}"))?);
        }
        let mut clients = Vec::new();
        for (profile, host) in plan.clients.iter().zip(hosts.iter().cycle()) {
            clients.push(world.add_client(*host, profile.clone()));
        }
        let feeds = world.add_host("feeds")?;
        let publishers = (0..PUBLISHERS)
            .map(|index| {
                let publishing = Publishing {
                    name: format!("pub{index}"),
                    token: TOKEN.to_owned(),
                    attempts_max: 30,
                    seed: chance.random(),
                };
                world.add_publisher(feeds, publishing)
            })
            .collect();
        Ok(Self {
            world,
            node,
            hosts,
            clients,
            publishers,
            disturbed: BTreeMap::new(),
        })
    }

    fn run_to(&mut self, at: Duration) {
        self.world.run_for(at.saturating_sub(self.world.now()));
    }

    fn act(&mut self, action: Action) -> Result<(), RunError> {
        if !matches!(action, Action::Publish(..)) {
            self.world.journal().line("world", format_args!("{action}"));
        }
        match action {
            Action::Cut(host) => self.disturb(host, |network, clients, node| {
                network.cut(clients, node);
                network.cut(node, clients);
            }),
            Action::CutUp(host) => {
                self.disturb(host, |network, clients, node| network.cut(clients, node));
            }
            Action::CutDown(host) => {
                self.disturb(host, |network, clients, node| network.cut(node, clients));
            }
            Action::Hold(host) => {
                self.disturb(host, |network, clients, node| network.hold(clients, node));
            }
            Action::Heal(host) => {
                for (clients, node) in self.disturbed.remove(&host).unwrap_or_default() {
                    self.world.network().heal(clients, node);
                }
            }
            Action::Drain => self.world.drain(self.node),
            Action::Kill => self.world.kill(self.node),
            Action::PowerOff => self.world.power_off_node(self.node),
            Action::Start => self.world.start_node(self.node)?,
            Action::Stall(client, span) => self.tell(client, Command::Stall(span)),
            Action::Vanish(client) => self.tell(client, Command::Vanish),
            Action::Stop(client) => self.tell(client, Command::Stop),
            Action::Emit(client, call) => self.tell(client, Command::Emit(call)),
            Action::Publish(publisher, body) => {
                if let Some(feed) = self.publishers.get(publisher) {
                    feed.publish(body);
                }
            }
        }
        Ok(())
    }

    /// Disturbs the way between a client host and the node that runs now. What is healed later is that way,
    /// also when the node has gone by then: what it sent last may still be on it.
    fn disturb(&mut self, host: usize, how: impl FnOnce(&mut W, HostId, HostId)) {
        if let (Some(clients), Some(node)) = (self.hosts.get(host), self.world.host_of(self.node)) {
            how(self.world.network(), *clients, node);
            self.disturbed
                .entry(host)
                .or_default()
                .push((*clients, node));
        }
    }

    fn tell(&self, client: usize, command: Command) {
        if let Some(remote) = self.clients.get(client) {
            remote.tell(command);
        }
    }
}
