//! The simulated Redis against a real redis-server: the same commands, the same replies, byte for byte.
//!
//! Where Redis leaves something to time or chance, both are kept from it, and nothing is compared loosely
//! that could be exact:
//! - scripts read the time from two keys that the steps set, instead of `TIME`; one test runs them as they
//!   are and leaves out the digits of the time;
//! - ids that Redis makes are compared by the order in which they appear (`redis/sides.rs`), and streams
//!   are trimmed by bytes under ids that are given (`redis/trimming.rs`);
//! - lives are long or over at once, and what is left of them is rounded; one test waits for some to end;
//! - hashes keep their order however large they are (`redis/real.rs`), and of the patterns used no two
//!   match one channel (`redis/steps.rs`), since real ones have an order that is drawn at the start.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "redis/edges.rs"]
mod edges;
#[path = "redis/real.rs"]
mod real;
#[path = "redis/scripts.rs"]
mod scripts;
#[path = "redis/sides.rs"]
mod sides;
#[path = "redis/steps.rs"]
mod steps;
#[path = "redis/trimming.rs"]
mod trimming;
#[path = "redis/wire.rs"]
mod wire;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::{Builder, Runtime};

use crate::real::RealRedis;
use crate::sides::Sides;
use crate::steps::{KEYS, Step, Word};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    })
}

fn step(connection: usize, words: &[&str]) -> Step {
    let words = words
        .iter()
        .map(|word| Word::Text(word.as_bytes().to_vec()));
    Step {
        connection,
        words: words.collect(),
    }
}

async fn run(real: &RealRedis, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut sides = Sides::new(real, &scripts::on_set_time()).await?;
    for words in [
        ["SET", "now:s", "1700000000"],
        ["SET", "now:us", "123456"],
        // Always a text, for scripts that want something else.
        ["SET", "text", "1"],
    ] {
        sides.step(&step(0, &words)).await?;
    }
    for step in steps {
        sides.step(step).await?;
    }
    // Whatever was answered, both must have come to the same.
    for key in KEYS {
        for words in [
            &["GET", key][..],
            &["HGETALL", key],
            &["LINDEX", key, "0"],
            &["LINDEX", key, "-1"],
            &["XREAD", "STREAMS", key, "0"],
            &["PTTL", key],
        ] {
            sides.step(&step(2, words)).await?;
        }
    }
    sides.nobody_is_told().await
}

#[test]
fn any_commands_and_scripts_get_the_same_replies() {
    let (real, runtime) = (RealRedis::start(), runtime());
    runner(200)
        .run(&steps::steps(), |steps| {
            runtime.block_on(run(&real, &steps))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
