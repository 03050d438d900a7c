//! What lies between hosts: each packet's delay or loss.
//!
//! Decides when a packet arrives, if it does; hosts and time belong to the caller. Packets of one
//! direction between two hosts never overtake each other, for the stack under test drops what comes out
//! of order. It drops, too, a repeated segment without a word, so that a lost acknowledgement would stop a
//! connection for good where real TCP goes on: a lost acknowledgement is therefore sent once
//! more, [`ACK_AGAIN`] later, until one gets through.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use turmoil_net::{Packet, Transport};

use crate::chance::generator;
use crate::net::Latency;

/// When a lost acknowledgement is sent again, as a probe of real TCP would bring about.
const ACK_AGAIN: Duration = Duration::from_secs(1);

/// What becomes of packets from one host to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    Held,
    Cut,
}

/// One direction between two hosts.
#[derive(Debug)]
struct Link {
    /// Its own, so that what goes on elsewhere moves nothing here.
    chance: StdRng,
    way: Way,
    latency: Latency,
    loss_per_million: u32,
    held: VecDeque<Packet>,
    /// When the last one arrives; none arrives before it.
    last: Duration,
}

/// The directions that anything was sent in.
#[derive(Debug)]
struct Links {
    seed: u64,
    default: Latency,
    all: BTreeMap<(IpAddr, IpAddr), Link>,
}

/// Both ends of a connection, the sender first.
type Flow = (SocketAddr, SocketAddr);

/// All links, and what travels on them.
#[derive(Debug)]
pub(super) struct Wires {
    links: Links,
    /// By arrival, then by order of sending.
    travelling: BTreeMap<(Duration, u64), Packet>,
    sent: u64,
    dark: BTreeSet<IpAddr>,
    lost_acks: BTreeMap<Flow, (Duration, Packet)>,
}

impl Wires {
    pub(super) fn new(seed: u64, default: Latency) -> Self {
        Self {
            links: Links {
                seed,
                default,
                all: BTreeMap::new(),
            },
            travelling: BTreeMap::new(),
            sent: 0,
            dark: BTreeSet::new(),
            lost_acks: BTreeMap::new(),
        }
    }

    /// Takes a packet that left a host. `pulled` are the ends of connections that lead nowhere.
    pub(super) fn send(&mut self, now: Duration, packet: Packet, pulled: &BTreeSet<SocketAddr>) {
        let flow = flow(&packet);
        if self.dark.contains(&packet.src)
            || self.dark.contains(&packet.dst)
            || pulled.contains(&flow.0)
            || pulled.contains(&flow.1)
        {
            return;
        }
        let link = self.links.of(packet.src, packet.dst);
        let lost = match link.way {
            Way::Cut => true,
            Way::Open | Way::Held => {
                link.loss_per_million > 0
                    && link.chance.random_range(0..1_000_000) < link.loss_per_million
            }
        };
        if lost {
            if is_bare_ack(&packet) {
                self.lost_acks.insert(flow, (now + ACK_AGAIN, packet));
            }
            return;
        }
        // What gets through acknowledges all that the lost one did.
        self.lost_acks.remove(&flow);
        match link.way {
            Way::Held => link.held.push_back(packet),
            Way::Open | Way::Cut => self.travel(now, packet),
        }
    }

    fn travel(&mut self, now: Duration, packet: Packet) {
        let link = self.links.of(packet.src, packet.dst);
        let Latency { min, max } = link.latency;
        let spread = u64::try_from(max.saturating_sub(min).as_micros()).unwrap_or(u64::MAX);
        let extra = if spread == 0 {
            0
        } else {
            link.chance.random_range(0..=spread)
        };
        link.last = link.last.max(now + min + Duration::from_micros(extra));
        self.travelling.insert((link.last, self.sent), packet);
        self.sent += 1;
    }

    /// Sends again the acknowledgements whose time has come.
    pub(super) fn send_again(&mut self, now: Duration, pulled: &BTreeSet<SocketAddr>) {
        if self.lost_acks.values().all(|(at, _)| *at > now) {
            return;
        }
        let due: Vec<Flow> = self
            .lost_acks
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(flow, _)| *flow)
            .collect();
        for flow in due {
            if let Some((_, packet)) = self.lost_acks.remove(&flow) {
                self.send(now, packet, pulled);
            }
        }
    }

    /// The next packet that has arrived by `now`.
    pub(super) fn arrived(&mut self, now: Duration) -> Option<Packet> {
        let first = self.travelling.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Lets nothing through from or to this address any more, what travels already included.
    pub(super) fn darken(&mut self, address: IpAddr) {
        self.dark.insert(address);
        let gone = |packet: &Packet| packet.src == address || packet.dst == address;
        self.travelling.retain(|_, packet| !gone(packet));
        for link in self.links.all.values_mut() {
            link.held.retain(|packet| !gone(packet));
        }
    }

    pub(super) fn set_latency(&mut self, from: IpAddr, to: IpAddr, latency: Latency) {
        self.links.of(from, to).latency = latency;
    }

    pub(super) fn set_loss(&mut self, from: IpAddr, to: IpAddr, per_million: u32) {
        self.links.of(from, to).loss_per_million = per_million;
    }

    pub(super) fn hold(&mut self, from: IpAddr, to: IpAddr) {
        self.links.of(from, to).way = Way::Held;
    }

    pub(super) fn cut(&mut self, from: IpAddr, to: IpAddr) {
        let link = self.links.of(from, to);
        link.way = Way::Cut;
        link.held.clear();
    }

    pub(super) fn heal(&mut self, now: Duration, from: IpAddr, to: IpAddr) {
        let link = self.links.of(from, to);
        link.way = Way::Open;
        for packet in std::mem::take(&mut link.held) {
            self.travel(now, packet);
        }
    }
}

impl Links {
    fn of(&mut self, from: IpAddr, to: IpAddr) -> &mut Link {
        self.all.entry((from, to)).or_insert_with(|| Link {
            chance: generator(self.seed, number(from), number(to)),
            way: Way::Open,
            latency: self.default,
            loss_per_million: 0,
            held: VecDeque::new(),
            last: Duration::ZERO,
        })
    }
}

/// The last 64 bits of an address, which tell those of one network apart.
fn number(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

fn flow(packet: &Packet) -> Flow {
    let (from, to) = match &packet.payload {
        Transport::Tcp(segment) => (segment.src_port, segment.dst_port),
        Transport::Udp(datagram) => (datagram.src_port, datagram.dst_port),
    };
    (
        SocketAddr::new(packet.src, from),
        SocketAddr::new(packet.dst, to),
    )
}

/// Whether a packet carries an acknowledgement and nothing that its sender would repeat.
fn is_bare_ack(packet: &Packet) -> bool {
    match &packet.payload {
        Transport::Tcp(segment) => {
            let flags = segment.flags;
            flags.ack && !flags.syn && !flags.fin && !flags.rst && segment.payload.is_empty()
        }
        Transport::Udp(_) => false,
    }
}
