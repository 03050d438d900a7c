//! The second network: the `turmoil` crate, for another opinion on what the server does.
//!
//! Its TCP is simpler than the main one's, and some faults look different on it: a connection over which
//! anything was lost is dead for ever, connecting to a host that is cut off is refused at once, loss and
//! speed of clocks are not to be had per direction and per host, and a pulled plug is a closed
//! connection. What is shown on both networks does not hang on either's idea of TCP.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use ::turmoil::net::{TcpListener, TcpStream};
use ::turmoil::{Builder, Sim};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tradewire_server::net::{Listener, Net};
use tradewire_sim_entropy::{AlreadySimulated, Simulated};

use crate::journal::Journal;
use crate::net::directory::Directory;
use crate::net::host::EPOCH;
use crate::net::{HostClock, HostId, HostTime, Latency, Network, Plug, Plugged};

/// Segments that may wait in one direction of a connection; its default is too few for a herd.
const SEGMENTS_MAX: usize = 65_536;

/// Longer than any run.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Host {
    address: IpAddr,
    tasks: mpsc::UnboundedSender<Task>,
    running: bool,
    dark: bool,
    time: HostTime,
    booted: Instant,
    booted_after: Duration,
}

/// Simulated hosts on `turmoil`'s network.
pub struct Turmoil {
    sim: Sim<'static>,
    simulated: Simulated,
    net: TurmoilNet,
    journal: Journal,
    hosts: Vec<Host>,
}

impl Turmoil {
    /// An empty network, whose chance is all drawn from `seed`, on this thread.
    ///
    /// # Errors
    /// When there is a simulation on this thread already.
    pub fn new(
        seed: u64,
        tick: Duration,
        latency: Latency,
        journal: Journal,
    ) -> Result<Self, AlreadySimulated> {
        let mut chance = StdRng::seed_from_u64(seed);
        let simulated = Simulated::begin(chance.random(), EPOCH)?;
        let sim = Builder::new()
            .rng_seed(chance.random())
            .epoch(UNIX_EPOCH + EPOCH)
            .tick_duration(tick)
            .simulation_duration(LENGTH_MAX)
            .min_message_latency(latency.min)
            .max_message_latency(latency.max)
            .tcp_capacity(SEGMENTS_MAX)
            .build();
        Ok(Self {
            sim,
            simulated,
            net: TurmoilNet::default(),
            journal,
            hosts: Vec::new(),
        })
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "ids are handed out by add_host alone, and hosts are never removed"
    )]
    fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.index()]
    }
}

impl Network for Turmoil {
    type Net = TurmoilNet;

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn net(&self) -> TurmoilNet {
        self.net.clone()
    }

    fn add_host(&mut self, name: &str, time: HostTime) -> io::Result<HostId> {
        let index = self.hosts.len();
        let [.., high, low] = (index + 1).to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, high, low));
        let now = self.now();
        self.simulated.set_time(now, time.wall(now));
        let (tasks, queue) = mpsc::unbounded_channel::<Task>();
        // Software can be started more than once; a host that was switched off is never started again.
        let queue = Mutex::new(Some(queue));
        self.sim.host(address, move || {
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                if let Some(mut queue) = queue {
                    while let Some(task) = queue.recv().await {
                        tokio::spawn(task);
                    }
                }
                Ok(())
            }
        });
        self.net.directory.set(name, address);
        self.journal.call(&address.to_string(), name);
        for other in self.hosts.iter().filter(|other| other.dark) {
            self.sim.partition(other.address, address);
        }
        self.hosts.push(Host {
            address,
            tasks,
            running: true,
            dark: false,
            time,
            // Out of its runtime this is the thread's clock, from which the runtime's began.
            booted: Instant::now(),
            booted_after: now,
        });
        Ok(HostId::new(index))
    }

    fn clock(&self, host: HostId) -> HostClock {
        let host = self.host(host);
        HostClock::new(host.time.clone(), host.booted, host.booted_after)
    }

    fn address(&self, host: HostId) -> IpAddr {
        self.host(host).address
    }

    fn spawn(&mut self, host: HostId, task: impl Future<Output = ()> + Send + 'static) {
        // A host that is off has dropped the other end.
        let _ = self.host(host).tasks.send(Box::pin(task));
    }

    fn step(&mut self) {
        let now = self.now();
        self.simulated.set_time(now, EPOCH + now);
        // It fails when software on a host fails, and ours does not: see the journal for what ended.
        if let Err(error) = self.sim.step() {
            self.journal
                .line("network", format_args!("cannot go on: {error}"));
        }
        self.journal.set_now(self.now());
    }

    fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    fn crash(&mut self, host: HostId) {
        let address = self.address(host);
        if let Some(host) = self.hosts.get_mut(host.index())
            && std::mem::take(&mut host.running)
        {
            self.sim.crash(address);
        }
    }

    fn power_off(&mut self, host: HostId) {
        let address = self.address(host);
        for other in self.hosts.iter().filter(|other| other.address != address) {
            self.sim.partition(address, other.address);
        }
        self.crash(host);
        if let Some(host) = self.hosts.get_mut(host.index()) {
            host.dark = true;
        }
    }

    fn set_latency(&mut self, a: HostId, b: HostId, latency: Latency) {
        let (a, b) = (self.address(a), self.address(b));
        self.sim.set_link_latency(a, b, latency.min);
        self.sim.set_link_max_message_latency(a, b, latency.max);
    }

    fn set_loss(&mut self, from: HostId, to: HostId, per_million: u32) {
        let (from, to) = (self.address(from), self.address(to));
        let rate = f64::from(per_million) / 1_000_000.0;
        self.sim.set_link_fail_rate(from, to, rate);
    }

    fn hold(&mut self, a: HostId, b: HostId) {
        self.sim.hold(self.address(a), self.address(b));
    }

    fn cut(&mut self, from: HostId, to: HostId) {
        self.sim
            .partition_oneway(self.address(from), self.address(to));
    }

    fn heal(&mut self, a: HostId, b: HostId) {
        if !self.host(a).dark && !self.host(b).dark {
            self.sim.release(self.address(a), self.address(b));
        }
    }
}

/// The network as a host sees it.
#[derive(Clone, Debug, Default)]
pub struct TurmoilNet {
    directory: Directory,
}

impl Net for TurmoilNet {
    type Stream = Stream;
    type Listener = TurmoilListener;

    async fn bind(&self, address: SocketAddr) -> io::Result<TurmoilListener> {
        Ok(TurmoilListener(TcpListener::bind(address).await?))
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        let address = self.directory.resolve(host, port)?;
        Ok(Stream(TcpStream::connect(address).await?))
    }
}

/// Where connections come in.
pub struct TurmoilListener(TcpListener);

impl Listener for TurmoilListener {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Stream(stream), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Stream(TcpStream);

/// A plug that cannot be pulled: what is dropped is closed.
struct Stuck;

impl Plug for Stuck {
    fn pull(&self) {}
}

impl Plugged for Stream {
    fn plug(&self) -> Box<dyn Plug> {
        Box::new(Stuck)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
