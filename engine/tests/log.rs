//! The log: every event once, in order; and what becomes of it over a reconnect.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::ids::{ConnId, Epoch, EventId};
use tradewire_engine::parse::ClientEvent::SubscribeTrades;
use tradewire_engine::parse::{Auth, LastEventId};
use tradewire_engine::{Delivery, Input};

/// What coming in brings, but for what is asked of the bus.
fn joins(node: &mut Node, conn: ConnId, auth: Auth) -> Vec<String> {
    let mut lines = node.join(conn, auth);
    lines.retain(|line| !line.starts_with("bus "));
    lines
}

/// Publishes `{"n":from}` to `{"n":to}` as trades of `ann`, each at its own time in milliseconds.
fn trades(node: &mut Node, numbers: core::ops::RangeInclusive<u64>) {
    for number in numbers {
        node.publish(vec![trade("ann", &format!("{{\"n\":{number}}}"))]);
    }
}

#[test]
fn a_trade_goes_to_all_connections_of_its_user_in_order_and_to_no_one_else() {
    let mut node = Node::new();
    node.join_all(0..2, "ann");
    node.join(c(2), hello("bob"));
    node.jump(5);
    let batch = vec![
        trade("ann", "{\"n\":1}"),
        trade("bob", "{\"n\":2}"),
        failed_trade("ann", "{\"n\":3}"),
        trade("cyd", "{\"n\":4}"),
    ];
    let lines = node.publish(batch);
    assert_eq!(
        lines[1..],
        [
            "deliver trade:executed e-5-0 {\"n\":1} to c0, c1",
            "deliver trade:executed e-5-1 {\"n\":2} to c2",
            "deliver trade:failed e-5-2 {\"n\":3} to c0, c1",
            "answer publish r1: accepted 0000000000000001-1, 0000000000000001-2, 0000000000000001-3, 0000000000000001-4",
        ]
    );
}

#[test]
fn where_delivery_is_to_subscribers_only_they_get_trades_from_then_on() {
    let mut node = Node::configured(Delivery::Subscribed, |_| {});
    node.join_all(0..2, "ann");
    node.emit(c(1), SubscribeTrades);
    assert_eq!(
        node.delivers(trade("ann", "{}")),
        ["deliver trade:executed e-0-1 {} to c1"]
    );
    assert_eq!(
        node.emit(c(0), SubscribeTrades),
        ["send c0 subscription:confirmed trades"]
    );
    assert_eq!(
        node.delivers(trade("ann", "{}")),
        ["deliver trade:executed e-0-2 {} to c0, c1"]
    );
}

#[test]
fn without_a_last_event_id_what_was_missed_is_not_sent() {
    let mut node = Node::new();
    node.publish(vec![trade("ann", "{\"n\":1}")]);
    node.knock(c(0), hello("ann"));
    assert_eq!(
        node.delivers(trade("ann", "{\"n\":2}")),
        NOTHING,
        "not in yet"
    );
    assert_eq!(node.connected(c(0)), ["bus fetch r4: market:status"]);
    assert_eq!(
        node.delivers(trade("ann", "{\"n\":3}")),
        ["deliver trade:executed e-0-3 {\"n\":3} to c0"]
    );
}

#[test]
fn a_resume_brings_every_later_event_of_the_user_once_and_then_goes_on() {
    let mut node = Node::new();
    node.publish(vec![trade("ann", "{\"n\":1}"), trade("bob", "{\"n\":2}")]);
    node.publish(vec![
        trade("ann", "{\"n\":3}"),
        failed_trade("ann", "{\"n\":4}"),
    ]);
    node.knock(c(0), hello("ann").resuming(event(0, 1)));
    node.publish(vec![trade("ann", "{\"n\":5}")]);
    assert_eq!(
        node.connected(c(0)),
        [
            "deliver trade:executed e-0-3 {\"n\":3} to c0",
            "deliver trade:failed e-0-4 {\"n\":4} to c0",
            "deliver trade:executed e-0-5 {\"n\":5} to c0",
            "note resumed c0 recovered true replayed 3",
            "send c0 resume recovered true replayed 3 last e-0-5",
            "bus fetch r5: market:status",
        ]
    );
    assert_eq!(
        node.delivers(trade("ann", "{\"n\":6}")),
        ["deliver trade:executed e-0-6 {\"n\":6} to c0"]
    );
}

#[test]
fn a_resume_of_the_newest_event_brings_nothing_and_is_recovered() {
    let mut node = Node::new();
    node.publish(vec![trade("ann", "{}")]);
    assert_eq!(
        joins(&mut node, c(0), hello("ann").resuming(event(0, 1))),
        [
            "note resumed c0 recovered true replayed 0",
            "send c0 resume recovered true replayed 0 last e-0-1",
        ]
    );
}

#[test]
fn what_cannot_be_recovered_is_told_and_leaks_nothing() {
    let foreign = EventId {
        epoch: Epoch::new(0xf),
        ..event(0, 1)
    };
    let unrecovered = |last: &str| {
        [
            "note resumed c0 recovered false replayed 0".to_string(),
            format!("send c0 resume recovered false replayed 0 last {last}"),
        ]
    };
    for (what, id) in [
        ("an id of another epoch", Some(foreign)),
        ("an id that was never given out", Some(event(0, 9))),
        ("the id of another user's event", Some(event(0, 2))),
        ("an id that cannot be read", None),
    ] {
        let mut node = Node::new();
        node.publish(vec![trade("ann", "{\"n\":1}"), trade("bob", "{\"n\":2}")]);
        node.publish(vec![trade("ann", "{\"n\":3}"), trade("bob", "{\"n\":4}")]);
        let auth = Auth {
            last_event_id: LastEventId::Given(id),
            ..hello("ann")
        };
        assert_eq!(joins(&mut node, c(0), auth), unrecovered("e-0-3"), "{what}");
        assert_eq!(
            node.delivers(trade("ann", "{\"n\":5}")),
            ["deliver trade:executed e-0-5 {\"n\":5} to c0"],
            "{what}"
        );
    }
    let mut node = Node::new();
    node.publish(vec![trade("bob", "{}")]);
    let auth = hello("ann").resuming(event(0, 1));
    assert_eq!(
        joins(&mut node, c(0), auth),
        unrecovered("none"),
        "no event of her own"
    );
}

#[test]
fn where_delivery_is_to_subscribers_a_resume_without_subscription_is_not_recovered() {
    let mut node = Node::configured(Delivery::Subscribed, |_| {});
    node.publish(vec![trade("ann", "{\"n\":1}"), trade("ann", "{\"n\":2}")]);
    assert_eq!(
        joins(&mut node, c(0), hello("ann").resuming(event(0, 1))),
        [
            "note resumed c0 recovered false replayed 0",
            "send c0 resume recovered false replayed 0 last e-0-2",
        ]
    );
    assert_eq!(
        node.join(
            c(1),
            hello("ann")
                .resuming(event(0, 1))
                .restoring(false, true, &[])
        ),
        [
            "send c1 subscription:confirmed trades",
            "deliver trade:executed e-0-2 {\"n\":2} to c1",
            "note resumed c1 recovered true replayed 1",
            "send c1 resume recovered true replayed 1 last e-0-2",
        ]
    );
}

#[test]
fn the_history_forgets_an_event_at_the_end_of_its_time() {
    let mut node = Node::new();
    node.jump(1_000);
    node.publish(vec![trade("ann", "{\"n\":1}")]);
    node.jump(2_000);
    node.publish(vec![trade("ann", "{\"n\":2}")]);
    assert_eq!(node.deadline(), Some((601_000, "History".into())));
    node.jump(600_999);
    let lines = joins(&mut node, c(0), hello("ann").resuming(event(1_000, 0)));
    assert_eq!(
        *lines.last().unwrap(),
        "send c0 resume recovered true replayed 1 last e-2000-0"
    );
    assert_eq!(node.sleep_until(601_000), NOTHING);
    assert_eq!(node.engine.stats().history_events, 1);
    assert_eq!(node.deadline(), Some((602_000, "History".into())));
    let lines = joins(&mut node, c(1), hello("ann").resuming(event(1_000, 0)));
    assert_eq!(
        *lines.last().unwrap(),
        "send c1 resume recovered false replayed 0 last e-2000-0"
    );
    let lines = joins(&mut node, c(2), hello("ann").resuming(event(2_000, 0)));
    assert_eq!(
        *lines.last().unwrap(),
        "send c2 resume recovered true replayed 0 last e-2000-0"
    );
    node.sleep_until(602_000);
    assert_eq!(node.engine.stats().history_events, 0);
    assert_eq!(node.engine.stats().history_bytes, 0);
}

#[test]
fn the_history_ends_at_its_bytes_and_forgets_the_oldest_first() {
    // An event is charged its payload, its user's name and 160 bytes.
    let mut node = Node::with(|limits| limits.history_bytes_max = 3 * 170);
    trades(&mut node, 1..=3);
    assert_eq!(node.engine.stats().history_events, 3);
    assert_eq!(node.engine.stats().history_bytes, 3 * 170);
    node.publish(vec![trade("bob", "{\"n\":4}")]);
    assert_eq!(node.engine.stats().history_events, 3);
    let lines = joins(&mut node, c(0), hello("ann").resuming(event(0, 1)));
    assert_eq!(
        *lines.last().unwrap(),
        "send c0 resume recovered false replayed 0 last e-0-3"
    );
    let lines = joins(&mut node, c(1), hello("ann").resuming(event(0, 2)));
    assert_eq!(
        *lines.last().unwrap(),
        "send c1 resume recovered true replayed 1 last e-0-3"
    );
}

#[test]
fn a_history_too_small_for_one_event_still_delivers_it() {
    let mut node = Node::with(|limits| limits.history_bytes_max = 0);
    node.join(c(0), hello("ann"));
    assert_eq!(
        node.delivers(trade("ann", "{}")),
        ["deliver trade:executed e-0-1 {} to c0"]
    );
    assert_eq!(node.engine.stats().history_events, 0);
}

/// What `lines` say that the client was sent, by number; `resume` is 0.
fn sent(lines: &[String], conn: &str) -> Vec<u64> {
    let resume = format!("send {conn} resume");
    let to = format!(" to {conn}");
    lines
        .iter()
        .filter(|line| line.ends_with(&to) || line.starts_with(&resume))
        .map(|line| match line.split_once("{\"n\":") {
            Some((_, rest)) => rest
                .split('}')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(u64::MAX),
            None => 0,
        })
        .collect()
}

#[test]
fn a_replay_larger_than_the_outbox_brings_every_event_once_with_those_that_come_meanwhile() {
    let mut node = Node::with(|limits| {
        limits.outbox_packets_max = 8;
        // What is replayed is not charged to the bounds of a slow client, nor what comes meanwhile.
        limits.congested_log_events_max = 2;
        limits.congested_log_bytes_max = 20;
    });
    trades(&mut node, 1..=20);
    node.knock(c(0), hello("ann").resuming(event(0, 1)));
    // Nothing is read between the measurements: what was handed over is still there.
    node.pending.insert(c(0), pending(400, 4));
    assert_eq!(
        sent(&node.connected(c(0)), "c0"),
        [2, 3, 4, 5],
        "half of the outbox"
    );
    let mut number = 20;
    while !sent(&node.done, "c0").contains(&0) {
        number += 1;
        trades(&mut node, number..=number);
        let emptied = Input::OutboxMeasured {
            conn: c(0),
            pending: pending(0, 0),
        };
        let handed = sent(&node.input(emptied), "c0").len();
        assert!((1..=4).contains(&handed), "{handed}");
    }
    node.pending.clear();
    trades(&mut node, 40..=40);
    let mut expected: Vec<u64> = (2..=number).collect();
    expected.extend([0, 40]);
    assert_eq!(sent(&node.done, "c0"), expected);
    let told = format!(
        "send c0 resume recovered true replayed {} last e-0-{number}",
        number - 1
    );
    assert!(node.done.contains(&told), "{told}");
    assert_eq!(node.engine.stats().congested, 0);
}

#[test]
fn a_replay_that_the_history_forgets_under_its_feet_ends_in_a_close() {
    let mut node = Node::with(|limits| limits.outbox_packets_max = 4);
    trades(&mut node, 1..=5);
    node.jump(590_000);
    node.pending.insert(c(0), pending(200, 2));
    assert_eq!(
        node.join(c(0), hello("ann").resuming(event(0, 1))),
        [
            "deliver trade:executed e-0-2 {\"n\":2} to c0",
            "deliver trade:executed e-0-3 {\"n\":3} to c0",
            "note congested c0 with 206 B in 2",
            "watch c0 at most 262144 B in 1",
            "bus fetch r7: market:status",
            "measure c0",
        ]
    );
    assert_eq!(
        node.sleep_until(600_000),
        [
            "note closing c0 ann slow_log",
            "close c0 slow_log flush 0.000s"
        ]
    );
}
