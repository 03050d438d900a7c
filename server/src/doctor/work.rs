//! Whether a server's own work can be done: values, channels, the stream, scripts, sessions.
//!
//! Each check does one thing that the server does, on the doctor's own keys.

use redis::streams::StreamReadReply;
use redis::{PushKind, RedisResult, Value};
use tokio::time::{Instant, timeout};

use crate::doctor::report::{Check, Report, millis};
use crate::doctor::{KEYS_LIVE_MS, Patient, RESPONSE_MAX, inbox};
use crate::net::Net;
use crate::redis::Shown;

/// What `@socket.io/redis-emitter` publishes to.
const EMITTER_PATTERN: &str = "socket.io#/#*";

/// Reads the clock and writes, as the server's scripts do.
const SCRIPT: &str = "local time = redis.call('TIME')
redis.call('SET', KEYS[1], time[1], 'PX', ARGV[1])
return redis.call('GET', KEYS[1])";

pub(super) async fn examine<N: Net>(patient: &mut Patient<'_, N>, report: &mut Report) {
    let own = patient.own.clone();
    let key = |what: &str| format!("{own}:{what}");
    let (value, stream, script) = (key("value"), key("stream"), key("script"));

    let written = write_and_read(patient, &value).await;
    report.add(outcome(patient, "values", written, "SET and GET"));
    channels(patient, &key("channel"), report).await;
    let streamed = append_and_read(patient, &stream).await;
    report.add(outcome(patient, "stream", streamed, "XADD and XREAD"));
    let ran = run_script(patient, &script).await;
    report.add(outcome(patient, "scripts", ran, "SCRIPT LOAD and EVALSHA"));
    let read = look_session_up(patient).await;
    let may = format!("keys at {} can be read", patient.config.session_prefix);
    report.add(outcome(patient, "sessions", read, &may));

    // They expire by themselves if this does not work.
    let _: RedisResult<Value> = redis::cmd("UNLINK")
        .arg(&[value, stream, script])
        .query_async(&mut patient.connection)
        .await;
}

/// Judges what was tried: done and as expected, done and otherwise, or not done.
fn outcome<N: Net>(
    patient: &Patient<'_, N>,
    name: &'static str,
    tried: RedisResult<bool>,
    what: &str,
) -> Check {
    match tried {
        Ok(true) => Check::ok(name, what.to_owned()),
        Ok(false) => {
            let found = format!("{what}: what was written did not come back");
            let mend = "see whether a proxy in between changes commands, and connect without it";
            Check::failure(name, found, mend)
        }
        Err(error) => patient.failed(name, &error),
    }
}

async fn write_and_read<N>(patient: &mut Patient<'_, N>, key: &str) -> RedisResult<bool> {
    let value = "0\ntradewire";
    let _: Value = redis::cmd("SET")
        .arg(key)
        .arg(value)
        .arg("PX")
        .arg(KEYS_LIVE_MS)
        .query_async(&mut patient.connection)
        .await?;
    let read: Option<String> = redis::cmd("GET")
        .arg(key)
        .query_async(&mut patient.connection)
        .await?;
    Ok(read.as_deref() == Some(value))
}

async fn append_and_read<N>(patient: &mut Patient<'_, N>, key: &str) -> RedisResult<bool> {
    let id: String = redis::cmd("XADD")
        .arg(key)
        .arg(&["MAXLEN", "~", "100", "*", "n", "1"])
        .query_async(&mut patient.connection)
        .await?;
    let _: Value = redis::cmd("PEXPIRE")
        .arg(key)
        .arg(KEYS_LIVE_MS)
        .query_async(&mut patient.connection)
        .await?;
    let read: StreamReadReply = redis::cmd("XREAD")
        .arg(&["COUNT", "10", "BLOCK", "1000", "STREAMS", key, "0"])
        .query_async(&mut patient.connection)
        .await?;
    let mut ids = read.keys.iter().flat_map(|stream| &stream.ids);
    Ok(ids.any(|entry| entry.id == id))
}

async fn run_script<N>(patient: &mut Patient<'_, N>, key: &str) -> RedisResult<bool> {
    let hash: String = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(SCRIPT)
        .query_async(&mut patient.connection)
        .await?;
    let time: String = redis::cmd("EVALSHA")
        .arg(hash)
        .arg(1)
        .arg(key)
        .arg(KEYS_LIVE_MS)
        .query_async(&mut patient.connection)
        .await?;
    Ok(!time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))
}

/// Looks up a session that nobody has, as a login does.
async fn look_session_up<N>(patient: &mut Patient<'_, N>) -> RedisResult<bool> {
    let key = format!("{}{}", patient.config.session_prefix, patient.own);
    let (_, expires, exists): (Value, i64, bool) = redis::pipe()
        .cmd("GETRANGE")
        .arg(&key)
        .arg(0)
        .arg(0)
        .cmd("PTTL")
        .arg(&key)
        .cmd("EXISTS")
        .arg(&key)
        .query_async(&mut patient.connection)
        .await?;
    Ok(!exists && expires == -2)
}

/// Sends a message around, and listens where emitters publish.
async fn channels<N: Net>(patient: &mut Patient<'_, N>, channel: &str, report: &mut Report) {
    let (pushes, mut messages) = inbox();
    let mut listener = match patient.another(pushes).await {
        Ok(listener) => listener,
        Err(error) => {
            let found = format!("a second connection failed: {error}");
            report.add(Check::failure("pub/sub", found, ""));
            return;
        }
    };
    if let Err(error) = listener.connection.subscribe(channel).await {
        report.add(patient.failed("pub/sub", &error));
        return;
    }
    let sent = Instant::now();
    let published: RedisResult<Value> = redis::cmd("PUBLISH")
        .arg(channel)
        .arg("tradewire")
        .query_async(&mut patient.connection)
        .await;
    if let Err(error) = published {
        report.add(patient.failed("pub/sub", &error));
        return;
    }
    let arrived = async {
        while let Some(push) = messages.recv().await {
            if push.kind == PushKind::Message {
                return true;
            }
        }
        false
    };
    report.add(match timeout(RESPONSE_MAX, arrived).await {
        Ok(true) => {
            let found = format!("a message went around in {}", millis(sent.elapsed()));
            Check::ok("pub/sub", found)
        }
        Ok(false) | Err(_) => Check::failure(
            "pub/sub",
            "a message that was published did not arrive".to_owned(),
            "see whether a proxy in between keeps messages back, and connect without it",
        ),
    });
    report.add(
        match listener.connection.psubscribe(EMITTER_PATTERN).await {
            Ok(()) => Check::ok("emitter", format!("PSUBSCRIBE {EMITTER_PATTERN}")),
            // Who has no such emitter does not need it.
            Err(error) => {
                let said = Shown::error(&error);
                let found = format!("messages of @socket.io/redis-emitter cannot be had: {said}");
                Check::warning("emitter", found, &patient.mend(&error))
            }
        },
    );
}
