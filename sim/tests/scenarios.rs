//! The named scenarios: each keeps its promises for several seeds and on the networks that can show it, and its
//! story is the one that was reviewed under `snapshots/`, whatever the seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Child, Command, Stdio};

use tradewire_sim::scenarios::{NetworkKind, Script};

/// The networks, and the seeds that are run there: the first one's story was reviewed, the others must tell the
/// same. Runs on the second network are fewer, to bear the time.
const RUNS: [(NetworkKind, &str, &[u64]); 2] = [
    (NetworkKind::Stack, "stack", &[1, 2, 3, 4]),
    (NetworkKind::Turmoil, "turmoil", &[1, 2]),
];

/// A run begins, in a process of its own.
fn begin(script: Script, network: &str, seed: u64) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
        .args(["run", "--story", "--scenario", script.name()])
        .args(["--network", network])
        .args(["--seed", &seed.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The story of a run that kept every promise. A story is short enough to wait in a pipe.
fn story(run: Child, what: &str) -> String {
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{what}:\n{said}{errors}");
    said
}

fn check(script: Script) {
    for (kind, network, seeds) in RUNS {
        if !script.can_be_on(kind) {
            continue;
        }
        // All are started before the first is waited for.
        let runs: Vec<(u64, Child)> = seeds
            .iter()
            .map(|seed| (*seed, begin(script, network, *seed)))
            .collect();
        let mut reviewed: Option<String> = None;
        for (seed, run) in runs {
            let what = format!("{} on {network}, seed {seed}", script.name());
            let told = story(run, &what);
            match &reviewed {
                None => {
                    compare(script, network, &told);
                    reviewed = Some(told);
                }
                Some(reviewed) => assert_eq!(*reviewed, told, "{what} tells another story"),
            }
        }
    }
}

fn compare(script: Script, network: &str, story: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../../snapshots/{}", script.name()));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(network, story));
}

#[test]
fn partition() {
    check(Script::Partition);
}

#[test]
fn reconnect_storm() {
    check(Script::ReconnectStorm);
}

#[test]
fn rolling_deploy() {
    check(Script::RollingDeploy);
}

#[test]
fn redis_outage() {
    check(Script::RedisOutage);
}

#[test]
fn slow_client() {
    check(Script::SlowClient);
}

#[test]
fn graceful_shutdown() {
    check(Script::GracefulShutdown);
}

#[test]
fn crash_with_leases() {
    check(Script::CrashWithLeases);
}

#[test]
fn session_revoked() {
    check(Script::SessionRevoked);
}

#[test]
fn every_script_is_checked() {
    let source = include_str!("scenarios.rs");
    for script in Script::ALL {
        assert!(
            source.contains(&format!("check(Script::{script:?});")),
            "{script:?}"
        );
    }
}
