//! What a simulation does to the data from outside: sessions, trimming, garbage.
//!
//! As commands from a client that is never refused would do it. Always in database 0.

use std::time::Duration;

use bytes::Bytes;

use super::Redis;
use super::core::Core;
use super::keyspace::{Entry, Value};

impl Redis {
    /// Sets a text, for `life` or for ever.
    pub fn set(&self, key: &str, text: impl Into<Bytes>, life: Option<Duration>) {
        self.plant(|core| {
            let entry = Entry {
                value: Value::Text(text.into()),
                expires: life.map(|life| core.clock.now_ms().saturating_add(millis(life))),
            };
            core.put(0, &bytes(key), Some(entry));
        });
    }

    /// The text at a key, if there is one.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.plant(|core| core.keys(0)?.text(key.as_bytes()).ok()?.cloned())
    }

    /// Takes a key away and says whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        self.plant(|core| core.remove(0, &bytes(key)))
    }

    /// Lets a key expire after `life`, and says whether there is one.
    pub fn expire_in(&self, key: &str, life: Duration) -> bool {
        self.plant(|core| {
            let expires = core.clock.now_ms().saturating_add(millis(life));
            core.set_expiry(0, &bytes(key), expires)
        })
    }

    /// Takes all keys away.
    pub fn remove_all(&self) {
        self.plant(Core::remove_everything);
    }

    /// Drops all but the latest entries of a stream, and says how many are left.
    pub fn trim(&self, key: &str, length_max: usize) -> usize {
        let trimmed = |value: &mut Value| match value {
            Value::Stream(stream) => {
                stream.trim(length_max);
                stream.length()
            }
            Value::Hash(_) | Value::List(_) | Value::Text(_) => 0,
        };
        self.plant(|core| core.change(0, &bytes(key), trimmed))
            .unwrap_or(0)
    }

    /// Publishes anything on any channel, and says to how many.
    pub fn publish(&self, channel: &str, message: impl Into<Bytes>) -> usize {
        self.plant(|core| core.publish(&bytes(channel), &message.into()))
    }

    fn plant<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        // No script may be half way.
        let _scripts = self.scripts();
        let mut core = self.core();
        core.expire();
        act(&mut core)
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
