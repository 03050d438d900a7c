//! The sources themselves: sizes, heads, leftovers, and that the README names every setting.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The longest a source file may be, in lines.
const LINES_MAX: usize = 600;

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in ["engine", "server", "sim", "tests"] {
        collect(&tradewire_tests::top().join(folder), &mut files);
    }
    assert!(files.len() > 40, "only {} files found", files.len());
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if name != "node_modules" && name != "target" {
                collect(&path, files);
            }
        } else if [".rs", ".mjs", ".ts", ".tsx", ".css"]
            .iter()
            .any(|extension| name.ends_with(extension))
        {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path, text));
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "split by purpose: {long:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| {
            !["//!", "// ", "#!", "/*"]
                .iter()
                .any(|head| text.starts_with(head))
        })
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no head comment: {silent:?}");
}

#[test]
fn nothing_is_left_behind() {
    // In pieces, so that this file does not find itself.
    let leftovers = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["#[ig", "nore"],
    ];
    for (path, text) in sources() {
        for leftover in leftovers.map(|pieces| pieces.concat()) {
            assert!(
                !text.contains(&leftover),
                "{} has {leftover}",
                path.display()
            );
        }
    }
}

#[test]
fn the_readme_names_every_setting() {
    let readme = fs::read_to_string(tradewire_tests::top().join("README.md")).unwrap();
    let help = tradewire_server::config::parse(["--help".into()], |_| None).unwrap_err();
    let help = help.to_string();
    let mut settings = 0;
    for word in help
        .split(['<', '>'])
        .filter(|word| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    {
        settings += 1;
        assert!(
            readme.contains(&format!("`{word}`")),
            "the README does not name {word}"
        );
    }
    assert!(settings > 40, "only {settings} settings found in the help");
}
