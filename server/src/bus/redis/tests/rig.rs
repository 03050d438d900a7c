//! A real Redis of the test's own, and nodes' buses on it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tradewire_engine::Input;
use tradewire_engine::bus::{BusRequest, LogPublish, StatePublish};
use tradewire_engine::event::{LogEntry, LogKind, Payload, StateValue, Topic};
use tradewire_engine::ids::{PublishId, RequestId, Symbol, UserId};
use tradewire_engine::input::GapCause;
use tradewire_engine::limits::{Limits, ParseLimits};
use tradewire_engine::time::{Timestamp, WallTime};

use crate::bus::Bus as _;
use crate::bus::redis::codec::Codec;
use crate::bus::redis::{BusStatus, Commands, Parts, RedisBus, Stop};
use crate::clock::SystemClock;
use crate::net::Tcp;
use crate::redis::{ConnectOptions, RedisUrl, connect};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells test servers and nodes apart.
static COUNTER: AtomicU64 = AtomicU64::new(1);

fn next_number() -> u64 {
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

/// A redis-server that ends with the test. What it acknowledged it has on disk.
pub(super) struct RedisServer {
    port: u16,
    folder: PathBuf,
    child: Child,
}

impl RedisServer {
    pub(super) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let name = format!(
            "tradewire-bus-{}-{port}-{}",
            std::process::id(),
            next_number()
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let child = Self::spawn(port, &folder);
        Self {
            port,
            folder,
            child,
        }
    }

    fn spawn(port: u16, folder: &PathBuf) -> Child {
        let mut child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--port", &port.to_string()])
            // An exact length, so that a test can trim.
            .args(["--stream-node-max-entries", "10"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server, which these tests need; install it, or put it on the PATH");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines
            .by_ref()
            .any(|line| line.expect("text").contains("Ready to accept connections"));
        assert!(ready, "redis-server ended before it was ready");
        // It must not find its output closed or full.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    pub(super) fn url(&self) -> RedisUrl {
        RedisUrl::parse(&format!("redis://127.0.0.1:{}", self.port)).expect("a url")
    }

    /// Ends it without a chance to say goodbye.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Loses what it has on disk.
    pub(super) fn forget(&self) {
        std::fs::remove_dir_all(&self.folder).expect("removed");
        std::fs::create_dir_all(&self.folder).expect("a temporary folder");
    }

    pub(super) fn restart(&mut self) {
        self.child = Self::spawn(self.port, &self.folder);
    }

    /// Sends it `STOP` or `CONT`.
    pub(super) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(kill.expect("kill").success());
    }

    /// A connection for what nodes do not do.
    pub(super) async fn client(&self) -> Client {
        let options = ConnectOptions {
            connect_max: PATIENCE,
            response_max: Some(PATIENCE),
            pushes: None,
        };
        Client(connect(&Tcp, &self.url(), options).await.expect("a client"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) struct Client(crate::redis::Connected);

impl Client {
    /// Runs a command given as words.
    pub(super) async fn run(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::Cmd::new();
        command.arg(words);
        self.query(&command).await
    }

    pub(super) async fn query(&self, command: &redis::Cmd) -> redis::Value {
        let mut connection: MultiplexedConnection = self.0.connection.clone();
        command
            .query_async(&mut connection)
            .await
            .expect("an answer")
    }
}

/// A bus, and the driver's end of it.
pub(super) struct Node {
    pub(super) bus: RedisBus,
    pub(super) commands: Commands,
    pub(super) stop: Stop,
    pub(super) status: Arc<BusStatus>,
    inputs: mpsc::Receiver<Input>,
    requests: u64,
}

impl Node {
    pub(super) fn start(url: RedisUrl) -> Self {
        Self::start_with(url, Limits::default(), 1_024)
    }

    pub(super) fn start_with(url: RedisUrl, limits: Limits, arrivals_max: usize) -> Self {
        let number = next_number();
        let (arrivals, inputs) = mpsc::channel(arrivals_max);
        let status = Arc::new(BusStatus::new());
        let seed = number * 1_000_003 + u64::from(std::process::id());
        let (bus, commands, stop) = RedisBus::start(Parts {
            net: Tcp,
            clock: SystemClock::start(),
            url,
            instance: seed,
            codec: Codec::new(limits.clone(), 500_000, seed, seed),
            limits: &limits,
            parse_limits: ParseLimits::default(),
            seed,
            arrivals,
            status: Arc::clone(&status),
        });
        Self {
            bus,
            commands,
            stop,
            status,
            inputs,
            requests: 0,
        }
    }

    /// A node that has reached its Redis.
    pub(super) async fn reached(url: RedisUrl) -> Self {
        let mut node = Self::start(url);
        node.until_reached().await;
        node
    }

    pub(super) fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId::new(self.requests)
    }

    /// Asks, and gives back what was answered at once.
    pub(super) fn submit(&mut self, request: BusRequest) -> Option<Input> {
        let mut answers = VecDeque::new();
        self.bus.submit(Timestamp::ZERO, request, &mut answers);
        answers.pop_front()
    }

    pub(super) fn append(&mut self, ids: &[&str]) -> RequestId {
        let request = self.next_request();
        let entries = ids.iter().map(|id| LogPublish {
            id: PublishId::new(id).expect("an id"),
            lasting: true,
            kind: LogKind::TradeExecuted,
            user: UserId::new("u").expect("a user"),
            payload: Payload::new(&format!("{{\"id\":\"{id}\"}}")),
        });
        let entries = entries.collect();
        let wall = WallTime::from_unix_ms(0);
        let answered = self.submit(BusRequest::Append {
            request,
            entries,
            wall,
        });
        assert_eq!(answered, None);
        request
    }

    pub(super) fn share(&mut self, symbol: &str, price: u32) -> RequestId {
        let request = self.next_request();
        let values = vec![StatePublish {
            id: None,
            lasting: false,
            topic: quote(symbol),
            payload: Payload::new(&format!("{{\"price\":{price}}}")),
        }];
        assert_eq!(
            self.submit(BusRequest::Share {
                request,
                values,
                once: false
            }),
            None
        );
        request
    }

    pub(super) async fn next(&mut self) -> Input {
        timeout(PATIENCE, self.inputs.recv())
            .await
            .expect("an input in time")
            .expect("a bus that lives")
    }

    /// The next input, or nothing if none comes before the bus is asked and has answered.
    pub(super) async fn next_before_answer(&mut self) -> Option<Input> {
        let request = self.next_request();
        self.submit(BusRequest::Lead { request });
        match self.next().await {
            Input::Led { request: led, .. } if led == request => None,
            input => Some(input),
        }
    }

    /// Skips until `find` finds something.
    pub(super) async fn until<T>(&mut self, mut find: impl FnMut(Input) -> Option<T>) -> T {
        loop {
            if let Some(found) = find(self.next().await) {
                return found;
            }
        }
    }

    pub(super) async fn until_reached(&mut self) {
        self.until(|input| (input == Input::BusReached).then_some(()))
            .await;
    }

    pub(super) async fn until_lost(&mut self) {
        self.until(|input| (input == Input::BusLost).then_some(()))
            .await;
    }

    /// What the log told in order, up to an entry `last`.
    pub(super) async fn log_until(&mut self, last: &str) -> Vec<Told> {
        let mut told = Vec::new();
        while told.last() != Some(&Told::Arrived(last.into()))
            && told.last() != Some(&Told::Loaded(last.into()))
        {
            match self.next().await {
                Input::LogLoaded { entries } => told.extend(texts(entries).map(Told::Loaded)),
                Input::LogArrived { entries } => told.extend(texts(entries).map(Told::Arrived)),
                Input::LogGap { cause } => told.push(Told::Gap(cause)),
                _ => {}
            }
        }
        told
    }

    pub(super) async fn next_value(&mut self) -> StateValue {
        self.until(|input| match input {
            Input::StateArrived { values, .. } => values.into_iter().next(),
            _ => None,
        })
        .await
    }
}

/// What the log tells of, by the payload's id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Loaded(String),
    Arrived(String),
    Gap(GapCause),
}

pub(super) fn arrived(ids: &[&str]) -> Vec<Told> {
    ids.iter().map(|id| Told::Arrived((*id).into())).collect()
}

fn texts(entries: Vec<LogEntry>) -> impl Iterator<Item = String> {
    entries.into_iter().map(|entry| {
        let text = entry.payload.text();
        text.trim_start_matches("{\"id\":\"")
            .trim_end_matches("\"}")
            .to_owned()
    })
}

pub(super) fn quote(symbol: &str) -> Topic {
    Topic::Quote(Symbol::new(symbol).expect("a symbol"))
}

pub(super) const STREAM: &str = "tradewire:{log}:stream";

/// A script that appends entries as nodes do.
pub(super) fn append_by_hand(ids: &[&str]) -> Vec<String> {
    let mut script = String::from("local clock = 'tradewire:{log}:clock'\n");
    for id in ids {
        script.push_str(&format!(
            "redis.call('XADD', '{STREAM}', '*', 'e', redis.call('HGET', clock, 'e'), \
             'n', redis.call('HINCRBY', clock, 'n', 1), 'k', 'executed', 'u', 'u', \
             'p', '{{\"id\":\"{id}\"}}')\n"
        ));
    }
    vec!["EVAL".into(), script, "0".into()]
}

pub(super) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub(super) fn words(command: &[impl AsRef<str>]) -> Vec<&str> {
    command.iter().map(AsRef::as_ref).collect()
}

/// Cuts every node off and does `commands` before any can be back.
pub(super) async fn cut_off_while(redis: &RedisServer, commands: &[Vec<String>]) {
    let client = redis.client().await;
    client.run(&["MULTI"]).await;
    client
        .run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
        .await;
    client.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    for command in commands {
        client.run(&words(command)).await;
    }
    client.run(&["EXEC"]).await;
}
