//! `tradewire-sim`: arguments only.

use std::io::{BufWriter, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::{Parser, Subcommand};
use tradewire_sim::journal::Journal;
use tradewire_sim::scenarios::{NetworkKind, RunError, Scenario};

/// Something in the run panicked.
const CRASHED: u8 = 3;

/// Whether anything panicked: a runtime catches what its tasks do, and goes on.
static PANICKED: AtomicBool = AtomicBool::new(false);

// The doc comments below are the words of `--help`.
#[derive(Parser)]
#[command(
    name = "tradewire-sim",
    version,
    about = "Runs the real server in a deterministic simulation."
)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Run one scenario and print its log, which depends on nothing but the seed and the build
    Run {
        /// What everything that is left to chance is drawn from
        #[arg(long)]
        seed: u64,
        /// Which scenario, see list
        #[arg(long, default_value = "small", value_parser = scenario)]
        scenario: Scenario,
        /// How many clients there are
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        clients: u16,
        /// Which network it runs on: stack, where connections outlive partitions, or turmoil
        #[arg(long, default_value = "stack", value_parser = network)]
        network: NetworkKind,
    },
    /// List the scenarios
    List,
}

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::named(name).ok_or_else(|| "there is no such scenario, see list".to_owned())
}

fn network(name: &str) -> Result<NetworkKind, String> {
    match name {
        "stack" => Ok(NetworkKind::Stack),
        "turmoil" => Ok(NetworkKind::Turmoil),
        _ => Err("give stack or turmoil".to_owned()),
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        What::Run {
            seed,
            scenario,
            clients,
            network,
        } => simulate(seed, scenario, clients.into(), network),
        What::List => {
            let mut out = std::io::stdout().lock();
            for scenario in Scenario::ALL {
                // A reader that went away, as `head` does, is no failure.
                let _ = writeln!(out, "{}", scenario.name());
            }
            ExitCode::SUCCESS
        }
    }
}

/// Runs on a thread that has drawn nothing yet, in a process that runs nothing else.
fn simulate(seed: u64, scenario: Scenario, clients: usize, network: NetworkKind) -> ExitCode {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        usual(panic);
    }));
    let running = thread::Builder::new().spawn(move || {
        let journal = Journal::new(BufWriter::with_capacity(1 << 16, std::io::stdout()));
        scenario.run(seed, clients, network, &journal)
    });
    let ran = running.map(|running| running.join());
    if PANICKED.load(Ordering::Relaxed) {
        return fail(&"something panicked, see above", CRASHED);
    }
    match ran {
        Ok(Ok(Ok(_))) => ExitCode::SUCCESS,
        Ok(Ok(Err(RunError::Log(error)))) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Ok(Ok(Err(error))) => fail(&error, 1),
        Ok(Err(_)) => fail(&"the run ended early", CRASHED),
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tradewire-sim: {error}");
    ExitCode::from(code)
}
