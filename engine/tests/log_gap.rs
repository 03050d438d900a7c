//! Gaps in the log: whom one concerns is told, and from there on every event comes again; and what was
//! logged before this node listened.

mod common;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::event::LogEntry;
use tradewire_engine::ids::{Epoch, EventId};
use tradewire_engine::input::GapCause::{DataLoss, Trimmed};
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::ClientEvent::SubscribeTrades;
use tradewire_engine::{BusKind, Delivery, Input};

/// A node in contact on which `ann` is in as `c0`.
fn node(change: impl FnOnce(&mut Limits)) -> Node {
    let mut node = Node::in_contact(change);
    node.join_granted(c(0), hello("ann"));
    node
}

/// A trade of `ann` with this number.
fn ann(number: u64) -> LogEntry {
    entry("ann", event(number, 0), &format!("{{\"n\":{number}}}"))
}

fn logged(node: &mut Node, numbers: core::ops::RangeInclusive<u64>) -> Vec<String> {
    node.logged(numbers.map(ann).collect())
}

fn loaded(node: &mut Node, numbers: core::ops::RangeInclusive<u64>) -> Vec<String> {
    let entries = numbers.map(ann).collect();
    node.input(Input::LogLoaded { entries })
}

fn told(conn: &str) -> [String; 2] {
    [
        format!("note resumed {conn} recovered false replayed 0"),
        format!("send {conn} resume recovered false replayed 0 last none"),
    ]
}

#[test]
fn every_client_is_told_of_a_gap_and_gets_what_comes_after_it() {
    for (cause, name) in [(Trimmed, "trimmed"), (DataLoss, "data loss")] {
        let mut node = node(|_| {});
        node.join_granted(c(1), hello("bob"));
        node.knock(c(2), hello("ann"));
        node.grant();
        logged(&mut node, 1..=2);
        let mut expected: Vec<String> = [told("c0"), told("c1")].concat();
        expected.push(format!("note log gap {name} told 2"));
        assert_eq!(node.log_gap(cause), expected, "c2 is not in yet");
        assert_eq!(node.engine.stats().history_events, 0);
        assert_eq!(
            logged(&mut node, 5..=5),
            ["deliver trade:executed e-5-0 {\"n\":5} to c0"]
        );
    }
}

#[test]
fn nobody_can_resume_from_before_a_gap_and_everybody_from_after_it() {
    let mut node = node(|_| {});
    logged(&mut node, 1..=2);
    node.log_gap(Trimmed);
    logged(&mut node, 5..=6);
    let resumed = |node: &mut Node, slot, id| {
        let lines = node.join_granted(c(slot), hello("ann").resuming(event(id, 0)));
        without(lines, &["note", "bus"])
    };
    assert_eq!(
        resumed(&mut node, 1, 2),
        ["send c1 resume recovered false replayed 0 last e-6-0"]
    );
    assert_eq!(
        resumed(&mut node, 2, 5),
        [
            "deliver trade:executed e-6-0 {\"n\":6} to c2",
            "send c2 resume recovered true replayed 1 last e-6-0",
        ]
    );
}

#[test]
fn after_a_loss_of_data_ids_of_the_life_before_are_not_waited_for() {
    let mut node = node(|_| {});
    logged(&mut node, 1..=2);
    node.log_gap(DataLoss);
    let other = EventId {
        epoch: Epoch::new(0xf),
        ..event(1, 0)
    };
    assert_eq!(
        node.logged(vec![entry("ann", other, "{}")]),
        ["deliver trade:executed f-1-0 {} to c0"]
    );
    assert_eq!(
        only(
            node.join_granted(c(1), hello("ann").resuming(event(9, 0))),
            "send"
        ),
        ["send c1 resume recovered false replayed 0 last f-1-0"]
    );
}

#[test]
fn a_congested_client_is_owed_nothing_from_before_a_gap() {
    let mut node = node(|limits| {
        limits.outbox_packets_max = 8;
        limits.congested_log_events_max = 3;
    });
    node.measured(c(0), 800, 8);
    assert_eq!(logged(&mut node, 1..=3), NOTHING);
    node.arrives(versioned(
        tradewire_engine::event::Topic::Market,
        (1, 1),
        "{}",
    ));
    assert_eq!(
        without(node.log_gap(Trimmed), &["measure"]),
        [
            told("c0").to_vec(),
            vec!["note log gap trimmed told 1".into()]
        ]
        .concat()
    );
    assert_eq!(
        logged(&mut node, 7..=9),
        NOTHING,
        "the bound is all its own again"
    );
    assert_eq!(
        without(node.measured(c(0), 0, 0), &["watch", "measure"]),
        [
            "deliver trade:executed e-7-0 {\"n\":7} to c0",
            "deliver trade:executed e-8-0 {\"n\":8} to c0",
            "deliver trade:executed e-9-0 {\"n\":9} to c0",
            "deliver market:status {} to c0",
            "note uncongested c0",
        ]
    );
}

#[test]
fn a_congested_client_that_is_owed_too_much_is_closed_and_one_after_a_gap_is_not() {
    let mut node = node(|limits| {
        limits.outbox_packets_max = 8;
        limits.congested_log_events_max = 3;
    });
    node.measured(c(0), 800, 8);
    logged(&mut node, 1..=3);
    node.log_gap(Trimmed);
    logged(&mut node, 4..=6);
    assert_eq!(
        logged(&mut node, 7..=7)[1..],
        [
            "bus release: ann socket-c0",
            "close c0 slow_log flush 0.000s"
        ]
    );
}

#[test]
fn a_replay_is_cut_short_by_a_gap() {
    let mut node = Node::in_contact(|limits| limits.outbox_packets_max = 4);
    logged(&mut node, 1..=5);
    node.pending.insert(c(0), pending(200, 2));
    let lines = node.join_granted(c(0), hello("ann").resuming(event(1, 0)));
    assert_eq!(only(lines, "deliver").len(), 2);
    assert_eq!(
        without(node.log_gap(Trimmed), &["note resumed", "measure"]),
        [
            "send c0 resume recovered false replayed 0 last none",
            "note uncongested c0",
            "note log gap trimmed told 1",
        ],
        "once, and the rest of the replay is lost"
    );
    node.pending.clear();
    assert_eq!(only(node.measured(c(0), 0, 0), "deliver"), NOTHING);
    assert_eq!(
        only(logged(&mut node, 9..=9), "deliver"),
        ["deliver trade:executed e-9-0 {\"n\":9} to c0"]
    );
    assert_eq!(node.engine.stats().congested, 0);
}

#[test]
fn one_that_waits_for_an_event_is_told_once() {
    let mut node = Node::in_contact(|_| {});
    logged(&mut node, 1..=1);
    node.join_granted(c(0), hello("ann").resuming(event(3, 0)));
    logged(&mut node, 2..=2);
    node.arrives(versioned(
        tradewire_engine::event::Topic::Market,
        (1, 1),
        "{}",
    ));
    assert_eq!(
        node.log_gap(DataLoss),
        [
            told("c0").to_vec(),
            vec![
                "deliver market:status {} to c0".into(),
                "note log gap data loss told 1".into()
            ]
        ]
        .concat()
    );
    assert_eq!(only(node.sleep_until(2_000), "send"), NOTHING);
    assert_eq!(node.engine.stats().congested, 0);
}

#[test]
fn one_whose_connect_answer_is_on_the_way_is_told_when_it_asks() {
    let mut node = Node::in_contact(|_| {});
    logged(&mut node, 1..=1);
    node.knock(c(0), hello("ann").resuming(event(1, 0)));
    node.grant();
    assert_eq!(node.log_gap(Trimmed), ["note log gap trimmed told 0"]);
    assert_eq!(
        only(node.connected(c(0)), "send"),
        NOTHING,
        "it may still arrive"
    );
    node.answer_fetches();
    assert_eq!(only(node.sleep_until(1_000), "send"), told("c0")[1..]);
}

#[test]
fn where_delivery_is_to_subscribers_they_alone_are_told() {
    let mut node = Node::of_kind(BusKind::Shared, Delivery::Subscribed, |_| {});
    node.bus_answers = false;
    node.reached();
    for slot in 0..2 {
        node.join_granted(c(slot), hello("ann"));
    }
    node.emit(c(1), SubscribeTrades);
    assert_eq!(only(node.log_gap(Trimmed), "send"), told("c1")[1..]);
    node.emit(c(0), SubscribeTrades);
    assert_eq!(
        logged(&mut node, 3..=3),
        ["deliver trade:executed e-3-0 {\"n\":3} to c0, c1"]
    );
}

#[test]
fn what_was_logged_before_is_there_for_who_comes_back_and_for_no_one_else() {
    let mut node = Node::shared(|_| {});
    node.join(c(0), hello("ann"));
    assert_eq!(loaded(&mut node, 1..=2), NOTHING);
    assert_eq!(loaded(&mut node, 3..=3), NOTHING);
    assert_eq!(node.engine.stats().history_events, 3);
    let lines = node.reached();
    assert_eq!(
        only(lines, "send"),
        ["send c0 resume recovered false replayed 0 last none"],
        "what it missed before the bus was reached nobody knows"
    );
    node.answer_fetches();
    assert_eq!(
        only(
            node.join_granted(c(1), hello("ann").resuming(event(1, 0))),
            "deliver"
        ),
        [
            "deliver trade:executed e-2-0 {\"n\":2} to c1",
            "deliver trade:executed e-3-0 {\"n\":3} to c1",
        ]
    );
    assert_eq!(
        logged(&mut node, 4..=4),
        ["deliver trade:executed e-4-0 {\"n\":4} to c0, c1"]
    );
}

#[test]
fn what_was_logged_before_is_not_owed_to_a_slow_client_that_is_in_already() {
    for history_bytes_max in [3 * 170, 1 << 20] {
        let mut node = Node::shared(|limits| {
            limits.outbox_packets_max = 8;
            limits.history_bytes_max = history_bytes_max;
        });
        node.join(c(0), hello("ann"));
        node.measured(c(0), 800, 8);
        assert_eq!(loaded(&mut node, 1..=5), NOTHING, "nor is it closed for it");
        assert_eq!(only(node.measured(c(0), 0, 0), "deliver"), NOTHING);
        node.reached();
        node.answer_fetches();
        assert_eq!(
            logged(&mut node, 6..=6),
            ["deliver trade:executed e-6-0 {\"n\":6} to c0"]
        );
    }
}

#[test]
fn what_was_logged_before_is_not_replayed_to_one_that_waits_for_another_event() {
    let mut node = Node::shared(|_| {});
    node.join(c(0), hello("ann").resuming(event(9, 0)));
    assert_eq!(loaded(&mut node, 1..=3), NOTHING);
    assert_eq!(
        node.sleep_until(1_000),
        [
            "note resumed c0 recovered false replayed 0",
            "send c0 resume recovered false replayed 0 last e-3-0",
        ]
    );
}

#[test]
fn a_node_that_nobody_is_on_notes_a_gap_too() {
    let mut node = Node::in_contact(|_| {});
    assert_eq!(node.log_gap(Trimmed), ["note log gap trimmed told 0"]);
}

#[test]
fn one_that_came_before_the_first_contact_goes_on_behind_its_event_if_that_was_loaded() {
    let mut node = Node::shared(|_| {});
    for (slot, id) in [(0, 2), (1, 9)] {
        node.join(c(slot), hello("ann").resuming(event(id, 0)));
    }
    node.join(c(2), hello("bob").resuming(event(2, 0)));
    loaded(&mut node, 1..=2);
    loaded(&mut node, 3..=4);
    assert_eq!(
        without(node.reached(), &["note", "bus", "measure", "watch"]),
        [
            "deliver trade:executed e-3-0 {\"n\":3} to c0",
            "deliver trade:executed e-4-0 {\"n\":4} to c0",
            "send c0 resume recovered true replayed 2 last e-4-0",
            "send c1 resume recovered false replayed 0 last none",
            "send c2 resume recovered false replayed 0 last none",
        ],
        "c1's event is not here, and c2's is another user's"
    );
    assert_eq!(
        only(logged(&mut node, 5..=5), "deliver"),
        ["deliver trade:executed e-5-0 {\"n\":5} to c0, c1"]
    );
    assert_eq!(only(node.sleep_until(5_000), "send"), NOTHING);
}

#[test]
fn one_that_came_when_a_part_was_loaded_goes_on_once_all_of_it_is() {
    let mut node = Node::shared(|_| {});
    loaded(&mut node, 1..=2);
    let lines = node.join(c(0), hello("ann").resuming(event(1, 0)));
    assert_eq!(only(lines, "deliver"), NOTHING);
    loaded(&mut node, 3..=3);
    assert_eq!(
        without(node.reached(), &["note", "bus", "measure", "watch"]),
        [
            "deliver trade:executed e-2-0 {\"n\":2} to c0",
            "deliver trade:executed e-3-0 {\"n\":3} to c0",
            "send c0 resume recovered true replayed 2 last e-3-0",
        ]
    );
}
