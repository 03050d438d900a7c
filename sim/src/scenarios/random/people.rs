//! Clients and what they do, publishers and what they publish.

use std::ops::Range;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::chance::{Draws, about, percent};
use super::{Act, CLIENT_HOSTS, Random, emitter};
use crate::client::{Call, Command, Profile, Remote, TransportChoice};
use crate::judge::{Emission, symbol_name, user_name};
use crate::net::Network;
use crate::oracle::{Item, Symbol, Target, Topic, User, Verdict};

fn name_of(client: usize) -> String {
    format!("c{client:02}")
}

/// The client of this name.
pub(super) fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix('c')?.parse().ok()
}

/// A client, or one that is left out.
pub(super) struct Place {
    remote: Option<Remote>,
    /// What befalls it.
    chance: StdRng,
}

impl<W: Network> Random<W> {
    pub(super) fn add_client(&mut self) {
        let index = self.clients.len();
        let mut own = self.chance_of(Draws::Client, index as u64);
        let chance = &mut own;
        let users = self.plan.users;
        let user = User(u32::try_from(index).unwrap_or(0) % users);
        let transport = match chance.random_range(0..4) {
            0 => TransportChoice::Polling,
            1 => TransportChoice::Upgrade,
            _ => TransportChoice::Websocket,
        };
        let mut wants = vec![Call::Portfolio, Call::Trades];
        if percent(chance, 80) {
            wants.push(Call::Watch(self.symbols(chance)));
        }
        let profile = Profile {
            name: name_of(index),
            user: user_name(user),
            session: format!("q{}", user.0),
            transport,
            resumes: percent(chance, self.plan.resume),
            wants,
            after: Duration::from_millis(chance.random_range(500..4_000)),
            seed: chance.random(),
        };
        let left_out = self.without.clients.contains(index as u64);
        let remote = self
            .size
            .clients
            .counts(left_out)
            .then(|| self.remote(index, profile))
            .flatten();
        self.clients.push(Place {
            remote,
            chance: own,
        });
    }

    fn remote(&mut self, index: usize, profile: Profile) -> Option<Remote> {
        let host = index % CLIENT_HOSTS;
        // Those who vanish may come and go, so that their places are taken for a while.
        let users = self.plan.users as usize;
        let crowded = self.plan.clients.div_ceil(users) >= self.plan.connections_max();
        self.judge
            .expect(&profile.name, host, crowded || index >= self.plan.clients);
        let at = self.hosts.get(host).copied()?;
        Some(self.world.add_client(at, profile))
    }

    fn symbols(&self, chance: &mut StdRng) -> Vec<String> {
        let count = chance.random_range(1..=self.plan.symbols.min(3));
        let mut symbols: Vec<u32> = (0..count)
            .map(|_| chance.random_range(0..self.plan.symbols))
            .collect();
        symbols.sort_unstable();
        symbols.dedup();
        let symbols = symbols.into_iter();
        symbols.map(|symbol| symbol_name(Symbol(symbol))).collect()
    }

    pub(super) fn tell(&self, client: usize, command: Command) {
        let place = self.clients.get(client);
        if let Some(remote) = place.and_then(|place| place.remote.as_ref()) {
            remote.tell(command);
        }
    }

    pub(super) fn connects(&self, client: usize) {
        self.tell(client, Command::Connect);
    }

    /// Does something later to a client, or for it.
    pub(super) fn later(&mut self, client: usize, ms: Range<u64>, act: Act) {
        if let Some(place) = self.clients.get_mut(client) {
            let ms = place.chance.random_range(ms);
            self.after(ms, act);
        }
    }

    /// Some client does something.
    pub(super) fn client_acts(&mut self) {
        if !self.is_busy() {
            return;
        }
        let number = self.size.calls.drawn;
        let mut own = self.chance_of(Draws::Calls, number + 1);
        let chance = &mut own;
        let ms = about(chance, self.plan.act_every_ms);
        self.after(ms, Act::ClientActs);
        if !self.size.calls.counts(self.without.calls.contains(number)) {
            return;
        }
        let client = chance.random_range(0..self.clients.len());
        let call = match chance.random_range(0..10) {
            0 | 1 => Call::Portfolio,
            2 => Call::Trades,
            3..=6 => Call::Watch(self.symbols(chance)),
            _ => Call::Unwatch(self.symbols(chance)),
        };
        self.tell(client, Command::Emit(call));
    }

    /// A client is gone for good without a word; another tab is opened instead.
    pub(super) fn vanishes(&mut self, client: usize) {
        self.tell(client, Command::Vanish);
        self.later(client, 1_000..5_000, Act::Adds);
    }

    fn target(&self, chance: &mut StdRng) -> Target {
        let user = User(chance.random_range(0..self.plan.users));
        if percent(chance, self.plan.trades) {
            return Target::Trade(user);
        }
        let symbol = Symbol(chance.random_range(0..self.plan.symbols));
        Target::State(match chance.random_range(0..10) {
            0 => Topic::Market,
            1..=4 => Topic::Portfolio(user),
            _ => Topic::Quote(symbol),
        })
    }

    /// The next item, unless it is left out: then its number is passed over.
    fn next_item(&mut self) -> Option<Item> {
        let number = self.size.items.drawn + 1;
        let left_out = self.without.items.contains(number);
        let item = Item(u32::try_from(number).unwrap_or(u32::MAX));
        self.size.items.counts(left_out).then_some(item)
    }

    pub(super) fn publishes(&mut self, ordinal: u64) {
        if !self.is_busy() {
            return;
        }
        let mut own = self.chance_of(Draws::Publishes, ordinal + 1);
        let chance = &mut own;
        let ms = about(chance, self.plan.publish_every_ms);
        self.after(ms, Act::Publishes(ordinal + 1));
        let count = chance.random_range(1..=self.plan.batch_max);
        let items: Vec<_> = (0..count).filter_map(|_| self.published(chance)).collect();
        let feed = chance.random_range(0..self.feeds.len());
        if let Some(feed) = self.feeds.get(feed).filter(|_| !items.is_empty()) {
            feed.publish(json!(items).to_string());
        }
    }

    fn published(&mut self, chance: &mut StdRng) -> Option<serde_json::Value> {
        let target = self.target(chance);
        let padding = "x".repeat(chance.random_range(0..self.plan.padding_max));
        let item = self.next_item()?;
        let data = json!({"n": item.0, "p": padding, "error": "no funds"});
        let (event, id) = (emitter::event(target), format!("k{}", item.0));
        Some(match target {
            Target::State(Topic::Market) => json!({"event": event, "id": id, "data": data}),
            Target::State(Topic::Portfolio(user)) | Target::Trade(user) => {
                json!({"event": event, "id": id, "userId": user_name(user), "data": data})
            }
            Target::State(Topic::Quote(symbol)) => {
                json!({"event": event, "id": id, "symbol": symbol_name(symbol), "data": data})
            }
        })
    }

    pub(super) fn emits(&mut self, ordinal: u64) -> Verdict {
        if !self.is_busy() {
            return Ok(());
        }
        let mut own = self.chance_of(Draws::Emissions, ordinal + 1);
        let chance = &mut own;
        let ms = about(chance, self.plan.publish_every_ms * 5);
        self.after(ms, Act::Emits(ordinal + 1));
        let first = self.target(chance);
        let mut targets = vec![first];
        if percent(chance, 30) && first != Target::State(Topic::Market) {
            // Several rooms of one kind of event.
            for _ in 0..chance.random_range(1..4) {
                let target = self.target(chance);
                if emitter::event(target) == emitter::event(first) && !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        let mut parts = Vec::new();
        for target in targets {
            if let Some(item) = self.next_item() {
                parts.push(Emission { item, target });
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        let padding = chance.random_range(0..self.plan.padding_max);
        let (channel, message) = emitter::message(&parts, padding);
        self.judge.emitted(&parts)?;
        self.with_redis(move |redis, _| {
            redis.publish(&channel, message);
        });
        Ok(())
    }
}
