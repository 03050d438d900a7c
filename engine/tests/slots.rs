//! Connection slots in the cluster: claimed before admission, renewed while held, given back, and
//! taken away from whoever is in excess.

mod common;

use std::collections::BTreeMap;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::Input;
use tradewire_engine::bus::Slot;
use tradewire_engine::ids::ConnId;
use tradewire_engine::input::ClaimVerdict::{Failed, Full, Granted, TooOften};
use tradewire_engine::input::SlotLoss::{self, Excess, Replaced};
use tradewire_engine::input::{ClaimVerdict, GapCause, SessionVerdict};

fn node() -> Node {
    Node::in_contact(|_| {})
}

fn slot_lost(node: &mut Node, name: &str, conn: ConnId, loss: SlotLoss) -> Vec<String> {
    let slot = Slot::new(socket(conn), &session(&format!("s-{name}")));
    let slots = vec![(user(name), slot, loss)];
    node.input(Input::SlotsLost { slots })
}

/// From handshake to what a claim brings.
fn knock(node: &mut Node, conn: ConnId, name: &str, verdict: ClaimVerdict) -> Vec<String> {
    node.knock(conn, hello(name));
    let request = node.last_asked("bus claim");
    node.claimed(request, verdict)
}

#[test]
fn a_client_is_let_in_when_the_bus_grants_its_slot() {
    let mut node = node();
    assert_eq!(
        node.knock(c(0), hello("ann")),
        ["bus claim r4: ann socket-c0"]
    );
    assert_eq!(node.deadline(), Some((1_000, "BusRequest".into())));
    assert_eq!(
        node.claimed(4, Granted),
        ["admit c0", "note admitted c0 ann"]
    );
    assert_eq!(node.claimed(4, Full), NOTHING, "an answer twice");
    assert_eq!(
        node.gone(c(0)),
        [
            "note disconnected c0 ann",
            "bus release: ann socket-c0",
            "release c0"
        ]
    );
}

#[test]
fn what_the_bus_refuses_is_refused_here() {
    let mut node = node();
    assert_eq!(
        knock(&mut node, c(0), "ann", Full),
        [
            "refuse c0 \"Too many connections (max 5)\"",
            "note refused c0 too_many_connections",
        ]
    );
    assert_eq!(
        node.deadline(),
        Some((1_500, "Intake".into())),
        "before its handshake's"
    );
    node.connect(c(0), hello("ann"));
    assert_eq!(
        node.session(SessionVerdict::Trusted),
        ["bus claim r6: ann socket-c0"],
        "it may try again"
    );
    assert_eq!(
        node.claimed(6, TooOften),
        [
            "note closing c0 ann connect_rate",
            "close c0 connect_rate flush 0.000s",
        ]
        .map(|line| line.replace("c0 ann", "c0 -"))
    );
    assert_eq!(
        knock(&mut node, c(1), "ann", Failed),
        ["admit c1", "note admitted c1 ann"],
        "a bus that cannot say leaves it to this node"
    );
}

#[test]
fn this_nodes_own_counts_refuse_before_the_bus_is_asked() {
    let mut node = Node::in_contact(|limits| limits.connects_per_user_minute_max = 6);
    for slot in 0..5 {
        assert_eq!(
            knock(&mut node, c(slot), "ann", Granted)[0],
            format!("admit c{slot}")
        );
    }
    assert_eq!(
        node.knock(c(5), hello("ann")),
        [
            "refuse c5 \"Too many connections (max 5)\"",
            "note refused c5 too_many_connections",
        ]
    );
    node.gone(c(0));
    knock(&mut node, c(6), "ann", Granted);
    node.gone(c(1));
    assert_eq!(
        node.knock(c(7), hello("ann")),
        [
            "note closing c7 - connect_rate",
            "close c7 connect_rate flush 0.000s",
        ]
    );
}

#[test]
fn a_slot_that_is_granted_too_late_for_this_nodes_counts_is_given_back() {
    let mut node = node();
    for slot in 0..6 {
        node.knock(c(slot), hello("ann"));
    }
    for slot in 0..5u32 {
        node.claimed(u64::from(slot) * 2 + 4, Granted);
    }
    assert_eq!(
        node.claimed(14, Granted),
        [
            "refuse c5 \"Too many connections (max 5)\"",
            "note refused c5 too_many_connections",
            "bus release: ann socket-c5",
        ]
    );
}

#[test]
fn a_slot_that_is_granted_to_a_connection_that_is_gone_is_given_back() {
    let mut node = node();
    node.knock(c(0), hello("ann"));
    assert_eq!(
        node.gone(c(0)),
        ["bus release: ann socket-c0", "release c0"],
        "in the order of requests, so that it is behind the grant"
    );
    let digest = node.digest();
    assert_eq!(node.claimed(4, Granted), NOTHING);
    assert_eq!(node.digest(), digest);
    // The same for one that is closed while it waits.
    node.knock(c(1), hello("ann"));
    assert_eq!(
        without(node.drain(), &["note draining"]),
        [
            "note closing c1 - draining",
            "bus release: ann socket-c1",
            "close c1 draining flush 10.000s",
        ]
    );
    assert_eq!(node.claimed(6, Granted), NOTHING);
}

#[test]
fn claims_that_are_pending_when_the_bus_is_lost_are_decided_here_in_order() {
    let mut node = node();
    for slot in 0..20 {
        node.knock(c(slot), hello(if slot % 2 == 0 { "ann" } else { "bob" }));
    }
    assert_eq!(node.asked.len(), 20);
    let mut expected = vec!["note bus lost".to_string()];
    for slot in 0..20 {
        let name = if slot % 2 == 0 { "ann" } else { "bob" };
        if slot < 10 {
            expected.push(format!("admit c{slot}"));
            expected.push(format!("note admitted c{slot} {name}"));
        } else {
            expected.push(format!("refuse c{slot} \"Too many connections (max 5)\""));
            expected.push(format!("note refused c{slot} too_many_connections"));
        }
    }
    assert_eq!(node.lost(), expected);
    let digest = node.digest();
    for request in 4..60 {
        assert_eq!(node.claimed(request, Granted), NOTHING);
    }
    assert_eq!(node.digest(), digest, "too late");
    assert_eq!(node.engine.stats().connections, 10);
    assert_eq!(node.engine.stats().handshakes, 10);
}

#[test]
fn a_claim_without_answer_is_decided_here() {
    let mut node = node();
    node.knock(c(0), hello("ann"));
    assert_eq!(
        node.sleep_until(1_000),
        [
            "note timed out r4 bus",
            "note bus lost",
            "admit c0",
            "note admitted c0 ann",
        ]
    );
    assert_eq!(
        node.gone(c(0)),
        ["note disconnected c0 ann", "release c0"],
        "its slot, if it was granted, ends with its lease"
    );
}

#[test]
fn one_that_waits_for_its_slot_is_no_handshake_meanwhile() {
    let mut node =
        Node::in_contact(|limits| limits.handshake_max = core::time::Duration::from_millis(500));
    node.knock(c(0), hello("ann"));
    assert_eq!(node.sleep_until(900), NOTHING);
    node.claimed(4, Full);
    assert_eq!(
        node.input(Input::Woke),
        [
            "note closing c0 - handshake_timeout",
            "close c0 handshake_timeout flush 1.000s",
        ],
        "its time has come meanwhile"
    );
}

#[test]
fn a_client_that_comes_back_takes_its_slot_wherever_it_was() {
    let mut node = node();
    node.join_granted(c(0), hello("ann"));
    let auth = hello("ann").replacing(c(0));
    assert_eq!(
        node.knock(c(1), auth),
        ["bus claim r7: ann socket-c1 for socket-c0"]
    );
    assert_eq!(
        node.claimed(7, Granted),
        [
            "note closing c0 ann replaced",
            "bus release: ann socket-c0",
            "close c0 replaced flush 0.000s",
            "admit c1",
            "note admitted c1 ann",
        ]
    );
    // On another node: the bus tells of it.
    assert_eq!(
        slot_lost(&mut node, "ann", c(1), Replaced),
        [
            "note slot lost c1 ann replaced",
            "note closing c1 ann replaced",
            "bus release: ann socket-c1",
            "close c1 replaced flush 0.000s",
        ]
    );
}

#[test]
fn a_full_user_may_still_replace_a_connection_of_its_own() {
    let mut node = node();
    for slot in 0..5 {
        node.join_granted(c(slot), hello("ann"));
    }
    let other = hello("ann").session_of("s-other").replacing(c(2));
    assert_eq!(
        node.knock(c(5), other)[0],
        "refuse c5 \"Too many connections (max 5)\""
    );
    node.knock(c(6), hello("ann").replacing(c(2)));
    // It left by itself while the bus was asked, and another took its place.
    node.gone(c(2));
    assert_eq!(knock(&mut node, c(7), "ann", Granted)[0], "admit c7");
    let request = node.last_asked("bus claim") - 2;
    assert_eq!(
        node.claimed(request, Granted),
        [
            "refuse c6 \"Too many connections (max 5)\"",
            "note refused c6 too_many_connections",
            "bus release: ann socket-c6",
        ]
    );
}

#[test]
fn who_is_in_excess_is_told_and_disconnected() {
    let mut node = node();
    node.join_granted(c(0), hello("ann"));
    node.knock(c(1), hello("ann"));
    node.grant();
    let excess = |conn: &str| {
        [
            format!("note slot lost {conn} ann excess"),
            format!("send {conn} error \"Too many connections (max 5)\""),
            format!("disconnect {conn}"),
            format!("note closing {conn} ann too_many_connections"),
            format!("bus release: ann socket-{conn}"),
            format!("close {conn} too_many_connections flush 1.000s"),
        ]
    };
    assert_eq!(slot_lost(&mut node, "ann", c(0), Excess), excess("c0"));
    let entering: Vec<_> = excess("c1").into();
    assert_eq!(
        slot_lost(&mut node, "ann", c(1), Excess),
        without(entering, &["send", "disconnect"]),
        "its CONNECT answer is on the way, and it is refused when it comes back"
    );
    assert_eq!(node.connected(c(1)), NOTHING);
    assert_eq!(node.engine.stats().connections, 0);
}

#[test]
fn after_an_outage_slots_are_given_back_before_anyone_is_in_excess() {
    let mut node = node();
    node.join_granted(c(0), hello("ann"));
    node.join_granted(c(1), hello("ann"));
    node.lost();
    node.jump(1_000);
    assert_eq!(only(node.gone(c(0)), "bus"), NOTHING);
    node.jump(4_000);
    assert_eq!(
        only(node.reached(), "bus release"),
        ["bus release: ann socket-c0"]
    );
    node.answer_fetches();
    node.sleep_until(6_999);
    assert_eq!(
        slot_lost(&mut node, "ann", c(1), Excess),
        NOTHING,
        "other nodes may give back theirs yet"
    );
    node.sleep_until(7_000);
    assert_eq!(
        slot_lost(&mut node, "ann", c(1), Excess)[0],
        "note slot lost c1 ann excess"
    );
}

#[test]
fn what_clients_left_behind_elsewhere_is_given_back_after_an_outage() {
    let mut node = node();
    node.lost();
    // Its former node is gone, and could not say so.
    let left = c(9);
    node.join(c(0), hello("ann").replacing(left));
    // One that this node itself let in is given back once.
    node.join(c(1), hello("ann").replacing(c(0)));
    assert_eq!(
        only(node.reached(), "bus release"),
        ["bus release: ann socket-c9", "bus release: ann socket-c0",]
    );
}

#[test]
fn slots_that_are_not_held_here_are_no_ones() {
    let mut node = node();
    node.join_granted(c(0), hello("ann"));
    let digest = node.digest();
    assert_eq!(slot_lost(&mut node, "ann", c(1), Excess), NOTHING);
    assert_eq!(slot_lost(&mut node, "bob", c(0), Excess), NOTHING);
    let slot = Slot::new(socket(c(0)), &session("s-other"));
    let slots = vec![(user("ann"), slot, Excess)];
    assert_eq!(node.input(Input::SlotsLost { slots }), NOTHING);
    assert_eq!(node.digest(), digest);
}

/// How often each user's slots were renewed by these lines, and how many lines there were.
fn renewed(lines: &[String]) -> (BTreeMap<String, usize>, usize) {
    let mut count = BTreeMap::new();
    let mut turns = 0;
    for line in lines {
        if let Some(users) = line.strip_prefix("bus renew: ") {
            turns += 1;
            for user in users.split("], ") {
                let name = user.split(' ').next().unwrap_or_default();
                *count.entry(name.to_string()).or_insert(0) += 1;
            }
        }
    }
    (count, turns)
}

#[test]
fn every_user_is_renewed_once_in_each_period() {
    let mut node =
        Node::in_contact(|limits| limits.bus_request_max = core::time::Duration::from_secs(3_600));
    for number in 0..45 {
        node.join_granted(c(number), hello(&format!("u{number}")));
    }
    node.join_granted(c(45), hello("u7"));
    // Some leave, so that there are holes.
    for number in [3, 20, 21] {
        node.gone(c(number));
    }
    for period in 1..=3 {
        let (count, turns) = renewed(&node.sleep_until(period * 10_000));
        assert_eq!(count.len(), 42, "{count:?}");
        assert!(count.values().all(|times| *times == 1), "{count:?}");
        assert_eq!(turns, 20, "spread over the period");
    }
}

#[test]
fn a_renewal_names_every_slot_of_its_user_with_its_age() {
    let mut node = node();
    node.join_granted(c(0), hello("ann"));
    node.jump(200);
    node.join_granted(c(1), hello("ann"));
    assert_eq!(
        only(node.sleep_until(10_499), "bus renew"),
        ["bus renew: ann [socket-c0 0.500s, socket-c1 0.300s]"]
    );
    assert_eq!(
        only(node.sleep_until(10_500), "bus renew"),
        ["bus renew: ann [socket-c0 10.500s, socket-c1 10.300s]"]
    );
    node.gone(c(0));
    node.gone(c(1));
    assert_eq!(only(node.sleep_until(40_000), "bus renew"), NOTHING);
    node.answer_fetches();
    node.join_granted(c(2), hello("bob"));
    assert_eq!(
        only(node.sleep_until(50_000), "bus renew").len(),
        1,
        "it begins again with the first"
    );
}

#[test]
fn everything_is_renewed_sooner_when_the_bus_is_back() {
    let mut node = node();
    for number in 0..300 {
        node.join_granted(c(number), hello(&format!("u{number}")));
    }
    node.lost();
    node.sleep_until(20_000);
    assert_eq!(
        only(node.done.clone(), "bus renew"),
        NOTHING,
        "while it is away, nothing is"
    );
    let (count, _) = renewed(&node.reached());
    assert_eq!(count.len(), 0, "not at once: other requests would wait");
    node.answer_fetches();
    let (count, requests) = renewed(&node.sleep_until(22_000));
    assert_eq!(count.len(), 300);
    assert!(count.values().all(|times| *times == 1));
    assert_eq!(
        requests, 20,
        "in as many turns as always, five times faster"
    );
    let (count, _) = renewed(&node.sleep_until(32_000));
    assert_eq!(count.len(), 300);
    assert!(count.values().all(|times| *times == 1), "then as always");
}

#[test]
fn everything_is_renewed_sooner_when_the_bus_lost_its_data() {
    let mut node = node();
    for number in 0..300 {
        node.join_granted(c(number), hello(&format!("u{number}")));
    }
    node.sleep_until(10_000);
    node.answer_fetches();
    node.log_gap(GapCause::Trimmed);
    let (count, _) = renewed(&node.sleep_until(12_000));
    assert!(count.len() < 100, "slots are still known: {}", count.len());
    node.log_gap(GapCause::DataLoss);
    let (count, _) = renewed(&node.sleep_until(14_500));
    assert_eq!(
        count.len(),
        300,
        "nobody's slots are known until they are renewed"
    );
    // Others tell of theirs meanwhile: who is the newest of all is not known before.
    assert_eq!(slot_lost(&mut node, "u7", c(7), Excess), NOTHING);
    node.sleep_until(15_000);
    assert_eq!(
        slot_lost(&mut node, "u7", c(7), Excess)[0],
        "note slot lost c7 u7 excess"
    );
}

#[test]
fn rounds_of_the_shortest_period_leave_time_for_the_rest() {
    let zero = core::time::Duration::ZERO;
    let mut node = Node::in_contact(|limits| {
        limits.slot_renew_every = zero;
        limits.session_check_every = zero;
    });
    node.handshake(c(0));
    node.connect(c(0), hello("ann"));
    node.session(SessionVerdict::Found { user: user("ann") });
    node.grant();
    assert!(renewed(&node.sleep_until(100)).1 > 0);
}

#[test]
fn a_node_alone_asks_nobody() {
    let mut node = Node::new();
    node.join_all(0..3, "ann");
    node.sleep_until(60_000);
    node.gone(c(0));
    let asked = ["bus claim", "bus renew", "bus release", "bus lead"];
    for begin in asked {
        assert_eq!(only(node.done.clone(), begin), NOTHING);
    }
}
