//! Runs that failed once: each keeps what was promised now, and would not if its bug came back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;

use tradewire_sim_engines::engines::{self, Script, Story};

fn golden() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../snapshots/shrunk");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.collect();
    paths.sort();
    paths
}

#[test]
fn what_failed_once_does_not_again() {
    let paths = golden();
    assert!(!paths.is_empty());
    for path in paths {
        let script = Script::read(&fs::read_to_string(&path).unwrap()).unwrap();
        let outcome = engines::run(script, Story::silent());
        assert_eq!(outcome.verdict, Ok(()), "{}", path.display());
        assert!(outcome.inputs > 0);
    }
}

#[test]
fn a_document_that_is_no_run_is_refused_in_words() {
    let text = fs::read_to_string(&golden()[0]).unwrap();
    let refused = |text: &str| Script::read(text).unwrap_err().to_string();
    assert!(refused("{}").contains("missing field"));
    assert!(refused(&text[..text.len() / 2]).contains("EOF"));
    let starts = "\"starts_at\":";
    assert!(refused(&text.replacen(starts, "\"starts_at\":9999999", 1)).contains("after the end"));
    assert!(
        refused(&text.replacen(
            "\"acts\": [",
            "\"acts\": [{\"at\":0,\"do\":{\"Cut\":{\"place\":77,\"ms\":1}}},",
            1
        ))
        .contains("place")
    );
    let limits = "\"limits\": {\"nonsense\":1}";
    let named = refused(&text.replacen("\"limits\": {}", limits, 1));
    assert!(named.contains("nonsense"), "{named}");
}
