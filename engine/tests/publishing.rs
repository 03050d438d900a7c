//! Publishing: a batch is split by kind, given to the bus, and answered when the bus has all of it.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::Input;
use tradewire_engine::ids::RequestId;
use tradewire_engine::input::BusOutcome::{self, Done, Failed};

/// A node whose bus does not answer by itself.
fn node() -> Node {
    let mut node = Node::new();
    node.bus_answers = false;
    node
}

fn appended(node: &mut Node, request: u64, outcome: BusOutcome) -> Vec<String> {
    let request = RequestId::new(request);
    node.input(Input::Appended { request, outcome })
}

fn shared(node: &mut Node, request: u64, outcome: BusOutcome) -> Vec<String> {
    let request = RequestId::new(request);
    node.input(Input::Shared { request, outcome })
}

#[test]
fn a_batch_is_split_by_kind_and_answered_when_both_are_taken() {
    let mut node = node();
    let batch = vec![
        trade("ann", "{\"n\":1}"),
        keyed(quote("AAPL", "{\"p\":1}"), "mine"),
        failed_trade("bob", "{\"n\":2}"),
        market("{}"),
    ];
    assert_eq!(
        node.publish(batch),
        [
            "bus append r1: trade:executed ann {\"n\":1}, trade:failed bob {\"n\":2}",
            "bus share r2: quote:update AAPL {\"p\":1} id mine, market:status {}",
        ]
    );
    assert_eq!(node.engine.stats().publishes, 1);
    assert_eq!(shared(&mut node, 2, Done), NOTHING);
    assert_eq!(
        appended(&mut node, 1, Done),
        [
            "answer publish r1: accepted 0000000000000001-1, mine, 0000000000000001-2, 0000000000000001-3"
        ]
    );
    assert_eq!(node.engine.stats().publishes, 0);
    assert_eq!(node.deadline(), None);
}

#[test]
fn a_key_counts_for_as_long_as_a_publisher_may_come_back_with_it() {
    let batch = || vec![keyed(trade("ann", "{}"), "mine"), trade("ann", "{}")];
    assert_eq!(
        node().publish(batch()),
        ["bus append r1: trade:executed ann {} id mine, trade:executed ann {}"],
        "a node's own bus takes everything: nobody is told to try again"
    );
    let mut node = Node::in_contact(|_| {});
    let asked = node.publish(batch());
    let keys =
        "bus append r3: trade:executed ann {} id mine, trade:executed ann {} id 0000000000000001-1";
    assert_eq!(asked, [keys], "a shared one may fail");
}

#[test]
fn ids_assigned_are_never_assigned_again() {
    let mut node = node();
    for number in 1..=3 {
        node.publish(vec![market("{}")]);
        assert_eq!(
            shared(&mut node, number, Done),
            [format!(
                "answer publish r{number}: accepted 0000000000000001-{number}"
            )]
        );
    }
}

#[test]
fn a_batch_of_which_one_part_fails_is_to_be_retried_whole() {
    let mut node = node();
    node.publish(vec![
        keyed(trade("ann", "{}"), "a"),
        keyed(market("{}"), "b"),
    ]);
    assert_eq!(
        appended(&mut node, 1, Failed),
        ["answer publish r1: unavailable a, b"]
    );
    let digest = node.digest();
    assert_eq!(
        shared(&mut node, 2, Done),
        NOTHING,
        "the other part came too late"
    );
    assert_eq!(node.digest(), digest);
    assert_eq!(node.deadline(), None);
}

#[test]
fn a_batch_without_answer_is_given_up_at_its_deadline() {
    let mut node = node();
    node.publish(vec![keyed(trade("ann", "{}"), "a"), market("{}")]);
    shared(&mut node, 2, Done);
    assert_eq!(node.deadline(), Some((1_000, "BusRequest".into())));
    assert_eq!(node.sleep_until(999), NOTHING);
    assert_eq!(
        node.sleep_until(1_000),
        [
            "note timed out r1 bus",
            "note bus lost",
            "answer publish r1: unavailable a, 0000000000000001-1",
        ]
    );
    assert_eq!(appended(&mut node, 1, Done), NOTHING);
}

#[test]
fn answers_find_their_own_publish() {
    let mut node = node();
    node.publish(vec![keyed(market("{}"), "a")]);
    node.publish(vec![keyed(market("{}"), "b")]);
    assert_eq!(
        shared(&mut node, 2, Done),
        ["answer publish r2: accepted b"]
    );
    assert_eq!(shared(&mut node, 2, Done), NOTHING, "an answer twice");
    assert_eq!(
        shared(&mut node, 1, Failed),
        [
            "note held market:status",
            "answer publish r1: accepted degraded a"
        ],
        "the value goes its way without the bus"
    );
}

#[test]
fn an_empty_batch_is_accepted_as_such() {
    assert_eq!(
        node().publish(vec![]),
        ["answer publish r1: accepted nothing"]
    );
}

#[test]
fn a_node_that_leaves_takes_nothing_in_but_waits_for_what_it_took() {
    let mut node = node();
    node.publish(vec![keyed(trade("ann", "{}"), "a")]);
    assert_eq!(node.drain(), ["note draining told 0"], "a publisher waits");
    assert_eq!(
        node.publish(vec![market("{}")]),
        ["answer publish r2: draining"]
    );
    assert_eq!(
        appended(&mut node, 1, Done),
        ["answer publish r1: accepted a", "drained"]
    );
}
