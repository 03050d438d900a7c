//! Random commands from the vocabulary that the server uses, plausible and not.
//!
//! No life is short but nonexistent: both sides must not be able to see a key expire at different times.

use std::fmt::{self, Debug, Formatter};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// One word of a command.
#[derive(Clone)]
pub(crate) enum Word {
    Text(Vec<u8>),
    /// The id that was the so-manieth to be seen, on each side its own.
    Seen(usize),
    /// The name of a script.
    Script(usize),
}

impl Debug for Word {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Self::Seen(place) => write!(f, "<id {place}>"),
            Self::Script(place) => write!(f, "<script {place}>"),
        }
    }
}

/// A command on one of the connections.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) connection: usize,
    pub(crate) words: Vec<Word>,
}

impl Debug for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.connection)?;
        self.words
            .iter()
            .try_for_each(|word| write!(f, " {word:?}"))
    }
}

type Words = BoxedStrategy<Vec<Word>>;

/// Keys of every type and of the scripts' clocks.
///
/// Redis makes ids in one stream only, which is never taken away: else two entries could have one id on
/// one side and two on the other.
pub(crate) const KEYS: [&str; 11] = [
    "a", "b", "clock", "hash", "id:1", "id:2", "list", "now:s", "now:us", "slots", "stream",
];

/// What may stand anywhere. No number here makes a short life.
const ANYTHING: [&str; 16] = [
    "",
    "0",
    "-1",
    "x",
    "200000",
    "600000",
    "0123456789abcdef",
    "fedcba9876543210",
    "1e6",
    "1.5",
    "9007199254740992",
    "9223372036854775807",
    "18446744073709551616",
    "a\r\nb",
    "ü",
    "~",
];

const COMMANDS: [&str; 24] = [
    "DEL",
    "EVALSHA",
    "EXISTS",
    "GET",
    "HDEL",
    "HGET",
    "HGETALL",
    "HSET",
    "LINDEX",
    "LPUSH",
    "LTRIM",
    "MGET",
    "NONE",
    "PEXPIRE",
    "PING",
    "PTTL",
    "PUBLISH",
    "SCRIPT",
    "SELECT",
    "SET",
    "SUBSCRIBE",
    "XADD",
    "XREAD",
    "script",
];

fn text(text: impl AsRef<[u8]>) -> Vec<Word> {
    vec![Word::Text(text.as_ref().to_vec())]
}

fn one(of: &'static [&'static str]) -> Words {
    select(of).prop_map(text).boxed()
}

/// Any key.
fn any_key() -> Words {
    one(&KEYS)
}

/// A key that may be taken away.
fn key() -> Words {
    one(&[
        "a", "b", "clock", "hash", "id:1", "id:2", "list", "now:s", "now:us", "slots",
    ])
}

/// No key that may hold an id: parts of ids cannot be compared.
fn short_key() -> Words {
    one(&["a", "hash", "now:s", "list", "none"])
}

fn anything() -> Words {
    prop_oneof![one(&ANYTHING), key(), small()].boxed()
}

/// Never where it could be a life.
fn small() -> Words {
    one(&["0", "1", "-1", "2", "-2", "5", "-100", "100", "x", "01", ""])
}

fn life() -> Words {
    prop_oneof![
        8 => one(&["100000", "200000", "600000"]),
        1 => one(&["0", "-1", "x", "9223372036854775807", "1e6", ""]),
    ]
    .boxed()
}

fn channel() -> Words {
    one(&["c", "d", "socket.io#/#", "socket.io#/#r#"])
}

/// No two match one channel: in which order patterns are told is left to chance.
fn pattern() -> Words {
    one(&["socket.io#/#*", "[^a-bd]", "\\d"])
}

fn payload() -> Words {
    prop_oneof![
        one(&["{}", "{\"price\":1.50}", "ü\u{0}", ""]),
        (0_usize..300).prop_map(|length| text("x".repeat(length))),
    ]
    .boxed()
}

fn entry_id() -> Words {
    prop_oneof![
        3 => (0_usize..8).prop_map(|seen| vec![Word::Seen(seen)]),
        3 => one(&["0", "0-0", "$", "1-1", "2"]),
        1 => one(&[">", "-", "x", "18446744073709551615-18446744073709551615", "5-", "-5"]),
    ]
    .boxed()
}

/// These words one after the other.
fn all(parts: Vec<Words>) -> Words {
    parts.prop_map(|parts| parts.concat()).boxed()
}

fn literal(word: &'static str) -> Words {
    Just(text(word)).boxed()
}

fn several(part: impl Fn() -> Words, least: usize, most: usize) -> Words {
    proptest::collection::vec(part(), least..=most)
        .prop_map(|parts| parts.concat())
        .boxed()
}

fn maybe(part: Words) -> Words {
    prop_oneof![Just(Vec::new()), part].boxed()
}

fn command(name: &'static str, parts: Vec<Words>) -> Words {
    all([vec![literal(name)], parts].concat())
}

fn on_texts() -> Words {
    let option = || {
        prop_oneof![
            all(vec![one(&["px", "PX"]), life()]),
            one(&["NX", "XX", "zz"])
        ]
    };
    Union::new([
        command("GET", vec![any_key()]),
        command("GETRANGE", vec![short_key(), small(), small()]),
        command("MGET", vec![several(any_key, 1, 3)]),
        command(
            "SET",
            vec![key(), payload(), several(|| option().boxed(), 0, 2)],
        ),
        command("EXISTS", vec![several(any_key, 1, 3)]),
        command("DEL", vec![several(key, 1, 2)]),
        command("PTTL", vec![any_key()]),
        command("PEXPIRE", vec![key(), life()]),
        command("PING", vec![maybe(payload())]),
    ])
    .boxed()
}

fn on_others() -> Words {
    let field = || one(&["e", "c", "n", "f", "connects", "r:x"]);
    let pair = move || all(vec![field(), anything()]);
    Union::new([
        command("HSET", vec![any_key(), several(pair, 1, 3)]),
        command("HGET", vec![any_key(), field()]),
        command("HDEL", vec![any_key(), several(field, 1, 3)]),
        command("HGETALL", vec![any_key()]),
        command("LPUSH", vec![any_key(), several(payload, 1, 3)]),
        command("LINDEX", vec![any_key(), small()]),
        command("LTRIM", vec![any_key(), small(), small()]),
    ])
    .boxed()
}

fn on_streams() -> Words {
    let max = || {
        maybe(all(vec![
            one(&["MAXLEN", "maxlen"]),
            one(&["~", "=", "~"]),
            small(),
        ]))
    };
    let pairs = || several(|| all(vec![payload(), payload()]), 1, 2);
    let id = one(&["1-1", "3", "0-0", "x", "-", "9"]);
    let made = vec![
        one(&["stream", "stream", "text"]),
        max(),
        literal("*"),
        pairs(),
    ];
    let given = vec![key(), max(), id, pairs()];
    let count = || maybe(all(vec![literal("COUNT"), small()]));
    let block = || {
        maybe(all(vec![
            literal("BLOCK"),
            one(&["0", "100000", "-1", "x"]),
        ]))
    };
    let streams = literal("STREAMS");
    let read_one = command(
        "XREAD",
        vec![
            count(),
            block(),
            streams.clone(),
            literal("stream"),
            entry_id(),
        ],
    );
    let read_two = vec![
        count(),
        block(),
        streams,
        any_key(),
        any_key(),
        entry_id(),
        entry_id(),
    ];
    Union::new([
        command("XADD", made),
        command("XADD", given),
        read_one,
        command("XREAD", read_two),
    ])
    .boxed()
}

fn on_channels() -> Words {
    Union::new([
        command("PUBLISH", vec![channel(), payload()]),
        command("PUBLISH", vec![channel(), payload()]),
        command("SUBSCRIBE", vec![several(channel, 1, 2)]),
        command("PSUBSCRIBE", vec![pattern()]),
        command("UNSUBSCRIBE", vec![several(channel, 1, 2)]),
        command("PUNSUBSCRIBE", vec![pattern()]),
    ])
    .boxed()
}

/// Sets the clock of the scripts, now and then to something that is no time.
fn set_time() -> Words {
    prop_oneof![
        9 => (0_u32..150).prop_map(|seconds| text((1_700_000_000 + seconds).to_string())),
        1 => one(&["0", "x", "2700000000"]),
    ]
    .prop_map(|seconds| [text("SET"), text("now:s"), seconds].concat())
    .boxed()
}

/// A script's call with `keys` and `args`.
fn call(script: usize, keys: Words, args: Words) -> Words {
    (keys, args)
        .prop_map(move |(keys, args)| {
            let count = text(keys.len().to_string());
            [
                text("EVALSHA"),
                vec![Word::Script(script)],
                count,
                keys,
                args,
            ]
            .concat()
        })
        .boxed()
}

/// The server's scripts, in the order of their names, called as the server calls them.
fn on_scripts() -> Words {
    let epoch = || one(&["0123456789abcdef", "fedcba9876543210"]);
    let clock = || one(&["clock", "clock", "clock", "hash", "list"]);
    let stream = || one(&["stream", "stream", "stream", "text"]);
    let id = || one(&["id:1", "id:2", "id:3"]);
    let slot = || one(&["n1:1", "n1:2", "n2:1", "n2:2", "n3:1", "n3:2", "n3:3"]);
    let slots = || one(&["slots", "slots", "slots", "list"]);
    let user = || one(&["u", "ü"]);
    let few = || one(&["1", "2", "3"]);
    let event = move || all(vec![one(&["executed", "failed"]), user(), payload()]);
    let append = move |events: usize| {
        let keys = all(vec![clock(), stream(), several(id, events, events)]);
        let args = all(vec![
            epoch(),
            one(&["0", "100", "500000"]),
            life(),
            several(event, events, events),
        ]);
        call(0, keys, args)
    };
    let valued = move || all(vec![literal("0"), one(&["m", "p:u"]), payload()]);
    let share = move |values: usize| {
        let keys = all(vec![clock(), several(key, values, values)]);
        let head = vec![epoch(), channel(), life(), one(&["v", "o"])];
        call(
            7,
            keys,
            all([head, vec![several(valued, values, values)]].concat()),
        )
    };
    let with_id = {
        let keys = all(vec![clock(), key(), id()]);
        let value = vec![life(), literal("m"), payload()];
        call(
            7,
            keys,
            all([vec![epoch(), channel(), life(), literal("v")], value].concat()),
        )
    };
    let held = move || all(vec![slot(), one(&["0", "500", "70000", "x"])]);
    Union::new([
        append(1),
        append(3),
        call(
            1,
            one(&["rate", "rate", "list"]),
            all(vec![few(), one(&["60000"]), one(&["0", "0", "1"])]),
        ),
        call(
            2,
            slots(),
            all(vec![
                slot(),
                prop_oneof![slot(), literal("")].boxed(),
                one(&["30000"]),
                few(),
                one(&["3", "20"]),
            ]),
        ),
        call(3, all(vec![clock(), several(key, 0, 4)]), epoch()),
        call(4, key(), all(vec![one(&["n1", "n2"]), life()])),
        call(5, clock(), all(vec![one(&["c", "n"]), epoch()])),
        call(
            6,
            slots(),
            all(vec![
                one(&["30000"]),
                few(),
                one(&["17500"]),
                several(held, 0, 4),
            ]),
        ),
        share(1),
        share(3),
        with_id,
    ])
    .boxed()
}

/// Any words for any command or script.
fn implausible() -> Words {
    let script = (1_usize..9)
        .prop_map(|script| vec![Word::Script(script)])
        .boxed();
    let words = || several(|| prop_oneof![one(&ANYTHING), key()].boxed(), 0, 8);
    Union::new([
        all(vec![one(&COMMANDS), words()]),
        all(vec![literal("EVALSHA"), script, small(), words()]),
        call(
            0,
            all(vec![key(), literal("stream"), several(key, 0, 3)]),
            words(),
        ),
        (1_usize..9, 0_usize..5, words())
            .prop_map(|(script, keys, words)| {
                let count = text(keys.min(words.len()).to_string());
                let script = vec![Word::Script(script)];
                [text("EVALSHA"), script, count, words].concat()
            })
            .boxed(),
    ])
    .boxed()
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let words = prop_oneof![
        3 => on_texts(),
        3 => on_others(),
        3 => on_streams(),
        2 => on_channels(),
        1 => set_time(),
        8 => on_scripts(),
        2 => implausible(),
    ];
    let step = (0_usize..3, words).prop_map(|(connection, words)| Step { connection, words });
    proptest::collection::vec(step, 1..60)
}
