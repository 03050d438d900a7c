//! What is said to Redis and what Redis says, as commands, scripts and bytes: no connections, no
//! waiting, no time.
//!
//! Redis counts as outside. Whatever it answers or delivers, nothing here panics, and nothing is
//! kept that the bounds of the vocabulary do not allow.

mod answers;
mod entries;
mod requests;
mod scripts;
#[cfg(test)]
mod tests;
mod values;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tradewire_engine::ids::Epoch;
use tradewire_engine::limits::Limits;

use super::keys;
use scripts::Scripts;

pub(crate) use answers::Opened;
pub(crate) use entries::{Read, StreamId};
pub(crate) use values::StateMessage;

/// How long a topic's value outlives its last change.
const VALUE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the id of a publish is remembered.
const ID_LIFE: Duration = Duration::from_secs(600);

/// How long an id counts that only its node may give again, after an outage.
const OWN_ID_LIFE: Duration = Duration::from_secs(60);
/// The longest payload taken from Redis unless the server allows its publishers more.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Why something from Redis was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// An entry says neither of the events that are known.
    #[error("unknown kind of log event: run the same version of Tradewire on all nodes")]
    Kind,
    /// A payload is not one JSON object.
    #[error("a payload is not a JSON object: let nothing else write to tradewire:* in Redis")]
    Payload,
    /// Redis answered with an error.
    #[error("Redis refused: its log, or `tradewire doctor`, tells why")]
    Refused,
    /// It is not of the form in which this server writes.
    #[error("not in Tradewire's form: let nothing else write to tradewire:* in Redis")]
    Shape,
    /// A payload is longer than any publisher of this server may send.
    #[error("a payload is too long: give all nodes the same limits")]
    TooLong,
    /// There is no such topic.
    #[error("unknown topic: run the same version of Tradewire on all nodes")]
    Topic,
    /// No user can be called so.
    #[error("malformed user id: let nothing else write to tradewire:* in Redis")]
    User,
}

/// Writes requests as commands and reads replies and messages.
#[derive(Debug)]
pub(crate) struct Codec {
    limits: Limits,
    payload_bytes_max: usize,
    log_max: u64,
    instance: u64,
    scripts: Scripts,
    /// The state of the generator of candidate epochs.
    candidates: AtomicU64,
}

impl Codec {
    /// A codec for one life of one node.
    ///
    /// `log_max` bounds the stream's length, `instance` names the node among its peers, and
    /// `candidate_epochs` seeds the epochs that it proposes; it must be drawn anew in every life.
    pub(crate) fn new(limits: Limits, log_max: u64, instance: u64, candidate_epochs: u64) -> Self {
        Self {
            limits,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            log_max,
            instance,
            scripts: Scripts::new(),
            candidates: AtomicU64::new(candidate_epochs ^ instance.rotate_left(32)),
        }
    }

    /// Takes payloads of `bytes` where publishers may send that many in one request.
    pub(crate) fn with_publishes_of(mut self, bytes: usize) -> Self {
        // What the server adds to a payload where it is absent is a few short fields.
        self.payload_bytes_max = self.payload_bytes_max.max(bytes.saturating_add(4096));
        self
    }

    /// The scripts' texts. All must be loaded before the first command.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = &'static str> {
        self.scripts.texts()
    }

    /// The channel on which nodes tell each other values and heartbeats.
    pub(crate) fn state_channel(&self) -> String {
        keys::state_channel()
    }

    /// The command that tells the other nodes, and this one, that this one lives.
    pub(crate) fn heartbeat(&self, number: u64) -> Cmd {
        let mut command = Cmd::new();
        command
            .arg("PUBLISH")
            .arg(keys::state_channel())
            .arg(values::heartbeat(self.instance, number));
        command
    }

    /// Adds the two commands that read both clocks, and begin an epoch where there is none.
    pub(crate) fn open(&self, into: &mut Pipeline) {
        for (key, counter) in [(keys::state_clock(), "c"), (keys::log_clock(), "n")] {
            let mut command = self.scripts.open.call(1);
            command.arg(key).arg(counter).arg(self.candidate());
            into.add_command(command);
        }
    }

    /// Reads the replies to [`Self::open`].
    ///
    /// # Errors
    /// Redis refused, or a clock is not one of ours.
    pub(crate) fn opened(&self, replies: &[Value]) -> Result<Opened, Unreadable> {
        answers::opened(replies)
    }

    /// Reads a message of the state's channel.
    ///
    /// # Errors
    /// Says why it was not taken; none of it is.
    pub(crate) fn state_message(&self, body: &[u8]) -> Result<StateMessage, Unreadable> {
        values::message(body, self.payload_bytes_max)
    }

    /// The command that reads on in the log after an entry; with `block`, it waits that long for one.
    pub(crate) fn read_log(&self, after: StreamId, count: usize, block: Option<Duration>) -> Cmd {
        entries::read_on(&keys::log_stream(), after, count, block)
    }

    /// Reads the reply to [`Self::read_log`]; an entry that is not one of ours has its place all the
    /// same, so that reading goes on behind it.
    ///
    /// # Errors
    /// Redis refused, or the reply is no list of entries.
    pub(crate) fn log_entries(&self, reply: Value) -> Result<Vec<Read>, Unreadable> {
        entries::read(reply, self.payload_bytes_max)
    }

    /// A random epoch, another one with every call: one proposed again after the data was lost would
    /// hide the loss.
    fn candidate(&self) -> String {
        /// The increment of SplitMix64, whose whole period has no number twice.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.candidates.fetch_add(STEP, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Epoch::new(bits ^ (bits >> 31)).to_string()
    }
}

/// Whole milliseconds, as arguments are written.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Digits only: `u64::from_str` would also take a leading `+`.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

/// 16 lower-case hexadecimal digits, as epochs and nodes are written.
fn hex(text: &str) -> Option<u64> {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 16 && text.bytes().all(lower_hex) {
        u64::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// The bytes of a reply that is a text.
fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::BulkString(bytes) = value {
        Some(bytes)
    } else if let Value::SimpleString(text) = value {
        Some(text.as_bytes())
    } else {
        None
    }
}

/// A reply that is a text.
fn text(value: &Value) -> Option<&str> {
    bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// A reply that is a number, in either form.
fn number(value: &Value) -> Option<u64> {
    if let Value::Int(number) = value {
        u64::try_from(*number).ok()
    } else {
        text(value).and_then(decimal)
    }
}

/// A reply that is a list.
fn list(value: &Value) -> Option<&[Value]> {
    if let Value::Array(items) = value {
        Some(items)
    } else {
        None
    }
}
