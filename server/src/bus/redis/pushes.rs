//! What Redis pushes, between its connection and those that take it.
//!
//! Bounded and never waited for: the connection must go on reading. Values that find no room are not
//! dropped one by one but all at once, and that they were missed is remembered, so that they are read
//! anew; emitter messages, which nothing brings back, are dropped from the newest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::codec::{Codec, StateMessage};
use super::hearing::Hearing;
use super::status::BusStatus;

/// Messages of one kind that wait at most.
pub(super) const MESSAGES_MAX: usize = 4_096;

/// Bytes of messages of one kind that wait at most.
pub(super) const BYTES_MAX: usize = 64 << 20;

/// How the body of a heartbeat begins.
const HEARTBEAT: &[u8] = b"h ";

/// Messages that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    waiting: Mutex<Waiting>,
    ready: Notify,
}

/// Messages taken together.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Bodies from the state channel.
    pub(super) values: VecDeque<Vec<u8>>,
    values_bytes: usize,
    /// Values were dropped before these.
    pub(super) missed: bool,
    /// Channels and bodies from the emitters' channels.
    pub(super) emitted: VecDeque<(Vec<u8>, Vec<u8>)>,
    emitted_bytes: usize,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.emitted.is_empty() && !self.missed
    }
}

impl Pushes {
    /// Takes in what Redis pushed.
    pub(super) fn push(
        &self,
        push: PushInfo,
        codec: &Codec,
        hearing: &Hearing,
        status: &BusStatus,
    ) {
        let PushInfo { kind, data } = push;
        let mut texts = data.into_iter().rev().map(|value| {
            if let Value::BulkString(bytes) = value {
                Some(bytes)
            } else {
                None
            }
        });
        // The body is the last, the channel before it; a pattern is of no use.
        let body = texts.next().flatten();
        let channel = texts.next().flatten();
        if kind == PushKind::Message {
            let Some(body) = body else {
                status.garbage.inc();
                return;
            };
            if body.starts_with(HEARTBEAT) {
                // At once: that this node hears itself must not depend on how much there is to do.
                if let Ok(StateMessage::Heartbeat { node, number }) = codec.state_message(&body) {
                    if let Some(after) = hearing.heard(node, number) {
                        status.heard(after);
                    }
                } else {
                    status.garbage.inc();
                }
                return;
            }
            self.push_values(body, status);
        } else if kind == PushKind::PMessage {
            match (channel, body) {
                (Some(channel), Some(body)) => self.push_emitted(channel, body, status),
                (Some(_) | None, None) | (None, Some(_)) => drop(status.garbage.inc()),
            }
        } else {
            // Confirmations and the connection's end are told elsewhere.
            return;
        }
        self.ready.notify_one();
    }

    fn push_values(&self, body: Vec<u8>, status: &BusStatus) {
        let mut waiting = self.lock();
        let bytes = waiting.values_bytes.saturating_add(body.len());
        if waiting.values.len() < MESSAGES_MAX && bytes <= BYTES_MAX {
            waiting.values_bytes = bytes;
            waiting.values.push_back(body);
            return;
        }
        // This one too: what is read anew is at least as new.
        waiting.values.clear();
        waiting.values_bytes = 0;
        waiting.missed = true;
        status.overflows.inc();
    }

    fn push_emitted(&self, channel: Vec<u8>, body: Vec<u8>, status: &BusStatus) {
        let mut waiting = self.lock();
        let bytes = waiting
            .emitted_bytes
            .saturating_add(channel.len())
            .saturating_add(body.len());
        if waiting.emitted.len() < MESSAGES_MAX && bytes <= BYTES_MAX {
            waiting.emitted_bytes = bytes;
            waiting.emitted.push_back((channel, body));
        } else {
            status.overflows.inc();
        }
    }

    /// Waits until there is something, and takes all of it. Nothing is lost when the wait is cut short.
    pub(super) async fn take(&self) -> Waiting {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.is_empty() {
                    return core::mem::take(&mut *waiting);
                }
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
