//! Prometheus metrics, derived from the engine's notes and figures.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tradewire_engine::Contact;
use tradewire_engine::effect::{Message, Note};
use tradewire_engine::event::EVENTS;
use tradewire_engine::input::{GapCause, SlotLoss};

use crate::bus::BusStatus;
use crate::inbox::Report;

/// What an outcome is counted by.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Reason {
    reason: &'static str,
}

/// What a delivery or a call is counted by.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Event {
    event: &'static str,
}

/// What a publish request is counted by.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Status {
    status: &'static str,
}

/// How a publish request was answered.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum PublishStatus {
    /// 202
    Accepted,
    /// 4xx
    Refused,
    /// 503
    Unavailable,
}

/// What the recorder counts.
pub(crate) struct RecordMetrics {
    pub(crate) bytes: Counter,
    pub(crate) segments: Counter,
    pub(crate) holes: Counter,
    pub(crate) lost: Counter,
    pause: Gauge<f64, AtomicU64>,
}

impl RecordMetrics {
    fn new(r: &mut Registry) -> Self {
        Self {
            bytes: {
                let bytes = Counter::default();
                let help = "Recorded, without the states that segments begin with";
                r.register_with_unit("record", help, Unit::Bytes, bytes.clone());
                bytes
            },
            segments: counter(r, "record_segments", "Segments of the recording begun"),
            holes: counter(
                r,
                "record_holes",
                "Times that the recording could not be written as fast as it grew",
            ),
            lost: counter(r, "record_inputs_lost", "Inputs missing in the recording"),
            pause: {
                let pause = Gauge::<f64, AtomicU64>::default();
                let help = "The longest that a segment's beginning held the node up";
                r.register_with_unit("record_pause", help, Unit::Seconds, pause.clone());
                pause
            },
        }
    }

    /// Notes how long a segment's beginning held the node up.
    pub(crate) fn paused(&self, span: Duration) {
        self.pause.set(self.pause.get().max(span.as_secs_f64()));
    }
}

/// A counter for each event that is published: found without a lock and a hash for each delivery.
struct ByEvent([(&'static str, Counter); EVENTS.len()]);

impl ByEvent {
    fn new(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = family::<Event>(registry, name, help);
        Self(EVENTS.map(|event| (event, family.get_or_create(&Event { event }).clone())))
    }

    fn add(&self, event: &'static str, count: u64) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == event) {
            counter.inc_by(count);
        }
    }
}

/// Counters and gauges, and the registry that names them.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) inputs: Counter,
    pub(crate) record: RecordMetrics,
    pub(crate) streams_refused: Counter,
    admitted: Counter,
    disconnected: Counter,
    closed: Family<Reason, Counter>,
    refused: Family<Reason, Counter>,
    handshakes_refused: Family<Reason, Counter>,
    rate_limited: Family<Event, Counter>,
    delivered: ByEvent,
    published: ByEvent,
    publishes: Family<Status, Counter>,
    congestions: Counter,
    conflated: Counter,
    stale: Counter,
    timed_out: Counter,
    resumed: Family<Reason, Counter>,
    idle_users_forgotten: Counter,
    bus_losses: Counter,
    bus_away: Counter<f64, AtomicU64>,
    held: Counter,
    handed_over: Counter,
    log_gaps: Family<Reason, Counter>,
    slots_lost: Family<Reason, Counter>,
    sessions_gone: Counter,
    emitted_lost: Counter,
    connections: Gauge,
    users: Gauge,
    transports: Gauge,
    handshakes: Gauge,
    symbols: Gauge,
    congested: Gauge,
    pending_bytes: Gauge,
    history_events: Gauge,
    history_bytes: Gauge,
    draining: Gauge,
    bus_reached: Gauge,
    values_held: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new(bus: Option<&BusStatus>) -> Self {
        let mut registry = Registry::with_prefix("tradewire");
        let r = &mut registry;
        if let Some(bus) = bus {
            bus.register(r);
        }
        Self {
            inputs: counter(r, "inputs", "Facts given to the engine"),
            record: RecordMetrics::new(r),
            streams_refused: counter(
                r,
                "streams_refused",
                "TCP connections closed at once because there were too many",
            ),
            admitted: counter(r, "connections_admitted", "Clients let in"),
            disconnected: counter(
                r,
                "connections_ended",
                "Clients that were in and left by themselves; transports_closed counts the others",
            ),
            closed: family(r, "transports_closed", "Transports closed by the server"),
            refused: family(
                r,
                "connects_refused",
                "CONNECTs answered with CONNECT_ERROR",
            ),
            handshakes_refused: family(r, "handshakes_refused", "Handshakes answered with 503"),
            rate_limited: family(r, "calls_rate_limited", "Calls over their limit"),
            delivered: ByEvent::new(
                r,
                "events_delivered",
                "Events handed over, one for each recipient",
            ),
            published: ByEvent::new(r, "events_published", "Items accepted from publishers"),
            publishes: family(r, "publish_requests", "Publish requests answered"),
            congestions: counter(r, "congestions", "Outboxes that came over their bound"),
            conflated: counter(
                r,
                "values_conflated",
                "Values replaced before a congested client got them",
            ),
            stale: counter(
                r,
                "values_stale",
                "Values dropped because a newer one was there",
            ),
            timed_out: counter(
                r,
                "requests_timed_out",
                "Requests to the bus or the session store without an answer",
            ),
            resumed: family(r, "resumes", "Resumes answered"),
            idle_users_forgotten: counter(r, "idle_users_forgotten", "Idle users forgotten early"),
            bus_losses: counter(r, "bus_losses", "Times that contact with the bus was lost"),
            bus_away: {
                let seconds = Counter::default();
                let help = "Time without the bus, counted when it is back";
                r.register_with_unit("bus_away", help, Unit::Seconds, seconds.clone());
                seconds
            },
            held: counter(
                r,
                "values_held_back",
                "Values delivered to this node's clients while the bus could not take them",
            ),
            handed_over: counter(r, "values_handed_over", "Values that the bus took later"),
            log_gaps: family(r, "log_gaps", "Times that log events were missing"),
            slots_lost: family(r, "slots_lost", "Connections that lost their slot"),
            sessions_gone: counter(r, "sessions_gone", "Clients whose session was gone"),
            emitted_lost: counter(
                r,
                "emitted_lost",
                "Items of emitter messages that were lost",
            ),
            connections: gauge(r, "connections", "Clients that are in"),
            users: gauge(r, "users", "Users with at least one connection"),
            transports: gauge(r, "transports", "Transport sessions of whatever stage"),
            handshakes: gauge(r, "handshakes", "Handshakes without CONNECT"),
            symbols: gauge(r, "symbols", "Symbols held by at least one client"),
            congested: gauge(r, "connections_congested", "Clients that are congested"),
            pending_bytes: bytes(
                r,
                "pending",
                "Handed over and not known to be written, at most",
            ),
            history_events: gauge(r, "history_events", "Log events kept for resume"),
            history_bytes: bytes(r, "history", "Log events kept for resume"),
            draining: gauge(r, "draining", "1 while the node leaves"),
            bus_reached: gauge(r, "bus_reached", "1 while the bus can be used"),
            values_held: gauge(r, "values_held", "Values that wait for the bus"),
            registry,
        }
    }

    /// Counts what a note tells.
    pub(crate) fn note(&self, note: &Note) {
        let by = |family: &Family<Reason, Counter>, reason| {
            family.get_or_create(&Reason { reason }).inc();
        };
        match note {
            Note::Admitted { .. } => drop(self.admitted.inc()),
            Note::BusLost => drop(self.bus_losses.inc()),
            Note::BusReached { away } => drop(self.bus_away.inc_by(away.as_secs_f64())),
            Note::Closing { reason, .. } => by(&self.closed, reason.name()),
            Note::Congested { .. } => drop(self.congestions.inc()),
            Note::Conflated { .. } => drop(self.conflated.inc()),
            Note::Disconnected { .. } => drop(self.disconnected.inc()),
            Note::EmittedLost { items } => drop(self.emitted_lost.inc_by(u64::from(*items))),
            Note::HandedOver { values } => drop(self.handed_over.inc_by(u64::from(*values))),
            Note::Held { .. } => drop(self.held.inc()),
            Note::LogGap { cause, .. } => by(
                &self.log_gaps,
                match cause {
                    GapCause::DataLoss => "data_loss",
                    GapCause::Trimmed => "trimmed",
                },
            ),
            Note::SessionGone { .. } => drop(self.sessions_gone.inc()),
            Note::SlotLost { loss, .. } => by(
                &self.slots_lost,
                match loss {
                    SlotLoss::Excess => "excess",
                    SlotLoss::Replaced => "replaced",
                },
            ),
            Note::HandshakeRefused { reason } => by(&self.handshakes_refused, reason.name()),
            Note::IdleUserForgotten => drop(self.idle_users_forgotten.inc()),
            Note::RateLimited { call, .. } => {
                self.rate_limited
                    .get_or_create(&Event {
                        event: call.event(),
                    })
                    .inc();
            }
            Note::Refused { reason, .. } => by(&self.refused, reason.name()),
            Note::RequestTimedOut { .. } => drop(self.timed_out.inc()),
            Note::Resumed {
                recovered: true, ..
            } => by(&self.resumed, "recovered"),
            Note::Resumed {
                recovered: false, ..
            } => by(&self.resumed, "not_recovered"),
            Note::StaleState { .. } => drop(self.stale.inc()),
            Note::Draining { .. } | Note::Intake { .. } | Note::Uncongested { .. } => {}
        }
    }

    /// Counts a delivery.
    pub(crate) fn delivered(&self, message: &Message, recipients: usize) {
        let event = match message {
            Message::Log { kind, .. } => kind.event(),
            Message::State { topic, .. } => topic.event(),
        };
        self.delivered.add(event, recipients as u64);
    }

    /// Counts items that were accepted, by event.
    pub(crate) fn published(&self, event: &'static str) {
        self.published.add(event, 1);
    }

    /// Counts a publish request's answer.
    pub(crate) fn publish_answered(&self, status: PublishStatus) {
        let status = match status {
            PublishStatus::Accepted => "accepted",
            PublishStatus::Refused => "refused",
            PublishStatus::Unavailable => "unavailable",
        };
        self.publishes.get_or_create(&Status { status }).inc();
    }

    /// The exposition text, with the gauges set from `report`.
    pub(crate) fn expose(&self, report: &Report) -> Result<String, fmt::Error> {
        let stats = &report.stats;
        for (gauge, figure) in [
            (&self.connections, u64::from(stats.connections)),
            (&self.users, u64::from(stats.users)),
            (&self.transports, u64::from(stats.transports)),
            (&self.handshakes, u64::from(stats.handshakes)),
            (&self.symbols, u64::from(stats.symbols)),
            (&self.congested, u64::from(stats.congested)),
            (&self.pending_bytes, stats.pending_bytes),
            (&self.history_events, stats.history_events),
            (&self.history_bytes, stats.history_bytes),
            (&self.draining, u64::from(report.draining)),
            (
                &self.bus_reached,
                u64::from(stats.contact == Contact::Reached),
            ),
            (&self.values_held, u64::from(stats.held)),
        ] {
            gauge.set(i64::try_from(figure).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn bytes(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
    gauge
}

fn family<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: Clone + fmt::Debug + std::hash::Hash + Eq + EncodeLabelSet + Send + Sync + 'static,
{
    let family = Family::<L, Counter>::default();
    registry.register(name, help, family.clone());
    family
}
