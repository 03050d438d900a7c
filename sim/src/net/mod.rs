//! Networks made of simulated hosts, behind one trait, so that the world above does not know which one
//! it runs on.
//!
//! [`stack`] is the main one: TCP with retransmission and real backpressure. [`turmoil`] is a second opinion
//! with another idea of TCP. What goes over a network is the server's own [`Net`]; nothing here looks
//! into what is sent.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use tradewire_server::net::Net;

use crate::journal::Journal;

mod directory;

pub mod host;
pub mod stack;
pub mod turmoil;

pub use host::{HostClock, HostId, HostTime};

/// The plug of one connection, for a host that vanishes without a word.
pub trait Plug: Send + 'static {
    /// From now on nothing of this connection reaches the other side, and nothing comes from there.
    fn pull(&self);
}

/// A stream whose plug can be pulled.
pub trait Plugged {
    /// Its plug, which outlives it.
    fn plug(&self) -> Box<dyn Plug>;
}

/// How long a packet travels: anything from `min` to `max`, never overtaking another of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The shortest time.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// Hosts, what runs on them, and what lies between them.
///
/// Time moves only in [`Self::step`]. Within a tick every host runs by itself, in the order in which
/// they were added; what one sends reaches others in a later tick.
pub trait Network {
    /// What runs on a host listens and connects with this.
    type Net: Net<Stream: Plugged>;

    /// The run's log, which knows which host is running.
    fn journal(&self) -> &Journal;

    /// The handle for what runs on any host.
    fn net(&self) -> Self::Net;

    /// Adds a host under a new address; from now on `name` is this host.
    ///
    /// # Errors
    /// When no runtime can be made for it.
    fn add_host(&mut self, name: &str, time: HostTime) -> std::io::Result<HostId>;

    /// The clock of a host, for what will run there.
    fn clock(&self, host: HostId) -> HostClock;

    /// A host's address.
    fn address(&self, host: HostId) -> IpAddr;

    /// Starts `task` on a host. Nothing happens when the host is off.
    fn spawn(&mut self, host: HostId, task: impl Future<Output = ()> + Send + 'static);

    /// Lets one tick pass.
    fn step(&mut self);

    /// How much time has passed since the beginning.
    fn now(&self) -> Duration;

    /// Ends what runs on a host at once, as the end of a process does: its connections are closed or
    /// reset, and who connects is refused.
    fn crash(&mut self, host: HostId);

    /// Takes a host's power: it and its connections vanish without a word.
    fn power_off(&mut self, host: HostId);

    /// How long packets travel between two hosts, both ways.
    fn set_latency(&mut self, a: HostId, b: HostId, latency: Latency);

    /// Loses packets from one host to another by chance, this many in a million.
    fn set_loss(&mut self, from: HostId, to: HostId, per_million: u32);

    /// Keeps what two hosts send to each other, both ways, until [`Self::heal`].
    fn hold(&mut self, a: HostId, b: HostId);

    /// Loses what one host sends to another, until [`Self::heal`].
    fn cut(&mut self, from: HostId, to: HostId);

    /// Opens the way between two hosts again, both ways: what was held arrives, what was lost is lost.
    fn heal(&mut self, a: HostId, b: HostId);
}
