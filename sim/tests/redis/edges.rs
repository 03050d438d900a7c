//! What random commands do not come to: bytes that are no requests, logins, refused writes, scripts'
//! mistakes, real time.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use tokio::time::{Instant, sleep};
use tradewire_sim::redis::{Redis, Settings, WriteRefusal};

use crate::real::RealRedis;
use crate::sides::{Sides, ask, connect_real, connect_simulated, same, without_client_id};
use crate::wire::{Frame, PATIENCE, request};
use crate::{runner, runtime, scripts};

/// Pieces of requests: whole ones, heads, ends, and noise.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = |words: &[&str]| request(words);
    let whole = select(vec![
        words(&["PING"]),
        words(&["GET", "a"]),
        words(&["SET", "a", "\r\n*1"]),
        words(&["NONE", "a\r\nb", "c"]),
        words(&["", ""]),
        words(&["HELLO", "3"]),
        b"PING\r\n".to_vec(),
        b"get \"a\" \r\n".to_vec(),
        b"set 'a' \"\\x41\\\"\"\n".to_vec(),
    ]);
    let part = select(
        &[
            "*1\r\n",
            "*2\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*x\r\n",
            "*",
            "$4\r\n",
            "$0\r\n",
            "$-1\r\n",
            "$a\r\n",
            "$",
            "\r\n",
            "\n",
            "\r",
            "4",
            "\"",
            "'",
            "PING",
            "hget",
            " ",
            "\0",
            "*99999999999\r\n",
            "$536870913\r\n",
            "*1\r\n+\r\n",
            "*1\r\n\r\n",
            "POST / HTTP/1.1\r\n",
            "\x0b",
        ][..],
    );
    let noise = proptest::collection::vec(any::<u8>(), 1..4);
    let piece = prop_oneof![
        6 => whole,
        4 => part.prop_map(|part| part.as_bytes().to_vec()),
        1 => noise,
    ];
    proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn any_bytes_are_taken_alike() {
    let (real, runtime) = (RealRedis::start(), runtime());
    let compare = async |bytes: Vec<u8>| {
        let redis = Redis::new(Settings::default()).unwrap();
        ask(&mut connect_real(&real).await, &["FLUSHALL"]).await;
        let (mut ours, mut theirs) = (connect_simulated(&redis), connect_real(&real).await);
        ours.send(&bytes).await;
        theirs.send(&bytes).await;
        let (mut ours, mut theirs) = (ours.until_end().await, theirs.until_end().await);
        ours.iter_mut()
            .chain(&mut theirs)
            .for_each(without_client_id);
        // A browser's request is cut off at once: what was answered before may or may not arrive.
        if bytes
            .to_ascii_lowercase()
            .windows(4)
            .any(|four| four == b"post")
        {
            let both = ours.len().min(theirs.len());
            ours.truncate(both);
            theirs.truncate(both);
        }
        same(ours, theirs, &bytes.escape_ascii().to_string())
    };
    runner(500)
        .run(&pieces(), |bytes| runtime.block_on(compare(bytes)))
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Asks both the same things on a connection of their own.
async fn alike(
    redis: &Redis,
    real: &RealRedis,
    questions: &[&[&str]],
) -> Result<(), TestCaseError> {
    let (mut ours, mut theirs) = (connect_simulated(redis), connect_real(real).await);
    for words in questions {
        let (mut simulated, mut real) =
            (ask(&mut ours, words).await, ask(&mut theirs, words).await);
        without_client_id(&mut simulated);
        without_client_id(&mut real);
        same(simulated, real, words)?;
    }
    Ok(())
}

#[test]
fn logins_are_taken_alike() {
    let real = RealRedis::start();
    let open = async {
        let redis = Redis::new(Settings::default()).unwrap();
        let questions: [&[&str]; 19] = [
            &["HELLO"],
            &["HELLO", "3"],
            &["HELLO"],
            &["HELLO", "2", "SETNAME", "x"],
            &["HELLO", "4"],
            &["HELLO", "x"],
            &["HELLO", "3", "NONE"],
            &["HELLO", "3", "AUTH", "default"],
            &["HELLO", "3", "AUTH", "default", "any", "SETNAME", "a b"],
            &["HELLO", "3", "auth", "default", "any", "setname", "ab"],
            &["AUTH", "x"],
            &["AUTH", "default", "x"],
            &["AUTH", "other", "x"],
            &["AUTH", "a", "b", "c"],
            &["SELECT", "15"],
            &["SELECT", "16"],
            &["SELECT", "2147483648"],
            &["SELECT", "-9007199254740992"],
            &["CLIENT", "SETINFO", "LIB-NAME", "x"],
        ];
        alike(&redis, &real, &questions).await?;
        let config = ["CONFIG", "SET", "requirepass", "secret"];
        ask(&mut connect_real(&real).await, &config).await;
        let password = Some("secret".to_owned());
        let redis = Redis::new(Settings {
            password,
            ..Settings::default()
        })
        .unwrap();
        let questions: [&[&str]; 12] = [
            &["PING"],
            &["NONE"],
            &["GET"],
            &["HELLO", "3"],
            &["HELLO", "3", "AUTH", "default", "wrong"],
            &["AUTH", "wrong"],
            &["AUTH", "other", "secret"],
            &["GET", "a"],
            &["HELLO", "3", "AUTH", "default", "secret"],
            &["GET", "a"],
            &["AUTH", "wrong"],
            &["GET", "a"],
        ];
        alike(&redis, &real, &questions).await?;
        alike(&redis, &real, &[&["AUTH", "secret"], &["PING"]]).await
    };
    runtime()
        .block_on(open)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Commands and scripts of which some write.
const MIXED: [&[&str]; 12] = [
    &["GET", "a"],
    &["SET", "a", "1"],
    &["DEL", "a"],
    &["LTRIM", "l", "0", "1"],
    &["PEXPIRE", "a", "100000"],
    &["PUBLISH", "c", "x"],
    &["XADD", "s", "1-1", "a", "b"],
    &["EVALSHA", "LEAD", "1", "lease", "n", "100000"],
    &["EVALSHA", "FETCH", "2", "clock", "a", "0123456789abcdef"],
    &["EVALSHA", "CHARGE", "1", "rate", "5", "60000", "0"],
    &[
        "EVALSHA", "CLAIM", "1", "slots", "s", "", "30000", "5", "30",
    ],
    &["PING"],
];

#[test]
fn writes_are_refused_alike() {
    let real = RealRedis::start();
    let compare = async {
        for (why, set, unset) in [
            (
                WriteRefusal::OutOfMemory,
                ["CONFIG", "SET", "maxmemory", "1"],
                ["CONFIG", "SET", "maxmemory", "0"],
            ),
            (
                WriteRefusal::ReadOnly,
                ["REPLICAOF", "127.0.0.1", "1", ""],
                ["REPLICAOF", "no", "one", ""],
            ),
        ] {
            let mut sides = Sides::new(&real, &scripts::scripts()).await?;
            let mut admin = connect_real(&real).await;
            let words = |words: [&'static str; 4]| {
                words
                    .into_iter()
                    .filter(|word| !word.is_empty())
                    .collect::<Vec<_>>()
            };
            for (why, command) in [(Some(why), set), (None, unset)] {
                sides.redis.refuse_writes(why);
                let done = ask(&mut admin, &words(command)).await;
                same(done, Frame::Line(b'+', b"OK".to_vec()), &command)?;
                for words in MIXED {
                    let words: Vec<_> = words.iter().map(|word| sides.name_of(word)).collect();
                    let words: Vec<_> = words.iter().map(String::as_str).collect();
                    sides.both(1, &words).await?;
                }
            }
        }
        Ok::<_, TestCaseError>(())
    };
    runtime()
        .block_on(compare)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Scripts with every mistake that ours could come to make.
const MISTAKES: [&str; 44] = [
    "return",
    "return 1",
    "return -1.9",
    "return 3e300",
    "return 0/0",
    "return 'a\\r\\nb'",
    "return true",
    "return {1, 2.7, true, false, 'x', nil, 3}",
    "return {{1, {2}}, {}}",
    "return {ok = 'fine'}",
    "return {err = 'bad'}",
    "return {err = 1}",
    "return redis.status_reply('a b')",
    "return redis.status_reply('a\\r\\nb')",
    "return redis.error_reply('x y')",
    "return redis.error_reply('x')",
    "return redis.error_reply('-x y')",
    "return redis.error_reply(1)",
    "return {redis.error_reply('x y'), 1}",
    "return missing",
    "missing = 1",
    "local function f() missing = 1 end\n\nf()",
    "redis.call = 1",
    "string.format = 1",
    "return redis.call()",
    "return redis.call({})",
    "return redis.call('GET')",
    "return redis.call('NONE')",
    "return redis.call('SUBSCRIBE', 'a')",
    "return redis.call('EVALSHA', 'a', '0')",
    "return redis.pcall('NONE')",
    "return redis.call('SET', 'n', 1.5)",
    "return redis.call('SET', 'n', 1e20)",
    "return redis.call('GET', 'n') .. type(redis.call('PTTL', 'n')) .. type(redis.call('GET', 'none'))",
    "return {redis.call('SET', 'h', '1').ok, type(redis.call('XREAD', 'STREAMS', 'none', '0'))}",
    "\n\nreturn redis.call('HSET', 'h', 'a', 'b')",
    "return redis.pcall('HSET', 'h', 'a', 'b')",
    "local ok, e = pcall(redis.call, 'HSET', 'h', 'a', 'b') return {tostring(ok), e}",
    "local ok, e = pcall(error, 'x') return {tostring(ok), e}",
    "error('told')",
    "error({err = 'CODE told'})",
    "return nil .. 'a'",
    "return string.rep()",
    "return table.concat({1, {}})",
];

/// What is no script.
const NO_SCRIPTS: [&str; 5] = [
    "return =",
    "end",
    "if x then",
    "return 'abc",
    "return 1 return 2",
];

#[test]
fn scripts_fail_alike() {
    let real = RealRedis::start();
    let compare = async {
        let texts: Vec<_> = MISTAKES
            .iter()
            .map(|text| ("", (*text).to_owned()))
            .collect();
        for connection in [0, 1] {
            let mut sides = Sides::new(&real, &texts).await?;
            for place in 0..texts.len() {
                let name = sides.name(place);
                sides.both(connection, &["EVALSHA", &name, "0"]).await?;
            }
            for text in NO_SCRIPTS {
                sides.both(connection, &["SCRIPT", "LOAD", text]).await?;
            }
            // Keys and arguments of one call are not those of the next.
            let both = "return {#KEYS, #ARGV, KEYS[1], ARGV[2]}";
            let loaded = sides.both(connection, &["SCRIPT", "LOAD", both]).await?;
            let [Frame::Bulk(name)] = &loaded[..] else {
                panic!("{loaded:?}");
            };
            let name = String::from_utf8(name.to_ascii_uppercase()).unwrap();
            sides
                .both(connection, &["EVALSHA", &name, "1", "k", "a", "b", "c"])
                .await?;
            sides.both(connection, &["EVALSHA", &name, "0"]).await?;
        }
        Ok::<_, TestCaseError>(())
    };
    runtime()
        .block_on(compare)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Digits of the clock in place of which nothing can be compared.
fn without_time(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut shown = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        // Seconds, milliseconds, microseconds since the Unix epoch.
        if matches!(digits.len(), 10 | 13 | 16) && digits.starts_with('1') {
            shown.push_str(&part.replace(digits, "<time>"));
        } else {
            shown.push_str(part);
        }
    }
    shown
}

#[test]
fn the_scripts_read_the_clock_alike() {
    let real = RealRedis::start();
    let compare = async {
        let mut sides = Sides::new(&real, &scripts::scripts()).await?;
        let calls: [&[&str]; 8] = [
            &["EVALSHA", "OPEN", "1", "clock", "c", "0123456789abcdef"],
            &[
                "EVALSHA", "CLAIM", "1", "slots", "s", "", "30000", "5", "30",
            ],
            &["HGETALL", "slots"],
            &[
                "EVALSHA", "RENEW", "1", "slots", "30000", "5", "17500", "s", "0", "t", "0",
            ],
            &["HGETALL", "slots"],
            &["EVALSHA", "CHARGE", "1", "rate", "1", "60000", "0"],
            &["LINDEX", "rate", "0"],
            &["HGET", "clock", "e"],
        ];
        for words in calls {
            let words: Vec<_> = words.iter().map(|word| sides.name_of(word)).collect();
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let (simulated, real) = sides.ask_both(&words).await;
            let text = |frame: &Frame| without_time(format!("{frame:?}").as_bytes());
            same(text(&simulated), text(&real), &words)?;
        }
        // TIME itself: two numbers, the second below a million.
        let (simulated, real) = sides.ask_both(&["TIME"]).await;
        for frame in [simulated, real] {
            let Frame::Items(b'*', items) = &frame else {
                panic!("{frame:?}");
            };
            let [Frame::Bulk(seconds), Frame::Bulk(micros)] = &items[..] else {
                panic!("{frame:?}");
            };
            assert_eq!(seconds.len(), 10);
            assert!(micros.len() <= 6, "{frame:?}");
        }
        Ok::<_, TestCaseError>(())
    };
    runtime()
        .block_on(compare)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn keys_expire_alike() {
    let real = RealRedis::start();
    let compare = async {
        let mut sides = Sides::new(&real, &[]).await?;
        // In one piece, so that none of it comes too late on one side.
        let begin = [
            &["SET", "short", "1", "PX", "200"][..],
            &["SET", "kept", "1", "PX", "200"],
            &["SET", "kept", "2"],
            &["HSET", "hash", "a", "1"],
            &["PEXPIRE", "hash", "200"],
            &["HSET", "hash", "b", "2"],
            &["LPUSH", "list", "a"],
            &["PEXPIRE", "list", "200"],
            &["PEXPIRE", "list", "100000"],
        ];
        let begin: Vec<u8> = begin.iter().flat_map(|words| request(words)).collect();
        sides.both_bytes(1, &begin).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (simulated, real) = sides.ask_both(&["EXISTS", "short", "hash"]).await;
            if simulated == real && real == Frame::Line(b':', b"0".to_vec()) {
                break;
            }
            assert!(Instant::now() < deadline, "{simulated:?} {real:?}");
            sleep(Duration::from_millis(5)).await;
        }
        for words in [
            &["MGET", "short", "kept"][..],
            &["HGETALL", "hash"],
            &["PTTL", "hash"],
            &["PTTL", "kept"],
            &["EXISTS", "list"],
            &["SET", "short", "3", "NX"],
        ] {
            sides.both(1, words).await?;
        }
        Ok::<_, TestCaseError>(())
    };
    runtime()
        .block_on(compare)
        .unwrap_or_else(|error| panic!("{error}"));
}
