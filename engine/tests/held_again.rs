//! Values that publishers hand in again, around an outage: each is delivered once, and the bus has it.

mod common;

use common::make::*;
use common::{Node, only, without};
use tradewire_engine::event::StateValue;
use tradewire_engine::input::BusOutcome::{Done, Failed};

/// A node in contact on which `ann` is in as `c0` and holds AAPL and TSLA.
fn watching() -> Node {
    let mut node = Node::in_contact(|_| {});
    let auth = hello("ann").restoring(false, false, &["AAPL", "TSLA"]);
    node.join_granted(c(0), auth);
    node
}

/// As [`watching`], and the bus is lost.
fn alone() -> Node {
    let mut node = watching();
    node.lost();
    node
}

fn aapl(version: (u64, u64), text: &str) -> StateValue {
    versioned(quote_of("AAPL"), version, text)
}

/// What reaching the bus brings, but for what is not about values.
fn reached(node: &mut Node) -> Vec<String> {
    without(node.reached(), &["note bus", "bus renew", "bus lead"])
}

#[test]
fn a_publish_that_is_handed_in_again_is_delivered_once() {
    let mut node = alone();
    let batch = || {
        vec![
            keyed(quote("AAPL", "{\"p\":1}"), "a"),
            keyed(quote("AAPL", "{\"p\":2}"), "b"),
        ]
    };
    node.publish(batch());
    assert_eq!(
        node.publish(batch()),
        ["answer publish r2: accepted degraded a, b"]
    );
    reached(&mut node);
    assert_eq!(
        node.publish(batch()),
        ["answer publish r3: accepted degraded a, b"],
        "it is still on its way"
    );
    let request = node.last_asked("bus share");
    node.took(request, Done);
    assert_eq!(
        node.publish(batch()),
        ["answer publish r4: accepted a, b"],
        "the bus knows only the newest"
    );
}

#[test]
fn what_the_bus_took_is_not_held_when_it_is_handed_in_again() {
    let mut node = watching();
    node.publish(vec![keyed(quote("AAPL", "{\"p\":1}"), "a")]);
    node.arrives(aapl((1, 1), "{\"p\":1}"));
    node.took(6, Done);
    node.lost();
    node.publish(vec![quote("AAPL", "{\"p\":2}")]);
    assert_eq!(
        node.publish(vec![keyed(quote("AAPL", "{\"p\":1}"), "a")]),
        ["answer publish r3: accepted degraded a"],
        "or it would be shown behind 2"
    );
}

#[test]
fn an_id_is_remembered_for_ten_minutes() {
    let mut node = alone();
    let item = || vec![keyed(quote("AAPL", "{\"p\":1}"), "a")];
    node.publish(item());
    node.jump(599_999);
    assert_eq!(
        node.publish(item()),
        ["answer publish r2: accepted degraded a"]
    );
    node.jump(600_000);
    assert_eq!(
        only(node.publish(item()), "deliver"),
        ["deliver quote:update AAPL {\"p\":1} to c0"]
    );
}

#[test]
fn an_id_that_comes_twice_counts_once() {
    let mut node = alone();
    assert_eq!(
        only(
            node.publish(vec![
                keyed(quote("AAPL", "{\"p\":1}"), "a"),
                keyed(quote("AAPL", "{\"p\":2}"), "a"),
            ]),
            "deliver"
        ),
        ["deliver quote:update AAPL {\"p\":1} to c0"]
    );
    // The same on the way when the bus is lost.
    let mut node = watching();
    node.publish(vec![keyed(quote("AAPL", "{\"p\":1}"), "a")]);
    node.publish(vec![keyed(quote("AAPL", "{\"p\":1}"), "a")]);
    assert_eq!(
        node.lost(),
        [
            "note bus lost",
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":1} to c0",
            "answer publish r1: accepted degraded a",
            "answer publish r2: accepted degraded a",
        ]
    );
}

#[test]
fn a_mixed_batch_that_is_retried_after_its_values_were_held_brings_its_log_alone() {
    let mut node = watching();
    let batch = || {
        vec![
            keyed(trade("ann", "{}"), "t"),
            keyed(quote("AAPL", "{\"p\":1}"), "q"),
        ]
    };
    node.publish(batch());
    node.took(7, Failed);
    assert_eq!(
        node.appended(6, Failed),
        ["answer publish r1: unavailable t, q"]
    );
    assert_eq!(
        node.publish(batch()),
        ["bus append r8: trade:executed ann {} id t"]
    );
    assert_eq!(
        node.appended(8, Done),
        ["answer publish r2: accepted degraded t, q"]
    );
}
