//! What can be done with one run of bare engines from a command line: tell it, shrink it, make a page of it.
//!
//! Both binaries offer these. Nothing here decides anything about a run.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::engines::{Script, ScriptError, Story};
use crate::report::{self, Head, Recording};
use crate::shrink::{self, ShrinkError, Shrunk};
use crate::swarm::{self, Failure};

/// A run could not be made.
const NOT_RUN: u8 = 2;

/// Inputs up to which a run is told with everything that engines are told and say.
const FEW_INPUTS: u64 = 150;

/// Bytes of a script that is read.
const SCRIPT_BYTES_MAX: u64 = 64 << 20;

/// Which run it is.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// The seed
    #[arg(long)]
    pub seed: Option<u64>,
    /// A file with a run, as shrink writes it
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
}

/// Tell one run.
#[derive(Clone, Debug, Args)]
pub struct Run {
    #[command(flatten)]
    which: Which,
    /// Tell everything that engines are told and say, too
    #[arg(long)]
    frames: bool,
}

/// Make a failing run as small as it can be.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Shrink {
    /// Which
    #[command(flatten)]
    pub which: Which,
    /// Where the smallest run is written
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Make a page of one run, to step through it in a browser.
#[derive(Clone, Debug, Args)]
pub struct Report {
    #[command(flatten)]
    which: Which,
    /// Where the page is written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{path}: {error}", path = path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: {error}", path = path.display())]
    Script { path: PathBuf, error: ScriptError },
    #[error("the run cannot be written down: {0}")]
    Written(#[from] serde_json::Error),
    #[error(transparent)]
    Shrunk(#[from] ShrinkError),
}

impl Which {
    fn script(&self) -> Result<Script, CommandError> {
        let Some(path) = &self.script else {
            return Ok(Script::of_seed(self.seed.unwrap_or_default()));
        };
        let text = read(path).map_err(|error| CommandError::File {
            path: path.clone(),
            error,
        })?;
        Script::read(&text).map_err(|error| CommandError::Script {
            path: path.clone(),
            error,
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > SCRIPT_BYTES_MAX {
        let words = format!("{bytes} bytes are too many for a script");
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    std::fs::read_to_string(path)
}

impl Run {
    /// The run of a seed.
    #[must_use]
    pub fn of_seed(seed: u64, frames: bool) -> Self {
        let which = Which {
            seed: Some(seed),
            script: None,
        };
        Self { which, frames }
    }

    /// The run of a document.
    #[must_use]
    pub fn of_script(script: PathBuf, frames: bool) -> Self {
        let which = Which {
            seed: None,
            script: Some(script),
        };
        Self { which, frames }
    }

    /// Does it, and gives the exit code.
    #[must_use]
    pub fn run(&self) -> u8 {
        match self.which.script() {
            Ok(script) => tell(script, self.frames),
            Err(error) => fail(&error),
        }
    }
}

impl Shrink {
    /// Does it, and gives the exit code: that of the failure.
    #[must_use]
    pub fn run(&self) -> u8 {
        match self.shrunk() {
            Ok(shrunk) => shrunk.failure.code(),
            Err(error) => fail(&error),
        }
    }

    fn shrunk(&self) -> Result<Shrunk, CommandError> {
        let script = self.which.script()?;
        // A run that panics is one among many here.
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let shrunk = shrink::shrink(script, |line| {
            let _ = writeln!(io::stderr(), "{line}");
        });
        std::panic::set_hook(usual);
        let shrunk = shrunk?;
        let document = shrunk.script.write()?;
        if let Some(path) = &self.out {
            std::fs::write(path, &document).map_err(|error| CommandError::File {
                path: path.clone(),
                error,
            })?;
        } else {
            say(&document);
        }
        let few = shrunk
            .after
            .inputs
            .is_none_or(|inputs| inputs <= FEW_INPUTS);
        tell(shrunk.script.clone(), few);
        let again = match &self.out {
            Some(path) => format!("reproduce: {AGAIN} --script {}\n", path.display()),
            None => String::new(),
        };
        say(&format!(
            "before: {}\nafter:  {}, found in {} runs\n{again}",
            shrunk.before, shrunk.after, shrunk.tries
        ));
        Ok(shrunk)
    }
}

impl Report {
    /// That of a seed, or of a document if there is one.
    #[must_use]
    pub fn of(seed: Option<u64>, script: Option<PathBuf>, out: PathBuf) -> Self {
        let which = Which { seed, script };
        Self { which, out }
    }

    /// Does it, and gives the exit code: that of the run.
    #[must_use]
    pub fn run(&self) -> u8 {
        match self.page() {
            Ok(code) => code,
            Err(error) => fail(&error),
        }
    }

    fn page(&self) -> Result<u8, CommandError> {
        let script = self.which.script()?;
        let (words, mut recording) = (script.words.clone(), Recording::default());
        let (verdict, outcome) = swarm::run_engines(script, Story::recorded(&mut recording));
        let code = verdict.as_ref().err().map_or(0, Failure::code);
        let lasts = outcome.map_or_else(|| recording.last(), |outcome| outcome.simulated_ms);
        let which = match &self.which {
            Which {
                script: Some(path), ..
            } => format!("--script {}", path.display()),
            Which { seed, .. } => format!("--level engine --seed {}", seed.unwrap_or_default()),
        };
        let again = format!("{AGAIN} {which} --frames");
        let head = Head {
            words,
            again,
            is_recorded: false,
            end: verdict.err().map(Into::into),
            well: format!(
                "Every promise was kept in {}.{:03} simulated seconds.",
                lasts / 1_000,
                lasts % 1_000
            ),
            from: 0,
            lasts,
        };
        let page = report::page(recording, head)?;
        std::fs::write(&self.out, page).map_err(|error| CommandError::File {
            path: self.out.clone(),
            error,
        })?;
        Ok(code)
    }
}

/// The command that runs a script.
const AGAIN: &str = "cargo run --release -p tradewire-sim -- run";

fn tell(script: Script, frames: bool) -> u8 {
    let mut out = BufWriter::new(io::stdout());
    let words = script.words.clone();
    let (verdict, _) = swarm::run_engines(script, Story::to(&mut out, frames));
    let code = match verdict {
        Ok(()) => 0,
        Err(failure) => {
            // Whoever reads this, as `head` does, may be gone.
            let _ = writeln!(out, "{words} {failure}");
            failure.code()
        }
    };
    let _ = out.flush();
    code
}

/// As in `tell`.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn fail(error: &dyn Display) -> u8 {
    let _ = writeln!(io::stderr(), "tradewire-sim: {error}");
    NOT_RUN
}
