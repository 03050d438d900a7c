//! The keys of one database, their values and when they expire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use indexmap::IndexMap;

use super::refusal::Refusal;
use super::stream::Stream;

/// A hash's fields, in the order in which they came.
pub(super) type Fields = IndexMap<Bytes, Bytes, BuildHasherDefault<DefaultHasher>>;

/// What a key holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Hash(Fields),
    List(VecDeque<Bytes>),
    Stream(Stream),
    Text(Bytes),
}

/// A value and when it expires, in ms since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) expires: Option<u64>,
}

/// One database. What has expired is dropped before any command looks.
#[derive(Debug, Default)]
pub(super) struct Keyspace {
    entries: BTreeMap<Bytes, Entry>,
    /// Keys that expire, the next first.
    due: BTreeSet<(u64, Bytes)>,
}

/// Reads a key as one type.
macro_rules! typed {
    ($($name:ident: $variant:ident => $type:ty;)+) => {
        $(pub(super) fn $name(&self, key: &[u8]) -> Result<Option<&$type>, Refusal> {
            match self.entries.get(key).map(|entry| &entry.value) {
                Some(Value::$variant(value)) => Ok(Some(value)),
                Some(_) => Err(Refusal::WrongType),
                None => Ok(None),
            }
        })+
    };
}

impl Keyspace {
    typed! {
        hash: Hash => Fields;
        list: List => VecDeque<Bytes>;
        stream: Stream => Stream;
        text: Text => Bytes;
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The value itself. Emptying it leaves an empty one behind.
    pub(super) fn value_mut(&mut self, key: &[u8]) -> Option<&mut Value> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Puts `entry` at `key`, or nothing.
    pub(super) fn put(&mut self, key: Bytes, entry: Option<Entry>) {
        self.remove(&key);
        if let Some(entry) = entry {
            if let Some(expires) = entry.expires {
                self.due.insert((expires, key.clone()));
            }
            self.entries.insert(key, entry);
        }
    }

    /// Lets a key expire then, and says whether there is one.
    pub(super) fn set_expiry(&mut self, key: &Bytes, expires: u64) -> bool {
        let Some(entry) = self.entries.get_mut(key) else {
            return false;
        };
        if let Some(before) = entry.expires.replace(expires) {
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((expires, key.clone()));
        true
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        match self.entries.remove_entry(key) {
            Some((key, entry)) => {
                if let Some(expires) = entry.expires {
                    self.due.remove(&(expires, key));
                }
                true
            }
            None => false,
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.entries.keys()
    }

    /// Drops what has expired. A key lives through the millisecond that it ends with.
    pub(super) fn expire(&mut self, now_ms: u64) {
        while let Some((expires, _)) = self.due.first()
            && *expires < now_ms
            && let Some((_, key)) = self.due.pop_first()
        {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(expires: Option<u64>) -> Option<Entry> {
        let value = Value::Text(Bytes::from_static(b"v"));
        Some(Entry { value, expires })
    }

    #[test]
    fn keys_expire_after_their_last_millisecond() {
        let mut keys = Keyspace::default();
        keys.put(Bytes::from_static(b"a"), entry(Some(5)));
        keys.put(Bytes::from_static(b"b"), entry(None));
        keys.expire(5);
        assert!(keys.get(b"a").is_some());
        keys.expire(6);
        assert!(keys.get(b"a").is_none());
        assert!(keys.get(b"b").is_some());
    }

    #[test]
    fn what_was_put_over_does_not_expire_by_the_old_time() {
        let mut keys = Keyspace::default();
        keys.put(Bytes::from_static(b"a"), entry(Some(5)));
        keys.put(Bytes::from_static(b"a"), entry(Some(9)));
        keys.expire(6);
        assert!(keys.get(b"a").is_some());
        assert!(keys.remove(b"a"));
        assert!(!keys.remove(b"a"));
        keys.expire(100);
    }
}
