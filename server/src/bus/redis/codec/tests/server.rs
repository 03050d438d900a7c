//! A Redis of the test's own, and nodes that talk to it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo,
    Value,
};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tradewire_engine::Input;
use tradewire_engine::bus::BusRequest;
use tradewire_engine::limits::Limits;

use super::super::answers::{Answer, Opened};
use super::super::{Codec, StateMessage};

/// A `redis-server` on a socket in a folder of its own; it ends and is gone with the test.
pub(super) struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    pub(super) fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tradewire-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut process = Command::new("redis-server")
            .current_dir(&folder)
            .args(["--port", "0", "--unixsocket", "socket"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is needed (apt-get install redis-server)");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut ready = lines.map_while(Result::ok);
        assert!(ready.any(|line| line.contains("eady to accept connections")));
        // It goes on writing its log for as long as it runs.
        std::thread::spawn(move || ready.for_each(drop));
        Self { process, folder }
    }

    /// A connection with `codec`'s scripts loaded that hears its channel.
    pub(super) async fn node(&self, codec: Codec) -> Node {
        let stream = UnixStream::connect(self.folder.join("socket"));
        let (sender, pushes) = mpsc::unbounded_channel();
        let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_push_sender(sender);
        let connecting =
            MultiplexedConnection::new_with_config(&info, stream.await.unwrap(), config);
        let (mut connection, driver) = connecting.await.unwrap();
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        for text in codec.scripts() {
            let mut load = Cmd::new();
            load.arg("SCRIPT").arg("LOAD").arg(text);
            let loaded = connection.send_packed_command(&load).await.unwrap();
            assert!(matches!(loaded, Value::BulkString(_)), "{loaded:?}: {text}");
        }
        connection.subscribe(codec.state_channel()).await.unwrap();
        Node {
            codec,
            connection,
            pushes,
            _driver: driver,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A codec of a node; no two instances propose the same epochs.
pub(super) fn codec(instance: u64) -> Codec {
    Codec::new(Limits::default(), 500_000, instance, 1)
}

/// A node as Redis sees it.
pub(super) struct Node {
    pub(super) codec: Codec,
    connection: MultiplexedConnection,
    pushes: mpsc::UnboundedReceiver<PushInfo>,
    _driver: AbortOnDropHandle<()>,
}

impl Node {
    pub(super) async fn answer(&mut self, request: &BusRequest) -> Answer {
        let mut pipeline = Pipeline::new();
        let count = self.codec.commands(request, &mut pipeline);
        assert_eq!(count, pipeline.len());
        if pipeline.is_empty() {
            return self.codec.answer(request, &[]);
        }
        let sent = self.connection.send_packed_commands(&pipeline, 0, count);
        let replies = sent.await.unwrap();
        self.codec.answer(request, &replies)
    }

    /// What the engine is told after a request that Redis takes.
    pub(super) async fn ask(&mut self, request: &BusRequest) -> Option<Input> {
        let answer = self.answer(request).await;
        assert_eq!((answer.broken, &answer.refused), (false, &None));
        answer.input
    }

    pub(super) async fn open(&mut self) -> Opened {
        let mut pipeline = Pipeline::new();
        self.codec.open(&mut pipeline);
        let sent = self.connection.send_packed_commands(&pipeline, 0, 2);
        self.codec.opened(&sent.await.unwrap()).unwrap()
    }

    pub(super) async fn send(&mut self, command: &Cmd) -> Value {
        self.connection.send_packed_command(command).await.unwrap()
    }

    /// Says something to Redis as a stranger would.
    pub(super) async fn run(&mut self, words: &[&str]) -> Value {
        let mut command = Cmd::new();
        command.arg(words);
        let reply = self.send(&command).await;
        assert!(
            !matches!(reply, Value::ServerError(_)),
            "{words:?}: {reply:?}"
        );
        reply
    }

    /// A number that Redis answers.
    pub(super) async fn count(&mut self, words: &[&str]) -> u64 {
        super::super::number(&self.run(words).await).unwrap()
    }

    /// Sets the clock of scripts that run on test time.
    pub(super) async fn set_time(&mut self, ms: u64) {
        let (seconds, us) = ((ms / 1000).to_string(), (ms % 1000 * 1000).to_string());
        self.run(&["DEL", "test:time"]).await;
        self.run(&["RPUSH", "test:time", &seconds, &us]).await;
    }

    /// The next message of the state's channel.
    pub(super) async fn heard(&mut self) -> StateMessage {
        loop {
            let PushInfo { kind, data } = self.pushes.recv().await.unwrap();
            if kind == PushKind::Message {
                let Some(Value::BulkString(body)) = data.last() else {
                    panic!("{data:?}");
                };
                return self.codec.state_message(body).unwrap();
            }
        }
    }
}
