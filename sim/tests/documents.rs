//! Random runs as documents: what is left out moves nothing else, and the same document is the same run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const SEED: u64 = 4;

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
        .args(args)
        .output()
        .unwrap()
}

/// A file with a run of a few clients that leaves something out.
fn document(name: &str, without: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = format!(
        r#"{{"words":"{name}","seed":{SEED},"clients":6,"busy_ms":15000,"without":{{{without}}}}}"#
    );
    fs::write(&path, text).unwrap();
    path
}

fn log(name: &str, without: &str) -> String {
    let path = document(name, without);
    let ran = sim(&[
        "run",
        "--scenario",
        "random",
        "--script",
        path.to_str().unwrap(),
    ]);
    let log = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{log}");
    log
}

#[test]
fn what_is_left_out_moves_nothing_else() {
    let whole = log("whole", "");
    let others = r#""clients":"0..2, 4","calls":"0..","items":"3..40, 60..""#;
    let left = log("left", others);
    assert!(whole.contains("\"id\":\"k39\"") && whole.contains(" c00 "));
    assert!(!left.contains("\"id\":\"k39\"") && !left.contains(" c00 "));
    let begun = |log: &str| -> Vec<String> {
        let lines = log.lines().filter(|line| line.contains("world    == "));
        let begun = lines.filter(|line| !line.contains("over:"));
        begun.map(str::to_owned).collect()
    };
    assert!(begun(&whole).len() > 2, "too little goes wrong");
    assert_eq!(begun(&whole), begun(&left));
    for item in [1, 2, 40, 59] {
        assert_eq!(published(&whole, item), published(&left, item));
    }
}

/// What was published as an item: when it arrives depends on what its publisher does beside.
fn published(log: &str, item: u32) -> &str {
    let (begins, ends) = (format!("\"n\":{item},"), format!("\"id\":\"k{item}\""));
    let from = log.find(&begins).unwrap();
    let to = log[from..].find(&ends).unwrap();
    &log[from..from + to]
}

#[test]
fn a_document_is_one_run_in_any_process() {
    let without = r#""nodes":"0","clients":"1..3","items":"7.."#.to_owned() + "\"";
    assert!(
        log("one", &without) == log("one", &without),
        "two logs of one run"
    );
}

#[test]
fn what_is_no_run_is_refused() {
    for (name, without) in [("none", r#""nodes":"0..""#), ("odd", r#""calls":"2..1""#)] {
        let path = document(name, without);
        let path = path.to_str().unwrap();
        for args in [
            &["run", "--scenario", "random", "--script", path][..],
            &["shrink", "--level", "server", "--script", path],
        ] {
            assert_eq!(sim(args).status.code(), Some(2), "{args:?}");
        }
    }
}
