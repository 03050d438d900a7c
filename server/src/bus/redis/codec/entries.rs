//! The log's stream: places in it, reading from it, and its entries.

use std::fmt;
use std::time::Duration;

use redis::{Cmd, Value};
use tradewire_engine::event::{LogEntry, LogKind};
use tradewire_engine::ids::{Epoch, EventId, UserId};

use super::{Unreadable, decimal, hex, list, millis, number, text, values};

/// The word for [`LogKind::TradeExecuted`].
pub(super) const EXECUTED: &str = "executed";
/// The word for [`LogKind::TradeFailed`].
pub(super) const FAILED: &str = "failed";

/// A place in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId {
    /// Milliseconds since the Unix epoch, by Redis' clock.
    pub(crate) ms: u64,
    /// Tells entries of one millisecond apart.
    pub(crate) seq: u64,
}

impl StreamId {
    /// Before every entry.
    #[cfg(test)]
    pub(crate) const ZERO: Self = Self { ms: 0, seq: 0 };

    fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        Some(Self {
            ms: decimal(ms)?,
            seq: decimal(seq)?,
        })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// One entry as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Its place.
    pub(crate) id: StreamId,
    /// Its running number within its epoch and what it says, if it is one of ours.
    pub(crate) entry: Result<(u64, LogEntry), Unreadable>,
}

pub(super) fn read_on(stream: &str, after: StreamId, count: usize, block: Option<Duration>) -> Cmd {
    let mut command = Cmd::new();
    command.arg("XREAD").arg("COUNT").arg(count.max(1));
    if let Some(block) = block {
        // Zero would mean to wait for ever.
        command.arg("BLOCK").arg(millis(block).max(1));
    }
    command.arg("STREAMS").arg(stream).arg(after.to_string());
    command
}

/// Reads what XREAD answers: lists of entries by stream, of which one was asked for, or nothing.
pub(super) fn read(reply: Value, payload_bytes_max: usize) -> Result<Vec<Read>, Unreadable> {
    let entries = if let Value::Map(streams) = reply {
        let mut streams = streams.into_iter().map(|(_, entries)| entries);
        match (streams.next(), streams.next()) {
            (Some(Value::Array(entries)), None) => entries,
            (_, _) => return Err(Unreadable::Shape),
        }
    } else if matches!(reply, Value::Nil) {
        Vec::new()
    } else if matches!(reply, Value::ServerError(_)) {
        return Err(Unreadable::Refused);
    } else {
        return Err(Unreadable::Shape);
    };
    entries
        .iter()
        .map(|entry| {
            let Some([id, fields]) = list(entry) else {
                return Err(Unreadable::Shape);
            };
            let id = text(id)
                .and_then(StreamId::parse)
                .ok_or(Unreadable::Shape)?;
            let entry = self::entry(id, fields, payload_bytes_max);
            Ok(Read { id, entry })
        })
        .collect()
}

fn entry(
    id: StreamId,
    fields: &Value,
    payload_bytes_max: usize,
) -> Result<(u64, LogEntry), Unreadable> {
    let fields = list(fields).ok_or(Unreadable::Shape)?;
    let field = |name: &str| {
        fields.chunks_exact(2).find_map(|pair| match pair {
            [key, value] if text(key) == Some(name) => Some(value),
            [..] => None,
        })
    };
    let epoch = field("e").and_then(text).and_then(hex);
    let count = field("n").and_then(number);
    let (Some(epoch), Some(count)) = (epoch, count) else {
        return Err(Unreadable::Shape);
    };
    let kind = match field("k").and_then(text) {
        Some(EXECUTED) => LogKind::TradeExecuted,
        Some(FAILED) => LogKind::TradeFailed,
        Some(_) => return Err(Unreadable::Kind),
        None => return Err(Unreadable::Shape),
    };
    let user = field("u").and_then(text).ok_or(Unreadable::Shape)?;
    let user = UserId::new(user).map_err(|_| Unreadable::User)?;
    let payload = field("p").and_then(text).ok_or(Unreadable::Shape)?;
    let entry = LogEntry {
        id: EventId {
            epoch: Epoch::new(epoch),
            ms: id.ms,
            seq: id.seq,
        },
        kind,
        user,
        payload: values::payload(payload, payload_bytes_max)?,
    };
    Ok((count, entry))
}
