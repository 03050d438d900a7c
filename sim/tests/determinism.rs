//! One seed, one log: the same run in two processes gives the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::process::Command;

fn log(seed: u64, network: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
        .args(["run", "--scenario", "small", "--network", network])
        .args(["--seed", &seed.to_string()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_another_process() {
    for (seed, network) in [(1, "stack"), (2, "stack"), (3, "stack"), (4, "turmoil")] {
        let (one, two) = (log(seed, network), log(seed, network));
        assert!(one.lines().count() > 5_000, "seed {seed} did too little");
        let differing = one
            .lines()
            .zip(two.lines())
            .enumerate()
            .find(|(_, (one, two))| one != two);
        if let Some((number, (one, two))) = differing {
            panic!(
                "seed {seed} differs first in line {}:\n{one}\n{two}",
                number + 1
            );
        }
        assert_eq!(one.len(), two.len(), "seed {seed}: one goes on");
    }
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(log(1, "stack"), log(2, "stack"));
}
