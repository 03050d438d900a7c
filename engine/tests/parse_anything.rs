//! What holds for any input at all: nothing panics, and what is accepted is well formed.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::ops::ControlFlow::{self, Continue};

use proptest::prelude::*;
use tradewire_engine::limits::ParseLimits;
use tradewire_engine::parse::{BodyFormat, auth, client_event, emitted, json, publish, session};
use tradewire_engine::time::WallTime;

/// Valid inputs of every kind, to be damaged.
const SEEDS: [&str; 9] = [
    r#"[{"event":"quote:update","symbol":"AAPL","data":{"price":1.50,"symbol":"AAPL"}}]"#,
    r#"{"event":"trade:failed","userId":"u","id":"k","data":{"error":{"a":[1]},"x":"\u00e9\\"}}"#,
    "{\"event\":\"market:status\",\"data\":{}}\r\n\n{\"event\":\"portfolio:update\",\"userId\":7,\"data\":{ }}",
    r#"["subscribe:watchlist",["AAPL","BRK.B"]]"#,
    r#"["unsubscribe:watchlist",["AAPL"],{}]"#,
    r#"{"sessionID":"s","userId":1,"subscriptions":{"portfolio":true,"watchlist":["A"]},"lastEventId":"x"}"#,
    r#"{"cookie":{"expires":null,"path":"/"},"passport":{"user":{"_id":{"$oid":"507f"}}}}"#,
    r#"{"passport":{"user":{"id":42}},"userId":"u"}"#,
    r#"{"symbol":"AAPL","error":"\ud800","price":1e400}"#,
];

/// Events and rooms that fit each other, or do not.
const EMITTED: [(&str, &[&str]); 6] = [
    ("portfolio:update", &["user:u", "user:\"\\"]),
    ("trade:failed", &["user:u"]),
    ("quote:update", &["symbol:AAPL"]),
    ("market:status", &[]),
    ("market:status", &["user:u"]),
    ("no\u{1}such", &["x"]),
];

/// Pieces on which a JSON reader turns.
const PIECES: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "\n",
    "\r",
    " ",
    "null",
    "1e400",
    "-0.0",
    "\\ud800",
    "\"data\":{}",
    "\"timestamp\":",
    "\"error\":\"\\",
    "é",
    "{}",
];

/// A seed in which a few spans are replaced by pieces.
fn damaged() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<u16>(), 0..4_usize, 0..PIECES.len()), 0..5);
    (0..SEEDS.len(), edits).prop_map(|(seed, edits)| {
        let mut text: Vec<char> = SEEDS[seed].chars().collect();
        for (at, removed, piece) in edits {
            let start = usize::from(at) % (text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, PIECES[piece].chars());
        }
        text.into_iter().collect()
    })
}

fn feed(bytes: &[u8]) -> Result<(), TestCaseError> {
    let limits = ParseLimits::default();
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = client_event(text, &limits);
        let _ = auth(Some(text), &limits);
        let _ = json::splice(text, &[("a", &"1")]);
        for (event, rooms) in EMITTED {
            match emitted(event, rooms, text, WallTime::default(), &limits) {
                Ok(items) => {
                    prop_assert_eq!(items.len(), rooms.len().max(1));
                    for item in items {
                        well_formed(item.payload.text())?;
                    }
                }
                Err(error) => prop_assert_ne!(error.to_string(), ""),
            }
        }
        let room = ["user:", text].concat();
        for room in [text, &room] {
            let _ = emitted(text, &[room], "{}", WallTime::default(), &limits);
        }
    }
    match session(bytes, &limits) {
        Ok(user) => prop_assert!(user.as_str().len() <= limits.user_bytes_max),
        Err(error) => prop_assert_ne!(error.to_string(), ""),
    }
    for format in [BodyFormat::Json, BodyFormat::NdJson] {
        match publish(bytes, format, WallTime::default(), &limits) {
            Ok(items) => {
                for item in items {
                    well_formed(item.payload.text())?;
                }
            }
            Err(error) => prop_assert_ne!(error.to_string(), ""),
        }
    }
    Ok(())
}

/// A payload is an object with a timestamp, to which a field can be added.
fn well_formed(payload: &str) -> Result<(), TestCaseError> {
    let mut timestamps = 0;
    let read = json::for_each_field(payload, |key, _| {
        timestamps += usize::from(key == "timestamp");
        ControlFlow::<()>::Continue(())
    });
    prop_assert!(matches!(read, Ok(Continue(()))), "{payload}");
    prop_assert!(timestamps >= 1, "{payload}");
    let added = json::splice(payload, &[("eventId", &"\"e\"")]);
    for text in [payload, &added] {
        // A tree cannot hold every number and every escape that JSON can.
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => prop_assert!(value.is_object(), "{text}"),
            Err(_) => prop_assert!(text.contains("1e400") || text.contains("\\ud800"), "{text}"),
        }
    }
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        feed(&bytes)?;
    }

    #[test]
    fn damaged_input_is_refused_or_comes_out_well_formed(text in damaged()) {
        feed(text.as_bytes())?;
    }

    #[test]
    fn any_value_passes_as_data_unchanged(
        keys in prop::collection::vec("[a-z_\\\\\"{}\\[\\]é ]{1,8}", 0..6),
        text in any::<String>(),
    ) {
        let fields: Vec<String> = keys
            .iter()
            .map(|key| std::format!("{}:{}", json::quote(key), json::quote(&text)))
            .collect();
        let data = std::format!("{{{}}}", fields.join(","));
        let body = std::format!(r#"{{"event":"market:status","data":{data}}}"#);
        let items = publish(body.as_bytes(), BodyFormat::Json, WallTime::default(), &ParseLimits::default());
        let items = items.map_err(|error| TestCaseError::fail(std::format!("{error}")))?;
        let open = data.strip_suffix('}').unwrap_or_default();
        prop_assert!(items.iter().all(|item| item.payload.text().starts_with(open)));
        for item in items {
            well_formed(item.payload.text())?;
        }
    }
}
