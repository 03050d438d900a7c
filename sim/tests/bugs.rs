//! The bugs that are planted to see them found: each fits the sources as they are, and is described.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The patches, by name.
fn patches() -> Vec<(String, String)> {
    let mut patches = Vec::new();
    for level in ["engine", "server"] {
        for entry in fs::read_dir(top().join("sim/bugs").join(level)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            patches.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    patches
}

/// What each hunk of a patch takes the place of, with its file.
fn replaced(patch: &str) -> Vec<(&str, Vec<&str>)> {
    let mut hunks: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut file = "";
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path;
        } else if line.starts_with("@@ ") {
            hunks.push((file, Vec::new()));
        } else if line.starts_with("+++ ") || line.starts_with('+') {
            continue;
        } else if let Some((_, old)) = hunks.last_mut() {
            // A blank line of context may have lost its blank.
            old.push(line.strip_prefix([' ', '-']).unwrap_or(line));
        }
    }
    hunks
}

#[test]
fn every_planted_bug_fits_the_sources() {
    let patches = patches();
    assert!(patches.len() > 40);
    for (name, patch) in patches {
        let hunks = replaced(&patch);
        assert!(!hunks.is_empty(), "{name} plants nothing");
        for (file, old) in hunks {
            let source = fs::read_to_string(top().join(file)).unwrap();
            let lines: Vec<&str> = source.lines().collect();
            assert!(
                lines.windows(old.len()).any(|window| window == old),
                "{name} does not fit {file} any more"
            );
        }
    }
}

#[test]
fn every_planted_bug_is_in_the_table() {
    let readme = fs::read_to_string(top().join("sim/README.md")).unwrap();
    for (name, patch) in patches() {
        let words = patch.lines().next().unwrap();
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` | ")))
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(row.contains(words), "{name} is described otherwise: {row}");
    }
}
