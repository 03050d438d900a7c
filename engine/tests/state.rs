//! State topics: who gets which value, and that values never go backwards.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::event::Topic;
use tradewire_engine::ids::RequestId;
use tradewire_engine::parse::ClientEvent::SubscribePortfolio;
use tradewire_engine::{Delivery, Input};

#[test]
fn a_quote_goes_to_the_subscribers_of_its_symbol_alone() {
    let mut node = Node::new();
    node.join_all(0..3, "ann");
    node.join(c(3), hello("bob"));
    for slot in [0, 3] {
        node.emit(c(slot), watch(&["AAPL"]));
    }
    node.emit(c(1), watch(&["AAP", "TSLA"]));
    assert_eq!(
        node.publish(vec![quote("AAPL", "{\"p\":1}")]),
        [
            "bus share r8: quote:update AAPL {\"p\":1}",
            "deliver quote:update AAPL {\"p\":1} to c0, c3",
            "answer publish r1: accepted 0000000000000001-1",
        ]
    );
    node.emit(c(0), unwatch(&["AAPL"]));
    assert_eq!(
        node.delivers(quote("AAPL", "{\"p\":2}")),
        ["deliver quote:update AAPL {\"p\":2} to c3"]
    );
    node.gone(c(3));
    assert_eq!(node.delivers(quote("AAPL", "{\"p\":3}")), NOTHING);
    assert_eq!(node.engine.stats().symbols, 2);
}

#[test]
fn whoever_leaves_a_topic_the_others_stay_in_it() {
    // Five in the list, then two leave, in every order: places must follow.
    for first in 0..5 {
        for second in (0..5).filter(|second| *second != first) {
            for leave in [true, false] {
                let mut node = Node::new();
                node.join_all(0..5, "ann");
                for slot in 0..5 {
                    node.emit(c(slot), watch(&["B", "A"]));
                }
                for slot in [first, second] {
                    if leave {
                        node.gone(c(slot));
                    } else {
                        node.emit(c(slot), unwatch(&["A"]));
                    }
                }
                let rest: Vec<u32> = (0..5)
                    .filter(|slot| ![first, second].contains(slot))
                    .collect();
                let [line] = &node.delivers(quote("A", "{}"))[..] else {
                    panic!("one delivery")
                };
                let mut to: Vec<&str> = line.split(" to ").last().unwrap().split(", ").collect();
                to.sort_unstable();
                assert_eq!(
                    to,
                    rest.iter()
                        .map(|slot| format!("c{slot}"))
                        .collect::<Vec<_>>()
                );
                let everyone = node.delivers(market("{}"));
                let count = everyone[0].matches('c').count();
                assert_eq!(count, if leave { 3 } else { 5 }, "{everyone:?}");
            }
        }
    }
}

#[test]
fn a_portfolio_goes_to_all_connections_of_its_user_and_to_no_one_else() {
    let mut node = Node::new();
    node.join_all(0..2, "ann");
    node.join(c(2), hello("bob"));
    for slot in [0, 2] {
        node.emit(c(slot), SubscribePortfolio);
    }
    assert_eq!(
        node.delivers(portfolio("ann", "{\"v\":1}")),
        ["deliver portfolio:update ann {\"v\":1} to c0, c1"]
    );
    assert_eq!(
        node.delivers(portfolio("bob", "{\"v\":2}")),
        ["deliver portfolio:update bob {\"v\":2} to c2"]
    );
    assert_eq!(node.delivers(portfolio("cyd", "{\"v\":3}")), NOTHING);
}

#[test]
fn where_delivery_is_to_subscribers_a_portfolio_goes_to_them_alone() {
    let mut node = Node::configured(Delivery::Subscribed, |_| {});
    node.join_all(0..2, "ann");
    node.emit(c(1), SubscribePortfolio);
    assert_eq!(
        node.delivers(portfolio("ann", "{}")),
        ["deliver portfolio:update ann {} to c1"]
    );
}

#[test]
fn the_market_goes_to_everyone_and_is_sent_on_connect() {
    let mut node = Node::new();
    assert_eq!(
        node.join(c(0), hello("ann")),
        ["bus fetch r2: market:status"]
    );
    assert_eq!(
        node.delivers(market("{\"open\":true}")),
        ["deliver market:status {\"open\":true} to c0"]
    );
    assert_eq!(
        node.join(c(1), hello("bob")),
        ["deliver market:status {\"open\":true} to c1"]
    );
    assert_eq!(
        node.delivers(market("{\"open\":false}")),
        ["deliver market:status {\"open\":false} to c0, c1"]
    );
}

#[test]
fn nothing_is_sent_before_the_connect_answer() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.emit(c(0), SubscribePortfolio);
    node.knock(c(1), hello("ann").restoring(true, false, &[]));
    assert_eq!(
        node.delivers(market("{}")),
        ["deliver market:status {} to c0"]
    );
    assert_eq!(
        node.delivers(portfolio("ann", "{}")),
        ["deliver portfolio:update ann {} to c0"]
    );
    assert_eq!(
        node.connected(c(1)),
        [
            "deliver market:status {} to c1",
            "send c1 subscription:confirmed portfolio",
            "deliver portfolio:update ann {} to c1",
        ]
    );
}

#[test]
fn subscribing_brings_the_current_value_and_subscribing_again_brings_it_again() {
    let mut node = Node::with(|limits| limits.portfolio_calls_max = 2);
    node.publish(vec![
        quote("AAPL", "{\"p\":1}"),
        portfolio("ann", "{\"v\":1}"),
    ]);
    node.join(c(0), hello("ann"));
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"])),
        [
            "send c0 subscription:confirmed watchlist [AAPL]",
            "bus fetch r4: quote:update AAPL",
            "deliver quote:update AAPL {\"p\":1} to c0",
        ],
        "the bus knows what was published before anyone here was interested"
    );
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"])),
        [
            "send c0 subscription:confirmed watchlist [AAPL]",
            "deliver quote:update AAPL {\"p\":1} to c0",
        ]
    );
    assert_eq!(
        node.emit(c(0), SubscribePortfolio),
        [
            "send c0 subscription:confirmed portfolio",
            "bus fetch r5: portfolio:update ann",
            "deliver portfolio:update ann {\"v\":1} to c0",
        ]
    );
    assert_eq!(
        node.emit(c(0), SubscribePortfolio),
        [
            "send c0 subscription:confirmed portfolio",
            "deliver portfolio:update ann {\"v\":1} to c0",
        ]
    );
}

/// A node whose bus does not answer by itself, with `c0` watching AAPL (request r3).
fn asking() -> Node {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.bus_answers = false;
    node.emit(c(0), watch(&["AAPL"]));
    node
}

#[test]
fn a_value_older_than_what_is_held_is_dropped_and_a_new_epoch_beats_any() {
    let mut node = asking();
    node.fetched(3, vec![]);
    let aapl = |version, text| versioned(quote_of("AAPL"), version, text);
    assert_eq!(
        node.arrives(aapl((1, 5), "{\"p\":5}")),
        ["deliver quote:update AAPL {\"p\":5} to c0"]
    );
    let stale = ["note stale quote:update AAPL"];
    assert_eq!(node.arrives(aapl((1, 4), "{\"p\":4}")), stale);
    assert_eq!(node.arrives(aapl((1, 5), "{\"p\":5}")), stale);
    assert_eq!(
        node.arrives(aapl((1, 6), "{\"p\":6}")),
        ["deliver quote:update AAPL {\"p\":6} to c0"]
    );
    assert_eq!(
        node.arrives(aapl((0, 0), "{\"p\":0}")),
        ["deliver quote:update AAPL {\"p\":0} to c0"]
    );
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"]))[1],
        "deliver quote:update AAPL {\"p\":0} to c0",
        "what was dropped is not kept"
    );
}

#[test]
fn a_fetched_value_goes_to_those_who_asked_and_to_the_others_when_it_arrives() {
    let mut node = Node::new();
    node.join_all(0..3, "ann");
    node.bus_answers = false;
    node.emit(c(1), SubscribePortfolio);
    let v1 = || versioned(portfolio_of("ann"), (1, 1), "{\"v\":1}");
    assert_eq!(
        node.fetched(5, vec![v1()]),
        ["deliver portfolio:update ann {\"v\":1} to c1"]
    );
    assert_eq!(
        node.emit(c(2), SubscribePortfolio),
        [
            "send c2 subscription:confirmed portfolio",
            "deliver portfolio:update ann {\"v\":1} to c2"
        ]
    );
    assert_eq!(
        node.arrives(v1()),
        ["deliver portfolio:update ann {\"v\":1} to c0"],
        "who had asked has it already"
    );
    assert_eq!(node.arrives(v1()), ["note stale portfolio:update ann"]);
}

#[test]
fn where_delivery_is_to_subscribers_a_fetched_value_stays_with_them() {
    let mut node = Node::configured(Delivery::Subscribed, |_| {});
    node.join_all(0..2, "ann");
    node.bus_answers = false;
    node.emit(c(1), SubscribePortfolio);
    let v1 = || versioned(portfolio_of("ann"), (1, 1), "{}");
    assert_eq!(
        node.fetched(4, vec![v1()]),
        ["deliver portfolio:update ann {} to c1"]
    );
    assert_eq!(node.arrives(v1()), NOTHING);
}

#[test]
fn a_fetch_that_lost_its_race_is_no_news() {
    let mut node = asking();
    assert_eq!(
        node.arrives(versioned(quote_of("AAPL"), (1, 2), "{\"p\":2}")),
        NOTHING,
        "the answer may be newer, and a client may have seen it elsewhere"
    );
    node.join(c(1), hello("ann"));
    assert_eq!(
        node.emit(c(1), watch(&["AAPL"])),
        ["send c1 subscription:confirmed watchlist [AAPL]"]
    );
    assert_eq!(
        node.fetched(3, vec![versioned(quote_of("AAPL"), (1, 1), "{\"p\":1}")]),
        ["deliver quote:update AAPL {\"p\":2} to c0, c1"]
    );
}

#[test]
fn a_value_that_arrives_before_a_newer_answer_is_passed_over() {
    let mut node = asking();
    node.arrives(versioned(quote_of("AAPL"), (1, 2), "{\"p\":2}"));
    node.arrives(versioned(quote_of("AAPL"), (1, 3), "{\"p\":3}"));
    let v4 = || versioned(quote_of("AAPL"), (1, 4), "{\"p\":4}");
    assert_eq!(
        node.fetched(3, vec![v4()]),
        ["deliver quote:update AAPL {\"p\":4} to c0"]
    );
    assert_eq!(
        node.arrives(v4()),
        NOTHING,
        "it was sent to everyone whom it concerns"
    );
}

#[test]
fn an_unanswered_question_is_asked_again_once_the_bus_answers_and_while_someone_cares() {
    let mut node = asking();
    assert_eq!(node.deadline(), Some((1_000, "BusRequest".into())));
    node.arrives(versioned(quote_of("AAPL"), (1, 1), "{\"p\":1}"));
    assert_eq!(node.sleep_until(999), NOTHING);
    assert_eq!(
        node.sleep_until(1_000),
        ["note timed out r3 bus", "note bus lost",]
    );
    assert_eq!(
        node.arrives(versioned(quote_of("AAPL"), (1, 2), "{\"p\":2}")),
        NOTHING,
        "a client may have been sent a newer one before"
    );
    assert_eq!(node.sleep_until(2_000), ["bus probe"]);
    assert_eq!(
        node.reached(),
        [
            "note bus reached after 1.000s",
            "bus fetch r4: market:status, quote:update AAPL",
        ]
    );
    let digest = node.digest();
    let failed = Input::Fetched {
        request: RequestId::new(4),
        values: None,
    };
    assert_eq!(
        node.input(failed),
        NOTHING,
        "a failure is a question without answer"
    );
    assert_eq!(node.digest(), digest);
    node.emit(c(0), unwatch(&["AAPL"]));
    node.sleep_until(4_000);
    assert_eq!(node.deadline(), Some((5_000, "BusProbe".into())));
    assert_eq!(
        node.reached(),
        [
            "note bus reached after 1.000s",
            "bus fetch r5: market:status",
        ],
        "nobody cares for AAPL any more"
    );
}

#[test]
fn an_answer_from_before_interest_ended_is_not_believed() {
    let mut node = asking();
    node.emit(c(0), unwatch(&["AAPL"]));
    assert_eq!(
        node.arrives(versioned(quote_of("AAPL"), (1, 5), "{\"p\":5}")),
        NOTHING,
        "nobody cares"
    );
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"]))[1],
        "bus fetch r4: quote:update AAPL"
    );
    assert_eq!(
        node.fetched(3, vec![versioned(quote_of("AAPL"), (1, 4), "{\"p\":4}")]),
        NOTHING,
        "read before 5 passed by"
    );
    assert_eq!(
        node.deadline(),
        Some((1_000, "BusRequest".into())),
        "the second question still counts"
    );
    assert_eq!(
        node.fetched(4, vec![versioned(quote_of("AAPL"), (1, 5), "{\"p\":5}")]),
        ["deliver quote:update AAPL {\"p\":5} to c0"]
    );
}

#[test]
fn what_nobody_holds_is_forgotten_and_asked_for_anew() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.emit(c(0), watch(&["AAPL"]));
    node.emit(c(0), SubscribePortfolio);
    node.publish(vec![
        quote("AAPL", "{\"p\":1}"),
        portfolio("ann", "{\"v\":1}"),
    ]);
    node.gone(c(0));
    node.publish(vec![
        quote("AAPL", "{\"p\":2}"),
        portfolio("ann", "{\"v\":2}"),
    ]);
    let lines = node.join(c(1), hello("ann").restoring(true, false, &["AAPL"]));
    assert_eq!(
        lines,
        [
            "send c1 subscription:confirmed portfolio",
            "send c1 subscription:confirmed watchlist [AAPL]",
            "bus fetch r8: portfolio:update ann, quote:update AAPL",
            "deliver portfolio:update ann {\"v\":2} to c1",
            "deliver quote:update AAPL {\"p\":2} to c1",
        ]
    );
}

#[test]
fn values_of_topics_without_interest_are_not_kept() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    // The bus's epoch is known from here on.
    node.arrives(versioned(quote_of("AAPL"), (1, 1), "{}"));
    let before = node.digest();
    node.arrives(versioned(quote_of("AAPL"), (1, 1), "{}"));
    node.arrives(versioned(portfolio_of("bob"), (1, 1), "{}"));
    assert_eq!(node.digest(), before);
    node.arrives(versioned(Topic::Market, (1, 1), "{}"));
    assert_ne!(node.digest(), before, "the market concerns everyone");
}
