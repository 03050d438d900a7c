//! What is published and delivered: the two kinds of event, their topics and their payloads.
//!
//! A payload is opaque here: it was parsed once at the edge ([`crate::parse`]) and no decision looks
//! into it, so that a trace may mask it without changing any decision.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::fmt;

use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, EventId, PublishId, Symbol, UserId};

/// A JSON object's text as it goes to clients, its length and its hash.
///
/// A trace may leave the text out. Length and hash are all that decisions know of it, so an engine that
/// is given such payloads decides the same.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Payload {
    bytes: u32,
    #[serde(with = "as_bytes")]
    hash: u64,
    #[serde(serialize_with = "write_text")]
    text: Arc<str>,
}

/// A payload as it was written somewhere. Its text is copied once, to where it stays.
#[derive(Deserialize)]
struct Written<'a> {
    bytes: u32,
    #[serde(with = "as_bytes")]
    hash: u64,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// Names the text, so that a serializer which leaves texts out knows it.
fn write_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(Payload::TEXT, text)
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { bytes, hash, text } = Written::deserialize(deserializer)?;
        if !text.is_empty() && (bytes, hash) != measure(&text) {
            let wrong = "a payload's length or hash is not that of its text";
            return Err(D::Error::custom(wrong));
        }
        let text = Arc::from(text);
        Ok(Self { bytes, hash, text })
    }
}

/// Writes a hash as its eight bytes, little-endian. A float is the only number that postcard writes so and at
/// once: of an array it would take each byte by itself, twenty times for a batch of ten. Only bits are moved.
mod as_bytes {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from_bits(*hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        f64::deserialize(deserializer).map(f64::to_bits)
    }
}

/// What decisions know of a text.
fn measure(text: &str) -> (u32, u64) {
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    (bytes, xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

impl Payload {
    /// What the text is called when it is serialised: it may be left out as an empty one.
    pub const TEXT: &'static str = "PayloadText";

    /// Takes the text of one JSON object.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (bytes, hash) = measure(text);
        let text = Arc::from(text);
        Self { bytes, hash, text }
    }

    /// The JSON text; empty if it was left out.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// XXH3-64 of the text.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The text's length in bytes, also if it was left out.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            write!(f, "({} bytes, {:016x})", self.bytes, self.hash)
        } else {
            f.write_str(&self.text)
        }
    }
}

/// A stream of values of which only the latest is the truth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// `market:status`, for everyone.
    Market,
    /// `portfolio:update` of one user.
    Portfolio(UserId),
    /// `quote:update` of one symbol.
    Quote(Symbol),
}

impl Topic {
    /// The Socket.IO event that carries its values.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::Market => "market:status",
            Self::Portfolio(_) => "portfolio:update",
            Self::Quote(_) => "quote:update",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Market => f.write_str("market"),
            Self::Portfolio(user) => write!(f, "portfolio({user})"),
            Self::Quote(symbol) => write!(f, "quote({symbol})"),
        }
    }
}

/// What kind of thing happened, for events of which every one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LogKind {
    /// `trade:executed`
    TradeExecuted,
    /// `trade:failed`
    TradeFailed,
}

impl LogKind {
    /// The Socket.IO event that carries it.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::TradeExecuted => "trade:executed",
            Self::TradeFailed => "trade:failed",
        }
    }
}

/// The events that a publish can carry: those of every [`Topic`] and [`LogKind`].
pub const EVENTS: [&str; 5] = [
    "market:status",
    "portfolio:update",
    "quote:update",
    "trade:executed",
    "trade:failed",
];

/// Where a publish goes, and with which promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// The latest value is the truth.
    State(Topic),
    /// Every event counts, in order, per user.
    Log {
        /// Which event.
        kind: LogKind,
        /// Whose.
        user: UserId,
    },
}

/// One item that a publisher wants delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The publisher's idempotency key, if it gave one.
    pub id: Option<PublishId>,
    /// Where it goes.
    pub target: Target,
    /// What it says.
    pub payload: Payload,
}

/// The bus's order of the values of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The life of the bus's data in which the value was published.
    pub epoch: Epoch,
    /// Counts values within the epoch.
    pub counter: u64,
}

impl Version {
    /// Whether a value of this version replaces one of version `held`.
    ///
    /// Epochs have no order of their own: the bus tells of a new one after the old one has ended,
    /// so whatever differs from what is held is newer.
    #[must_use]
    pub fn supersedes(self, held: Self) -> bool {
        self.epoch != held.epoch || self.counter > held.counter
    }
}

/// A value of a topic as the bus ordered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateValue {
    /// Which topic.
    pub topic: Topic,
    /// Its place among the topic's values.
    pub version: Version,
    /// What it says.
    pub payload: Payload,
}

/// A log event as the bus ordered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place in the log.
    pub id: EventId,
    /// Which event.
    pub kind: LogKind,
    /// Whose.
    pub user: UserId,
    /// What it says, without the `eventId` that is added on delivery.
    pub payload: Payload,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_event_that_can_be_published_is_named() {
        let user = UserId::new("u").unwrap();
        let symbol = Symbol::new("S").unwrap();
        let topics = [Topic::Market, Topic::Portfolio(user), Topic::Quote(symbol)];
        let kinds = [LogKind::TradeExecuted, LogKind::TradeFailed];
        let events = topics.iter().map(Topic::event);
        let events: Vec<_> = events.chain(kinds.map(LogKind::event)).collect();
        assert_eq!(events, EVENTS);
    }

    #[test]
    fn any_hash_is_written_as_its_bytes_and_read_back() {
        // Among them what a float calls no number, of either kind.
        for hash in [0, 1, u64::MAX, 0x7ff0_0000_0000_0001, 0xfff8_0000_0000_0000] {
            let text = Arc::from("");
            let payload = Payload {
                bytes: 3,
                hash,
                text,
            };
            let written = postcard::to_allocvec(&payload).unwrap();
            let bytes = [&[3][..], &hash.to_le_bytes(), &[0]].concat();
            assert_eq!(written, bytes);
            assert_eq!(postcard::from_bytes(&written), Ok(payload));
        }
    }
}
