//! The bus that many nodes share: Redis orders what is published, keeps it, and carries it to all.
//!
//! [`RedisBus`] takes requests and never waits. One task ([`session`]) makes contact and works on them;
//! all it has to say goes to the driver as inputs through one queue. What Redis is told and what it says
//! is in [`codec`] alone; what follows from it is the engine's to decide.

mod arrivals;
mod backoff;
pub(crate) mod codec;
mod commands;
pub(crate) mod emitter;
mod hearing;
mod keys;
mod log;
mod pushes;
mod session;
mod state;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::limits::{Limits, ParseLimits};
use tradewire_engine::time::Timestamp;

use self::arrivals::Arrivals;
use self::backoff::Backoff;
use self::codec::Codec;
use self::commands::Desk;
use self::log::Reader;
use self::session::Session;
pub(crate) use self::status::BusStatus;
use super::Bus;
use crate::clock::Clock;
use crate::net::Net;
use crate::redis::RedisUrl;

/// Requests that may wait to be sent. Over it: answered as failed at once.
const REQUESTS_MAX: usize = 16_384;

/// The connection for requests while there is contact, for others than the bus who have some.
pub(crate) type Commands = watch::Receiver<Option<MultiplexedConnection>>;

/// What a Redis bus is made of.
pub(crate) struct Parts<'a, N, C> {
    pub(crate) net: N,
    pub(crate) clock: C,
    pub(crate) url: RedisUrl,
    /// Names this life of this node, to the codec too.
    pub(crate) instance: u64,
    pub(crate) codec: Codec,
    pub(crate) limits: &'a Limits,
    pub(crate) parse_limits: ParseLimits,
    /// Decides how long is waited between attempts.
    pub(crate) seed: u64,
    /// Where inputs go.
    pub(crate) arrivals: mpsc::Sender<Input>,
    pub(crate) status: Arc<BusStatus>,
}

/// The bus on Redis; its work ends soon after it is dropped.
#[derive(Debug)]
pub(crate) struct RedisBus {
    requests: mpsc::Sender<BusRequest>,
    listen: watch::Sender<bool>,
    _stop: DropGuard,
}

/// Ends a Redis bus; its work ends at once when this is dropped.
#[derive(Debug)]
pub(crate) struct Stop {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Stop {
    /// Takes what was asked so far to Redis, for half a second at most, and ends the bus.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // It has a deadline of its own; how it ended does not matter.
        let _ = self.task.await;
    }
}

impl RedisBus {
    /// Starts a bus that makes contact by itself.
    pub(crate) fn start<N: Net, C: Clock>(parts: Parts<'_, N, C>) -> (Self, Commands, Stop) {
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let (listen, _) = watch::channel(false);
        let (commands, commands_out) = watch::channel(None);
        let stop = CancellationToken::new();
        let session = Session {
            net: parts.net,
            clock: parts.clock,
            url: parts.url,
            instance: parts.instance,
            codec: Arc::new(parts.codec),
            parse_limits: parts.parse_limits,
            answer_max: parts.limits.bus_request_max,
            arrivals: Arrivals::new(parts.arrivals),
            status: parts.status,
            commands,
            listen: listen.clone(),
            stop: stop.clone(),
        };
        let work = session.run(
            Desk::new(waiting),
            Reader::new(parts.limits.history_max),
            Backoff::new(parts.seed),
        );
        let task = AbortOnDropHandle::new(tokio::spawn(work));
        let bus = Self {
            requests,
            listen,
            _stop: stop.clone().drop_guard(),
        };
        (bus, commands_out, Stop { stop, task })
    }
}

impl Bus for RedisBus {
    fn submit(&mut self, _: Timestamp, request: BusRequest, answers: &mut VecDeque<Input>) {
        if let BusRequest::Listen { on } = request {
            // Kept as a state, so that it cannot be lost among requests.
            self.listen.send_replace(on);
            return;
        }
        match self.requests.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request) | TrySendError::Closed(request)) => {
                answers.extend(Codec::failed(&request));
            }
        }
    }
}
