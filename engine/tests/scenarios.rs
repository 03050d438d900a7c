//! Scenarios that are read rather than asserted: each is one promise, told as a story under
//! `snapshots/`.

mod common;

use common::Node;
use common::make::*;
use tradewire_engine::Input;
use tradewire_engine::input::SessionVerdict;
use tradewire_engine::parse::ClientEvent::{SubscribeTrades, Unknown};

/// Compares the story, headed by its promise, with the one that was reviewed.
fn tell(scenario: &str, promise: &str, node: &Node) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../../snapshots/{scenario}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let story = format!("{promise}\n\n{}", node.story.join("\n"));
    settings.bind(|| insta::assert_snapshot!("engine", story));
}

/// A node whose story leaves the bus out.
fn node(change: impl FnOnce(&mut tradewire_engine::limits::Limits)) -> Node {
    let mut node = Node::with(change);
    node.bus_untold = true;
    node
}

#[test]
fn sixth_connection_is_refused() {
    let mut node = node(|_| {});
    node.join_all(0..5, "ann");
    node.given("ann is in as c0, c1, c2, c3 and c4");
    node.jump(12_000);
    node.knock(c(5), hello("ann"));
    node.jump(13_000);
    node.knock(c(6), hello("bob"));
    node.jump(14_000);
    node.gone(c(3));
    node.connect(c(5), hello("ann"));
    node.session(SessionVerdict::Trusted);
    tell(
        "sixth_connection_is_refused",
        "A user has at most 5 connections. The sixth is refused for good, since waiting would not help it;\n\
         other users are not concerned, and a slot is free as soon as a transport is gone.",
        &node,
    );
}

#[test]
fn first_call_on_a_new_connection_is_admitted() {
    let mut node = node(|_| {});
    node.join(c(0), hello("ann"));
    node.given("ann is in as c0");
    node.jump(1_000);
    node.emit(c(0), SubscribeTrades);
    node.jump(2_000);
    node.emit(c(0), SubscribeTrades);
    node.jump(10_000);
    node.join(c(1), hello("ann"));
    node.jump(11_000);
    node.emit(c(1), SubscribeTrades);
    node.jump(61_000);
    node.emit(c(0), SubscribeTrades);
    node.jump(71_000);
    node.emit(c(0), SubscribeTrades);
    tell(
        "first_call_on_a_new_connection_is_admitted",
        "The first call of each kind on a connection is admitted whatever the limit says, so that a second\n\
         tab and a reconnect work. It is counted: here it puts the user's next call off from 61 s to 71 s.",
        &node,
    );
}

#[test]
fn subscribe_over_limit_is_refused() {
    let mut node = node(|_| {});
    node.join(c(0), hello("ann"));
    for call in 0..9 {
        node.jump(call * 1_000);
        node.emit(c(0), watch(&["AAPL"]));
    }
    node.given("ann is in as c0 and called subscribe:watchlist at 0 s, 1 s, … 8 s");
    node.jump(20_000);
    node.emit(c(0), bad_watch());
    node.jump(21_000);
    node.emit_acked(c(0), watch(&["TSLA"]), 7);
    node.jump(59_999);
    node.emit(c(0), watch(&["TSLA"]));
    node.jump(60_000);
    node.emit(c(0), watch(&["TSLA"]));
    node.emit(c(0), watch(&["TSLA"]));
    tell(
        "subscribe_over_limit_is_refused",
        "A user may call subscribe:watchlist 10 times in any 60 s. Invalid calls are counted, refused ones\n\
         are not: the next is admitted in the very millisecond in which the oldest leaves the window.",
        &node,
    );
}

#[test]
fn subscriber_gets_the_current_value() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.publish(vec![quote("AAPL", "{\"price\":190.10}")]);
    node.given("AAPL was published before anyone cared; ann is in as c0");
    node.jump(3_000);
    node.emit(c(0), watch(&["AAPL"]));
    node.jump(4_000);
    node.publish(vec![quote("AAPL", "{\"price\":190.20}")]);
    node.jump(5_000);
    node.join(c(1), hello("bob").restoring(false, false, &["AAPL"]));
    tell(
        "subscriber_gets_the_current_value",
        "Whoever subscribes gets the current value at once, and need not wait for the next: from the bus\n\
         when nobody here held the symbol before, from memory when somebody did.",
        &node,
    );
}

#[test]
fn stale_value_is_dropped() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.emit(c(0), watch(&["AAPL"]));
    node.given("c0 watches AAPL");
    let aapl = |version, text| versioned(quote_of("AAPL"), version, text);
    for (ms, version, text) in [
        (1_000, (0xe, 8), "{\"price\":8}"),
        (1_010, (0xe, 7), "{\"price\":7}"),
        (1_020, (0xe, 8), "{\"price\":8}"),
        (1_030, (0xe, 9), "{\"price\":9}"),
        (2_000, (0x3, 1), "{\"price\":1}"),
        (2_010, (0x3, 2), "{\"price\":2}"),
    ] {
        node.jump(ms);
        node.arrives(aapl(version, text));
    }
    tell(
        "stale_value_is_dropped",
        "The values of a topic never go backwards at a client: what the bus ordered before the value held\n\
         is dropped. A new epoch, which is a new life of the bus's data, beats any version of the old one.",
        &node,
    );
}

#[test]
fn slow_client_gets_the_newest_of_each_topic_and_every_trade() {
    let mut node = node(|limits| limits.outbox_packets_max = 16);
    node.join(c(0), hello("ann").restoring(false, true, &["AAPL", "TSLA"]));
    node.join(c(1), hello("ann").restoring(false, true, &["AAPL"]));
    node.given("ann's c0 watches AAPL and TSLA, her c1 AAPL; outboxes hold 16 packets");
    node.jump(1_000);
    node.measured(c(0), 1_900, 16);
    node.jump(1_100);
    node.publish(vec![quote("AAPL", "{\"price\":1}")]);
    node.publish(vec![trade("ann", "{\"orderId\":1}")]);
    node.publish(vec![quote("TSLA", "{\"price\":2}")]);
    node.jump(1_200);
    node.publish(vec![quote("AAPL", "{\"price\":3}")]);
    node.publish(vec![failed_trade("ann", "{\"orderId\":2}")]);
    node.jump(5_000);
    node.measured(c(0), 480, 4);
    node.jump(5_100);
    node.publish(vec![quote("AAPL", "{\"price\":4}")]);
    tell(
        "slow_client_gets_the_newest_of_each_topic_and_every_trade",
        "A client that cannot keep up is owed of each topic the newest value alone, since the latest is the\n\
         truth, and every trade, since every one counts. As it empties, trades go first, in order.",
        &node,
    );
}

#[test]
fn resume_replays_what_was_missed_and_then_goes_on() {
    let mut node = node(|_| {});
    node.join(c(0), hello("ann"));
    node.given("ann is in as c0");
    for (ms, text) in [(1_000, "{\"orderId\":1}"), (2_000, "{\"orderId\":2}")] {
        node.jump(ms);
        node.publish(vec![trade("ann", text)]);
    }
    node.jump(2_500);
    node.gone(c(0));
    node.jump(3_000);
    node.publish(vec![
        trade("ann", "{\"orderId\":3}"),
        trade("bob", "{\"orderId\":9}"),
    ]);
    node.jump(4_000);
    node.join(c(1), hello("ann").resuming(event(1_000, 0)));
    node.jump(5_000);
    node.publish(vec![trade("ann", "{\"orderId\":4}")]);
    tell(
        "resume_replays_what_was_missed_and_then_goes_on",
        "A client that comes back with the id of the last event it handled gets every later one of its own\n\
         exactly once, in order, then `resume`, then what is new: no trade is lost to a dropped network.",
        &node,
    );
}

#[test]
fn resume_of_a_forgotten_event_is_told() {
    let mut node = node(|_| {});
    for (ms, text) in [(1_000, "{\"orderId\":1}"), (2_000, "{\"orderId\":2}")] {
        node.jump(ms);
        node.publish(vec![trade("ann", text)]);
    }
    node.given("ann's trades e-1000-0 and e-2000-0 were published at 1 s and 2 s");
    node.sleep_until(601_000);
    node.join(c(0), hello("ann").resuming(event(1_000, 0)));
    node.jump(601_500);
    node.join(c(1), hello("ann").resuming(event(2_000, 0)));
    tell(
        "resume_of_a_forgotten_event_is_told",
        "Events are kept for 10 minutes. A client that asks to resume after one that is forgotten is told\n\
         that it is not recovered, since nobody knows what it missed: nothing is skipped in silence.",
        &node,
    );
}

#[test]
fn drain_tells_everyone_and_spreads_closes() {
    let mut node = node(|_| {});
    node.join_all(0..3, "ann");
    node.handshake(c(3));
    node.given("ann is in as c0, c1 and c2; c3 has not sent CONNECT yet");
    node.jump(1_000);
    node.drain();
    node.jump(1_500);
    node.handshake(c(4));
    for (slot, ms) in [(3, 1_600), (0, 2_250), (1, 3_500), (2, 4_750)] {
        node.sleep_until(ms);
        node.gone(c(slot));
    }
    tell(
        "drain_tells_everyone_and_spreads_closes",
        "A node that leaves tells every client when it will be closed, spread evenly over the window, so\n\
         that they do not all come back elsewhere at once. Closed is the transport: after a Socket.IO\n\
         DISCONNECT a stock client would stay away. The process may exit when the last one is gone.",
        &node,
    );
}

#[test]
fn flood_is_told_once_and_closed() {
    let mut node = node(|_| {});
    node.join(c(0), hello("ann"));
    for _ in 0..199 {
        node.emit(c(0), Unknown);
    }
    node.given("ann is in as c0, and c0 emitted 199 events in this second");
    node.emit_acked(c(0), unwatch(&["AAPL"]), 200);
    node.emit_acked(c(0), unwatch(&["AAPL"]), 201);
    node.emit_acked(c(0), unwatch(&["AAPL"]), 202);
    node.jump(500);
    node.gone(c(0));
    tell(
        "flood_is_told_once_and_closed",
        "A connection may emit 100 events a second and 200 at once. One more is answered with one `error`,\n\
         and the transport is closed once that is written: a flood must not be paid back in answers.",
        &node,
    );
}

#[test]
fn handshake_without_connect_is_closed() {
    let mut node = node(|_| {});
    node.handshake(c(0));
    node.jump(15_000);
    node.handshake(c(1));
    node.jump(19_000);
    node.connect(c(1), tradewire_engine::parse::Auth::default());
    node.sleep_until(20_000);
    node.gone(c(0));
    node.sleep_until(35_000);
    node.gone(c(1));
    tell(
        "handshake_without_connect_is_closed",
        "A transport that is not admitted within 20 s is closed: it costs memory and serves nobody. A\n\
         CONNECT that was refused does not buy it more time.",
        &node,
    );
}

#[test]
fn replaced_connection_gives_its_slot() {
    let mut node = node(|_| {});
    node.join_all(0..5, "ann");
    node.given("ann is in as c0 to c4, session s-ann; the network under c2 is gone, which nobody knows yet");
    node.jump(8_000);
    node.knock(c(5), hello("ann").session_of("s-other").replacing(c(2)));
    node.jump(9_000);
    node.knock(c(6), hello("ann").replacing(c(2)));
    node.connected(c(6));
    node.jump(25_000);
    node.input(Input::Disconnected { conn: c(2) });
    node.gone(c(2));
    tell(
        "replaced_connection_gives_its_slot",
        "A client that comes back names the socket it had, and takes its slot if user and session are the\n\
         same: a dropped network must not lock a user out until the server notices.",
        &node,
    );
}
