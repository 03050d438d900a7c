//! What a client emits: from the text of a Socket.IO event to one of the calls that there are.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::ControlFlow::{self, Continue};

use serde::{Deserialize, Serialize};

use super::json;
use crate::ids::Symbol;
use crate::limits::ParseLimits;

/// A call of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientEvent {
    /// `subscribe:portfolio`
    SubscribePortfolio,
    /// `subscribe:trades`
    SubscribeTrades,
    /// `subscribe:watchlist` and its symbols as they were given, duplicates too.
    SubscribeWatchlist(Result<Vec<Symbol>, InvalidSymbols>),
    /// Anything else: an event that is not ours, or text that is not an event.
    Unknown,
    /// `unsubscribe:watchlist` and its symbols as they were given, duplicates too.
    UnsubscribeWatchlist(Result<Vec<Symbol>, InvalidSymbols>),
}

/// A list of symbols that is missing, empty, too long, not an array, or has an element that is not a
/// well-formed symbol. The contract has one message for all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("Invalid symbols array")]
pub struct InvalidSymbols;

/// Reads a Socket.IO event from the text of its JSON array: `["subscribe:watchlist",["AAPL"]]`.
///
/// Arguments beyond those that the call takes are ignored.
#[must_use]
pub fn client_event(args: &str, limits: &ParseLimits) -> ClientEvent {
    let (mut name, mut argument) = (None, None);
    let mut index = 0_usize;
    let read = json::for_each_element(args, |text| {
        match index {
            0 => name = json::string(text),
            1 => argument = Some(text),
            _ => {}
        }
        index = index.saturating_add(1);
        ControlFlow::<()>::Continue(())
    });
    if read.is_err() {
        return ClientEvent::Unknown;
    }
    let watchlist = || argument.map_or(Err(InvalidSymbols), |text| required(text, limits));
    match name.as_ref().map(Cow::as_ref) {
        Some("subscribe:portfolio") => ClientEvent::SubscribePortfolio,
        Some("subscribe:trades") => ClientEvent::SubscribeTrades,
        Some("subscribe:watchlist") => ClientEvent::SubscribeWatchlist(watchlist()),
        Some("unsubscribe:watchlist") => ClientEvent::UnsubscribeWatchlist(watchlist()),
        _ => ClientEvent::Unknown,
    }
}

fn required(text: &str, limits: &ParseLimits) -> Result<Vec<Symbol>, InvalidSymbols> {
    let list = symbols(text, limits)?;
    if list.is_empty() {
        Err(InvalidSymbols)
    } else {
        Ok(list)
    }
}

/// Reads a list of at most `symbols_max` symbols, which may be empty.
pub(super) fn symbols(text: &str, limits: &ParseLimits) -> Result<Vec<Symbol>, InvalidSymbols> {
    let mut list = Vec::new();
    let read = json::for_each_element(text, |element| {
        let symbol = json::string(element)
            .filter(|text| text.len() <= limits.symbol_chars_max)
            .and_then(|text| Symbol::new(&text).ok());
        match symbol {
            Some(symbol) if list.len() < limits.symbols_max => {
                list.push(symbol);
                Continue(())
            }
            Some(_) | None => ControlFlow::Break(()),
        }
    });
    match read {
        Ok(Continue(())) => Ok(list),
        Ok(ControlFlow::Break(())) | Err(_) => Err(InvalidSymbols),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    fn read(args: &str) -> ClientEvent {
        client_event(args, &ParseLimits::default())
    }

    fn list(symbols: &[&str]) -> Result<Vec<Symbol>, InvalidSymbols> {
        Ok(symbols
            .iter()
            .map(|text| Symbol::new(text).unwrap())
            .collect())
    }

    #[test]
    fn the_four_calls_are_known() {
        use ClientEvent::{
            SubscribePortfolio, SubscribeTrades, SubscribeWatchlist, UnsubscribeWatchlist,
        };
        assert_eq!(read(r#"["subscribe:portfolio"]"#), SubscribePortfolio);
        assert_eq!(
            read(r#" [ "subscribe:trades" , null, {"a":[]} ] "#),
            SubscribeTrades
        );
        assert_eq!(
            read(r#"["subscribe\u003awatchlist",["TSLA","\u0041APL","TSLA"],"more"]"#),
            SubscribeWatchlist(list(&["TSLA", "AAPL", "TSLA"]))
        );
        assert_eq!(
            read(r#"["unsubscribe:watchlist",["AAPL"]]"#),
            UnsubscribeWatchlist(list(&["AAPL"]))
        );
    }

    #[test]
    fn what_is_not_a_call_is_unknown() {
        for args in [
            "",
            "[]",
            "{}",
            "[1]",
            r#"["subscribe:everything"]"#,
            r#"["subscribe:trades""#,
            r#"["subscribe:trades"] x"#,
            r#"["subscribe:trades",oops]"#,
            r#"["subscribe:watchlist",["AAPL"],]"#,
            r#"[["subscribe:trades"]]"#,
        ] {
            assert_eq!(read(args), ClientEvent::Unknown, "{args}");
        }
    }

    #[test]
    fn a_list_is_valid_as_a_whole_or_not_at_all() {
        let invalid = ClientEvent::SubscribeWatchlist(Err(InvalidSymbols));
        assert_eq!(read(r#"["subscribe:watchlist"]"#), invalid);
        for argument in [
            "null",
            "[]",
            r#""AAPL""#,
            r#"{"0":"AAPL"}"#,
            r#"["AAPL",1]"#,
            r#"["AAPL",null]"#,
            r#"["AAPL",["TSLA"]]"#,
            r#"["A B"]"#,
            r#"["ÄÄ"]"#,
            r#"[""]"#,
            r#"["\ud800"]"#,
        ] {
            let args = format!(r#"["subscribe:watchlist",{argument}]"#);
            assert_eq!(read(&args), invalid, "{args}");
        }
    }

    #[test]
    fn a_symbol_and_a_list_end_at_their_limits() {
        let call = |list: String| symbols(&list, &ParseLimits::default()).map(|list| list.len());
        let of = |n: usize| format!("[{}]", vec![r#""A""#; n].join(","));
        assert_eq!(call(of(500)), Ok(500));
        assert_eq!(call(of(501)), Err(InvalidSymbols));
        assert_eq!(call(of(100_000)), Err(InvalidSymbols));
        assert_eq!(call(format!(r#"["{}"]"#, "A".repeat(32))), Ok(1));
        assert_eq!(
            call(format!(r#"["{}"]"#, "A".repeat(33))),
            Err(InvalidSymbols)
        );
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let deep = "[".repeat(500_000) + &"]".repeat(500_000);
        let args = format!(r#"["subscribe:watchlist",{deep}]"#);
        assert_eq!(
            read(&args),
            ClientEvent::SubscribeWatchlist(Err(InvalidSymbols))
        );
    }
}
