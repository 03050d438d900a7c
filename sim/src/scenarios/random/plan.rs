//! What a seed means: the cluster, its people, and which faults come how often and how hard.
//!
//! Each seed turns on only some features and faults, so that runs differ in kind and not only in detail.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::chance::pick;
use crate::oracle::Promises;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FaultKind {
    /// All nodes are killed at once, and come back.
    Blackout,
    /// Clients of a host and a node lose each other.
    ClientCut,
    /// What clients of a host send is lost.
    ClientCutUp,
    /// What a node sends to clients of a host is lost.
    ClientCutDown,
    /// What they send to each other waits.
    ClientHold,
    /// It takes long.
    ClientLatency,
    /// Some of it is lost.
    ClientLoss,
    /// The clock of Redis is set.
    ClockSet,
    /// Redis loses its data while it runs.
    DataFlushed,
    /// Redis stops and comes back without data.
    DataLost,
    /// All nodes leave in good order, one after the other, and come back.
    Deploy,
    /// What nobody wrote comes on the channels.
    Garbage,
    /// A node is killed, and comes back.
    NodeKill,
    /// A node's power fails, and it comes back.
    NodePower,
    /// Redis takes requests and does nothing.
    RedisHang,
    /// Redis does not even read.
    RedisPause,
    /// Redis refuses writes.
    RedisRefuses,
    /// Each command takes its time.
    RedisSlow,
    /// Redis stops, and comes back with its data.
    RedisStop,
    /// A node and Redis lose each other.
    RedisCut,
    /// What a node sends to Redis is lost.
    RedisCutUp,
    /// What Redis sends to a node is lost.
    RedisCutDown,
    /// What they send to each other waits.
    RedisHold,
    /// It takes long.
    RedisLatency,
    /// Some of it is lost.
    RedisLoss,
    /// A node leaves in good order, at times in a hurry, and comes back.
    Restart,
    /// Clients find themselves on another network.
    Roam,
    /// Redis forgets the scripts.
    ScriptsForgotten,
    /// A user's session ends.
    SessionEnds,
    /// Clients freeze.
    Stall,
    /// The log is cut short.
    Trim,
    /// Clients are gone without a word, and others come.
    Vanish,
}

impl FaultKind {
    pub(super) const ALL: [Self; 32] = [
        Self::Blackout,
        Self::ClientCut,
        Self::ClientCutUp,
        Self::ClientCutDown,
        Self::ClientHold,
        Self::ClientLatency,
        Self::ClientLoss,
        Self::ClockSet,
        Self::DataFlushed,
        Self::DataLost,
        Self::Deploy,
        Self::Garbage,
        Self::NodeKill,
        Self::NodePower,
        Self::RedisHang,
        Self::RedisPause,
        Self::RedisRefuses,
        Self::RedisSlow,
        Self::RedisStop,
        Self::RedisCut,
        Self::RedisCutUp,
        Self::RedisCutDown,
        Self::RedisHold,
        Self::RedisLatency,
        Self::RedisLoss,
        Self::Restart,
        Self::Roam,
        Self::ScriptsForgotten,
        Self::SessionEnds,
        Self::Stall,
        Self::Trim,
        Self::Vanish,
    ];
}

/// One kind of fault in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// Mean time between two, in milliseconds.
    pub(super) every_ms: u64,
    /// How long one lasts at most, in milliseconds.
    pub(super) lasts_ms: u64,
}

/// Bounds of the servers that a seed may change; the others are the contract's.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    connections: usize,
    calls: [usize; 3],
    calls_window_ms: u64,
    outbox_bytes: u64,
    outbox_packets: usize,
    congested_log: usize,
    congested_ms: u64,
    drain_window_ms: u64,
    lease_ms: u64,
    session_check_ms: u64,
    history_bytes: u64,
    pending_bytes: u64,
}

/// Everything that a seed decides before the run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) nodes: usize,
    pub(super) users: u32,
    pub(super) clients: usize,
    pub(super) symbols: u32,
    only_subscribers: bool,
    pub(super) sessions: bool,
    pub(super) emitter: bool,
    /// Clients that resume, in percent.
    pub(super) resume: u32,
    /// Mean time between two publishes.
    pub(super) publish_every_ms: u64,
    pub(super) batch_max: u32,
    /// Trades among items, in percent.
    pub(super) trades: u32,
    pub(super) padding_max: usize,
    /// Mean time between what clients do.
    pub(super) act_every_ms: u64,
    log_max: usize,
    /// How long faults come.
    pub(super) lasts_ms: u64,
    pub(super) skew_permille: u64,
    pub(super) faults: Vec<Fault>,
    bounds: Bounds,
}

impl Plan {
    pub(super) fn new(seed: u64, clients: usize) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let chance = &mut chance;
        let per_user = pick(chance, &[2, 4, 5, 6, 8]);
        Self {
            seed,
            nodes: pick(chance, &[1, 2, 3, 3, 3, 4]),
            users: u32::try_from(clients.div_ceil(per_user))
                .unwrap_or(1)
                .max(1),
            clients,
            symbols: chance.random_range(2..=8),
            only_subscribers: chance.random_bool(0.2),
            sessions: chance.random_bool(0.5),
            emitter: chance.random_bool(0.5),
            resume: pick(chance, &[0, 50, 90, 100, 100]),
            publish_every_ms: pick(chance, &[20, 50, 100, 300]),
            batch_max: pick(chance, &[1, 3, 8]),
            trades: pick(chance, &[5, 30, 60]),
            padding_max: pick(chance, &[10, 200, 1_500]),
            act_every_ms: pick(chance, &[100, 300, 1_000]),
            log_max: pick(chance, &[200, 5_000, 500_000]),
            lasts_ms: chance.random_range(25_000..=70_000),
            skew_permille: pick(chance, &[0, 0, 1, 20]),
            faults: faults(chance),
            bounds: bounds(chance),
        }
    }

    pub(super) fn connections_max(&self) -> usize {
        self.bounds.connections
    }

    pub(super) fn lease_ms(&self) -> u64 {
        self.bounds.lease_ms
    }

    /// The servers' command line.
    pub(super) fn flags(&self) -> Vec<String> {
        let bounds = &self.bounds;
        let [portfolio, trades, watchlist] = bounds.calls;
        let mut flags = vec![
            "--redis-url=redis://redis:6379".to_owned(),
            format!("--connections-per-user-max={}", bounds.connections),
            format!("--portfolio-calls-max={portfolio}"),
            format!("--trades-calls-max={trades}"),
            format!("--watchlist-calls-max={watchlist}"),
            format!("--calls-window-ms={}", bounds.calls_window_ms),
            format!("--outbox-bytes-max={}", bounds.outbox_bytes),
            format!("--outbox-packets-max={}", bounds.outbox_packets),
            format!("--congested-log-events-max={}", bounds.congested_log),
            format!("--congested-max-ms={}", bounds.congested_ms),
            format!("--drain-window-ms={}", bounds.drain_window_ms),
            format!("--slot-lease-ms={}", bounds.lease_ms),
            format!("--slot-renew-every-ms={}", bounds.lease_ms / 3),
            format!("--session-check-every-ms={}", bounds.session_check_ms),
            format!("--history-bytes-max={}", bounds.history_bytes),
            format!("--outbox-total-bytes-max={}", bounds.pending_bytes),
            format!("--log-stream-max={}", self.log_max),
        ];
        if self.sessions {
            flags.push("--auth-mode=session".to_owned());
        }
        if self.only_subscribers {
            flags.push("--delivery=subscribed".to_owned());
        }
        flags
    }

    pub(super) fn promises(&self) -> Promises {
        let bounds = &self.bounds;
        Promises {
            only_subscribers: self.only_subscribers,
            connections_max: bounds.connections,
            calls_max: bounds.calls,
            calls_window_ms: bounds.calls_window_ms,
            bus_request_max_ms: 1_000,
            session_check_ms: bounds.session_check_ms,
            outbox_bytes_max: bounds.outbox_bytes,
            // What the network holds is on its way, and counted nowhere.
            outbox_packets_max: bounds.outbox_packets + 2_000,
            congested_ms: bounds.congested_ms,
            congested_log_max: bounds.congested_log,
            pending_bytes_max: bounds.pending_bytes,
            history_bytes_max: bounds.history_bytes,
            payload_bytes_max: 2_000,
            drain_window_ms: bounds.drain_window_ms,
            drain_deadline_ms: 10_000,
            skew_permille: self.skew_permille,
            transit_ms: 300,
        }
    }
}

fn bounds(chance: &mut StdRng) -> Bounds {
    if chance.random_bool(0.2) {
        return Bounds {
            connections: 5,
            calls: [1, 1, 10],
            calls_window_ms: 60_000,
            outbox_bytes: 1 << 20,
            outbox_packets: 4_096,
            congested_log: 1_024,
            congested_ms: 30_000,
            drain_window_ms: 5_000,
            lease_ms: 30_000,
            session_check_ms: 10_000,
            history_bytes: 64 << 20,
            pending_bytes: 256 << 20,
        };
    }
    Bounds {
        connections: pick(chance, &[3, 5, 5, 5]),
        calls: [pick(chance, &[1, 1, 2]), 1, pick(chance, &[2, 4, 10])],
        calls_window_ms: pick(chance, &[10_000, 30_000, 60_000]),
        outbox_bytes: pick(chance, &[4_000, 20_000, 1 << 20]),
        outbox_packets: pick(chance, &[8, 64, 4_096]),
        congested_log: pick(chance, &[4, 32, 1_024]),
        congested_ms: pick(chance, &[3_000, 10_000, 30_000]),
        drain_window_ms: pick(chance, &[2_000, 5_000]),
        lease_ms: pick(chance, &[6_000, 30_000]),
        session_check_ms: 10_000,
        history_bytes: pick(chance, &[20_000, 64 << 20, 64 << 20]),
        pending_bytes: pick(chance, &[100_000, 1 << 20, 256 << 20]),
    }
}

fn faults(chance: &mut StdRng) -> Vec<Fault> {
    // Now and then nothing goes wrong: what must hold then is the most.
    let share = pick(chance, &[0.0, 0.1, 0.2, 0.3, 0.5]);
    let kinds = FaultKind::ALL
        .into_iter()
        .filter(|_| chance.random_bool(share));
    let kinds: Vec<FaultKind> = kinds.collect();
    kinds
        .into_iter()
        .map(|kind| Fault {
            kind,
            every_ms: pick(chance, &[5_000, 15_000, 30_000]),
            lasts_ms: pick(chance, &[300, 2_000, 8_000, 25_000]),
        })
        .collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "random, seed {}: {} nodes, {} clients of {} users, {} symbols, sessions {}, emitter {}",
            self.seed,
            self.nodes,
            self.clients,
            self.users,
            self.symbols,
            self.sessions,
            self.emitter
        )?;
        writeln!(
            f,
            "{} % of clients resume; something is done every {} ms; only subscribers {}",
            self.resume, self.act_every_ms, self.only_subscribers
        )?;
        writeln!(
            f,
            "a publish every {} ms of up to {} items of up to {} bytes, {} % trades",
            self.publish_every_ms, self.batch_max, self.padding_max, self.trades
        )?;
        writeln!(
            f,
            "{} ms of faults, clocks within {} in a thousand, {} log entries kept",
            self.lasts_ms, self.skew_permille, self.log_max
        )?;
        for Fault {
            kind,
            every_ms,
            lasts_ms,
        } in &self.faults
        {
            writeln!(
                f,
                "{kind:?} about every {every_ms} ms for up to {lasts_ms} ms"
            )?;
        }
        write!(f, "{:?}", self.bounds)
    }
}
