//! Clients by name and where they sit, publishers and what they publish.

use std::time::Duration;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::known::TRADES;
use super::{Played, Spot, Stage, TOKEN};
use crate::balancer::Balancer;
use crate::client::{Call, Command, Profile, TransportChoice};
use crate::judge::{symbol_name, user_name};
use crate::net::{HostId, Network};
use crate::oracle::{Target, Topic, User};
use crate::publisher::{Feed, Publishing};

/// How long anybody may take to be in when nothing is wrong.
const IN_SECONDS: u64 = 10;

/// Items of a large batch.
const ITEMS_OF_LARGE: u32 = 8;

/// How often a publisher tries before it gives up, which no script lets come to pass.
const ATTEMPTS_MAX: u32 = 200;

/// A place where clients and publishers are.
#[derive(Clone, Copy, Debug)]
pub(in crate::scenarios) struct Site {
    /// Its number, as the oracle knows it.
    pub(super) index: usize,
    /// The host of its clients.
    pub(super) clients: HostId,
    /// The host of its publishers.
    pub(super) feeds: HostId,
}

/// A client's page.
#[derive(Clone, Debug)]
pub(in crate::scenarios) struct Tab {
    name: &'static str,
    user: User,
    transport: TransportChoice,
    resumes: bool,
    wants: Vec<Call>,
    crowded: bool,
}

impl Tab {
    /// One of a user that holds the portfolio and trades over a websocket, and resumes.
    pub(in crate::scenarios) fn of(name: &'static str, user: User) -> Self {
        Self {
            name,
            user,
            transport: TransportChoice::Websocket,
            resumes: true,
            wants: vec![Call::Portfolio, Call::Trades],
            crowded: false,
        }
    }

    /// On another transport.
    pub(in crate::scenarios) fn on(mut self, transport: TransportChoice) -> Self {
        self.transport = transport;
        self
    }

    /// With quotes of these symbols.
    pub(in crate::scenarios) fn watching(mut self, symbols: &[&str]) -> Self {
        let symbols = symbols.iter().map(|symbol| (*symbol).to_owned());
        self.wants.push(Call::Watch(symbols.collect()));
        self
    }

    /// That of the guide: it resumes nothing, and emits what it wants on each connect.
    pub(in crate::scenarios) fn plain(mut self) -> Self {
        self.resumes = false;
        self
    }

    /// One that may find no room.
    pub(in crate::scenarios) fn crowded(mut self) -> Self {
        self.crowded = true;
        self
    }
}

/// A publisher.
#[derive(Clone, Debug)]
pub(in crate::scenarios) struct Desk {
    name: &'static str,
    feed: Feed,
}

/// What a target is called in conditions and in the story.
fn words(target: Target) -> String {
    match target {
        Target::Trade(_) => TRADES.to_owned(),
        Target::State(Topic::Market) => "market".to_owned(),
        Target::State(Topic::Portfolio(_)) => "portfolio".to_owned(),
        Target::State(Topic::Quote(symbol)) => symbol_name(symbol),
    }
}

impl<W: Network> Stage<W> {
    /// Adds a place.
    pub(in crate::scenarios) fn site(&mut self, name: &str) -> Played<Site> {
        let site = Site {
            index: self.sites.len(),
            clients: self.world.add_host(&format!("{name}-clients"))?,
            feeds: self.world.add_host(&format!("{name}-feeds"))?,
        };
        self.sites.push(site);
        Ok(site)
    }

    /// Adds clients who go to one node, and waits until they are in and hold what they want.
    pub(in crate::scenarios) fn enter(&mut self, node: Spot, site: Site, tabs: &[Tab]) -> Played {
        self.steer(Some(node));
        for tab in tabs {
            self.add(site, tab);
        }
        self.until(IN_SECONDS, "those who come are in", |known| {
            tabs.iter().all(|tab| {
                let client = known.client(tab.name);
                client.is_in && client.confirmed >= tab.wants.len()
            })
        })?;
        self.steer(None);
        Ok(())
    }

    /// Adds a client who goes where the balancer sends it.
    pub(in crate::scenarios) fn add(&mut self, site: Site, tab: &Tab) {
        self.story.cast(tab.name);
        let user = user_name(tab.user);
        let profile = Profile {
            name: tab.name.to_owned(),
            session: format!("q{}", tab.user.0),
            user,
            transport: tab.transport,
            resumes: tab.resumes,
            wants: tab.wants.clone(),
            after: Duration::from_millis(self.chance.random_range(0..500)),
            seed: self.chance.random(),
        };
        self.judge.expect(tab.name, site.index, tab.crowded);
        let remote = self.world.add_client(site.clients, profile);
        self.tabs.insert(tab.name, remote);
    }

    /// Has the balancer send everyone who comes to one node, or to any that runs.
    pub(in crate::scenarios) fn steer(&self, only: Option<Spot>) {
        for (index, (node, name)) in self.nodes.iter().enumerate() {
            let wanted = only.is_none_or(|only| only == Spot::Node(index));
            if wanted && self.world.host_of(*node).is_some() {
                self.world.balancer().add(name);
            } else {
                self.world.balancer().remove(name);
            }
        }
    }

    /// Has a client do something.
    pub(in crate::scenarios) fn tell(&self, name: &str, command: Command) {
        if let Some(remote) = self.tabs.get(name) {
            remote.tell(command);
        }
    }

    /// Adds a publisher that knows one node only, or goes where the balancer sends it.
    pub(in crate::scenarios) fn desk(
        &mut self,
        name: &'static str,
        site: Site,
        node: Option<Spot>,
    ) -> Desk {
        self.story.cast(name);
        let rotation = match node {
            Some(Spot::Node(index)) => {
                let own = Balancer::default();
                self.nodes
                    .get(index)
                    .into_iter()
                    .for_each(|(_, name)| own.add(name));
                own
            }
            Some(Spot::Redis | Spot::Site(_)) | None => self.world.balancer().clone(),
        };
        let publishing = Publishing {
            name: name.to_owned(),
            token: TOKEN.to_owned(),
            attempts_max: ATTEMPTS_MAX,
            seed: self.chance.random(),
        };
        let feed = self
            .world
            .add_publisher_behind(site.feeds, publishing, rotation);
        Desk { name, feed }
    }

    /// Hands a publisher the next items of a target, one after the other, and returns the last one's number.
    pub(in crate::scenarios) fn publish(&mut self, desk: &Desk, target: Target, count: u32) -> u32 {
        self.publish_batches(desk, target, count, (1, 10))
    }

    /// The same in large batches, with so many bytes in each item.
    pub(in crate::scenarios) fn publish_large(
        &mut self,
        desk: &Desk,
        target: Target,
        count: u32,
        bytes: usize,
    ) -> u32 {
        self.publish_batches(desk, target, count, (ITEMS_OF_LARGE, bytes))
    }

    fn publish_batches(
        &mut self,
        desk: &Desk,
        target: Target,
        count: u32,
        (per_batch, bytes): (u32, usize),
    ) -> u32 {
        let mut last = 0;
        let mut left = count;
        while left > 0 {
            let batch: Vec<Value> = (0..left.min(per_batch))
                .map(|_| self.item(target, bytes, &mut last))
                .collect();
            left = left.saturating_sub(per_batch);
            self.known.handed(desk.name);
            desk.feed.publish(json!(batch).to_string());
        }
        last
    }

    fn item(&mut self, target: Target, bytes: usize, number: &mut u32) -> Value {
        self.items += 1;
        let numbers = self.numbers.entry(format!("{target:?}")).or_default();
        *numbers += 1;
        *number = *numbers;
        let data = json!({"n": self.items, "k": *number, "p": "x".repeat(bytes)});
        let id = format!("k{}", self.items);
        match target {
            Target::Trade(user) => {
                json!({"event": "trade:executed", "id": id, "userId": user_name(user), "data": data})
            }
            Target::State(Topic::Portfolio(user)) => {
                json!({"event": "portfolio:update", "id": id, "userId": user_name(user), "data": data})
            }
            Target::State(Topic::Quote(symbol)) => {
                json!({"event": "quote:update", "id": id, "symbol": symbol_name(symbol), "data": data})
            }
            Target::State(Topic::Market) => {
                json!({"event": "market:status", "id": id, "data": data})
            }
        }
    }

    /// Waits until each of these clients has a trade, or a topic's value of this number as the latest.
    pub(in crate::scenarios) fn until_have(
        &mut self,
        names: &[&str],
        target: Target,
        number: u32,
        seconds: u64,
    ) -> Played {
        let target = words(target);
        let what = format!("{names:?} have {target} {number}");
        self.until(seconds, &what, |known| {
            let mut names = names.iter();
            names.all(|name| known.client(name).has(&target, number))
        })
    }
}
