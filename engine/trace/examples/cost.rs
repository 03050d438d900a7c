//! What recording costs, on the inputs of a trace: `cargo run --release -p tradewire-trace --example cost -- FILE`.
//!
//! The engine is given the same inputs with and without an encoder beside it, in turns. Times are those on a
//! processor (Linux).

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use tradewire_engine::Effects;
use tradewire_trace::{Encoder, Replay, Step};

/// How often each is run; the quickest counts, since others share the machine.
const ROUNDS: u32 = 9;

const BLOCK_BYTES: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give a trace")?;
    let bytes = std::fs::read(path)?;
    let steps = {
        let mut replay = Replay::open(&bytes)?;
        let mut steps: Vec<Step> = Vec::new();
        while let Some(step) = replay.next_step()? {
            steps.push(step);
        }
        steps
    };
    let (mut alone, mut beside, mut replayed) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let mut size = 0;
    for _ in 0..ROUNDS {
        alone = alone.min(run(&bytes, steps.clone(), None)?);
        let mut encoder = Recorder::default();
        beside = beside.min(run(&bytes, steps.clone(), Some(&mut encoder))?);
        size = encoder.bytes;
        let begun = on_cpu()?;
        Replay::open(&bytes)?.run()?;
        replayed = replayed.min(on_cpu()?.saturating_sub(begun));
    }
    let count = steps.len() as f64;
    let each = |span: Duration| span.as_secs_f64() * 1e9 / count;
    writeln!(
        std::io::stdout(),
        "{count} inputs: engine {:.0} ns each, with recording {:.0} ns (+{:.0}), {:.1} bytes each; replay {:.0} inputs/s",
        each(alone),
        each(beside),
        each(beside) - each(alone),
        size as f64 / count,
        count / replayed.as_secs_f64(),
    )?;
    let engine = Replay::open(&bytes)?.engine().clone();
    let begun = on_cpu()?;
    black_box(engine.clone());
    writeln!(
        std::io::stdout(),
        "a copy of its first state: {:?}",
        on_cpu()?.saturating_sub(begun)
    )?;
    Ok(())
}

/// How long this thread has been on a processor: others may share the machine. The kernel counts when it looks at it.
fn on_cpu() -> Result<Duration, Box<dyn Error>> {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().ok_or("no schedstat")?.parse()?;
    Ok(Duration::from_nanos(ns))
}

struct Recorder {
    encoder: Encoder,
    bytes: usize,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            encoder: Encoder::new(false),
            bytes: 0,
        }
    }
}

fn run(
    bytes: &[u8],
    steps: Vec<Step>,
    mut recorder: Option<&mut Recorder>,
) -> Result<Duration, Box<dyn Error>> {
    let mut engine = Replay::open(bytes)?.engine().clone();
    let mut effects = Effects::new();
    let begun = on_cpu()?;
    for Step { now, input, .. } in steps {
        effects.clear();
        if let Some(recorder) = &mut recorder {
            recorder.encoder.input(now, &input);
        }
        engine.handle(now, input, &mut effects);
        if let Some(Recorder { encoder, bytes }) = recorder.as_deref_mut() {
            encoder.effects(&effects);
            if encoder.block_bytes() >= BLOCK_BYTES {
                *bytes += encoder.block_bytes();
                black_box(encoder.take_block(Vec::with_capacity(BLOCK_BYTES)));
            }
        }
    }
    Ok(on_cpu()?.saturating_sub(begun))
}
