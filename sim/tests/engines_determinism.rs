//! G10: the same seed tells the same story, byte for byte, in two processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

fn story(seed: &str) -> Vec<u8> {
    let run = Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
        .args(["run", "--level", "engine", "--frames", "--seed", seed])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "seed {seed}");
    run.stdout
}

#[test]
fn a_seed_tells_the_same_story_in_two_processes() {
    for seed in ["0", "7", "11"] {
        let (one, two) = (story(seed), story(seed));
        assert!(
            one.len() > 10_000,
            "seed {seed} tells too little to compare"
        );
        assert!(one == two, "seed {seed} tells two stories");
    }
}

#[test]
fn seeds_tell_different_stories() {
    assert!(story("0") != story("7"));
}
