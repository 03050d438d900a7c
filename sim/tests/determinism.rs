//! One seed, one log: the same run in two processes gives the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::process::{Command, Stdio};
use std::thread;

/// Scenario, seed, network and number of clients, unless the scenario says that itself.
type Run = (&'static str, u64, &'static str, Option<u16>);

/// The logs of runs that go on at the same time.
fn logs<const N: usize>(runs: [Run; N]) -> [String; N] {
    let start = |(scenario, seed, network, clients): Run| {
        Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
            .args([
                "run",
                "--frames",
                "--scenario",
                scenario,
                "--network",
                network,
            ])
            .args(["--seed", &seed.to_string()])
            .args(clients.map(|clients| format!("--clients={clients}")))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // All are started before the first is waited for.
    let started = runs.map(start);
    let readers = started.map(|run| thread::spawn(move || run.wait_with_output().unwrap()));
    readers.map(|reader| {
        let output = reader.join().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_another_process() {
    let mut others: Vec<String> = Vec::new();
    for run in [
        ("small", 1, "stack", Some(20)),
        ("small", 2, "stack", Some(20)),
        ("small", 3, "turmoil", Some(20)),
        ("random", 4, "stack", Some(6)),
        ("random", 11, "stack", Some(6)),
        ("partition", 5, "turmoil", None),
        ("slow-client", 6, "stack", None),
    ] {
        let [one, two] = logs([run, run]);
        // A script does little, and waits for what comes of it.
        let least = if run.3.is_some() { 5_000 } else { 500 };
        assert!(one.lines().count() > least, "{run:?} did too little");
        let differing = one
            .lines()
            .zip(two.lines())
            .enumerate()
            .find(|(_, (one, two))| one != two);
        if let Some((number, (one, two))) = differing {
            panic!(
                "{run:?} differs first in line {}:\n{one}\n{two}",
                number + 1
            );
        }
        assert_eq!(one.len(), two.len(), "{run:?}: one goes on");
        assert!(!others.contains(&one), "{run:?}: another seed, another run");
        others.push(one);
    }
}
