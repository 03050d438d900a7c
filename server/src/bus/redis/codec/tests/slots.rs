//! Connection slots, and the lease for emitter messages: who holds what, and for how long.

use std::time::Duration;

use redis::Value;
use tradewire_engine::Input;
use tradewire_engine::bus::{BusRequest, Renewal, Slot};
use tradewire_engine::ids::{SessionId, SocketId};
use tradewire_engine::input::{ClaimVerdict, SlotLoss};
use tradewire_engine::limits::Limits;

use super::super::Codec;
use super::server::{Node, Redis, codec};
use super::{request, user};
use ClaimVerdict::{Full, Granted, TooOften};

const KEY: &str = "tradewire:{slots:u}";
/// When tests on test time begin.
const START: u64 = 1_800_000_000_000;
const LEASE: u64 = 30_000;

fn slot(socket: &str) -> Slot {
    slot_of("session", socket)
}

fn slot_of(session: &str, socket: &str) -> Slot {
    Slot::new(
        SocketId::new(socket).unwrap(),
        &SessionId::new(session).unwrap(),
    )
}

async fn claim(node: &mut Node, slot: Slot, replaces: Option<Slot>) -> ClaimVerdict {
    let claim = BusRequest::Claim {
        request: request(),
        user: user("u"),
        slot,
        replaces,
    };
    match node.answer(&claim).await.input {
        Some(Input::Claimed { verdict, .. }) => verdict,
        other => panic!("{other:?}"),
    }
}

async fn release(node: &mut Node, slot: Slot) {
    let user = user("u");
    assert_eq!(node.ask(&BusRequest::Release { user, slot }).await, None);
}

/// Renews slots of (name, seconds since it was admitted) and tells which are lost.
async fn renew(node: &mut Node, slots: &[(&str, u64)]) -> Vec<(Slot, SlotLoss)> {
    let slots = slots.iter();
    let slots = slots.map(|(name, age)| (slot(name), Duration::from_secs(*age)));
    let renewal = Renewal {
        user: user("u"),
        slots: slots.collect(),
    };
    let users = vec![renewal];
    match node.ask(&BusRequest::Renew { users }).await {
        Some(Input::SlotsLost { slots }) => slots
            .into_iter()
            .map(|(of, slot, loss)| {
                assert_eq!(of, user("u"));
                (slot, loss)
            })
            .collect(),
        None => Vec::new(),
        other => panic!("{other:?}"),
    }
}

async fn held(node: &mut Node) -> usize {
    let Value::Map(fields) = node.run(&["HGETALL", KEY]).await else {
        panic!("no hash");
    };
    let names = fields
        .iter()
        .filter_map(|(name, _)| super::super::text(name));
    names
        .filter(|name| *name != "connects" && !name.starts_with("r:"))
        .count()
}

/// A node whose scripts run on test time.
async fn timed(redis: &Redis, limits: Limits) -> Node {
    let mut codec = Codec::new(limits, 1, 1, 1);
    codec.scripts = codec.scripts.on_test_time();
    let mut node = redis.node(codec).await;
    node.set_time(START).await;
    node
}

#[tokio::test]
async fn five_are_granted_and_the_sixth_waits_for_one_to_be_released() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    for name in ["a", "b", "c"] {
        assert_eq!(claim(&mut one, slot(name), None).await, Granted);
    }
    for name in ["d", "e"] {
        assert_eq!(claim(&mut other, slot(name), None).await, Granted);
    }
    assert_eq!(claim(&mut other, slot("f"), None).await, Full);
    assert_eq!(claim(&mut one, slot("f"), None).await, Full);
    release(&mut one, slot("d")).await;
    assert_eq!(claim(&mut one, slot("f"), None).await, Granted);
    let kept = one.count(&["PTTL", KEY]).await;
    assert!((50_000..=60_000).contains(&kept), "{kept}");
}

#[tokio::test]
async fn of_twenty_that_race_over_several_connections_five_win() {
    let redis = Redis::start();
    let mut races = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut node = redis.node(codec(n)).await;
        races.spawn(async move { claim(&mut node, slot(&format!("s{n}")), None).await });
    }
    let verdicts = races.join_all().await;
    assert_eq!(verdicts.iter().filter(|v| **v == Granted).count(), 5);
    assert_eq!(verdicts.iter().filter(|v| **v == Full).count(), 15);
}

#[tokio::test]
async fn a_client_that_comes_back_takes_its_own_place_and_no_other_sessions() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    for name in ["a", "b", "c", "d", "e"] {
        claim(&mut node, slot(name), None).await;
    }
    let foreign = slot_of("other session", "a");
    assert_eq!(claim(&mut node, slot("f"), Some(foreign)).await, Full);
    let absent = slot("never-held");
    assert_eq!(claim(&mut node, slot("f"), Some(absent)).await, Full);
    assert_eq!(claim(&mut node, slot("f"), Some(slot("a"))).await, Granted);
    assert_eq!(held(&mut node).await, 5);
    // It was replaced once and makes room no second time, under no name.
    assert_eq!(claim(&mut node, slot("g"), Some(slot("a"))).await, Full);
    assert_eq!(claim(&mut node, slot("g"), Some(slot("r:a"))).await, Full);
    let lost = renew(&mut node, &[("a", 10), ("b", 10), ("f", 0)]).await;
    assert_eq!(lost, [(slot("a"), SlotLoss::Replaced)]);
    assert_eq!(held(&mut node).await, 5);
}

#[tokio::test]
async fn a_claim_made_twice_is_one_connection() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    claim(&mut node, slot("a"), None).await;
    node.set_time(START + 1_000).await;
    assert_eq!(claim(&mut node, slot("a"), None).await, Granted);
    assert_eq!(claim(&mut node, slot("a"), Some(slot("a"))).await, Granted);
    assert_eq!(renew(&mut node, &[("a", 1)]).await, []);
    let name = slot("a").to_string();
    let times = node.run(&["HMGET", KEY, &name, "connects"]).await;
    let expected = format!("{START} {}", START + 1_000 + LEASE);
    let expected = [expected, START.to_string()].map(|text| Value::BulkString(text.into_bytes()));
    assert_eq!(times, Value::Array(expected.to_vec()));
}

#[tokio::test]
async fn what_a_crashed_node_held_is_free_when_its_lease_ends() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    for name in ["a", "b", "c", "d", "e"] {
        claim(&mut node, slot(name), None).await;
    }
    node.set_time(START + 20_000).await;
    assert_eq!(renew(&mut node, &[("a", 20), ("b", 20)]).await, []);
    node.set_time(START + LEASE - 1).await;
    assert_eq!(claim(&mut node, slot("f"), None).await, Full);
    node.set_time(START + LEASE).await;
    for name in ["f", "g", "h"] {
        assert_eq!(claim(&mut node, slot(name), None).await, Granted);
    }
    assert_eq!(claim(&mut node, slot("i"), None).await, Full);
    assert_eq!(held(&mut node).await, 5);
}

#[tokio::test]
async fn slots_that_redis_forgot_are_taken_again_with_their_age() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    for name in ["a", "b"] {
        claim(&mut node, slot(name), None).await;
    }
    node.run(&["DEL", KEY]).await;
    node.set_time(START + 60_000).await;
    assert_eq!(renew(&mut node, &[("a", 60), ("b", 60)]).await, []);
    assert_eq!(held(&mut node).await, 2);
    let kept = node.run(&["HGET", KEY, &slot("a").to_string()]).await;
    let expected = format!("{START} {}", START + 60_000 + LEASE);
    assert_eq!(kept, Value::BulkString(expected.into_bytes()));
    // An age before all time is as old as can be, and still a slot.
    node.run(&["DEL", KEY]).await;
    assert_eq!(renew(&mut node, &[("a", u64::MAX / 2_000)]).await, []);
    assert_eq!(renew(&mut node, &[("a", 0)]).await, []);
    assert_eq!(held(&mut node).await, 1);
}

#[tokio::test]
async fn the_excess_of_two_nodes_is_the_newest_of_both() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    // Both admitted by themselves while they were cut off.
    let ones = [("a", 100), ("b", 80), ("c", 60), ("d", 40)];
    let others = [("p", 90), ("q", 70), ("r", 50), ("s", 30)];
    assert_eq!(renew(&mut one, &ones).await, []);
    let lost = renew(&mut other, &others).await;
    assert_eq!(
        lost,
        [(slot("r"), SlotLoss::Excess), (slot("s"), SlotLoss::Excess)]
    );
    // The other's were not known at first; asked again, each node is told of its own.
    let lost = renew(&mut one, &ones).await;
    assert_eq!(lost, [(slot("d"), SlotLoss::Excess)]);
    // Until they are closed they count.
    assert_eq!(claim(&mut one, slot("x"), None).await, Full);
    release(&mut one, slot("d")).await;
    for name in ["r", "s"] {
        release(&mut other, slot(name)).await;
    }
    assert_eq!(renew(&mut one, &ones[..3]).await, []);
    assert_eq!(renew(&mut other, &others[..2]).await, []);
    assert_eq!(claim(&mut one, slot("x"), None).await, Full);
}

#[tokio::test]
async fn slots_of_a_node_that_does_not_renew_cost_nobody_else_theirs() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    let crashed = [("a", 100), ("b", 100), ("c", 100), ("d", 100), ("e", 100)];
    assert_eq!(renew(&mut node, &crashed).await, []);
    // Its clients came back elsewhere, where they were admitted without Redis.
    let back = [("p", 9), ("q", 9), ("r", 9), ("s", 9), ("t", 9)];
    node.set_time(START + 12_501).await;
    assert_eq!(renew(&mut node, &back).await, []);
    // One that is merely late counts still.
    node.set_time(START + 12_501 + 12_500).await;
    let late = renew(&mut node, &[("u", 1)]).await;
    assert_eq!(late, [(slot("u"), SlotLoss::Excess)]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_no_slot_for_longer_than_a_lease() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    let crashed = [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)];
    assert_eq!(renew(&mut node, &crashed).await, []);
    node.set_time(START - 3_600_000).await;
    assert_eq!(claim(&mut node, slot("x"), None).await, Granted);
}

#[tokio::test]
async fn of_slots_of_one_age_all_nodes_find_the_same_excess() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    let names = ["g", "c", "a", "f", "b", "e", "d"];
    let mut slots: Vec<_> = names.iter().map(|name| (*name, 5)).collect();
    let expected = ["f", "g"].map(|name| (slot(name), SlotLoss::Excess));
    assert_eq!(renew(&mut node, &slots).await, expected);
    slots.reverse();
    assert_eq!(renew(&mut node, &slots).await, expected);
}

#[tokio::test]
async fn a_slot_that_was_replaced_while_its_node_was_cut_off_stays_replaced() {
    let redis = Redis::start();
    let mut node = timed(&redis, Limits::default()).await;
    // Its node admitted it without Redis, so it is not held; its client comes back elsewhere.
    assert_eq!(
        claim(&mut node, slot("new"), Some(slot("old"))).await,
        Granted
    );
    node.set_time(START + LEASE - 1).await;
    let lost = renew(&mut node, &[("old", 60), ("new", 30)]).await;
    assert_eq!(lost, [(slot("old"), SlotLoss::Replaced)]);
    // After the lease nobody holds on to it any more, and the mark is gone.
    node.set_time(START + LEASE).await;
    renew(&mut node, &[("new", 30)]).await;
    let mark = format!("r:{}", slot("old"));
    assert_eq!(node.count(&["HEXISTS", KEY, &mark]).await, 0);
}

#[tokio::test]
async fn connects_are_counted_by_the_minute_whatever_they_replace() {
    let redis = Redis::start();
    let limits = Limits {
        connects_per_user_minute_max: 3,
        ..Limits::default()
    };
    let mut node = timed(&redis, limits).await;
    assert_eq!(claim(&mut node, slot("a"), None).await, Granted);
    node.set_time(START + 10).await;
    assert_eq!(claim(&mut node, slot("b"), Some(slot("a"))).await, Granted);
    release(&mut node, slot("b")).await;
    node.set_time(START + 20).await;
    assert_eq!(claim(&mut node, slot("c"), None).await, Granted);
    assert_eq!(claim(&mut node, slot("d"), None).await, TooOften);
    assert_eq!(claim(&mut node, slot("d"), Some(slot("c"))).await, TooOften);
    // What was refused replaced nothing.
    assert_eq!(renew(&mut node, &[("c", 0)]).await, []);
    node.set_time(START + 59_999).await;
    assert_eq!(claim(&mut node, slot("d"), None).await, TooOften);
    node.set_time(START + 60_000).await;
    assert_eq!(claim(&mut node, slot("d"), None).await, Granted);
    assert_eq!(claim(&mut node, slot("e"), None).await, TooOften);
}

#[tokio::test]
async fn garbage_among_slots_is_dropped_and_a_key_of_another_type_fails() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    for (field, value) in [
        ("x", "garbage"),
        ("y", "1"),
        ("z", "1 2 3"),
        ("r:x", "never"),
        ("connects", "soon 99999999999999999999999 -1"),
        ("", ""),
    ] {
        node.run(&["HSET", KEY, field, value]).await;
    }
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(claim(&mut node, slot(name), None).await, Granted);
    }
    assert_eq!(held(&mut node).await, 5);
    assert_eq!(node.count(&["HLEN", KEY]).await, 6);
    node.run(&["SET", KEY, "garbage"]).await;
    assert_eq!(
        claim(&mut node, slot("a"), None).await,
        ClaimVerdict::Failed
    );
    let user = user("u");
    let release = BusRequest::Release {
        user: user.clone(),
        slot: slot("a"),
    };
    let answer = node.answer(&release).await;
    assert_eq!((answer.input, answer.broken), (None, false));
    let slots = vec![(slot("a"), Duration::ZERO)];
    let users = vec![Renewal { user, slots }];
    let answer = node.answer(&BusRequest::Renew { users }).await;
    assert_eq!((answer.input, answer.broken), (None, false));
    assert!(answer.refused.is_some());
}

#[tokio::test]
async fn one_key_that_fails_costs_no_other_user_the_renewal() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.run(&["SET", "tradewire:{slots:bad}", "garbage"]).await;
    let names = ["a", "b", "c", "d", "e", "f"];
    let slots = (60..)
        .zip(names)
        .map(|(age, n)| (slot(n), Duration::from_secs(age)));
    let slots: Vec<_> = slots.collect();
    let users = ["bad", "u"].map(|name| Renewal {
        user: user(name),
        slots: slots.clone(),
    });
    let answer = node
        .answer(&BusRequest::Renew {
            users: users.into(),
        })
        .await;
    let slots = vec![(user("u"), slot("a"), SlotLoss::Excess)];
    assert_eq!(answer.input, Some(Input::SlotsLost { slots }));
}

#[tokio::test]
async fn one_node_at_a_time_holds_the_emitter_lease() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    let lead = BusRequest::Lead { request: request() };
    let led = |held| {
        let request = request();
        Some(Input::Led { request, held })
    };
    assert_eq!(one.ask(&lead).await, led(Some(true)));
    assert_eq!(other.ask(&lead).await, led(Some(false)));
    one.run(&["PEXPIRE", "tradewire:{emitter}:lease", "4000"])
        .await;
    assert_eq!(one.ask(&lead).await, led(Some(true)));
    let kept = one.count(&["PTTL", "tradewire:{emitter}:lease"]).await;
    assert!((4_001..=5_000).contains(&kept), "{kept}");
    // As when it expires.
    one.run(&["DEL", "tradewire:{emitter}:lease"]).await;
    assert_eq!(other.ask(&lead).await, led(Some(true)));
    assert_eq!(one.ask(&lead).await, led(Some(false)));
    one.run(&["DEL", "tradewire:{emitter}:lease"]).await;
    one.run(&["RPUSH", "tradewire:{emitter}:lease", "garbage"])
        .await;
    assert_eq!(one.answer(&lead).await.input, led(None));
}
