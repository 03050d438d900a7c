//! `report`: what nodes recorded as one page, to step through it in a browser.
//!
//! The page is the one that runs of bare engines have, and as bounded. Nothing is believed of a trace: what
//! cannot be used is marked, and all that comes before is shown.

mod account;
mod lanes;
mod life;
mod marks;
#[cfg(test)]
mod tests;
mod values;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tradewire_sim_engines::command;
use tradewire_sim_engines::report::{self, End, Head, Recording, Step};
use tradewire_trace::Trace;

use super::files::FilesError;
use super::{UNREADABLE, files, lines};
use account::Account;
use lanes::Lanes;
use life::Life;

/// Of what to make a page.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// A trace, or a directory of them
    #[arg(
        required_unless_present_any = ["seed", "script"],
        conflicts_with_all = ["seed", "script"]
    )]
    trace: Option<PathBuf>,
    /// Instead of a trace: the seed of a run of bare engines
    #[arg(long, conflicts_with = "script")]
    seed: Option<u64>,
    /// Instead of a trace: a file with a run of bare engines, as shrink writes it
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Where the page is written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("the page cannot be made: {0}")]
    Page(#[from] serde_json::Error),
    #[error("{}: {error}", .path.display())]
    Out { path: PathBuf, error: io::Error },
}

/// A page that grows.
#[derive(Debug, Default)]
struct Sheet {
    recording: Recording,
    lanes: Lanes,
    /// The first that was wrong, and the exit code for it.
    end: Option<(End, u8)>,
    steps: u64,
    from: Option<u64>,
    last: u64,
}

impl Sheet {
    fn push(&mut self, step: Step) {
        self.from.get_or_insert(step.t);
        self.last = self.last.max(step.t);
        self.recording.push(step);
    }

    fn words(&mut self, t: u64, x: String) {
        let k = "end";
        self.push(Step {
            t,
            k,
            x,
            ..Step::default()
        });
    }

    /// This step is the one that is wrong, if none was before.
    fn wrong(&mut self, mut step: Step, name: &str, words: String, code: u8) {
        if self.end.is_none() {
            step.b = true;
            let end = End {
                name: name.to_owned(),
                at: step.t,
                words,
            };
            self.end = Some((end, code));
        }
        self.push(step);
    }
}

/// Makes a page, and tells what it says of the whole. The answer is the exit code.
///
/// # Errors
/// When nothing can be written to `out`.
pub fn report(arguments: ReportArguments, out: &mut dyn Write) -> io::Result<u8> {
    let Some(trace) = &arguments.trace else {
        let ReportArguments {
            seed, script, out, ..
        } = arguments;
        return Ok(command::Report::of(seed, script, out).run());
    };
    match page(trace, &arguments.out) {
        Ok((words, code)) => {
            writeln!(out, "{}", lines::plain(&words))?;
            Ok(code)
        }
        Err(error) => {
            writeln!(out, "{error}")?;
            Ok(UNREADABLE)
        }
    }
}

fn page(path: &Path, out: &Path) -> Result<(String, u8), PageError> {
    let mut segments = Vec::new();
    for file in files::segments(path)? {
        let name = file.file_name().unwrap_or_default();
        segments.push((name.to_string_lossy().into_owned(), files::read(&file)?));
    }
    let (sheet, count) = replayed(&segments);
    let Sheet {
        recording,
        end,
        steps,
        from,
        last,
        ..
    } = sheet;
    let code = end.as_ref().map_or(0, |(_, code)| *code);
    let end = end.map(|(end, _)| end);
    let path = path.display();
    let lives_are = if count == 1 { "life" } else { "lives" };
    let well = format!(
        "{steps} steps of {count} {lives_are}: every decision is the one that was recorded."
    );
    let told = end.as_ref().map_or_else(
        || well.clone(),
        |end| format!("{} at {} ms: {}", end.name, end.at, end.words),
    );
    let head = Head {
        words: format!("what was recorded in {path}"),
        again: format!("cargo run --release -p tradewire-sim -- replay {path}"),
        is_recorded: true,
        end,
        well,
        from: from.unwrap_or_default(),
        lasts: last,
    };
    let page = report::page(recording, head)?;
    std::fs::write(out, page).map_err(|error| PageError::Out {
        path: out.to_owned(),
        error,
    })?;
    Ok((told, code))
}

/// All that is in the segments, and of how many lives it is.
fn replayed(segments: &[(String, Vec<u8>)]) -> (Sheet, usize) {
    let mut lives = lives(segments);
    let count = lives.len();
    let mut sheet = Sheet::default();
    // Each turn is that of the life whose next step is the earliest.
    while let Some(number) = (0..lives.len()).min_by_key(|number| lives.get(*number).map(Life::at))
        && let Some(life) = lives.get_mut(number)
    {
        if !life.turn(&mut sheet) {
            lives.remove(number);
        }
    }
    (sheet, count)
}

/// The lives of nodes whose segments these are, in their order. What has no head that can be read is part of
/// the life before it, which will say so.
fn lives(segments: &[(String, Vec<u8>)]) -> Vec<Life<'_>> {
    struct Found<'a> {
        node: String,
        instance: Option<u64>,
        started: u64,
        now: u64,
        segments: Vec<(&'a str, &'a [u8])>,
    }
    let mut found: Vec<Found<'_>> = Vec::new();
    for (name, bytes) in segments {
        let segment = (name.as_str(), bytes.as_slice());
        match (Trace::open(bytes), found.last_mut()) {
            (Ok(trace), Some(last)) if last.instance == Some(trace.header().config.instance) => {
                last.segments.push(segment);
            }
            (Ok(trace), _) => found.push(Found {
                node: trace.header().node.clone(),
                instance: Some(trace.header().config.instance),
                started: trace.header().started.as_unix_ms(),
                now: trace.now().as_ms(),
                segments: vec![segment],
            }),
            (Err(_), Some(last)) => last.segments.push(segment),
            (Err(_), None) => found.push(Found {
                node: name.clone(),
                instance: None,
                started: u64::MAX,
                now: 0,
                segments: vec![segment],
            }),
        }
    }
    let first = found.iter().map(|life| life.started).min().unwrap_or(0);
    let is_alone = found.len() == 1;
    let nodes: Vec<String> = found.iter().map(|life| life.node.clone()).collect();
    let lives = found.into_iter().enumerate().map(|(number, life)| {
        let before = nodes.iter().take(number).filter(|node| **node == life.node);
        let account = Account::new(&life.node, before.count() + 1, is_alone);
        let offset = match life.instance {
            Some(_) => life.started - first,
            None => 0,
        };
        Life::new(account, life.segments, offset, life.now)
    });
    lives.collect()
}
