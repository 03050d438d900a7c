//! What clients may ask for, how often, and what they are answered.

mod common;

use common::make::*;
use common::{NOTHING, Node};
use tradewire_engine::Input;
use tradewire_engine::parse::ClientEvent::{
    SubscribePortfolio, SubscribeTrades, SubscribeWatchlist, Unknown, UnsubscribeWatchlist,
};
use tradewire_engine::parse::InvalidSymbols;

/// A node on which `ann` is in as `c0`.
fn with_ann() -> Node {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node
}

/// What a refused call brings, without an acknowledgement.
fn limited(conn: &str, user: &str, kind: &str, words: &str, retry: u64) -> [String; 2] {
    [
        format!("note rate limited {conn} {user} {kind}"),
        format!(
            "send {conn} error \"Rate limit exceeded for {words} subscription\" subscribe:{kind} retry {retry} ms"
        ),
    ]
}

#[test]
fn every_subscription_is_confirmed_and_its_value_asked_for() {
    let mut node = with_ann();
    assert_eq!(
        node.emit(c(0), SubscribePortfolio),
        [
            "send c0 subscription:confirmed portfolio",
            "bus fetch r3: portfolio:update ann"
        ]
    );
    assert_eq!(
        node.emit(c(0), SubscribeTrades),
        ["send c0 subscription:confirmed trades"]
    );
    assert_eq!(
        node.emit(c(0), watch(&["TSLA", "AAPL", "TSLA"])),
        [
            "send c0 subscription:confirmed watchlist [TSLA AAPL TSLA]",
            "bus fetch r4: quote:update AAPL, quote:update TSLA",
        ],
        "the symbols come back as given, and each is asked for once"
    );
    assert_eq!(
        node.emit(c(0), unwatch(&["AAPL", "MSFT"])),
        ["send c0 unsubscription:confirmed watchlist [AAPL MSFT]"],
        "what was not held is confirmed too"
    );
}

#[test]
fn an_acknowledgement_says_the_same_as_the_answer() {
    let mut node = with_ann();
    assert_eq!(
        node.emit_acked(c(0), SubscribeTrades, 7),
        [
            "ack c0 7 subscription:confirmed trades",
            "send c0 subscription:confirmed trades"
        ]
    );
    let error =
        "error \"Rate limit exceeded for trade subscription\" subscribe:trades retry 60000 ms";
    assert_eq!(
        node.emit_acked(c(0), SubscribeTrades, 8),
        [
            "note rate limited c0 ann trades".to_string(),
            format!("ack c0 8 {error}"),
            format!("send c0 {error}"),
        ]
    );
    for (ack, event) in [
        (9, bad_watch()),
        (10, UnsubscribeWatchlist(Err(InvalidSymbols))),
    ] {
        assert_eq!(
            node.emit_acked(c(0), event, ack),
            [
                format!("ack c0 {ack} error \"Invalid symbols array\""),
                "send c0 error \"Invalid symbols array\"".to_string(),
            ]
        );
    }
    assert_eq!(
        node.emit_acked(c(0), Unknown, 11),
        ["ack c0 11 error \"Unknown event\""]
    );
    assert_eq!(node.emit(c(0), Unknown), NOTHING);
}

#[test]
fn a_window_opens_again_at_the_very_millisecond() {
    let mut node = with_ann();
    for (event, kind, words) in [
        (SubscribePortfolio, "portfolio", "portfolio"),
        (SubscribeTrades, "trades", "trade"),
    ] {
        let start = node.now.as_ms();
        node.emit(c(0), event.clone());
        let refused = |retry| limited("c0", "ann", kind, words, retry);
        assert_eq!(node.emit(c(0), event.clone()), refused(60_000));
        node.jump(start + 59_999);
        assert_eq!(node.emit(c(0), event.clone()), refused(1));
        node.jump(start + 60_000);
        assert_eq!(
            node.emit(c(0), event.clone())[0],
            format!("send c0 subscription:confirmed {kind}")
        );
        assert_eq!(node.emit(c(0), event), refused(60_000));
    }
}

#[test]
fn ten_watchlist_calls_pass_and_the_eleventh_waits_for_the_first_to_age() {
    let mut node = with_ann();
    for ms in 0..10 {
        node.jump(ms * 1_000);
        let lines = node.emit(c(0), watch(&["AAPL"]));
        assert_eq!(lines[0], "send c0 subscription:confirmed watchlist [AAPL]");
    }
    let refused = |retry| limited("c0", "ann", "watchlist", "watchlist", retry);
    assert_eq!(node.emit(c(0), watch(&["AAPL"])), refused(51_000));
    node.jump(59_999);
    assert_eq!(node.emit(c(0), watch(&["AAPL"])), refused(1));
    node.jump(60_000);
    assert_eq!(node.emit(c(0), watch(&["AAPL"])).len(), 1);
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"])),
        refused(1_000),
        "the refused calls were not counted"
    );
}

#[test]
fn invalid_calls_are_counted() {
    let mut node = with_ann();
    for _ in 0..10 {
        assert_eq!(
            node.emit(c(0), bad_watch()),
            ["send c0 error \"Invalid symbols array\""]
        );
    }
    assert_eq!(
        node.emit(c(0), watch(&["AAPL"])),
        limited("c0", "ann", "watchlist", "watchlist", 60_000)
    );
    assert_eq!(
        node.emit(c(0), bad_watch()),
        limited("c0", "ann", "watchlist", "watchlist", 60_000),
        "an invalid call over the limit is over the limit"
    );
}

#[test]
fn the_first_call_of_each_kind_on_a_connection_is_admitted_and_counted() {
    let mut node = with_ann();
    node.emit(c(0), SubscribePortfolio);
    node.jump(10_000);
    node.join(c(1), hello("ann"));
    assert_eq!(
        node.emit(c(1), SubscribePortfolio),
        ["send c1 subscription:confirmed portfolio"]
    );
    let refused = |conn, retry| limited(conn, "ann", "portfolio", "portfolio", retry);
    assert_eq!(node.emit(c(1), SubscribePortfolio), refused("c1", 60_000));
    assert_eq!(
        node.emit(c(1), SubscribeTrades),
        ["send c1 subscription:confirmed trades"],
        "each kind has its own first call"
    );
    node.jump(60_000);
    assert_eq!(
        node.emit(c(0), SubscribePortfolio),
        refused("c0", 10_000),
        "c1's first call was counted"
    );
}

#[test]
fn an_invalid_first_call_uses_the_grace_up() {
    let mut node = Node::with(|limits| limits.watchlist_calls_max = 1);
    node.join_all(0..2, "ann");
    node.emit(c(0), watch(&["AAPL"]));
    assert_eq!(
        node.emit(c(1), bad_watch()),
        ["send c1 error \"Invalid symbols array\""]
    );
    assert_eq!(
        node.emit(c(1), watch(&["AAPL"])),
        limited("c1", "ann", "watchlist", "watchlist", 60_000)
    );
}

#[test]
fn limits_are_the_users_not_the_connections() {
    let mut node = with_ann();
    node.join(c(1), hello("ann"));
    node.join(c(2), hello("bob"));
    for _ in 0..5 {
        node.emit(c(0), watch(&["AAPL"]));
        node.emit(c(1), watch(&["AAPL"]));
    }
    for conn in ["c0", "c1"] {
        let slot = if conn == "c0" { 0 } else { 1 };
        assert_eq!(
            node.emit(c(slot), watch(&["AAPL"])),
            limited(conn, "ann", "watchlist", "watchlist", 60_000)
        );
    }
    node.emit(c(2), watch(&["AAPL"]));
    assert_eq!(
        node.emit(c(2), watch(&["AAPL"])).len(),
        1,
        "bob has his own"
    );
}

#[test]
fn limits_outlive_the_connection_and_are_forgotten_when_they_mean_nothing() {
    let mut node = Node::with(|limits| limits.watchlist_calls_max = 2);
    node.join(c(0), hello("ann"));
    node.emit(c(0), watch(&["AAPL"]));
    node.emit(c(0), watch(&["AAPL"]));
    node.jump(5_000);
    node.gone(c(0));
    assert_eq!(
        node.deadline(),
        Some((60_000, "IdleUser".into())),
        "when its calls mean nothing any more, whenever it left"
    );
    node.jump(6_000);
    node.join(c(1), hello("ann"));
    assert_eq!(
        node.deadline(),
        None,
        "a user with a connection is not forgotten"
    );
    node.emit(c(1), watch(&["AAPL"]));
    assert_eq!(
        node.emit(c(1), watch(&["AAPL"])),
        limited("c1", "ann", "watchlist", "watchlist", 54_000),
        "after the grace, the second newest call is from 0.000s"
    );
    node.gone(c(1));
    assert_eq!(node.deadline(), Some((66_000, "IdleUser".into())));
    let before = node.digest();
    assert_eq!(node.sleep_until(66_000), NOTHING);
    assert_ne!(node.digest(), before);
    assert_eq!(node.deadline(), None);
}

#[test]
fn one_who_leaves_when_its_calls_mean_nothing_any_more_is_forgotten_at_once() {
    let mut node = Node::new();
    node.join(c(0), hello("ann"));
    node.emit(c(0), watch(&["AAPL"]));
    node.jump(60_000);
    node.gone(c(0));
    assert_eq!(node.deadline(), Some((60_000, "IdleUser".into())));
    assert_eq!(node.sleep_until(60_000), NOTHING);
    assert_eq!(node.deadline(), None);
}

#[test]
fn when_too_many_idle_users_are_remembered_the_one_with_the_oldest_calls_is_forgotten() {
    let mut node = Node::with(|limits| {
        limits.watchlist_calls_max = 2;
        limits.idle_users_max = 1;
    });
    for (slot, name) in [(0, "ann"), (1, "bob")] {
        node.jump(u64::from(slot));
        node.join(c(slot), hello(name));
        node.emit(c(slot), watch(&["AAPL"]));
        node.emit(c(slot), watch(&["AAPL"]));
    }
    assert_eq!(node.gone(c(1)), ["note disconnected c1 bob", "release c1"]);
    assert_eq!(
        node.gone(c(0)),
        [
            "note disconnected c0 ann",
            "note idle user forgotten",
            "release c0"
        ]
    );
    for (slot, name) in [(2, "ann"), (3, "bob")] {
        node.join(c(slot), hello(name));
        node.emit(c(slot), watch(&["AAPL"]));
    }
    assert_eq!(
        node.emit(c(2), watch(&["AAPL"])),
        ["send c2 subscription:confirmed watchlist [AAPL]"],
        "ann's earlier calls are forgotten"
    );
    assert_eq!(
        node.emit(c(3), watch(&["AAPL"])),
        limited("c3", "bob", "watchlist", "watchlist", 60_000)
    );
}

#[test]
fn restored_subscriptions_are_free_and_leave_the_first_call() {
    let mut node = Node::with(|limits| limits.watchlist_calls_max = 1);
    assert_eq!(
        node.join(c(0), hello("ann").restoring(true, true, &["B", "A"])),
        [
            "send c0 subscription:confirmed portfolio",
            "send c0 subscription:confirmed trades",
            "send c0 subscription:confirmed watchlist [B A]",
            "bus fetch r2: market:status, portfolio:update ann, quote:update A, quote:update B",
        ]
    );
    for event in [SubscribePortfolio, SubscribeTrades, watch(&["C"])] {
        let lines = node.emit(c(0), event);
        assert!(
            lines[0].starts_with("send c0 subscription:confirmed"),
            "{lines:?}"
        );
    }
    for event in [SubscribePortfolio, SubscribeTrades, watch(&["C"])] {
        let lines = node.emit(c(0), event);
        assert!(lines[0].starts_with("note rate limited"), "{lines:?}");
    }
}

#[test]
fn malformed_subscriptions_are_told_and_nothing_is_restored() {
    let mut node = Node::new();
    assert_eq!(
        node.join(c(0), hello("ann").restoring_garbage()),
        [
            "send c0 error \"Invalid subscriptions\"",
            "bus fetch r2: market:status",
        ]
    );
    let mut node = Node::with(|limits| limits.symbols_per_connection_max = 1);
    assert_eq!(
        node.join(c(0), hello("ann").restoring(false, false, &["A", "B"])),
        [
            "send c0 error \"Invalid subscriptions\"",
            "bus fetch r2: market:status",
        ]
    );
    assert_eq!(node.engine.stats().symbols, 0);
}

#[test]
fn symbols_of_one_connection_end_at_their_limit_all_or_nothing() {
    let mut node = with_ann();
    let all = many_symbols(501);
    let call = |symbols: &[_]| SubscribeWatchlist(Ok(symbols.to_vec()));
    let invalid = ["send c0 error \"Invalid symbols array\""];
    assert_eq!(node.emit(c(0), call(&all)), invalid);
    assert_eq!(node.engine.stats().symbols, 0);
    node.emit(c(0), call(&all[..499]));
    assert_eq!(node.engine.stats().symbols, 499);
    assert_eq!(
        node.emit(c(0), call(&all[498..501])),
        invalid,
        "one is held, two are new"
    );
    assert_eq!(node.engine.stats().symbols, 499, "and nothing changed");
    let twice = [all[499].clone(), all[499].clone(), all[0].clone()];
    assert_eq!(
        node.emit(c(0), call(&twice)).len(),
        2,
        "a duplicate counts once"
    );
    assert_eq!(node.engine.stats().symbols, 500);
    assert_eq!(node.emit(c(0), call(&all[500..])), invalid);
    node.emit(c(0), UnsubscribeWatchlist(Ok(all[..1].to_vec())));
    assert_eq!(node.engine.stats().symbols, 499);
    assert_eq!(node.emit(c(0), call(&all[500..])).len(), 2);
}

#[test]
fn a_flood_is_told_once_and_closed() {
    let mut node = with_ann();
    for _ in 0..200 {
        assert_eq!(node.emit(c(0), Unknown), NOTHING);
    }
    assert_eq!(
        node.emit_acked(c(0), Unknown, 1),
        [
            "send c0 error \"Too many events\"",
            "note closing c0 ann flood",
            "close c0 flood flush 1.000s",
        ]
    );
    assert_eq!(node.emit_acked(c(0), Unknown, 2), NOTHING);
    assert_eq!(node.gone(c(0)), ["release c0"]);
}

#[test]
fn a_hundred_events_a_second_may_go_on_for_ever() {
    let mut node = with_ann();
    for _ in 0..200 {
        node.emit(c(0), Unknown);
    }
    for tick in 1..=300 {
        node.jump(tick * 10);
        assert_eq!(node.emit(c(0), unwatch(&["A"])).len(), 1, "at {}", node.now);
    }
    assert_eq!(
        node.emit(c(0), unwatch(&["A"]))[2],
        "close c0 flood flush 1.000s"
    );
}

#[test]
fn events_of_one_connection_do_not_cost_another() {
    let mut node = with_ann();
    node.join(c(1), hello("ann"));
    for _ in 0..201 {
        node.emit(c(0), Unknown);
    }
    assert_eq!(
        node.emit_acked(c(1), Unknown, 1),
        ["ack c1 1 error \"Unknown event\""]
    );
}

#[test]
fn an_event_that_overtakes_the_word_of_the_connect_answer_finds_the_client_in() {
    let mut node = Node::new();
    node.knock(c(0), hello("ann").restoring(false, false, &["A"]));
    assert_eq!(
        node.emit(c(0), SubscribeTrades),
        [
            "send c0 subscription:confirmed watchlist [A]",
            "send c0 subscription:confirmed trades",
            "bus fetch r2: market:status, quote:update A",
        ]
    );
    let digest = node.digest();
    assert_eq!(node.connected(c(0)), NOTHING);
    assert_eq!(node.digest(), digest);
}

#[test]
fn events_before_admission_are_ignored() {
    let mut node = Node::new();
    node.handshake(c(0));
    let digest = node.digest();
    assert_eq!(node.emit_acked(c(0), SubscribeTrades, 1), NOTHING);
    assert_eq!(node.input(Input::Connected { conn: c(0) }), NOTHING);
    assert_eq!(node.digest(), digest);
}
