//! What a step is about: kinds, connections, users and topics, found in its serialised form.
//!
//! So nothing that is added to inputs and effects can be forgotten here. Payloads are opaque: what is
//! written in them is not looked at.

use std::collections::BTreeSet;

use serde_json::Value;
use tradewire_engine::{Effect, Effects, Input};

/// What is said to begin the inner name of: `Note(Refused …)` is of both kinds.
const OUTER: [&str; 2] = ["Bus", "Note"];

/// What a step is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facets {
    /// `Received`, `Deliver`, `Note`, `Refused`, …
    pub(super) kinds: BTreeSet<String>,
    /// `c3`, `c3.1`
    pub(super) conns: BTreeSet<String>,
    /// Every text that may be a user's name.
    pub(super) texts: BTreeSet<String>,
    /// `market`, `portfolio(ann)`, `quote(AAPL)`
    pub(super) topics: BTreeSet<String>,
    /// Connections and the users who were found to own them.
    pub(super) owners: Vec<(String, String)>,
}

impl Facets {
    /// Of what the engine is given.
    pub(super) fn of_input(input: &Input) -> Self {
        let mut facets = Self::default();
        facets.add(serde_json::to_value(input));
        facets
    }

    /// And of what it says.
    pub(super) fn add_effects(&mut self, effects: &Effects) {
        for effect in effects.list() {
            self.add(serde_json::to_value(effect));
            if let Effect::Deliver { recipients, .. } = effect {
                let recipients = effects.recipients(recipients);
                self.conns
                    .extend(recipients.iter().map(ToString::to_string));
            }
        }
    }

    /// Whether it names this connection: `c3` is the slot, whoever used it, `c3.1` one user of it.
    pub(super) fn names_conn(&self, wanted: &str) -> bool {
        self.conns.iter().any(|conn| {
            let rest = conn.strip_prefix(wanted);
            rest.is_some_and(|rest| {
                rest.is_empty() || (!wanted.contains('.') && rest.starts_with('.'))
            })
        })
    }

    fn add(&mut self, value: serde_json::Result<Value>) {
        // Inputs and effects are plain data: they have a serialised form.
        let Ok(value) = value else { return };
        self.kind(&value);
        self.walk(&value);
    }

    fn kind(&mut self, value: &Value) {
        match value {
            Value::String(name) => {
                self.kinds.insert(name.clone());
            }
            Value::Object(fields) => {
                if let Some((name, inner)) = fields.iter().next() {
                    self.kinds.insert(name.clone());
                    if OUTER.contains(&name.as_str()) {
                        self.kind(inner);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
        }
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                if text == "Market" {
                    self.topics.insert("market".to_owned());
                }
                self.texts.insert(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                if let Some(conn) = conn(value) {
                    self.conns.insert(conn);
                    return;
                }
                let owner = fields.get("conn").and_then(conn).zip(fields.get("user"));
                if let Some((conn, Value::String(user))) = owner {
                    self.owners.push((conn, user.clone()));
                }
                for (name, inner) in fields {
                    match (name.as_str(), inner) {
                        ("Quote", Value::String(symbol)) => {
                            self.topics.insert(format!("quote({symbol})"));
                        }
                        ("Portfolio", Value::String(user)) => {
                            self.topics.insert(format!("portfolio({user})"));
                        }
                        ("text", _) => continue,
                        _ => {}
                    }
                    self.walk(inner);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A connection's id, as it prints.
fn conn(value: &Value) -> Option<String> {
    let fields = value.as_object().filter(|fields| fields.len() == 2)?;
    let slot = fields.get("slot")?.as_u64()?;
    let generation = fields.get("generation")?.as_u64()?;
    Some(match generation {
        0 => format!("c{slot}"),
        _ => format!("c{slot}.{generation}"),
    })
}

/// Words for several kinds at once.
const WORDS: [(&str, &[&str]); 4] = [
    ("conflated", &["Conflated"]),
    ("degraded", &["BusLost", "Held"]),
    ("limited", &["RateLimited"]),
    ("refused", &["HandshakeRefused", "Refused"]),
];

/// Every kind of input, effect, note and request to the bus.
pub(super) const KINDS: [&str; 77] = [
    "Acknowledge",
    "Admit",
    "Admitted",
    "AllowHandshake",
    "AnswerPublish",
    "Append",
    "Appended",
    "Bus",
    "BusLost",
    "BusReached",
    "Charge",
    "Charged",
    "CheckSessions",
    "Claim",
    "Claimed",
    "Close",
    "Closed",
    "Closing",
    "Conflated",
    "Congested",
    "ConnectRequested",
    "Connected",
    "Deliver",
    "Disconnect",
    "Disconnected",
    "DrainHurried",
    "DrainStarted",
    "Drained",
    "Draining",
    "Emitted",
    "EmittedLost",
    "Fetch",
    "Fetched",
    "HandedOver",
    "HandshakeRefused",
    "HandshakeStarted",
    "Held",
    "IdleUserForgotten",
    "Intake",
    "Lead",
    "Led",
    "Listen",
    "LogArrived",
    "LogGap",
    "LogLoaded",
    "LookUpSession",
    "Measure",
    "MeasureAll",
    "Note",
    "OutboxMeasured",
    "OutboxesMeasured",
    "Probe",
    "Published",
    "RateLimited",
    "Received",
    "Refuse",
    "RefuseHandshake",
    "Refused",
    "Release",
    "Renew",
    "RequestTimedOut",
    "Resumed",
    "Send",
    "SessionGone",
    "SessionLookedUp",
    "SessionsChecked",
    "Share",
    "Shared",
    "SlotLost",
    "SlotsLost",
    "StaleState",
    "StateArrived",
    "StateMissed",
    "TransportFailed",
    "Uncongested",
    "Watch",
    "Woke",
];

/// A kind as it is written on the command line, in any case.
pub(super) fn kind(text: &str) -> Result<Vec<String>, String> {
    let same = |name: &str| name.eq_ignore_ascii_case(text);
    if let Some((_, kinds)) = WORDS.iter().find(|(word, _)| same(word)) {
        return Ok(kinds.iter().map(|kind| (*kind).to_owned()).collect());
    }
    match KINDS.iter().find(|kind| same(kind)) {
        Some(kind) => Ok(vec![(*kind).to_owned()]),
        None => Err(format!("there are {}", KINDS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variants of an enum, as its source has them.
    fn variants(source: &str, name: &str) -> Vec<String> {
        let body = source.split(&format!("pub enum {name} {{")).nth(1).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        let names = body.lines().filter_map(|line| line.strip_prefix("    "));
        let names = names.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
        let end = |line: &str| line.find([' ', ',', '(']).unwrap_or(line.len());
        names.map(|line| line[..end(line)].to_owned()).collect()
    }

    #[test]
    fn every_kind_there_is_can_be_asked_for() {
        let (input, effect) = (
            include_str!("../../../engine/src/input.rs"),
            include_str!("../../../engine/src/effect.rs"),
        );
        let bus = include_str!("../../../engine/src/bus.rs");
        let mut wanted: Vec<String> = [
            (input, "Input"),
            (effect, "Effect"),
            (effect, "Note"),
            (bus, "BusRequest"),
        ]
        .into_iter()
        .flat_map(|(source, name)| variants(source, name))
        .collect();
        wanted.sort();
        wanted.dedup();
        assert_eq!(wanted, KINDS);
    }

    #[test]
    fn kinds_are_taken_in_any_case_and_by_their_everyday_words() {
        assert_eq!(kind("woke"), Ok(vec!["Woke".to_owned()]));
        assert_eq!(kind("limited"), Ok(vec!["RateLimited".to_owned()]));
        assert!(kind("nothing").unwrap_err().contains("Woke"));
    }

    #[test]
    fn a_slot_is_found_whoever_used_it_and_one_of_its_users_alone() {
        let facets = Facets {
            conns: ["c3.1".to_owned(), "c30".to_owned()].into(),
            ..Facets::default()
        };
        assert!(facets.names_conn("c3") && facets.names_conn("c3.1") && facets.names_conn("c30"));
        assert!(!facets.names_conn("c3.2") && !facets.names_conn("c"));
    }
}
