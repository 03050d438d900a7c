//! What befalls a cluster in a script, and what the oracle is told of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Over, Played, Stage};
use crate::judge::{Link, user_name};
use crate::net::{HostId, Network};
use crate::observation::Observation as Saw;
use crate::oracle::User;
use crate::redis::{Loss, Redis};
use crate::scenarios::{NetworkKind, store};
use crate::world::{NodeId, World};

/// How long after the way to Redis is open again what was lost is still to be sent again.
const MENDED: Duration = Duration::from_secs(3);

/// By when a connection over which something was lost for ever is given up.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// By when a node that was asked to leave is gone.
const GONE_SECONDS: u64 = 12;

/// How long an attempt to come in may take.
const IN_OR_OUT_SECONDS: u64 = 15;

/// When a user who was refused loads the page again.
const AGAIN_AFTER: Duration = Duration::from_secs(4);

/// One end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenarios) enum Spot {
    /// A node, by its place among them.
    Node(usize),
    /// The Redis.
    Redis,
    /// All that is at a site.
    Site(usize),
}

impl From<super::Site> for Spot {
    fn from(site: super::Site) -> Self {
        Self::Site(site.index)
    }
}

impl<W: Network> Stage<W> {
    fn hosts(&self, spot: Spot) -> Vec<HostId> {
        match spot {
            Spot::Node(_) => {
                let node = self.node_at(spot).map(|(node, _)| self.world.host_of(node));
                node.flatten().into_iter().collect()
            }
            Spot::Redis => vec![self.redis_host],
            Spot::Site(index) => {
                let site = self.sites.get(index);
                site.map_or_else(Vec::new, |site| vec![site.clients, site.feeds])
            }
        }
    }

    fn node_at(&self, spot: Spot) -> Option<(NodeId, &'static str)> {
        match spot {
            Spot::Node(index) => self.nodes.get(index).copied(),
            Spot::Redis | Spot::Site(_) => None,
        }
    }

    /// A node and something else lose each other, both ways.
    pub(in crate::scenarios) fn cut(&mut self, node: Spot, other: Spot) -> Played {
        let Some((_, name)) = self.node_at(node) else {
            return Ok(());
        };
        let over = if let Spot::Site(host) = other {
            let link = Link {
                host,
                node: name.to_owned(),
            };
            self.judge.disturb(&link)?;
            Over::Link(link)
        } else {
            Over::Trouble(self.judge.trouble(Some(name))?)
        };
        for here in self.hosts(node) {
            for there in self.hosts(other) {
                self.world.network().cut(here, there);
                self.world.network().cut(there, here);
            }
        }
        self.wrong.push((node, other, over));
        Ok(())
    }

    /// All that were cut off from each other reach each other again.
    pub(in crate::scenarios) fn heal(&mut self) {
        let now = self.world.now();
        for (node, other, over) in std::mem::take(&mut self.wrong) {
            for here in self.hosts(node) {
                for there in self.hosts(other) {
                    self.world.network().heal(here, there);
                }
            }
            let after = match (&over, self.on) {
                (Over::Trouble(_), _) => MENDED,
                // The oracle itself allows for what is sent again.
                (Over::Link(_), NetworkKind::Stack) => Duration::ZERO,
                (Over::Link(_), NetworkKind::Turmoil) => GIVEN_UP,
            };
            self.over.push((now + after, over));
        }
    }

    /// Asks a node to leave, as SIGTERM does.
    pub(in crate::scenarios) fn drain(&mut self, node: Spot) {
        self.on_node(node, World::drain);
    }

    /// Asks a node that leaves to be quick, as a second SIGTERM does.
    pub(in crate::scenarios) fn hurry(&mut self, node: Spot) {
        self.on_node(node, World::hurry);
    }

    /// Takes a node's power.
    pub(in crate::scenarios) fn power_off(&mut self, node: Spot) {
        self.on_node(node, World::power_off_node);
    }

    fn on_node(&mut self, node: Spot, act: impl FnOnce(&mut World<W>, NodeId)) {
        if let Some((node, _)) = self.node_at(node) {
            act(&mut self.world, node);
        }
    }

    /// Waits until a node that was asked to leave is gone.
    pub(in crate::scenarios) fn until_gone(&mut self, node: Spot) -> Played {
        let Some((node, name)) = self.node_at(node) else {
            return Ok(());
        };
        let limit = self.world.now() + Duration::from_secs(GONE_SECONDS);
        while self.world.host_of(node).is_some() {
            if self.world.now() >= limit {
                return Err(self.missing(format!("{name} was asked to leave and is still there")));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Starts a node again, as another process, and waits until it reaches Redis.
    pub(in crate::scenarios) fn start(&mut self, node: Spot) -> Played {
        let Some((node, name)) = self.node_at(node) else {
            return Ok(());
        };
        self.world.start_node(node)?;
        self.until_ready(name)
    }

    /// Redis stops, and loses its data if it is said so.
    pub(in crate::scenarios) fn stop_redis(&mut self, loss: Loss) -> Played {
        let trouble = self.judge.trouble(None)?;
        self.with_redis(move |redis, see| {
            redis.stop(loss);
            if loss == Loss::Everything {
                see(Saw::DataLost);
            }
        });
        let over = Over::Trouble(trouble);
        self.wrong.push((Spot::Redis, Spot::Redis, over));
        Ok(())
    }

    /// Redis is back.
    pub(in crate::scenarios) fn start_redis(&mut self) {
        self.with_redis(|redis, _| redis.start(Duration::ZERO));
        self.heal();
    }

    /// Redis loses all its data while it runs, the sessions of these users too.
    pub(in crate::scenarios) fn empty_redis(&mut self, users: &'static [User]) {
        self.with_redis(move |redis, see| {
            redis.remove_all();
            see(Saw::DataLost);
            for user in users {
                see(session(*user, false));
            }
        });
    }

    /// All of the log but its latest entries is dropped.
    pub(in crate::scenarios) fn trim_log(&mut self, keep: usize) {
        self.with_redis(move |redis, _| {
            redis.trim(store::LOG, keep);
        });
    }

    /// A user's session is there, or is not.
    pub(in crate::scenarios) fn set_session(&mut self, user: User, there: bool) {
        self.with_redis(move |redis, see| {
            if there {
                store::plant(redis, user);
            } else {
                redis.remove(&store::session_key(user));
            }
            see(session(user, there));
        });
    }

    /// Has the host of Redis do something with it, in its next turn.
    fn with_redis(&mut self, act: impl FnOnce(&Redis, &dyn Fn(Saw)) + Send + 'static) {
        let (redis, journal) = (self.redis.clone(), self.world.journal().clone());
        let task = async move {
            act(&redis, &|what| {
                journal.observe(&Arc::from(store::NAME), what);
            });
        };
        self.world.network().spawn(self.redis_host, task);
    }

    /// Waits until a client that was refused for good is in, who tries again every few seconds.
    pub(in crate::scenarios) fn until_let_in(&mut self, name: &str, seconds: u64) -> Played {
        let limit = self.world.now() + Duration::from_secs(seconds);
        loop {
            let refused = self.known.client(name).refused;
            self.until(
                IN_OR_OUT_SECONDS,
                "an answer to who tries to come in",
                |known| {
                    let client = known.client(name);
                    client.is_in || client.refused > refused
                },
            )?;
            if self.known.client(name).is_in {
                return Ok(());
            }
            if self.world.now() >= limit {
                let facts = format!("{name} is still refused after {seconds} s");
                return Err(self.missing(facts));
            }
            let again = self.world.now() + AGAIN_AFTER;
            while self.world.now() < again {
                self.step()?;
            }
            self.tell(name, crate::client::Command::Connect);
        }
    }
}

fn session(user: User, there: bool) -> Saw {
    let user = user_name(user);
    Saw::Session { user, there }
}
