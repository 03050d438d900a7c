//! When the engine wants to be woken, and that being woken late, early or often is harmless.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::Input;
use tradewire_engine::parse::ClientEvent::SubscribeTrades;

#[test]
fn each_deadline_is_told_with_its_reason_and_goes_with_its_cause() {
    let mut node = Node::new();
    let due = |ms, kind: &str| Some((ms, kind.to_string()));
    assert_eq!(node.deadline(), None);
    node.handshake(c(0));
    assert_eq!(node.deadline(), due(20_000, "Handshake"));
    node.connect(c(0), hello("ann"));
    assert_eq!(node.deadline(), due(5_000, "SessionLookUp"));
    node.session(tradewire_engine::input::SessionVerdict::Trusted);
    assert_eq!(node.deadline(), None);
    node.bus_answers = false;
    node.connected(c(0));
    assert_eq!(node.deadline(), due(1_000, "BusRequest"));
    node.fetched(2, vec![]);
    assert_eq!(node.deadline(), None);
    node.input(Input::LogArrived {
        entries: vec![entry("ann", event(0, 1), "{}")],
    });
    assert_eq!(node.deadline(), due(600_000, "History"));
    node.measured(c(0), 1 << 20, 1);
    assert_eq!(node.deadline(), due(30_000, "Congested"));
    node.drain();
    assert_eq!(node.deadline(), due(2_500, "DrainClose"));
    node.measured(c(0), 0, 0);
    node.sleep_until(2_500);
    assert_eq!(node.deadline(), due(10_000, "DrainEnd"));
    node.gone(c(0));
    assert_eq!(node.deadline(), due(60_000, "IdleUser"));
    node.sleep_until(60_000);
    assert_eq!(node.deadline(), due(600_000, "History"));
    node.sleep_until(600_000);
    assert_eq!(node.deadline(), None);
}

#[test]
fn waking_too_early_does_nothing() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.jump(1);
    node.input(Input::Woke);
    let digest = node.digest();
    assert_eq!(node.input(Input::Woke), NOTHING);
    assert_eq!(node.digest(), digest);
}

#[test]
fn what_fell_due_is_done_before_a_late_input() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.jump(20_000);
    assert_eq!(
        node.connect(c(0), hello("ann")),
        [
            "note closing c0 - handshake_timeout",
            "close c0 handshake_timeout flush 1.000s",
        ],
        "its CONNECT came too late"
    );
}

#[test]
fn a_driver_that_slept_through_everything_catches_up_at_once() {
    let mut node = Node::new();
    node.join_all(0..2, "ann");
    node.publish(vec![trade("ann", "{}")]);
    node.handshake(c(2));
    node.handshake(c(3));
    node.connect(c(3), hello("bob"));
    node.measured(c(0), 1 << 20, 1);
    node.gone(c(1));
    node.drain();
    node.jump(1_000_000);
    assert_eq!(
        node.emit(c(0), SubscribeTrades),
        [
            "note closing c0 ann draining",
            "close c0 draining flush 0.000s",
            "drained",
        ],
        "c2 and c3 were closed when the drain began"
    );
    assert_eq!(node.engine.stats().history_events, 0);
    assert_eq!(node.deadline(), None);
}
