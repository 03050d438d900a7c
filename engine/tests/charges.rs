//! Calls that are counted in the whole cluster: charged at the bus, with what the client sends
//! meanwhile waiting behind them.

mod common;

use core::time::Duration;

use common::make::*;
use common::{NOTHING, Node, only};
use tradewire_engine::input::ChargeVerdict::{Admitted, Failed, Refused};
use tradewire_engine::parse::ClientEvent::{SubscribePortfolio, SubscribeTrades, Unknown};

/// A node in contact on which `ann` is in as `c0` and has called each kind once.
fn node() -> Node {
    let mut node = Node::in_contact(|limits| {
        limits.portfolio_calls_max = 3;
        limits.trades_calls_max = 3;
    });
    node.join_granted(c(0), hello("ann"));
    for event in [SubscribePortfolio, SubscribeTrades, watch(&["A"])] {
        node.emit(c(0), event);
    }
    node.answer_fetches();
    node
}

fn refused(conn: &str, retry: u64) -> [String; 2] {
    [
        format!("note rate limited {conn} ann watchlist"),
        format!(
            "send {conn} error \"Rate limit exceeded for watchlist subscription\" \
             subscribe:watchlist retry {retry} ms"
        ),
    ]
}

#[test]
fn the_first_call_on_a_connection_is_counted_and_does_not_wait() {
    let mut node = Node::in_contact(|_| {});
    node.join_granted(c(0), hello("ann"));
    assert_eq!(
        node.emit(c(0), SubscribeTrades),
        [
            "bus charge r6: ann trades admitted",
            "send c0 subscription:confirmed trades",
        ]
    );
    let digest = node.digest();
    let refused = Refused {
        wait: Duration::from_secs(1),
    };
    assert_eq!(node.charged(6, refused), NOTHING, "it was admitted already");
    assert_eq!(node.digest(), digest);
    assert_eq!(
        node.emit(c(0), SubscribeTrades),
        [
            "note rate limited c0 ann trades",
            "send c0 error \"Rate limit exceeded for trade subscription\" subscribe:trades retry 60000 ms",
        ],
        "what this node knows to be too much is not asked"
    );
}

#[test]
fn a_later_call_waits_for_the_bus() {
    let mut node = node();
    assert_eq!(
        node.emit_acked(c(0), watch(&["B"]), 7),
        ["bus charge r11: ann watchlist"]
    );
    assert_eq!(
        node.charged(11, Admitted),
        [
            "ack c0 7 subscription:confirmed watchlist [B]",
            "send c0 subscription:confirmed watchlist [B]",
            "bus fetch r12: quote:update B",
        ]
    );
    assert_eq!(node.charged(11, Admitted), NOTHING, "an answer twice");
    assert_eq!(
        node.emit_acked(c(0), watch(&["C"]), 8),
        ["bus charge r13: ann watchlist"]
    );
    let wait = Duration::from_millis(4_321);
    assert_eq!(
        node.charged(13, Refused { wait }),
        [
            "note rate limited c0 ann watchlist",
            "ack c0 8 error \"Rate limit exceeded for watchlist subscription\" subscribe:watchlist retry 4321 ms",
            "send c0 error \"Rate limit exceeded for watchlist subscription\" subscribe:watchlist retry 4321 ms",
        ]
    );
    assert_eq!(node.engine.stats().symbols, 2, "nothing changed");
}

#[test]
fn an_invalid_call_is_counted_before_it_is_found_to_be_one() {
    let mut node = node();
    assert_eq!(
        node.emit(c(0), bad_watch()),
        ["bus charge r11: ann watchlist"]
    );
    assert_eq!(
        node.charged(11, Admitted),
        ["send c0 error \"Invalid symbols array\""]
    );
}

#[test]
fn what_the_bus_cannot_say_this_node_decides() {
    let mut node = Node::in_contact(|limits| limits.watchlist_calls_max = 2);
    for slot in 0..2 {
        node.join_granted(c(slot), hello("ann"));
    }
    node.emit(c(0), watch(&["A"]));
    node.emit(c(0), watch(&["B"]));
    // Her other tab has used the rest by the time that the bus fails to say.
    node.emit(c(1), watch(&["A"]));
    let request = node.last_asked("bus charge") - 1;
    assert_eq!(node.charged(request, Failed), refused("c0", 60_000));
    node.answer_fetches();
    node.sleep_until(60_000);
    assert_eq!(only(node.emit(c(0), watch(&["B"])), "bus charge").len(), 1);
    let request = node.last_asked("bus charge");
    assert_eq!(
        node.charged(request, Failed)[0],
        "send c0 subscription:confirmed watchlist [B]"
    );
}

#[test]
fn calls_of_one_user_on_two_connections_wait_apart() {
    let mut node = node();
    node.join_granted(c(1), hello("ann"));
    node.emit(c(1), watch(&["A"]));
    assert_eq!(
        node.emit(c(0), watch(&["B"])),
        ["bus charge r14: ann watchlist"]
    );
    assert_eq!(
        node.emit(c(1), watch(&["C"])),
        ["bus charge r15: ann watchlist"]
    );
    assert_eq!(
        node.charged(15, Admitted)[0],
        "send c1 subscription:confirmed watchlist [C]"
    );
    assert_eq!(
        node.charged(14, Admitted)[0],
        "send c0 subscription:confirmed watchlist [B]"
    );
}

#[test]
fn a_bus_that_forgot_calls_does_not_lift_this_nodes_own_limit() {
    let mut node = Node::in_contact(|limits| limits.watchlist_calls_max = 3);
    for conn in [c(0), c(1)] {
        node.join_granted(conn, hello("ann"));
        node.emit(conn, watch(&["A"]));
        node.answer_fetches();
    }
    let asked = |lines: Vec<String>| -> u64 {
        let line = lines[0].strip_prefix("bus charge r").unwrap();
        line.split(':').next().unwrap().parse().unwrap()
    };
    let one = asked(node.emit(c(0), watch(&["B"])));
    assert_eq!(
        node.emit(c(1), watch(&["C"])),
        refused("c1", 60_000),
        "the third place is kept, and the bus is not asked: it would count this one"
    );
    assert_eq!(
        node.charged(one, Admitted)[0],
        "send c0 subscription:confirmed watchlist [B]"
    );
}

#[test]
fn what_the_bus_has_counted_is_not_refused_for_a_first_call_that_came_meanwhile() {
    let mut node = Node::in_contact(|limits| limits.watchlist_calls_max = 2);
    for slot in 0..2 {
        node.join_granted(c(slot), hello("ann"));
    }
    node.emit(c(0), watch(&["A"]));
    node.emit(c(0), watch(&["B"]));
    let request = node.last_asked("bus charge");
    node.emit(c(1), watch(&["A"]));
    assert_eq!(
        node.charged(request, Admitted)[0],
        "send c0 subscription:confirmed watchlist [B]",
        "refused ones are not counted, and this one is"
    );
}

#[test]
fn a_place_that_is_kept_for_a_call_is_free_when_the_bus_refuses_it() {
    let mut node = Node::in_contact(|limits| limits.watchlist_calls_max = 2);
    for slot in 0..2 {
        node.join_granted(c(slot), hello("ann"));
    }
    node.emit(c(0), watch(&["A"]));
    node.answer_fetches();
    node.sleep_until(60_000);
    node.emit(c(1), watch(&["A"]));
    node.emit(c(0), watch(&["B"]));
    let request = node.last_asked("bus charge");
    assert_eq!(node.emit(c(1), watch(&["C"])), refused("c1", 60_000));
    let wait = Duration::from_secs(7);
    assert_eq!(
        node.charged(request, Refused { wait }),
        refused("c0", 7_000)
    );
    assert_eq!(
        only(node.emit(c(1), watch(&["C"])), "bus charge").len(),
        1,
        "the bus says, which may have room by now"
    );
}

#[test]
fn what_is_sent_behind_a_call_keeps_its_order() {
    let mut node = node();
    assert_eq!(
        node.emit(c(0), watch(&["B"])),
        ["bus charge r11: ann watchlist"]
    );
    assert_eq!(node.emit_acked(c(0), Unknown, 1), NOTHING);
    assert_eq!(node.emit(c(0), unwatch(&["A", "B"])), NOTHING);
    assert_eq!(node.emit(c(0), watch(&["B"])), NOTHING);
    assert_eq!(node.emit(c(0), unwatch(&["B"])), NOTHING);
    assert_eq!(node.emit(c(0), SubscribeTrades), NOTHING);
    assert_eq!(
        node.charged(11, Admitted),
        [
            "send c0 subscription:confirmed watchlist [B]",
            "ack c0 1 error \"Unknown event\"",
            "send c0 unsubscription:confirmed watchlist [A B]",
            "bus charge r13: ann watchlist",
            "bus fetch r12: quote:update B",
        ],
        "up to the next call, which waits in turn"
    );
    assert_eq!(
        node.emit(c(0), SubscribePortfolio),
        NOTHING,
        "behind all of these"
    );
    let wait = Duration::from_secs(1);
    assert_eq!(
        node.charged(13, Refused { wait }),
        [
            "note rate limited c0 ann watchlist",
            "send c0 error \"Rate limit exceeded for watchlist subscription\" subscribe:watchlist retry 1000 ms",
            "send c0 unsubscription:confirmed watchlist [B]",
            "bus charge r14: ann trades",
        ]
    );
    assert_eq!(
        node.charged(14, Admitted),
        [
            "send c0 subscription:confirmed trades",
            "bus charge r15: ann portfolio",
        ]
    );
    assert_eq!(
        node.charged(15, Admitted)[0],
        "send c0 subscription:confirmed portfolio"
    );
    assert_eq!(
        node.emit(c(0), unwatch(&["B"])),
        ["send c0 unsubscription:confirmed watchlist [B]"],
        "nothing waits any more"
    );
}

#[test]
fn thirty_two_events_may_wait_and_the_next_is_a_flood() {
    let mut node = node();
    node.emit(c(0), watch(&["B"]));
    for number in 0..32 {
        assert_eq!(node.emit(c(0), Unknown), NOTHING, "{number}");
    }
    assert_eq!(
        node.emit(c(0), Unknown),
        [
            "send c0 error \"Too many events\"",
            "note closing c0 ann flood",
            "bus release: ann socket-c0",
            "close c0 flood flush 1.000s",
        ]
    );
    assert_eq!(node.charged(11, Admitted), NOTHING, "nobody waits for it");
}

#[test]
fn a_connection_that_goes_takes_its_call_with_it() {
    let mut node = node();
    node.emit(c(0), watch(&["B"]));
    node.gone(c(0));
    let digest = node.digest();
    assert_eq!(node.charged(11, Admitted), NOTHING);
    assert_eq!(node.digest(), digest);
}

#[test]
fn calls_without_answer_are_decided_here_with_all_that_waits_behind_them() {
    let mut node = node();
    node.emit(c(0), watch(&["B"]));
    node.emit(c(0), watch(&["C"]));
    node.emit(c(0), unwatch(&["A"]));
    assert_eq!(
        common::without(node.sleep_until(1_000), &["bus renew"]),
        [
            "note timed out r11 bus",
            "note bus lost",
            "send c0 subscription:confirmed watchlist [B]",
            "send c0 subscription:confirmed watchlist [C]",
            "send c0 unsubscription:confirmed watchlist [A]",
        ]
    );
    assert_eq!(
        node.emit(c(0), watch(&["D"])),
        ["send c0 subscription:confirmed watchlist [D]"],
        "from here on nothing is asked"
    );
    for number in 4..10 {
        let lines = node.emit(c(0), watch(&["D"]));
        assert_eq!(lines.len(), 1, "call {}", number + 1);
    }
    assert_eq!(
        node.emit(c(0), watch(&["D"])),
        refused("c0", 59_000),
        "and everything counts here"
    );
}

#[test]
fn a_charge_that_is_answered_in_time_is_never_too_late() {
    let mut node = node();
    node.emit(c(0), watch(&["B"]));
    node.jump(999);
    assert_eq!(
        common::without(node.charged(11, Admitted), &["bus "]),
        ["send c0 subscription:confirmed watchlist [B]"]
    );
}

#[test]
fn restored_subscriptions_are_not_charged() {
    let mut node = Node::in_contact(|_| {});
    let lines = node.join_granted(c(0), hello("ann").restoring(true, true, &["A"]));
    assert_eq!(only(lines, "bus charge"), NOTHING);
}
