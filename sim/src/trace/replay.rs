//! `replay`: runs the engine again on what it was given, and compares what it says step by step.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::time::Instant;
use tradewire_engine::time::Timestamp;
use tradewire_trace::{Replay, ReplayError, Step, Trace, TraceError, state_digest};

use super::facets::{self, Facets};
use super::{CRASHED, DIFFERS, UNREADABLE, files, lines};

/// What to replay, and how far.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    /// A trace, or a directory of them.
    trace: PathBuf,
    /// Stop after this step.
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Stop before the first step later than this: seconds since the node began, as in 12.5
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    at: Option<Timestamp>,
    /// Print the engine's state where the replay stops.
    #[arg(long)]
    dump_state: bool,
    /// Stop after the first step of this kind: refused, limited, conflated, degraded, or any kind of
    /// input, effect or note
    #[arg(long, value_name = "KIND", value_parser = Kinds::parse)]
    break_on: Option<Kinds>,
}

/// Kinds that stand for what was asked.
#[derive(Clone, Debug)]
pub(super) struct Kinds(pub(super) Vec<String>);

impl Kinds {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        facets::kind(text).map(Self)
    }

    pub(super) fn any_of(&self, facets: &Facets) -> bool {
        self.0.iter().any(|kind| facets.kinds.contains(kind))
    }
}

fn seconds(text: &str) -> Result<Timestamp, String> {
    let wrong = || "give seconds, as in 12 or 12.345".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u64 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    let ms = whole.checked_mul(1_000).and_then(|ms| ms.checked_add(part));
    ms.map(Timestamp::from_ms).ok_or_else(wrong)
}

/// Where a life of a node had come to at a segment's end.
struct Reached {
    life: u64,
    seq: u64,
    state: u64,
}

/// What was done so far.
#[derive(Default)]
struct Done {
    steps: u64,
    segments: u64,
    reached: Option<Reached>,
}

/// How a segment came to its end.
enum Outcome {
    /// It was replayed to its end.
    Through,
    /// It was replayed as far as was asked.
    Stopped,
    /// It could not be; with the exit code.
    Failed(u8),
}

/// Replays and tells what it found. The answer is the exit code.
///
/// # Errors
/// When nothing can be written to `out`.
pub fn replay(arguments: &ReplayArguments, out: &mut dyn Write) -> io::Result<u8> {
    let files = match files::segments(&arguments.trace) {
        Ok(files) => files,
        Err(error) => return tell(out, &error, UNREADABLE),
    };
    let begun = Instant::now();
    let mut done = Done::default();
    for file in files {
        match segment(arguments, &file, &mut done, out)? {
            Outcome::Through => {}
            Outcome::Stopped => break,
            Outcome::Failed(code) => return Ok(code),
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let speed = done.steps as f64 / took.max(1e-9);
    writeln!(
        out,
        "replayed {} steps of {} segments: every digest is the one that was recorded ({took:.2} s, {speed:.0} steps/s)",
        done.steps, done.segments
    )?;
    Ok(0)
}

fn tell(out: &mut dyn Write, error: &dyn std::fmt::Display, code: u8) -> io::Result<u8> {
    writeln!(out, "{error}")?;
    Ok(code)
}

fn segment(
    arguments: &ReplayArguments,
    file: &Path,
    done: &mut Done,
    out: &mut dyn Write,
) -> io::Result<Outcome> {
    let bytes = match files::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return tell(out, &error, UNREADABLE).map(Outcome::Failed),
    };
    let name = file.display();
    let mut replay = match Replay::open(&bytes) {
        Ok(replay) => replay,
        Err(error @ TraceError::Empty) => {
            writeln!(out, "{name}: {error}")?;
            return Ok(Outcome::Through);
        }
        Err(error) => {
            return tell(out, &format!("{name}: {error}"), UNREADABLE).map(Outcome::Failed);
        }
    };
    writeln!(out, "{name}: {}", lines::segment(replay.trace()))?;
    if let Some(code) = follows(done.reached.as_ref(), replay.trace(), out)? {
        return Ok(Outcome::Failed(code));
    }
    done.segments += 1;
    let first = replay.trace().seq() + 1;
    let stopped = match steps(arguments, &mut replay, &bytes, done, out)? {
        Ok(stopped) => stopped,
        Err(code) => return Ok(Outcome::Failed(code)),
    };
    let (last, now) = (replay.trace().seq(), replay.trace().now());
    let state = state_digest(replay.engine());
    if stopped {
        writeln!(out, "  stopped after #{last} at {now}, state {state:016x}")?;
        if arguments.dump_state {
            writeln!(out, "{}", lines::plain(&format!("{:#?}", replay.engine())))?;
        }
        return Ok(Outcome::Stopped);
    }
    let ending = lines::ending(replay.trace().ending());
    writeln!(
        out,
        "  #{first} to #{last}, at {now}, state {state:016x}; {ending}"
    )?;
    if arguments.dump_state {
        writeln!(out, "{}", lines::plain(&format!("{:#?}", replay.engine())))?;
    }
    done.reached = Some(Reached {
        life: replay.trace().header().config.instance,
        seq: last,
        state,
    });
    Ok(Outcome::Through)
}

/// Holds a segment's beginning against the end of the one before.
fn follows(
    reached: Option<&Reached>,
    trace: &Trace<'_>,
    out: &mut dyn Write,
) -> io::Result<Option<u8>> {
    let Some(reached) = reached.filter(|reached| reached.life == trace.header().config.instance)
    else {
        return Ok(None);
    };
    if trace.seq() != reached.seq {
        let missing = trace.seq().saturating_sub(reached.seq);
        writeln!(out, "  {missing} steps before it are missing")?;
        return Ok(None);
    }
    if trace.state() == reached.state {
        return Ok(None);
    }
    writeln!(
        out,
        "  it begins with state {:016x}, and the segment before came to {:016x}",
        trace.state(),
        reached.state
    )?;
    Ok(Some(DIFFERS))
}

/// Goes through the steps; whether it stopped before the end, or with which exit code.
fn steps(
    arguments: &ReplayArguments,
    replay: &mut Replay<'_>,
    bytes: &[u8],
    done: &mut Done,
    out: &mut dyn Write,
) -> io::Result<Result<bool, u8>> {
    loop {
        if arguments.to.is_some_and(|to| replay.trace().seq() >= to) {
            return Ok(Ok(true));
        }
        let step = match replay.next_step() {
            Ok(Some(step)) => step,
            Ok(None) => return Ok(Ok(false)),
            Err(error) => return tell(out, &format!("  {error}"), UNREADABLE).map(Err),
        };
        if arguments.at.is_some_and(|at| step.now > at) {
            return Ok(Ok(true));
        }
        let facets = arguments
            .break_on
            .as_ref()
            .map(|_| Facets::of_input(&step.input));
        let (seq, recorded) = (step.seq, step.digest.is_some());
        if let Err(error) = replay.apply(step) {
            let again = step_of(bytes, seq);
            return fail(&error, again.as_ref(), recorded, replay, out).map(Err);
        }
        done.steps += 1;
        if let (Some(kinds), Some(mut facets)) = (&arguments.break_on, facets) {
            facets.add_effects(replay.effects());
            if kinds.any_of(&facets) {
                if let Some(step) = step_of(bytes, seq) {
                    let input = lines::input(seq, step.now, &step.input);
                    writeln!(out, "{input}{}", lines::effects(replay.effects()))?;
                }
                return Ok(Ok(true));
            }
        }
    }
}

/// Reads a step again: the engine has taken its input.
fn step_of(bytes: &[u8], seq: u64) -> Option<Step> {
    let mut trace = Trace::open(bytes).ok()?;
    loop {
        let step = trace.next_step().ok()??;
        if step.seq == seq {
            return Some(step);
        }
    }
}

fn fail(
    error: &ReplayError,
    step: Option<&Step>,
    recorded: bool,
    replay: &Replay<'_>,
    out: &mut dyn Write,
) -> io::Result<u8> {
    writeln!(out, "  {error}")?;
    if let Some(step) = step {
        let input = lines::input(step.seq, step.now, &step.input);
        writeln!(out, "  given: {input}")?;
    }
    Ok(match error {
        ReplayError::Differs { .. } => {
            let came = lines::effects(replay.effects());
            writeln!(out, "  came: {}", came.trim_start_matches(" => "))?;
            DIFFERS
        }
        ReplayError::GaveUp { .. } if recorded => {
            writeln!(out, "  when it was recorded the engine went on")?;
            DIFFERS
        }
        ReplayError::GaveUp { .. } => {
            writeln!(out, "  so it did when it was recorded")?;
            CRASHED
        }
        ReplayError::Trace(_) => UNREADABLE,
    })
}
