//! What a seed means: the cluster, its people, and which faults come how often and how hard.
//!
//! Each seed turns on only some features and faults, so that runs differ in kind and not only in detail.

use core::fmt;
use core::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tradewire_engine::Delivery;
use tradewire_engine::limits::Limits;

use super::millis;
use crate::oracle::Promises;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// A node and the bus cannot reach each other.
    Cut,
    /// What a node asks does not arrive.
    RequestsStuck,
    /// What the bus answers does not arrive.
    AnswersStuck,
    /// What the bus pushes does not arrive.
    PushesStuck,
    /// The bus takes long for everything.
    SlowBus,
    /// The bus does nothing for a while.
    HungBus,
    /// The bus crashes and comes back with its data.
    BusCrash,
    /// The bus loses its data, with or without a crash.
    DataLoss,
    /// A process is gone at once, and comes back.
    NodeCrash,
    /// A node leaves in good order, and comes back.
    Restart,
    /// All nodes do, one after the other.
    Deploy,
    /// Clients stop reading.
    StalledClients,
    /// Clients are gone without a word, and come back elsewhere.
    VanishedClients,
    /// Everyone comes back at once.
    Herd,
    /// The bus's clock is set.
    ClockSet,
    /// A session ends.
    SessionEnds,
    /// A node's queue of pushes overflows.
    PushesMissed,
    /// The log is trimmed hard.
    Trimmed,
    /// Clients and emitters send what does not fit.
    Garbage,
}

impl FaultKind {
    const ALL: [Self; 19] = [
        Self::Cut,
        Self::RequestsStuck,
        Self::AnswersStuck,
        Self::PushesStuck,
        Self::SlowBus,
        Self::HungBus,
        Self::BusCrash,
        Self::DataLoss,
        Self::NodeCrash,
        Self::Restart,
        Self::Deploy,
        Self::StalledClients,
        Self::VanishedClients,
        Self::Herd,
        Self::ClockSet,
        Self::SessionEnds,
        Self::PushesMissed,
        Self::Trimmed,
        Self::Garbage,
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

/// Everything that a seed decides before the run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) nodes: u32,
    pub(super) users: u32,
    pub(super) tabs: u32,
    pub(super) symbols: u32,
    pub(super) delivery: Delivery,
    pub(super) sessions: bool,
    pub(super) emitter: bool,
    /// Clients that resume, name what they replace, have subscriptions restored, in percent.
    pub(super) resume: u32,
    pub(super) replaces: u32,
    pub(super) restore: u32,
    /// Clients that read slowly, in percent.
    pub(super) slow: u32,
    /// Publishes that carry ids, in percent.
    pub(super) keyed: u32,
    /// Mean time between two publishes.
    pub(super) publish_every_ms: u64,
    pub(super) batch_max: u32,
    /// Trades among items, in percent.
    pub(super) trades: u32,
    pub(super) payload_max: usize,
    /// Mean time between two calls of one client.
    pub(super) call_every_ms: u64,
    pub(super) log_max: usize,
    /// How long faults come.
    pub(super) lasts_ms: u64,
    pub(super) skew_permille: u64,
    pub(super) bus_ms: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) limits: Limits,
}

fn pick<T: Copy>(chance: &mut StdRng, of: &[T]) -> T {
    of[chance.random_range(0..of.len())]
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let chance = &mut chance;
        let nodes = pick(chance, &[1, 2, 2, 3, 3, 3, 4, 5]);
        let users = chance.random_range(2..=6);
        let crowded = chance.random_bool(0.4);
        let limits = limits(chance);
        Self {
            seed,
            nodes,
            users,
            tabs: users
                * if crowded {
                    chance.random_range(4..=9)
                } else {
                    chance.random_range(1..=4)
                },
            symbols: chance.random_range(2..=8),
            delivery: if chance.random_bool(0.75) {
                Delivery::All
            } else {
                Delivery::Subscribed
            },
            sessions: chance.random_bool(0.5),
            emitter: chance.random_bool(0.5),
            resume: pick(chance, &[0, 50, 90, 100, 100]),
            replaces: pick(chance, &[0, 50, 100]),
            restore: pick(chance, &[0, 50, 100]),
            slow: pick(chance, &[0, 0, 10, 30]),
            keyed: pick(chance, &[0, 30, 100]),
            publish_every_ms: pick(chance, &[5, 10, 20, 50, 200]),
            batch_max: pick(chance, &[1, 3, 8]),
            trades: pick(chance, &[5, 30, 60]),
            payload_max: pick(chance, &[40, 300, 1500]),
            call_every_ms: pick(chance, &[1_000, 5_000, 20_000]),
            log_max: pick(chance, &[20, 200, 5_000, 500_000]),
            lasts_ms: chance.random_range(20_000..=150_000),
            skew_permille: pick(chance, &[0, 0, 1, 20]),
            bus_ms: pick(chance, &[1, 1, 3, 20]),
            faults: faults(chance),
            limits,
        }
    }

    pub(super) fn promises(&self) -> Promises {
        let limits = &self.limits;
        Promises {
            only_subscribers: self.delivery == Delivery::Subscribed,
            connections_max: limits.connections_per_user_max as usize,
            calls_max: [
                limits.portfolio_calls_max as usize,
                limits.trades_calls_max as usize,
                limits.watchlist_calls_max as usize,
            ],
            calls_window_ms: millis(limits.calls_window),
            bus_request_max_ms: millis(limits.bus_request_max),
            session_check_ms: millis(limits.session_check_every),
            outbox_bytes_max: limits.outbox_bytes_max,
            outbox_packets_max: limits.outbox_packets_max as usize,
            congested_log_max: limits.congested_log_events_max as usize,
            pending_bytes_max: limits.outbox_total_bytes_max,
            history_bytes_max: limits.history_bytes_max,
            payload_bytes_max: self.payload_max as u64 + 64,
            drain_window_ms: millis(limits.drain_window),
            drain_deadline_ms: millis(limits.drain_deadline),
            skew_permille: self.skew_permille,
            transit_ms: 100,
        }
    }
}

/// Often the contract's own, often small enough that every bound is reached.
fn limits(chance: &mut StdRng) -> Limits {
    let limits = Limits::default();
    if chance.random_bool(0.2) {
        return limits;
    }
    Limits {
        connections_per_user_max: pick(chance, &[2, 3, 5, 5, 5]),
        connects_per_user_minute_max: pick(chance, &[10, 120, 120, 120]),
        connections_max: pick(chance, &[30, 100_000, 100_000]),
        portfolio_calls_max: pick(chance, &[1, 1, 2]),
        watchlist_calls_max: pick(chance, &[2, 4, 10]),
        calls_window: Duration::from_secs(pick(chance, &[10, 30, 60])),
        outbox_bytes_max: pick(chance, &[4_000, 20_000, 1 << 20]),
        outbox_packets_max: pick(chance, &[8, 64, 4_096]),
        congested_log_events_max: pick(chance, &[4, 32, 1_024]),
        congested_log_bytes_max: pick(chance, &[4_000, 1 << 20]),
        congested_max: Duration::from_secs(pick(chance, &[3, 10, 30])),
        outbox_total_bytes_max: pick(chance, &[30_000, 256 << 20, 256 << 20]),
        history_max: Duration::from_secs(pick(chance, &[20, 600, 600])),
        history_bytes_max: pick(chance, &[20_000, 64 << 20, 64 << 20]),
        drain_window: Duration::from_secs(pick(chance, &[2, 5])),
        ..limits
    }
}

fn faults(chance: &mut StdRng) -> Vec<Fault> {
    // Now and then nothing goes wrong: what must hold then is the most.
    let share = pick(chance, &[0.0, 0.15, 0.3, 0.3, 0.6]);
    let kinds = FaultKind::ALL
        .into_iter()
        .filter(|_| chance.random_bool(share));
    let kinds: Vec<FaultKind> = kinds.collect();
    kinds
        .into_iter()
        .map(|kind| Fault {
            kind,
            every_ms: pick(chance, &[3_000, 10_000, 30_000]),
            lasts_ms: pick(chance, &[300, 2_000, 8_000, 40_000]),
        })
        .collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan of seed {}", self.seed)?;
        writeln!(
            f,
            "  {} nodes, {} users, {} tabs, {} symbols, delivery {:?}, sessions {}, emitter {}",
            self.nodes,
            self.users,
            self.tabs,
            self.symbols,
            self.delivery,
            self.sessions,
            self.emitter
        )?;
        writeln!(
            f,
            "  of clients {} % resume, {} % replace, {} % restore, {} % are slow; a call every {} ms",
            self.resume, self.replaces, self.restore, self.slow, self.call_every_ms
        )?;
        writeln!(
            f,
            "  a publish every {} ms of up to {} items of up to {} bytes, {} % trades, {} % with ids",
            self.publish_every_ms, self.batch_max, self.payload_max, self.trades, self.keyed
        )?;
        writeln!(
            f,
            "  {} ms of faults, clocks within {} ‰, the bus {} ms away, {} log entries kept",
            self.lasts_ms, self.skew_permille, self.bus_ms, self.log_max
        )?;
        for Fault {
            kind,
            every_ms,
            lasts_ms,
        } in &self.faults
        {
            writeln!(
                f,
                "  {kind:?} about every {every_ms} ms for up to {lasts_ms} ms"
            )?;
        }
        writeln!(f, "  {:?}", self.limits)
    }
}
