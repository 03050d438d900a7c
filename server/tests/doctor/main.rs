//! `tradewire doctor` as an operator runs it, on real Redis servers and on what is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test that cannot go on fails, and its helpers are public to nobody"
)]

mod redis;
mod tls;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use redis::{Redis, free_port, visit, visit_with};

#[test]
fn a_healthy_redis_is_found_healthy_and_left_as_it_was() {
    let redis = Redis::start("healthy", &[]);
    let url = format!("redis://127.0.0.1:{}/1", redis.port);
    let visit = visit(&url);
    assert_eq!(visit.code, 0, "{}", visit.out);
    assert_eq!(visit.err, "");
    assert!(visit.out.starts_with(&format!("{url}\n")), "{}", visit.out);
    for check in [
        "connect",
        "login",
        "protocol",
        "version",
        "role",
        "memory",
        "persistence",
        "latency",
        "clock",
        "values",
        "pub/sub",
        "emitter",
        "stream",
        "scripts",
        "sessions",
    ] {
        visit.expect("ok ", check, &[]);
    }
    visit.expect("ok ", "latency", &["p50", "p99", "of 200 PINGs"]);
    assert!(visit.out.ends_with("(15 ok, 0 warned, 0 failed)\n"));
    let client = ::redis::Client::open(url).unwrap();
    let mut connection = client.get_connection().unwrap();
    let keys: u64 = ::redis::cmd("DBSIZE").query(&mut connection).unwrap();
    assert_eq!(keys, 0);
}

#[test]
fn a_wrong_or_missing_password_is_told_apart_and_never_shown() {
    let redis = Redis::start("password", &["--requirepass", "right"]);
    let visit_as = |who: &str| visit(&format!("redis://{who}127.0.0.1:{}", redis.port));
    let wrong = visit_as("us3r:s3cret@");
    assert_eq!(wrong.code, 1);
    wrong.expect(
        "fail ",
        "login",
        &["refused the user or the password", "REDIS_URL"],
    );
    assert!(
        !wrong.out.contains("s3cret") && !wrong.out.contains("us3r"),
        "{}",
        wrong.out
    );
    let missing = visit_as("");
    assert_eq!(missing.code, 1);
    missing.expect("fail ", "login", &["wants a password"]);
    let right = visit_as(":right@");
    assert_eq!(right.code, 0, "{}", right.out);
    right.expect("ok ", "login", &["accepted"]);
    assert!(!right.out.contains("right"), "{}", right.out);
}

#[test]
fn where_nothing_listens_that_is_said() {
    let visit = visit(&format!("redis://127.0.0.1:{}", free_port()));
    assert_eq!(visit.code, 1);
    visit.expect(
        "fail ",
        "connect",
        &["cannot connect to 127.0.0.1:", "REDIS_URL"],
    );
    assert!(
        visit.out.ends_with("(0 ok, 0 warned, 1 failed)\n"),
        "{}",
        visit.out
    );
}

#[test]
fn what_is_no_redis_is_recognised() {
    for (answer, check, words) in [
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            "protocol",
            "is not Redis",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", "protocol", "is not Redis"),
        ("+OK\r\n", "protocol", "is not Redis"),
        ("", "connect", "closed the connection before it answered"),
        (">1\r\n*0\r\n", "protocol", "is not Redis"),
        (
            "-ERR max number of clients reached\r\n",
            "login",
            "refused: ERR max number of clients reached",
        ),
        (
            "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `s3cret`\r\n",
            "version",
            "is version 5 or older; upgrade it to 6.2",
        ),
        (
            "%1\r\n+version\r\n+6.0.16\r\n",
            "version",
            "is version 6.0.16; upgrade it to 6.2",
        ),
        (
            "-ERR do you mean s3cret?\r\n",
            "login",
            "what it said repeats the password",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Each question gets the answer, until the other side has heard enough.
            let mut asked = [0; 1_024];
            while stream.read(&mut asked).is_ok_and(|bytes| bytes > 0) && !answer.is_empty() {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let visit = visit(&format!("redis://:s3cret@127.0.0.1:{port}"));
        server.join().unwrap();
        assert_eq!(visit.code, 1, "{answer:?}: {}", visit.out);
        visit.expect("fail ", check, &[words]);
        assert!(!visit.out.contains("s3cret"), "{}", visit.out);
        assert_eq!(visit.out.lines().count(), 3, "{}", visit.out);
    }
}

#[test]
fn a_redis_that_is_paused_is_given_up() {
    let redis = Redis::start("paused", &[]);
    redis.signal("-STOP");
    let visit = visit(&format!("redis://127.0.0.1:{}", redis.port));
    redis.signal("-CONT");
    assert_eq!(visit.code, 1);
    visit.expect("fail ", "connect", &["did not answer within 5000 ms"]);
}

#[test]
fn a_redis_that_may_drop_what_is_needed_fails_once_its_memory_is_limited() {
    let policy = ["--maxmemory-policy", "allkeys-lru"];
    let limited = Redis::start("lru", &[&policy[..], &["--maxmemory", "100mb"]].concat());
    let limited = visit(&format!("redis://127.0.0.1:{}", limited.port));
    assert_eq!(limited.code, 1);
    limited.expect(
        "fail ",
        "memory",
        &["allkeys-lru", "set maxmemory-policy noeviction"],
    );
    limited.expect("ok ", "stream", &[]);
    let unlimited = Redis::start("lru", &policy);
    let unlimited = visit(&format!("redis://127.0.0.1:{}", unlimited.port));
    assert_eq!(unlimited.code, 0);
    unlimited.expect("warn ", "memory", &["allkeys-lru", "noeviction"]);
    assert!(
        unlimited.out.contains("at the risks above"),
        "{}",
        unlimited.out
    );
}

#[test]
fn a_redis_that_saves_nothing_is_warned_about() {
    let redis = Redis::start("unsaved", &["--appendonly", "no"]);
    let visit = visit(&format!("redis://127.0.0.1:{}", redis.port));
    assert_eq!(visit.code, 0);
    visit.expect("warn ", "persistence", &["set appendonly yes"]);
    let redis = Redis::start("saved", &["--appendonly", "no", "--save", "60 1"]);
    let visit = redis::visit(&format!("redis://127.0.0.1:{}", redis.port));
    visit.expect("ok ", "persistence", &["snapshots"]);
}

#[test]
fn a_replica_is_no_place_for_a_server() {
    let primary = free_port().to_string();
    let redis = Redis::start("replica", &["--replicaof", "127.0.0.1", &primary]);
    let visit = visit(&format!("redis://127.0.0.1:{}", redis.port));
    assert_eq!(visit.code, 1);
    visit.expect("fail ", "role", &["replica", "REDIS_URL"]);
    visit.expect("fail ", "values", &["name the primary"]);
}

#[test]
fn the_rights_that_it_asks_for_are_the_rights_that_it_needs() {
    let few = "user few on >pw ~tradewire:* +@all";
    let asked = "user asked on >pw ~tradewire:* ~app:* &tradewire:* &socket.io#/#* +@read +@write \
        +@pubsub +@scripting +@connection -@dangerous +time +info";
    let options = [few, asked].map(|user| user.split(' ').collect::<Vec<_>>());
    let options: Vec<_> = options
        .iter()
        .flat_map(|user| [&["--user"][..], &user[1..]].concat())
        .collect();
    let redis = Redis::start("rights", &options);
    let visit = |user: &str| {
        let url = format!("redis://{user}:pw@127.0.0.1:{}", redis.port);
        visit_with(&[
            ("REDIS_URL", url.as_ref()),
            ("SESSION_PREFIX", "app:".as_ref()),
        ])
    };
    let few = visit("few");
    assert_eq!(few.code, 1);
    few.expect("ok ", "values", &[]);
    let rights = asked.split_once("~").unwrap().1;
    few.expect("fail ", "pub/sub", &["NOPERM"]);
    few.expect("fail ", "sessions", &["NOPERM", rights]);
    let asked = visit("asked");
    assert_eq!(asked.code, 0, "{}", asked.out);
    assert!(
        asked.out.ends_with("(15 ok, 0 warned, 0 failed)\n"),
        "{}",
        asked.out
    );
}

#[test]
fn without_a_redis_to_look_at_it_is_used_wrongly() {
    for url in ["", "s3cret", "http://localhost"] {
        let visit = visit(url);
        assert_eq!((visit.code, visit.out.as_str()), (2, ""), "{url}");
        assert!(
            visit.err.starts_with("tradewire: REDIS_URL is not "),
            "{}",
            visit.err
        );
        assert_eq!(visit.err.lines().count(), 1);
        assert!(!visit.err.contains("s3cret"));
    }
}
