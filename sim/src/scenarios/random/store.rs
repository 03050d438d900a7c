//! What the world does to Redis, always as something that its host does, and what it hears from there.

use std::sync::Arc;
use std::time::Duration;

use super::Random;
use crate::journal::Journal;
use crate::judge::user_name;
use crate::net::Network;
use crate::observation::Observation as Saw;
use crate::oracle::User;
use crate::redis::{Redis, Wrote};

/// The name under which it is seen.
const NAME: &str = "redis";

/// The log's stream and the state's channel, as the servers name them.
pub(super) const LOG: &str = "tradewire:{log}:stream";
pub(super) const STATE: &str = "tradewire:{state}:ch";

/// What a user's slots begin with, as the servers name them.
const SLOTS: &[u8] = b"tradewire:{slots:";

/// Has the journal told of every event that is logged and every value that is taken, and of slots that
/// are taken again, whose leases take `lease_ms`.
pub(super) fn listen(redis: &Redis, journal: &Journal, lease_ms: u64) {
    let (who, journal) = (Arc::<str>::from(NAME), journal.clone());
    redis.tap(move |wrote| match wrote {
        Wrote::Appended { stream, id, pairs } if stream == LOG.as_bytes() => {
            let field = |name: &[u8]| {
                let pair = pairs.iter().find(|[field, _]| field == name);
                let value = pair.map_or(&[][..], |[_, value]| value);
                String::from_utf8_lossy(value).into_owned()
            };
            let logged = Saw::Logged {
                id: format!("{}-{id}", field(b"e")),
                user: field(b"u"),
                payload: field(b"p"),
            };
            journal.observe(&who, logged);
        }
        Wrote::Published { channel, message } if channel == STATE.as_bytes() => {
            for (topic, payload) in values(message).unwrap_or_default() {
                journal.observe(&who, Saw::Took { topic, payload });
            }
        }
        Wrote::Added { hash, value, .. }
            if hash.starts_with(SLOTS) && is_retaken(value, lease_ms) =>
        {
            journal.observe(&who, Saw::SlotRetaken);
        }
        Wrote::Added { .. } | Wrote::Appended { .. } | Wrote::Published { .. } => {}
    });
}

/// Whether a slot that was not there is of a connection that was admitted before.
fn is_retaken(slot: &[u8], lease_ms: u64) -> bool {
    let text = std::str::from_utf8(slot).unwrap_or_default();
    let mut times = text.split(' ').map(str::parse::<u64>);
    matches!((times.next(), times.next()), (Some(Ok(since)), Some(Ok(ends))) if since + lease_ms < ends)
}

/// Topics and payloads of a message with values, if it is one.
fn values(message: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(message).ok()?;
    let rest = text
        .strip_prefix("v ")
        .or_else(|| text.strip_prefix("o "))?;
    let (_, mut rest) = rest.split_once('\n')?;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_once('\n')?;
        let mut numbers = head.split(' ').skip(1).map(str::parse::<usize>);
        let (Some(Ok(topic)), Some(Ok(payload))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        let (topic, after) = after.split_at_checked(topic)?;
        let (payload, after) = after.split_at_checked(payload)?;
        values.push((topic.to_owned(), payload.to_owned()));
        rest = after;
    }
    Some(values)
}

fn session_key(user: User) -> String {
    format!("sess:q{}", user.0)
}

fn plant(redis: &Redis, user: User) {
    let name = user_name(user);
    let session = format!(r#"{{"cookie":{{"originalMaxAge":null}},"userId":"{name}"}}"#);
    redis.set(&session_key(user), session, None);
}

impl<W: Network> Random<W> {
    /// Has the host of Redis do something with it, in its next turn.
    pub(super) fn with_redis(&mut self, act: impl FnOnce(&Redis, &Journal) + Send + 'static) {
        let (redis, journal) = (self.redis.clone(), self.world.journal().clone());
        let task = async move { act(&redis, &journal) };
        self.world.network().spawn(self.redis_host, task);
    }

    pub(super) fn plant_sessions(&mut self) {
        if self.plan.sessions {
            let users = self.plan.users;
            self.with_redis(move |redis, _| (0..users).for_each(|user| plant(redis, User(user))));
        }
    }

    /// A user's session is there, or is not.
    pub(super) fn set_session(&mut self, user: User, there: bool) {
        self.with_redis(move |redis, journal| {
            if there {
                plant(redis, user);
            } else {
                redis.remove(&session_key(user));
            }
            see_session(journal, user, there);
        });
    }

    /// All data is gone, after `stop` perhaps, and all sessions with it; those come back later.
    pub(super) fn lose_data(&mut self, lose: impl FnOnce(&Redis) + Send + 'static) {
        let users = if self.plan.sessions {
            self.plan.users
        } else {
            0
        };
        self.with_redis(move |redis, journal| {
            lose(redis);
            journal.observe(&Arc::from(NAME), Saw::DataLost);
            (0..users).for_each(|user| see_session(journal, User(user), false));
        });
    }

    /// Sets the clock of Redis by so many milliseconds.
    pub(super) fn set_clock(&mut self, by: i64) {
        self.with_redis(move |redis, journal| {
            let (now, span) = (redis.clock(), Duration::from_millis(by.unsigned_abs()));
            let then = if by < 0 {
                now.saturating_sub(span)
            } else {
                now + span
            };
            redis.set_clock(then);
            journal.observe(&Arc::from(NAME), Saw::ClockSet);
        });
    }
}

fn see_session(journal: &Journal, user: User, there: bool) {
    let user = user_name(user);
    journal.observe(&Arc::from(NAME), Saw::Session { user, there });
}
