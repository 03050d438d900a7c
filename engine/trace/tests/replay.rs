//! What was recorded replays to the same effects and the same state, and nothing else does.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Node, SECRET, recording};
use tradewire_engine::Input;
use tradewire_engine::ids::ConnId;
use tradewire_trace::{Ending, Replay, ReplayError, Trace, TraceError, state_digest};

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn a_recording_replays_to_the_same_effects_and_state() {
    let mut node = Node::new(false);
    let segment = node.begin();
    node.live(40);
    let bytes = node.close(segment);
    assert!(contains(&bytes, SECRET));
    let mut replay = Replay::open(&bytes).unwrap();
    assert!(replay.run().unwrap() > 200);
    assert_eq!(replay.trace().ending(), Some(Ending::Closed));
    assert_eq!(*replay.engine(), node.engine);
}

#[test]
fn a_segment_that_begins_in_the_middle_replays_alone() {
    let mut node = Node::new(false);
    let first = node.begin();
    node.live(30);
    let first = node.close(first);
    let second = node.begin();
    node.live(30);
    let second = node.close(second);
    let mut before = Replay::open(&first).unwrap();
    before.run().unwrap();
    let mut replay = Replay::open(&second).unwrap();
    assert_eq!(before.trace().seq(), replay.trace().seq());
    assert_eq!(state_digest(before.engine()), replay.trace().state());
    replay.run().unwrap();
    assert_eq!(*replay.engine(), node.engine);
}

#[test]
fn a_masked_recording_has_no_texts_and_the_same_digests() {
    let (whole, masked) = (recording(false, 10), recording(true, 10));
    assert!(contains(&whole, SECRET) && !contains(&masked, SECRET));
    let digests = |bytes: &[u8]| {
        let mut trace = Trace::open(bytes).unwrap();
        let mut digests = vec![];
        while let Some(step) = trace.next_step().unwrap() {
            digests.push(step.digest.unwrap());
        }
        digests
    };
    assert_eq!(digests(&whole), digests(&masked));
    let state = |bytes: &[u8]| {
        let mut replay = Replay::open(bytes).unwrap();
        replay.run().unwrap();
        state_digest(replay.engine())
    };
    assert_eq!(state(&whole), state(&masked));
}

#[test]
fn a_masked_recording_begins_in_the_middle_without_texts_too() {
    let mut node = Node::new(true);
    node.live(30);
    node.encoder.take_block(Vec::new());
    let segment = node.begin();
    node.live(30);
    let bytes = node.close(segment);
    assert!(!contains(&bytes, SECRET));
    let mut replay = Replay::open(&bytes).unwrap();
    replay.run().unwrap();
    assert_eq!(state_digest(replay.engine()), state_digest(&node.engine));
}

#[test]
fn one_changed_byte_is_caught_wherever_it_is() {
    let bytes = recording(false, 1);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let caught = Replay::open(&changed)
            .map_err(ReplayError::from)
            .and_then(|mut replay| replay.run())
            .is_err();
        assert!(caught, "byte {at} of {} may change", bytes.len());
    }
}

#[test]
fn what_was_cut_off_is_told_and_the_rest_replays() {
    let bytes = recording(false, 4);
    let mut whole = Replay::open(&bytes).unwrap();
    let steps = whole.run().unwrap();
    let mut before = 0;
    for end in 0..bytes.len() {
        let cut = &bytes[..end];
        match Replay::open(cut) {
            Err(TraceError::Empty) => assert_eq!(before, 0, "{end}"),
            Err(error) => panic!("{end}: {error}"),
            Ok(mut replay) => {
                let now = replay.run().unwrap();
                assert!(now >= before && now <= steps, "{end}");
                before = now;
                match replay.trace().ending().unwrap() {
                    Ending::Closed => panic!("{end}: taken for whole"),
                    Ending::Open => {}
                    Ending::Torn { offset, bytes } => assert_eq!(offset + bytes, end),
                }
            }
        }
    }
    assert_eq!(before, steps, "only the end mark is missing");
}

#[test]
fn bytes_that_were_promised_and_not_written_are_cut_off() {
    let mut bytes = recording(false, 4);
    let end = bytes.len();
    bytes.truncate(end - 13);
    bytes.resize(end + 4_096, 0);
    let mut replay = Replay::open(&bytes).unwrap();
    replay.run().unwrap();
    let torn = Ending::Torn {
        offset: end - 13,
        bytes: 13 + 4_096,
    };
    assert_eq!(replay.trace().ending(), Some(torn));
}

#[test]
fn another_engine_is_found_out_at_the_step_where_it_differs() {
    // What an engine with a bug would have recorded: the effects of another input.
    let mut node = Node::new(false);
    let segment = node.begin();
    node.live(10);
    let conn = ConnId::new(0, 0);
    node.encoder.input(
        tradewire_engine::time::Timestamp::from_ms(node.now),
        &Input::Closed { conn },
    );
    node.encoder.effects(&tradewire_engine::Effects::new());
    let bytes = node.close(segment);
    let mut replay = Replay::open(&bytes).unwrap();
    match replay.run() {
        Err(ReplayError::Differs {
            seq,
            expected,
            came,
            ..
        }) => {
            assert_eq!(seq, replay.trace().seq());
            assert_ne!(expected, came);
            assert!(!replay.effects().list().is_empty(), "what came can be seen");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_input_from_which_the_engine_did_not_come_back_is_there() {
    let mut node = Node::new(false);
    let segment = node.begin();
    node.live(1);
    let conn = ConnId::new(0, 0);
    let now = tradewire_engine::time::Timestamp::from_ms(node.now);
    node.encoder.input(now, &Input::HandshakeStarted { conn });
    let bytes = node.close(segment);
    let mut replay = Replay::open(&bytes).unwrap();
    let error = replay.run().unwrap_err();
    assert!(
        matches!(&error, ReplayError::GaveUp { what, .. } if what.contains("slot")),
        "{error}"
    );
}

#[test]
fn a_slot_that_no_driver_would_name_asks_for_no_memory() {
    let mut node = Node::new(false);
    let segment = node.begin();
    let conn = ConnId::new(u32::MAX, 0);
    let now = tradewire_engine::time::Timestamp::from_ms(0);
    node.encoder.input(now, &Input::HandshakeStarted { conn });
    let bytes = node.close(segment);
    let error = Replay::open(&bytes).unwrap().run().unwrap_err();
    assert!(
        matches!(&error, ReplayError::GaveUp { what, .. } if what.contains("slots")),
        "{error}"
    );
}

#[test]
fn other_files_and_other_versions_are_named() {
    for (bytes, error) in [
        (&b""[..], TraceError::Empty),
        (b"TWTR", TraceError::Empty),
        (b"{\"json\":true}", TraceError::NotATrace),
        (b"\x7fELF", TraceError::NotATrace),
        (
            b"TWTRACE\x02rest",
            TraceError::Version { found: 2, known: 1 },
        ),
    ] {
        assert_eq!(Trace::open(bytes).unwrap_err(), error);
    }
}
