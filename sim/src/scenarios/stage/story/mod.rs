//! A run as a story: scene by scene, a line for what each actor came through.
//!
//! It has no times, no order between actors and no ids, and runs of one kind are one line, so that it is the
//! same for every seed that a script treats alike. What says the same with every seed is written; how
//! often somebody tried is not.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is not told here is no milestone, and stands in the log"
)]

mod actor;
mod receipts;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::known::{Said, TRADES};
use crate::journal::Seen;
use crate::observation::Observation as Saw;

use actor::Actor;

/// The story so far.
#[derive(Debug)]
pub(super) struct Story {
    text: String,
    /// What the scene is that is not written yet.
    scene: String,
    /// In the order in which they came.
    actors: Vec<Actor>,
    /// Clients by the ids of their sockets, and by their nodes' names for them.
    sids: BTreeMap<String, String>,
    seats: BTreeMap<(String, String), String>,
}

impl Story {
    pub(super) fn new(name: &str, shows: &str) -> Self {
        Self {
            text: format!("{name}: {shows}.\n"),
            scene: String::new(),
            actors: Vec::new(),
            sids: BTreeMap::new(),
            seats: BTreeMap::new(),
        }
    }

    /// Somebody is there from now on.
    pub(super) fn cast(&mut self, name: &str) {
        self.actors.push(Actor::new(name));
    }

    /// What came before is told, and something new begins.
    pub(super) fn scene(&mut self, words: &str) {
        self.tell();
        words.clone_into(&mut self.scene);
    }

    /// All of it.
    pub(super) fn text(mut self) -> String {
        self.tell();
        self.text
    }

    fn tell(&mut self) {
        if !self.scene.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "\n== {}\n", self.scene);
        }
        // Those who came through the same are told of together.
        let mut told: Vec<(String, Vec<String>)> = Vec::new();
        for actor in &mut self.actors {
            let lines = actor.tell();
            if lines.is_empty() {
                continue;
            }
            match told.iter_mut().find(|(_, known)| *known == lines) {
                Some((names, _)) => {
                    names.push_str(", ");
                    names.push_str(&actor.name);
                }
                None => told.push((actor.name.clone(), lines)),
            }
        }
        for (names, lines) in told {
            let _ = writeln!(self.text, "   {names}");
            for line in lines {
                let _ = writeln!(self.text, "      {line}");
            }
        }
    }

    fn actor(&mut self, name: &str) -> Option<&mut Actor> {
        self.actors.iter_mut().find(|actor| actor.name == name)
    }

    /// Takes in what was seen; `steered` is whether whoever connects is sent to one node.
    pub(super) fn take(&mut self, seen: &Seen, steered: bool) {
        match &seen.what {
            Saw::Connecting { sid, .. } => {
                self.sids.insert(sid.clone(), seen.who.to_string());
            }
            Saw::Noted { message, fields } => return self.noted(&seen.who, message, fields),
            _ => {}
        }
        let Some(actor) = self.actor(&seen.who) else {
            return;
        };
        match &seen.what {
            Saw::Connecting { node, auth, .. } => {
                actor.dials(steered.then_some(node.as_str()), auth);
            }
            Saw::Connected { .. } => actor.enters(),
            Saw::ConnectError { message } => actor.line(format!("refused: {message}")),
            Saw::Event { name, payload } => event(actor, name, payload),
            Saw::Acknowledged { answer, .. } => {
                if let Some(message) = text_at(answer, "/error/message") {
                    actor.line(format!("call refused: {message}"));
                }
            }
            Saw::Disconnected { reason } => actor.line(format!("disconnected: {reason}")),
            Saw::Stalled => actor.line("reads nothing for a while".to_owned()),
            Saw::Resumed => actor.line("reads again".to_owned()),
            Saw::Roamed => actor.line("changes networks".to_owned()),
            Saw::Vanished => actor.line("is gone without a word".to_owned()),
            Saw::Answered { status, body, .. } => {
                actor
                    .receipts
                    .answered(*status, body.contains("\"degraded\":true"));
            }
            Saw::Unanswered { .. } => actor.receipts.unanswered(),
            Saw::Started => actor.line("starts".to_owned()),
            Saw::Exited { error: None } => actor.line("exits: 0".to_owned()),
            Saw::Exited { error: Some(error) } => actor.line(format!("exits: {error}")),
            Saw::Draining => actor.line("is asked to leave".to_owned()),
            Saw::Hurried => actor.line("is asked to be quick".to_owned()),
            Saw::PoweredOff => actor.line("loses its power".to_owned()),
            Saw::DataLost => actor.line("loses its data".to_owned()),
            Saw::Session { user, there } => {
                let has = if *there { "has" } else { "has no" };
                actor.line(format!("{has} session of {user}"));
            }
            Saw::Logged { user, payload, .. } => {
                if let Ok(said) = serde_json::from_str::<Said<'_>>(payload) {
                    actor.receipts.logged(user, said.k);
                }
            }
            _ => {}
        }
    }

    /// What a server's engine noted, as far as nobody else can tell.
    fn noted(&mut self, who: &str, message: &str, fields: &[(&'static str, String)]) {
        let field = |name| fields.iter().find(|(field, _)| *field == name);
        let field = |name| field(name).map_or("", |(_, text)| text.as_str());
        let seat = (who.to_owned(), field("conn").to_owned());
        if message.starts_with("WebSocket connected: ")
            && let Some(client) = self.sids.get(field("sid"))
        {
            self.seats.insert(seat, client.clone());
            return;
        }
        let client = self.seats.get(&seat).map_or("", String::as_str);
        let line = match message {
            "degraded: this node goes on by itself, and refuses to take trades" => {
                "degraded: goes on by itself".to_owned()
            }
            "not degraded: this node goes on with the others" => {
                "reaches Redis, and goes on with the others".to_owned()
            }
            "values handed over to Redis" if field("values") != "0" => {
                "hands the newest values over".to_owned()
            }
            "log events are missing: clients told" if field("told") != "0" => {
                "misses log events, and tells its clients".to_owned()
            }
            "WebSocket server draining: clients told" => "tells its clients".to_owned(),
            "WebSocket congested: sending only the newest of each topic" => {
                format!("{client} is congested: only the newest values for it")
            }
            "WebSocket no longer congested" => format!("{client} has caught up"),
            "WebSocket closing" if field("reason") == "slow_log" => {
                format!("closes {client}: it is owed too many trades")
            }
            _ => return,
        };
        if let Some(actor) = self.actor(who) {
            actor.line_once(line);
        }
    }
}

fn event(actor: &mut Actor, name: &str, payload: &str) {
    match name {
        "subscription:confirmed" => actor.receipts.confirmed(payload),
        "resume" if payload.contains("\"recovered\":true") => {
            actor.line("resume: recovered".to_owned());
        }
        "resume" => actor.line("resume: not recovered".to_owned()),
        "server:shutdown" => actor.line("told: Server is shutting down".to_owned()),
        "error" => {
            let message = text_at(payload, "/message").unwrap_or_default();
            actor.line(format!("error: {message}"));
        }
        _ => {
            let Ok(said) = serde_json::from_str::<Said<'_>>(payload) else {
                return;
            };
            match said.target(name) {
                Some(target) if target == TRADES => {
                    if let Some(id) = &said.event_id {
                        actor.log_goes_on(id);
                    }
                    actor.receipts.trade(said.k);
                }
                Some(target) => actor.receipts.value(target, said.k),
                None => {}
            }
        }
    }
}

fn text_at(json: &str, pointer: &str) -> Option<String> {
    let json: Value = serde_json::from_str(json).ok()?;
    Some(json.pointer(pointer)?.as_str()?.to_owned())
}
