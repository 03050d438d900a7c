//! What the command line answers, by its exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn a_wrong_call_is_told_apart_from_a_finding() {
    for args in [
        &["swarm", "--seeds", "5..5"][..],
        &["swarm", "--seeds", "x"],
        &["run"],
        &["run", "--seed", "-1"],
        &["run", "--seed", "1", "--scenario", "nothing"],
        &["run", "--seed", "1", "--scenario", "small", "--story"],
        &[
            "run",
            "--seed",
            "1",
            "--scenario",
            "partition",
            "--clients=3",
        ],
        &[
            "run",
            "--seed",
            "1",
            "--scenario",
            "random",
            "--network=turmoil",
        ],
        &[
            "run",
            "--seed",
            "1",
            "--scenario",
            "slow-client",
            "--network=turmoil",
        ],
    ] {
        assert_eq!(sim(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_small_swarm_is_green_and_tells_what_it_came_into() {
    let swarm = sim(&["swarm", "--level", "engine", "--seeds", "0..12"]);
    let text = String::from_utf8(swarm.stdout).unwrap();
    assert_eq!(swarm.status.code(), Some(0), "{text}");
    assert!(text.starts_with("12 runs, "), "{text}");
    assert!(text.contains("a connection was congested"), "{text}");
}

#[test]
fn levels_and_situations_are_listed() {
    let list = String::from_utf8(sim(&["list"]).stdout).unwrap();
    assert!(
        list.contains("level engine") && list.contains("a gap in the log was told"),
        "{list}"
    );
}
