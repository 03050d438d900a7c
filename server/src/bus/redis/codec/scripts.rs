//! The Lua scripts that decide inside Redis, and the names by which Redis knows them once loaded.
//!
//! Their text is fixed at compile time. Each is made of the preludes that it needs and its own part.

use std::fmt::Write as _;

use redis::Cmd;
use sha1::{Digest as _, Sha1};

/// One script.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    sha1: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let mut sha1 = String::with_capacity(40);
        for byte in Sha1::digest(text.as_bytes()) {
            // Writing to a string does not fail.
            let _ = write!(sha1, "{byte:02x}");
        }
        Self { text, sha1 }
    }

    /// Begins a call: the keys are to follow, `keys` of them, and then the arguments.
    pub(super) fn call(&self, keys: usize) -> Cmd {
        let mut command = Cmd::new();
        command.arg("EVALSHA").arg(&self.sha1).arg(keys);
        command
    }
}

macro_rules! script {
    ($($part:literal),+) => {
        Script::new(concat!($(include_str!(concat!("../scripts/", $part, ".lua"))),+))
    };
}

/// All of them.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) charge: Script,
    pub(super) claim: Script,
    pub(super) fetch: Script,
    pub(super) lead: Script,
    pub(super) open: Script,
    pub(super) renew: Script,
    pub(super) share: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: script!("time", "clock", "append"),
            charge: script!("time", "charge"),
            claim: script!("time", "slots", "claim"),
            fetch: script!("clock", "fetch"),
            lead: script!("lead"),
            open: script!("time", "clock", "open"),
            renew: script!("time", "slots", "renew"),
            share: script!("time", "clock", "share"),
        }
    }

    /// The same scripts under a clock that a test sets: the list `test:time` of seconds and
    /// microseconds.
    #[cfg(test)]
    pub(super) fn on_test_time(self) -> Self {
        let set = |script: Script| {
            let text = script.text.replace(
                "redis.call('TIME')",
                "redis.call('LRANGE', 'test:time', '0', '1')",
            );
            Script::new(text.leak())
        };
        Self {
            append: set(self.append),
            charge: set(self.charge),
            claim: set(self.claim),
            fetch: set(self.fetch),
            lead: set(self.lead),
            open: set(self.open),
            renew: set(self.renew),
            share: set(self.share),
        }
    }

    /// The texts, each to be loaded before a call.
    pub(super) fn texts(&self) -> impl Iterator<Item = &'static str> {
        let Self {
            append,
            charge,
            claim,
            fetch,
            lead,
            open,
            renew,
            share,
        } = self;
        [append, charge, claim, fetch, lead, open, renew, share]
            .into_iter()
            .map(|script| script.text)
    }
}
