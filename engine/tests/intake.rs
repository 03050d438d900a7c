//! Messages of Socket.IO emitters: taken in by the node that holds the lease, and by nobody else.

mod common;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::INTAKE_LEASE;
use tradewire_engine::Input;
use tradewire_engine::event::Publish;
use tradewire_engine::input::BusOutcome::{Done, Failed};

/// A node in contact that is asked for nothing else than the lease: at 0 s (r2), and each 1.5 s.
fn node() -> Node {
    let mut node = Node::shared(|_| {});
    assert_eq!(
        node.reached(),
        ["note bus reached after 0.000s", "bus lead r2"]
    );
    node
}

/// As [`node`], and it has held the lease since 0 s.
fn leading() -> Node {
    let mut node = node();
    assert_eq!(node.led(2, Some(true)), ["note intake on", "bus listen on"]);
    node
}

fn emitted(node: &mut Node, items: Vec<Publish>) -> Vec<String> {
    let wall = common::words::wall(node.now);
    node.input(Input::Emitted { items, wall })
}

#[test]
fn the_lease_is_asked_for_again_and_again() {
    let mut node = leading();
    assert_eq!(node.deadline(), Some((1_500, "Intake".into())));
    assert_eq!(node.sleep_until(1_500), ["bus lead r3"]);
    assert_eq!(node.led(3, Some(true)), NOTHING, "as before");
    assert_eq!(node.sleep_until(3_000), ["bus lead r4"]);
    assert_eq!(
        node.led(4, Some(false)),
        ["note intake off", "bus listen off"]
    );
    assert_eq!(node.sleep_until(4_500), ["bus lead r5"]);
    assert_eq!(node.led(5, Some(false)), NOTHING);
    assert_eq!(node.sleep_until(6_000), ["bus lead r6"]);
    assert_eq!(node.led(6, Some(true)), ["note intake on", "bus listen on"]);
}

#[test]
fn only_the_last_question_counts_and_none_is_waited_for() {
    let mut node = node();
    assert_eq!(node.sleep_until(1_500), ["bus lead r3"]);
    assert_eq!(node.led(2, Some(true)), NOTHING, "too late to trust");
    assert_eq!(node.led(3, None), NOTHING);
    assert_eq!(node.led(3, Some(true)), NOTHING, "an answer twice");
    assert_eq!(only(node.sleep_until(9_000), "note"), NOTHING);
}

#[test]
fn a_message_is_published_and_nobody_is_answered() {
    let mut node = leading();
    assert_eq!(
        emitted(&mut node, vec![quote("A", "{}"), trade("ann", "{}")]),
        [
            "bus append r4: trade:executed ann {} id 0000000000000001-2",
            "bus share r5: quote:update A {} id 0000000000000001-1",
        ]
    );
    assert_eq!(node.appended(4, Done), NOTHING);
    assert_eq!(node.took(5, Done), NOTHING);
    assert_eq!(node.engine.stats().publishes, 0);
}

#[test]
fn a_message_to_several_rooms_is_one_publication() {
    let mut node = leading();
    assert_eq!(
        emitted(&mut node, vec![quote("A", "{}"), quote("B", "{}")]),
        ["bus share r4 once: quote:update A {}, quote:update B {}"]
    );
    assert_eq!(
        emitted(&mut node, vec![quote("A", "{}")]),
        ["bus share r6: quote:update A {}"]
    );
}

#[test]
fn a_client_in_several_of_its_rooms_gets_it_once() {
    let mut node = node();
    node.join_granted(c(0), hello("ann").restoring(false, false, &["A", "B"]));
    node.join_granted(c(1), hello("bob").restoring(false, false, &["B"]));
    let values = || {
        vec![
            versioned(quote_of("A"), (1, 1), "{\"m\":1}"),
            versioned(quote_of("B"), (1, 2), "{\"m\":1}"),
        ]
    };
    let (values, once) = (values(), true);
    assert_eq!(
        node.input(Input::StateArrived { values, once }),
        [
            "deliver quote:update A {\"m\":1} to c0",
            "deliver quote:update B {\"m\":1} to c1",
        ]
    );
    assert_eq!(
        node.arrives(versioned(quote_of("B"), (1, 3), "{}")),
        ["deliver quote:update B {} to c0, c1"],
        "what comes after is for everyone again"
    );
}

#[test]
fn what_comes_without_the_lease_or_after_its_end_is_dropped() {
    let mut node = node();
    let lost = ["note emitted lost 2"];
    let message = || vec![quote("A", "{}"), quote("B", "{}")];
    assert_eq!(emitted(&mut node, message()), lost, "not asked yet");
    node.jump(1_000);
    assert_eq!(node.led(2, Some(true)).len(), 2, "asked at 0.000s");
    node.sleep_until(4_999);
    assert_eq!(emitted(&mut node, message()).len(), 1);
    assert_eq!(node.took(7, Done), NOTHING);
    let end = u64::try_from(INTAKE_LEASE.as_millis()).unwrap();
    node.sleep_until(end);
    assert_eq!(
        emitted(&mut node, message()),
        lost,
        "another may hold it by now"
    );
    assert_eq!(only(node.sleep_until(6_000), "bus lead"), ["bus lead r8"]);
    assert_eq!(node.led(8, Some(true)), NOTHING, "it went on listening");
    assert_eq!(emitted(&mut node, message()).len(), 1);
}

#[test]
fn what_the_bus_does_not_take_is_lost_if_it_is_log_and_held_if_it_is_state() {
    let mut node = leading();
    emitted(&mut node, vec![trade("ann", "{}"), trade("bob", "{}")]);
    assert_eq!(node.appended(4, Failed), ["note emitted lost 2"]);
    emitted(&mut node, vec![quote("A", "{}")]);
    assert_eq!(node.took(6, Failed), ["note held quote:update A"]);
    assert_eq!(node.engine.stats().held, 1);
}

#[test]
fn with_the_bus_the_lease_is_lost() {
    let mut node = leading();
    emitted(&mut node, vec![trade("ann", "{}")]);
    assert_eq!(
        node.lost(),
        [
            "note bus lost",
            "note emitted lost 1",
            "note intake off",
            "bus listen off"
        ]
    );
    assert_eq!(
        emitted(&mut node, vec![trade("ann", "{}")]),
        ["note emitted lost 1"]
    );
    assert_eq!(node.deadline(), None, "it is not asked for");
    assert_eq!(without(node.reached(), &["note"]), ["bus lead r6"]);
    assert_eq!(
        node.led(6, Some(true)),
        ["note intake on", "bus listen on"],
        "what was listened to is forgotten with a contact"
    );
}

#[test]
fn a_bus_without_answer_for_a_message_is_lost() {
    let mut node = leading();
    emitted(&mut node, vec![quote("A", "{}")]);
    assert_eq!(
        node.sleep_until(1_000),
        [
            "note timed out r3 bus",
            "note bus lost",
            "note held quote:update A",
            "note intake off",
            "bus listen off",
        ]
    );
}

#[test]
fn a_node_that_leaves_gives_it_up() {
    let mut node = leading();
    node.join_granted(c(0), hello("ann"));
    assert_eq!(
        without(node.drain(), &["send"]),
        ["note draining told 1", "note intake off", "bus listen off"]
    );
    assert_eq!(
        emitted(&mut node, vec![quote("A", "{}")]),
        ["note emitted lost 1"]
    );
    assert_eq!(only(node.sleep_until(2_000), "bus lead"), NOTHING);
    node.lost();
    assert_eq!(only(node.reached(), "bus lead"), NOTHING);
    // One that never had it does not speak of it.
    let mut node = self::node();
    assert_eq!(
        without(node.drain(), &["drained"]),
        ["note draining told 0"]
    );
    assert_eq!(node.led(2, Some(true)), NOTHING);
}
