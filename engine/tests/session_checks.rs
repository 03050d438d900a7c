//! Sessions after admission: a session that is gone closes its connections, and nothing else does.

mod common;

use core::time::Duration;
use std::collections::BTreeMap;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::Input;
use tradewire_engine::ids::{ConnId, RequestId};
use tradewire_engine::input::{GapCause, SessionVerdict};
use tradewire_engine::parse::Auth;

/// Lets a client in whose session was looked up and found.
fn join_found(node: &mut Node, conn: ConnId, name: &str, auth: Auth) {
    node.handshake(conn);
    node.connect(conn, auth);
    node.session(SessionVerdict::Found { user: user(name) });
    node.grant();
    node.connected(conn);
    node.answer_fetches();
}

/// A node in contact on which `ann` is in as `c0` with a session that was found.
fn node() -> Node {
    let mut node = Node::in_contact(|_| {});
    join_found(&mut node, c(0), "ann", hello("ann"));
    node
}

fn checked(node: &mut Node, request: u64, present: Option<Vec<bool>>) -> Vec<String> {
    let request = RequestId::new(request);
    node.input(Input::SessionsChecked { request, present })
}

/// Sleeps until the time and tells which check was asked for meanwhile, once.
fn check(node: &mut Node, ms: u64) -> u64 {
    let lines = only(node.sleep_until(ms), "check ");
    assert_eq!(lines.len(), 1, "{lines:?}");
    node.last_asked("check")
}

const GONE: [&str; 6] = [
    "note session gone c0 ann",
    "send c0 error \"Session expired\"",
    "disconnect c0",
    "note closing c0 ann session_expired",
    "bus release: ann socket-c0",
    "close c0 session_expired flush 1.000s",
];

#[test]
fn a_session_that_is_missing_twice_ends_its_connections() {
    let mut node = node();
    assert_eq!(
        only(node.sleep_until(500), "check"),
        ["check r6: s-ann"],
        "it is among the first"
    );
    assert_eq!(
        checked(&mut node, 6, Some(vec![false])),
        NOTHING,
        "once is not enough"
    );
    assert_eq!(
        checked(&mut node, 6, Some(vec![false])),
        NOTHING,
        "an answer twice"
    );
    let second = check(&mut node, 10_500);
    assert_eq!(checked(&mut node, second, Some(vec![false])), GONE);
    assert_eq!(
        only(node.sleep_until(30_000), "check"),
        NOTHING,
        "nobody is left"
    );
}

#[test]
fn a_session_that_is_there_again_begins_anew() {
    let mut node = node();
    for (ms, present) in [
        (500, false),
        (10_500, true),
        (20_500, false),
        (30_500, true),
        (40_500, false),
    ] {
        let request = check(&mut node, ms);
        assert_eq!(checked(&mut node, request, Some(vec![present])), NOTHING);
    }
    let request = check(&mut node, 50_500);
    assert_eq!(checked(&mut node, request, Some(vec![false])), GONE);
}

#[test]
fn an_answer_that_does_not_come_or_says_nothing_is_no_miss() {
    let mut node = node();
    let request = check(&mut node, 500);
    assert_eq!(checked(&mut node, request, None), NOTHING);
    let request = check(&mut node, 10_500);
    assert_eq!(checked(&mut node, request, Some(vec![])), NOTHING);
    let request = check(&mut node, 20_500);
    assert_eq!(
        only(node.sleep_until(25_500), "note"),
        [format!("note timed out r{request} sessions")]
    );
    assert_eq!(
        checked(&mut node, request, Some(vec![false])),
        NOTHING,
        "too late"
    );
    let request = check(&mut node, 30_500);
    checked(&mut node, request, Some(vec![false]));
    let request = check(&mut node, 40_500);
    checked(&mut node, request, None);
    let request = check(&mut node, 50_500);
    assert_eq!(
        checked(&mut node, request, Some(vec![false])),
        GONE,
        "two in a row are those that were answered"
    );
}

#[test]
fn two_checks_count_when_they_are_far_enough_apart() {
    // Two tabs of one session: both connections are asked for in one check, and both go.
    let mut node = node();
    join_found(&mut node, c(1), "ann", hello("ann"));
    assert_eq!(
        only(node.sleep_until(500), "check"),
        ["check r8: s-ann, s-ann"]
    );
    checked(&mut node, 8, Some(vec![false, false]));
    let second = check(&mut node, 10_500);
    let lines = checked(&mut node, second, Some(vec![false, false]));
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[..6], GONE);
    // An answer that comes late is as old as its question.
    let mut node = node_checked_every(20_000);
    let first = check(&mut node, 1_000);
    let second = check(&mut node, 21_000);
    assert_eq!(checked(&mut node, second, Some(vec![false])), NOTHING);
    assert_eq!(
        checked(&mut node, first, Some(vec![false])),
        NOTHING,
        "the other way round they are as far apart, and count from the later one"
    );
}

fn node_checked_every(ms: u64) -> Node {
    let mut node = Node::in_contact(|limits| {
        limits.session_check_every = Duration::from_millis(ms);
        limits.session_lookup_max = Duration::from_secs(60);
    });
    join_found(&mut node, c(0), "ann", hello("ann"));
    node
}

#[test]
fn what_was_missing_before_the_bus_was_lost_begins_anew() {
    let mut node = node();
    let request = check(&mut node, 500);
    checked(&mut node, request, Some(vec![false]));
    let request = check(&mut node, 10_500);
    node.lost();
    assert_eq!(only(node.sleep_until(12_000), "note timed out"), NOTHING);
    assert_eq!(
        checked(&mut node, request, Some(vec![false])),
        NOTHING,
        "its store may have come back empty"
    );
    assert_eq!(only(node.sleep_until(20_000), "check"), NOTHING);
    node.reached();
    node.answer_fetches();
    let request = check(&mut node, 30_000);
    assert_eq!(checked(&mut node, request, Some(vec![false])), NOTHING);
    let request = check(&mut node, 40_000);
    assert_eq!(checked(&mut node, request, Some(vec![false])), GONE);
}

#[test]
fn after_a_loss_of_data_only_sessions_that_were_there_again_can_go() {
    let mut node = node();
    let request = check(&mut node, 500);
    checked(&mut node, request, Some(vec![false]));
    node.log_gap(GapCause::DataLoss);
    for ms in [10_500, 20_500, 30_500] {
        let request = check(&mut node, ms);
        assert_eq!(
            checked(&mut node, request, Some(vec![false])),
            NOTHING,
            "it was lost with the rest"
        );
    }
    let request = check(&mut node, 40_500);
    checked(&mut node, request, Some(vec![true]));
    let request = check(&mut node, 50_500);
    assert_eq!(checked(&mut node, request, Some(vec![false])), NOTHING);
    let request = check(&mut node, 60_500);
    assert_eq!(checked(&mut node, request, Some(vec![false])), GONE);
}

#[test]
fn a_check_from_before_a_loss_of_data_says_nothing_about_what_is_there_now() {
    let mut node = node();
    let request = check(&mut node, 500);
    node.log_gap(GapCause::DataLoss);
    assert_eq!(checked(&mut node, request, Some(vec![true])), NOTHING);
    for ms in [10_500, 20_500, 30_500] {
        let request = check(&mut node, ms);
        assert_eq!(checked(&mut node, request, Some(vec![false])), NOTHING);
    }
}

#[test]
fn a_trimmed_log_says_nothing_about_sessions() {
    let mut node = node();
    let request = check(&mut node, 500);
    checked(&mut node, request, Some(vec![false]));
    node.log_gap(GapCause::Trimmed);
    let request = check(&mut node, 10_500);
    assert_eq!(checked(&mut node, request, Some(vec![false])), GONE);
}

#[test]
fn a_client_whose_word_was_taken_is_not_looked_after() {
    let mut node = Node::in_contact(|_| {});
    node.join_granted(c(0), hello("ann"));
    assert_eq!(only(node.sleep_until(60_000), "check"), NOTHING);
    node.answer_fetches();
    join_found(&mut node, c(1), "ann", hello("ann").session_of("s-1"));
    assert_eq!(only(node.sleep_until(70_000), "check"), ["check r48: s-1"]);
}

#[test]
fn a_connection_that_is_gone_when_the_answer_comes_is_no_ones() {
    let mut node = node();
    join_found(&mut node, c(1), "bob", hello("bob"));
    let request = check(&mut node, 500);
    checked(&mut node, request, Some(vec![false]));
    let request = check(&mut node, 10_000);
    checked(&mut node, request, Some(vec![false]));
    let request = check(&mut node, 10_500);
    node.gone(c(0));
    // Its slot is used again, by somebody else.
    node.handshake(ConnId::new(0, 1));
    assert_eq!(checked(&mut node, request, Some(vec![false])), NOTHING);
}

#[test]
fn one_whose_connect_answer_is_on_the_way_is_closed_untold() {
    let mut node = Node::in_contact(|_| {});
    node.handshake(c(0));
    node.connect(c(0), hello("ann"));
    node.session(SessionVerdict::Found { user: user("ann") });
    node.grant();
    let first = check(&mut node, 500);
    checked(&mut node, first, Some(vec![false]));
    let second = check(&mut node, 10_500);
    assert_eq!(
        checked(&mut node, second, Some(vec![false])),
        without(GONE.map(String::from).into(), &["send", "disconnect"])
    );
}

#[test]
fn every_session_is_asked_for_once_in_each_period_and_in_parts() {
    let mut node = Node::in_contact(|limits| {
        limits.connections_per_user_max = 300;
        limits.connects_per_user_minute_max = 300;
    });
    for number in 0..300 {
        let auth = hello("ann").session_of(&format!("ann-{number}"));
        join_found(&mut node, c(number), "ann", auth);
    }
    for number in 0..50 {
        let name = format!("u{number}");
        join_found(&mut node, c(300 + number), &name, hello(&name));
    }
    let lines = only(node.sleep_until(500), "check");
    let counts: Vec<usize> = lines
        .iter()
        .map(|line| line.matches("ann-").count())
        .collect();
    assert_eq!(counts, [256, 44], "with those of other users behind");
    let mut lines = lines;
    lines.extend(only(node.sleep_until(10_000), "check"));
    let mut times = BTreeMap::new();
    for line in &lines {
        for name in line.split(": ").nth(1).unwrap().split(", ") {
            *times.entry(name.to_string()).or_insert(0) += 1;
        }
    }
    assert_eq!(times.len(), 350);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

#[test]
fn a_node_alone_looks_after_its_sessions_too() {
    let mut node = Node::new();
    node.handshake(c(0));
    node.connect(c(0), hello("ann"));
    node.session(SessionVerdict::Found { user: user("ann") });
    node.connected(c(0));
    let first = check(&mut node, 500);
    checked(&mut node, first, Some(vec![false]));
    let second = check(&mut node, 10_500);
    assert_eq!(
        checked(&mut node, second, Some(vec![false])),
        without(GONE.map(String::from).into(), &["bus release"])
    );
}
