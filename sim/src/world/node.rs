//! Server nodes: started, drained, killed and started again, each time on a host of its own.
//!
//! A node that comes back is a new process on a new address, as an orchestrator would have it; only
//! its name and settings stay.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngExt as _;
use tokio::sync::{oneshot, watch};
use tradewire_server::config::{self, ConfigError, Secret};
use tradewire_server::{Handles, Seeds, Shutdown, run};

use crate::chance::generator;
use crate::http_client::PORT;
use crate::net::{HostId, HostTime, Network};
use crate::observation::Observation;
use crate::world::World;

/// Why a node could not be added.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its settings are not those of a server.
    #[error("the node's settings are wrong: {0}")]
    Settings(#[from] ConfigError),
    /// There is no host for it.
    #[error(transparent)]
    Host(#[from] io::Error),
}

/// One node, through all of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// How a node runs.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// What it is called, also on the network.
    pub name: String,
    /// What publishers must bring.
    pub publish_token: String,
    /// The server's own settings, as flags: `--redis-url=redis://redis:6379`. Where it listens, whom it
    /// believes and the token are settled; anything else may be given.
    pub flags: Vec<String>,
    /// Its clocks.
    pub time: HostTime,
}

/// What is known of a node.
pub(super) struct Node {
    settings: NodeSettings,
    who: Arc<str>,
    /// How many there were.
    lives: u32,
    life: Option<Life>,
}

/// One process.
struct Life {
    host: HostId,
    shutdown: watch::Sender<Shutdown>,
    exited: Arc<AtomicBool>,
}

impl<W: Network> World<W> {
    /// Starts a node and takes it into rotation.
    ///
    /// # Errors
    /// When its settings are wrong, or there is no host for it.
    pub fn add_node(&mut self, settings: NodeSettings) -> Result<NodeId, NodeError> {
        self.nodes.push(Node {
            who: Arc::from(settings.name.as_str()),
            settings,
            lives: 0,
            life: None,
        });
        let node = NodeId(self.nodes.len() - 1);
        self.start_node(node)?;
        Ok(node)
    }

    /// Starts a node that is not running, on a new host, and takes it into rotation.
    ///
    /// # Errors
    /// When its settings are wrong, or there is no host for it.
    pub fn start_node(&mut self, node: NodeId) -> Result<(), NodeError> {
        if self.node(node).life.is_some() {
            return Ok(());
        }
        let Node {
            settings,
            who,
            lives,
            ..
        } = self.node(node);
        // Of each life its own, so that one life less moves no other.
        let mut chance = generator(self.seed, node.0 as u64, (*lives).into());
        let seeds = Seeds {
            engine: chance.random(),
            instance: chance.random(),
            epoch: chance.random(),
            demo: chance.random(),
        };
        let (settings, who) = (settings.clone(), Arc::clone(who));
        let config = config::parse(flags(&settings), |_| None)?;
        let host = self
            .network
            .add_host(&settings.name, settings.time.clone())?;
        let recordings = self.journal.recordings();
        let recording = recordings.recording(&settings.name, self.node(node).lives);
        self.node_mut(node).lives += 1;
        let (shutdown, asked) = watch::channel(Shutdown::No);
        let (started, listening) = oneshot::channel();
        let exited = Arc::new(AtomicBool::new(false));
        let server = run(
            self.network.net(),
            self.network.clock(host),
            config,
            Secret::new(&settings.publish_token),
            seeds,
            Handles {
                started,
                shutdown: asked,
                recording: Some(recording),
            },
        );
        self.journal.observe(&who, Observation::Started);
        let (journal, ended) = (self.journal.clone(), Arc::clone(&exited));
        let told = (journal.clone(), Arc::clone(&who));
        self.network.spawn(host, async move {
            if let Ok(address) = listening.await {
                told.0.observe(&told.1, Observation::Listening { address });
            }
        });
        self.network.spawn(host, async move {
            let error = server.await.err().map(|error| error.to_string());
            journal.observe(&who, Observation::Exited { error });
            ended.store(true, Ordering::Relaxed);
        });
        self.balancer.add(&settings.name);
        self.node_mut(node).life = Some(Life {
            host,
            shutdown,
            exited,
        });
        Ok(())
    }

    /// The host of a node, while it runs.
    #[must_use]
    pub fn host_of(&self, node: NodeId) -> Option<HostId> {
        self.node(node).life.as_ref().map(|life| life.host)
    }

    /// Where a node listens, while it runs.
    #[must_use]
    pub fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        let host = self.host_of(node)?;
        Some(SocketAddr::new(self.network.address(host), PORT))
    }

    /// The clocks of a node, also those of its next life.
    #[must_use]
    pub fn time_of(&self, node: NodeId) -> &HostTime {
        &self.node(node).settings.time
    }

    /// Asks a node to drain, as SIGTERM does, and takes it out of rotation.
    pub fn drain(&mut self, node: NodeId) {
        let Node {
            who,
            life,
            settings,
            ..
        } = self.node(node);
        if let Some(life) = life {
            self.journal.observe(who, Observation::Draining);
            self.balancer.remove(&settings.name);
            // One that has just exited needs no asking.
            let _ = life.shutdown.send(Shutdown::Drain);
        }
    }

    /// Asks a node to end its drain, as a second SIGTERM does.
    pub fn hurry(&mut self, node: NodeId) {
        let Node {
            who,
            life,
            settings,
            ..
        } = self.node(node);
        if let Some(life) = life {
            self.journal.observe(who, Observation::Hurried);
            self.balancer.remove(&settings.name);
            // One that has just exited needs no asking.
            let _ = life.shutdown.send(Shutdown::Now);
        }
    }

    /// Kills a node's process, as SIGKILL does. It stays in rotation: a balancer learns of it late.
    pub fn kill(&mut self, node: NodeId) {
        if let Some(host) = self.end(node, Observation::Killed) {
            self.network.crash(host);
        }
    }

    /// Takes the power of a node's host. It stays in rotation: a balancer learns of it late.
    pub fn power_off_node(&mut self, node: NodeId) {
        if let Some(host) = self.end(node, Observation::PoweredOff) {
            self.network.power_off(host);
        }
    }

    fn end(&mut self, node: NodeId, how: Observation) -> Option<HostId> {
        let host = self.node_mut(node).life.take()?.host;
        let who = Arc::clone(&self.node(node).who);
        self.journal.observe(&who, how);
        Some(host)
    }

    /// Ends the processes of servers that have returned: what they left open is closed.
    pub(super) fn bury(&mut self) {
        for node in &mut self.nodes {
            let exited = |life: &mut Life| life.exited.load(Ordering::Relaxed);
            if let Some(life) = node.life.take_if(exited) {
                self.network.crash(life.host);
            }
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "ids are handed out by add_node alone, and nodes are never removed"
    )]
    fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.0]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "ids are handed out by add_node alone, and nodes are never removed"
    )]
    fn node_mut(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0]
    }
}

/// The command line of the server.
fn flags(settings: &NodeSettings) -> Vec<OsString> {
    let settled = ["--host=0.0.0.0".to_owned(), format!("--port={PORT}")];
    settled
        .into_iter()
        .chain(settings.flags.iter().cloned())
        .map(OsString::from)
        .collect()
}
