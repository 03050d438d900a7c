//! The commands that the server uses, and what Redis asks of them before they run.
//!
//! Anything else is answered as Redis answers what it does not know.

mod connection;
mod hashes;
mod keys;
mod lists;
mod pubsub;
mod streams;
mod texts;

use bytes::Bytes;

use super::core::{Caller, Core};
use super::refusal::Refusal;
use super::reply::Reply;
use super::resp::integer;

pub(super) use streams::entries;

/// How many databases there are, as in a Redis that nobody configured.
pub(super) const DATABASES: usize = 16;

/// Runs a command whose words are as many as it takes.
type Handler = fn(&mut Core, &mut Caller, &[Bytes]) -> Result<Reply, Refusal>;

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    /// The data alone is needed.
    Data(Handler),
    EvalSha,
    ScriptLoad,
}

/// A command.
#[derive(Debug)]
pub(super) struct Spec {
    /// In lower case; a part of a command stands behind a bar.
    pub(super) name: &'static str,
    /// How many words it has, or if negative has at least.
    arity: i32,
    pub(super) run: Run,
    pub(super) writes: bool,
    /// It may take more memory.
    pub(super) grows: bool,
    pub(super) in_script: bool,
    pub(super) before_login: bool,
    pub(super) while_loading: bool,
    /// A subscriber of the old protocol may use it.
    pub(super) while_subscribed: bool,
}

impl Spec {
    const fn new(name: &'static str, arity: i32, run: Run) -> Self {
        Self {
            name,
            arity,
            run,
            writes: false,
            grows: false,
            in_script: true,
            before_login: false,
            while_loading: false,
            while_subscribed: false,
        }
    }

    const fn data(name: &'static str, arity: i32, run: Handler) -> Self {
        Self::new(name, arity, Run::Data(run))
    }

    const fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    const fn grows(mut self) -> Self {
        self.writes = true;
        self.grows = true;
        self
    }

    const fn not_in_script(mut self) -> Self {
        self.in_script = false;
        self
    }

    const fn before_login(mut self) -> Self {
        self.before_login = true;
        self
    }

    const fn while_loading(mut self) -> Self {
        self.while_loading = true;
        self
    }

    const fn while_subscribed(mut self) -> Self {
        self.while_subscribed = true;
        self
    }

    /// A command that subscribes or ends subscriptions.
    const fn subscribes(name: &'static str, arity: i32, run: Handler) -> Self {
        Self::data(name, arity, run)
            .not_in_script()
            .while_loading()
            .while_subscribed()
    }

    /// Whether it takes that many words, its own included.
    pub(super) fn takes(&self, words: usize) -> bool {
        let words = i32::try_from(words).unwrap_or(i32::MAX);
        words == self.arity || (self.arity < 0 && words >= -self.arity)
    }
}

/// In the order of their names.
static COMMANDS: [Spec; 29] = [
    Spec::data("auth", -2, connection::auth)
        .not_in_script()
        .before_login()
        .while_loading(),
    Spec::data("del", -2, keys::del).writes(),
    Spec::new("evalsha", -3, Run::EvalSha).not_in_script(),
    Spec::data("exists", -2, keys::exists),
    Spec::data("get", 2, texts::get),
    Spec::data("getrange", 4, texts::getrange),
    Spec::data("hdel", -3, hashes::hdel).writes(),
    Spec::data("hello", -1, connection::hello)
        .not_in_script()
        .before_login()
        .while_loading(),
    Spec::data("hget", 3, hashes::hget),
    Spec::data("hgetall", 2, hashes::hgetall),
    Spec::data("hset", -4, hashes::hset).grows(),
    Spec::data("lindex", 3, lists::lindex),
    Spec::data("lpush", -3, lists::lpush).grows(),
    Spec::data("ltrim", 4, lists::ltrim).writes(),
    Spec::data("mget", -2, texts::mget),
    Spec::data("pexpire", -3, keys::pexpire).writes(),
    Spec::data("ping", -1, connection::ping).while_subscribed(),
    Spec::subscribes("psubscribe", -2, pubsub::psubscribe),
    Spec::data("pttl", 2, keys::pttl),
    Spec::data("publish", 3, pubsub::publish).while_loading(),
    Spec::subscribes("punsubscribe", -1, pubsub::punsubscribe),
    Spec::new("script|load", 3, Run::ScriptLoad).not_in_script(),
    Spec::data("select", 2, connection::select).while_loading(),
    Spec::data("set", -3, texts::set).grows(),
    Spec::subscribes("subscribe", -2, pubsub::subscribe),
    Spec::data("time", 1, connection::time).while_loading(),
    Spec::subscribes("unsubscribe", -1, pubsub::unsubscribe),
    Spec::data("xadd", -5, streams::xadd).grows(),
    Spec::data("xread", -4, streams::xread),
];

/// Commands that are nothing without a part.
const WHOLES: [&str; 2] = ["client", "script"];

/// The command that `args` begin with, or nothing if there is none.
pub(super) fn find(args: &[Bytes]) -> Result<Option<&'static Spec>, Refusal> {
    let Some(name) = args.first() else {
        return Ok(None);
    };
    let whole = WHOLES
        .iter()
        .find(|whole| whole.as_bytes().eq_ignore_ascii_case(name));
    let found = match (whole, args.get(1)) {
        (Some(whole), None) => return Err(Refusal::Arity(whole)),
        (Some(whole), Some(part)) => named(&[whole.as_bytes(), b"|", part].concat()),
        // The bar is ours.
        (None, _) if name.contains(&b'|') => None,
        (None, _) => named(name),
    };
    Ok(found)
}

fn named(name: &[u8]) -> Option<&'static Spec> {
    let lower = name.iter().map(u8::to_ascii_lowercase);
    let found = COMMANDS.binary_search_by(|spec| spec.name.bytes().cmp(lower.clone()));
    found.ok().and_then(|place| COMMANDS.get(place))
}

/// What is said to a command that does not exist.
pub(super) fn unknown(args: &[Bytes]) -> Refusal {
    const SHOWN_MAX: usize = 128;
    let cut = |text: &[u8], max: usize| -> Vec<u8> {
        text.iter()
            .copied()
            .take_while(|byte| *byte != 0)
            .take(max)
            .collect()
    };
    let name = args
        .first()
        .map(|name| cut(name, SHOWN_MAX))
        .unwrap_or_default();
    let whole = WHOLES
        .iter()
        .find(|whole| whole.as_bytes().eq_ignore_ascii_case(&name));
    if let (Some(whole), Some(part)) = (whole, args.get(1)) {
        let part = cut(part, SHOWN_MAX);
        let whole = whole.to_ascii_uppercase();
        let pieces = [
            b"ERR unknown subcommand '",
            &part[..],
            b"'. Try ",
            whole.as_bytes(),
            b" HELP.",
        ];
        return Refusal::echo(&pieces);
    }
    let mut shown = Vec::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= SHOWN_MAX {
            break;
        }
        let arg = cut(arg, SHOWN_MAX - shown.len());
        shown.extend([b"'", &arg[..], b"' "].concat());
    }
    Refusal::echo(&[
        b"ERR unknown command '",
        &name,
        b"', with args beginning with: ",
        &shown,
    ])
}

/// Reads an argument that must be there: the number of words was looked at before.
fn arg(args: &[Bytes], place: usize) -> Result<&Bytes, Refusal> {
    args.get(place).ok_or(Refusal::Syntax)
}

fn int(args: &[Bytes], place: usize) -> Result<i64, Refusal> {
    integer(arg(args, place)?).ok_or(Refusal::NotInteger)
}

fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// The places from `from` to `to` among `length`, as Redis counts them: from the end if negative.
fn range(from: i64, to: i64, length: usize) -> core::ops::Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let place = |place: i64| {
        if place < 0 {
            place.saturating_add(length).max(0)
        } else {
            place
        }
    };
    // One past the end; a place before the first is none.
    let to = if to < 0 {
        to.saturating_add(length)
    } else {
        to
    };
    let to = to.saturating_add(1).clamp(0, length);
    let from = place(from).min(to);
    let index = |place: i64| usize::try_from(place).unwrap_or(0);
    index(from)..index(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Bytes> {
        text.split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect()
    }

    #[test]
    fn commands_are_found_in_any_case() {
        assert!(COMMANDS.is_sorted_by_key(|spec| spec.name));
        for spec in &COMMANDS {
            let name = spec.name.to_uppercase().replace('|', " ");
            assert_eq!(find(&words(&name)).unwrap().unwrap().name, spec.name);
        }
        for text in ["zadd", "script flush", "script|load", "client setinfo", ""] {
            assert!(find(&words(text)).unwrap().is_none(), "{text}");
        }
        assert_eq!(
            find(&words("Script")).unwrap_err(),
            Refusal::Arity("script")
        );
    }

    #[test]
    fn places_count_from_either_end() {
        for (from, to, expected) in [
            (0, -1, 0..3),
            (0, 0, 0..1),
            (-1, -1, 2..3),
            (-9, 1, 0..2),
            (1, 9, 1..3),
            (0, -4, 0..0),
            (5, 9, 3..3),
            (2, 1, 2..2),
            (i64::MIN, i64::MAX, 0..3),
        ] {
            assert_eq!(range(from, to, 3), expected, "{from} {to}");
        }
    }
}
