//! Dense numbers as the names that engines know, and back.

use core::fmt::Write as _;

use tradewire_engine::event::{Payload, Topic as EngineTopic};
use tradewire_engine::ids::{
    IdError, PublishId, SessionId, SocketId, Symbol as EngineSymbol, UserId,
};

use crate::oracle::{Item, Symbol, Topic, User};

/// What the sim makes is always well formed.
fn made<T>(id: Result<T, IdError>) -> T {
    match id {
        Ok(id) => id,
        Err(error) => unreachable!("a name of the simulation: {error}"),
    }
}

/// The names of users and symbols, made once.
#[derive(Debug)]
pub(super) struct Names {
    users: Vec<UserId>,
    sessions: Vec<SessionId>,
    symbols: Vec<EngineSymbol>,
}

impl Names {
    pub(super) fn new(users: u32, symbols: u32) -> Self {
        Self {
            users: (0..users)
                .map(|n| made(UserId::new(&format!("u{n}"))))
                .collect(),
            sessions: (0..users)
                .map(|n| made(SessionId::new(&format!("q{n}"))))
                .collect(),
            symbols: (0..symbols)
                .map(|n| made(EngineSymbol::new(&format!("S{n}"))))
                .collect(),
        }
    }

    pub(super) fn user(&self, user: User) -> UserId {
        self.users[user.index()].clone()
    }

    pub(super) fn session(&self, user: User) -> SessionId {
        self.sessions[user.index()].clone()
    }

    pub(super) fn symbol(&self, symbol: Symbol) -> EngineSymbol {
        self.symbols[symbol.index()].clone()
    }

    pub(super) fn topic(&self, topic: Topic) -> EngineTopic {
        match topic {
            Topic::Market => EngineTopic::Market,
            Topic::Portfolio(user) => EngineTopic::Portfolio(self.user(user)),
            Topic::Quote(symbol) => EngineTopic::Quote(self.symbol(symbol)),
        }
    }
}

/// The number behind the first letter.
fn number(text: &str) -> u32 {
    digits(text.as_bytes().get(1..).unwrap_or_default())
}

fn digits(text: &[u8]) -> u32 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, byte| number * 10 + u32::from(byte - b'0'))
}

pub(super) fn user_of(user: &UserId) -> User {
    User(number(user.as_str()))
}

pub(super) fn user_of_session(session: &SessionId) -> User {
    User(number(session.as_str()))
}

pub(super) fn symbol_of(symbol: &EngineSymbol) -> Symbol {
    Symbol(number(symbol.as_str()))
}

pub(super) fn topic_of(topic: &EngineTopic) -> Topic {
    match topic {
        EngineTopic::Market => Topic::Market,
        EngineTopic::Portfolio(user) => Topic::Portfolio(user_of(user)),
        EngineTopic::Quote(symbol) => Topic::Quote(symbol_of(symbol)),
    }
}

pub(super) fn socket(number: u32) -> SocketId {
    made(SocketId::new(&format!("k{number}")))
}

/// The id that its publisher gives an item; `text` is as for [`payload`].
pub(super) fn key(text: &mut String, item: Item) -> PublishId {
    text.clear();
    let _ = write!(text, "key-{}", item.0);
    made(PublishId::new(text))
}

/// More than any plan wants of a payload.
const FILL: &str = match core::str::from_utf8(&[b'x'; 2_048]) {
    Ok(text) => text,
    Err(_) => "",
};

/// What an item says: its number, and as many bytes as are wanted. It is written into `text` first, which
/// is kept for its memory.
pub(super) fn payload(text: &mut String, item: Item, bytes: usize) -> Payload {
    text.clear();
    text.push_str("{\"n\":");
    let _ = write!(text, "{}", item.0);
    if bytes > text.len() + 8 {
        text.push_str(",\"p\":\"");
        let missing = bytes - text.len() - 2;
        text.push_str(&FILL[..missing]);
        text.push('"');
    }
    text.push('}');
    Payload::new(text)
}

/// Which item it is that a payload says.
pub(super) fn item_of(payload: &Payload) -> Item {
    Item(digits(
        payload.text().as_bytes().get(5..).unwrap_or_default(),
    ))
}
