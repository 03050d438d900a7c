//! Whatever a file holds, reading it ends with a clear word: no panic, no unbounded memory.
//!
//! Checksums keep damage out, not intent. So what is changed here gets checksums that fit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::sync::LazyLock;

use common::{Node, recording};
use proptest::prelude::*;
use tradewire_trace::Replay;
use xxhash_rust::xxh3::xxh3_64;

/// Recordings that begin with an engine that was given nothing, and with one that was given a lot.
static RECORDINGS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let mut node = Node::new(false);
    node.live(30);
    node.encoder.take_block(Vec::new());
    let segment = node.begin();
    node.live(3);
    [recording(false, 3), node.close(segment)]
});

const MAGIC_BYTES: usize = 8;
const HEAD_BYTES: usize = 13;

/// Where each frame's body is.
fn bodies(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut bodies = vec![];
    let mut at = MAGIC_BYTES;
    while let Some(head) = bytes.get(at..at + HEAD_BYTES) {
        let len = u32::from_le_bytes(head[1..5].try_into().unwrap()) as usize;
        bodies.push(at + HEAD_BYTES..at + HEAD_BYTES + len);
        at += HEAD_BYTES + len;
    }
    bodies
}

/// The recording with other bodies, and checksums that fit.
fn framed(kinds: &[u8], bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"TWTRACE\x01".to_vec();
    for (kind, body) in kinds.iter().zip(bodies) {
        let mut head = vec![*kind];
        head.extend((body.len() as u32).to_le_bytes());
        head.extend((xxh3_64(body) as u32).to_le_bytes());
        head.extend((xxh3_64(&head) as u32).to_le_bytes());
        bytes.extend(head);
        bytes.extend(body);
    }
    bytes
}

/// Reads all that there is. It may succeed: not every change is one for the worse.
fn read(bytes: &[u8]) {
    if let Ok(mut replay) = Replay::open(bytes) {
        let _ = replay.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), magic: bool) {
        let start = if magic { &b"TWTRACE\x01"[..] } else { &[] };
        read(&[start, &bytes].concat());
    }

    #[test]
    fn random_frames(kinds in proptest::collection::vec(1u8..6, 1..5), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bodies: Vec<_> = kinds.iter().map(|_| body.clone()).collect();
        read(&framed(&kinds, &bodies));
    }

    #[test]
    fn changed_bodies(
        which in 0usize..2,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let bytes = &RECORDINGS[which];
        let ranges = bodies(bytes);
        let mut kinds: Vec<u8> = ranges.iter().map(|body| bytes[body.start - HEAD_BYTES]).collect();
        let mut bodies: Vec<Vec<u8>> = ranges.into_iter().map(|body| bytes[body].to_vec()).collect();
        for (frame, at, byte, how) in changes {
            let frame = frame.index(bodies.len());
            let body = &mut bodies[frame];
            if body.is_empty() {
                continue;
            }
            let at = at.index(body.len());
            match how {
                // A huge length, if this is where one stands.
                0 => drop(body.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0x0f])),
                1 => body.truncate(at),
                2 => body[at] = byte,
                _ => {
                    let copy = bodies[frame].clone();
                    bodies.push(copy);
                    kinds.push(kinds[frame]);
                }
            }
        }
        read(&framed(&kinds, &bodies));
    }
}
