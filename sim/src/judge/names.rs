//! What users, symbols and links are called in a run, and the oracle's numbers for them.

use crate::oracle::{Symbol, Topic, User};

/// A client host and a node, by name: what lies between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The host.
    pub host: usize,
    /// The node.
    pub node: String,
}

/// What a user is called.
#[must_use]
pub fn user_name(user: User) -> String {
    format!("u{}", user.0)
}

/// What a symbol is called.
#[must_use]
pub fn symbol_name(symbol: Symbol) -> String {
    format!("S{}", symbol.0)
}

fn number(text: &str, letter: char) -> Option<u32> {
    text.strip_prefix(letter)?.parse().ok()
}

pub(super) fn user_of(text: &str) -> Option<User> {
    number(text, 'u').map(User)
}

pub(super) fn symbol_of(text: &str) -> Option<Symbol> {
    number(text, 'S').map(Symbol)
}

/// A topic as it stands in what the nodes tell each other.
pub(super) fn topic_of(text: &str) -> Option<Topic> {
    match text.split_once(':') {
        None => (text == "m").then_some(Topic::Market),
        Some(("p", user)) => user_of(user).map(Topic::Portfolio),
        Some(("q", symbol)) => symbol_of(symbol).map(Topic::Quote),
        Some(_) => None,
    }
}
