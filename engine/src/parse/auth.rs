//! The `auth` of a Socket.IO handshake: who a client says it is, and what it wants restored.
//!
//! Nothing here is believed: the engine decides what a claim is worth. A part that cannot be read
//! never hides the parts that can, and of a key given twice the last one counts, as in JavaScript.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::ControlFlow::{self, Continue};

use serde::{Deserialize, Serialize};

use super::client_event::symbols;
use super::json;
use crate::ids::{EventId, SessionId, SocketId, Symbol, UserId};
use crate::limits::ParseLimits;

/// What a handshake says, but for `userName`: nothing here depends on it, so it is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// `sessionID`: a string, or a number as its decimal text; a malformed one counts as absent.
    pub session: Option<SessionId>,
    /// `userId`: a string, or a number as its decimal text.
    pub user: UserClaim,
    /// `lastEventId`
    pub last_event_id: LastEventId,
    /// `subscriptions`; `None` if the client asks for nothing to be restored.
    pub subscriptions: Option<Result<Subscriptions, InvalidSubscriptions>>,
    /// `replaces`: the client's previous socket id; a malformed one counts as absent.
    pub replaces: Option<SocketId>,
}

/// Who a client says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserClaim {
    /// It does not say: `null` and the empty string are nothing too.
    #[default]
    Absent,
    /// This user.
    Claimed(UserId),
    /// Something that cannot be a user id, or a longer one than is allowed.
    Malformed,
}

/// Where a client wants its log resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastEventId {
    /// It does not: what came while it was away is not sent.
    #[default]
    Absent,
    /// After this event; `None` if the client gave something that this server cannot have made, of
    /// which it is told that nothing could be recovered.
    Given(Option<EventId>),
}

/// The subscriptions that a client wants restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriptions {
    /// `subscribe:portfolio`
    pub portfolio: bool,
    /// `subscribe:trades`
    pub trades: bool,
    /// `subscribe:watchlist`, as given, duplicates too; empty for none.
    pub watchlist: Vec<Symbol>,
}

/// A `subscriptions` that is not an object, has a value of the wrong type, or has a watchlist with a
/// bad symbol or too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("Invalid subscriptions")]
pub struct InvalidSubscriptions;

/// Reads the text of a handshake's `auth`; what is not an object says nothing.
#[must_use]
pub fn auth(handshake: Option<&str>, limits: &ParseLimits) -> Auth {
    let mut auth = Auth::default();
    let read = json::for_each_field(handshake.unwrap_or("{}"), |key, value| {
        match &*key {
            "sessionID" => {
                auth.session = text(value).and_then(|text| SessionId::new(&text).ok());
            }
            "userId" => auth.user = user(value, limits),
            "lastEventId" => auth.last_event_id = last_event_id(value),
            "subscriptions" => {
                auth.subscriptions = (value != "null").then(|| subscriptions(value, limits));
            }
            "replaces" => {
                auth.replaces = json::string(value).and_then(|text| SocketId::new(&text).ok());
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    if read.is_ok() { auth } else { Auth::default() }
}

/// The text of a string, or of a number as it is written.
fn text(value: &str) -> Option<Cow<'_, str>> {
    if json::is_number(value) {
        Some(Cow::Borrowed(value))
    } else {
        json::string(value)
    }
}

fn user(value: &str, limits: &ParseLimits) -> UserClaim {
    match text(value) {
        Some(text) if text.is_empty() => UserClaim::Absent,
        Some(text) if text.len() > limits.user_bytes_max => UserClaim::Malformed,
        Some(text) => UserId::new(&text).map_or(UserClaim::Malformed, UserClaim::Claimed),
        None if value == "null" => UserClaim::Absent,
        None => UserClaim::Malformed,
    }
}

fn last_event_id(value: &str) -> LastEventId {
    if value == "null" {
        return LastEventId::Absent;
    }
    LastEventId::Given(json::string(value).and_then(|text| EventId::parse(&text)))
}

/// Keys that are not ours are tolerated, as is `null`, which is what some clients send for nothing.
fn subscriptions(value: &str, limits: &ParseLimits) -> Result<Subscriptions, InvalidSubscriptions> {
    let (mut portfolio, mut trades, mut watchlist) = (Ok(false), Ok(false), Ok(Vec::new()));
    let read = json::for_each_field(value, |key, value| {
        match &*key {
            "portfolio" => portfolio = flag(value),
            "trades" => trades = flag(value),
            "watchlist" if value == "null" => watchlist = Ok(Vec::new()),
            "watchlist" => watchlist = symbols(value, limits).map_err(|_| InvalidSubscriptions),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    match read {
        Ok(Continue(()) | ControlFlow::Break(())) => Ok(Subscriptions {
            portfolio: portfolio?,
            trades: trades?,
            watchlist: watchlist?,
        }),
        Err(_) => Err(InvalidSubscriptions),
    }
}

fn flag(value: &str) -> Result<bool, InvalidSubscriptions> {
    match value {
        "true" => Ok(true),
        "false" | "null" => Ok(false),
        _ => Err(InvalidSubscriptions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn read(text: &str) -> Auth {
        auth(Some(text), &ParseLimits::default())
    }

    fn restored(subscriptions: &str) -> Option<Result<Subscriptions, InvalidSubscriptions>> {
        read(&format!(r#"{{"subscriptions":{subscriptions}}}"#)).subscriptions
    }

    #[test]
    fn every_part_of_a_handshake_is_read() {
        let text = r#"{"sessionID":"s","userId":"u","userName":"Ann\nä","extra":[{}],
            "lastEventId":"0000000000000abc-1-2","replaces":"abc_-1",
            "subscriptions":{"portfolio":true,"trades":false,"watchlist":["B","A","B"]}}"#;
        let symbol = |text| Symbol::new(text).unwrap();
        assert_eq!(
            read(text),
            Auth {
                session: SessionId::new("s").ok(),
                user: UserClaim::Claimed(UserId::new("u").unwrap()),
                last_event_id: LastEventId::Given(EventId::parse("0000000000000abc-1-2")),
                subscriptions: Some(Ok(Subscriptions {
                    portfolio: true,
                    trades: false,
                    watchlist: [symbol("B"), symbol("A"), symbol("B")].into(),
                })),
                replaces: Some(SocketId::new("abc_-1").unwrap()),
            }
        );
    }

    #[test]
    fn text_that_is_not_an_object_says_nothing() {
        assert_eq!(auth(None, &ParseLimits::default()), Auth::default());
        for text in [
            "",
            "null",
            "[]",
            "\"u\"",
            r#"{"userId":"u""#,
            r#"{"userId":"u"}x"#,
        ] {
            assert_eq!(read(text), Auth::default(), "{text}");
        }
    }

    #[test]
    fn a_numeric_user_is_its_decimal_text() {
        for number in ["7", "12345678901234567890", "-1", "1.50", "1e3"] {
            let claimed = read(&format!(r#"{{"userId":{number}}}"#)).user;
            assert_eq!(claimed, UserClaim::Claimed(UserId::new(number).unwrap()));
        }
    }

    #[test]
    fn a_user_is_absent_or_claimed_or_malformed() {
        let claim = |value: &str| read(&format!(r#"{{"userId":{value}}}"#)).user;
        for value in ["null", "\"\""] {
            assert_eq!(claim(value), UserClaim::Absent, "{value}");
        }
        let of = |n: usize| format!("\"{}\"", "x".repeat(n));
        assert!(matches!(claim(&of(256)), UserClaim::Claimed(_)));
        let long = of(257);
        for value in [
            "true",
            "{}",
            "[\"u\"]",
            r#""a\nb""#,
            r#""\ud800""#,
            long.as_str(),
        ] {
            assert_eq!(claim(value), UserClaim::Malformed, "{value}");
        }
    }

    #[test]
    fn a_malformed_session_is_absent() {
        let session = |value: &str| read(&format!(r#"{{"sessionID":{value}}}"#)).session;
        assert_eq!(session("17"), SessionId::new("17").ok());
        let long = format!("\"{}\"", "x".repeat(513));
        for value in ["null", "true", "\"\"", "{}", r#""a\nb""#, long.as_str()] {
            assert_eq!(session(value), None, "{value}");
        }
    }

    #[test]
    fn a_malformed_last_event_id_is_still_given() {
        assert_eq!(
            read(r#"{"lastEventId":null}"#).last_event_id,
            LastEventId::Absent
        );
        for value in ["\"\"", "\"1-2\"", "7", "{}"] {
            let auth = read(&format!(r#"{{"lastEventId":{value}}}"#));
            assert_eq!(auth.last_event_id, LastEventId::Given(None), "{value}");
        }
    }

    #[test]
    fn subscriptions_are_restored_as_a_whole_or_not_at_all() {
        assert_eq!(restored("null"), None);
        for nothing in [
            "{}",
            r#"{"portfolio":false,"trades":null,"watchlist":[],"later":1}"#,
            r#"{"watchlist":["A B"],"watchlist":null}"#,
        ] {
            assert_eq!(
                restored(nothing),
                Some(Ok(Subscriptions::default())),
                "{nothing}"
            );
        }
        let many = format!(r#"{{"watchlist":[{}]}}"#, ["\"A\""; 501].join(","));
        for bad in [
            "true",
            "[]",
            r#"{"portfolio":1}"#,
            r#"{"trades":"true"}"#,
            r#"{"watchlist":"A"}"#,
            r#"{"portfolio":true,"watchlist":["A",""]}"#,
            many.as_str(),
        ] {
            assert_eq!(restored(bad), Some(Err(InvalidSubscriptions)), "{bad}");
        }
    }

    #[test]
    fn the_last_of_two_keys_counts() {
        let auth = read(r#"{"userId":"a","userId":"b","replaces":"x","replaces":7}"#);
        assert_eq!(auth.user, UserClaim::Claimed(UserId::new("b").unwrap()));
        assert_eq!(auth.replaces, None);
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let deep = "[".repeat(400_000) + &"]".repeat(400_000);
        let auth = read(&format!(
            r#"{{"userId":"u","x":{deep},"subscriptions":{deep}}}"#
        ));
        assert_eq!(auth.user, UserClaim::Claimed(UserId::new("u").unwrap()));
        assert_eq!(auth.subscriptions, Some(Err(InvalidSubscriptions)));
    }
}
