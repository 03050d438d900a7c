//! What simulated servers keep in Redis: what they write there, told to the journal, and sessions planted
//! for them.

use std::sync::Arc;

use crate::journal::Journal;
use crate::judge::user_name;
use crate::observation::Observation as Saw;
use crate::oracle::User;
use crate::redis::{Redis, Wrote};

/// The name under which it is seen.
pub(super) const NAME: &str = "redis";

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

/// Where a user's session is.
pub(super) fn session_key(user: User) -> String {
    format!("sess:q{}", user.0)
}

/// Puts a user's session there.
pub(super) fn plant(redis: &Redis, user: User) {
    let name = user_name(user);
    let session = format!(r#"{{"cookie":{{"originalMaxAge":null}},"userId":"{name}"}}"#);
    redis.set(&session_key(user), session, None);
}
