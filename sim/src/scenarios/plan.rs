//! From a seed to everything that a run will do, before it does anything: the plan is printed first.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::client::{Call, Profile, TransportChoice};

/// The symbols that are quoted and watched.
const SYMBOLS: [&str; 6] = ["AAPL", "TSLA", "BTC-USD", "EURUSD=X", "^GSPC", "ES=F"];

/// Connections that a user has here; one more would be refused.
const CLIENTS_PER_USER: usize = 4;

/// Something that is done at a moment of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client host and the node lose each other, both ways.
    Cut(usize),
    /// What a client host sends is lost.
    CutUp(usize),
    /// What the node sends to a client host is lost.
    CutDown(usize),
    /// What a client host and the node send to each other waits.
    Hold(usize),
    /// A client host and the node reach each other again.
    Heal(usize),
    /// The node is asked to drain.
    Drain,
    /// The node's process is killed.
    Kill,
    /// The node's host loses its power.
    PowerOff,
    /// The node is started, if it does not run.
    Start,
    /// A client freezes for a while.
    Stall(usize, Duration),
    /// A client vanishes without a word.
    Vanish(usize),
    /// A client stops for good.
    Stop(usize),
    /// A client emits.
    Emit(usize, Call),
    /// A batch is published.
    Publish(usize, String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(host) => write!(f, "cut clients{host}"),
            Self::CutUp(host) => write!(f, "cut clients{host} to the node"),
            Self::CutDown(host) => write!(f, "cut the node to clients{host}"),
            Self::Hold(host) => write!(f, "hold clients{host}"),
            Self::Heal(host) => write!(f, "heal clients{host}"),
            Self::Drain => f.write_str("drain"),
            Self::Kill => f.write_str("kill"),
            Self::PowerOff => f.write_str("power off"),
            Self::Start => f.write_str("start"),
            Self::Stall(client, span) => write!(f, "stall c{client:02} for {span:?}"),
            Self::Vanish(client) => write!(f, "vanish c{client:02}"),
            Self::Stop(client) => write!(f, "stop c{client:02}"),
            Self::Emit(client, call) => {
                write!(f, "emit c{client:02} {} {}", call.name(), call.payload())
            }
            Self::Publish(publisher, body) => write!(f, "publish pub{publisher} {body}"),
        }
    }
}

/// All that a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who the clients are.
    pub clients: Vec<Profile>,
    /// What is done when, in order.
    pub actions: Vec<(Duration, Action)>,
    /// How long the run takes.
    pub length: Duration,
}

impl Plan {
    /// The plan of a seed, for clients on so many hosts and so many publishers.
    #[must_use]
    pub fn draw(seed: u64, clients: usize, hosts: usize, publishers: usize) -> Self {
        let mut draw = Draw {
            chance: StdRng::seed_from_u64(seed),
            actions: Vec::new(),
            length: Duration::from_secs(60),
        };
        let profiles = (0..clients).map(|index| draw.client(index)).collect();
        draw.faults(hosts);
        draw.nodes_ends();
        draw.clients_ways(clients);
        draw.publishes(clients.div_ceil(CLIENTS_PER_USER), publishers);
        draw.actions.sort_by_key(|(at, _)| *at);
        Self {
            clients: profiles,
            actions: draw.actions,
            length: draw.length,
        }
    }
}

struct Draw {
    chance: StdRng,
    actions: Vec<(Duration, Action)>,
    length: Duration,
}

impl Draw {
    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.chance.random_range(from..to))
    }

    fn symbols(&mut self) -> Vec<String> {
        let count = self.chance.random_range(1..=3);
        let symbols = SYMBOLS.sample(&mut self.chance, count);
        symbols.map(|symbol| (*symbol).to_owned()).collect()
    }

    fn client(&mut self, index: usize) -> Profile {
        let transport = match self.chance.random_range(0..4) {
            0 => TransportChoice::Polling,
            1 => TransportChoice::Upgrade,
            _ => TransportChoice::Websocket,
        };
        let mut wants = vec![Call::Portfolio, Call::Trades];
        wants.push(Call::Watch(self.symbols()));
        Profile {
            name: format!("c{index:02}"),
            user: format!("u{}", index / CLIENTS_PER_USER),
            session: format!("s{}", index / CLIENTS_PER_USER),
            transport,
            resumes: self.chance.random_bool(0.7),
            wants,
            after: self.millis(0, 2_000),
            seed: self.chance.random(),
        }
    }

    /// Faults between clients and the node, each healed, the last well before the end.
    fn faults(&mut self, hosts: usize) {
        for host in 0..hosts {
            let mut at = self.millis(3_000, 15_000);
            while at < self.length.mul_f64(0.7) {
                let fault = match self.chance.random_range(0..4) {
                    0 => Action::Cut(host),
                    1 => Action::CutUp(host),
                    2 => Action::CutDown(host),
                    _ => Action::Hold(host),
                };
                self.actions.push((at, fault));
                at += self.millis(200, 8_000);
                self.actions.push((at, Action::Heal(host)));
                at += self.millis(1_000, 15_000);
            }
        }
    }

    /// One hard end of the node and one soft one, each followed by a start.
    fn nodes_ends(&mut self) {
        let hard = self.millis(12_000, 25_000);
        let end = if self.chance.random_bool(0.5) {
            Action::Kill
        } else {
            Action::PowerOff
        };
        self.actions.push((hard, end));
        let back = self.millis(500, 5_000);
        self.actions.push((hard + back, Action::Start));
        let soft = self.millis(33_000, 40_000);
        self.actions.push((soft, Action::Drain));
        // The drain's deadline is 10 s.
        let back = self.millis(10_500, 12_000);
        self.actions.push((soft + back, Action::Start));
    }

    fn clients_ways(&mut self, clients: usize) {
        for client in 0..clients {
            let at = self.millis(5_000, 50_000);
            let action = match self.chance.random_range(0..10) {
                0 => Action::Stall(client, self.millis(1_000, 30_000)),
                1 => Action::Vanish(client),
                2 => Action::Stop(client),
                3 => Action::Emit(client, Call::Portfolio),
                4 => Action::Emit(client, Call::Unwatch(self.symbols())),
                5 | 6 => Action::Emit(client, Call::Watch(self.symbols())),
                _ => continue,
            };
            self.actions.push((at, action));
        }
    }

    fn publishes(&mut self, users: usize, publishers: usize) {
        let mut at = Duration::from_secs(1);
        let mut number = 0_u64;
        while at < self.length - Duration::from_secs(5) {
            let items = self.chance.random_range(1..=5);
            let batch: Vec<_> = (0..items)
                .map(|_| {
                    number += 1;
                    self.item(users, number)
                })
                .collect();
            let publisher = self.chance.random_range(0..publishers);
            let body = json!(batch).to_string();
            self.actions.push((at, Action::Publish(publisher, body)));
            at += self.millis(20, 180);
        }
    }

    fn item(&mut self, users: usize, number: u64) -> serde_json::Value {
        let id = format!("p{number}");
        let user = format!("u{}", self.chance.random_range(0..users));
        let symbol = SYMBOLS.choose(&mut self.chance);
        match self.chance.random_range(0..10) {
            0 => {
                json!({"event": "market:status", "id": id, "data": {"isOpen": number.is_multiple_of(2), "n": number}})
            }
            1..=3 => json!({"event": "trade:executed", "id": id, "userId": user,
                "data": {"id": id, "symbol": symbol, "side": "buy", "quantity": number, "price": 175.5}}),
            4 => json!({"event": "trade:failed", "id": id, "userId": user,
                "data": {"error": "no funds", "n": number}}),
            5 | 6 => json!({"event": "portfolio:update", "id": id, "userId": user,
                "data": {"totalValue": 125_000.75, "n": number}}),
            _ => json!({"event": "quote:update", "id": id, "symbol": symbol,
                "data": {"price": 175.5, "change": 2.5, "n": number}}),
        }
    }
}
