//! Look-ups and checks against a real Redis, whatever is under the keys and whatever becomes of it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tradewire_engine::ids::UserId;
use tradewire_engine::limits::ParseLimits;

use super::redis::{CHECKED_AT_ONCE, LOOKUPS_MAX, TASKS_MAX};
use super::*;

/// A `redis-server` of the test's own.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        loop {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut child = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args(["--save", "", "--appendonly", "no"])
                .stdout(Stdio::piped())
                .spawn()
                .expect("redis-server is installed");
            let told = BufReader::new(child.stdout.take().unwrap());
            let ready = |line: &str| line.contains("eady to accept connections");
            if told.lines().any(|line| line.is_ok_and(|line| ready(&line))) {
                return Self { child, port };
            }
            // Someone else took the port.
            child.wait().unwrap();
        }
    }

    async fn connect(&self) -> MultiplexedConnection {
        self.connect_with(LONG).await
    }

    /// A connection that waits so long for each answer.
    async fn connect_with(&self, response_max: Duration) -> MultiplexedConnection {
        let url = format!("redis://127.0.0.1:{}/?protocol=resp3", self.port);
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(response_max));
        Client::open(url)
            .unwrap()
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let done = Command::new("kill").args([signal, &pid]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// A store, what it answers, and the way to change its connection.
struct Bench {
    sessions: RedisSessions,
    arrived: mpsc::Receiver<Input>,
    connection: watch::Sender<Option<MultiplexedConnection>>,
    last: u64,
}

impl Bench {
    fn new(connection: Option<MultiplexedConnection>, lookup_max: Duration) -> Self {
        let (connection, connections) = watch::channel(connection);
        // Smaller than what is under way at times.
        let (arrivals, arrived) = mpsc::channel(4);
        let settings = SessionSettings {
            prefix: "shop:".into(),
            lookup_max,
            limits: ParseLimits::default(),
            seed: 7,
        };
        Self {
            sessions: RedisSessions::new(connections, arrivals, settings),
            arrived,
            connection,
            last: 0,
        }
    }

    fn ask(&mut self, session: &str) -> VecDeque<Input> {
        let mut answers = VecDeque::new();
        self.last += 1;
        let request = RequestId::new(self.last);
        self.sessions.look_up(request, id(session), &mut answers);
        answers
    }

    async fn arrival(&mut self) -> Input {
        let arrival = timeout(LONG, self.arrived.recv()).await;
        arrival.expect("an answer in time").unwrap()
    }

    async fn look_up(&mut self, session: &str) -> SessionVerdict {
        assert!(self.ask(session).is_empty());
        let arrival = self.arrival().await;
        let Input::SessionLookedUp { request, verdict } = arrival else {
            panic!("{arrival:?}");
        };
        assert_eq!(request, RequestId::new(self.last));
        verdict
    }

    async fn check(&mut self, sessions: Vec<SessionId>) -> Option<Vec<bool>> {
        let mut answers = VecDeque::new();
        self.last += 1;
        let request = RequestId::new(self.last);
        self.sessions.check(request, sessions, &mut answers);
        assert!(answers.is_empty());
        let arrival = self.arrival().await;
        let Input::SessionsChecked { request, present } = arrival else {
            panic!("{arrival:?}");
        };
        assert_eq!(request, RequestId::new(self.last));
        present
    }
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

fn found(user: &str) -> SessionVerdict {
    let user = UserId::new(user).unwrap();
    SessionVerdict::Found { user }
}

async fn run(connection: &mut MultiplexedConnection, words: &[&[u8]]) {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.exec_async(connection).await.unwrap();
}

async fn set(connection: &mut MultiplexedConnection, session: &str, value: &[u8]) {
    let key = format!("shop:{session}");
    run(
        connection,
        &[b"SET", key.as_bytes(), value, b"EX", b"86400"],
    )
    .await;
}

#[tokio::test]
async fn a_session_tells_its_user() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(redis.clone()), LONG);
    let cookie = r#""cookie":{"originalMaxAge":1,"expires":"2020-01-01T00:00:00.000Z","path":"/"}"#;
    let long = "x".repeat(65_000);
    for (session, rest, user) in [
        ("string", r#""passport":{"user":"ann"}"#.to_owned(), "ann"),
        ("number", r#""passport":{"user":42}"#.to_owned(), "42"),
        (
            "object",
            r#""passport":{"user":{"_id":"b1"}}"#.to_owned(),
            "b1",
        ),
        ("own", r#""userId":"zoë""#.to_owned(), "zoë"),
        ("with space and ü:#", r#""userId":1"#.to_owned(), "1"),
        ("long", format!(r#""userId":"u","cart":"{long}""#), "u"),
    ] {
        let value = format!("{{{cookie},{rest}}}");
        set(&mut redis, session, value.as_bytes()).await;
        assert_eq!(bench.look_up(session).await, found(user), "{session}");
    }
    // connect-redis can be told not to let keys expire.
    run(&mut redis, &[b"SET", b"shop:forever", br#"{"userId":7}"#]).await;
    assert_eq!(bench.look_up("forever").await, found("7"));
}

#[tokio::test]
async fn what_is_not_someones_session_is_unknown() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(redis.clone()), LONG);
    let huge = format!(r#"{{"userId":"u","x":"{}"}}"#, "x".repeat(5_000_000));
    let deep = format!(r#"{{"userId":"u","x":{}}}"#, "[".repeat(60_000));
    for (session, value) in [
        ("empty", b"".as_slice()),
        ("bytes", b"\xff\x00\xfe"),
        ("cut", br#"{"userId":"u""#),
        ("array", br#"[{"userId":"u"}]"#),
        ("nobody", br#"{"cookie":{}}"#),
        ("bad user", br#"{"userId":true}"#),
        ("huge", huge.as_bytes()),
        ("deep", deep.as_bytes()),
    ] {
        set(&mut redis, session, value).await;
        let verdict = bench.look_up(session).await;
        assert_eq!(verdict, SessionVerdict::Unknown, "{session}");
    }
    run(&mut redis, &[b"HSET", b"shop:hash", b"userId", b"u"]).await;
    run(&mut redis, &[b"RPUSH", b"shop:list", br#"{"userId":"u"}"#]).await;
    run(&mut redis, &[b"SET", b"other:other", br#"{"userId":"u"}"#]).await;
    for session in ["hash", "list", "other", "no such session"] {
        let verdict = bench.look_up(session).await;
        assert_eq!(verdict, SessionVerdict::Unknown, "{session}");
    }
    // None of this harms the next one.
    set(&mut redis, "good", br#"{"userId":"u"}"#).await;
    assert_eq!(bench.look_up("good").await, found("u"));
}

#[tokio::test]
async fn a_session_ends_with_its_key() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(redis.clone()), LONG);
    set(&mut redis, "s", br#"{"userId":"u"}"#).await;
    assert_eq!(bench.look_up("s").await, found("u"));
    run(&mut redis, &[b"PEXPIRE", b"shop:s", b"1"]).await;
    let gone = async { while Cmd::exists("shop:s").query_async(&mut redis).await.unwrap() {} };
    timeout(LONG, gone).await.unwrap();
    assert_eq!(bench.look_up("s").await, SessionVerdict::Unknown);
    assert_eq!(bench.check(vec![id("s")]).await, Some(vec![false]));
}

#[tokio::test]
async fn a_redis_that_hangs_is_asked_again_until_it_answers() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(server.connect_with(SHORT).await), LONG);
    set(&mut redis, "s", br#"{"userId":"u"}"#).await;
    server.signal("-STOP");
    assert!(bench.ask("s").is_empty());
    // Longer than one try takes.
    assert!(timeout(SHORT * 3, bench.arrived.recv()).await.is_err());
    server.signal("-CONT");
    let answer = bench.arrival().await;
    let expected = Input::SessionLookedUp {
        request: RequestId::new(1),
        verdict: found("u"),
    };
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_look_up_waits_for_a_connection_and_outlives_one() {
    let server = Server::start();
    let mut redis = server.connect().await;
    set(&mut redis, "s", br#"{"userId":"u"}"#).await;
    let mut bench = Bench::new(None, LONG);
    assert!(bench.ask("s").is_empty());
    tokio::task::yield_now().await;
    assert!(bench.arrived.try_recv().is_err());
    let first = server.connect().await;
    bench.connection.send(Some(first.clone())).unwrap();
    assert!(matches!(
        bench.arrival().await,
        Input::SessionLookedUp { verdict, .. } if verdict == found("u")
    ));
    // The connection breaks, and the next one comes while a look-up is under way.
    let mut first = first;
    let own: i64 = Cmd::new()
        .arg("CLIENT")
        .arg("ID")
        .query_async(&mut first)
        .await
        .unwrap();
    let own = own.to_string();
    run(&mut redis, &[b"CLIENT", b"KILL", b"ID", own.as_bytes()]).await;
    assert!(bench.ask("s").is_empty());
    bench.connection.send(None).unwrap();
    tokio::task::yield_now().await;
    bench.connection.send(Some(server.connect().await)).unwrap();
    assert!(matches!(
        bench.arrival().await,
        Input::SessionLookedUp { verdict, .. } if verdict == found("u")
    ));
}

#[tokio::test]
async fn a_redis_that_refuses_or_never_answers_is_unavailable() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(server.connect_with(SHORT).await), SHORT * 4);
    set(&mut redis, "s", br#"{"userId":"u"}"#).await;
    run(
        &mut redis,
        &[b"ACL", b"SETUSER", b"default", b"-getrange", b"-exists"],
    )
    .await;
    assert_eq!(bench.look_up("s").await, SessionVerdict::Unavailable);
    assert_eq!(bench.check(vec![id("s")]).await, None);
    run(&mut redis, &[b"ACL", b"SETUSER", b"default", b"+@all"]).await;
    assert_eq!(bench.look_up("s").await, found("u"));
    server.signal("-STOP");
    assert_eq!(bench.look_up("s").await, SessionVerdict::Unavailable);
    assert_eq!(bench.check(vec![id("s")]).await, None);
    server.signal("-CONT");
    assert_eq!(bench.look_up("s").await, found("u"));
    drop(server);
    assert_eq!(bench.look_up("s").await, SessionVerdict::Unavailable);
    assert_eq!(bench.check(vec![id("s")]).await, None);
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_every_look_up_is_answered_at_its_time() {
    let mut bench = Bench::new(None, Duration::from_secs(5));
    assert_eq!(bench.check(vec![id("s")]).await, None);
    let begun = tokio::time::Instant::now();
    let asked = LOOKUPS_MAX + 100;
    for _ in 0..asked {
        assert!(bench.ask("s").is_empty());
    }
    for _ in 0..asked {
        let verdict = SessionVerdict::Unavailable;
        assert!(matches!(
            bench.arrival().await,
            Input::SessionLookedUp { verdict: told, .. } if told == verdict
        ));
    }
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_refused_at_once() {
    let mut bench = Bench::new(None, LONG);
    for _ in 0..TASKS_MAX {
        assert!(bench.ask("s").is_empty());
    }
    let request = RequestId::new(TASKS_MAX as u64 + 1);
    let verdict = SessionVerdict::Unavailable;
    assert_eq!(
        bench.ask("s"),
        [Input::SessionLookedUp { request, verdict }]
    );
    let mut answers = VecDeque::new();
    let present = None;
    bench.sessions.check(request, vec![id("s")], &mut answers);
    assert_eq!(answers, [Input::SessionsChecked { request, present }]);
}

#[tokio::test]
async fn many_look_ups_at_once_are_all_answered() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(redis.clone()), LONG);
    set(&mut redis, "s", br#"{"userId":"u"}"#).await;
    let asked = LOOKUPS_MAX * 2;
    for _ in 0..asked {
        assert!(bench.ask("s").is_empty());
    }
    for _ in 0..asked {
        assert!(matches!(
            bench.arrival().await,
            Input::SessionLookedUp { verdict, .. } if verdict == found("u")
        ));
    }
}

#[tokio::test]
async fn a_check_answers_for_each_in_its_order() {
    let server = Server::start();
    let mut redis = server.connect().await;
    let mut bench = Bench::new(Some(redis.clone()), LONG);
    assert_eq!(bench.check(Vec::new()).await, Some(Vec::new()));
    let count = CHECKED_AT_ONCE * 2 + 1;
    for n in (0..count).step_by(3) {
        set(&mut redis, &n.to_string(), b"{}").await;
    }
    let mut sessions: Vec<SessionId> = (0..count).map(|n| id(&n.to_string())).collect();
    let mut present: Vec<bool> = (0..count).map(|n| n % 3 == 0).collect();
    assert_eq!(bench.check(sessions.clone()).await, Some(present.clone()));
    // Some are named again.
    sessions.extend([id("0"), id("1"), id("0")]);
    present.extend([true, false, true]);
    assert_eq!(bench.check(sessions).await, Some(present));
}
