//! Values published while the bus is away: delivered here at once, held, and handed over later, so that
//! no client ever sees an older value behind a newer one.

mod common;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::bus::FETCH_MAX;
use tradewire_engine::event::{Payload, StateValue, Topic};
use tradewire_engine::input::BusOutcome::{Done, Failed};
use tradewire_engine::parse::ClientEvent::SubscribePortfolio;

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
fn a_value_is_delivered_here_and_the_newest_of_each_topic_is_handed_over_with_its_id() {
    let mut node = alone();
    assert_eq!(
        node.publish(vec![
            keyed(quote("AAPL", "{\"p\":1}"), "mine"),
            quote("MSFT", "{\"p\":2}"),
        ]),
        [
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":1} to c0",
            "note held quote:update MSFT",
            "answer publish r1: accepted degraded mine, 0000000000000001-1",
        ]
    );
    assert_eq!(
        node.publish(vec![keyed(quote("AAPL", "{\"p\":3}"), "newer")]),
        [
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":3} to c0",
            "answer publish r2: accepted degraded newer",
        ]
    );
    assert_eq!(node.engine.stats().held, 2);
    assert_eq!(
        reached(&mut node),
        [
            "bus fetch r6: market:status, quote:update TSLA",
            "bus share r7: quote:update AAPL {\"p\":3} id newer, \
             quote:update MSFT {\"p\":2} id 0000000000000001-1",
        ],
        "MSFT's first id was the publish's answer alone"
    );
    node.answer_fetches();
    assert_eq!(
        node.took(7, Done),
        ["note handed over 2", "bus fetch r9: quote:update AAPL"],
        "which version it became is not known, and nobody holds MSFT"
    );
    assert_eq!(
        node.fetched(9, vec![aapl((1, 5), "{\"p\":3}")]),
        ["deliver quote:update AAPL {\"p\":3} to c0"]
    );
    assert_eq!(node.engine.stats().held, 0);
}

#[test]
fn a_subscriber_gets_the_value_that_is_held() {
    let mut node = watching();
    node.arrives(aapl((1, 1), "{\"p\":1}"));
    node.lost();
    node.publish(vec![
        quote("AAPL", "{\"p\":2}"),
        portfolio("bob", "{\"v\":1}"),
    ]);
    let auth = hello("bob").restoring(true, false, &["AAPL"]);
    assert_eq!(
        node.join(c(1), auth),
        [
            "send c1 subscription:confirmed portfolio",
            "deliver portfolio:update bob {\"v\":1} to c1",
            "send c1 subscription:confirmed watchlist [AAPL]",
            "deliver quote:update AAPL {\"p\":2} to c1",
        ]
    );
}

#[test]
fn what_the_bus_tells_of_a_topic_that_is_held_is_older_until_it_was_asked_again() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{\"p\":5}")]);
    assert_eq!(node.arrives(aapl((1, 3), "{\"p\":3}")), NOTHING);
    reached(&mut node);
    assert_eq!(node.arrives(aapl((1, 4), "{\"p\":4}")), NOTHING);
    let request = node.last_asked("bus share");
    assert_eq!(
        node.arrives(aapl((1, 5), "{\"p\":5}")),
        NOTHING,
        "its own comes back before the answer"
    );
    let lines = node.took(request, Done);
    assert_eq!(
        lines,
        ["note handed over 1", "bus fetch r9: quote:update AAPL"]
    );
    assert_eq!(
        node.arrives(aapl((1, 4), "{\"p\":4}")),
        NOTHING,
        "told on another way than the answer, it may be older"
    );
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"]))[1..],
        ["send c0 subscription:confirmed watchlist [AAPL]"],
        "nor is it sent to who subscribes"
    );
    assert_eq!(
        node.fetched(9, vec![aapl((1, 5), "{\"p\":5}")]),
        ["deliver quote:update AAPL {\"p\":5} to c0"]
    );
    assert_eq!(
        node.arrives(aapl((1, 6), "{\"p\":6}")),
        ["deliver quote:update AAPL {\"p\":6} to c0"]
    );
}

#[test]
fn an_older_value_is_not_shown_when_the_bus_is_lost_before_it_was_asked_again() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{\"p\":5}")]);
    reached(&mut node);
    let request = node.last_asked("bus share");
    node.took(request, Done);
    node.arrives(aapl((1, 4), "{\"p\":4}"));
    assert_eq!(node.lost(), ["note bus lost"]);
    assert_eq!(node.arrives(aapl((1, 4), "{\"p\":4}")).len(), 1);
    assert_eq!(
        node.done.last().map(String::as_str),
        Some("note stale quote:update AAPL")
    );
    assert_eq!(
        reached(&mut node),
        ["bus fetch r10: market:status, quote:update AAPL, quote:update TSLA"]
    );
    assert_eq!(
        node.fetched(10, vec![aapl((1, 6), "{\"p\":6}")]),
        ["deliver quote:update AAPL {\"p\":6} to c0"]
    );
}

#[test]
fn a_question_on_its_way_does_not_count_for_what_is_held_meanwhile() {
    let mut node = Node::in_contact(|_| {});
    node.join_granted(c(0), hello("ann"));
    node.emit(c(0), watch(&["AAPL"]));
    let fetch = 7;
    node.publish(vec![quote("AAPL", "{\"p\":2}")]);
    let share = node.last_asked("bus share");
    assert_eq!(
        node.took(share, Failed),
        [
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":2} to c0",
            "answer publish r1: accepted degraded 0000000000000001-1",
        ]
    );
    assert_eq!(
        node.fetched(fetch, vec![aapl((1, 1), "{\"p\":1}")]),
        NOTHING
    );
    assert_eq!(
        node.emit(c(0), unwatch(&["AAPL"])),
        ["send c0 unsubscription:confirmed watchlist [AAPL]"]
    );
    assert_eq!(node.engine.stats().held, 1, "whoever cares");
}

#[test]
fn what_is_published_during_the_hand_over_goes_after_it() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{\"p\":1}"), quote("TSLA", "{\"t\":1}")]);
    reached(&mut node);
    let first = node.last_asked("bus share");
    assert_eq!(
        node.publish(vec![
            quote("AAPL", "{\"p\":2}"),
            portfolio("ann", "{\"v\":1}")
        ]),
        [
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":2} to c0",
            "bus share r9: portfolio:update ann {\"v\":1}",
        ],
        "what is not held goes to the bus"
    );
    assert_eq!(
        node.took(9, Done),
        ["answer publish r2: accepted degraded 0000000000000001-3, 0000000000000001-4"]
    );
    assert_eq!(
        node.took(first, Done),
        [
            "note handed over 1",
            "bus share r11: quote:update AAPL {\"p\":2} id 0000000000000001-3",
            "bus fetch r10: quote:update TSLA",
        ],
        "only TSLA is as it was handed over"
    );
    assert_eq!(
        node.arrives(aapl((1, 1), "{\"p\":1}")),
        NOTHING,
        "the first of the two"
    );
    assert_eq!(
        node.took(11, Done),
        ["note handed over 1", "bus fetch r12: quote:update AAPL"]
    );
}

#[test]
fn a_hand_over_that_the_bus_refuses_is_tried_again_each_second() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{\"p\":1}")]);
    reached(&mut node);
    node.answer_fetches();
    let quiet = |lines| without(lines, &["bus renew", "bus lead"]);
    assert_eq!(node.took(7, Failed), NOTHING);
    assert_eq!(quiet(node.sleep_until(999)), NOTHING);
    assert_eq!(
        quiet(node.sleep_until(1_000)),
        ["bus share r9: quote:update AAPL {\"p\":1} id 0000000000000001-1"],
        "under the same id, in case that it was taken after all"
    );
    assert_eq!(node.took(9, Failed), NOTHING);
    assert_eq!(
        quiet(node.sleep_until(2_000)),
        ["bus share r11: quote:update AAPL {\"p\":1} id 0000000000000001-1"]
    );
    assert_eq!(node.took(11, Done)[0], "note handed over 1");
    assert_eq!(quiet(node.sleep_until(2_900)), NOTHING);
}

#[test]
fn a_hand_over_without_answer_loses_the_bus_and_is_made_again() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{\"p\":1}")]);
    reached(&mut node);
    node.answer_fetches();
    assert_eq!(
        without(node.sleep_until(1_000), &["bus renew"]),
        ["note timed out r7 bus", "note bus lost"]
    );
    assert_eq!(node.took(7, Done), NOTHING, "too late");
    assert_eq!(node.engine.stats().held, 1);
    assert_eq!(
        only(reached(&mut node), "bus share"),
        ["bus share r10: quote:update AAPL {\"p\":1} id 0000000000000001-1"]
    );
}

#[test]
fn a_refused_hand_over_waits_for_its_second_or_for_the_bus_to_be_reached_again() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{\"p\":1}")]);
    reached(&mut node);
    node.answer_fetches();
    node.took(7, Failed);
    node.jump(400);
    let lines = only(node.reached(), "bus share");
    assert_eq!(lines.len(), 1);
    assert_eq!(only(node.sleep_until(1_000), "bus share"), NOTHING);
    // And one that waits when the bus is lost does not wait any more.
    let request = node.last_asked("bus share");
    node.took(request, Failed);
    node.lost();
    node.sleep_until(10_000);
    assert_eq!(node.last_asked("bus share"), request);
}

#[test]
fn values_that_the_bus_refuses_go_their_way_without_it() {
    let mut node = watching();
    node.publish(vec![
        quote("AAPL", "{\"p\":1}"),
        keyed(market("{\"m\":1}"), "k"),
    ]);
    let request = node.last_asked("bus share");
    assert_eq!(
        node.took(request, Failed),
        [
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":1} to c0",
            "note held market:status",
            "deliver market:status {\"m\":1} to c0",
            "answer publish r1: accepted degraded 0000000000000001-1, k",
        ]
    );
    assert_eq!(
        without(node.sleep_until(1_000), &["bus renew", "bus lead"]),
        [
            "bus share r7: quote:update AAPL {\"p\":1} id 0000000000000001-1, \
             market:status {\"m\":1} id k"
        ]
    );
}

#[test]
fn a_batch_with_log_events_is_refused_whole_while_the_bus_is_away() {
    let mut node = alone();
    assert_eq!(
        node.publish(vec![
            keyed(quote("AAPL", "{\"p\":1}"), "q"),
            trade("ann", "{}"),
            market("{}"),
        ]),
        ["answer publish r1: unavailable q, 0000000000000001-1, 0000000000000001-2"],
        "with ids for all, so that it can be retried whole"
    );
    assert_eq!(node.engine.stats().held, 0);
    node.reached();
    assert_eq!(
        node.publish(vec![
            keyed(quote("AAPL", "{\"p\":1}"), "q"),
            keyed(trade("ann", "{}"), "0000000000000001-1"),
            keyed(market("{}"), "0000000000000001-2"),
        ]),
        [
            "bus append r8: trade:executed ann {} id 0000000000000001-1",
            "bus share r9: quote:update AAPL {\"p\":1} id q, \
             market:status {} id 0000000000000001-2",
        ]
    );
}

#[test]
fn a_batch_on_its_way_when_the_bus_is_lost_is_refused_unless_its_log_was_taken() {
    let batch = || {
        vec![
            keyed(trade("ann", "{}"), "t"),
            keyed(quote("AAPL", "{\"p\":1}"), "q"),
        ]
    };
    let mut node = watching();
    node.publish(batch());
    assert_eq!(
        node.lost(),
        ["note bus lost", "answer publish r1: unavailable t, q"],
        "its values are not delivered either: they come with the retry"
    );
    let mut node = watching();
    node.publish(batch());
    node.appended(6, Done);
    assert_eq!(
        node.lost(),
        [
            "note bus lost",
            "note held quote:update AAPL",
            "deliver quote:update AAPL {\"p\":1} to c0",
            "answer publish r1: accepted degraded t, q",
        ]
    );
    let mut node = watching();
    node.publish(batch());
    node.took(7, Done);
    assert_eq!(
        node.lost(),
        ["note bus lost", "answer publish r1: unavailable t, q"]
    );
}

#[test]
fn much_is_handed_over_in_parts() {
    let mut node = alone();
    let items = many_symbols(FETCH_MAX + 1)
        .into_iter()
        .map(|symbol| value(Topic::Quote(symbol), "{}"));
    node.publish(items.collect());
    let shares = |lines: Vec<String>| -> Vec<usize> {
        let lines = only(lines, "bus share");
        lines
            .iter()
            .map(|line| line.matches("quote:").count())
            .collect()
    };
    assert_eq!(shares(reached(&mut node)), [FETCH_MAX]);
    let request = node.last_asked("bus share");
    assert_eq!(shares(node.took(request, Done)), [1]);
    let request = node.last_asked("bus share");
    assert_eq!(node.took(request, Done), ["note handed over 1"]);
}

#[test]
fn a_publish_that_finds_no_room_is_refused_whole() {
    let mut node = alone();
    let payload = Payload::new(&format!("{{\"pad\":\"{}\"}}", "x".repeat((1 << 20) - 10)));
    assert_eq!(payload.bytes(), 1 << 20);
    for number in 0..64 {
        let mut item = quote(&format!("S{number}"), "");
        item.payload = payload.clone();
        node.publish(vec![item]);
    }
    assert_eq!(node.engine.stats().held, 64);
    assert_eq!(
        node.publish(vec![keyed(market("{}"), "k")]),
        ["answer publish r65: unavailable k"]
    );
    node.story.clear();
    let mut node = alone();
    let items = many_symbols(100_000)
        .into_iter()
        .map(|symbol| value(Topic::Quote(symbol), "{}"));
    node.publish(items.collect());
    assert_eq!(node.engine.stats().held, 100_000);
    let lines = node.publish(vec![keyed(market("{}"), "k")]);
    assert_eq!(lines, ["answer publish r2: unavailable k"]);
}

#[test]
fn nobody_who_is_not_concerned_gets_what_is_held() {
    let mut node = alone();
    node.join(c(1), hello("bob"));
    assert_eq!(
        node.delivers(portfolio("ann", "{}")),
        ["deliver portfolio:update ann {} to c0"]
    );
    assert_eq!(
        node.delivers(quote("AAPL", "{}")),
        ["deliver quote:update AAPL {} to c0"]
    );
    assert_eq!(
        node.delivers(market("{}")),
        ["deliver market:status {} to c0, c1"]
    );
}

#[test]
fn what_was_not_asked_for_is_asked_for_once_the_bus_has_it() {
    let mut node = Node::in_contact(|_| {});
    node.join_granted(c(0), hello("ann"));
    node.lost();
    node.publish(vec![portfolio("ann", "{\"v\":1}")]);
    reached(&mut node);
    let request = node.last_asked("bus share");
    assert_eq!(
        node.took(request, Done),
        ["note handed over 1", "bus fetch r9: portfolio:update ann"]
    );
    assert_eq!(
        node.fetched(9, vec![versioned(portfolio_of("ann"), (1, 2), "{\"v\":2}")]),
        ["deliver portfolio:update ann {\"v\":2} to c0"],
        "c0 was sent 1 without asking, and must not stay behind"
    );
    node.emit(c(0), SubscribePortfolio);
    assert_eq!(
        node.done.last().map(String::as_str),
        Some("deliver portfolio:update ann {\"v\":2} to c0")
    );
}

#[test]
fn a_node_that_leaves_hands_over_what_it_can() {
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{}")]);
    node.gone(c(0));
    reached(&mut node);
    node.answer_fetches();
    assert_eq!(node.drain(), ["note draining told 0"]);
    assert_eq!(node.took(7, Done), ["note handed over 1", "drained"]);
    // Without the bus there is nobody to hand it to.
    let mut node = alone();
    node.publish(vec![quote("AAPL", "{}")]);
    node.gone(c(0));
    assert_eq!(node.drain(), ["note draining told 0", "drained"]);
}
