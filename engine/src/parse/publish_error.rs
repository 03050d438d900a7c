//! What can be wrong with a publish, in words that a publisher can act on.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::ids::IdError;

/// Why a publish was refused; always the publisher's doing. Nothing of it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The body holds no item.
    #[error("the batch is empty: send at least one item")]
    Empty,
    /// A field of an item is not what it must be.
    #[error("{place}: {field} {fault}")]
    Field {
        /// Which item.
        place: Place,
        /// The field's name, below `data` with that before it: `data.symbol`. A name that is not
        /// ours is cut to 64 characters.
        field: Cow<'static, str>,
        /// What is wrong with it.
        fault: FieldFault,
    },
    /// The body is not JSON.
    #[error("{}invalid JSON at line {line} column {column}: {reason}", prefix(*.place))]
    Json {
        /// Which item, where every line is one.
        place: Option<Place>,
        /// The line of the body, from 1.
        line: usize,
        /// The byte in that line, from 1.
        column: usize,
        /// What the JSON reader expected there.
        reason: String,
    },
    /// An item is JSON but not an object.
    #[error("{place} must be an object like {{\"event\":…,\"data\":{{…}}}}")]
    NotAnObject {
        /// Which item.
        place: Place,
    },
    /// Arrays and objects lie too deep in each other.
    #[error("{}JSON must not be nested more than {max} deep", prefix(*.place))]
    TooDeep {
        /// Which item, where every line is one.
        place: Option<Place>,
        /// The bound, the outermost value counting 1.
        max: usize,
    },
    /// More items than one batch may have.
    #[error("the batch has more than {max} items: split it")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The body is not UTF-8.
    #[error("the body must be UTF-8, but is not at line {line} column {column}")]
    Utf8 {
        /// The line of the body, from 1.
        line: usize,
        /// The byte in that line, from 1.
        column: usize,
    },
}

impl PublishError {
    /// The index of the item at fault, from 0; `None` if the body as a whole is.
    #[must_use]
    pub fn item(&self) -> Option<usize> {
        self.place().map(|place| place.item)
    }

    /// The line of the body, from 1, where that helps: in NDJSON, and in text that is not JSON.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Json { line, .. } | Self::Utf8 { line, .. } => Some(*line),
            Self::Empty
            | Self::Field { .. }
            | Self::NotAnObject { .. }
            | Self::TooDeep { .. }
            | Self::TooMany { .. } => self.place().and_then(|place| place.line),
        }
    }

    /// The field at fault, if it is one: `userId`, `data.symbol`.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field { field, .. } => Some(field),
            Self::Empty
            | Self::Json { .. }
            | Self::NotAnObject { .. }
            | Self::TooDeep { .. }
            | Self::TooMany { .. }
            | Self::Utf8 { .. } => None,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Field { place, .. } | Self::NotAnObject { place } => Some(*place),
            Self::Json { place, .. } | Self::TooDeep { place, .. } => *place,
            Self::Empty | Self::TooMany { .. } | Self::Utf8 { .. } => None,
        }
    }
}

/// What is wrong with one field; reads on after the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    /// The field is there twice, so it is not clear which one counts.
    #[error("is given twice: give it once")]
    Duplicate,
    /// The field belongs to other events.
    #[error("does not belong in {event}: leave it out")]
    Foreign {
        /// The item's event.
        event: &'static str,
    },
    /// An idempotency key that is not one.
    #[error("{0}: an id is 1–128 printable ASCII characters")]
    Id(IdError),
    /// The field must be there and is not.
    #[error("is missing: {of} needs it")]
    Missing {
        /// What needs it: the item's event, or `an item`.
        of: &'static str,
    },
    /// The value is not an object.
    #[error("must be an object")]
    NotAnObject,
    /// The value is not a string.
    #[error("must be a string")]
    NotAString,
    /// The value is neither a string nor an integer.
    #[error("must be a string or an integer")]
    NotAUser,
    /// The server sets this field itself.
    #[error("is set by the server: leave it out")]
    Reserved,
    /// A symbol that is not one.
    #[error("{error}: a symbol is 1–{max} characters of A–Z a–z 0–9 . - _ : / ^ =")]
    Symbol {
        /// What is wrong with it.
        error: IdError,
        /// The longest that a symbol may be, in characters.
        max: usize,
    },
    /// A quote's data is about another symbol than the item.
    #[error("must be the item's symbol, \"{symbol}\", or be left out")]
    SymbolDiffers {
        /// The item's symbol.
        symbol: crate::ids::Symbol,
    },
    /// An event that cannot be published.
    #[error(
        "must be portfolio:update, trade:executed, trade:failed, quote:update or market:status"
    )]
    UnknownEvent,
    /// A field that an item does not have.
    #[error("is not a field of an item: those are event, userId, symbol, id and data")]
    UnknownField,
    /// A user id that is not one.
    #[error("{error}: a user id is 1–{max} bytes without control characters")]
    User {
        /// What is wrong with it.
        error: IdError,
        /// The longest that a user id may be, in bytes.
        max: usize,
    },
}

/// Where in a batch an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its index, from 0.
    pub item: usize,
    /// Its line in an NDJSON body, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}", self.item)?;
        self.line.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

fn prefix(place: Option<Place>) -> impl fmt::Display {
    struct Prefix(Option<Place>);
    impl fmt::Display for Prefix {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.map_or(Ok(()), |place| write!(f, "{place}: "))
        }
    }
    Prefix(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ParseLimits;
    use crate::parse::{BodyFormat, publish};
    use crate::time::WallTime;
    use alloc::format;
    use alloc::string::ToString;

    fn refused(body: &str) -> PublishError {
        let limits = ParseLimits::default();
        publish(
            body.as_bytes(),
            BodyFormat::Json,
            WallTime::default(),
            &limits,
        )
        .unwrap_err()
    }

    /// What a publisher is told, and the field that it is told about.
    fn refusal(body: &str) -> (String, Option<String>) {
        let error = refused(body);
        (error.to_string(), error.field().map(ToString::to_string))
    }

    fn quote(data: &str) -> String {
        format!(r#"{{"event":"quote:update","symbol":"AAPL","data":{data}}}"#)
    }

    fn trade(data: &str) -> String {
        format!(r#"{{"event":"trade:executed","userId":"u","data":{data}}}"#)
    }

    #[test]
    fn a_refusal_names_the_field_and_says_what_was_expected() {
        let failed = |rest: &str| format!(r#"{{"event":"trade:failed",{rest}"data":{{}}}}"#);
        let status = |rest: &str| format!(r#"{{"event":"market:status"{rest}}}"#);
        let differs = "must be the item's symbol, \"AAPL\", or be left out";
        for (body, field, told) in [
            (
                trade(r#"{"\u0065ventId":1}"#),
                "data.eventId",
                "is set by the server: leave it out",
            ),
            (quote(r#"{"symbol":"TSLA"}"#), "data.symbol", differs),
            (
                quote(r#"{"symbol":"AAPL","symbol":1}"#),
                "data.symbol",
                differs,
            ),
            (quote("[]"), "data", "must be an object"),
            (status(""), "data", "is missing: an item needs it"),
            (
                r#"{"data":{}}"#.into(),
                "event",
                "is missing: an item needs it",
            ),
            (
                r#"{"event":1,"data":{}}"#.into(),
                "event",
                "must be a string",
            ),
            (
                status(r#","symbol":null"#),
                "symbol",
                "does not belong in market:status: leave it out",
            ),
            (
                failed(r#""symbol":"A","#),
                "symbol",
                "does not belong in trade:failed: leave it out",
            ),
            (failed(""), "userId", "is missing: trade:failed needs it"),
            (
                failed(r#""userId":1.0,"#),
                "userId",
                "must be a string or an integer",
            ),
            (
                failed(r#""userId":1,"userId":1,"#),
                "userId",
                "is given twice: give it once",
            ),
            (failed(r#""userId":1,"id":7,"#), "id", "must be a string"),
        ] {
            assert_eq!(
                refusal(&body),
                (format!("item 0: {field} {told}"), Some(field.into()))
            );
        }
    }

    #[test]
    fn a_refusal_of_an_id_says_what_one_is() {
        let (told, _) = refusal(r#"{"event":"market:status","id":"","data":{}}"#);
        let expected = "must not be empty: an id is 1–128 printable ASCII characters";
        assert_eq!(told, format!("item 0: id {expected}"));
        let (told, _) = refusal(r#"{"event":"quote:update","symbol":"A B","data":{}}"#);
        let expected = "a symbol is 1–32 characters of A–Z a–z 0–9 . - _ : / ^ =";
        assert_eq!(
            told,
            format!("item 0: symbol has a character that is not allowed: {expected}")
        );
        let body = format!(
            r#"{{"event":"trade:failed","userId":"{}","data":{{}}}}"#,
            "u".repeat(257)
        );
        let expected = "is longer than 256: a user id is 1–256 bytes without control characters";
        assert_eq!(refusal(&body).0, format!("item 0: userId {expected}"));
    }

    #[test]
    fn a_field_that_is_not_ours_is_named_but_not_at_any_length() {
        let (told, field) = refusal(r#"{"event":"trade:failed","user_id":"u","data":{}}"#);
        let expected = "is not a field of an item: those are event, userId, symbol, id and data";
        assert_eq!(told, format!("item 0: user_id {expected}"));
        assert_eq!(field.as_deref(), Some("user_id"));
        let (_, field) = refusal(&format!(r#"{{"{}":1}}"#, "x".repeat(100_000)));
        assert_eq!(field, Some("x".repeat(64) + "…"));
    }

    #[test]
    fn an_event_of_the_server_cannot_be_published() {
        let error = refused(r#"{"event":"server:shutdown","data":{}}"#);
        assert!(matches!(
            error,
            PublishError::Field {
                fault: FieldFault::UnknownEvent,
                ..
            }
        ));
    }
}
