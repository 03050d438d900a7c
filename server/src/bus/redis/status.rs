//! How the bus is: what health and metrics tell of it.
//!
//! Only figures: nothing decides by them, and nothing here waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The bus's state and figures, shared by those that keep and those that tell them.
#[derive(Debug)]
pub(crate) struct BusStatus {
    reached: AtomicBool,
    ever_reached: AtomicBool,
    /// Contacts that came about.
    pub(super) contacts: Counter,
    /// Attempts that ended without a contact.
    pub(super) failures: Counter,
    /// What came from Redis and was not understood.
    pub(super) garbage: Counter,
    /// Times that messages came faster than they were taken, and were dropped.
    pub(super) overflows: Counter,
    /// Gaps found in the log.
    pub(super) gaps: Counter,
    /// Log entries that Redis has and this node has not read.
    pub(super) log_lag: Gauge,
    /// Nodes heard lately, this one too.
    pub(super) nodes: Gauge,
    append: Histogram,
    delivery: Histogram,
}

impl BusStatus {
    pub(crate) fn new() -> Self {
        // From a quarter of a millisecond to 4 s.
        let latency = || Histogram::new(exponential_buckets(0.000_25, 2.0, 15));
        Self {
            reached: AtomicBool::new(false),
            ever_reached: AtomicBool::new(false),
            contacts: Counter::default(),
            failures: Counter::default(),
            garbage: Counter::default(),
            overflows: Counter::default(),
            gaps: Counter::default(),
            log_lag: Gauge::default(),
            nodes: Gauge::default(),
            append: latency(),
            delivery: latency(),
        }
    }

    /// Whether there is contact with Redis.
    #[cfg(test)]
    pub(crate) fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// Whether there was contact with Redis at any time.
    #[cfg(test)]
    pub(crate) fn ever_reached(&self) -> bool {
        self.ever_reached.load(Ordering::Relaxed)
    }

    /// How many nodes were heard lately, this one too; 0 without contact.
    pub(crate) fn nodes(&self) -> u64 {
        u64::try_from(self.nodes.get()).unwrap_or_default()
    }

    /// How many log entries Redis has that this node had not read when it last asked.
    pub(crate) fn log_lag(&self) -> u64 {
        u64::try_from(self.log_lag.get()).unwrap_or_default()
    }

    /// Names the figures for the metrics page.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let counters = [
            (
                "bus_contacts",
                "Times that Redis was reached",
                &self.contacts,
            ),
            (
                "bus_contact_failures",
                "Attempts to reach Redis that failed",
                &self.failures,
            ),
            (
                "bus_garbage",
                "What came from Redis and was skipped because it was not understood",
                &self.garbage,
            ),
            (
                "bus_overflows",
                "Times that messages of Redis came faster than they were taken and were dropped",
                &self.overflows,
            ),
            ("bus_log_gaps", "Gaps found in the log", &self.gaps),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            (
                "bus_log_lag",
                "Log entries in Redis that this node had not read when it last asked",
                &self.log_lag,
            ),
            (
                "bus_nodes",
                "Nodes heard within the last seconds, this one too",
                &self.nodes,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let latencies = [
            (
                "bus_append",
                "From a log request to Redis' answer",
                &self.append,
            ),
            (
                "bus_delivery",
                "From a publish on the state channel until it is heard here",
                &self.delivery,
            ),
        ];
        for (name, help, latency) in latencies {
            registry.register_with_unit(name, help, Unit::Seconds, latency.clone());
        }
    }

    pub(super) fn set_reached(&self, reached: bool) {
        self.reached.store(reached, Ordering::Relaxed);
        if reached {
            self.ever_reached.store(true, Ordering::Relaxed);
            self.contacts.inc();
        } else {
            self.nodes.set(0);
        }
    }

    pub(super) fn appended(&self, after: Duration) {
        self.append.observe(after.as_secs_f64());
    }

    pub(super) fn heard(&self, after: Duration) {
        self.delivery.observe(after.as_secs_f64());
    }
}
