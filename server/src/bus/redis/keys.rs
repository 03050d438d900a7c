//! The names of everything that Tradewire keeps in Redis.
//!
//! Keys that one script touches share one hash tag, the part in braces, so that the layout also fits
//! a Redis that spreads its keys. Nothing here is read back from Redis but a topic's text.

use std::borrow::Cow;

use tradewire_engine::event::Topic;
use tradewire_engine::ids::{PublishId, Symbol, UserId};
use tradewire_engine::reason::Call;

/// What every name begins with.
const PREFIX: &str = "tradewire:";

/// Where `@socket.io/redis-emitter` publishes, by its default key.
pub(crate) const EMITTER_PATTERN: &str = "socket.io#/#*";

/// The hash of the state's epoch `e` and counter `c`.
pub(super) fn state_clock() -> String {
    format!("{PREFIX}{{state}}:clock")
}

/// A topic's value: `<counter>\n<payload>`.
pub(super) fn state_value(topic: &Topic) -> String {
    format!("{PREFIX}{{state}}:v:{}", topic_text(topic))
}

/// There while a state publish of this id is remembered.
pub(super) fn state_id(id: &PublishId) -> String {
    format!("{PREFIX}{{state}}:id:{id}")
}

/// The channel on which values and heartbeats are told.
pub(super) fn state_channel() -> String {
    format!("{PREFIX}{{state}}:ch")
}

/// The hash of the log's epoch `e` and number of entries `n`.
pub(super) fn log_clock() -> String {
    format!("{PREFIX}{{log}}:clock")
}

/// The stream of log events.
pub(super) fn log_stream() -> String {
    format!("{PREFIX}{{log}}:stream")
}

/// There while a log publish of this id is remembered.
pub(super) fn log_id(id: &PublishId) -> String {
    format!("{PREFIX}{{log}}:id:{id}")
}

/// The hash of a user's connection slots.
pub(super) fn slots(user: &UserId) -> String {
    format!("{PREFIX}{{slots:{user}}}")
}

/// The list of a user's latest calls of one kind.
pub(super) fn rate(user: &UserId, call: Call) -> String {
    format!("{PREFIX}{{rate:{user}}}:{}", call.kind())
}

/// The name of the node that takes in emitter messages.
pub(super) fn emitter_lease() -> String {
    format!("{PREFIX}{{emitter}}:lease")
}

/// A topic as it stands in keys and messages.
pub(super) fn topic_text(topic: &Topic) -> Cow<'static, str> {
    match topic {
        Topic::Market => Cow::Borrowed("m"),
        Topic::Portfolio(user) => Cow::Owned(format!("p:{user}")),
        Topic::Quote(symbol) => Cow::Owned(format!("q:{symbol}")),
    }
}

/// Reads what [`topic_text`] wrote.
pub(super) fn parse_topic(text: &str) -> Option<Topic> {
    if text == "m" {
        Some(Topic::Market)
    } else if let Some(user) = text.strip_prefix("p:") {
        UserId::new(user).ok().map(Topic::Portfolio)
    } else {
        let symbol = text.strip_prefix("q:")?;
        Symbol::new(symbol).ok().map(Topic::Quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_reads_back_as_it_was_written() {
        let user = UserId::new("p:{u} ü").unwrap();
        let symbol = Symbol::new("q:BTC/USD").unwrap();
        for topic in [Topic::Market, Topic::Portfolio(user), Topic::Quote(symbol)] {
            assert_eq!(parse_topic(&topic_text(&topic)), Some(topic));
        }
        for text in ["", "mm", "p:", "p:a\nb", "q:", "q:a b", "x:a", "P:a"] {
            assert_eq!(parse_topic(text), None, "{text}");
        }
    }

    #[test]
    fn braces_in_a_user_id_do_not_move_shared_keys_to_another_tag() {
        let user = UserId::new("a}b{c").unwrap();
        let key = state_value(&Topic::Portfolio(user));
        assert!(key.starts_with("tradewire:{state}:"), "{key}");
    }
}
