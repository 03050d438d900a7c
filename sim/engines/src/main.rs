//! Bare engines on their own, for who changes the engine and does not want to build the server: a swarm,
//! or one run.
//!
//! Everything else is `tradewire-sim`'s; output and exit codes are the same.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tradewire_sim_engines::command;
use tradewire_sim_engines::swarm::{self, Level};

/// As in `tradewire-sim`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Run many seeds of clusters of bare engines, and stop at the first that fails.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    swarm: Option<Swarm>,
}

#[derive(Debug, clap::Args)]
struct Swarm {
    /// The seeds, as FIRST..END; END is not run.
    #[arg(long, value_parser = swarm::seeds)]
    seeds: Range<u64>,
    /// How many run at once.
    #[arg(long, default_value_t = 1)]
    jobs: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell one run
    Run(command::Run),
    /// Make a page of one run, to step through it in a browser
    Report(command::Report),
    /// Make a failing run as small as it can be
    Shrink(command::Shrink),
}

fn main() -> ExitCode {
    let code = match Arguments::parse() {
        Arguments {
            command: Some(Command::Run(run)),
            ..
        } => run.run(),
        Arguments {
            command: Some(Command::Report(report)),
            ..
        } => report.run(),
        Arguments {
            command: Some(Command::Shrink(shrink)),
            ..
        } => shrink.run(),
        Arguments {
            swarm: Some(Swarm { seeds, jobs }),
            ..
        } => {
            let report = swarm::swarm(Level::Engine, seeds.start, seeds.end, usize::from(jobs));
            // Whoever reads this, as `head` does, may be gone.
            let _ = std::io::stdout().write_all(report.words(Level::Engine).as_bytes());
            report.code(Level::Engine)
        }
        Arguments { .. } => {
            let _ = writeln!(std::io::stderr(), "say --seeds FIRST..END, or see --help");
            2
        }
    };
    ExitCode::from(code)
}
