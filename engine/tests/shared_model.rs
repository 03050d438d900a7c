//! The bare engine on a bus that is shared with others and fails: answers that are late or lost, a
//! contact that comes and goes, data that is lost or trimmed, and other nodes that publish and connect.
//!
//! What each input brings is not foretold here; held against the guarantees is what every client was
//! sent, and that everyone is up to date and nothing owed once faults have stopped. As in `model.rs`,
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more cases and for others.

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

#[path = "shared_model/answers.rs"]
mod answers;
#[path = "shared_model/cluster.rs"]
mod cluster;
#[path = "shared_model/deliveries.rs"]
mod deliveries;
#[path = "shared_model/oracle.rs"]
mod oracle;
#[path = "model/outboxes.rs"]
mod outboxes;
#[path = "shared_model/transition.rs"]
mod transition;
#[path = "shared_model/world.rs"]
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tradewire_engine::Delivery;

use transition::Transition;
use world::World;

/// A run that did not reach these would prove little.
const REACHED: [&str; 28] = [
    "bus lost",
    "bus reached",
    "closed replaced",
    "closed slow_log",
    "conflated",
    "congested",
    "degraded",
    "emitted lost",
    "excess",
    "handed over",
    "held",
    "intake on",
    "log gap",
    "probe",
    "rate limited",
    "recovered",
    "recovered late",
    "refused full",
    "released",
    "resumed in vain",
    "session gone",
    "stale",
    "taken in whole",
    "timed out",
    "unavailable",
    "uncongested",
    "unrecovered",
    "waiting behind a call",
];

const CASES: u32 = 200;

#[test]
fn the_engine_keeps_its_guarantees_whatever_happens_to_the_bus() {
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
            let story = world.story.iter().rev().take(120).rev();
            let story: Vec<&str> = story.map(String::as_str).collect();
            TestCaseError::fail(format!("{fault}\n{}\n", story.join("\n")))
        })?;
        total.set(total.get() + world.inputs);
        for (kind, count) in &world.oracle.kinds {
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
        let kinds: BTreeMap<&str, u64> = kinds.into_inner();
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
