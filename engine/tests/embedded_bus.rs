//! The bus that a node carries within itself: order, idempotency, and its bounds.

mod common;

use std::collections::VecDeque;

use common::make::*;
use common::words;
use tradewire_engine::bus::{BusLimits, BusRequest, EmbeddedBus, LogPublish, StatePublish};
use tradewire_engine::event::{LogKind, Payload, Topic};
use tradewire_engine::ids::RequestId;
use tradewire_engine::time::{Timestamp, WallTime};

struct Bus(EmbeddedBus);

impl Bus {
    fn with(change: impl FnOnce(&mut BusLimits)) -> Self {
        let mut limits = BusLimits::default();
        change(&mut limits);
        Self(EmbeddedBus::new(limits, EPOCH, 7))
    }

    fn ask(&mut self, ms: u64, request: BusRequest) -> Vec<String> {
        let mut answers = VecDeque::new();
        self.0.handle(Timestamp::from_ms(ms), request, &mut answers);
        answers.iter().map(words::input).collect()
    }

    /// Appends trades of `ann` under these keys, at a monotonic and a wall time.
    fn append(&mut self, ms: u64, wall: u64, ids: &[&str]) -> Vec<String> {
        self.append_keys(ms, wall, ids, true)
    }

    fn append_keys(&mut self, ms: u64, wall: u64, ids: &[&str], lasting: bool) -> Vec<String> {
        let entry = |id: &&str| LogPublish {
            id: key(id),
            lasting,
            kind: LogKind::TradeExecuted,
            user: user("ann"),
            payload: Payload::new(id),
        };
        let entries = ids.iter().map(entry).collect();
        let (request, wall) = (RequestId::new(1), WallTime::from_unix_ms(wall));
        self.ask(
            ms,
            BusRequest::Append {
                request,
                entries,
                wall,
            },
        )
    }

    /// Shares values, each of which is also its key.
    fn share(&mut self, ms: u64, values: &[(Topic, &str)]) -> Vec<String> {
        let value = |(topic, id): &(Topic, &str)| StatePublish {
            id: Some(key(id)),
            lasting: true,
            topic: topic.clone(),
            payload: Payload::new(id),
        };
        let values = values.iter().map(value).collect();
        let request = RequestId::new(2);
        self.ask(
            ms,
            BusRequest::Share {
                request,
                values,
                once: false,
            },
        )
    }

    fn fetch(&mut self, topic: Topic) -> String {
        let request = RequestId::new(3);
        let topics = vec![topic];
        self.ask(0, BusRequest::Fetch { request, topics }).remove(0)
    }
}

#[test]
fn ids_follow_the_wall_clock_and_never_go_back_with_it() {
    let mut bus = Bus::with(|_| {});
    assert_eq!(
        bus.append(0, 100, &["a", "b"]),
        [
            "bus log: trade:executed ann e-100-0 a, trade:executed ann e-100-1 b",
            "bus r1 appended: done",
        ]
    );
    for (wall, expected) in [(100, "e-100-2 c"), (90, "e-100-3 d"), (101, "e-101-0 e")] {
        let id = expected.split(' ').nth(1).unwrap();
        let lines = bus.append(0, wall, &[id]);
        assert_eq!(lines[0], format!("bus log: trade:executed ann {expected}"));
    }
}

#[test]
fn the_same_id_is_taken_once_in_ten_minutes() {
    let mut bus = Bus::with(|_| {});
    assert_eq!(bus.append(0, 0, &["a"]).len(), 2);
    assert_eq!(
        bus.append(1, 1, &["a", "b"])[0],
        "bus log: trade:executed ann e-1-0 b",
        "a batch that is retried brings only what is new"
    );
    assert_eq!(bus.append(599_999, 2, &["a"]), ["bus r1 appended: done"]);
    assert_eq!(bus.append(600_000, 3, &["a"]).len(), 2);
    assert_eq!(bus.append(600_000, 3, &["b"]).len(), 1);
    assert_eq!(bus.append(600_001, 3, &["b"]).len(), 2);
}

#[test]
fn ids_that_nobody_hands_in_again_take_no_memory() {
    let mut bus = Bus::with(|limits| limits.ids_max = 1);
    assert_eq!(bus.append(0, 0, &["mine"]).len(), 2);
    assert_eq!(bus.append_keys(0, 0, &["counted"], false).len(), 2);
    assert_eq!(bus.append(0, 0, &["mine"]), ["bus r1 appended: done"]);
}

#[test]
fn ids_of_values_are_remembered_too() {
    let mut bus = Bus::with(|_| {});
    assert_eq!(
        bus.share(0, &[(Topic::Market, "a"), (quote_of("AAPL"), "b")]),
        [
            "bus state: market:status a version e-1, quote:update AAPL b version e-2",
            "bus r2 shared: done",
        ]
    );
    assert_eq!(
        bus.share(0, &[(Topic::Market, "a")]),
        ["bus r2 shared: done"]
    );
    assert_eq!(
        bus.fetch(Topic::Market),
        "bus r3 fetched: market:status a version e-1"
    );
}

#[test]
fn the_oldest_id_is_forgotten_over_their_number() {
    let mut bus = Bus::with(|limits| limits.ids_max = 2);
    bus.append(0, 0, &["a", "b"]);
    assert_eq!(bus.append(0, 0, &["a"]).len(), 1, "two are remembered");
    bus.append(0, 0, &["c"]);
    assert_eq!(bus.append(0, 0, &["b"]).len(), 1);
    assert_eq!(bus.append(0, 0, &["a"]).len(), 2, "a was the oldest");
}

#[test]
fn the_current_value_of_a_topic_is_its_latest() {
    let mut bus = Bus::with(|_| {});
    assert_eq!(bus.fetch(Topic::Market), "bus r3 fetched: nothing");
    bus.share(
        0,
        &[
            (Topic::Market, "a"),
            (portfolio_of("ann"), "b"),
            (Topic::Market, "c"),
        ],
    );
    assert_eq!(
        bus.fetch(Topic::Market),
        "bus r3 fetched: market:status c version e-3"
    );
    assert_eq!(
        bus.fetch(portfolio_of("ann")),
        "bus r3 fetched: portfolio:update ann b version e-2"
    );
    assert_eq!(bus.fetch(portfolio_of("bob")), "bus r3 fetched: nothing");
}

#[test]
fn the_topic_set_longest_ago_is_forgotten_over_their_number() {
    let mut bus = Bus::with(|limits| limits.topics_max = 2);
    bus.share(
        0,
        &[
            (quote_of("A"), "a1"),
            (quote_of("B"), "b1"),
            (quote_of("A"), "a2"),
        ],
    );
    assert_eq!(
        bus.fetch(quote_of("B")),
        "bus r3 fetched: quote:update B b1 version e-2"
    );
    bus.share(0, &[(quote_of("C"), "c1")]);
    assert_eq!(bus.fetch(quote_of("B")), "bus r3 fetched: nothing");
    assert_eq!(
        bus.fetch(quote_of("A")),
        "bus r3 fetched: quote:update A a2 version e-3"
    );
}

#[test]
fn the_topic_set_longest_ago_is_forgotten_over_their_bytes() {
    let mut bus = Bus::with(|limits| limits.values_bytes_max = 6);
    bus.share(
        0,
        &[
            (quote_of("A"), "123"),
            (quote_of("B"), "456"),
            (quote_of("A"), "789"),
        ],
    );
    assert_eq!(
        bus.fetch(quote_of("B")),
        "bus r3 fetched: quote:update B 456 version e-2"
    );
    bus.share(0, &[(quote_of("C"), "7")]);
    assert_eq!(bus.fetch(quote_of("B")), "bus r3 fetched: nothing");
    bus.share(0, &[(quote_of("D"), "too-large")]);
    for name in ["A", "C", "D"] {
        assert_eq!(bus.fetch(quote_of(name)), "bus r3 fetched: nothing");
    }
}
