//! Values: versioned, kept, told to every node, and read back.

use tradewire_engine::Input;
use tradewire_engine::bus::{BusRequest, StatePublish};
use tradewire_engine::event::{StateValue, Topic};
use tradewire_engine::ids::Epoch;
use tradewire_engine::input::BusOutcome;

use super::super::StateMessage;
use super::server::{Node, Redis, codec};
use super::{id, payload, request, symbol, user};

const CLOCK: &str = "tradewire:{state}:clock";

fn topic(text: &str) -> Topic {
    match text.split_once(' ') {
        Some(("user", name)) => Topic::Portfolio(user(name)),
        Some((_, name)) => Topic::Quote(symbol(name)),
        None => Topic::Market,
    }
}

/// Values of (topic, id or nothing, payload).
fn share(values: &[(&str, &str, &str)]) -> BusRequest {
    let values = values.iter().map(|(of, with, text)| StatePublish {
        id: (!with.is_empty()).then(|| id(with)),
        lasting: true,
        topic: topic(of),
        payload: payload(text),
    });
    BusRequest::Share {
        request: request(),
        values: values.collect(),
        once: false,
    }
}

fn shared(outcome: BusOutcome) -> Option<Input> {
    Some(Input::Shared {
        request: request(),
        outcome,
    })
}

async fn fetch(node: &mut Node, topics: &[&str]) -> (Option<Vec<StateValue>>, u32) {
    let fetch = BusRequest::Fetch {
        request: request(),
        topics: topics.iter().map(|text| topic(text)).collect(),
    };
    let answer = node.answer(&fetch).await;
    match answer.input {
        Some(Input::Fetched { values, .. }) => (values, answer.unreadable),
        other => panic!("{other:?}"),
    }
}

async fn values(node: &mut Node) -> Vec<StateValue> {
    match node.heard().await {
        StateMessage::Values(values) => values,
        other @ (StateMessage::Heartbeat { .. } | StateMessage::Publication(_)) => {
            panic!("{other:?}")
        }
    }
}

#[tokio::test]
async fn what_is_shared_is_told_to_all_in_order_and_can_be_fetched() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    let batch = share(&[
        ("user ü {1}", "", r#"{"total":1e400}"#),
        ("quote BTC/USD", "q1", r#"{"price":1}"#),
        ("market", "", "{}"),
        ("quote BTC/USD", "q2", r#"{"text":"a\nb 1 2 ü"}"#),
    ]);
    assert_eq!(one.ask(&batch).await, shared(BusOutcome::Done));
    let told = values(&mut one).await;
    assert_eq!(values(&mut other).await, told);
    let seen: Vec<_> = told
        .iter()
        .map(|v| (v.topic.clone(), v.payload.text()))
        .collect();
    assert_eq!(
        seen,
        [
            (topic("user ü {1}"), r#"{"total":1e400}"#),
            (topic("quote BTC/USD"), r#"{"price":1}"#),
            (topic("market"), "{}"),
            (topic("quote BTC/USD"), r#"{"text":"a\nb 1 2 ü"}"#),
        ]
    );
    assert!(told.is_sorted_by(|a, b| b.version.supersedes(a.version)));
    let epoch = other.open().await.state_epoch;
    assert!(told.iter().all(|value| value.version.epoch == epoch));
    let names = ["market", "user ü {1}", "quote none", "quote BTC/USD"];
    let (fetched, unreadable) = fetch(&mut other, &names).await;
    let expected = [&told[2], &told[0], &told[3]].map(Clone::clone);
    assert_eq!(
        (fetched.unwrap().as_slice(), unreadable),
        (expected.as_slice(), 0)
    );
    let kept = one.count(&["PTTL", "tradewire:{state}:v:m"]).await;
    assert!(kept > 6 * 24 * 3_600_000, "{kept}");
    let kept = one.count(&["PTTL", "tradewire:{state}:id:q1"]).await;
    assert!((590_000..=600_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_value_whose_id_was_taken_is_not_shared_again() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    one.ask(&share(&[
        ("market", "a", r#"{"n":1}"#),
        ("market", "b", r#"{"n":2}"#),
    ]))
    .await;
    values(&mut other).await;
    let again = share(&[("market", "a", r#"{"n":1}"#)]);
    assert_eq!(other.ask(&again).await, shared(BusOutcome::Done));
    let mixed = share(&[
        ("market", "b", r#"{"n":2}"#),
        ("quote A", "c", r#"{"n":3}"#),
        ("quote A", "c", r#"{"n":4}"#),
    ]);
    assert_eq!(other.ask(&mixed).await, shared(BusOutcome::Done));
    // The message of nothing new was not sent.
    let told = values(&mut other).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].payload.text(), r#"{"n":3}"#);
    let (fetched, _) = fetch(&mut one, &["market"]).await;
    assert_eq!(fetched.unwrap()[0].payload.text(), r#"{"n":2}"#);
}

#[tokio::test]
async fn counters_grow_through_every_loss_of_the_clock() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    let mut last = (Epoch::new(0), 0);
    let losses: [&[&str]; 6] = [
        &["PING"],
        &["DEL", CLOCK],
        // An older copy of the data.
        &["HSET", CLOCK, "c", "17"],
        &["HSET", CLOCK, "c", "nan"],
        &["HSET", CLOCK, "e", "garbage", "c", "1e300"],
        &["FLUSHALL"],
    ];
    let mut epochs = Vec::new();
    for loss in losses {
        node.run(loss).await;
        let three = share(&[
            ("market", "", "{}"),
            ("quote A", "", "{}"),
            ("market", "", "{}"),
        ]);
        node.ask(&three).await;
        for value in values(&mut node).await {
            assert!(value.version.counter > last.1, "after {loss:?}");
            last = (value.version.epoch, value.version.counter);
        }
        epochs.push(last.0);
        let (fetched, _) = fetch(&mut node, &["market"]).await;
        let version = fetched.unwrap()[0].version;
        assert_eq!((version.epoch, version.counter), last);
    }
    // Only where the epoch itself was lost is there a new one.
    epochs.dedup();
    assert_eq!(epochs.len(), 4);
}

#[tokio::test]
async fn counters_grow_faster_than_time_when_they_must() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    let ahead = 8_000_000_000_000_000_u64;
    node.run(&["HSET", CLOCK, "c", &ahead.to_string()]).await;
    node.run(&["HSET", CLOCK, "e", "0123456789abcdef"]).await;
    node.ask(&share(&[("market", "", "{}"), ("market", "", "{}")]))
        .await;
    node.ask(&share(&[("market", "", "{}")])).await;
    let mut counters = Vec::new();
    for _ in 0..2 {
        counters.extend(values(&mut node).await.iter().map(|v| v.version.counter));
    }
    assert_eq!(counters, [ahead + 1, ahead + 2, ahead + 3]);
}

#[tokio::test]
async fn fetching_leaves_out_what_is_no_value_and_says_how_many() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.ask(&share(&[("quote GOOD", "", r#"{"n":1}"#)])).await;
    node.run(&["RPUSH", "tradewire:{state}:v:q:LIST", "1\n{}"])
        .await;
    for (name, text) in [
        ("EMPTY", ""),
        ("PLAIN", "{}"),
        ("SIGN", "+1\n{}"),
        ("NONE", "\n{}"),
        ("ARRAY", "1\n[]"),
        ("BAD", "1\n{"),
        ("HUGE", "18446744073709551616\n{}"),
    ] {
        node.run(&["SET", &format!("tradewire:{{state}}:v:q:{name}"), text])
            .await;
    }
    let names = [
        "quote LIST",
        "quote EMPTY",
        "quote PLAIN",
        "quote SIGN",
        "quote NONE",
        "quote ARRAY",
        "quote GOOD",
        "quote BAD",
        "quote HUGE",
    ];
    let (fetched, unreadable) = fetch(&mut node, &names).await;
    let fetched = fetched.unwrap();
    assert_eq!((fetched.len(), unreadable), (1, 7));
    assert_eq!(fetched[0].topic, topic("quote GOOD"));
    assert_eq!(fetch(&mut node, &[]).await, (Some(Vec::new()), 0));
}

#[tokio::test]
async fn a_large_hand_over_is_told_in_portions_and_answered_once() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(600_000));
    let batch = share(&[
        ("quote A", "", &large),
        ("quote B", "", &large),
        ("quote C", "", "{}"),
        ("quote D", "", &large),
    ]);
    assert_eq!(node.ask(&batch).await, shared(BusOutcome::Done));
    let mut told = Vec::new();
    for count in [1, 2, 1] {
        let values = values(&mut node).await;
        assert_eq!(values.len(), count);
        told.extend(values);
    }
    assert!(told.is_sorted_by(|a, b| b.version.supersedes(a.version)));
    assert_eq!(told[3].topic, topic("quote D"));
    // Nothing to share is nothing to ask.
    assert_eq!(node.ask(&share(&[])).await, shared(BusOutcome::Done));
}

#[tokio::test]
async fn a_clock_of_another_type_fails_what_needs_it() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.run(&["SET", CLOCK, "garbage"]).await;
    let answer = node.answer(&share(&[("market", "a", "{}")])).await;
    assert_eq!(
        (answer.input, answer.broken),
        (shared(BusOutcome::Failed), false)
    );
    assert_eq!(fetch(&mut node, &["market"]).await, (None, 0));
    node.run(&["DEL", CLOCK]).await;
    // The id was not taken by the try that failed.
    assert_eq!(
        node.ask(&share(&[("market", "a", "{}")])).await,
        shared(BusOutcome::Done)
    );
    assert_eq!(values(&mut node).await.len(), 1);
}

#[tokio::test]
async fn a_value_key_of_another_type_is_taken_over() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.run(&["RPUSH", "tradewire:{state}:v:m", "garbage"])
        .await;
    node.ask(&share(&[("market", "", r#"{"n":1}"#)])).await;
    let (fetched, unreadable) = fetch(&mut node, &["market"]).await;
    assert_eq!((fetched.unwrap().len(), unreadable), (1, 0));
}

#[tokio::test]
async fn a_heartbeat_names_its_node() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(0xab)).await, redis.node(codec(2)).await);
    let heartbeat = one.codec.heartbeat(41);
    one.send(&heartbeat).await;
    let expected = StateMessage::Heartbeat {
        node: 0xab,
        number: 41,
    };
    assert_eq!(one.heard().await, expected);
    assert_eq!(other.heard().await, expected);
}
