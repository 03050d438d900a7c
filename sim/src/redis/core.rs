//! All that the simulated Redis holds, and what every command goes through.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Settings;
use super::clients::{Clients, Reading};
use super::clock::Clock;
use super::commands::{self, Spec};
use super::faults::WriteRefusal;
use super::journal::{Journal, Place};
use super::keyspace::{Entry, Keyspace, Value};
use super::pubsub::{Kind, PubSub};
use super::refusal::Refusal;
use super::reply::Reply;
use super::tap::{Tap, Wrote};

/// Who runs a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) client: u64,
    pub(super) db: usize,
    pub(super) in_script: bool,
}

/// The data, the clients and the faults that commands meet.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) clients: Clients,
    pub(super) pubsub: PubSub,
    pub(super) refuses_writes: Option<WriteRefusal>,
    pub(super) loading_until: Option<Instant>,
    /// Whose script runs, and whether it has written.
    pub(super) script: Option<Caller>,
    pub(super) script_wrote: bool,
    pub(super) tap: Tap,
    databases: Vec<Keyspace>,
    journal: Journal,
    /// Streams that got entries since waiting reads were looked at.
    appended: Vec<Place>,
    /// Clients with a blocking read, the longest waiting first.
    waiting: Vec<u64>,
}

impl Core {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            clock: Clock::new(settings.now),
            clients: Clients::new(settings.subscriber_limit),
            pubsub: PubSub::default(),
            refuses_writes: None,
            loading_until: None,
            script: None,
            script_wrote: false,
            tap: Tap::default(),
            databases: (0..commands::DATABASES)
                .map(|_| Keyspace::default())
                .collect(),
            journal: Journal::new(settings.undo_max),
            appended: Vec::new(),
            waiting: Vec::new(),
            settings,
        }
    }

    /// Drops what has expired, as it must be before anything looks.
    pub(super) fn expire(&mut self) {
        let now = self.clock.now_ms();
        self.databases.iter_mut().for_each(|keys| keys.expire(now));
    }

    pub(super) fn keys(&self, db: usize) -> Option<&Keyspace> {
        self.databases.get(db)
    }

    /// The database to read from; one that is not there cannot be selected.
    pub(super) fn read(&self, caller: &Caller) -> Result<&Keyspace, Refusal> {
        self.keys(caller.db).ok_or(Refusal::Database)
    }

    /// Puts `entry` at `key`, or takes away what is there.
    pub(super) fn put(&mut self, db: usize, key: &Bytes, entry: Option<Entry>) {
        self.note(db, key);
        if let Some(keys) = self.databases.get_mut(db) {
            keys.put(key.clone(), entry);
        }
    }

    /// Takes a key away and says whether there was one.
    pub(super) fn remove(&mut self, db: usize, key: &Bytes) -> bool {
        self.note(db, key);
        self.databases
            .get_mut(db)
            .is_some_and(|keys| keys.remove(key))
    }

    /// Lets a key expire then, and says whether there is one.
    pub(super) fn set_expiry(&mut self, db: usize, key: &Bytes, expires: u64) -> bool {
        self.note(db, key);
        self.databases
            .get_mut(db)
            .is_some_and(|keys| keys.set_expiry(key, expires))
    }

    /// Changes what is at `key`, if there is something.
    pub(super) fn change<R>(
        &mut self,
        db: usize,
        key: &Bytes,
        change: impl FnOnce(&mut Value) -> R,
    ) -> Option<R> {
        self.note(db, key);
        self.databases.get_mut(db)?.value_mut(key).map(change)
    }

    fn note(&mut self, db: usize, key: &Bytes) {
        if let Some(keys) = self.databases.get(db) {
            self.journal
                .note((db, key.clone()), || keys.get(key).cloned());
        }
    }

    /// Undoes the writes of the last `span`.
    pub(super) fn lose(&mut self, span: Duration) {
        for ((db, key), before) in self.journal.undo(span) {
            if let Some(keys) = self.databases.get_mut(db) {
                keys.put(key, before);
            }
        }
    }

    /// Takes away all keys of all databases, for good.
    pub(super) fn lose_everything(&mut self) {
        self.journal.clear();
        self.databases
            .iter_mut()
            .for_each(|keys| *keys = Keyspace::default());
    }

    /// Takes away all keys of all databases, as a command would.
    pub(super) fn remove_everything(&mut self) {
        for db in 0..self.databases.len() {
            let keys: Vec<_> = self
                .keys(db)
                .into_iter()
                .flat_map(Keyspace::keys)
                .cloned()
                .collect();
            for key in &keys {
                self.remove(db, key);
            }
        }
    }

    /// Ends all connections and forgets what belonged to them.
    pub(super) fn disconnect_all(&mut self) {
        self.clients.all_mut().for_each(super::clients::Client::end);
        self.pubsub.clear();
        self.waiting.clear();
        self.appended.clear();
    }

    /// Finds the command that `args` name and sees whether a client may run it now.
    pub(super) fn admit(&self, client: u64, args: &[Bytes]) -> Result<&'static Spec, Refusal> {
        let spec = commands::find(args)?.ok_or_else(|| commands::unknown(args))?;
        if !spec.takes(args.len()) {
            return Err(Refusal::Arity(spec.name));
        }
        let client = self.clients.get(client).ok_or(Refusal::NoAuth)?;
        if !client.logged_in && !spec.before_login {
            return Err(Refusal::NoAuth);
        }
        if spec.grows && self.refuses_writes == Some(WriteRefusal::OutOfMemory) {
            return Err(Refusal::OutOfMemory);
        }
        if spec.writes && self.refuses_writes == Some(WriteRefusal::ReadOnly) {
            return Err(Refusal::ReadOnly);
        }
        let only_subscribes = client.protocol == super::reply::Protocol::Resp2;
        if only_subscribes && client.subscriptions() > 0 && !spec.while_subscribed {
            return Err(Refusal::Subscribed(spec.name));
        }
        let loading = self
            .loading_until
            .is_some_and(|until| Instant::now() < until);
        if loading && !spec.while_loading {
            return Err(Refusal::Loading);
        }
        Ok(spec)
    }

    /// Finds the command that a script calls and sees whether it may.
    pub(super) fn admit_in_script(&self, args: &[Bytes]) -> Result<&'static Spec, Refusal> {
        let spec = commands::find(args)
            .ok()
            .flatten()
            .ok_or(Refusal::UnknownInScript)?;
        if !spec.takes(args.len()) {
            return Err(Refusal::ArityInScript);
        }
        if !spec.in_script {
            return Err(Refusal::NotInScript);
        }
        if spec.writes && self.refuses_writes == Some(WriteRefusal::ReadOnly) {
            return Err(Refusal::ReadOnly);
        }
        // What has begun to write may go on.
        let out_of_memory = self.refuses_writes == Some(WriteRefusal::OutOfMemory);
        if spec.grows && out_of_memory && !self.script_wrote {
            return Err(Refusal::OutOfMemory);
        }
        Ok(spec)
    }

    /// Tells everyone who listens to `channel`, and says how many that were.
    pub(super) fn publish(&mut self, channel: &Bytes, message: &Bytes) -> usize {
        self.wrote(Wrote::Published { channel, message });
        let listeners = self.pubsub.listeners(channel);
        for (client, pattern) in &listeners {
            let mut parts = match pattern {
                None => vec![Reply::text("message")],
                Some(pattern) => vec![Reply::text("pmessage"), Reply::Bulk(pattern.clone())],
            };
            parts.extend([Reply::Bulk(channel.clone()), Reply::Bulk(message.clone())]);
            self.clients.say(*client, &Reply::Push(parts));
        }
        listeners.len()
    }

    /// A client's connection is over.
    pub(super) fn leave(&mut self, id: u64) {
        if let Some(client) = self.clients.leave(id) {
            for channel in client.channels {
                self.pubsub.remove(Kind::Channel, &channel, id);
            }
            for pattern in client.patterns {
                self.pubsub.remove(Kind::Pattern, &pattern, id);
            }
        }
        self.waiting.retain(|other| *other != id);
    }

    /// Lets a client wait for entries.
    pub(super) fn wait(&mut self, id: u64, reading: Reading) {
        if let Some(client) = self.clients.get_mut(id) {
            client.reading = Some(reading);
            self.waiting.push(id);
        }
    }

    /// Remembers that a stream got an entry.
    pub(super) fn appended(&mut self, db: usize, key: &Bytes) {
        if !self.waiting.is_empty() {
            self.appended.push((db, key.clone()));
        }
    }

    /// Answers the blocking reads whose streams got entries, even if those are gone again.
    pub(super) fn answer_waiting(&mut self) {
        for (db, key) in core::mem::take(&mut self.appended) {
            for id in self.waiting.clone() {
                if let Some(entries) = self.entries_for(id, db, &key) {
                    self.end_wait(id, &Reply::Pairs(vec![entries]));
                }
            }
        }
    }

    /// What a waiting client gets of a stream that got entries, if it is one of those it waits for.
    fn entries_for(&self, id: u64, db: usize, key: &Bytes) -> Option<(Reply, Reply)> {
        let reading = self.clients.get(id)?.reading.as_ref()?;
        let (_, after) = reading
            .streams
            .iter()
            .find(|(other, _)| reading.db == db && other == key)?;
        let stream = self.keys(db)?.stream(key).ok()??;
        (stream.last() > *after).then(|| commands::entries(key, stream, *after, reading.count))
    }

    /// When a client's blocking read ends with nothing, by the clock as it runs now.
    pub(super) fn wait_ends(&self, id: u64) -> Option<Instant> {
        let reading = self.clients.get(id)?.reading.as_ref()?;
        reading.until.map(|until| self.clock.instant_of(until))
    }

    /// Ends a client's blocking read with nothing if it is time.
    pub(super) fn time_out(&mut self, id: u64) {
        let now = self.clock.now_ms();
        let reading = self
            .clients
            .get(id)
            .and_then(|client| client.reading.as_ref());
        if reading.is_some_and(|reading| reading.until.is_some_and(|until| until <= now)) {
            self.end_wait(id, &Reply::NullArray);
        }
    }

    fn end_wait(&mut self, id: u64, reply: &Reply) {
        self.waiting.retain(|other| *other != id);
        if let Some(client) = self.clients.get_mut(id) {
            client.reading = None;
            client.signals.answered.notify_one();
        }
        self.clients.say(id, reply);
    }
}
