//! `show`: a step a line, with what the engine says to it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use tradewire_trace::{Replay, ReplayError, TraceError};

use super::facets::Facets;
use super::replay::Kinds;
use super::{DIFFERS, UNREADABLE, files, lines};

/// What to show. Of several filters all must fit.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A trace, or a directory of them.
    trace: PathBuf,
    /// Only steps that name this connection: c3, or c3.1 for the second that used the slot
    #[arg(long, value_name = "CONN")]
    conn: Option<String>,
    /// Only steps that name this user, or a connection that was admitted as this user's in the trace.
    #[arg(long)]
    user: Option<String>,
    /// Only steps that name this topic: market, portfolio(ann) or quote(AAPL)
    #[arg(long)]
    topic: Option<String>,
    /// Only steps of this kind: refused, limited, conflated, degraded, or any kind of input, effect or
    /// note
    #[arg(long, value_parser = Kinds::parse)]
    kind: Option<Kinds>,
}

/// Shows the steps. The answer is the exit code.
///
/// # Errors
/// When nothing can be written to `out`.
pub fn show(arguments: &ShowArguments, out: &mut dyn Write) -> io::Result<u8> {
    let files = match files::segments(&arguments.trace) {
        Ok(files) => files,
        Err(error) => {
            writeln!(out, "{error}")?;
            return Ok(UNREADABLE);
        }
    };
    let mut filter = Filter::new(arguments);
    for file in files {
        let name = file.display().to_string();
        let bytes = match files::read(&file) {
            Ok(bytes) => bytes,
            Err(error) => {
                writeln!(out, "{error}")?;
                return Ok(UNREADABLE);
            }
        };
        let code = segment(&name, &bytes, &mut filter, out)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

/// Tells every step of a segment.
///
/// # Errors
/// When nothing can be written to `out`.
pub fn tell_all(name: &str, bytes: &[u8], out: &mut dyn Write) -> io::Result<u8> {
    segment(name, bytes, &mut Filter::default(), out)
}

fn segment(
    name: &str,
    bytes: &[u8],
    filter: &mut Filter<'_>,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let mut replay = match Replay::open(bytes) {
        Ok(replay) => replay,
        Err(error) => {
            writeln!(out, "{name}: {error}")?;
            return Ok(if error == TraceError::Empty {
                0
            } else {
                UNREADABLE
            });
        }
    };
    writeln!(out, "{name}: {}", lines::segment(replay.trace()))?;
    filter.enter(replay.trace().header().config.instance);
    loop {
        let step = match replay.next_step() {
            Ok(Some(step)) => step,
            Ok(None) => break,
            Err(error) => {
                writeln!(out, "{error}")?;
                return Ok(UNREADABLE);
            }
        };
        let mut facets = filter.wants_facets().then(|| Facets::of_input(&step.input));
        let input = lines::input(step.seq, step.now, &step.input);
        let applied = replay.apply(step);
        if let Some(facets) = &mut facets {
            facets.add_effects(replay.effects());
        }
        if facets.is_none_or(|facets| filter.takes(&facets)) {
            writeln!(out, "{input}{}", lines::effects(replay.effects()))?;
        }
        match applied {
            Ok(()) => {}
            Err(error @ (ReplayError::Differs { .. } | ReplayError::GaveUp { .. })) => {
                writeln!(out, "{error}; see replay")?;
                return Ok(DIFFERS);
            }
            Err(ReplayError::Trace(error)) => {
                writeln!(out, "{error}")?;
                return Ok(UNREADABLE);
            }
        }
    }
    writeln!(out, "{name}: {}", lines::ending(replay.trace().ending()))?;
    Ok(0)
}

/// Which steps are shown.
#[derive(Default)]
struct Filter<'a> {
    conn: Option<&'a str>,
    user: Option<&'a str>,
    topic: Option<&'a str>,
    kind: Option<&'a Kinds>,
    life: Option<u64>,
    /// Whose connections are whose, as far as the trace told.
    owners: BTreeMap<String, String>,
}

impl<'a> Filter<'a> {
    fn new(arguments: &'a ShowArguments) -> Self {
        Self {
            conn: arguments.conn.as_deref(),
            user: arguments.user.as_deref(),
            topic: arguments.topic.as_deref(),
            kind: arguments.kind.as_ref(),
            ..Self::default()
        }
    }

    /// Connections of another life are others.
    fn enter(&mut self, life: u64) {
        if self.life.replace(life) != Some(life) {
            self.owners.clear();
        }
    }

    fn wants_facets(&self) -> bool {
        self.conn.is_some() || self.user.is_some() || self.topic.is_some() || self.kind.is_some()
    }

    fn takes(&mut self, facets: &Facets) -> bool {
        self.owners.extend(facets.owners.iter().cloned());
        let is_owned = |user: &str| {
            let owner = |conn: &String| self.owners.get(conn).is_some_and(|owner| owner == user);
            facets.texts.contains(user) || facets.conns.iter().any(owner)
        };
        self.conn.is_none_or(|conn| facets.names_conn(conn))
            && self.user.is_none_or(is_owned)
            && self.topic.is_none_or(|topic| facets.topics.contains(topic))
            && self.kind.is_none_or(|kind| kind.any_of(facets))
    }
}
