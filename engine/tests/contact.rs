//! Contact with a shared bus: what is asked when it is reached, what is decided here when it is lost,
//! and that values which may have passed by unseen are asked for anew.

mod common;

use common::make::*;
use common::{NOTHING, Node, only, without};
use tradewire_engine::bus::FETCH_MAX;
use tradewire_engine::event::Topic;
use tradewire_engine::ids::RequestId;
use tradewire_engine::input::BusOutcome::Done;
use tradewire_engine::input::{ChargeVerdict, ClaimVerdict};
use tradewire_engine::parse::ClientEvent::{SubscribePortfolio, SubscribeWatchlist};
use tradewire_engine::{Contact, Input};

/// A node in contact on which `ann` is in as `c0` and holds AAPL, of which the bus knew nothing.
fn watching() -> Node {
    let mut node = Node::in_contact(|_| {});
    node.join_granted(c(0), hello("ann").restoring(false, false, &["AAPL"]));
    node
}

fn aapl(version: (u64, u64), text: &str) -> tradewire_engine::event::StateValue {
    versioned(quote_of("AAPL"), version, text)
}

#[test]
fn before_the_bus_was_reached_clients_come_in_and_nothing_is_asked() {
    let mut node = Node::shared(|_| {});
    assert_eq!(
        node.join(c(0), hello("ann").restoring(true, false, &["AAPL"])),
        [
            "send c0 subscription:confirmed portfolio",
            "send c0 subscription:confirmed watchlist [AAPL]",
        ]
    );
    assert_eq!(node.engine.stats().contact, Contact::Never);
    assert_eq!(node.deadline(), None);
    assert_eq!(node.lost(), NOTHING, "there is nothing to lose");
    assert_eq!(node.input(Input::StateMissed), NOTHING);
    assert!(node.asked.is_empty(), "{:?}", node.asked);
}

#[test]
fn when_it_is_first_reached_everything_is_asked_and_every_client_told_of_its_log() {
    let mut node = Node::shared(|_| {});
    node.join(c(0), hello("ann").restoring(true, false, &["AAPL"]));
    node.join(c(1), hello("bob"));
    node.publish(vec![quote("AAPL", "{\"p\":1}"), market("{}")]);
    node.jump(5_000);
    assert_eq!(
        node.reached(),
        [
            "note bus reached after 5.000s",
            "note resumed c0 recovered false replayed 0",
            "send c0 resume recovered false replayed 0 last none",
            "note resumed c1 recovered false replayed 0",
            "send c1 resume recovered false replayed 0 last none",
            "bus fetch r3: portfolio:update ann",
            "bus share r4: quote:update AAPL {\"p\":1} id 0000000000000001-1, \
             market:status {} id 0000000000000001-2",
            "bus lead r5",
        ],
        "what is held is newer than what the bus has, and no one asked for bob's portfolio"
    );
    assert_eq!(node.engine.stats().contact, Contact::Reached);
}

#[test]
fn a_request_without_answer_loses_the_contact_until_a_probe_is_answered() {
    let mut node = watching();
    node.jump(100);
    assert_eq!(
        node.publish(vec![market("{\"n\":1}")]),
        ["bus share r6: market:status {\"n\":1}"]
    );
    node.jump(200);
    node.emit(c(0), watch(&["AAPL", "TSLA"]));
    assert_eq!(
        node.sleep_until(1_100),
        [
            "bus renew: ann [socket-c0 0.500s]",
            "note timed out r1 bus",
            "note bus lost",
            "note held market:status",
            "deliver market:status {\"n\":1} to c0",
            "answer publish r1: accepted degraded 0000000000000001-1",
        ],
        "what else was asked is decided at once too"
    );
    assert_eq!(node.engine.stats().contact, Contact::Lost);
    assert_eq!(node.deadline(), Some((2_100, "BusProbe".into())));
    let digest = node.digest();
    assert_eq!(node.took(6, Done), NOTHING, "too late");
    assert_eq!(node.fetched(8, vec![]), NOTHING, "too late");
    assert_eq!(node.digest(), digest);
    assert_eq!(node.sleep_until(2_100), ["bus probe"]);
    assert_eq!(
        node.sleep_until(4_100),
        ["bus probe", "bus probe"],
        "until it answers, since a probe may get lost"
    );
    node.jump(5_000);
    assert_eq!(
        node.reached(),
        [
            "note bus reached after 3.900s",
            "bus fetch r9: quote:update AAPL, quote:update TSLA",
            "bus share r10: market:status {\"n\":1} id 0000000000000001-1",
            "bus lead r11",
        ]
    );
}

#[test]
fn a_contact_that_comes_back_by_itself_needs_no_probe() {
    let mut node = watching();
    node.publish(vec![market("{}")]);
    node.sleep_until(1_000);
    assert_eq!(node.lost(), NOTHING, "it is lost already");
    node.jump(1_500);
    assert_eq!(node.reached()[0], "note bus reached after 0.500s");
    assert_eq!(only(node.sleep_until(2_400), "bus probe"), NOTHING);
}

#[test]
fn whatever_is_asked_when_the_bus_is_lost_is_decided_here() {
    let mut node = Node::in_contact(|limits| limits.watchlist_calls_max = 2);
    node.join_granted(c(0), hello("ann"));
    node.emit(c(0), watch(&["A"]));
    node.knock(c(1), hello("ann"));
    node.emit(c(0), watch(&["B"]));
    node.publish(vec![keyed(trade("ann", "{}"), "t")]);
    node.publish(vec![keyed(market("{}"), "m")]);
    assert_eq!(
        node.lost(),
        [
            "note bus lost",
            "answer publish r1: unavailable t",
            "note held market:status",
            "deliver market:status {} to c0",
            "answer publish r2: accepted degraded m",
            "admit c1",
            "note admitted c1 ann",
            "send c0 subscription:confirmed watchlist [B]",
        ]
    );
    assert_eq!(node.deadline(), None, "nothing is waited for");
    for late in [
        node.charged(9, ChargeVerdict::Admitted),
        node.claimed(8, ClaimVerdict::Full),
        node.appended(10, Done),
        node.took(11, Done),
    ] {
        assert_eq!(late, NOTHING);
    }
}

#[test]
fn what_has_passed_by_unseen_is_told_to_everyone_once_the_bus_is_back() {
    let mut node = Node::in_contact(|_| {});
    for slot in 0..2 {
        node.join_granted(c(slot), hello("ann"));
    }
    node.emit(c(0), SubscribePortfolio);
    node.answer_fetches();
    node.arrives(versioned(portfolio_of("ann"), (1, 1), "{\"v\":1}"));
    node.arrives(versioned(Topic::Market, (1, 2), "{\"m\":2}"));
    node.lost();
    node.jump(1_000);
    assert_eq!(
        only(node.reached(), "bus fetch"),
        ["bus fetch r10: market:status, portfolio:update ann"]
    );
    let v3 = || versioned(portfolio_of("ann"), (1, 3), "{\"v\":3}");
    assert_eq!(
        node.fetched(
            10,
            vec![versioned(Topic::Market, (1, 2), "{\"m\":2}"), v3()]
        ),
        ["deliver portfolio:update ann {\"v\":3} to c0, c1"],
        "the market has not changed, and c1 did not ask for the portfolio but has missed it"
    );
    assert_eq!(node.arrives(v3()), ["note stale portfolio:update ann"]);
}

#[test]
fn values_go_on_to_arrive_while_they_are_asked_for_anew() {
    let mut node = watching();
    node.arrives(aapl((1, 1), "{\"p\":1}"));
    node.lost();
    node.reached();
    assert_eq!(
        node.arrives(aapl((1, 3), "{\"p\":3}")),
        ["deliver quote:update AAPL {\"p\":3} to c0"]
    );
    let asked = node.last_asked("bus fetch");
    assert_eq!(
        node.fetched(asked, vec![aapl((1, 2), "{\"p\":2}")]),
        NOTHING,
        "the answer lost the race"
    );
}

#[test]
fn reached_again_without_a_loss_only_values_are_asked_for() {
    let mut node = watching();
    node.arrives(versioned(Topic::Market, (1, 1), "{}"));
    assert_eq!(
        node.reached(),
        ["bus fetch r6: market:status, quote:update AAPL"]
    );
    assert_eq!(node.reached(), NOTHING, "one question at a time");
    assert_eq!(
        node.fetched(6, vec![aapl((1, 2), "{\"p\":2}")]),
        [
            "deliver quote:update AAPL {\"p\":2} to c0",
            "bus fetch r7: market:status, quote:update AAPL",
        ],
        "it was asked before it was reached again"
    );
    assert_eq!(node.fetched(7, vec![]), NOTHING);
    assert_eq!(node.deadline(), Some((500, "SlotRenewal".into())));
}

#[test]
fn a_question_from_before_values_were_missed_is_not_the_last() {
    let mut node = watching();
    assert_eq!(
        node.emit(c(0), watch(&["TSLA"])),
        [
            "bus charge r6: ann watchlist admitted",
            "send c0 subscription:confirmed watchlist [TSLA]",
            "bus fetch r7: quote:update TSLA",
        ]
    );
    // The bus has read 1 for the answer, then took 2, whose message was lost on its way here.
    assert_eq!(
        node.input(Input::StateMissed),
        ["bus fetch r8: market:status, quote:update AAPL"]
    );
    assert_eq!(
        node.fetched(7, vec![versioned(quote_of("TSLA"), (1, 1), "{\"p\":1}")]),
        ["deliver quote:update TSLA {\"p\":1} to c0"]
    );
    assert_eq!(
        node.fetched(8, vec![]),
        ["bus fetch r9: quote:update TSLA"],
        "or 2 would be missed for good"
    );
    assert_eq!(
        node.fetched(9, vec![versioned(quote_of("TSLA"), (1, 2), "{\"p\":2}")]),
        ["deliver quote:update TSLA {\"p\":2} to c0"]
    );
}

#[test]
fn what_was_missed_is_asked_for_while_the_bus_can_be_asked() {
    let mut node = watching();
    node.lost();
    assert_eq!(node.input(Input::StateMissed), NOTHING);
}

#[test]
fn many_topics_are_asked_for_in_parts_one_after_another() {
    let mut node = Node::in_contact(|_| {});
    node.join_granted(c(0), hello("ann"));
    let symbols = many_symbols(FETCH_MAX + 44);
    let asked = |lines: Vec<String>| -> Vec<usize> {
        let fetches = only(lines, "bus fetch ");
        fetches
            .iter()
            .map(|line| line.matches("quote:").count())
            .collect()
    };
    let lines = node.emit(c(0), SubscribeWatchlist(Ok(symbols)));
    assert_eq!(asked(lines), [FETCH_MAX, 44]);
    node.answer_fetches();
    node.lost();
    let lines = node.reached();
    assert_eq!(asked(lines), [FETCH_MAX - 1], "the market is among them");
    let next = |node: &mut Node| node.fetched(node.last_asked("bus fetch"), vec![]);
    let lines = next(&mut node);
    assert_eq!(asked(lines), [45]);
    assert_eq!(next(&mut node), NOTHING);
    // Whoever leaves before its topics' turn is not asked for.
    node.lost();
    node.reached();
    node.gone(c(0));
    assert_eq!(next(&mut node), NOTHING);
}

#[test]
fn a_late_value_of_a_life_of_the_data_that_has_ended_is_dropped_until_the_contact_ends() {
    let mut node = watching();
    node.arrives(aapl((1, 9), "{\"p\":9}"));
    assert_eq!(
        node.arrives(aapl((2, 1), "{\"q\":1}")),
        ["deliver quote:update AAPL {\"q\":1} to c0"],
        "a new life beats any value of the old one"
    );
    let stale = ["note stale quote:update AAPL"];
    assert_eq!(node.arrives(aapl((1, 10), "{\"p\":10}")), stale);
    assert_eq!(
        node.arrives(versioned(portfolio_of("bob"), (1, 11), "{}")),
        ["note stale portfolio:update bob"],
        "whoever cares"
    );
    node.input(Input::StateMissed);
    assert_eq!(
        node.arrives(aapl((1, 11), "{\"p\":11}")),
        stale,
        "which is how the driver tells of a new life"
    );
    assert_eq!(node.arrives(aapl((3, 1), "{\"r\":1}")).len(), 1);
    assert_eq!(node.arrives(aapl((1, 12), "{\"p\":12}")), stale);
    assert_eq!(node.arrives(aapl((2, 2), "{\"q\":2}")), stale);
    node.lost();
    node.reached();
    assert_eq!(
        node.arrives(aapl((2, 3), "{\"q\":3}")),
        ["deliver quote:update AAPL {\"q\":3} to c0"],
        "another node's data may have been loaded meanwhile"
    );
    assert_eq!(
        node.arrives(aapl((3, 2), "{\"r\":2}")),
        stale,
        "and the order of lives begins anew"
    );
}

#[test]
fn an_answer_of_a_life_that_nobody_here_knew_does_not_end_the_present_one() {
    // The bus reads 1 for the answer, loses its data, and takes 2, which is the first to be heard.
    let mut node = watching();
    node.emit(c(0), watch(&["TSLA"]));
    let tsla = |version, text| versioned(quote_of("TSLA"), version, text);
    assert_eq!(node.arrives(tsla((2, 1), "{\"p\":2}")), NOTHING);
    assert_eq!(
        node.fetched(7, vec![tsla((1, 1), "{\"p\":1}")]),
        [
            "note stale quote:update TSLA",
            "deliver quote:update TSLA {\"p\":2} to c0",
        ]
    );
    assert_eq!(
        node.arrives(tsla((2, 2), "{\"p\":3}")),
        ["deliver quote:update TSLA {\"p\":3} to c0"]
    );
}

#[test]
fn what_is_asked_mends_a_life_that_was_told_too_late() {
    let mut node = watching();
    node.arrives(aapl((2, 1), "{\"p\":2}"));
    assert_eq!(
        node.arrives(aapl((1, 1), "{\"p\":1}")),
        ["deliver quote:update AAPL {\"p\":1} to c0"],
        "which nobody here knew: it looks like a new one"
    );
    let stale = ["note stale quote:update AAPL"];
    assert_eq!(node.arrives(aapl((2, 2), "{\"p\":3}")), stale);
    assert_eq!(
        node.input(Input::StateMissed),
        ["bus fetch r6: market:status, quote:update AAPL"]
    );
    assert_eq!(
        node.fetched(6, vec![aapl((2, 2), "{\"p\":3}")]),
        ["deliver quote:update AAPL {\"p\":3} to c0"]
    );
    assert_eq!(
        node.arrives(aapl((2, 3), "{\"p\":4}")),
        ["deliver quote:update AAPL {\"p\":4} to c0"]
    );
    assert_eq!(node.arrives(aapl((1, 2), "{\"p\":0}")), stale);
}

#[test]
fn lives_that_ended_are_remembered_up_to_a_bound() {
    let mut node = watching();
    for epoch in 1..=10 {
        assert_eq!(node.arrives(aapl((epoch, 1), "{}")).len(), 1, "{epoch}");
    }
    for epoch in 2..=9 {
        assert_eq!(
            node.arrives(aapl((epoch, 2), "{}")),
            ["note stale quote:update AAPL"],
            "{epoch}"
        );
    }
    assert_eq!(
        node.arrives(aapl((1, 2), "{}")),
        ["deliver quote:update AAPL {} to c0"],
        "eight are remembered"
    );
}

#[test]
fn an_answer_from_a_life_that_has_ended_is_no_answer_for_its_values() {
    let mut node = watching();
    node.emit(c(0), watch(&["TSLA"]));
    node.arrives(aapl((2, 1), "{\"q\":1}"));
    let tsla = |version, text| versioned(quote_of("TSLA"), version, text);
    assert_eq!(
        node.fetched(7, vec![tsla((2, 2), "{\"t\":2}")]),
        ["deliver quote:update TSLA {\"t\":2} to c0"]
    );
    node.emit(c(0), unwatch(&["TSLA"]));
    node.reached();
    node.asked.clear();
    node.arrives(aapl((3, 1), "{\"r\":1}"));
    assert_eq!(
        node.arrives(tsla((2, 3), "{\"t\":3}")),
        ["note stale quote:update TSLA"]
    );
}

#[test]
fn a_value_that_waited_for_an_answer_goes_on_waiting_when_the_bus_is_lost() {
    // A client that held AAPL before may have been sent a newer one than what has arrived so far.
    let mut node = watching();
    node.arrives(aapl((1, 5), "{\"p\":5}"));
    node.emit(c(0), unwatch(&["AAPL"]));
    node.emit(c(0), watch(&["AAPL"]));
    assert_eq!(node.arrives(aapl((1, 3), "{\"p\":3}")), NOTHING);
    assert_eq!(node.lost(), ["note bus lost"]);
    assert_eq!(node.arrives(aapl((1, 4), "{\"p\":4}")), NOTHING);
    assert_eq!(
        without(node.reached(), &["note ", "bus renew", "bus lead"]),
        ["bus fetch r8: market:status, quote:update AAPL"]
    );
    assert_eq!(
        node.fetched(8, vec![aapl((1, 5), "{\"p\":5}")]),
        ["deliver quote:update AAPL {\"p\":5} to c0"]
    );
}

#[test]
fn a_failed_question_is_a_question_without_answer() {
    let mut node = watching();
    node.emit(c(0), watch(&["TSLA"]));
    let (request, values) = (RequestId::new(7), None);
    assert_eq!(node.input(Input::Fetched { request, values }), NOTHING);
    assert_eq!(
        without(node.sleep_until(1_000), &["bus renew"]),
        ["note timed out r7 bus", "note bus lost"]
    );
}
