//! The main network: turmoil-net's TCP under a harness of our own.
//!
//! Each host has a runtime and a paused clock of its own, seeded; a tick runs them one after the other
//! up to the same moment and then moves packets between them. Only one [`Stack`] can exist on a thread,
//! because the sockets find their host through the thread.

mod stream;
mod wires;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::{Builder, RngSeed, Runtime, UnhandledPanic};
use tokio::time::{Instant, sleep_until};
use tradewire_sim_entropy::{AlreadySimulated, Simulated};
use turmoil_net::{EnterGuard, KernelConfig, Packet};

use crate::journal::Journal;
use crate::net::host::EPOCH;
use crate::net::{HostClock, HostId, HostTime, Latency, Network};

pub use stream::{StackListener, StackNet, Stream};
use wires::Wires;

/// When an unacknowledged segment is sent again. Fixed, where real TCP backs off.
const RETRANSMIT_AFTER: Duration = Duration::from_secs(1);

/// After how many times a connection is given up; real TCP takes minutes, and nothing under test waits
/// that long.
const RETRANSMITS_MAX: u32 = 60;

/// What can be chosen about the network.
#[derive(Clone, Copy, Debug)]
pub struct StackSettings {
    /// How long a tick is: the finest step in which hosts hear from each other. Coarser is faster.
    pub tick: Duration,
    /// How long packets travel where nothing else is said.
    pub latency: Latency,
    /// How many hosts there can be in all, those that are off included. Each costs a little in every tick.
    pub hosts_max: usize,
}

impl Default for StackSettings {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(5),
            latency: Latency {
                min: Duration::from_millis(1),
                max: Duration::from_millis(15),
            },
            hosts_max: 128,
        }
    }
}

struct Host {
    name: String,
    id: turmoil_net::HostId,
    address: IpAddr,
    time: HostTime,
    /// `None` once it is off.
    runtime: Option<Runtime>,
    /// When it was switched on, by its own clock and by the world's.
    booted: Instant,
    booted_after: Duration,
}

/// Simulated hosts on a simulated network.
pub struct Stack {
    // Hosts end before the sockets that they hold.
    hosts: Vec<Host>,
    spare: VecDeque<(turmoil_net::HostId, IpAddr)>,
    sockets: EnterGuard,
    simulated: Simulated,
    net: StackNet,
    wires: Wires,
    journal: Journal,
    chance: StdRng,
    now: Duration,
    tick: Duration,
    leaving: Vec<Packet>,
}

impl Stack {
    /// An empty network, whose chance is all drawn from `seed`, on this thread.
    ///
    /// # Errors
    /// When there is one on this thread already.
    pub fn new(
        seed: u64,
        settings: StackSettings,
        journal: Journal,
    ) -> Result<Self, AlreadySimulated> {
        let mut chance = StdRng::seed_from_u64(seed);
        let simulated = Simulated::begin(chance.random(), EPOCH)?;
        let ticks = RETRANSMIT_AFTER.as_millis() / settings.tick.as_millis().max(1);
        let config = KernelConfig::default()
            .retx_threshold(u32::try_from(ticks).unwrap_or(u32::MAX))
            .retx_max(RETRANSMITS_MAX);
        // Hosts cannot be added to a network that is in use, so all there may be are made now.
        let mut sockets = turmoil_net::Net::with_config(config);
        let spare = (1..=settings.hosts_max)
            .map(|number| {
                let [.., high, low] = number.to_be_bytes();
                let address = IpAddr::V4(Ipv4Addr::new(10, 0, high, low));
                (sockets.add_host(address), address)
            })
            .collect();
        Ok(Self {
            hosts: Vec::new(),
            spare,
            sockets: sockets.enter(),
            simulated,
            net: StackNet::default(),
            wires: Wires::new(chance.random(), settings.latency),
            journal,
            chance,
            now: Duration::ZERO,
            tick: settings.tick,
            leaving: Vec::new(),
        })
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "ids are handed out by add_host alone, and hosts are never removed"
    )]
    fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.index()]
    }

    fn switch_off(&mut self, host: HostId) {
        if let Some(host) = self.hosts.get_mut(host.index()) {
            self.sockets.set_current(host.id);
            self.journal.enter(&host.name);
            drop(host.runtime.take());
            self.journal.leave();
        }
    }

    /// Moves packets: those that left since the last tick onto the wires, those due off them.
    fn carry(&mut self) {
        self.sockets.egress_all(&mut self.leaving);
        let Self {
            leaving,
            wires,
            net,
            sockets,
            now,
            ..
        } = self;
        let pulled = net.pulled();
        wires.send_again(*now, &pulled);
        for packet in leaving.drain(..) {
            wires.send(*now, packet, &pulled);
        }
        drop(pulled);
        while let Some(packet) = wires.arrived(*now) {
            sockets.deliver(packet);
        }
    }
}

impl Network for Stack {
    type Net = StackNet;

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn net(&self) -> StackNet {
        self.net.clone()
    }

    fn add_host(&mut self, name: &str, time: HostTime) -> io::Result<HostId> {
        let (id, address) = self.spare.pop_front().ok_or_else(|| {
            io::Error::other("no more hosts: raise hosts_max of the network's settings")
        })?;
        self.simulated.set_time(self.now, time.wall(self.now));
        let seed: [u8; 32] = self.chance.random();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&seed))
            // A task that panics ends the run: nobody waits for most of them.
            .unhandled_panic(UnhandledPanic::ShutdownRuntime)
            .build()?;
        let booted = runtime.block_on(async { Instant::now() });
        self.net.directory.set(name, address);
        self.hosts.push(Host {
            name: name.to_owned(),
            id,
            address,
            time,
            runtime: Some(runtime),
            booted,
            booted_after: self.now,
        });
        Ok(HostId::new(self.hosts.len() - 1))
    }

    fn clock(&self, host: HostId) -> HostClock {
        let host = self.host(host);
        HostClock::new(host.time.clone(), host.booted, host.booted_after)
    }

    fn address(&self, host: HostId) -> IpAddr {
        self.host(host).address
    }

    fn spawn(&mut self, host: HostId, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.host(host).runtime {
            runtime.spawn(task);
        }
    }

    fn step(&mut self) {
        let until = self.now + self.tick;
        for host in &self.hosts {
            let Some(runtime) = &host.runtime else {
                continue;
            };
            let counted = |world: Duration| host.time.counted(world - host.booted_after);
            let elapsed = host.booted_after + counted(self.now);
            self.simulated.set_time(elapsed, host.time.wall(elapsed));
            self.sockets.set_current(host.id);
            self.journal.enter(&host.name);
            let until = host.booted + counted(until);
            runtime.block_on(async move { sleep_until(until).await });
        }
        self.journal.leave();
        self.now = until;
        self.journal.set_now(until);
        self.carry();
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn crash(&mut self, host: HostId) {
        self.switch_off(host);
    }

    fn power_off(&mut self, host: HostId) {
        self.wires.darken(self.host(host).address);
        self.switch_off(host);
    }

    fn set_latency(&mut self, a: HostId, b: HostId, latency: Latency) {
        let (a, b) = (self.address(a), self.address(b));
        self.wires.set_latency(a, b, latency);
        self.wires.set_latency(b, a, latency);
    }

    fn set_loss(&mut self, from: HostId, to: HostId, per_million: u32) {
        let (from, to) = (self.address(from), self.address(to));
        self.wires.set_loss(from, to, per_million);
    }

    fn hold(&mut self, a: HostId, b: HostId) {
        let (a, b) = (self.address(a), self.address(b));
        self.wires.hold(a, b);
        self.wires.hold(b, a);
    }

    fn cut(&mut self, from: HostId, to: HostId) {
        let (from, to) = (self.address(from), self.address(to));
        self.wires.cut(from, to);
    }

    fn heal(&mut self, a: HostId, b: HostId) {
        let (a, b) = (self.address(a), self.address(b));
        self.wires.heal(self.now, a, b);
        self.wires.heal(self.now, b, a);
    }
}

impl Drop for Stack {
    /// Ends every host as itself: what runs there closes its sockets.
    fn drop(&mut self) {
        for index in 0..self.hosts.len() {
            self.switch_off(HostId::new(index));
        }
    }
}
