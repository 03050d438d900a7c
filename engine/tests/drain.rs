//! Leaving: everyone is told, then closed at its own moment; then the process may exit.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::Input;
use tradewire_engine::input::SessionVerdict;

#[test]
fn everyone_is_told_at_once_and_closed_spread_over_the_window() {
    let mut node = Node::new();
    node.join_all(0..4, "ann");
    node.jump(1_000);
    assert_eq!(
        node.drain(),
        [
            "send c0 server:shutdown reconnect in 1000 ms",
            "send c1 server:shutdown reconnect in 2000 ms",
            "send c2 server:shutdown reconnect in 3000 ms",
            "send c3 server:shutdown reconnect in 4000 ms",
            "note draining told 4",
        ]
    );
    assert_eq!(node.drain(), NOTHING, "the same signal again");
    assert_eq!(node.deadline(), Some((2_000, "DrainClose".into())));
    assert_eq!(node.sleep_until(1_999), NOTHING);
    for (slot, ms) in [(0, 2_000), (1, 3_000), (2, 4_000), (3, 5_000)] {
        let flush = 11_000 - ms;
        assert_eq!(
            node.sleep_until(ms),
            [
                format!("note closing c{slot} ann draining"),
                format!("close c{slot} draining flush {}.000s", flush / 1_000),
            ]
        );
    }
    for slot in 0..3 {
        assert_eq!(node.gone(c(slot)), [format!("release c{slot}")]);
    }
    assert_eq!(node.gone(c(3)), ["release c3", "drained"]);
    assert_eq!(node.sleep_until(60_000), NOTHING, "drained once");
    assert_eq!(node.sleep_until(100_000), NOTHING);
}

#[test]
fn a_window_that_does_not_divide_evenly_is_still_used_whole() {
    let mut node = Node::with(|limits| {
        limits.drain_window = core::time::Duration::from_millis(5);
        limits.connections_per_user_max = 10;
    });
    node.join_all(0..6, "ann");
    let lines = node.drain();
    let waits: Vec<&str> = lines[..6]
        .iter()
        .map(|line| line.split(' ').nth(5).unwrap())
        .collect();
    assert_eq!(waits, ["0", "1", "2", "2", "3", "4"]);
}

#[test]
fn a_node_without_clients_is_drained_at_once() {
    assert_eq!(Node::new().drain(), ["note draining told 0", "drained"]);
}

#[test]
fn whoever_is_not_in_is_closed_at_once() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.handshake(c(1));
    node.connect(c(1), hello("ann"));
    assert_eq!(
        node.drain(),
        [
            "note draining told 0",
            "note closing c0 - draining",
            "close c0 draining flush 10.000s",
            "note closing c1 - draining",
            "close c1 draining flush 10.000s",
        ]
    );
    assert_eq!(node.session(SessionVerdict::Trusted), NOTHING);
}

#[test]
fn a_node_that_leaves_takes_no_one_in() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.drain();
    assert_eq!(
        node.handshake(c(1)),
        [
            "503 c1 draining retry 1.000s",
            "note handshake refused draining",
            "release c1"
        ]
    );
    assert_eq!(
        node.gone(c(0)),
        ["note disconnected c0 ann", "release c0", "drained"]
    );
}

#[test]
fn a_client_whose_connect_answer_is_on_the_way_is_told_when_it_is_in() {
    let mut node = Node::new();
    node.knock(c(0), hello("ann"));
    assert_eq!(node.drain(), ["note draining told 0"]);
    node.jump(1_000);
    assert_eq!(
        node.connected(c(0)),
        [
            "send c0 server:shutdown reconnect in 2000 ms",
            "bus fetch r2: market:status",
        ]
    );
    assert_eq!(
        node.sleep_until(3_000),
        [
            "note closing c0 ann draining",
            "close c0 draining flush 7.000s"
        ]
    );
}

#[test]
fn a_client_that_comes_in_after_the_window_is_told_and_closed_at_once() {
    let mut node = Node::new();
    node.knock(c(0), hello("ann"));
    node.drain();
    node.jump(6_000);
    // It is closed with the next input at the latest, which here is the bus's answer.
    assert_eq!(
        node.connected(c(0)),
        [
            "send c0 server:shutdown reconnect in 0 ms",
            "bus fetch r2: market:status",
            "note closing c0 ann draining",
            "close c0 draining flush 4.000s"
        ]
    );
}

#[test]
fn the_deadline_ends_a_drain_whoever_is_left() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.drain();
    node.sleep_until(9_999);
    assert_eq!(node.deadline(), Some((10_000, "DrainEnd".into())));
    assert_eq!(node.sleep_until(10_000), ["drained"]);
    assert_eq!(node.gone(c(0)), ["release c0"], "drained once");
}

#[test]
fn a_second_signal_closes_everyone_now() {
    let mut node = Node::new();
    node.join_all(0..2, "ann");
    node.knock(c(2), hello("ann"));
    assert_eq!(
        node.input(Input::DrainHurried),
        NOTHING,
        "there was no first"
    );
    node.drain();
    node.jump(500);
    assert_eq!(
        node.input(Input::DrainHurried),
        [
            "note closing c0 ann draining",
            "close c0 draining flush 0.500s",
            "note closing c1 ann draining",
            "close c1 draining flush 0.500s",
            "note closing c2 ann draining",
            "close c2 draining flush 0.500s",
        ]
    );
    assert_eq!(node.deadline(), Some((1_000, "DrainEnd".into())));
    assert_eq!(node.sleep_until(1_000), ["drained"]);
}

#[test]
fn a_second_signal_never_moves_the_deadline_back() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.drain();
    node.sleep_until(9_800);
    let lines = node.input(Input::DrainHurried);
    assert_eq!(lines, NOTHING, "its close is under way");
    assert_eq!(node.deadline(), Some((10_000, "DrainEnd".into())));
}

#[test]
fn a_second_signal_after_the_end_changes_nothing() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.drain();
    node.sleep_until(10_000);
    let digest = node.digest();
    assert_eq!(node.input(Input::DrainHurried), NOTHING);
    assert_eq!(node.digest(), digest);
}

#[test]
fn what_is_published_elsewhere_still_reaches_clients_until_they_are_closed() {
    let mut node = Node::new();
    node.join_all(0..2, "ann");
    node.drain();
    let entries = || vec![entry("ann", event(1, 0), "{}")];
    assert_eq!(
        node.input(Input::LogArrived { entries: entries() }),
        ["deliver trade:executed e-1-0 {} to c0, c1"]
    );
    node.sleep_until(2_000);
    assert_eq!(
        node.input(Input::LogArrived { entries: entries() }),
        ["deliver trade:executed e-1-0 {} to c1"]
    );
}
