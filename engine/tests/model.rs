//! The bare engine against a naive reference, over random sequences of everything that can happen:
//! clients that come, go, call and read at their own speed, a bus of its own whose three ways are slow,
//! time that passes evenly or in jumps, drains and checkpoints. A bus that is shared, and fails, is in
//! `shared_model.rs`.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more cases and for others; without them every run
//! is the same. A failure prints the shortest sequence found that fails, and the end of its story.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a harness that is used wrongly fails the test"
)]
#![allow(
    clippy::disallowed_types,
    reason = "the runner calls a Fn, and what it reached is counted across its calls"
)]

mod common;

/// Ends a check with a message unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

#[path = "model/assertions.rs"]
mod assertions;
#[path = "model/calls.rs"]
mod calls;
#[path = "model/clients.rs"]
mod clients;
#[path = "model/outboxes.rs"]
mod outboxes;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/transition.rs"]
mod transition;
#[path = "model/world.rs"]
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tradewire_engine::Delivery;

use transition::Transition;
use world::World;

/// A run that did not reach these would prove little.
const REACHED: [&str; 30] = [
    "accepted",
    "all measured",
    "busy",
    "congested",
    "conflated",
    "connect_rate",
    "draining",
    "drained",
    "flood",
    "full",
    "handshake_timeout",
    "handshakes_full",
    "left",
    "malformed_user",
    "no_session",
    "no_user",
    "rate limited",
    "recovered",
    "recovered over the outbox",
    "replaced",
    "session_store",
    "slow_log",
    "slow_time",
    "slow_total",
    "timed out",
    "too_many_connections",
    "uncongested",
    "unknown_session",
    "unrecovered",
    "user_mismatch",
];

/// Enough for some eighty thousand inputs within seconds.
const CASES: u32 = 150;

#[test]
fn the_engine_keeps_its_guarantees_whatever_happens() {
    let asked = Config::default();
    let mut config = Config {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..asked
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "proptest's default cannot be told from the same number asked for"
    )]
    if std::env::var("PROPTEST_CASES").is_err() {
        config.cases = CASES;
    }
    let usual = config.cases == CASES && config.rng_seed == RngSeed::Random;
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(7);
    }
    let (total, kinds) = (Cell::new(0), RefCell::new(BTreeMap::new()));
    let result = TestRunner::new(config).run(&transition::sequence(), |(subscribed, sequence)| {
        let delivery = if subscribed {
            Delivery::Subscribed
        } else {
            Delivery::All
        };
        let mut world = World::new(delivery);
        // A panic of the engine is a fault like any other, and its story is wanted too.
        let played = catch_unwind(AssertUnwindSafe(|| play(&mut world, &sequence)));
        let played = played.unwrap_or_else(|_| Err("it panicked".into()));
        played.map_err(|fault| {
            let story = world.story.iter().rev().take(60).rev();
            let story: Vec<&str> = story.map(String::as_str).collect();
            TestCaseError::fail(format!("{fault}\n{}\n", story.join("\n")))
        })?;
        total.set(total.get() + world.inputs);
        for (kind, count) in &world.kinds {
            *kinds.borrow_mut().entry(*kind).or_insert(0) += count;
        }
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(fault, (subscribed, sequence))) => {
            let lines: Vec<String> = sequence.iter().map(|step| format!("{step:?}")).collect();
            panic!(
                "{fault}\nsubscribed only: {subscribed}\n{}",
                lines.join("\n")
            );
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
    if usual {
        let kinds = kinds.into_inner();
        for kind in REACHED {
            assert!(kinds.contains_key(kind), "no {kind} among {kinds:?}");
        }
        assert!(total.get() > 50_000, "{} inputs prove little", total.get());
    }
}

fn play(world: &mut World, sequence: &[Transition]) -> Result<(), String> {
    for transition in sequence {
        world.story.push(format!("-- {transition:?}"));
        world.apply(transition)?;
    }
    world.settle()
}
