//! Clients and what they do, publishers and what they publish.

use std::time::Duration;

use rand::RngExt as _;
use serde_json::json;

use super::{Act, CLIENT_HOSTS, Random, emitter};
use crate::client::{Call, Command, Profile, TransportChoice};
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

impl<W: Network> Random<W> {
    pub(super) fn add_client(&mut self) {
        let index = self.clients.len();
        let users = self.plan.users;
        let user = User(u32::try_from(index).unwrap_or(0) % users);
        let transport = match self.chance.random_range(0..4) {
            0 => TransportChoice::Polling,
            1 => TransportChoice::Upgrade,
            _ => TransportChoice::Websocket,
        };
        let mut wants = vec![Call::Portfolio, Call::Trades];
        if self.percent(80) {
            wants.push(Call::Watch(self.symbols()));
        }
        let resume = self.plan.resume;
        let profile = Profile {
            name: name_of(index),
            user: user_name(user),
            session: format!("q{}", user.0),
            transport,
            resumes: self.percent(resume),
            wants,
            after: Duration::from_millis(self.chance.random_range(500..4_000)),
            seed: self.chance.random(),
        };
        let host = index % CLIENT_HOSTS;
        // Those who vanish may come and go, so that their places are taken for a while.
        let crowded = self.plan.clients.div_ceil(users as usize) >= self.plan.connections_max();
        self.judge
            .expect(&profile.name, host, crowded || index >= self.plan.clients);
        if let Some(at) = self.hosts.get(host).copied() {
            let remote = self.world.add_client(at, profile);
            self.clients.push(remote);
        }
    }

    fn symbols(&mut self) -> Vec<String> {
        let count = self.chance.random_range(1..=self.plan.symbols.min(3));
        let mut symbols: Vec<u32> = (0..count)
            .map(|_| self.chance.random_range(0..self.plan.symbols))
            .collect();
        symbols.sort_unstable();
        symbols.dedup();
        let symbols = symbols.into_iter();
        symbols.map(|symbol| symbol_name(Symbol(symbol))).collect()
    }

    pub(super) fn tell(&self, client: usize, command: Command) {
        if let Some(remote) = self.clients.get(client) {
            remote.tell(command);
        }
    }

    pub(super) fn connects(&self, client: usize) {
        self.tell(client, Command::Connect);
    }

    /// Some client does something.
    pub(super) fn client_acts(&mut self) {
        if !self.is_busy() {
            return;
        }
        let every = self.plan.act_every_ms;
        let ms = self.about(every);
        self.after(ms, Act::ClientActs);
        let client = self.chance.random_range(0..self.clients.len());
        let call = match self.chance.random_range(0..10) {
            0 | 1 => Call::Portfolio,
            2 => Call::Trades,
            3..=6 => Call::Watch(self.symbols()),
            _ => Call::Unwatch(self.symbols()),
        };
        self.tell(client, Command::Emit(call));
    }

    /// A client is gone for good without a word; another tab is opened instead.
    pub(super) fn vanishes(&mut self, client: usize) {
        self.tell(client, Command::Vanish);
        let ms = self.chance.random_range(1_000..5_000);
        self.after(ms, Act::Adds);
    }

    fn target(&mut self) -> Target {
        let user = User(self.chance.random_range(0..self.plan.users));
        let trades = self.plan.trades;
        if self.percent(trades) {
            return Target::Trade(user);
        }
        let symbol = Symbol(self.chance.random_range(0..self.plan.symbols));
        Target::State(match self.chance.random_range(0..10) {
            0 => Topic::Market,
            1..=4 => Topic::Portfolio(user),
            _ => Topic::Quote(symbol),
        })
    }

    fn next_item(&mut self) -> Item {
        self.items += 1;
        Item(self.items)
    }

    pub(super) fn publishes(&mut self) {
        if !self.is_busy() {
            return;
        }
        let every = self.plan.publish_every_ms;
        let ms = self.about(every);
        self.after(ms, Act::Publishes);
        let count = self.chance.random_range(1..=self.plan.batch_max);
        let items: Vec<_> = (0..count).map(|_| self.published()).collect();
        let feed = self.chance.random_range(0..self.feeds.len());
        if let Some(feed) = self.feeds.get(feed) {
            feed.publish(json!(items).to_string());
        }
    }

    fn published(&mut self) -> serde_json::Value {
        let target = self.target();
        let item = self.next_item();
        let padding = "x".repeat(self.chance.random_range(0..self.plan.padding_max));
        let data = json!({"n": item.0, "p": padding, "error": "no funds"});
        let (event, id) = (emitter::event(target), format!("k{}", item.0));
        match target {
            Target::State(Topic::Market) => json!({"event": event, "id": id, "data": data}),
            Target::State(Topic::Portfolio(user)) | Target::Trade(user) => {
                json!({"event": event, "id": id, "userId": user_name(user), "data": data})
            }
            Target::State(Topic::Quote(symbol)) => {
                json!({"event": event, "id": id, "symbol": symbol_name(symbol), "data": data})
            }
        }
    }

    pub(super) fn emits(&mut self) -> Verdict {
        if !self.is_busy() {
            return Ok(());
        }
        let every = self.plan.publish_every_ms * 5;
        let ms = self.about(every);
        self.after(ms, Act::Emits);
        let first = self.target();
        let mut targets = vec![first];
        if self.percent(30) && first != Target::State(Topic::Market) {
            // Several rooms of one kind of event.
            for _ in 0..self.chance.random_range(1..4) {
                let target = self.target();
                if emitter::event(target) == emitter::event(first) && !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        let parts: Vec<Emission> = targets
            .into_iter()
            .map(|target| Emission {
                item: self.next_item(),
                target,
            })
            .collect();
        let padding = self.chance.random_range(0..self.plan.padding_max);
        let (channel, message) = emitter::message(&parts, padding);
        self.judge.emitted(&parts)?;
        self.with_redis(move |redis, _| {
            redis.publish(&channel, message);
        });
        Ok(())
    }
}
