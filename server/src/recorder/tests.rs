//! What becomes of a recording when it cannot be written as fast as it grows, and when the engine gives up.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tradewire_engine::ids::ConnId;
use tradewire_engine::limits::Limits;
use tradewire_engine::{BusKind, Config, Delivery};
use tradewire_trace::{Ending, Replay, ReplayError, Segment};

use super::*;

/// A clock that stands.
#[derive(Clone, Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }

    fn instant(&self, _: Timestamp) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_ms(7)
    }
}

/// What a sink holds, and whether it takes more.
#[derive(Default)]
struct Held {
    full: bool,
    segments: Vec<Segment<Vec<u8>>>,
}

struct Shelf(Arc<Mutex<Held>>);

impl TraceSink for Shelf {
    fn has_room(&self) -> bool {
        !self.0.lock().unwrap().full
    }

    fn offer(&mut self, chunk: Chunk) -> bool {
        let mut held = self.0.lock().unwrap();
        if held.full {
            return false;
        }
        match chunk {
            Chunk::Begin(header, start) => {
                let segment = Segment::begin(Vec::new(), &header, &start).unwrap();
                held.segments.push(segment);
            }
            Chunk::Block(block) => held.segments.last_mut().unwrap().block(&block).unwrap(),
            Chunk::End => held.segments.last_mut().unwrap().end().unwrap(),
        }
        true
    }

    fn finish(&mut self) {}
}

struct Node {
    engine: Engine,
    recorder: Recorder<Still>,
    held: Arc<Mutex<Held>>,
    effects: Effects,
}

impl Node {
    fn new(segment_bytes_max: u64) -> Self {
        let config = Config {
            limits: Limits::default(),
            delivery: Delivery::All,
            bus: BusKind::Embedded,
            seed: 1,
            instance: 2,
        };
        let held = Arc::new(Mutex::new(Held::default()));
        let recording = Recording {
            sink: Box::new(Shelf(Arc::clone(&held))),
            node: "node".to_owned(),
            masked: false,
            segment_bytes_max,
        };
        Self {
            engine: Engine::new(config).unwrap(),
            recorder: Recorder::new(recording, Still, Arc::new(Metrics::new(None))),
            held,
            effects: Effects::new(),
        }
    }

    fn knock(&mut self, ms: u64, slot: u32) {
        let now = Timestamp::from_ms(ms);
        let conn = ConnId::new(slot, 0);
        let input = Input::HandshakeStarted { conn };
        self.effects.clear();
        self.recorder.input(now, &input, &self.engine);
        self.engine.handle(now, input, &mut self.effects);
        self.recorder.effects(now, &self.effects);
    }

    fn flush(&mut self, ms: u64) {
        self.recorder.flush(Timestamp::from_ms(ms));
    }

    fn full(&self, full: bool) {
        self.held.lock().unwrap().full = full;
    }

    /// The bytes of each segment.
    fn segments(&self) -> Vec<Vec<u8>> {
        let mut held = self.held.lock().unwrap();
        let segments = held.segments.iter_mut();
        segments.map(|segment| segment.out().clone()).collect()
    }
}

#[test]
fn a_record_waits_a_second_at_most() {
    let mut node = Node::new(1_000_000);
    node.knock(10, 0);
    node.knock(500, 1);
    assert_eq!(
        node.recorder.flush_at(),
        Some(Timestamp::from_ms(1_010)),
        "counted from the first that waits"
    );
    node.flush(1_010);
    assert_eq!(node.recorder.flush_at(), None);
    assert_eq!(Replay::open(&node.segments()[0]).unwrap().run(), Ok(2));
}

#[test]
fn what_cannot_be_written_is_a_hole_that_is_counted_and_told() {
    let mut node = Node::new(1_000_000);
    node.knock(0, 0);
    node.flush(1_000);
    node.full(true);
    node.knock(1_500, 1);
    node.knock(1_600, 2);
    node.flush(2_500);
    node.knock(3_000, 3);
    node.full(false);
    node.knock(7_499, 4);
    assert_eq!(
        node.segments().len(),
        1,
        "a disk that was too slow gets time"
    );
    node.knock(7_500, 5);
    node.recorder.finish(Timestamp::from_ms(8_000));
    let segments = node.segments();
    assert_eq!(segments.len(), 2);
    let mut before = Replay::open(&segments[0]).unwrap();
    assert_eq!(before.run(), Ok(1));
    let mut behind = Replay::open(&segments[1]).unwrap();
    assert_eq!((behind.trace().lost(), behind.trace().seq()), (4, 5));
    assert_eq!(behind.run(), Ok(1));
    assert_eq!(behind.trace().ending(), Some(Ending::Closed));
    assert_eq!(*behind.engine(), node.engine);
    let metrics = &node.recorder.metrics.record;
    assert_eq!((metrics.holes.get(), metrics.lost.get()), (1, 4));
}

#[test]
fn a_disk_without_room_from_the_start_is_one_hole() {
    let mut node = Node::new(1_000_000);
    node.full(true);
    for second in 0..20 {
        node.knock(second * 1_000, second as u32);
    }
    assert!(node.segments().is_empty());
    let metrics = &node.recorder.metrics.record;
    assert_eq!((metrics.holes.get(), metrics.lost.get()), (1, 20));
}

#[test]
fn a_segment_that_is_large_enough_is_followed_by_another() {
    let mut node = Node::new(1);
    for slot in 0..3 {
        node.knock(u64::from(slot), slot);
        node.flush(u64::from(slot));
    }
    let segments = node.segments();
    assert_eq!(segments.len(), 3);
    for (number, bytes) in (0..).zip(&segments) {
        let mut replay = Replay::open(bytes).unwrap();
        assert_eq!(replay.trace().header().segment, number);
        assert_eq!(replay.run(), Ok(1));
    }
}

#[test]
fn the_input_from_which_the_engine_did_not_come_back_is_written() {
    let mut node = Node::new(1_000_000);
    node.knock(0, 0);
    let held = Arc::clone(&node.held);
    let gave_up = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        // The slot is taken: the engine's contract is broken.
        node.knock(5, 0);
    }));
    assert!(gave_up.is_err());
    let bytes = held.lock().unwrap().segments[0].out().clone();
    let mut replay = Replay::open(&bytes).unwrap();
    assert!(matches!(
        replay.run(),
        Err(ReplayError::GaveUp { seq: 2, .. })
    ));
}
