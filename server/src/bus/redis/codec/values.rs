//! Current values and heartbeats, as they stand in Redis and on the state's channel.
//!
//! A message is `v <epoch>\n`, or `o <epoch>\n` if its values are one publication, and then for each value `<counter> <topic bytes> <payload bytes>\n` with
//! the topic's and the payload's text behind it; or `h <node> <number>`. A kept value is
//! `<counter>\n<payload>`.

use redis::Value;
use tradewire_engine::event::{Payload, StateValue, Topic, Version};
use tradewire_engine::ids::Epoch;
use tradewire_engine::parse::json;

use super::{Unreadable, bytes, decimal, hex, keys};

/// The letter of a message whose values have nothing to do with each other.
pub(super) const SEVERAL: &str = "v";

/// The letter of a message whose values are one publication.
pub(super) const ONE: &str = "o";

/// Values in one message.
pub(super) const VALUES_MAX: usize = 1_000;

/// The longest line before a value: three numbers of at most twenty digits, and the spaces.
const LINE_BYTES_MAX: usize = 62;

/// What a message of the state's channel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateMessage {
    /// A node lives.
    Heartbeat {
        /// Which.
        node: u64,
        /// How many it sent before.
        number: u64,
    },
    /// Values were set, in this order, which are one publication.
    Publication(Vec<StateValue>),
    /// Values were set, in this order.
    Values(Vec<StateValue>),
}

/// A heartbeat's message.
pub(super) fn heartbeat(node: u64, number: u64) -> String {
    format!("h {node:016x} {number}")
}

/// Reads a message.
///
/// One value that cannot be read costs the message, since no node writes such a thing: what stands
/// next to it is a stranger's too.
pub(super) fn message(body: &[u8], payload_bytes_max: usize) -> Result<StateMessage, Unreadable> {
    if let Some(rest) = body.strip_prefix(b"h ") {
        let rest = std::str::from_utf8(rest).map_err(|_| Unreadable::Shape)?;
        let (node, number) = rest.split_once(' ').ok_or(Unreadable::Shape)?;
        return match (hex(node), decimal(number)) {
            (Some(node), Some(number)) => Ok(StateMessage::Heartbeat { node, number }),
            (_, _) => Err(Unreadable::Shape),
        };
    }
    let (letter, rest) = body.split_at_checked(2).ok_or(Unreadable::Shape)?;
    let once = match letter {
        b"o " => true,
        b"v " => false,
        _ => return Err(Unreadable::Shape),
    };
    let (epoch, mut rest) = line(rest).ok_or(Unreadable::Shape)?;
    let epoch = hex(epoch).map(Epoch::new).ok_or(Unreadable::Shape)?;
    let mut values = Vec::new();
    while !rest.is_empty() {
        if values.len() == VALUES_MAX {
            return Err(Unreadable::Shape);
        }
        let value;
        (value, rest) = told(epoch, rest, payload_bytes_max)?;
        values.push(value);
    }
    Ok(if once {
        StateMessage::Publication(values)
    } else {
        StateMessage::Values(values)
    })
}

/// Reads the first value of `rest` and what follows it.
fn told(
    epoch: Epoch,
    rest: &[u8],
    payload_bytes_max: usize,
) -> Result<(StateValue, &[u8]), Unreadable> {
    let (head, rest) = line(rest).ok_or(Unreadable::Shape)?;
    let mut numbers = head.split(' ').map(decimal);
    let (Some(Some(counter)), Some(Some(topic)), Some(Some(payload)), None) = (
        numbers.next(),
        numbers.next(),
        numbers.next(),
        numbers.next(),
    ) else {
        return Err(Unreadable::Shape);
    };
    let (topic, rest) = text_of(rest, topic).ok_or(Unreadable::Shape)?;
    let (payload, rest) = text_of(rest, payload).ok_or(Unreadable::Shape)?;
    let value = StateValue {
        topic: keys::parse_topic(topic).ok_or(Unreadable::Topic)?,
        version: Version { epoch, counter },
        payload: self::payload(payload, payload_bytes_max)?,
    };
    Ok((value, rest))
}

/// Reads the kept value of `topic`.
pub(super) fn kept(
    topic: &Topic,
    epoch: Epoch,
    value: &Value,
    payload_bytes_max: usize,
) -> Result<StateValue, Unreadable> {
    let value = bytes(value).ok_or(Unreadable::Shape)?;
    let (counter, text) = line(value).ok_or(Unreadable::Shape)?;
    let counter = decimal(counter).ok_or(Unreadable::Shape)?;
    let text = std::str::from_utf8(text).map_err(|_| Unreadable::Shape)?;
    Ok(StateValue {
        topic: topic.clone(),
        version: Version { epoch, counter },
        payload: payload(text, payload_bytes_max)?,
    })
}

/// Takes one JSON object of a length that a publisher may send.
pub(super) fn payload(text: &str, bytes_max: usize) -> Result<Payload, Unreadable> {
    if text.len() > bytes_max {
        return Err(Unreadable::TooLong);
    }
    if !json::is_object(text) || json::check(text).is_err() {
        return Err(Unreadable::Payload);
    }
    Ok(Payload::new(text))
}

/// The text up to the next line feed, and what follows it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let window = bytes.get(..LINE_BYTES_MAX + 1).unwrap_or(bytes);
    let end = window.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..)?))
}

/// The next `length` bytes as text, and what follows them.
fn text_of(bytes: &[u8], length: u64) -> Option<(&str, &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
