//! A driver for tests, with a bus of its own and real services around it, and the other ends of its queues.

use tradewire_engine::BusKind;

use super::*;
use crate::bus::Embedded;
use crate::clock::SystemClock;
use crate::config;
use crate::gateway::SenderSlot;
use crate::inbox::{Inbox, inbox};
use crate::recorder::Recording;
use crate::run::socket_io;
use crate::sessions::Trust;

pub(super) struct Rig {
    pub(super) driver: Driver<SystemClock>,
    pub(super) inbox: Inbox,
    pub(super) outlets: Outlets,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) metrics: Arc<Metrics>,
}

impl Rig {
    /// Within a runtime.
    pub(super) fn new(recording: Option<Recording>) -> Self {
        let config = config::parse([], |_| None).expect("defaults");
        let packets_max = config.limits.outbox_packets_max as usize;
        let (inbox, outlets) = inbox();
        let metrics = Arc::new(Metrics::new(None));
        let (notices, notices_out) = mpsc::unbounded_channel();
        let slot = SenderSlot::default();
        let service = socket_io(&config, packets_max, &inbox, &slot);
        let polling = Arc::new(PollingSessions::default());
        let clock = SystemClock::start();
        let engine = Engine::new(tradewire_engine::Config {
            limits: config.limits.clone(),
            delivery: config.delivery,
            bus: BusKind::Embedded,
            seed: 1,
            instance: 1,
        });
        let driver = Driver::new(Parts {
            engine: engine.expect("limits"),
            clock,
            bus: Box::new(Embedded::new(1, 1)),
            sessions: Box::new(Trust),
            sender: slot.get().and_then(|slot| slot.upgrade()).expect("a slot"),
            gate: Gate::new(service, inbox.clone(), Arc::clone(&polling), &config),
            polling,
            packets_max,
            metrics: Arc::clone(&metrics),
            notices,
            recorder: recording.map(|it| Recorder::new(it, clock, Arc::clone(&metrics))),
        });
        Self {
            driver,
            inbox,
            outlets,
            notices: notices_out,
            metrics,
        }
    }
}
