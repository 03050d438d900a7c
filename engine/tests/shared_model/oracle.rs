//! What every client was sent, held against the guarantees.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tradewire_engine::effect::Note;
use tradewire_engine::event::{LogEntry, Publish, Topic};
use tradewire_engine::ids::{ConnId, EventId, RequestId, Symbol, UserId};
use tradewire_engine::input::SlotLoss;
use tradewire_engine::limits::Limits;
use tradewire_engine::parse::{Auth, ClientEvent, LastEventId};
use tradewire_engine::reason::{Call, Refusal};
use tradewire_engine::time::Timestamp;
use tradewire_engine::{Contact, Delivery, Effect, Effects, Engine, Input};

use crate::cluster::Cluster;

/// Everything that was seen.
pub(crate) struct Oracle {
    pub(crate) limits: Limits,
    pub(crate) delivery: Delivery,
    pub(crate) now: Timestamp,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    /// Log events in the order in which the engine was told of them.
    pub(crate) arrivals: Vec<(UserId, EventId)>,
    /// How many of them came before the last gap.
    pub(crate) gap_at: usize,
    /// Whether the input at hand tells of a gap.
    pub(crate) in_gap: bool,
    /// The bus was not reached since the start.
    is_alone: bool,
    pub(crate) publishes: BTreeMap<RequestId, (Timestamp, Vec<Publish>)>,
    /// Texts published here, and those of them that may be held, or may be retried.
    pub(crate) own: BTreeSet<String>,
    pub(crate) excused: BTreeSet<String>,
    /// Topics of values that the input at hand had held.
    pub(crate) held_now: BTreeSet<Topic>,
    /// Values that were shown behind one that was held: the one held, and the order of the other.
    pub(crate) behind: Vec<(String, u64)>,
    pub(crate) calls: BTreeMap<(UserId, Call), Vec<Timestamp>>,
    /// How often each kind of thing was seen.
    pub(crate) kinds: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
pub(crate) struct Conn {
    pub(crate) user: Option<UserId>,
    pub(crate) auth: Auth,
    pub(crate) live: bool,
    pub(crate) portfolio: bool,
    pub(crate) trades: bool,
    pub(crate) symbols: BTreeSet<Symbol>,
    pub(crate) called: BTreeSet<Call>,
    /// What its calls must be answered, in this order; and whether it was uncharged.
    pub(crate) replies: VecDeque<(Reply, bool)>,
    /// From which arrival on it must be sent every event of its user.
    pub(crate) cursor: usize,
    pub(crate) awaits: Option<EventId>,
    /// The cursor that holds if the event awaited came when waiting was over already.
    pub(crate) given_up: Option<usize>,
    /// The event behind which it wanted to go on, once it was told that it cannot.
    pub(crate) handled: Option<EventId>,
    pub(crate) seen: BTreeMap<Topic, Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Call(Call),
    Unwatch,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) text: String,
    pub(crate) order: u64,
    /// The last value was not taken by the bus yet.
    pub(crate) held: Option<String>,
}

impl Oracle {
    pub(crate) fn new(limits: Limits, delivery: Delivery) -> Self {
        Self {
            limits,
            delivery,
            now: Timestamp::ZERO,
            conns: BTreeMap::new(),
            arrivals: Vec::new(),
            gap_at: 0,
            in_gap: false,
            is_alone: true,
            publishes: BTreeMap::new(),
            own: BTreeSet::new(),
            excused: BTreeSet::new(),
            held_now: BTreeSet::new(),
            behind: Vec::new(),
            calls: BTreeMap::new(),
            kinds: BTreeMap::new(),
        }
    }

    /// Takes an input in before the engine does.
    pub(crate) fn told(&mut self, now: Timestamp, input: &Input, engine: &Engine) {
        self.now = now;
        self.held_now.clear();
        self.in_gap = false;
        self.is_alone = engine.stats().contact == Contact::Never;
        match input {
            Input::BusReached => self.in_gap = self.is_alone,
            Input::LogGap { .. } => {
                self.in_gap = true;
                self.gap_at = self.arrivals.len();
            }
            Input::HandshakeStarted { conn } => {
                self.conns.insert(*conn, Conn::default());
            }
            Input::ConnectRequested { conn, auth, .. } => {
                if let Some(state) = self.conns.get_mut(conn) {
                    state.auth = auth.clone();
                }
            }
            Input::Connected { conn } => self.entered(*conn),
            Input::Received { conn, event, .. } => {
                self.entered(*conn);
                let reply = match event {
                    ClientEvent::SubscribePortfolio => Reply::Call(Call::Portfolio),
                    ClientEvent::SubscribeTrades => Reply::Call(Call::Trades),
                    ClientEvent::SubscribeWatchlist(_) => Reply::Call(Call::Watchlist),
                    ClientEvent::UnsubscribeWatchlist(_) => Reply::Unwatch,
                    ClientEvent::Unknown => return,
                };
                if let Some(state) = self.conns.get_mut(conn).filter(|state| state.live) {
                    state.replies.push_back((reply, false));
                    if state.replies.len() > 1 {
                        self.count("waiting behind a call");
                    }
                }
            }
            Input::LogArrived { entries } => self.arrived(entries),
            Input::LogLoaded { entries } => {
                self.count("taken in whole");
                self.arrived(entries);
                // Who came back goes on behind the event that was named, once the bus is reached.
                for state in self.conns.values_mut() {
                    if state.given_up.is_none() {
                        state.cursor = self.arrivals.len();
                    }
                }
            }
            Input::Published { request, items, .. } => {
                self.publishes.insert(*request, (now, items.clone()));
                self.publish(items);
            }
            Input::Emitted { items, .. } => {
                self.publish(items);
                let texts = items.iter().map(|item| item.payload.text().to_string());
                self.excused.extend(texts);
            }
            _ => {}
        }
    }

    fn publish(&mut self, items: &[Publish]) {
        let texts = items.iter().map(|item| item.payload.text().to_string());
        self.own.extend(texts);
    }

    fn arrived(&mut self, entries: &[LogEntry]) {
        for entry in entries {
            self.arrivals.push((entry.user.clone(), entry.id));
            for state in self.conns.values_mut() {
                if state.awaits == Some(entry.id) && state.user.as_ref() == Some(&entry.user) {
                    state.awaits = None;
                    state.given_up = Some(state.cursor);
                    state.cursor = self.arrivals.len();
                }
            }
        }
    }

    /// A client can be sent events from here on, beginning with what it wished for.
    fn entered(&mut self, conn: ConnId) {
        let arrivals = &self.arrivals;
        let gap_at = self.gap_at;
        let all = self.delivery == Delivery::All;
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if state.live || state.user.is_none() {
            return;
        }
        state.live = true;
        state.cursor = arrivals.len();
        let mut wants = all;
        if let Some(Ok(wished)) = &state.auth.subscriptions {
            let calls = [
                (wished.portfolio, Call::Portfolio),
                (wished.trades, Call::Trades),
                (!wished.watchlist.is_empty(), Call::Watchlist),
            ];
            let calls = calls.into_iter().filter(|(wished, _)| *wished);
            state.replies = calls.map(|(_, call)| (Reply::Call(call), true)).collect();
            wants |= wished.trades;
        }
        let LastEventId::Given(Some(id)) = state.auth.last_event_id else {
            return;
        };
        let mine = |(user, at): &(UserId, EventId)| *at == id && state.user.as_ref() == Some(user);
        match arrivals
            .iter()
            .skip(gap_at)
            .position(mine)
            .filter(|_| wants)
        {
            Some(place) => {
                state.given_up = self.is_alone.then_some(arrivals.len());
                state.cursor = gap_at + place + 1;
            }
            None => state.awaits = Some(id),
        }
    }

    pub(crate) fn see(
        &mut self,
        effect: &Effect,
        effects: &Effects,
        cluster: &Cluster,
    ) -> Result<(), String> {
        match effect {
            Effect::AnswerPublish { request, outcome } => self.answered(*request, outcome, cluster),
            Effect::Close { conn, reason, .. } => {
                match reason.name() {
                    "replaced" => self.count("closed replaced"),
                    "slow_log" => self.count("closed slow_log"),
                    _ => {}
                }
                if let Some(state) = self.conns.get_mut(conn) {
                    (state.live, state.user) = (false, None);
                }
                Ok(())
            }
            Effect::Deliver {
                message,
                recipients,
            } => {
                let recipients = effects.recipients(recipients);
                ensure!(!recipients.is_empty(), "a delivery to nobody");
                recipients
                    .iter()
                    .try_for_each(|conn| self.delivered(*conn, message, cluster))
            }
            Effect::Note(note) => {
                self.noted(note);
                Ok(())
            }
            Effect::Refuse { reason, .. } => {
                if matches!(reason, Refusal::TooManyConnections { .. }) {
                    self.count("refused full");
                }
                Ok(())
            }
            Effect::Release { conn } => {
                self.conns.remove(conn);
                Ok(())
            }
            Effect::Send { conn, control } => self.sent(*conn, control),
            Effect::Bus(request) => {
                match request {
                    tradewire_engine::bus::BusRequest::Probe => self.count("probe"),
                    tradewire_engine::bus::BusRequest::Release { .. } => self.count("released"),
                    _ => {}
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn count(&mut self, kind: &'static str) {
        *self.kinds.entry(kind).or_default() += 1;
    }

    fn noted(&mut self, note: &Note) {
        match note {
            Note::Admitted { conn, user } => {
                if let Some(state) = self.conns.get_mut(conn) {
                    state.user = Some(user.clone());
                }
            }
            Note::BusLost => self.count("bus lost"),
            Note::BusReached { .. } => self.count("bus reached"),
            Note::Congested { .. } => self.count("congested"),
            Note::Conflated { .. } => self.count("conflated"),
            Note::EmittedLost { .. } => self.count("emitted lost"),
            Note::HandedOver { .. } => self.count("handed over"),
            Note::Held { topic } => {
                self.held_now.insert(topic.clone());
                self.count("held");
            }
            Note::Intake { on: true } => self.count("intake on"),
            Note::LogGap { .. } => self.count("log gap"),
            Note::RateLimited { .. } => self.count("rate limited"),
            Note::RequestTimedOut { .. } => self.count("timed out"),
            Note::SessionGone { .. } => self.count("session gone"),
            Note::SlotLost { loss, .. } => match loss {
                SlotLoss::Excess => self.count("excess"),
                SlotLoss::Replaced => {}
            },
            Note::StaleState { .. } => self.count("stale"),
            Note::Uncongested { .. } => self.count("uncongested"),
            _ => {}
        }
    }

    pub(crate) fn wants_log(&self, state: &Conn) -> bool {
        self.delivery == Delivery::All || state.trades
    }

    /// After each input.
    pub(crate) fn rested(&self, engine: &Engine, cluster: &Cluster) -> Result<(), String> {
        for (held, order) in &self.behind {
            let taken = cluster.taken.get(held).and_then(|taken| taken.iter().max());
            ensure!(
                taken.is_none_or(|taken| taken < order),
                "a value taken as {order} was shown behind {held}, taken as {taken:?}"
            );
        }
        for (request, (at, _)) in &self.publishes {
            ensure!(
                self.now.since(*at) < self.limits.bus_request_max
                    && engine.stats().contact == Contact::Reached,
                "{request} is not answered"
            );
        }
        let mut users: BTreeMap<&UserId, usize> = BTreeMap::new();
        for user in self.conns.values().filter_map(|state| state.user.as_ref()) {
            *users.entry(user).or_default() += 1;
        }
        let max = self.limits.connections_per_user_max as usize;
        for (user, count) in users {
            ensure!(count <= max, "{user} has {count} connections");
        }
        Ok(())
    }

    /// Whose connections are in.
    pub(crate) fn members(&self, user: &UserId) -> Vec<ConnId> {
        let members = self.conns.iter();
        let members = members.filter(|(_, state)| state.user.as_ref() == Some(user));
        members.map(|(conn, _)| *conn).collect()
    }

    /// Once faults have stopped: everyone has everything, and nothing is owed.
    pub(crate) fn settled(&self, engine: &Engine, cluster: &Cluster) -> Result<(), String> {
        let stats = engine.stats();
        ensure!(
            stats.contact == Contact::Reached,
            "the bus is {:?}",
            stats.contact
        );
        ensure!(stats.held == 0, "{} values are held", stats.held);
        ensure!(stats.congested == 0, "{} are congested", stats.congested);
        ensure!(self.publishes.is_empty(), "publishers wait");
        for (conn, state) in self.conns.iter().filter(|(_, state)| state.live) {
            ensure!(
                state.replies.is_empty(),
                "{conn} waits for {:?}",
                state.replies
            );
            ensure!(
                state.awaits.is_none() || !self.wants_log(state),
                "{conn} was not told"
            );
            let due = self.due(state);
            ensure!(
                !self.wants_log(state)
                    || due.is_none_or(|(_, id)| Self::need_not_be_sent(state, id)),
                "{conn} is due {due:?}"
            );
            for (topic, newest) in cluster.newest() {
                let subscribed = match topic {
                    Topic::Market => true,
                    Topic::Portfolio(user) => state.portfolio && state.user.as_ref() == Some(user),
                    Topic::Quote(symbol) => state.symbols.contains(symbol),
                };
                let seen = state.seen.get(topic).map(|seen| seen.text.as_str());
                ensure!(
                    !subscribed || seen == Some(newest),
                    "{conn} has {seen:?} of {topic}, not {newest}"
                );
            }
        }
        let max = self.limits.connections_per_user_max as usize;
        for (user, slots) in &cluster.slots {
            ensure!(slots.len() <= max, "{user} has {} slots", slots.len());
            let here = slots.iter().map(|(slot, ..)| slot.socket.as_str());
            let here: BTreeSet<String> = here
                .filter_map(|socket| socket.strip_prefix("socket-"))
                .map(String::from)
                .collect();
            let members = self.members(user);
            let members: BTreeSet<String> = members.iter().map(ToString::to_string).collect();
            ensure!(
                here == members,
                "{user} has slots {here:?} and is in as {members:?}"
            );
        }
        Ok(())
    }
}
