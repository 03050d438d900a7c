//! What recording costs the driver: two drivers on one thread, of which one records into files, are handed the
//! same publishes in turns. Everything is the real thing but the network: clients' queues are emptied here.
//!
//! `cargo test --release -p tradewire-server --lib driver::cost -- --nocapture --test-threads=1` prints what the
//! driver's thread takes; that of the thread which writes is not part of it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tradewire_engine::event::{LogKind, Payload, Publish, Target, Topic};
use tradewire_engine::ids::{SessionId, Symbol, UserId};
use tradewire_engine::input::Pending;
use tradewire_engine::parse::{Auth, ClientEvent, UserClaim};
use tradewire_trace::Replay;

use super::rig::Rig;
use super::*;
use crate::inbox::Inbox;
use crate::link::Notice;
use crate::queue::Queued;
use crate::recorder::{FileSink, Recording};

const CLIENTS: usize = 50;

/// Rounds of each driver, and batches in one. Figures need more than a test of what is done.
const ROUNDS: usize = if cfg!(debug_assertions) { 2 } else { 81 };
const BATCHES: usize = if cfg!(debug_assertions) { 40 } else { 500 };

/// Batches after which clients have read.
const UNREAD: usize = 10;

/// A driver, and everyone who has to do with it.
struct Node {
    runtime: Runtime,
    driving: JoinHandle<Duration>,
    inbox: Inbox,
    metrics: Arc<Metrics>,
    shutdown: watch::Sender<Shutdown>,
    clients: Vec<Client>,
    taken: VecDeque<Queued>,
    delivered: u64,
}

/// Someone who reads whatever comes.
struct Client {
    link: Arc<Link>,
    /// Held: dropping it ends the connection.
    _presence: Presence,
}

impl Node {
    fn start(recording: Option<Recording>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let guard = runtime.enter();
        let Rig {
            driver,
            inbox,
            outlets,
            notices: notices_out,
            metrics,
        } = Rig::new(recording);
        let (shutdown, asked) = watch::channel(Shutdown::No);
        let driving = tokio::spawn(driver.run(outlets, notices_out, asked));
        drop(guard);
        let mut node = Self {
            runtime,
            driving,
            inbox,
            metrics,
            shutdown,
            clients: Vec::new(),
            taken: VecDeque::new(),
            delivered: 0,
        };
        for number in 0..CLIENTS {
            let client = node.runtime.block_on(client(&node.inbox, number));
            node.clients.push(client);
        }
        node
    }

    /// Hands in one batch after the other, and tells what the thread took for an input.
    fn round(&mut self, batches: &[Vec<Publish>]) -> f64 {
        let inputs = self.metrics.inputs.get();
        let begun = on_cpu();
        let Self {
            runtime,
            inbox,
            clients,
            taken,
            delivered,
            ..
        } = self;
        runtime.block_on(async {
            for (number, items) in batches.iter().enumerate() {
                let (reply, outcome) = oneshot::channel();
                let command = PublishCommand {
                    items: items.clone(),
                    wall: tradewire_engine::time::WallTime::from_unix_ms(1_700_000_000_000),
                    reply,
                };
                inbox.publishes.send(command).await.expect("a driver");
                let outcome = outcome.await.expect("an answer");
                assert!(matches!(outcome, PublishOutcome::Accepted { .. }));
                if number % UNREAD == 0 {
                    *delivered += read(clients, taken);
                }
            }
        });
        self.delivered += read(&self.clients, &mut self.taken);
        (on_cpu() - begun) as f64 / (self.metrics.inputs.get() - inputs) as f64
    }

    /// Ends it; its recording is complete then.
    fn end(mut self) -> Figures {
        self.shutdown.send(Shutdown::Now).expect("a driver");
        self.clients.clear();
        self.runtime.block_on(self.driving).expect("no panic");
        Figures {
            inputs: self.metrics.inputs.get(),
            delivered: self.delivered,
            bytes: self.metrics.record.bytes.get(),
            holes: self.metrics.record.holes.get(),
        }
    }
}

/// What a driver has done.
struct Figures {
    inputs: u64,
    delivered: u64,
    bytes: u64,
    holes: u64,
}

/// Someone comes in over a websocket, and holds every other symbol.
async fn client(inbox: &Inbox, number: usize) -> Client {
    let (reply, admitted) = oneshot::channel();
    let command = Command::Handshake { reply };
    inbox.commands.send(command).await.expect("a driver");
    let Admitted { link, presence } = admitted.await.expect("an answer").expect("room");
    link.queue().open();
    let (reply, verdict) = oneshot::channel();
    let auth = Auth {
        session: SessionId::new("session").ok(),
        user: UserClaim::Claimed(user(number)),
        ..Auth::default()
    };
    let command = Command::Connect {
        conn: link.conn(),
        sid: Sid::new(),
        auth,
        cookie: None,
        reply,
    };
    inbox.commands.send(command).await.expect("a driver");
    verdict.await.expect("an answer").expect("admitted");
    link.notice(Notice::Connected(link.conn()));
    let symbols = (0..5).map(|place| symbol(2 * place + number % 2)).collect();
    let command = Command::Received {
        conn: link.conn(),
        event: ClientEvent::SubscribeWatchlist(Ok(symbols)),
        ack: None,
    };
    inbox.commands.send(command).await.expect("a driver");
    Client {
        link,
        _presence: presence,
    }
}

/// Takes what was delivered, as if it had been written.
fn read(clients: &[Client], taken: &mut VecDeque<Queued>) -> u64 {
    let mut count = 0;
    for Client { link, .. } in clients {
        link.queue().take(u32::MAX, taken);
        let mut written = Pending::default();
        for (frame, _) in taken.drain(..) {
            written.bytes += frame.counts().bytes;
            written.packets += 1;
        }
        link.wrote(written);
        count += u64::from(written.packets);
    }
    count
}

fn user(number: usize) -> UserId {
    UserId::new(&format!("client-{number}")).expect("well formed")
}

fn symbol(number: usize) -> Symbol {
    Symbol::new(&format!("S{number}")).expect("well formed")
}

/// A batch of quotes and what concerns single users, as `tests/bench/record.mjs` publishes them.
fn batch(number: usize, items: usize) -> Vec<Publish> {
    let at = r#""timestamp":"2026-01-01T00:00:00.000Z""#;
    let item = |item: usize| {
        let user = user((number * items + item) % CLIENTS);
        let (target, text) = match item % 5 {
            4 => (
                Target::Log {
                    kind: LogKind::TradeExecuted,
                    user,
                },
                format!(
                    r#"{{"id":{number},"symbol":"AAPL","side":"buy","quantity":10,"price":175.5,{at}}}"#
                ),
            ),
            3 => (
                Target::State(Topic::Portfolio(user)),
                format!(r#"{{"totalValue":50000,"cash":10000,"n":{number},{at}}}"#),
            ),
            _ => (
                Target::State(Topic::Quote(symbol(item))),
                format!(r#"{{"price":175.5,"change":2.5,"n":{number},"symbol":"S{item}",{at}}}"#),
            ),
        };
        Publish {
            id: None,
            target,
            payload: Payload::new(&text),
        }
    };
    (0..items).map(item).collect()
}

/// How long this thread has been on a processor, in nanoseconds. The kernel counts when it looks at it.
fn on_cpu() -> u64 {
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    ns.expect("a number")
}

fn directory(items: usize) -> PathBuf {
    std::env::temp_dir().join(format!("tradewire-cost-{items}-{}", std::process::id()))
}

/// Replays the recording, and tells how many steps it has.
fn replay(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("a recording");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let steps = files.iter().map(|file| {
        let bytes = fs::read(file).expect("a segment");
        let mut replay = Replay::open(&bytes).expect("a segment");
        replay.run().expect("the same again")
    });
    steps.sum()
}

#[expect(clippy::print_stdout, reason = "the figures of README.md")]
fn compare(items: usize) {
    let dir = directory(items);
    let (sink, _keeper) = FileSink::start(dir.clone(), 1 << 30).expect("a directory");
    let mut plain = Node::start(None);
    let mut recorded = Node::start(Some(Recording {
        sink: Box::new(sink),
        node: "node".to_owned(),
        masked: false,
        segment_bytes_max: 32 << 20,
    }));
    let batches: Vec<_> = (0..BATCHES).map(|number| batch(number, items)).collect();
    let mut pairs: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|round| {
            // Neither of them always goes first.
            if round % 2 == 0 {
                let without = plain.round(&batches);
                (without, recorded.round(&batches))
            } else {
                let with = recorded.round(&batches);
                (plain.round(&batches), with)
            }
        })
        .collect();
    let (plain, recorded) = (plain.end(), recorded.end());
    let steps = replay(&dir);
    fs::remove_dir_all(&dir).expect("removed");

    assert_eq!(plain.inputs, recorded.inputs);
    assert_eq!(plain.delivered, recorded.delivered);
    assert!(plain.delivered > 0);
    assert_eq!(recorded.holes, 0);
    assert_eq!(steps, recorded.inputs);

    // The first of each made its memory.
    pairs.remove(0);
    let mut without: Vec<f64> = pairs.iter().map(|(without, _)| *without).collect();
    let mut more: Vec<f64> = pairs.iter().map(|(without, with)| with - without).collect();
    without.sort_by(f64::total_cmp);
    more.sort_by(f64::total_cmp);
    let count = more.len();
    println!(
        "{items} items a batch, {} inputs: the driver's thread takes {:.0} ns for an input, and {:.0} ns more when it records (median of {count} pairs; half of them between {:.0} and {:.0}); {} bytes an input",
        recorded.inputs,
        without[count / 2],
        more[count / 2],
        more[count / 4],
        more[count * 3 / 4],
        recorded.bytes / recorded.inputs,
    );
}

#[test]
fn a_driver_that_records_single_items_does_the_same_and_it_replays() {
    compare(1);
}

#[test]
fn a_driver_that_records_batches_does_the_same_and_it_replays() {
    compare(10);
}
