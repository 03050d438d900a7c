//! That the interposed calls are those that the standard library, `rand` and tokio make, and that a
//! thread that is not simulated keeps the kernel's.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the clocks themselves are what is tested"
)]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngExt as _;
use tradewire_sim_entropy::{AlreadySimulated, Simulated};

const EPOCH: Duration = Duration::from_secs(1_700_000_000);

/// What a thread draws from each source of chance that the stack uses.
fn draws(seed: Option<u64>) -> (u64, u64, u64) {
    thread::spawn(move || {
        let _simulated = seed.map(|seed| Simulated::begin(seed, EPOCH).unwrap());
        let hash = RandomState::new().hash_one("x");
        (rand::rng().random(), rand::rng().random(), hash)
    })
    .join()
    .unwrap()
}

#[test]
fn the_same_seed_draws_the_same_and_another_does_not() {
    assert_eq!(draws(Some(1)), draws(Some(1)));
    let (one, two) = (draws(Some(1)), draws(Some(2)));
    assert!(one.0 != two.0 && one.1 != two.1 && one.2 != two.2);
}

#[test]
fn a_thread_that_is_not_simulated_draws_the_kernels_chance() {
    let _simulated = Simulated::begin(1, EPOCH).unwrap();
    assert_ne!(draws(None), draws(None));
}

#[test]
fn clocks_stand_until_they_are_set() {
    let simulated = Simulated::begin(1, EPOCH).unwrap();
    let (instant, wall) = (Instant::now(), SystemTime::now());
    thread::sleep(Duration::from_millis(2));
    assert_eq!((Instant::now(), SystemTime::now()), (instant, wall));
    assert_eq!(wall.duration_since(UNIX_EPOCH).unwrap(), EPOCH);

    let hour = Duration::from_secs(3_600);
    simulated.set_time(hour, EPOCH + 2 * hour);
    assert_eq!(Instant::now() - instant, hour);
    assert_eq!(SystemTime::now().duration_since(wall).unwrap(), 2 * hour);
}

#[test]
fn another_threads_clocks_go_on() {
    let _simulated = Simulated::begin(1, EPOCH).unwrap();
    let (before, after) = thread::spawn(|| {
        let before = SystemTime::now();
        thread::sleep(Duration::from_millis(2));
        (before, SystemTime::now())
    })
    .join()
    .unwrap();
    assert!(after > before);
    assert!(before.duration_since(UNIX_EPOCH).unwrap() > EPOCH);
}

#[test]
fn what_ends_gives_the_thread_back() {
    let simulated = Simulated::begin(1, EPOCH).unwrap();
    assert_eq!(Simulated::begin(2, EPOCH).unwrap_err(), AlreadySimulated);
    drop(simulated);
    let before = Instant::now();
    thread::sleep(Duration::from_millis(2));
    assert!(Instant::now() > before);
}

#[test]
fn a_paused_runtime_sleeps_without_the_threads_clock() {
    let _simulated = Simulated::begin(1, EPOCH).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let slept = runtime.block_on(async {
        let before = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(60)).await;
        before.elapsed()
    });
    assert_eq!(slept, Duration::from_secs(60));
}
