//! Values of topics and emitter messages on their way from Redis to the driver.
//!
//! What is not understood is counted and skipped, whoever sent it.

use std::collections::VecDeque;
use std::convert::Infallible;

use redis::ErrorKind;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;
use tradewire_engine::Input;
use tradewire_engine::bus::ARRIVALS_MAX;
use tradewire_engine::event::StateValue;
use tradewire_engine::limits::ParseLimits;

use super::arrivals::Arrivals;
use super::codec::{Codec, StateMessage};
use super::emitter;
use super::keys::EMITTER_PATTERN;
use super::pushes::Pushes;
use super::session::End;
use super::status::BusStatus;
use crate::clock::Clock;

/// Takes what was pushed to the driver.
pub(super) struct Follower<'a, C> {
    pub(super) codec: &'a Codec,
    pub(super) parse_limits: &'a ParseLimits,
    pub(super) clock: &'a C,
    pub(super) pushes: &'a Pushes,
    pub(super) arrivals: &'a Arrivals,
    pub(super) status: &'a BusStatus,
}

impl<C: Clock> Follower<'_, C> {
    /// Takes over what comes, and hears emitters while `listen` says so, until that fails.
    pub(super) async fn follow(
        &self,
        connection: &MultiplexedConnection,
        mut listen: watch::Receiver<bool>,
    ) -> Result<Infallible, End> {
        let mut connection = connection.clone();
        let mut listening = false;
        loop {
            tokio::select! {
                biased;
                changed = listen.changed() => {
                    if changed.is_err() {
                        return Err(End::Stopped);
                    }
                    let on = *listen.borrow_and_update();
                    if on != listening {
                        let done = if on {
                            connection.psubscribe(EMITTER_PATTERN).await
                        } else {
                            connection.punsubscribe(EMITTER_PATTERN).await
                        };
                        match done {
                            Ok(()) => listening = on,
                            // Who may not listen to emitters may need none; all else goes on.
                            Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                                tracing::warn!(%error, "emitters cannot be heard: allow PSUBSCRIBE socket.io#/#*");
                            }
                            Err(error) => return Err(End::Redis(error)),
                        }
                    }
                }
                waiting = self.pushes.take() => {
                    if waiting.missed {
                        self.arrivals.send(Input::StateMissed).await;
                    }
                    self.tell_values(waiting.values).await;
                    if listening {
                        self.tell_emitted(waiting.emitted).await;
                    }
                }
            }
        }
    }

    async fn tell_values(&self, bodies: VecDeque<Vec<u8>>) {
        let mut together: Vec<StateValue> = Vec::new();
        for body in bodies {
            match self.codec.state_message(&body) {
                Ok(StateMessage::Values(values)) => {
                    for value in values {
                        together.push(value);
                        if together.len() == ARRIVALS_MAX {
                            self.arrived(&mut together, false).await;
                        }
                    }
                }
                Ok(StateMessage::Publication(mut values)) => {
                    self.arrived(&mut together, false).await;
                    // No more than fit into one input, as long as nobody else writes such messages.
                    values.truncate(ARRIVALS_MAX);
                    self.arrived(&mut values, true).await;
                }
                Ok(StateMessage::Heartbeat { .. }) | Err(_) => {
                    self.status.garbage.inc();
                }
            }
        }
        self.arrived(&mut together, false).await;
    }

    async fn arrived(&self, values: &mut Vec<StateValue>, once: bool) {
        if !values.is_empty() {
            let values = core::mem::take(values);
            self.arrivals
                .send(Input::StateArrived { values, once })
                .await;
        }
    }

    async fn tell_emitted(&self, messages: VecDeque<(Vec<u8>, Vec<u8>)>) {
        for (channel, body) in messages {
            let wall = self.clock.wall();
            match emitter::decode(&channel, &body, wall, self.parse_limits) {
                Ok(items) if items.is_empty() => {}
                Ok(items) => self.arrivals.send(Input::Emitted { items, wall }).await,
                Err(error) => {
                    self.status.garbage.inc();
                    tracing::debug!(%error, "an emitter message does not fit and is dropped");
                }
            }
        }
    }
}
