//! The JSON that travels, as far as the oracle's words need it.

use std::borrow::Cow;

use serde::Deserialize;

use crate::oracle::Item;

/// Any payload of a published item: which one it is, and what the server added.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    pub(super) n: u32,
    #[serde(borrow, default)]
    pub(super) symbol: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) event_id: Option<Cow<'a, str>>,
}

impl Payload<'_> {
    pub(super) fn item(&self) -> Item {
        Item(self.n)
    }
}

/// `subscription:confirmed` and `unsubscription:confirmed`.
#[derive(Debug, Deserialize)]
pub(super) struct Confirmed<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    pub(super) symbols: Vec<String>,
}

/// `error`.
#[derive(Debug, Deserialize)]
pub(super) struct Error<'a> {
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) event: Option<Cow<'a, str>>,
}

/// `resume`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resume {
    pub(super) recovered: bool,
    pub(super) replayed: u64,
    pub(super) last_event_id: Option<String>,
}

/// `server:shutdown`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shutdown {
    pub(super) reconnect_in_ms: u64,
}

/// What a client authenticates with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Auth {
    pub(super) user_id: String,
    #[serde(default)]
    pub(super) last_event_id: Option<String>,
    #[serde(default)]
    pub(super) replaces: Option<String>,
    #[serde(default)]
    pub(super) subscriptions: Option<Subscriptions>,
}

/// What is restored with the handshake.
#[derive(Debug, Deserialize)]
pub(super) struct Subscriptions {
    pub(super) portfolio: bool,
    pub(super) trades: bool,
    #[serde(default)]
    pub(super) watchlist: Vec<String>,
}

/// One item of a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Published<'a> {
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) user_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) symbol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) data: Payload<'a>,
}

/// The answer to a batch.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) degraded: bool,
    #[serde(default)]
    pub(super) ids: Option<Vec<String>>,
}
