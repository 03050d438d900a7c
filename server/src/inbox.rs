//! The way to the driver: one bounded queue for what asks, one for what must not be missed.

use std::sync::Arc;

use socketioxide_core::Sid;
use tokio::sync::{mpsc, oneshot};
use tradewire_engine::effect::PublishOutcome;
use tradewire_engine::event::Publish;
use tradewire_engine::ids::{ConnId, SessionId};
use tradewire_engine::input::AckId;
use tradewire_engine::parse::{Auth, ClientEvent};
use tradewire_engine::reason::{Refusal, Unavailable};
use tradewire_engine::time::WallTime;
use tradewire_engine::{Input, Stats};

use crate::link::{Link, Presence};

/// How many commands may wait for the driver. It handles some hundred thousand a second, so a full
/// queue is a node that is overloaded for tens of milliseconds.
const QUEUE_MAX: usize = 16_384;

/// How many publishes may wait for the driver; what is beyond waits at the HTTP edge.
const PUBLISHES_MAX: usize = 64;

/// How many answers and arrivals from outside may wait for the driver; beyond that, whoever has more
/// waits with it.
const ARRIVALS_MAX: usize = 1_024;

/// Something that someone wants of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client sent CONNECT.
    Connect {
        conn: ConnId,
        sid: Sid,
        auth: Auth,
        cookie: Option<SessionId>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// A client wants a transport session.
    Handshake {
        reply: oneshot::Sender<Result<Admitted, Unavailable>>,
    },
    /// A client sent an event.
    Received {
        conn: ConnId,
        event: ClientEvent,
        ack: Option<AckId>,
    },
    /// Someone wants to know how things are.
    Report { reply: oneshot::Sender<Report> },
}

/// A publisher's batch.
#[derive(Debug)]
pub(crate) struct PublishCommand {
    pub(crate) items: Vec<Publish>,
    pub(crate) wall: WallTime,
    pub(crate) reply: oneshot::Sender<PublishOutcome>,
}

/// A transport session that may begin.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) link: Arc<Link>,
    pub(crate) presence: Presence,
}

/// How the driver is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) stats: Stats,
    pub(crate) draining: bool,
}

/// The sending ends.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) publishes: mpsc::Sender<PublishCommand>,
    /// What the bus and the session store have to say, as it goes to the engine.
    pub(crate) arrivals: mpsc::Sender<Input>,
}

/// The receiving ends.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) publishes: mpsc::Receiver<PublishCommand>,
    pub(crate) arrivals: mpsc::Receiver<Input>,
}

/// Makes both.
pub(crate) fn inbox() -> (Inbox, Outlets) {
    let (commands, commands_out) = mpsc::channel(QUEUE_MAX);
    let (publishes, publishes_out) = mpsc::channel(PUBLISHES_MAX);
    let (arrivals, arrivals_out) = mpsc::channel(ARRIVALS_MAX);
    (
        Inbox {
            commands,
            publishes,
            arrivals,
        },
        Outlets {
            commands: commands_out,
            publishes: publishes_out,
            arrivals: arrivals_out,
        },
    )
}
