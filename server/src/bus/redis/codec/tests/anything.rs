//! Whatever arrives in place of Redis' replies and messages, it is survived.

use std::time::Duration;

use proptest::prelude::*;
use redis::Value;
use tradewire_engine::bus::{BusRequest, LogPublish, Renewal, Slot, StatePublish};
use tradewire_engine::event::{LogKind, Topic};
use tradewire_engine::ids::{SessionId, SocketId};
use tradewire_engine::reason::Call;
use tradewire_engine::time::WallTime;

use super::super::{Codec, StateMessage, Unreadable};
use super::server::codec;
use super::{id, payload, request, symbol, user};

const EPOCH: &str = "0123456789abcdef";

fn requests() -> Vec<BusRequest> {
    let (request, user) = (request(), user("u"));
    let socket = SocketId::new("s").unwrap();
    let slot = Slot::new(socket, &SessionId::new("session").unwrap());
    vec![
        BusRequest::Append {
            request,
            entries: vec![LogPublish {
                id: id("a"),
                lasting: true,
                kind: LogKind::TradeExecuted,
                user: user.clone(),
                payload: payload("{}"),
            }],
            wall: WallTime::from_unix_ms(1),
        },
        BusRequest::Charge {
            request,
            user: user.clone(),
            call: Call::Trades,
            admitted: false,
        },
        BusRequest::Claim {
            request,
            user: user.clone(),
            slot: slot.clone(),
            replaces: None,
        },
        BusRequest::Fetch {
            request,
            topics: vec![Topic::Market, Topic::Quote(symbol("A"))],
        },
        BusRequest::Lead { request },
        BusRequest::Listen { on: true },
        BusRequest::Probe,
        BusRequest::Release {
            user: user.clone(),
            slot: slot.clone(),
        },
        BusRequest::Renew {
            users: vec![Renewal {
                user,
                slots: vec![(slot, Duration::ZERO)],
            }],
        },
        BusRequest::Share {
            request,
            values: vec![StatePublish {
                id: None,
                lasting: false,
                topic: Topic::Market,
                payload: payload("{}"),
            }],
            once: false,
        },
    ]
}

fn replies() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<Vec<u8>>(),
        "[0-9]{0,21}".prop_map(String::into_bytes),
        "[0-9]{1,3}-[0-9]{1,3}".prop_map(String::into_bytes),
        "[0-9]{1,3}\n[{}]{0,2}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            EPOCH, "e", "n", "k", "u", "p", "executed", "{}", "excess", "replaced", "PONG"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let leaf = prop_oneof![
        Just(Value::Nil),
        Just(Value::Okay),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>().prop_map(Value::Double),
        any::<String>().prop_map(Value::SimpleString),
        text.prop_map(Value::BulkString),
    ];
    leaf.prop_recursive(4, 64, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Array),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Map),
        ]
    })
}

/// A message as a node sends it: three values, of a user and twice of a symbol.
fn message() -> Vec<u8> {
    let mut body = format!("v {EPOCH}\n");
    let values = [
        ("p:ü", r#"{"a":1}"#),
        ("q:A", "{}"),
        ("q:A", r#"{"b":"\n"}"#),
    ];
    for (counter, (topic, text)) in (100..).zip(values) {
        body += &format!("{counter} {} {}\n{topic}{text}", topic.len(), text.len());
    }
    body.into_bytes()
}

fn refused(codec: &Codec, body: &str) -> Unreadable {
    codec.state_message(body.as_bytes()).unwrap_err()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_replies_are_survived(replies in prop::collection::vec(replies(), 0..4)) {
        let codec = codec(1);
        for request in requests() {
            let answer = codec.answer(&request, &replies);
            prop_assert_eq!(answer.broken, false);
            prop_assert!(answer.input.is_some() || Codec::failed(&request).is_none());
        }
        let _ = codec.opened(&replies);
        for reply in replies {
            let _ = codec.log_entries(reply.clone());
            // As a stream's entries, and as one entry's fields.
            let entry = Value::Array(vec![Value::BulkString(b"1-2".to_vec()), reply.clone()]);
            for entries in [reply, Value::Array(vec![entry])] {
                let _ = codec.log_entries(Value::Map(vec![(Value::Nil, entries)]));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(body in any::<Vec<u8>>()) {
        let codec = codec(1);
        let _ = codec.state_message(&body);
        for start in ["v ", "h ", "v 0123456789abcdef\n", "v 0123456789abcdef\n1 1 2\n"] {
            let _ = codec.state_message(&[start.as_bytes(), &body].concat());
        }
    }

    #[test]
    fn a_message_with_damage_is_survived(at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200) {
        let codec = codec(1);
        let mut body = message();
        if let Some(place) = body.get_mut(at) {
            *place = byte;
        }
        body.truncate(cut);
        let _ = codec.state_message(&body);
    }
}

#[test]
fn a_message_cut_anywhere_but_between_values_is_refused() {
    let codec = codec(1);
    let whole = message();
    let mut taken = Vec::new();
    for end in 0..=whole.len() {
        if let Ok(StateMessage::Values(values)) = codec.state_message(&whole[..end]) {
            taken.push(values.len());
        }
    }
    assert_eq!(taken, [0, 1, 2, 3]);
}

#[test]
fn a_message_says_why_it_is_refused() {
    let codec = codec(1);
    for (body, fault) in [
        (String::new(), Unreadable::Shape),
        ("x".into(), Unreadable::Shape),
        (format!("h {EPOCH}"), Unreadable::Shape),
        (format!("h {EPOCH} +1"), Unreadable::Shape),
        (format!("h {EPOCH} 1 2"), Unreadable::Shape),
        ("h 0123456789ABCDEF 1".into(), Unreadable::Shape),
        ("v abc\n".into(), Unreadable::Shape),
        (format!("v {EPOCH}\n1 1\nm{{}}"), Unreadable::Shape),
        (format!("v {EPOCH}\n1 1 2 3\nm{{}}"), Unreadable::Shape),
        (
            format!("v {EPOCH}\n1 1 99999999999999999999\nm{{}}"),
            Unreadable::Shape,
        ),
        (
            format!("v {EPOCH}\n1 1 18446744073709551615\nm{{}}"),
            Unreadable::Shape,
        ),
        (
            format!("v {EPOCH}\n{}1 1 2\nm{{}}", "0".repeat(80)),
            Unreadable::Shape,
        ),
        (format!("v {EPOCH}\n1 1 2\nx{{}}"), Unreadable::Topic),
        (format!("v {EPOCH}\n1 1 2\nm[]"), Unreadable::Payload),
        (format!("v {EPOCH}\n1 1 2\nm{{]"), Unreadable::Payload),
        (format!("v {EPOCH}\n1 1 1\nm{{"), Unreadable::Payload),
    ] {
        assert_eq!(refused(&codec, &body), fault, "{body}");
    }
}

#[test]
fn a_message_holds_a_thousand_values_and_no_more() {
    let codec = codec(1);
    let of = |count: usize| format!("v {EPOCH}\n{}", "1 1 2\nm{}".repeat(count));
    let Ok(StateMessage::Values(values)) = codec.state_message(of(1_000).as_bytes()) else {
        panic!("refused");
    };
    assert_eq!(values.len(), 1_000);
    assert_eq!(refused(&codec, &of(1_001)), Unreadable::Shape);
}

#[test]
fn payloads_are_as_long_as_publishers_may_send() {
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(3_000_000));
    let body = format!("v {EPOCH}\n1 1 {}\nm{text}", text.len());
    assert_eq!(refused(&codec(1), &body), Unreadable::TooLong);
    let codec = codec(1).with_publishes_of(3_000_000);
    assert!(codec.state_message(body.as_bytes()).is_ok());
}

#[test]
fn no_epoch_is_proposed_twice() {
    let (one, other) = (codec(1), codec(2));
    let mut seen: Vec<_> = (0..1_000)
        .flat_map(|_| [one.candidate(), other.candidate()])
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2_000);
}

#[test]
fn only_the_requests_that_wait_for_an_answer_are_told_of_a_failure() {
    let silent = ["Listen", "Probe", "Release", "Renew"];
    for request in requests() {
        let name = format!("{request:?}");
        let waits = !silent.iter().any(|silent| name.starts_with(silent));
        assert_eq!(Codec::failed(&request).is_some(), waits, "{name}");
    }
}
