//! Slow clients: when one counts as congested, what it is owed, and when it is closed.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::ClientEvent::{SubscribePortfolio, Unknown};
use tradewire_engine::{CONGESTED_CONTROLS_MAX, Input};

/// A node with small outboxes on which `ann` is in as `c0` and watches AAPL and TSLA.
fn node(change: impl FnOnce(&mut Limits)) -> Node {
    let mut node = Node::with(|limits| {
        limits.outbox_packets_max = 8;
        change(limits);
    });
    node.join(c(0), hello("ann"));
    node.emit(c(0), watch(&["AAPL", "TSLA"]));
    node.measured(c(0), 0, 0);
    node
}

/// As [`node`], and `c0` is congested: its outbox is full and stays so.
fn congested(change: impl FnOnce(&mut Limits)) -> Node {
    let mut node = node(change);
    node.measured(c(0), 800, 8);
    node
}

/// The items' effects but for the request to the bus and the answer to the publisher.
fn spread(node: &mut Node, items: Vec<tradewire_engine::event::Publish>) -> Vec<String> {
    let mut lines = node.publish(items);
    lines.retain(|line| !line.starts_with("bus ") && !line.starts_with("answer "));
    lines
}

#[test]
fn an_outbox_is_asked_about_when_it_may_be_half_full() {
    let mut node = node(|_| {});
    for number in 0..3 {
        let lines = spread(&mut node, vec![quote("AAPL", "{}")]);
        assert_eq!(lines.len(), 1, "message {number}");
    }
    assert_eq!(
        spread(&mut node, vec![quote("AAPL", "{}")]),
        ["deliver quote:update AAPL {} to c0", "measure c0"]
    );
    node.measured(c(0), 400, 4);
    assert_eq!(spread(&mut node, vec![quote("AAPL", "{}")]).len(), 1);
    assert_eq!(
        spread(&mut node, vec![quote("AAPL", "{}")]).len(),
        2,
        "half of what was left"
    );
}

#[test]
fn one_outbox_is_not_asked_about_when_all_are() {
    // Half of both limits comes with the fourth message: 4 packets, and 4 times 98 bytes, of the 590
    // that are a 64th less than this.
    let mut node = node(|limits| limits.outbox_total_bytes_max = 599);
    for number in 0..3 {
        let lines = spread(&mut node, vec![quote("AAPL", "{}")]);
        assert_eq!(lines.len(), 1, "message {number}");
    }
    assert_eq!(
        spread(&mut node, vec![quote("AAPL", "{}")]),
        ["deliver quote:update AAPL {} to c0", "measure all"]
    );
}

#[test]
fn an_outbox_is_congested_at_its_packets_and_not_one_before() {
    let mut node = node(|_| {});
    assert_eq!(node.measured(c(0), 0, 7), NOTHING);
    assert_eq!(
        node.measured(c(0), 0, 8),
        [
            "note congested c0 with 0 B in 8",
            "watch c0 at most 262144 B in 2",
        ]
    );
    assert_eq!(node.measured(c(0), 0, 9), NOTHING, "told once");
}

#[test]
fn an_outbox_is_congested_at_its_bytes_and_not_one_before() {
    let mut node = node(|_| {});
    assert_eq!(node.measured(c(0), (1 << 20) - 1, 1), NOTHING);
    assert_eq!(
        node.measured(c(0), 1 << 20, 1),
        [
            "note congested c0 with 1048576 B in 1",
            "watch c0 at most 262144 B in 2",
        ]
    );
}

#[test]
fn an_outbox_that_fills_within_one_input_is_congested_unless_it_was_read() {
    let batch: Vec<_> = (1..=10)
        .map(|n| quote("AAPL", &format!("{{\"p\":{n}}}")))
        .collect();
    let mut node = node(|_| {});
    node.pending.insert(c(0), pending(800, 8));
    let lines = spread(&mut node, batch.clone());
    assert_eq!(
        lines[7..],
        [
            "deliver quote:update AAPL {\"p\":8} to c0",
            "note congested c0 with 824 B in 8",
            "watch c0 at most 262144 B in 2",
            "note conflated c0 quote:update AAPL",
            "measure c0",
        ]
    );
    node.pending.insert(c(0), pending(0, 0));
    assert_eq!(
        node.measured(c(0), 0, 0),
        [
            "deliver quote:update AAPL {\"p\":10} to c0",
            "note uncongested c0"
        ]
    );
    let lines = spread(&mut node, batch);
    assert_eq!(
        lines[lines.len() - 3..],
        [
            "measure c0",
            "deliver quote:update AAPL {\"p\":10} to c0",
            "note uncongested c0"
        ],
        "a client that reads as fast as it is written to loses nothing but middle values"
    );
}

#[test]
fn a_congested_connection_is_owed_the_newest_of_each_topic_and_every_trade_in_order() {
    let mut node = congested(|_| {});
    node.join(c(1), hello("ann"));
    assert_eq!(spread(&mut node, vec![quote("TSLA", "{\"p\":1}")]), NOTHING);
    assert_eq!(
        spread(&mut node, vec![trade("ann", "{\"n\":1}")]),
        ["deliver trade:executed e-0-1 {\"n\":1} to c1"],
        "another connection of the user is not held up"
    );
    spread(&mut node, vec![quote("AAPL", "{\"p\":2}"), market("{}")]);
    assert_eq!(
        spread(&mut node, vec![quote("TSLA", "{\"p\":3}")]),
        ["note conflated c0 quote:update TSLA"]
    );
    spread(
        &mut node,
        vec![failed_trade("ann", "{\"n\":2}"), portfolio("ann", "{}")],
    );
    assert_eq!(
        node.measured(c(0), 400, 4),
        NOTHING,
        "half of the outbox is no room"
    );
    assert_eq!(
        node.measured(c(0), 0, 0),
        [
            "deliver trade:executed e-0-1 {\"n\":1} to c0",
            "deliver trade:failed e-0-2 {\"n\":2} to c0",
            "deliver quote:update TSLA {\"p\":3} to c0",
            "deliver quote:update AAPL {\"p\":2} to c0",
            "watch c0 at most 262144 B in 2",
            "measure c0",
            "deliver market:status {} to c0",
            "deliver portfolio:update ann {} to c0",
            "note uncongested c0",
        ]
    );
    assert_eq!(
        spread(&mut node, vec![quote("AAPL", "{\"p\":4}")])[0],
        "deliver quote:update AAPL {\"p\":4} to c0"
    );
}

#[test]
fn what_is_handed_over_stops_at_half_of_the_outbox() {
    let mut node = congested(|_| {});
    for number in 1..=9 {
        spread(
            &mut node,
            vec![trade("ann", &format!("{{\"n\":{number}}}"))],
        );
    }
    node.pending.insert(c(0), pending(400, 4));
    let lines = node.input(Input::OutboxMeasured {
        conn: c(0),
        pending: pending(0, 2),
    });
    assert_eq!(
        lines,
        [
            "deliver trade:executed e-0-1 {\"n\":1} to c0",
            "deliver trade:executed e-0-2 {\"n\":2} to c0",
            "watch c0 at most 262144 B in 2",
        ]
    );
}

#[test]
fn subscribing_while_congested_is_confirmed_now_and_served_later() {
    let mut node = congested(|_| {});
    spread(&mut node, vec![quote("AAPL", "{\"p\":1}")]);
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"])),
        [
            "send c0 subscription:confirmed watchlist [AAPL]",
            "note conflated c0 quote:update AAPL",
            "measure c0",
        ]
    );
    node.emit(c(0), SubscribePortfolio);
    node.pending.clear();
    assert_eq!(
        node.measured(c(0), 0, 0),
        [
            "deliver quote:update AAPL {\"p\":1} to c0",
            "note uncongested c0"
        ]
    );
}

#[test]
fn a_symbol_given_up_while_owed_is_owed_no_more() {
    let mut node = congested(|_| {});
    node.join(c(1), hello("bob"));
    spread(
        &mut node,
        vec![quote("AAPL", "{\"p\":1}"), quote("TSLA", "{\"p\":1}")],
    );
    node.emit(c(0), unwatch(&["AAPL"]));
    // The number of a forgotten symbol is used again: it must not stand for the new one.
    node.emit(c(1), watch(&["MSFT"]));
    spread(&mut node, vec![quote("MSFT", "{\"p\":1}")]);
    node.pending.clear();
    assert_eq!(
        node.measured(c(0), 0, 0),
        [
            "deliver quote:update TSLA {\"p\":1} to c0",
            "note uncongested c0"
        ]
    );
}

#[test]
fn owed_log_events_end_at_their_number() {
    let mut node = congested(|limits| limits.congested_log_events_max = 3);
    for _ in 0..3 {
        assert_eq!(spread(&mut node, vec![trade("ann", "{}")]), NOTHING);
    }
    assert_eq!(
        spread(&mut node, vec![trade("ann", "{}")]),
        [
            "note closing c0 ann slow_log",
            "close c0 slow_log flush 0.000s"
        ]
    );
}

#[test]
fn owed_log_events_end_at_their_bytes() {
    let mut node = congested(|limits| limits.congested_log_bytes_max = 6);
    for _ in 0..3 {
        assert_eq!(spread(&mut node, vec![trade("ann", "{}")]), NOTHING);
    }
    assert_eq!(
        spread(&mut node, vec![trade("ann", "{}")]),
        [
            "note closing c0 ann slow_log",
            "close c0 slow_log flush 0.000s"
        ]
    );
}

#[test]
fn what_was_handed_over_is_owed_no_more() {
    let mut node = congested(|limits| {
        limits.congested_log_events_max = 3;
        limits.congested_log_bytes_max = 6;
    });
    for round in 0..4 {
        for _ in 0..3 {
            assert_eq!(
                spread(&mut node, vec![trade("ann", "{}")]),
                NOTHING,
                "{round}"
            );
        }
        spread(&mut node, vec![quote("AAPL", "{}")]);
        // Three trades fit, and then it is full again before the quote does.
        let lines = node.input(Input::OutboxMeasured {
            conn: c(0),
            pending: pending(0, 1),
        });
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[3..], ["watch c0 at most 262144 B in 2", "measure c0"]);
    }
}

#[test]
fn a_congestion_of_thirty_seconds_ends_in_a_close() {
    let mut node = congested(|_| {});
    assert_eq!(node.deadline(), Some((30_000, "Congested".into())));
    assert_eq!(node.sleep_until(29_999), NOTHING);
    assert_eq!(
        node.sleep_until(30_000),
        [
            "note closing c0 ann slow_time",
            "close c0 slow_time flush 0.000s"
        ]
    );
}

#[test]
fn a_congestion_that_ended_in_time_leaves_no_deadline() {
    let mut node = congested(|_| {});
    node.jump(29_999);
    assert_eq!(node.measured(c(0), 0, 0), ["note uncongested c0"]);
    assert_eq!(node.deadline(), None);
    node.measured(c(0), 800, 8);
    assert_eq!(node.deadline(), Some((59_999, "Congested".into())));
    node.gone(c(0));
    assert_eq!(node.deadline(), Some((60_000, "IdleUser".into())));
}

#[test]
fn a_long_replay_may_take_longer_as_long_as_it_moves() {
    let mut node = Node::with(|limits| limits.outbox_packets_max = 2);
    for number in 1..=5 {
        node.publish(vec![trade("ann", &format!("{{\"n\":{number}}}"))]);
    }
    node.knock(c(0), hello("ann").resuming(event(0, 1)));
    node.pending.insert(c(0), pending(100, 1));
    node.connected(c(0));
    let emptied = || Input::OutboxMeasured {
        conn: c(0),
        pending: pending(0, 0),
    };
    for ms in [29_000, 59_000, 89_000] {
        assert_eq!(node.sleep_until(ms), NOTHING);
        assert!(node.input(emptied())[0].starts_with("deliver trade:executed"));
    }
    assert_eq!(node.sleep_until(119_999), NOTHING);
    assert_eq!(
        node.sleep_until(120_000),
        [
            "note closing c0 ann slow_time",
            "close c0 slow_time flush 0.000s"
        ],
        "it moved no more"
    );
}

#[test]
fn all_outboxes_together_end_at_their_bytes_and_the_worst_goes_first() {
    // They are brought down to a 64th below their bound, here to 2,000.
    let mut node = Node::with(|limits| limits.outbox_total_bytes_max = 2_031);
    node.join_all(0..3, "ann");
    node.pending.extend([
        (c(0), pending(300, 1)),
        (c(1), pending(1_200, 1)),
        (c(2), pending(500, 1)),
    ]);
    let text = format!("{{\"v\":\"{}\"}}", "x".repeat(400));
    let lines = spread(&mut node, vec![portfolio("ann", &text)]);
    assert_eq!(
        lines[1..],
        ["measure all"],
        "exactly the bound is within it"
    );
    node.pending.insert(c(0), pending(301, 1));
    let lines = spread(&mut node, vec![portfolio("ann", "{}")]);
    assert_eq!(
        lines[1..],
        [
            "measure all",
            "note closing c1 ann slow_total",
            "close c1 slow_total flush 0.000s",
        ]
    );
    assert_eq!(node.engine.stats().pending_bytes, 801);
    node.pending
        .extend([(c(0), pending(2_500, 1)), (c(2), pending(2_600, 1))]);
    let all = node.pending.clone().into_iter().collect();
    assert_eq!(
        node.input(Input::OutboxesMeasured { pending: all }),
        [
            "note closing c2 ann slow_total",
            "close c2 slow_total flush 0.000s",
            "note closing c0 ann slow_total",
            "close c0 slow_total flush 0.000s",
        ]
    );
}

#[test]
fn when_many_have_room_again_at_once_they_are_handed_no_more_than_the_bound() {
    let mut node = Node::with(|limits| {
        limits.outbox_bytes_max = 4_000;
        limits.outbox_total_bytes_max = 6_500;
    });
    node.join_all(0..5, "ann");
    for n in 0..5 {
        node.measured(c(n), 4_000, 1);
        node.measured(c(n), 0, 3_000);
    }
    let text = format!("{{\"v\":\"{}\"}}", "x".repeat(1_500));
    let lines = spread(&mut node, vec![portfolio("ann", &text)]);
    assert_eq!(lines, NOTHING, "all of them owe it to later");

    let to = |lines: &[String]| -> Vec<String> {
        let ends = lines.iter().filter(|line| line.starts_with("deliver"));
        ends.map(|line| line.rsplit(' ').next().unwrap().to_string())
            .collect()
    };
    let lines = node.input(Input::OutboxesMeasured { pending: vec![] });
    assert_eq!(to(&lines), ["c0", "c1", "c2"]);
    assert!(node.engine.stats().pending_bytes <= 6_500);
    // The room of the others is told of by itself.
    let lines = node.measured(c(3), 0, 0);
    assert_eq!(to(&lines), ["c3"]);
    assert_eq!(lines.last().unwrap(), "measure all");
}

#[test]
fn a_connection_that_is_not_named_has_nothing_pending() {
    let mut node = congested(|_| {});
    spread(&mut node, vec![quote("AAPL", "{}")]);
    assert_eq!(
        node.input(Input::OutboxesMeasured { pending: vec![] }),
        ["deliver quote:update AAPL {} to c0", "note uncongested c0"]
    );
    assert_eq!(node.engine.stats().pending_bytes, 98);
}

#[test]
fn answers_to_a_congested_connection_are_bounded() {
    let mut node = congested(|limits| {
        limits.events_burst_max = 10_000;
    });
    for _ in 0..CONGESTED_CONTROLS_MAX {
        let lines = node.emit_acked(c(0), Unknown, 1);
        assert_eq!(lines, ["ack c0 1 error \"Unknown event\"", "measure c0"]);
    }
    assert_eq!(
        node.emit_acked(c(0), Unknown, 1),
        [
            "ack c0 1 error \"Unknown event\"",
            "note closing c0 ann slow_log",
            "close c0 slow_log flush 0.000s",
        ]
    );
}

#[test]
fn a_connection_that_is_not_in_yet_is_never_congested() {
    let mut node = Node::with(|limits| limits.outbox_packets_max = 1);
    node.knock(c(0), hello("ann"));
    assert_eq!(
        node.measured(c(0), 200, 1),
        NOTHING,
        "its CONNECT answer is on the way"
    );
    node.publish(vec![trade("ann", "{}")]);
    assert_eq!(node.measured(c(0), 0, 0), NOTHING);
    assert_eq!(node.connected(c(0)), ["bus fetch r3: market:status"]);
}

#[test]
fn the_smallest_outbox_still_lets_everything_through() {
    let mut node = Node::with(|limits| {
        limits.outbox_packets_max = 1;
        limits.outbox_bytes_max = 1;
    });
    node.join(c(0), hello("ann"));
    let batch = (0..5).map(|_| trade("ann", "{}")).collect();
    let lines = spread(&mut node, batch);
    let delivered = lines.iter().filter(|line| line.starts_with("deliver"));
    assert_eq!(delivered.count(), 5, "{lines:?}");
    assert_eq!(node.engine.stats().congested, 0);
}

#[test]
fn a_transport_that_cannot_go_on_is_closed_at_once_and_its_slot_is_free() {
    use tradewire_engine::input::TransportFault::{BufferFull, Overloaded, Stalled, Unread};
    for (fault, name) in [
        (BufferFull, "buffer_full"),
        (Overloaded, "overloaded"),
        (Stalled, "stalled"),
        (Unread, "unread"),
    ] {
        let mut node = node(|_| {});
        let failed = || Input::TransportFailed { conn: c(0), fault };
        assert_eq!(
            node.input(failed()),
            [
                format!("note closing c0 ann {name}"),
                format!("close c0 {name} flush 0.000s")
            ]
        );
        assert_eq!(node.input(failed()), NOTHING, "once is enough");
        assert_eq!(node.engine.stats().connections, 0);
    }
}
