//! The bus on a real Redis: what it promises, and what it makes of a Redis that goes away.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for one input among many"
)]

mod outages;
mod rig;

use std::time::Duration;

use tokio::time::timeout;
use tradewire_engine::Input;
use tradewire_engine::bus::{ARRIVALS_MAX, BusRequest, Renewal, Slot};
use tradewire_engine::ids::{SessionId, SocketId, UserId};
use tradewire_engine::input::{BusOutcome, ClaimVerdict};
use tradewire_engine::limits::Limits;

use rig::{Node, RedisServer, arrived, cut_off_while, quote};

#[tokio::test]
async fn what_any_node_appends_arrives_once_at_every_node_in_order() {
    let redis = RedisServer::start();
    let mut one = Node::reached(redis.url()).await;
    let mut two = Node::reached(redis.url()).await;
    one.append(&["a", "b"]);
    assert_eq!(one.log_until("b").await, arrived(&["a", "b"]));
    assert_eq!(two.log_until("b").await, arrived(&["a", "b"]));
    // An id that was taken is not appended again, and answered alike.
    let request = two.append(&["b", "c"]);
    let outcome = BusOutcome::Done;
    two.until(|input| (input == Input::Appended { request, outcome }).then_some(()))
        .await;
    two.append(&["d"]);
    assert_eq!(one.log_until("d").await, arrived(&["c", "d"]));
}

#[tokio::test]
async fn a_large_batch_arrives_in_small_inputs() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let ids: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    node.append(&ids);
    let mut left = ids.len();
    while left > 0 {
        if let Input::LogArrived { entries } = node.next().await {
            assert!(entries.len() <= ARRIVALS_MAX);
            left -= entries.len();
        }
    }
}

#[tokio::test]
async fn a_value_shared_on_one_node_arrives_at_both_with_one_version() {
    let redis = RedisServer::start();
    let mut one = Node::reached(redis.url()).await;
    let mut two = Node::reached(redis.url()).await;
    one.share("AAPL", 1);
    let (here, there) = (one.next_value().await, two.next_value().await);
    assert_eq!(here, there);
    assert_eq!(here.topic, quote("AAPL"));
    two.share("AAPL", 2);
    let newer = one.next_value().await;
    assert!(newer.version.supersedes(here.version));
    // And it is kept.
    let request = one.next_request();
    one.submit(BusRequest::Fetch {
        request,
        topics: vec![quote("AAPL"), quote("NONE")],
    });
    let fetched = one
        .until(|input| match input {
            Input::Fetched { values, .. } => values,
            _ => None,
        })
        .await;
    assert_eq!(fetched, [newer]);
}

#[tokio::test]
async fn requests_are_answered_in_their_order() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let mut asked = Vec::new();
    for n in 0..1_000 {
        asked.push(if n % 3 == 0 {
            node.append(&[&format!("id{n}")])
        } else {
            node.share("AAPL", n)
        });
    }
    let mut answered = Vec::new();
    while answered.len() < asked.len() {
        match node.next().await {
            Input::Appended { request, outcome } | Input::Shared { request, outcome } => {
                assert_eq!(outcome, BusOutcome::Done);
                answered.push(request);
            }
            _ => {}
        }
    }
    assert_eq!(answered, asked);
}

#[tokio::test]
async fn the_recent_past_is_loaded_before_the_bus_counts_as_reached() {
    let redis = RedisServer::start();
    let mut one = Node::reached(redis.url()).await;
    let ids: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    one.append(&ids);
    one.log_until("n299").await;

    let mut late = Node::start(redis.url());
    let mut loaded = 0;
    loop {
        match late.next().await {
            Input::LogLoaded { entries } => {
                assert!(entries.len() <= ARRIVALS_MAX);
                loaded += entries.len();
            }
            Input::BusReached => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(loaded, 300);
    // What is older than the history is not loaded, and what comes after is news.
    let short = Limits {
        history_max: Duration::ZERO,
        ..Limits::default()
    };
    let mut short = Node::start_with(redis.url(), short, 64);
    short.until_reached().await;
    one.append(&["new"]);
    assert_eq!(short.log_until("new").await, arrived(&["new"]));
    assert_eq!(late.log_until("new").await, arrived(&["new"]));
}

#[tokio::test]
async fn nodes_hear_each_other_and_count_themselves() {
    let redis = RedisServer::start();
    let one = Node::reached(redis.url()).await;
    let two = Node::reached(redis.url()).await;
    let heard = async {
        while one.status.nodes() != 2 || two.status.nodes() != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), heard)
        .await
        .expect("two nodes");
}

#[tokio::test]
async fn messages_of_emitters_are_heard_only_while_asked_for() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let subscribed = async |wanted: i64| {
        let client = redis.client().await;
        while client.run(&["PUBSUB", "NUMPAT"]).await != redis::Value::Int(wanted) {}
    };
    for on in [true, false, true] {
        node.submit(BusRequest::Listen { on });
        timeout(Duration::from_secs(10), subscribed(i64::from(on)))
            .await
            .expect("a subscription that follows");
    }
    // A new contact does not hear them before it is asked again.
    cut_off_while(&redis, &[]).await;
    node.until_lost().await;
    node.until_reached().await;
    timeout(Duration::from_secs(10), subscribed(0))
        .await
        .expect("none");
}

#[tokio::test]
async fn a_message_of_an_emitter_arrives_as_publishes() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    node.submit(BusRequest::Listen { on: true });
    // [ "emitter", {type: 2, data: ["market:status", {"open": true}], nsp: "/"},
    //   {rooms: [], except: [], flags: {}} ]
    let mut body = b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x92\xadmarket:status".to_vec();
    body.extend(b"\x81\xa4open\xc3\xa3nsp\xa1/\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80");
    let client = redis.client().await;
    let mut publish = redis::cmd("PUBLISH");
    publish.arg("socket.io#/#").arg(body);
    // Until someone hears it.
    while client.query(&publish).await == redis::Value::Int(0) {}
    let items = node
        .until(|input| match input {
            Input::Emitted { items, .. } => Some(items),
            _ => None,
        })
        .await;
    assert_eq!(items.len(), 1);
}

#[tokio::test]
async fn what_was_asked_before_a_stop_still_reaches_redis() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let (user, slot) = (UserId::new("u").expect("a user"), slot("one"));
    let request = node.next_request();
    let claim = BusRequest::Claim {
        request,
        user: user.clone(),
        slot: slot.clone(),
        replaces: None,
    };
    node.submit(claim);
    let verdict = ClaimVerdict::Granted;
    node.until(|input| (input == Input::Claimed { request, verdict }).then_some(()))
        .await;
    let field = slot.to_string();
    node.submit(BusRequest::Release { user, slot });
    let Node { stop, mut bus, .. } = node;
    timeout(Duration::from_secs(1), stop.stop())
        .await
        .expect("an end in time");
    let held = redis
        .client()
        .await
        .run(&["HEXISTS", "tradewire:{slots:u}", &field])
        .await;
    assert_eq!(held, redis::Value::Int(0));
    // And after it the answer is no.
    let mut answers = std::collections::VecDeque::new();
    crate::bus::Bus::submit(
        &mut bus,
        tradewire_engine::time::Timestamp::ZERO,
        BusRequest::Lead { request },
        &mut answers,
    );
    assert_eq!(
        answers.pop_front(),
        Some(Input::Led {
            request,
            held: None
        })
    );
}

#[tokio::test]
async fn a_bus_ends_by_itself_when_it_is_dropped() {
    let redis = RedisServer::start();
    let node = Node::reached(redis.url()).await;
    let Node {
        bus,
        mut commands,
        stop,
        ..
    } = node;
    drop(bus);
    // The watch ends with the task that feeds it.
    let ended = async { while commands.changed().await.is_ok() {} };
    timeout(Duration::from_secs(5), ended)
        .await
        .expect("an end");
    stop.stop().await;
}

#[tokio::test]
async fn a_driver_that_does_not_listen_costs_values_and_says_so() {
    let redis = RedisServer::start();
    let mut slow = Node::start_with(redis.url(), Limits::default(), 1);
    slow.until_reached().await;
    let mut busy = Node::reached(redis.url()).await;
    // Nobody takes the slow node's inputs meanwhile; what it cannot keep it drops.
    let mut last = 0;
    while slow.status.overflows.get() == 0 {
        last += 1;
        let request = busy.share("AAPL", last);
        let outcome = BusOutcome::Done;
        busy.until(|input| (input == Input::Shared { request, outcome }).then_some(()))
            .await;
    }
    slow.until(|input| (input == Input::StateMissed).then_some(()))
        .await;
    assert!(
        slow.status.reached(),
        "its own slowness is not Redis' fault"
    );
}

#[tokio::test]
async fn slots_of_many_users_are_renewed_in_one_request() {
    let redis = RedisServer::start();
    let mut node = Node::reached(redis.url()).await;
    let user = |n: u32| UserId::new(&format!("u{n}")).expect("a user");
    let mut users: Vec<_> = (0..200)
        .map(|n| Renewal {
            user: user(n),
            slots: vec![(slot("one"), Duration::from_secs(5))],
        })
        .collect();
    let crowded = ["a", "b", "c", "d", "e", "f"].map(|name| (slot(name), Duration::ZERO));
    users.push(Renewal {
        user: UserId::new("crowded").expect("a user"),
        slots: crowded.to_vec(),
    });
    node.submit(BusRequest::Renew { users });
    node.submit(BusRequest::Probe);
    let lost = node.next().await;
    let Input::SlotsLost { slots } = lost else {
        panic!("{lost:?}");
    };
    assert_eq!(slots.len(), 1);
    assert_eq!(node.next().await, Input::BusReached, "the probe's answer");
}

fn slot(name: &str) -> Slot {
    let session = SessionId::new("s").expect("a session");
    Slot::new(SocketId::new(name).expect("a socket"), &session)
}
