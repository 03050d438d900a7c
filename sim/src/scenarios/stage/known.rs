//! What was seen of each actor so far, for scripts that wait for it.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "most of what is seen is nothing that a script waits for"
)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::journal::Seen;
use crate::observation::{Observation as Saw, Reason};

/// Everyone, by name.
#[derive(Debug, Default)]
pub(in crate::scenarios) struct Known {
    clients: BTreeMap<Arc<str>, Client>,
    nodes: BTreeMap<Arc<str>, Node>,
    publishers: BTreeMap<Arc<str>, Publisher>,
}

/// One client.
#[derive(Debug)]
pub(in crate::scenarios) struct Client {
    /// It is connected.
    pub(in crate::scenarios) is_in: bool,
    /// How often it was let in.
    pub(in crate::scenarios) entered: usize,
    /// How often it was refused for good.
    pub(in crate::scenarios) refused: usize,
    /// How its connections ended.
    pub(in crate::scenarios) ended: Vec<Reason>,
    /// The numbers of its trades, as they came.
    pub(in crate::scenarios) trades: Vec<u32>,
    /// The number of each topic's latest value.
    pub(in crate::scenarios) values: BTreeMap<String, u32>,
    /// What `resume` said.
    pub(in crate::scenarios) resumed: Vec<bool>,
    /// How often it was told of a shutdown.
    pub(in crate::scenarios) told: usize,
    /// Subscriptions that were confirmed.
    pub(in crate::scenarios) confirmed: usize,
}

impl Client {
    const UNSEEN: Self = Self {
        is_in: false,
        entered: 0,
        refused: 0,
        ended: Vec::new(),
        trades: Vec::new(),
        values: BTreeMap::new(),
        resumed: Vec::new(),
        told: 0,
        confirmed: 0,
    };

    /// Whether it has a target's item of this number: that trade, or that value as the latest.
    pub(in crate::scenarios) fn has(&self, target: &str, number: u32) -> bool {
        if target == TRADES {
            self.trades.contains(&number)
        } else {
            self.values.get(target) == Some(&number)
        }
    }
}

/// One node, over all its lives.
#[derive(Debug)]
pub(in crate::scenarios) struct Node {
    /// It says that it reaches Redis.
    pub(in crate::scenarios) reaches: bool,
    /// How often it ended by itself.
    pub(in crate::scenarios) exited: usize,
    /// How often it said each thing.
    pub(in crate::scenarios) said: BTreeMap<String, usize>,
}

impl Node {
    const UNSEEN: Self = Self {
        reaches: false,
        exited: 0,
        said: BTreeMap::new(),
    };

    /// How often it said something that begins so.
    pub(in crate::scenarios) fn said(&self, words: &str) -> usize {
        let said = self.said.iter();
        said.filter(|(said, _)| said.starts_with(words))
            .map(|(_, count)| count)
            .sum()
    }
}

/// One publisher.
#[derive(Debug)]
pub(in crate::scenarios) struct Publisher {
    /// Batches that were taken.
    pub(in crate::scenarios) taken: usize,
    /// Attempts that were refused for now.
    pub(in crate::scenarios) refused: usize,
    /// Batches that it was handed.
    pub(super) handed: usize,
    /// What is under way was turned away, and is tried again and again.
    turned: bool,
}

impl Publisher {
    const UNSEEN: Self = Self {
        taken: 0,
        refused: 0,
        handed: 0,
        turned: false,
    };
}

/// What trades are called among targets.
pub(super) const TRADES: &str = "trades";

/// What stands in a payload that a script published.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said<'a> {
    /// Which of its target it is.
    pub(super) k: u32,
    #[serde(borrow, default)]
    symbol: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) event_id: Option<Cow<'a, str>>,
}

impl Said<'_> {
    /// Of which target, if an event of this name brought it.
    pub(super) fn target(&self, event: &str) -> Option<String> {
        Some(match event {
            "trade:executed" | "trade:failed" => TRADES.to_owned(),
            "portfolio:update" => "portfolio".to_owned(),
            "market:status" => "market".to_owned(),
            "quote:update" => self.symbol.as_deref()?.to_owned(),
            _ => return None,
        })
    }
}

impl Known {
    /// What is known of a client.
    pub(in crate::scenarios) fn client(&self, name: &str) -> &Client {
        const UNSEEN: &Client = &Client::UNSEEN;
        self.clients.get(name).unwrap_or(UNSEEN)
    }

    /// What is known of a node.
    pub(in crate::scenarios) fn node(&self, name: &str) -> &Node {
        const UNSEEN: &Node = &Node::UNSEEN;
        self.nodes.get(name).unwrap_or(UNSEEN)
    }

    /// What is known of a publisher.
    pub(in crate::scenarios) fn publisher(&self, name: &str) -> &Publisher {
        const UNSEEN: &Publisher = &Publisher::UNSEEN;
        self.publishers.get(name).unwrap_or(UNSEEN)
    }

    /// A publisher was handed a batch.
    pub(super) fn handed(&mut self, name: &str) {
        let publisher = self.publishers.entry(Arc::from(name));
        publisher.or_insert(Publisher::UNSEEN).handed += 1;
    }

    /// Whether every batch was taken, but for those that cannot be for now.
    pub(super) fn publishers_rest(&self) -> bool {
        let mut publishers = self.publishers.values();
        publishers.all(|publisher| publisher.turned || publisher.taken == publisher.handed)
    }

    pub(super) fn take(&mut self, seen: &Seen) {
        let who = || Arc::clone(&seen.who);
        match &seen.what {
            Saw::Connected { .. }
            | Saw::ConnectError { .. }
            | Saw::Event { .. }
            | Saw::Disconnected { .. }
            | Saw::Roamed
            | Saw::Vanished => {
                let client = self.clients.entry(who());
                client.or_insert(Client::UNSEEN).take(&seen.what);
            }
            Saw::Started | Saw::Exited { .. } | Saw::Killed | Saw::PoweredOff => {
                let node = self.nodes.entry(who()).or_insert(Node::UNSEEN);
                node.reaches = false;
                node.exited += usize::from(seen.what == Saw::Exited { error: None });
            }
            Saw::Noted { message, .. } => {
                let node = self.nodes.entry(who()).or_insert(Node::UNSEEN);
                if message.starts_with("not degraded") {
                    node.reaches = true;
                } else if message.starts_with("degraded") {
                    node.reaches = false;
                }
                *node.said.entry(message.clone()).or_default() += 1;
            }
            Saw::Answered { status, .. } => {
                let publisher = self.publishers.entry(who()).or_insert(Publisher::UNSEEN);
                publisher.turned = *status != 202;
                if publisher.turned {
                    publisher.refused += 1;
                } else {
                    publisher.taken += 1;
                }
            }
            _ => {}
        }
    }
}

impl Client {
    fn take(&mut self, what: &Saw) {
        match what {
            Saw::Connected { .. } => {
                self.is_in = true;
                self.entered += 1;
            }
            Saw::ConnectError { .. } => self.refused += 1,
            Saw::Disconnected { reason } => {
                self.is_in = false;
                self.ended.push(*reason);
            }
            Saw::Roamed | Saw::Vanished => self.is_in = false,
            Saw::Event { name, payload } => self.event(name, payload),
            _ => {}
        }
    }

    fn event(&mut self, name: &str, payload: &str) {
        match name {
            "resume" => self.resumed.push(payload.contains("\"recovered\":true")),
            "server:shutdown" => self.told += 1,
            "subscription:confirmed" => self.confirmed += 1,
            _ => {
                let Ok(said) = serde_json::from_str::<Said<'_>>(payload) else {
                    return;
                };
                match said.target(name) {
                    Some(target) if target == TRADES => self.trades.push(said.k),
                    Some(target) => {
                        self.values.insert(target, said.k);
                    }
                    None => {}
                }
            }
        }
    }
}
