//! The clients: what each has agreed on, subscribed to, waits for, and has not read yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::reply::{Protocol, Reply};
use super::stream::StreamId;

/// How far a subscriber may fall behind, as `client-output-buffer-limit pubsub` says it.
#[derive(Clone, Copy, Debug)]
pub struct OutputLimit {
    /// Disconnected at once beyond this.
    pub hard_bytes: usize,
    /// Disconnected when it stays beyond this.
    pub soft_bytes: usize,
    /// For so long.
    pub soft_for: Duration,
}

/// A blocking read that has nothing to answer yet.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) db: usize,
    pub(super) streams: Vec<(Bytes, StreamId)>,
    pub(super) count: usize,
    /// When it ends with nothing, in ms since the Unix epoch.
    pub(super) until: Option<u64>,
}

/// What a connection's task waits for.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// There is something to write.
    pub(super) output: Notify,
    /// The connection is over.
    pub(super) ended: Notify,
    /// A blocking read was answered.
    pub(super) answered: Notify,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) protocol: Protocol,
    pub(super) db: usize,
    pub(super) logged_in: bool,
    pub(super) channels: Vec<Bytes>,
    pub(super) patterns: Vec<Bytes>,
    pub(super) reading: Option<Reading>,
    pub(super) signals: Arc<Signals>,
    /// Nothing is taken from it or said to it any more.
    pub(super) ended: bool,
    /// It ends when it has read what there is.
    pub(super) ends_after_output: bool,
    output: BytesMut,
    /// Bytes taken to be written and not written yet.
    flying: usize,
    /// Since when it has been beyond the soft bound.
    behind: Option<Instant>,
}

impl Client {
    fn new(logged_in: bool) -> Self {
        Self {
            protocol: Protocol::Resp2,
            db: 0,
            logged_in,
            channels: Vec::new(),
            patterns: Vec::new(),
            reading: None,
            signals: Arc::default(),
            ended: false,
            ends_after_output: false,
            output: BytesMut::new(),
            flying: 0,
            behind: None,
        }
    }

    /// Subscriptions of both kinds.
    pub(super) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Ends the connection. What it has not read is lost.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.signals.ended.notify_one();
    }

    /// Takes at most `bytes_max` of what is to be written; what was taken before is written.
    pub(super) fn take_output(&mut self, bytes_max: usize) -> Bytes {
        let taken = self
            .output
            .split_to(self.output.len().min(bytes_max))
            .freeze();
        self.flying = taken.len();
        taken
    }

    fn keep_within(&mut self, limit: OutputLimit) {
        let pending = self.output.len() + self.flying;
        if self.subscriptions() == 0 || pending <= limit.soft_bytes {
            self.behind = None;
            if self.subscriptions() == 0 || pending <= limit.hard_bytes {
                return;
            }
        }
        let now = Instant::now();
        let behind = *self.behind.get_or_insert(now);
        if pending > limit.hard_bytes || now.duration_since(behind) > limit.soft_for {
            self.output.clear();
            self.end();
        }
    }
}

/// All of them, by their ids.
#[derive(Debug)]
pub(super) struct Clients {
    limit: OutputLimit,
    next: u64,
    clients: BTreeMap<u64, Client>,
}

impl Clients {
    pub(super) fn new(limit: OutputLimit) -> Self {
        Self {
            limit,
            next: 1,
            clients: BTreeMap::new(),
        }
    }

    /// Adds one and says its id.
    pub(super) fn enter(&mut self, logged_in: bool) -> u64 {
        let id = self.next;
        self.next += 1;
        self.clients.insert(id, Client::new(logged_in));
        id
    }

    pub(super) fn leave(&mut self, id: u64) -> Option<Client> {
        self.clients.remove(&id)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Client> {
        self.clients.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.values_mut()
    }

    /// Says `reply` to one, if it is still there.
    pub(super) fn say(&mut self, id: u64, reply: &Reply) {
        let limit = self.limit;
        if let Some(client) = self.clients.get_mut(&id).filter(|client| !client.ended) {
            reply.write(client.protocol, &mut client.output);
            client.keep_within(limit);
            client.signals.output.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn subscriber() -> (Clients, u64) {
        let mut clients = Clients::new(OutputLimit {
            hard_bytes: 1_000,
            soft_bytes: 100,
            soft_for: Duration::from_secs(60),
        });
        let id = clients.enter(true);
        let channels = &mut clients.get_mut(id).unwrap().channels;
        channels.push(Bytes::from_static(b"c"));
        (clients, id)
    }

    fn ended_after(clients: &mut Clients, id: u64, bytes: usize) -> bool {
        clients.say(id, &Reply::Status(Bytes::from(vec![b'x'; bytes])));
        clients.get(id).unwrap().ended
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_far_behind_is_disconnected_at_once() {
        let (mut clients, id) = subscriber();
        assert!(!ended_after(&mut clients, id, 900));
        clients.get_mut(id).unwrap().take_output(500);
        assert!(
            !ended_after(&mut clients, id, 50),
            "what was taken counts until it is written"
        );
        assert!(ended_after(&mut clients, id, 50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_behind_for_long_is_disconnected() {
        let (mut clients, id) = subscriber();
        assert!(!ended_after(&mut clients, id, 200));
        advance(Duration::from_secs(60)).await;
        assert!(!ended_after(&mut clients, id, 1));
        advance(Duration::from_millis(1)).await;
        assert!(ended_after(&mut clients, id, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_catches_up_stays() {
        let (mut clients, id) = subscriber();
        assert!(!ended_after(&mut clients, id, 200));
        for _ in 0..2 {
            clients.get_mut(id).unwrap().take_output(usize::MAX);
        }
        advance(Duration::from_secs(61)).await;
        assert!(!ended_after(&mut clients, id, 10));
        assert!(!ended_after(&mut clients, id, 200));
    }

    #[tokio::test(start_paused = true)]
    async fn who_subscribes_to_nothing_has_no_bound() {
        let (mut clients, id) = subscriber();
        clients.get_mut(id).unwrap().channels.clear();
        assert!(!ended_after(&mut clients, id, 10_000));
    }
}
