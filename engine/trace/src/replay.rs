//! Running a segment again, and comparing what the engine says with what it said.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tradewire_engine::time::Timestamp;
use tradewire_engine::{Effects, Engine, Input};

use crate::digest::{Digest, state_digest};
use crate::error::TraceError;
use crate::read::{Step, Trace};

/// Why a replay cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The engine gave up: the node's driver broke its contract, or the trace was made up. A node that was
    /// recorded up to such an input ended there, too.
    #[error("step {seq} at {now} (byte {offset}): the engine gave up: {what}")]
    GaveUp {
        /// The step.
        seq: u64,
        /// Its time.
        now: Timestamp,
        /// Where it stands.
        offset: usize,
        /// What the engine said.
        what: String,
    },
    /// The engine says something else than it did.
    #[error(
        "step {seq} at {now} (byte {offset}): the digest of the effects is {came:08x}, {expected:08x} was recorded"
    )]
    Differs {
        /// The step.
        seq: u64,
        /// Its time.
        now: Timestamp,
        /// Where it stands.
        offset: usize,
        /// The digest that was recorded.
        expected: u32,
        /// The digest that came.
        came: u32,
    },
    /// The trace cannot be read on.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// An engine that is given again what it was given.
#[derive(Debug)]
pub struct Replay<'a> {
    trace: Trace<'a>,
    engine: Engine,
    effects: Effects,
    digest: Digest,
}

impl<'a> Replay<'a> {
    /// Makes the engine with which the segment begins.
    ///
    /// # Errors
    /// When there is none in these bytes.
    pub fn open(bytes: &'a [u8]) -> Result<Self, TraceError> {
        let trace = Trace::open(bytes)?;
        let state = trace.engine();
        let restored = catch_unwind(|| {
            let engine = Engine::restore(state.body)?;
            let digest = state_digest(&engine);
            Ok((engine, digest))
        });
        let inconsistent = |panic| {
            let what = words(panic);
            Err(tradewire_engine::CheckpointError::Inconsistent(what))
        };
        let (engine, digest) = restored.unwrap_or_else(inconsistent).map_err(|error| {
            let build = Box::new(trace.header().build.clone());
            let offset = state.offset;
            TraceError::Restore {
                offset,
                error,
                build,
            }
        })?;
        if digest != trace.state() {
            return Err(TraceError::Corrupt {
                offset: state.offset,
                what: "the state is not the one that was recorded",
            });
        }
        Ok(Self {
            digest: Digest::from(trace.digest()),
            trace,
            engine,
            effects: Effects::new(),
        })
    }

    /// The trace, as far as it was read.
    #[must_use]
    pub fn trace(&self) -> &Trace<'a> {
        &self.trace
    }

    /// The engine after the last step.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What it said to the last step.
    #[must_use]
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// The next step, which is then to be given to [`Self::apply`].
    ///
    /// # Errors
    /// When the trace is damaged here.
    pub fn next_step(&mut self) -> Result<Option<Step>, TraceError> {
        self.trace.next_step()
    }

    /// Gives the engine a step, and compares. After an error the engine is not to be used.
    ///
    /// # Errors
    /// When it says something else, or gives up.
    pub fn apply(&mut self, step: Step) -> Result<(), ReplayError> {
        let Step {
            seq,
            now,
            input,
            digest,
            offset,
        } = step;
        self.effects.clear();
        let gave_up = |what| ReplayError::GaveUp {
            seq,
            now,
            offset,
            what,
        };
        // A driver numbers slots densely. Without this, four bytes could ask for any amount of memory.
        if let Input::HandshakeStarted { conn } = &input
            && conn.slot() as usize > self.engine.slots()
        {
            let slots = self.engine.slots();
            return Err(gave_up(format!(
                "{conn} came when there were {slots} slots"
            )));
        }
        let (engine, effects) = (&mut self.engine, &mut self.effects);
        catch_unwind(AssertUnwindSafe(|| engine.handle(now, input, effects)))
            .map_err(|panic| gave_up(words(panic)))?;
        self.digest.update(&self.effects);
        let came = self.digest.short();
        match digest {
            Some(expected) if expected != came => Err(ReplayError::Differs {
                seq,
                now,
                offset,
                expected,
                came,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Runs to the end and tells how many steps there were.
    ///
    /// # Errors
    /// As [`Self::next_step`] and [`Self::apply`].
    pub fn run(&mut self) -> Result<u64, ReplayError> {
        let mut steps = 0;
        while let Some(step) = self.next_step()? {
            self.apply(step)?;
            steps += 1;
        }
        Ok(steps)
    }
}

fn words(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
