//! The world: nodes, clients and publishers as actors on hosts, and the hand that moves them.
//!
//! A node is the unchanged server on a host of its own. Clients share a few hosts. The world does what a
//! scenario tells it and lets time pass; what should have happened is for others to judge.

mod node;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tracing::subscriber::DefaultGuard;
use tradewire_server::net::{Listener as _, Net};

use crate::balancer::Balancer;
use crate::client::{Profile, Remote, Session};
use crate::journal::Journal;
use crate::metrics_reader;
use crate::net::{HostId, HostTime, Network};
use crate::publisher::{Feed, Publisher, Publishing};
use crate::tracing_lines::JournalSubscriber;

pub use node::{NodeError, NodeId, NodeSettings};

use node::Node;

/// Everything that there is in a run.
pub struct World<W: Network> {
    network: W,
    journal: Journal,
    balancer: Balancer,
    nodes: Vec<Node>,
    /// What the lives of nodes are seeded from.
    seed: u64,
    /// The server's log lines are this run's for as long as it lasts.
    _lines: DefaultGuard,
}

impl<W: Network> World<W> {
    /// A world without anybody in it, whose chance is drawn from `seed`. The server's log lines down to
    /// `lines` go to the journal.
    pub fn new(seed: u64, network: W, lines: tracing::Level) -> Self {
        let journal = network.journal().clone();
        let subscriber = JournalSubscriber::new(journal.clone(), lines);
        Self {
            network,
            journal,
            balancer: Balancer::default(),
            nodes: Vec::new(),
            seed,
            _lines: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The run's log.
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where clients and publishers are sent.
    pub const fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// The network, for its faults.
    pub const fn network(&mut self) -> &mut W {
        &mut self.network
    }

    /// How much time has passed.
    pub fn now(&self) -> Duration {
        self.network.now()
    }

    /// Lets one tick pass.
    pub fn step(&mut self) {
        self.network.step();
        self.bury();
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now() + span;
        while self.now() < until {
            self.step();
        }
    }

    /// Lets time pass until something is so, for `limit` at most. Whether it became so.
    pub fn run_until(&mut self, limit: Duration, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now() + limit;
        while !is_so(self) {
            if self.now() >= until {
                return false;
            }
            self.step();
        }
        true
    }

    /// A host for clients, publishers or anything else, such as a Redis.
    ///
    /// # Errors
    /// When the network has no more hosts.
    pub fn add_host(&mut self, name: &str) -> io::Result<HostId> {
        self.network.add_host(name, HostTime::default())
    }

    /// Has a host serve every connection to a port, as a Redis does. What must outlive the host, `serve`
    /// keeps outside of it; a service that comes back does so on a new host of the same name.
    pub fn serve<F, S>(&mut self, host: HostId, port: u16, mut serve: S)
    where
        F: Future<Output = ()> + Send + 'static,
        S: FnMut(<W::Net as Net>::Stream) -> F + Send + 'static,
    {
        let (net, journal) = (self.network.net(), self.journal.clone());
        self.network.spawn(host, async move {
            let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            let served = async move {
                let mut listener = net.bind(address).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::spawn(serve(stream));
                }
            };
            let served: io::Result<Infallible> = served.await;
            let Err(error) = served;
            journal.line_of_host(format_args!("cannot serve on {address}: {error}"));
        });
    }

    /// Puts a client on a host.
    pub fn add_client(&mut self, host: HostId, profile: Profile) -> Remote {
        let (remote, commands) = Remote::new();
        let session = Session::new(
            profile,
            self.network.net(),
            self.journal.clone(),
            self.balancer.clone(),
            commands,
        );
        self.network.spawn(host, session.run());
        remote
    }

    /// Puts a publisher on a host.
    pub fn add_publisher(&mut self, host: HostId, publishing: Publishing) -> Feed {
        let balancer = self.balancer.clone();
        self.add_publisher_behind(host, publishing, balancer)
    }

    /// Puts a publisher on a host that is sent to nodes by a balancer of its own.
    pub fn add_publisher_behind(
        &mut self,
        host: HostId,
        publishing: Publishing,
        balancer: Balancer,
    ) -> Feed {
        let (publisher, feed) = Publisher::new(
            publishing,
            self.network.net(),
            self.journal.clone(),
            balancer,
        );
        self.network.spawn(host, publisher.run());
        feed
    }

    /// Has what a node says of its memory read every second, from a host.
    pub fn read_metrics(&mut self, host: HostId, node: &str) {
        let (net, journal) = (self.network.net(), self.journal.clone());
        let reading = metrics_reader::read(net, node.to_owned(), journal);
        self.network.spawn(host, reading);
    }
}
