//! A message of a Socket.IO emitter: from its event, rooms and data to items, all of them or none.
//!
//! Each room makes one item, which is read like an item of a publish, so that both ways in have the
//! same rules. How the message was packed is not known here.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::item::{Envelope, ItemFault, ItemReader};
use super::json;
use super::publish_error::FieldFault;
use crate::bus::ARRIVALS_MAX;
use crate::event::Publish;
use crate::limits::ParseLimits;
use crate::time::WallTime;

/// The most that the payloads of one message may have together, in bytes. One message may go to many
/// rooms, each with a payload of its own, so the bound of the message alone would not bound them.
pub const EMITTED_BYTES_MAX: usize = 1_000_000;

/// Why a message of an emitter was not taken in; nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmittedError {
    /// What one of its rooms makes of it cannot be published. The user or the symbol is the room's.
    #[error("{field} {fault}")]
    Field {
        /// Which part: `event`, `userId`, `symbol`, `data`, or below `data` with that before it.
        field: Cow<'static, str>,
        /// What is wrong with it.
        fault: FieldFault,
    },
    /// The data is not JSON.
    #[error("data is not JSON: {reason}")]
    Json {
        /// What the JSON reader expected, and where.
        reason: String,
    },
    /// A room that names neither a user nor a symbol.
    #[error("a room must be user:<id> or symbol:<symbol>")]
    Room,
    /// Arrays and objects lie too deep in each other.
    #[error("data must not be nested more than {max} deep")]
    TooDeep {
        /// The bound, the data itself counting 1.
        max: usize,
    },
    /// The payloads for all rooms have too many bytes.
    #[error("the data for all rooms has more than {max} bytes: emit less at once")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// More rooms than one message may have.
    #[error("the message has more than {max} rooms: split it")]
    TooManyRooms {
        /// The bound.
        max: usize,
    },
}

/// Reads an emitter's message: an event with one argument, the JSON text `data`, for `rooms`.
///
/// The room names whom or what it is about: `user:<id>` for `portfolio:update` and `trade:*`,
/// `symbol:<symbol>` for `quote:update`; `market:status` goes to all, without a room. There is one
/// item for each room in the order given, a room named twice counting once. Fields that are absent
/// are added to the data as in [`super::publish()`].
///
/// # Errors
/// Names the first thing that is wrong; then nothing is taken in.
pub fn emitted(
    event: &str,
    rooms: &[&str],
    data: &str,
    wall: WallTime,
    limits: &ParseLimits,
) -> Result<Vec<Publish>, EmittedError> {
    // A client in several of them gets the message once, so they must arrive together.
    let max = limits.items_max.min(ARRIVALS_MAX);
    if rooms.len() > max {
        return Err(EmittedError::TooManyRooms { max });
    }
    // Before it is read once for each room.
    let max = EMITTED_BYTES_MAX;
    if data.len().saturating_mul(rooms.len().max(1)) > max {
        return Err(EmittedError::TooLarge { max });
    }
    if !json::depth_within(data.as_bytes(), limits.depth_max) {
        let max = limits.depth_max;
        return Err(EmittedError::TooDeep { max });
    }
    let reader = ItemReader::new(wall, limits);
    let event = json::quote(event);
    let envelope = Envelope {
        data: Some(json::trim(data)),
        event: Some(&event),
        ..Envelope::default()
    };
    let mut items = Vec::new();
    if rooms.is_empty() {
        items.push(reader.accept(&envelope)?);
    }
    let mut seen = BTreeSet::new();
    for room in rooms {
        if !seen.insert(*room) {
            continue;
        }
        let user = room.strip_prefix("user:").map(json::quote);
        let symbol = room.strip_prefix("symbol:").map(json::quote);
        if user.is_none() && symbol.is_none() {
            return Err(EmittedError::Room);
        }
        items.push(reader.accept(&Envelope {
            symbol: symbol.as_deref(),
            user: user.as_deref(),
            ..envelope
        })?);
    }
    // What was added counts too.
    if items.iter().map(|item| item.payload.bytes()).sum::<usize>() > max {
        return Err(EmittedError::TooLarge { max });
    }
    Ok(items)
}

impl From<ItemFault> for EmittedError {
    fn from(fault: ItemFault) -> Self {
        match fault {
            ItemFault::Field(field, fault) => Self::Field { field, fault },
            ItemFault::Json(error) => Self::Json {
                reason: error.to_string(),
            },
            ItemFault::NotAnObject => Self::Field {
                field: Cow::Borrowed("data"),
                fault: FieldFault::NotAnObject,
            },
            ItemFault::TooDeep { max } => Self::TooDeep { max },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{LogKind, Target, Topic};
    use crate::ids::{Symbol, UserId};
    use alloc::format;
    use alloc::vec;

    const STAMP: &str = r#""timestamp":"2025-01-15T12:00:00.000Z""#;

    fn read(event: &str, rooms: &[&str], data: &str) -> Result<Vec<Publish>, EmittedError> {
        let wall = WallTime::from_unix_ms(1_736_942_400_000);
        emitted(event, rooms, data, wall, &ParseLimits::default())
    }

    fn told(event: &str, rooms: &[&str], data: &str) -> String {
        read(event, rooms, data).unwrap_err().to_string()
    }

    fn items(event: &str, rooms: &[&str], data: &str) -> Vec<(Target, String)> {
        let items = read(event, rooms, data).unwrap();
        assert!(items.iter().all(|item| item.id.is_none()));
        items
            .into_iter()
            .map(|item| (item.target, item.payload.text().to_string()))
            .collect()
    }

    #[test]
    fn every_event_finds_the_target_that_its_room_names() {
        let user = |text| UserId::new(text).unwrap();
        let executed = Target::Log {
            kind: LogKind::TradeExecuted,
            user: user("12"),
        };
        let failed = Target::Log {
            kind: LogKind::TradeFailed,
            user: user("u:\"1\" ü"),
        };
        for (event, rooms, target, added) in [
            (
                "portfolio:update",
                vec!["user:u1"],
                Target::State(Topic::Portfolio(user("u1"))),
                "",
            ),
            ("trade:executed", vec!["user:12"], executed, ""),
            ("trade:failed", vec!["user:u:\"1\" ü"], failed, ""),
            (
                "quote:update",
                vec!["symbol:BRK.B"],
                Target::State(Topic::Quote(Symbol::new("BRK.B").unwrap())),
                r#","symbol":"BRK.B""#,
            ),
            ("market:status", vec![], Target::State(Topic::Market), ""),
        ] {
            let payload = format!(r#"{{"a":0.10{added},{STAMP}}}"#);
            assert_eq!(
                items(event, &rooms, r#"{"a":0.10}"#),
                [(target, payload)],
                "{event}"
            );
        }
    }

    #[test]
    fn several_rooms_make_one_item_each_in_their_order() {
        let items = items("quote:update", &["symbol:B", "symbol:A", "symbol:B"], "{}");
        let topics: Vec<_> = items
            .iter()
            .map(|(target, text)| match target {
                Target::State(topic) => format!("{topic} {text}"),
                Target::Log { .. } => unreachable!(),
            })
            .collect();
        assert_eq!(
            topics,
            [
                format!(r#"quote(B) {{"symbol":"B",{STAMP}}}"#),
                format!(r#"quote(A) {{"symbol":"A",{STAMP}}}"#),
            ]
        );
    }

    #[test]
    fn what_a_publish_would_refuse_is_refused() {
        for (event, rooms, data, expected) in [
            (
                "server:shutdown",
                vec![],
                "{}",
                "event must be portfolio:update, trade:executed, trade:failed, quote:update or \
                 market:status",
            ),
            (
                "portfolio:update",
                vec![],
                "{}",
                "userId is missing: portfolio:update needs it",
            ),
            (
                "quote:update",
                vec![],
                r#"{"symbol":"A"}"#,
                "symbol is missing: quote:update needs it",
            ),
            (
                "market:status",
                vec!["user:u"],
                "{}",
                "userId does not belong in market:status: leave it out",
            ),
            (
                "trade:failed",
                vec!["symbol:A"],
                "{}",
                "symbol does not belong in trade:failed: leave it out",
            ),
            (
                "quote:update",
                vec!["symbol:A", "symbol:B"],
                r#"{"symbol":"A"}"#,
                "data.symbol must be the item's symbol, \"B\", or be left out",
            ),
            (
                "trade:executed",
                vec!["user:u"],
                r#"{"eventId":"x"}"#,
                "data.eventId is set by the server: leave it out",
            ),
            ("market:status", vec![], "[]", "data must be an object"),
            ("market:status", vec![], "", "data must be an object"),
            (
                "market:status",
                vec![],
                "{\"a\"}",
                "data is not JSON: expected `:` at line 1 column 5",
            ),
            (
                "portfolio:update",
                vec!["user:"],
                "{}",
                "userId must not be empty: a user id is 1–256 bytes without control characters",
            ),
            (
                "portfolio:update",
                vec!["user:u", "admins"],
                "{}",
                "a room must be user:<id> or symbol:<symbol>",
            ),
        ] {
            assert_eq!(told(event, &rooms, data), expected, "{event} {rooms:?}");
        }
        let long = format!("user:{}", "u".repeat(257));
        assert!(told("trade:executed", &[&long], "{}").starts_with("userId is longer than 256"));
    }

    #[test]
    fn a_message_ends_at_its_bounds() {
        let names: Vec<String> = (0..33).map(|n| format!("user:{n}")).collect();
        let rooms: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            read("portfolio:update", &rooms[..32], "{}").map(|items| items.len()),
            Ok(32)
        );
        assert_eq!(
            read("portfolio:update", &rooms, "{}"),
            Err(EmittedError::TooManyRooms { max: 32 })
        );
        let data = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes - 8));
        assert!(read("market:status", &[], &data(999_900)).is_ok());
        let large = Err(EmittedError::TooLarge { max: 1_000_000 });
        assert_eq!(read("market:status", &[], &data(999_990)), large);
        assert_eq!(read("portfolio:update", &rooms[..32], &data(31_251)), large);
        // What is added for each room counts.
        assert_eq!(read("portfolio:update", &rooms[..32], &data(31_240)), large);
        let error = format!(r#"{{"error":"{}"}}"#, "x".repeat(600_000));
        assert_eq!(read("trade:failed", &["user:u"], &error), large);
        let nested = |n: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(n - 1), "]".repeat(n - 1));
        assert!(read("market:status", &[], &nested(64)).is_ok());
        assert_eq!(
            read("market:status", &[], &nested(65)),
            Err(EmittedError::TooDeep { max: 64 })
        );
        assert!(read("market:status", &[], &"[".repeat(1_000_000)).is_err());
    }
}
