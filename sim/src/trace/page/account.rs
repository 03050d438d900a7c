//! What a life of a node is told and decides, as steps of a page: in words, with what each changes of
//! connections, users, topics and the node.
//!
//! All of it is derived from inputs and effects; the engine's state is not looked into. So what was before the
//! first segment that is kept shows only when something is told of it.

use std::collections::{BTreeMap, BTreeSet};

use tradewire_engine::effect::{Control, Message, Note};
use tradewire_engine::event::{StateValue, Topic};
use tradewire_engine::ids::{ConnId, Symbol};
use tradewire_engine::parse::{ClientEvent, UserClaim};
use tradewire_engine::reason::{Call, ClientError};
use tradewire_engine::{Effect, Effects, Input};
use tradewire_sim_engines::engines::decisions;
use tradewire_sim_engines::report::{Changes, Recording, Step};
use tradewire_trace::Step as Told;

use super::lanes::{Lane, Lanes, OTHERS};
use super::marks::{conn_of, is_marked};
use super::values::{Values, called};
use crate::trace::facets::Facets;

/// To how many connections at once a delivery is told of each.
const EACH_MAX: usize = 50;

/// How many names a step is found by, and how many decisions of one are told.
const NAMES_MAX: usize = 100;
const DECISIONS_MAX: usize = 200;

/// How much of a list is told.
const LIST_MAX: usize = 40;

/// A connection that the node has not forgotten.
#[derive(Debug, Default)]
struct Seat {
    user: Option<String>,
    lane: Option<Lane>,
    watchlist: BTreeSet<Symbol>,
}

/// What is known of a life.
pub(super) struct Account {
    /// Where the node is drawn, whichever life it is.
    lane: String,
    /// What the life is called, and how its steps begin and its names end where there are several.
    node: String,
    before: String,
    behind: String,
    seats: BTreeMap<ConnId, Seat>,
    users: BTreeMap<String, usize>,
    values: Values,
    held: BTreeSet<Topic>,
}

impl Account {
    /// Of the node's `life`th life, from 1; `is_alone` if it is the only one on the page.
    pub(super) fn new(node: &str, life: usize, is_alone: bool) -> Self {
        let name = match life {
            1 => node.to_owned(),
            _ => format!("{node}, life {life}"),
        };
        Self {
            lane: format!("node {node}"),
            node: format!("node {name}"),
            before: if is_alone {
                String::new()
            } else {
                format!("{name}: ")
            },
            behind: if is_alone {
                String::new()
            } else {
                format!(" of {name}")
            },
            seats: BTreeMap::new(),
            users: BTreeMap::new(),
            values: Values::default(),
            held: BTreeSet::new(),
        }
    }

    fn name(&self, conn: ConnId) -> String {
        format!("{conn}{}", self.behind)
    }

    fn link(&self) -> String {
        format!("{} – bus", self.lane)
    }

    /// Something is said of it.
    pub(super) fn words(&self, at: u64, words: String) -> Step {
        Step {
            t: at,
            k: "end",
            x: format!("{}{words}", self.before),
            ..Step::default()
        }
    }

    /// Its recording begins.
    pub(super) fn begins(&self, at: u64, recording: &mut Recording) -> Step {
        recording.begins(at, &self.lane, "up", self.node.clone());
        let mut step = self.words(at, "the recording of this life begins".to_owned());
        step.d.set(&self.node, "state", "up");
        step
    }

    /// Steps are missing: who is there now is not known.
    pub(super) fn forgets(
        &mut self,
        at: u64,
        missing: u64,
        recording: &mut Recording,
        lanes: &mut Lanes,
    ) -> Step {
        let mut step = self.words(at, format!("{missing} steps before this one are missing"));
        step.k = "marked";
        self.empties(at, &mut step.d, recording, lanes);
        step
    }

    /// Its recording ends.
    pub(super) fn gone(&mut self, at: u64, recording: &mut Recording, lanes: &mut Lanes) -> Step {
        let mut step = self.words(at, "nothing more is known of this life".to_owned());
        for (lane, kind) in [
            (&self.lane, "up"),
            (&self.lane, "leaving"),
            (&self.link(), "away"),
        ] {
            recording.ends(at, lane, kind);
        }
        step.d.set(&self.node, "state", "not known any more");
        self.empties(at, &mut step.d, recording, lanes);
        step
    }

    fn empties(
        &mut self,
        at: u64,
        changes: &mut Changes,
        recording: &mut Recording,
        lanes: &mut Lanes,
    ) {
        for conn in self.seats.keys().copied().collect::<Vec<_>>() {
            self.leaves(at, conn, recording, lanes);
            self.forget(conn, changes);
        }
    }

    /// What it is told.
    pub(super) fn told(&mut self, at: u64, told: &Told, recording: &mut Recording) -> Step {
        let words = decisions::told(&told.input, &|conn| conn.to_string());
        let mut step = Step {
            t: at,
            k: "told",
            x: format!("#{} {}{words}", told.seq, self.before),
            ..Step::default()
        };
        self.find(&Facets::of_input(&told.input), &mut step);
        self.input(at, &told.input, &mut step.d, recording);
        step
    }

    /// What it decides of that.
    pub(super) fn decided(
        &mut self,
        step: &mut Step,
        effects: &Effects,
        recording: &mut Recording,
        lanes: &mut Lanes,
    ) {
        let mut facets = Facets::default();
        facets.add_effects(effects);
        for effect in effects.list() {
            let recipients = if let Effect::Deliver { recipients, .. } = effect {
                effects.recipients(recipients)
            } else {
                &[]
            };
            let words = decisions::decided(effect, recipients, &|conn| conn.to_string());
            if let Effect::Note(note) = effect
                && is_marked(note)
            {
                step.k = "marked";
                let lane = conn_of(note).and_then(|conn| self.seats.get(&conn)?.lane.clone());
                let lane = lane.map_or_else(|| self.lane.clone(), |lane| lane.name);
                recording.span(lane, (step.t, step.t), "blow", words.clone());
            }
            if step.o.len() < DECISIONS_MAX {
                step.o.push(words);
            }
            self.effect(
                step.t,
                (effect, recipients),
                &mut step.d,
                (recording, lanes),
            );
        }
        if let Some(more) = effects.list().len().checked_sub(DECISIONS_MAX + 1) {
            step.o.push(format!("and {} more", more + 1));
        }
        self.find(&facets, step);
    }

    /// By whose names a step is found.
    fn find(&self, facets: &Facets, step: &mut Step) {
        let conns = facets
            .conns
            .iter()
            .map(|conn| format!("{conn}{}", self.behind));
        let users = facets
            .texts
            .iter()
            .filter(|text| self.users.contains_key(*text));
        let users = users.map(|user| user_name(user));
        let owners = self.seats.iter().filter(|(conn, _)| {
            facets.conns.len() <= EACH_MAX && facets.conns.contains(&conn.to_string())
        });
        let owners = owners
            .filter_map(|(_, seat)| seat.user.as_deref())
            .map(user_name);
        let names = users
            .chain(owners)
            .chain(conns)
            .chain(facets.topics.iter().cloned());
        for name in names.take(NAMES_MAX) {
            if !step.w.contains(&name) {
                step.w.push(name);
            }
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "most inputs answer something, and what is decided of them says the rest"
    )]
    fn input(&mut self, at: u64, input: &Input, changes: &mut Changes, recording: &mut Recording) {
        let of = |conn: &ConnId| format!("{conn}{}", self.behind);
        match input {
            Input::HandshakeStarted { conn } => {
                changes.set(&of(conn), "node", &self.node);
                changes.set(&of(conn), "state", "shakes hands");
                self.seats.insert(*conn, Seat::default());
            }
            Input::ConnectRequested {
                conn, socket, auth, ..
            } => {
                changes.set(&of(conn), "state", "asks to be let in");
                changes.set(&of(conn), "socket", socket);
                if let UserClaim::Claimed(user) = &auth.user {
                    changes.set(&of(conn), "says it is", user);
                }
            }
            Input::Connected { conn } => self.state(*conn, "in", changes),
            Input::Disconnected { conn } => changes.set(&of(conn), "state", "has left"),
            Input::Closed { conn } => changes.set(&of(conn), "transport", "gone"),
            Input::TransportFailed { conn, fault } => {
                changes.set(&of(conn), "transport", format_args!("{fault:?}"));
            }
            Input::Received { conn, event, .. } => {
                if let Some(call) = call_of(event) {
                    changes.set(&of(conn), call_name(call), "asked for");
                }
            }
            Input::OutboxMeasured { conn, pending } => {
                let words = format!("{} bytes in {} packets", pending.bytes, pending.packets);
                changes.set(&of(conn), "pending when measured", words);
            }
            Input::StateArrived { values, .. } => self.arrive(values, changes),
            Input::Fetched {
                values: Some(values),
                ..
            } => self.arrive(values, changes),
            Input::LogArrived { entries } => {
                for entry in entries {
                    changes.set(&user_name(entry.user.as_str()), "logged last", entry.id);
                }
            }
            Input::BusLost => {
                recording.begins(
                    at,
                    &self.link(),
                    "away",
                    "no contact with the bus".to_owned(),
                );
                changes.set(&self.node, "bus", "lost");
            }
            Input::BusReached => {
                recording.ends(at, &self.link(), "away");
                changes.set(&self.node, "bus", "reached");
            }
            Input::DrainStarted { .. } => {
                recording.begins(at, &self.lane, "leaving", "leaves".to_owned());
                changes.set(&self.node, "state", "leaving");
            }
            _ => {}
        }
    }

    fn arrive(&mut self, values: &[StateValue], changes: &mut Changes) {
        for value in values {
            if self.values.heard(value) {
                let what = format!("latest{}", self.behind);
                changes.set(&value.topic, &what, called(&value.version));
            }
            if self.held.remove(&value.topic) {
                changes.set(&value.topic, &format!("held{}", self.behind), "");
            }
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "what is asked of the world changes nothing of whom the page shows"
    )]
    fn effect(
        &mut self,
        at: u64,
        (effect, recipients): (&Effect, &[ConnId]),
        changes: &mut Changes,
        (recording, lanes): (&mut Recording, &mut Lanes),
    ) {
        match effect {
            Effect::Refuse { conn, reason } => {
                self.state(*conn, &format!("refused: {}", reason.message()), changes);
            }
            Effect::Close { conn, reason, .. } => {
                self.state(*conn, &format!("is closed: {}", reason.name()), changes);
            }
            Effect::Disconnect { conn } => changes.set(&self.name(*conn), "told", "DISCONNECT"),
            Effect::Release { conn } => {
                self.leaves(at, *conn, recording, lanes);
                self.forget(*conn, changes);
            }
            Effect::Send { conn, control }
            | Effect::Acknowledge {
                conn,
                answer: control,
                ..
            } => {
                self.control(*conn, control, changes);
            }
            Effect::Deliver { message, .. } => self.deliver(message, recipients, changes),
            Effect::Note(note) => self.note(at, note, changes, (recording, lanes)),
            _ => {}
        }
    }

    fn deliver(&self, message: &Message, recipients: &[ConnId], changes: &mut Changes) {
        let (what, value) = match message {
            Message::Log { id, .. } => ("last trade".to_owned(), id.to_string()),
            Message::State { topic, payload } => {
                let value = self.values.name(topic, payload);
                let to = match recipients {
                    [one] => self.name(*one),
                    _ => format!("{} connections", recipients.len()),
                };
                let sent = format!("sent last{}", self.behind);
                changes.set(topic, &sent, format_args!("{value} to {to}"));
                (topic.to_string(), value)
            }
        };
        if recipients.len() <= EACH_MAX {
            for conn in recipients {
                changes.set(&self.name(*conn), &what, &value);
            }
        }
    }

    fn control(&mut self, conn: ConnId, control: &Control, changes: &mut Changes) {
        let name = self.name(conn);
        match control {
            Control::Error(ClientError::RateLimited { call, .. }) => {
                changes.set(&name, call_name(*call), "refused: too often");
            }
            Control::Error(error) => changes.set(&name, "last error", error.message()),
            Control::Resumed {
                recovered,
                replayed,
                ..
            } => {
                let words = format!("resume, recovered: {recovered}, {replayed} sent again");
                changes.set(&name, "told", words);
            }
            Control::Shutdown {
                reconnect_in_ms, ..
            } => {
                let words = format!("server:shutdown, closed in {reconnect_in_ms} ms");
                changes.set(&name, "told", words);
            }
            Control::Subscribed {
                call: Call::Watchlist,
                symbols,
            } => {
                let seat = self.seats.entry(conn).or_default();
                seat.watchlist.extend(symbols.iter().cloned());
                changes.set(&name, "watchlist", list(&seat.watchlist));
            }
            Control::Subscribed { call, .. } => changes.set(&name, call_name(*call), "subscribed"),
            Control::Unsubscribed { symbols } => {
                let seat = self.seats.entry(conn).or_default();
                seat.watchlist.retain(|symbol| !symbols.contains(symbol));
                changes.set(&name, "watchlist", list(&seat.watchlist));
            }
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "most notes say of a decision what other effects of it do"
    )]
    fn note(
        &mut self,
        at: u64,
        note: &Note,
        changes: &mut Changes,
        (recording, lanes): (&mut Recording, &mut Lanes),
    ) {
        match note {
            Note::Admitted { conn, user } => {
                let user = user.as_str().to_owned();
                let words = format!("{} of {user}", self.name(*conn));
                let lane = lanes.enter(&user);
                match &lane {
                    Some(lane) => recording.begins(at, &lane.name, "in", words),
                    None => recording.span(OTHERS.to_owned(), (at, at), "mark", words),
                }
                changes.set(&self.name(*conn), "user", &user);
                *self.users.entry(user.clone()).or_default() += 1;
                let seat = self.seats.entry(*conn).or_default();
                (seat.user, seat.lane) = (Some(user), lane);
                self.state(*conn, "is let in", changes);
            }
            Note::Closing { conn, .. } | Note::Disconnected { conn, .. } => {
                self.leaves(at, *conn, recording, lanes);
            }
            Note::Congested { conn, pending } => {
                if let Some(lane) = self.seats.get(conn).and_then(|seat| seat.lane.as_ref()) {
                    recording.begins(at, &lane.name, "stalled", "congested".to_owned());
                }
                let words = format!("since {} bytes were pending", pending.bytes);
                changes.set(&self.name(*conn), "congested", words);
            }
            Note::Uncongested { conn } => {
                if let Some(lane) = self.seats.get(conn).and_then(|seat| seat.lane.as_ref()) {
                    recording.ends(at, &lane.name, "stalled");
                }
                changes.set(&self.name(*conn), "congested", "");
            }
            Note::Conflated { conn, topic } => {
                changes.set(&self.name(*conn), &topic.to_string(), "owed the newest");
            }
            Note::Held { topic } => {
                self.held.insert(topic.clone());
                changes.set(topic, &format!("held{}", self.behind), "for the bus");
            }
            Note::Intake { on } => {
                changes.set(
                    &self.node,
                    "emitter messages",
                    if *on { "taken in" } else { "" },
                );
            }
            _ => {}
        }
    }

    fn state(&self, conn: ConnId, state: &str, changes: &mut Changes) {
        let name = self.name(conn);
        changes.set(&name, "state", state);
        if let Some(user) = self.seats.get(&conn).and_then(|seat| seat.user.as_deref()) {
            changes.set(&user_name(user), &name, state);
        }
    }

    /// It is not in any more.
    fn leaves(&mut self, at: u64, conn: ConnId, recording: &mut Recording, lanes: &mut Lanes) {
        let lane = self.seats.get_mut(&conn).and_then(|seat| seat.lane.take());
        if let Some(lane) = lane {
            recording.ends(at, &lane.name, "in");
            recording.ends(at, &lane.name, "stalled");
            lanes.leave(&lane);
        }
    }

    fn forget(&mut self, conn: ConnId, changes: &mut Changes) {
        let name = self.name(conn);
        changes.forget(&name);
        let Some(user) = self.seats.remove(&conn).and_then(|seat| seat.user) else {
            return;
        };
        changes.set(&user_name(&user), &name, "");
        if let Some(count) = self.users.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(&user);
            }
        }
    }
}

/// A user might be called as anything else is.
fn user_name(user: &str) -> String {
    format!("user {user}")
}

fn list(symbols: &BTreeSet<Symbol>) -> String {
    let listed = symbols.iter().take(LIST_MAX).map(|symbol| symbol.as_str());
    let mut words = listed.collect::<Vec<_>>().join(", ");
    if let Some(more) = symbols.len().checked_sub(LIST_MAX + 1) {
        words.push_str(&format!(" and {} more", more + 1));
    }
    words
}

fn call_of(event: &ClientEvent) -> Option<Call> {
    match event {
        ClientEvent::SubscribePortfolio => Some(Call::Portfolio),
        ClientEvent::SubscribeTrades => Some(Call::Trades),
        // What is watched stays so until it is answered.
        ClientEvent::SubscribeWatchlist(_)
        | ClientEvent::UnsubscribeWatchlist(_)
        | ClientEvent::Unknown => None,
    }
}

fn call_name(call: Call) -> &'static str {
    match call {
        Call::Portfolio => "portfolio",
        Call::Trades => "trades",
        Call::Watchlist => "watchlist calls",
    }
}
