//! A resume behind an event that this node has not read yet: another node was faster, and its client
//! quicker still. Or it is forged.

mod common;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::event::{LogEntry, Topic};
use tradewire_engine::ids::{ConnId, Epoch, EventId};

/// A node in contact that has read events 1 and 2, the second of which is bob's.
fn node() -> Node {
    let mut node = Node::in_contact(|_| {});
    node.logged(vec![ann(1), entry("bob", event(2, 0), "{}")]);
    node
}

/// A trade of `ann` with this number.
fn ann(number: u64) -> LogEntry {
    entry("ann", event(number, 0), &format!("{{\"n\":{number}}}"))
}

fn logged(node: &mut Node, numbers: core::ops::RangeInclusive<u64>) -> Vec<String> {
    node.logged(numbers.map(ann).collect())
}

/// Lets `ann` in behind an event; returns what she is sent.
fn join_behind(node: &mut Node, conn: ConnId, id: EventId) -> Vec<String> {
    let lines = node.join_granted(conn, hello("ann").resuming(id));
    without(lines, &["bus ", "note "])
}

fn deliver(number: u64, to: &str) -> String {
    format!("deliver trade:executed e-{number}-0 {{\"n\":{number}}} to {to}")
}

#[test]
fn a_client_goes_on_behind_the_event_as_soon_as_it_is_read() {
    let mut node = node();
    assert_eq!(join_behind(&mut node, c(0), event(5, 0)), NOTHING);
    assert_eq!(node.deadline(), Some((500, "SlotRenewal".into())));
    assert_eq!(
        logged(&mut node, 3..=4),
        NOTHING,
        "it has handled these too"
    );
    assert_eq!(
        logged(&mut node, 5..=5),
        [
            "note resumed c0 recovered true replayed 0",
            "send c0 resume recovered true replayed 0 last e-5-0",
        ],
        "and the event itself"
    );
    assert_eq!(logged(&mut node, 6..=6), [deliver(6, "c0")]);
    assert_eq!(only(node.sleep_until(3_000), "send"), NOTHING);
    assert_eq!(node.engine.stats().congested, 0);
}

#[test]
fn what_is_read_together_with_the_event_comes_behind_the_answer() {
    let mut node = node();
    join_behind(&mut node, c(0), event(4, 0));
    node.join_granted(c(1), hello("ann"));
    assert_eq!(
        without(logged(&mut node, 3..=6), &["note"]),
        [
            deliver(3, "c1"),
            "send c0 resume recovered true replayed 0 last e-4-0".into(),
            deliver(4, "c1"),
            deliver(5, "c0, c1"),
            deliver(6, "c0, c1"),
        ]
    );
}

#[test]
fn several_wait_for_the_same_event() {
    let mut node = node();
    for slot in 0..3 {
        join_behind(&mut node, c(slot), event(3, 0));
    }
    assert_eq!(
        without(logged(&mut node, 3..=3), &["note"]),
        [0, 1, 2].map(|slot| format!("send c{slot} resume recovered true replayed 0 last e-3-0"))
    );
    assert_eq!(logged(&mut node, 4..=4), [deliver(4, "c0, c1, c2")]);
}

#[test]
fn an_event_that_does_not_come_is_told_after_a_second_and_nothing_is_lost() {
    let mut node = node();
    assert_eq!(join_behind(&mut node, c(0), event(u64::MAX, 0)), NOTHING);
    assert_eq!(logged(&mut node, 3..=4), NOTHING);
    node.jump(600);
    node.logged(vec![entry("bob", event(5, 0), "{}"), ann(6)]);
    assert_eq!(only(node.sleep_until(999), "send"), NOTHING);
    assert_eq!(
        without(node.sleep_until(1_000), &["bus renew"]),
        [
            deliver(3, "c0"),
            deliver(4, "c0"),
            deliver(6, "c0"),
            "note resumed c0 recovered false replayed 0".into(),
            "send c0 resume recovered false replayed 0 last e-6-0".into(),
        ]
    );
    assert_eq!(logged(&mut node, 7..=7), [deliver(7, "c0")]);
}

#[test]
fn another_users_event_is_waited_for_in_vain() {
    let mut node = node();
    join_behind(&mut node, c(0), event(3, 0));
    assert_eq!(
        node.logged(vec![entry("bob", event(3, 0), "{}")]),
        NOTHING,
        "whether it is there is not told"
    );
    logged(&mut node, 4..=4);
    assert_eq!(
        without(node.sleep_until(1_000), &["bus", "note"]),
        [
            deliver(4, "c0"),
            "send c0 resume recovered false replayed 0 last e-4-0".into(),
        ]
    );
}

#[test]
fn what_cannot_come_any_more_is_not_waited_for() {
    let other = EventId {
        epoch: Epoch::new(0xf),
        ..event(9, 0)
    };
    for (what, id) in [
        ("older than what was read", event(0, 7)),
        ("another user's that was read", event(2, 0)),
        ("of another life of the data", other),
    ] {
        let mut node = node();
        assert_eq!(
            join_behind(&mut node, c(0), id),
            ["send c0 resume recovered false replayed 0 last e-1-0"],
            "{what}"
        );
    }
    // Where nothing was read yet, everything may come.
    let mut node = Node::in_contact(|_| {});
    assert_eq!(join_behind(&mut node, c(0), event(0, 7)), NOTHING);
}

#[test]
fn events_of_one_millisecond_are_told_apart() {
    let mut node = node();
    node.logged(vec![entry("ann", event(3, 4), "{}")]);
    assert_eq!(join_behind(&mut node, c(0), event(3, 3)).len(), 1);
    assert_eq!(join_behind(&mut node, c(1), event(3, 5)), NOTHING);
}

#[test]
fn values_wait_behind_the_log() {
    let mut node = node();
    let auth = hello("ann")
        .resuming(event(3, 0))
        .restoring(false, false, &["A"]);
    node.join_granted(c(0), auth);
    for counter in 1..=2 {
        let text = format!("{{\"p\":{counter}}}");
        node.arrives(versioned(quote_of("A"), (1, counter), &text));
    }
    node.arrives(versioned(Topic::Market, (1, 3), "{}"));
    assert_eq!(only(node.done.clone(), "deliver"), NOTHING);
    assert_eq!(
        without(logged(&mut node, 3..=3), &["note"]),
        [
            "send c0 resume recovered true replayed 0 last e-3-0",
            "deliver quote:update A {\"p\":2} to c0",
            "deliver market:status {} to c0",
        ],
        "of each topic the newest"
    );
}

#[test]
fn a_client_that_leaves_waits_no_more() {
    let mut node = node();
    for slot in 0..2 {
        join_behind(&mut node, c(slot), event(3, 0));
    }
    node.gone(c(0));
    node.input(tradewire_engine::Input::Disconnected { conn: c(1) });
    assert_eq!(logged(&mut node, 3..=3), NOTHING);
    assert_eq!(only(node.sleep_until(2_000), "note resumed"), NOTHING);
}

#[test]
fn a_full_outbox_puts_the_rest_off() {
    let mut node = Node::in_contact(|limits| limits.outbox_packets_max = 4);
    node.logged(vec![ann(1)]);
    node.pending.insert(c(0), pending(200, 2));
    join_behind(&mut node, c(0), event(3, 0));
    node.measured(c(0), 200, 2);
    assert_eq!(
        without(logged(&mut node, 2..=5), &["note resumed"]),
        [
            "note congested c0 with 200 B in 2",
            "watch c0 at most 262144 B in 1",
        ],
        "not even the answer has room"
    );
    assert_eq!(
        only(node.measured(c(0), 0, 0), "deliver"),
        [deliver(4, "c0"), deliver(5, "c0")],
    );
    node.pending.clear();
    node.measured(c(0), 0, 0);
    assert_eq!(
        only(node.done.clone(), "send c0 resume"),
        ["send c0 resume recovered true replayed 2 last e-5-0"],
        "they came before it was answered"
    );
    assert_eq!(
        only(logged(&mut node, 6..=6), "deliver"),
        [deliver(6, "c0")]
    );
}

#[test]
fn a_lost_bus_does_not_make_it_wait_longer() {
    let mut node = node();
    join_behind(&mut node, c(0), event(3, 0));
    node.lost();
    assert_eq!(
        node.sleep_until(1_000),
        [
            "note resumed c0 recovered false replayed 0",
            "send c0 resume recovered false replayed 0 last e-1-0",
        ]
    );
    node.reached();
    assert_eq!(logged(&mut node, 3..=3), [deliver(3, "c0")]);
}

#[test]
fn a_drain_tells_it_all_the_same() {
    let mut node = node();
    join_behind(&mut node, c(0), event(3, 0));
    assert_eq!(only(node.drain(), "send").len(), 1);
    assert_eq!(
        only(logged(&mut node, 3..=3), "send"),
        ["send c0 resume recovered true replayed 0 last e-3-0"]
    );
}

#[test]
fn what_a_client_has_handled_is_not_sent_again_when_a_node_that_was_cut_off_reads_on() {
    let mut node = node();
    node.lost();
    let joining = node.join(c(0), hello("ann").resuming(event(5, 0)));
    assert_eq!(only(joining, "send"), NOTHING);
    assert_eq!(
        only(node.sleep_until(1_000), "send"),
        ["send c0 resume recovered false replayed 0 last e-1-0"]
    );
    // It reads on before it says that the bus is reached.
    node.jump(1_500);
    assert_eq!(logged(&mut node, 3..=4), NOTHING);
    assert_eq!(logged(&mut node, 5..=6), [deliver(6, "c0")]);
    node.reached();
    assert_eq!(logged(&mut node, 7..=7), [deliver(7, "c0")]);
}

#[test]
fn what_a_slow_client_has_handled_is_not_sent_again_once_it_reads_after_an_outage() {
    let mut node = Node::in_contact(|limits| limits.outbox_packets_max = 4);
    node.logged(vec![ann(1)]);
    node.lost();
    node.join(c(0), hello("ann").resuming(event(5, 0)));
    node.sleep_until(1_000);
    node.measured(c(0), 200, 4);
    node.jump(1_500);
    assert_eq!(only(logged(&mut node, 3..=6), "deliver"), NOTHING);
    node.reached();
    assert_eq!(
        only(node.measured(c(0), 0, 0), "deliver"),
        [deliver(6, "c0")]
    );
}

#[test]
fn what_it_has_handled_is_not_sent_again_later_either_when_it_is_congested() {
    let mut node = node();
    node.lost();
    node.join(c(0), hello("ann").resuming(event(5, 0)));
    node.sleep_until(1_000);
    logged(&mut node, 3..=5);
    node.reached();
    node.measured(c(0), 1 << 20, 1);
    assert_eq!(logged(&mut node, 6..=6), NOTHING, "owed to later");
    assert_eq!(
        only(node.measured(c(0), 0, 0), "deliver"),
        [deliver(6, "c0")]
    );
}

#[test]
fn what_came_while_it_waited_is_not_sent_behind_what_it_has_handled() {
    let mut node = node();
    let joining = node.join_granted(c(0), hello("ann").resuming(event(5, 0)));
    assert_eq!(only(joining, "send"), NOTHING);
    assert_eq!(logged(&mut node, 3..=4), NOTHING);
    node.lost();
    let told = node.sleep_until(1_000);
    assert_eq!(
        only(told.clone(), "send"),
        ["send c0 resume recovered false replayed 0 last e-4-0"]
    );
    assert_eq!(only(told, "deliver"), NOTHING);
    assert_eq!(logged(&mut node, 5..=6), [deliver(6, "c0")]);
}

#[test]
fn a_forged_event_of_the_future_costs_no_event_after_the_bus_is_back() {
    let mut node = node();
    node.lost();
    node.join(c(0), hello("ann").resuming(event(9_999, 0)));
    node.sleep_until(1_000);
    node.reached();
    assert_eq!(logged(&mut node, 3..=3), [deliver(3, "c0")]);
}
