//! The engine's dependency list: the first fence around its purity.
//!
//! A crate is added here on purpose, after a look at whether it has IO, clocks, chance or threads.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeSet;
use std::process::Command;

/// What the engine may stand on, transitively. Procedural macros run at build time only.
const ALLOWED: [&str; 24] = [
    "cobs",
    "equivalent",
    "hashbrown",
    "indexmap",
    "itoa",
    "jiff",
    "jiff-core",
    "memchr",
    "postcard",
    "proc-macro2",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "siphasher",
    "smallvec",
    "smol_str",
    "syn",
    "thiserror",
    "thiserror-impl",
    "unicode-ident",
    "xxhash-rust",
    "zmij",
];

#[test]
fn the_engine_depends_on_nothing_but_pure_crates() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "tradewire-engine", "--prefix", "none"])
        .args(["--format", "{p}", "--locked"])
        .current_dir(tradewire_tests::top())
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    let found: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        found.contains("tradewire-engine"),
        "not a dependency tree: {tree}"
    );
    for forbidden in [
        "tokio",
        "rand",
        "redis",
        "socketioxide",
        "getrandom",
        "tracing",
    ] {
        assert!(
            !found.contains(forbidden),
            "the engine must not depend on {forbidden}"
        );
    }
    let allowed: BTreeSet<&str> = ALLOWED.into_iter().chain(["tradewire-engine"]).collect();
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(
        new.is_empty(),
        "new under the engine, look before you allow: {new:?}"
    );
}

#[test]
fn the_engine_has_no_std_and_no_unsafe_code() {
    let lib = std::fs::read_to_string(tradewire_tests::top().join("engine/src/lib.rs")).unwrap();
    for fence in [
        "#![no_std]",
        "#![forbid(unsafe_code)]",
        "clippy::disallowed_types",
    ] {
        assert!(lib.contains(fence), "engine/src/lib.rs lost {fence}");
    }
}
