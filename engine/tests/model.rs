//! The bare engine against a naive reference, over random sequences of everything that can happen:
//! clients that come, go, call and read at their own speed, a bus that answers late or not at all,
//! time that passes evenly or in jumps, drains and checkpoints.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more cases and for others; without them every run
//! is the same. A failure prints the shortest sequence found that fails, and the end of its story.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a harness that is used wrongly fails the test"
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
#[path = "model/reference.rs"]
mod reference;
#[path = "model/transition.rs"]
mod transition;
#[path = "model/world.rs"]
mod world;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tradewire_engine::Delivery;

use transition::Transition;
use world::World;

/// Enough for some ten thousand inputs within seconds.
const CASES: u32 = 40;

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
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(7);
    }
    let total = std::cell::Cell::new(0);
    let result = TestRunner::new(config).run(&transition::sequence(), |(subscribed, sequence)| {
        let delivery = if subscribed {
            Delivery::Subscribed
        } else {
            Delivery::All
        };
        let mut world = World::new(delivery);
        play(&mut world, &sequence).map_err(|fault| {
            let story = world.story.iter().rev().take(60).rev();
            let story: Vec<&str> = story.map(String::as_str).collect();
            TestCaseError::fail(format!("{fault}\n{}\n", story.join("\n")))
        })?;
        total.set(total.get() + world.inputs);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(
        total.get() > 5_000,
        "{} inputs are too few to mean much",
        total.get()
    );
}

fn play(world: &mut World, sequence: &[Transition]) -> Result<(), String> {
    for transition in sequence {
        world.story.push(format!("-- {transition:?}"));
        world.apply(transition)?;
    }
    world.settle()
}
