//! The simulated Redis as the server's own client meets it, healthy and not, in simulated time.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, PushInfo, PushKind, RedisConnectionInfo, RedisResult,
    ServerErrorKind, Value, cmd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};
use tradewire_sim::redis::{Loss, OutputLimit, Redis, Settings, WriteRefusal};

/// Simulated: longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(600);

fn redis() -> Redis {
    Redis::new(Settings::default()).unwrap()
}

/// A stream that is served, and what tells that it no longer is.
fn stream(redis: &Redis, buffer: usize) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(buffer);
    let redis = redis.clone();
    (ours, tokio::spawn(async move { redis.serve(theirs).await }))
}

struct Client {
    connection: MultiplexedConnection,
    pushes: mpsc::UnboundedReceiver<PushInfo>,
    /// Ends when the connection does.
    driver: JoinHandle<()>,
}

async fn log_in(redis: &Redis, info: RedisConnectionInfo) -> RedisResult<Client> {
    let (stream, _) = stream(redis, 64 << 10);
    let (sender, pushes) = mpsc::unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_push_sender(sender)
        .set_response_timeout(None);
    let info = info.set_protocol(redis::ProtocolVersion::RESP3);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&info, stream, config).await?;
    let driver = tokio::spawn(driver);
    Ok(Client {
        connection,
        pushes,
        driver,
    })
}

async fn client(redis: &Redis) -> Client {
    log_in(redis, RedisConnectionInfo::default()).await.unwrap()
}

impl Client {
    async fn ask<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> RedisResult<T> {
        let asking = command(words);
        let answer = asking.query_async(&mut self.connection);
        timeout(PATIENCE, answer).await.unwrap()
    }

    async fn pushed(&mut self, kind: &PushKind) -> Vec<Value> {
        loop {
            let push = timeout(PATIENCE, self.pushes.recv())
                .await
                .unwrap()
                .unwrap();
            if push.kind == *kind {
                return push.data;
            }
        }
    }
}

fn command(words: &[&str]) -> Cmd {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.into())
}

/// Lets others do what they can without time going by.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_loads_scripts_hears_pushes_and_waits_for_entries() {
    let redis = redis();
    let (mut one, mut other) = (client(&redis).await, client(&redis).await);
    let text = "return redis.call('PUBLISH', KEYS[1], ARGV[1])";
    let sha: String = one.ask(&["SCRIPT", "LOAD", text]).await.unwrap();
    other.connection.subscribe("c").await.unwrap();
    other.connection.psubscribe("socket.io#/#*").await.unwrap();
    let told: i64 = one
        .ask(&["EVALSHA", &sha, "1", "c", "hello"])
        .await
        .unwrap();
    assert_eq!(told, 1);
    assert_eq!(
        other.pushed(&PushKind::Message).await,
        [bulk("c"), bulk("hello")]
    );
    assert_eq!(redis.publish("socket.io#/#r#", &b"\xff\0"[..]), 1);
    let garbage = other.pushed(&PushKind::PMessage).await;
    assert_eq!(garbage[2], Value::BulkString(b"\xff\0".to_vec()));

    let mut reader = client(&redis).await;
    let read = [
        "XREAD", "COUNT", "10", "BLOCK", "60000", "STREAMS", "s", "0",
    ];
    let reading = tokio::spawn(async move { reader.ask::<Value>(&read).await });
    sleep(Duration::from_secs(1)).await;
    assert!(!reading.is_finished());
    let id: String = one.ask(&["XADD", "s", "*", "a", "1"]).await.unwrap();
    let entry = Value::Array(vec![bulk(&id), Value::Array(vec![bulk("a"), bulk("1")])]);
    let expected = Value::Map(vec![(bulk("s"), Value::Array(vec![entry]))]);
    assert_eq!(reading.await.unwrap().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_read_ends_with_its_time_by_redis_clock() {
    let redis = redis();
    let mut client = client(&redis).await;
    let read = ["XREAD", "BLOCK", "1000", "STREAMS", "s", "$"];
    for (speed, took) in [(1_000_000, 1_000), (2_000_000, 500)] {
        redis.set_clock_speed(NonZeroU32::new(speed).unwrap());
        let begun = Instant::now();
        assert_eq!(client.ask::<Value>(&read).await.unwrap(), Value::Nil);
        // A millisecond more is a timer's.
        let late = begun.elapsed() - Duration::from_millis(took);
        assert!(late < Duration::from_millis(3), "{late:?}");
    }
    let reading = tokio::spawn(async move { client.ask::<Value>(&read).await });
    settle().await;
    redis.set_clock(redis.clock() + Duration::from_secs(5));
    settle().await;
    assert!(reading.is_finished(), "the clock went past its end");
}

#[tokio::test(start_paused = true)]
async fn keys_expire_by_redis_clock() {
    let redis = redis();
    let mut client = client(&redis).await;
    redis.set("sess:1", "{}", Some(Duration::from_secs(10)));
    redis.set("sess:2", "{}", None);
    advance(Duration::from_secs(5)).await;
    assert_eq!(client.ask::<i64>(&["PTTL", "sess:1"]).await.unwrap(), 5_000);
    redis.set_clock(redis.clock() + Duration::from_secs(6));
    let there: i64 = client.ask(&["EXISTS", "sess:1", "sess:2"]).await.unwrap();
    assert_eq!(there, 1);
    assert!(redis.expire_in("sess:2", Duration::from_secs(1)));
    advance(Duration::from_millis(1_001)).await;
    assert_eq!(redis.get("sess:2"), None);
    assert!(!redis.remove("sess:2"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_breaks_connections_and_forgets_scripts_and_what_it_is_told_to() {
    for (loss, left) in [
        (Loss::Nothing, ["1", "2", "3"]),
        (Loss::Latest(Duration::from_millis(1_500)), ["1", "2", ""]),
        (Loss::Latest(Duration::from_millis(2_500)), ["1", "", ""]),
        (Loss::Everything, ["", "", ""]),
    ] {
        let redis = redis();
        let mut before = client(&redis).await;
        let sha: String = before.ask(&["SCRIPT", "LOAD", "return 1"]).await.unwrap();
        for value in ["1", "2", "3"] {
            let _: Value = before.ask(&["HSET", "h", value, value]).await.unwrap();
            let _: Value = before.ask(&["XADD", "s", "*", "a", value]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        redis.stop(loss);
        before.driver.await.unwrap();
        let (_stream, served) = stream(&redis, 64);
        served.await.unwrap();

        redis.start(Duration::ZERO);
        let mut after = client(&redis).await;
        for (field, expected) in ["1", "2", "3"].iter().zip(left) {
            let found: Option<String> = after.ask(&["HGET", "h", field]).await.unwrap();
            assert_eq!(found.unwrap_or_default(), expected, "{loss:?}");
        }
        let entries = redis.trim("s", 10);
        assert_eq!(
            entries,
            left.iter().filter(|value| !value.is_empty()).count()
        );
        let error = after
            .ask::<Value>(&["EVALSHA", &sha, "0"])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ServerErrorKind::NoScript.into());
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_time_to_load() {
    let redis = redis();
    redis.stop(Loss::Nothing);
    redis.start(Duration::from_secs(3));
    let mut client = client(&redis).await;
    let error = client.ask::<Value>(&["GET", "a"]).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::BusyLoading.into());
    client.connection.subscribe("c").await.unwrap();
    advance(Duration::from_secs(3)).await;
    assert_eq!(
        client.ask::<Value>(&["GET", "a"]).await.unwrap(),
        Value::Nil
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_does_one_command_at_a_time() {
    let redis = redis();
    let (mut one, mut other) = (client(&redis).await, client(&redis).await);
    redis.slow(Duration::from_millis(100));
    let begun = Instant::now();
    let (a, b) = tokio::join!(one.ask::<String>(&["PING"]), other.ask::<String>(&["PING"]));
    assert_eq!((a.unwrap(), b.unwrap()), ("PONG".into(), "PONG".into()));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    redis.resume();
    let begun = Instant::now();
    let _: String = one.ask(&["PING"]).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(100));
}

/// What is asked before, and answered only after; of two, the one that has left is done as well.
async fn piles_up(redis: &Redis, buffer: usize, stop: impl FnOnce(&Redis)) {
    let (mut stays, _served) = stream(redis, buffer);
    let (mut leaves, served) = stream(redis, buffer);
    stop(redis);
    stays.write_all(b"SET a 1\r\nPING\r\n").await.unwrap();
    leaves.write_all(b"SET b 1\r\n").await.unwrap();
    drop(leaves);
    let mut answer = [0; 12];
    let reading = timeout(Duration::from_secs(30), stays.read_exact(&mut answer)).await;
    assert!(reading.is_err(), "nothing is answered");
    assert_eq!(redis.get("a"), None);
    redis.resume();
    stays.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+OK\r\n+PONG\r\n");
    served.await.unwrap();
    assert!(
        redis.get("b").is_some(),
        "done though nobody hears the answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_one_reads_and_later_does_what_piled_up() {
    let redis = redis();
    // It reads: what does not fit into the stream at once goes through all the same.
    piles_up(&redis, 4, Redis::hang).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_one_does_not_even_read() {
    let redis = redis();
    piles_up(&redis, 64, Redis::pause).await;
    let (mut client, _served) = stream(&redis, 4);
    redis.pause();
    let writing = client.write_all(b"SET a 1\r\n");
    assert!(timeout(Duration::from_secs(30), writing).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn writes_can_be_refused() {
    let redis = redis();
    let mut client = client(&redis).await;
    redis.refuse_writes(Some(WriteRefusal::ReadOnly));
    let error = client.ask::<Value>(&["SET", "a", "1"]).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::ReadOnly.into());
    redis.refuse_writes(Some(WriteRefusal::OutOfMemory));
    let error = client.ask::<Value>(&["SET", "a", "1"]).await.unwrap_err();
    assert_eq!(error.code(), Some("OOM"));
    redis.refuse_writes(None);
    let _: Value = client.ask(&["SET", "a", "1"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn scripts_can_be_forgotten_under_way() {
    let redis = redis();
    let mut client = client(&redis).await;
    let sha: String = client.ask(&["SCRIPT", "LOAD", "return 1"]).await.unwrap();
    redis.forget_scripts();
    let error = client
        .ask::<Value>(&["EVALSHA", &sha, "0"])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::NoScript.into());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_is_disconnected() {
    let subscriber_limit = OutputLimit {
        hard_bytes: 100 << 10,
        soft_bytes: 100 << 10,
        soft_for: Duration::from_secs(60),
    };
    let redis = Redis::new(Settings {
        subscriber_limit,
        ..Settings::default()
    })
    .unwrap();
    let (mut lazy, served) = stream(&redis, 1 << 10);
    lazy.write_all(b"SUBSCRIBE c\r\n").await.unwrap();
    settle().await;
    let message = vec![b'x'; 10 << 10];
    for _ in 0..9 {
        assert_eq!(redis.publish("c", message.clone()), 1);
        settle().await;
    }
    assert!(!served.is_finished());
    for _ in 0..3 {
        redis.publish("c", message.clone());
    }
    timeout(PATIENCE, served).await.unwrap().unwrap();
    assert_eq!(redis.publish("c", message), 0);
}

#[tokio::test(start_paused = true)]
async fn only_who_knows_the_password_gets_in() {
    let password = Some("secret".to_owned());
    let redis = Redis::new(Settings {
        password,
        ..Settings::default()
    })
    .unwrap();
    let info = RedisConnectionInfo::default;
    assert!(log_in(&redis, info()).await.is_err());
    assert!(log_in(&redis, info().set_password("wrong")).await.is_err());
    let mut client = log_in(&redis, info().set_password("secret")).await.unwrap();
    assert_eq!(client.ask::<String>(&["PING"]).await.unwrap(), "PONG");
}

#[tokio::test(start_paused = true)]
async fn databases_are_apart() {
    let redis = redis();
    let info = RedisConnectionInfo::default();
    let (mut first, mut second) = (
        client(&redis).await,
        log_in(&redis, info.set_db(1)).await.unwrap(),
    );
    let _: Value = first.ask(&["SET", "a", "1"]).await.unwrap();
    assert_eq!(
        second.ask::<Value>(&["GET", "a"]).await.unwrap(),
        Value::Nil
    );
    redis.remove_all();
    assert_eq!(first.ask::<Value>(&["GET", "a"]).await.unwrap(), Value::Nil);
}

/// The requirement of whoever spawns connections on any runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_one_piece_even_when_threads_are_many() {
    let redis = redis();
    let text = "local n = tonumber(redis.call('GET', 'n') or 0)
        for _ = 1, 10 do n = n + 1 redis.call('SET', 'n', n) end";
    let mut loader = client(&redis).await;
    let sha: String = loader.ask(&["SCRIPT", "LOAD", text]).await.unwrap();
    let failed = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (redis, sha, failed) = (redis.clone(), sha.clone(), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut client = client(&redis).await;
                for _ in 0..20 {
                    if client.ask::<Value>(&["EVALSHA", &sha, "0"]).await.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert!(!failed.load(Ordering::Relaxed));
    assert_eq!(redis.get("n").unwrap(), "1600");
}
