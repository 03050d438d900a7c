//! Rate limits: the window is exact, each user's and each call's its own.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::sync::Mutex;
use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::input::ChargeVerdict;
use tradewire_engine::limits::Limits;
use tradewire_engine::reason::Call;

use super::super::Codec;
use super::server::{Node, Redis, codec};
use super::{request, user};

const WINDOW_MS: u64 = 60_000;

async fn charge(node: &mut Node, name: &str, call: Call, admitted: bool) -> ChargeVerdict {
    let charge = BusRequest::Charge {
        request: request(),
        user: user(name),
        call,
        admitted,
    };
    match node.answer(&charge).await.input {
        Some(Input::Charged { verdict, .. }) => verdict,
        other => panic!("{other:?}"),
    }
}

/// Every admission there ever was: counts those of the window, and forgets nothing.
#[derive(Default)]
struct Naive(VecDeque<u64>);

impl Naive {
    fn charge(&mut self, now: u64, limit: usize, admitted: bool) -> ChargeVerdict {
        let wait = (0..=WINDOW_MS).find(|wait| {
            let then = now + wait;
            let recent = self.0.iter().filter(|at| then - **at < WINDOW_MS);
            recent.count() < limit
        });
        match wait {
            Some(wait) if wait > 0 && !admitted => ChargeVerdict::Refused {
                wait: Duration::from_millis(wait),
            },
            Some(_) | None => {
                self.0.push_back(now);
                ChargeVerdict::Admitted
            }
        }
    }
}

#[test]
fn the_window_admits_and_refuses_as_if_it_remembered_everything() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let redis = Redis::start();
    let limits = Limits {
        watchlist_calls_max: 3,
        ..Limits::default()
    };
    let mut codec = Codec::new(limits, 1, 1, 1);
    codec.scripts = codec.scripts.on_test_time();
    let node = Mutex::new(runtime.block_on(redis.node(codec)));
    let pause = prop_oneof![
        0..3_u64,
        0..30_000_u64,
        Just(WINDOW_MS - 1),
        Just(WINDOW_MS)
    ];
    let calls = prop::collection::vec((pause, prop::bool::weighted(0.2)), 1..40);
    let case = Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&calls, |calls| {
            case.set(case.get() + 1);
            let name = format!("user {}", case.get());
            let mut naive = Naive::default();
            let mut now = 1_800_000_000_000;
            for (pause, admitted) in calls {
                now += pause;
                let verdict = runtime.block_on(async {
                    let mut node = node.lock().await;
                    node.set_time(now).await;
                    charge(&mut node, &name, Call::Watchlist, admitted).await
                });
                prop_assert_eq!(verdict, naive.charge(now, 3, admitted));
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn users_and_calls_are_counted_apart_and_nodes_together() {
    let redis = Redis::start();
    let (mut one, mut other) = (redis.node(codec(1)).await, redis.node(codec(2)).await);
    let first = charge(&mut one, "1", Call::Trades, false).await;
    assert_eq!(first, ChargeVerdict::Admitted);
    let verdict = charge(&mut other, "1", Call::Trades, false).await;
    let ChargeVerdict::Refused { wait } = verdict else {
        panic!("{verdict:?}");
    };
    assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
    for (name, call) in [("1", Call::Portfolio), ("2", Call::Trades)] {
        let verdict = charge(&mut other, name, call, false).await;
        assert_eq!(verdict, ChargeVerdict::Admitted);
    }
    let kept = one.count(&["PTTL", "tradewire:{rate:1}:trades"]).await;
    assert!(kept <= WINDOW_MS, "{kept}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_locks_nobody_out_for_long() {
    let redis = Redis::start();
    let mut codec = codec(1);
    codec.scripts = codec.scripts.on_test_time();
    let mut node = redis.node(codec).await;
    node.set_time(1_800_000_000_000).await;
    charge(&mut node, "1", Call::Trades, false).await;
    node.set_time(1_800_000_000_000 - 3_600_000).await;
    let verdict = charge(&mut node, "1", Call::Trades, false).await;
    assert_eq!(verdict, ChargeVerdict::Admitted);
    let verdict = charge(&mut node, "1", Call::Trades, false).await;
    let wait = Duration::from_millis(WINDOW_MS);
    assert_eq!(verdict, ChargeVerdict::Refused { wait });
}

#[tokio::test]
async fn garbage_fails_or_is_pushed_out() {
    let redis = Redis::start();
    let mut node = redis.node(codec(1)).await;
    node.run(&["SET", "tradewire:{rate:1}:trades", "garbage"])
        .await;
    let verdict = charge(&mut node, "1", Call::Trades, false).await;
    assert_eq!(verdict, ChargeVerdict::Failed);
    node.run(&["RPUSH", "tradewire:{rate:2}:trades", "x", "nan", "inf"])
        .await;
    let verdict = charge(&mut node, "2", Call::Trades, false).await;
    assert_eq!(verdict, ChargeVerdict::Admitted);
    assert_eq!(node.count(&["LLEN", "tradewire:{rate:2}:trades"]).await, 1);
}
