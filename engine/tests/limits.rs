//! Limits that contradict themselves are refused before anything listens; the smallest ones work.

mod common;

use core::time::Duration;

use common::Node;
use common::make::*;
use tradewire_engine::limits::{Limits, LimitsError};
use tradewire_engine::{BusKind, Config, Delivery, Engine};

fn engine(limits: Limits) -> Result<Engine, LimitsError> {
    Engine::new(Config {
        limits,
        delivery: Delivery::All,
        bus: BusKind::Embedded,
        seed: 7,
        instance: 1,
    })
}

#[test]
fn a_limit_that_must_be_at_least_one_is_refused_at_zero() {
    type Set = fn(&mut Limits, u32);
    let fields: [(&str, Set); 14] = [
        ("connections_per_user_max", |l, n| {
            l.connections_per_user_max = n
        }),
        ("connects_per_user_minute_max", |l, n| {
            l.connects_per_user_minute_max = n
        }),
        ("connections_max", |l, n| l.connections_max = n),
        ("handshakes_max", |l, n| l.handshakes_max = n),
        ("admissions_pending_max", |l, n| {
            l.admissions_pending_max = n
        }),
        ("events_per_second_max", |l, n| l.events_per_second_max = n),
        ("events_burst_max", |l, n| l.events_burst_max = n),
        ("portfolio_calls_max", |l, n| l.portfolio_calls_max = n),
        ("trades_calls_max", |l, n| l.trades_calls_max = n),
        ("watchlist_calls_max", |l, n| l.watchlist_calls_max = n),
        ("symbols_per_connection_max", |l, n| {
            l.symbols_per_connection_max = n
        }),
        ("outbox_bytes_max", |l, n| l.outbox_bytes_max = n.into()),
        ("outbox_packets_max", |l, n| l.outbox_packets_max = n),
        ("bus_request_max", |l, n| {
            l.bus_request_max = Duration::from_millis(n.into())
        }),
    ];
    for (name, set) in fields {
        let mut limits = Limits::default();
        set(&mut limits, 0);
        let error = engine(limits.clone()).expect_err(name);
        assert_eq!(error, LimitsError::Zero { name });
        assert_eq!(error.to_string(), format!("{name} must be at least 1"));
        set(&mut limits, 1);
        assert!(engine(limits).is_ok(), "{name}");
    }
}

#[test]
fn a_drain_cannot_end_before_its_window() {
    let mut limits = Limits {
        drain_deadline: Duration::from_secs(5),
        ..Limits::default()
    };
    assert!(engine(limits.clone()).is_ok(), "as long as the window");
    limits.drain_deadline = Duration::from_millis(4_999);
    let error = engine(limits).expect_err("shorter than the window");
    assert_eq!(
        error.to_string(),
        "drain deadline (4999 ms) must not be shorter than the drain window (5000 ms)"
    );
}

#[test]
fn the_defaults_are_the_contracts() {
    let limits = Limits::default();
    let seconds = Duration::from_secs;
    assert_eq!(limits.connections_per_user_max, 5);
    assert_eq!(limits.connects_per_user_minute_max, 120);
    assert_eq!(
        (limits.connections_max, limits.handshakes_max),
        (100_000, 10_000)
    );
    assert_eq!(limits.handshake_max, seconds(20));
    assert_eq!(limits.symbols_per_connection_max, 500);
    assert_eq!(
        (limits.events_per_second_max, limits.events_burst_max),
        (100, 200)
    );
    assert_eq!(
        (limits.portfolio_calls_max, limits.trades_calls_max),
        (1, 1)
    );
    assert_eq!(
        (limits.watchlist_calls_max, limits.calls_window),
        (10, seconds(60))
    );
    assert_eq!(
        (limits.outbox_bytes_max, limits.outbox_packets_max),
        (1 << 20, 4_096)
    );
    assert_eq!(
        (
            limits.congested_log_events_max,
            limits.congested_log_bytes_max
        ),
        (1_024, 1 << 20)
    );
    assert_eq!(limits.congested_max, seconds(30));
    assert_eq!(limits.outbox_total_bytes_max, 256 << 20);
    assert_eq!(
        (limits.session_lookup_max, limits.bus_request_max),
        (seconds(5), seconds(1))
    );
    assert_eq!(
        (limits.drain_window, limits.drain_deadline),
        (seconds(5), seconds(10))
    );
    assert_eq!(
        (limits.history_max, limits.history_bytes_max),
        (seconds(600), 64 << 20)
    );
}

#[test]
fn an_engine_with_every_limit_at_its_least_still_serves_one_client() {
    let zero = Duration::ZERO;
    let mut node = Node::with(|limits| {
        *limits = Limits {
            connections_per_user_max: 1,
            connects_per_user_minute_max: 1,
            connections_max: 1,
            handshakes_max: 1,
            admissions_pending_max: 1,
            handshake_max: Duration::from_millis(1),
            symbols_per_connection_max: 1,
            events_per_second_max: 1,
            events_burst_max: 1,
            portfolio_calls_max: 1,
            trades_calls_max: 1,
            watchlist_calls_max: 1,
            calls_window: zero,
            outbox_bytes_max: 1,
            outbox_packets_max: 1,
            congested_log_events_max: 0,
            congested_log_bytes_max: 0,
            congested_max: zero,
            outbox_total_bytes_max: 0,
            session_lookup_max: Duration::from_millis(1),
            bus_request_max: Duration::from_millis(1),
            slot_lease: zero,
            slot_renew_every: zero,
            session_check_every: zero,
            drain_window: zero,
            drain_deadline: zero,
            history_max: zero,
            history_bytes_max: 0,
            idle_users_max: 0,
        };
    });
    node.join(c(0), hello("ann"));
    assert_eq!(
        node.delivers(trade("ann", "{}")),
        ["deliver trade:executed e-0-1 {} to c0"]
    );
    assert_eq!(
        node.emit(c(0), watch(&["A"]))[0],
        "send c0 subscription:confirmed watchlist [A]"
    );
    assert_eq!(
        node.delivers(quote("A", "{}")),
        ["deliver quote:update A {} to c0"]
    );
    node.drain();
    node.gone(c(0));
    assert_eq!(
        node.done.iter().filter(|line| *line == "drained").count(),
        1
    );
}
