//! Inputs and effects in words, one line each, for expectations and for stories.
//!
//! Every match is exhaustive, so that a new variant must be given its words.

use tradewire_engine::bus::{BusRequest, Renewal, Slot, StatePublish};
use tradewire_engine::effect::{Asked, Control, Message, Note, PublishOutcome};
use tradewire_engine::event::{LogEntry, Publish, StateValue, Target, Topic};
use tradewire_engine::ids::{ConnId, EventId, PublishId, Symbol};
use tradewire_engine::input::{
    BusOutcome, ChargeVerdict, ClaimVerdict, GapCause, Pending, SessionVerdict, SlotLoss,
};
use tradewire_engine::parse::{Auth, ClientEvent, LastEventId, UserClaim};
use tradewire_engine::reason::{Call, ClientError};
use tradewire_engine::time::{Timestamp, WallTime};
use tradewire_engine::{Effect, Effects, Input};

/// An order in words; recipients are named.
pub(crate) fn effect(effect: &Effect, effects: &Effects) -> String {
    match effect {
        Effect::Acknowledge { conn, ack, answer } => {
            format!("ack {conn} {ack} {}", control(answer))
        }
        Effect::Admit { conn } => format!("admit {conn}"),
        Effect::AllowHandshake { conn } => format!("allow {conn}"),
        Effect::AnswerPublish { request, outcome } => {
            format!("answer publish {request}: {}", publish_outcome(outcome))
        }
        Effect::Bus(request) => bus(request),
        Effect::CheckSessions { request, sessions } => {
            format!("check {request}: {}", list(sessions, ToString::to_string))
        }
        Effect::Close {
            conn,
            reason,
            flush,
        } => {
            format!("close {conn} {} flush {}", reason.name(), ms(*flush))
        }
        Effect::Deliver {
            message,
            recipients,
        } => {
            let to = conns(effects.recipients(recipients));
            format!("deliver {} to {to}", self::message(message))
        }
        Effect::Disconnect { conn } => format!("disconnect {conn}"),
        Effect::Drained => "drained".into(),
        Effect::LookUpSession { request, session } => format!("look up {session} {request}"),
        Effect::Measure { conn } => format!("measure {conn}"),
        Effect::MeasureAll => "measure all".into(),
        Effect::Note(note) => format!("note {}", self::note(note)),
        Effect::Refuse { conn, reason } => format!("refuse {conn} \"{}\"", reason.message()),
        Effect::RefuseHandshake { conn, reason } => {
            format!(
                "503 {conn} {} retry {}",
                reason.name(),
                ms(reason.retry_after())
            )
        }
        Effect::Release { conn } => format!("release {conn}"),
        Effect::Send { conn, control } => format!("send {conn} {}", self::control(control)),
        Effect::Watch { conn, at_most } => format!("watch {conn} at most {}", pending(*at_most)),
    }
}

/// A fact in words.
pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::Appended { request, outcome } => {
            format!("bus {request} appended: {}", done(*outcome))
        }
        Input::BusLost => "bus lost".into(),
        Input::BusReached => "bus reached".into(),
        Input::Charged { request, verdict } => {
            let verdict = match verdict {
                ChargeVerdict::Admitted => "admitted".into(),
                ChargeVerdict::Failed => "failed".into(),
                ChargeVerdict::Refused { wait } => format!("refused for {}", ms(*wait)),
            };
            format!("bus {request} charged: {verdict}")
        }
        Input::Claimed { request, verdict } => {
            let verdict = match verdict {
                ClaimVerdict::Failed => "failed",
                ClaimVerdict::Full => "full",
                ClaimVerdict::Granted => "granted",
                ClaimVerdict::TooOften => "too often",
            };
            format!("bus {request} claimed: {verdict}")
        }
        Input::Closed { conn } => format!("{conn} transport is gone"),
        Input::Connected { conn } => format!("{conn} got its CONNECT answer"),
        Input::ConnectRequested {
            conn,
            socket,
            auth,
            cookie,
        } => {
            let cookie = cookie.as_ref().map(|id| format!(" cookie {id}"));
            format!(
                "{conn} sent CONNECT as {socket}{}{}",
                self::auth(auth),
                cookie.unwrap_or_default()
            )
        }
        Input::Disconnected { conn } => format!("{conn} left"),
        Input::DrainHurried => "second signal".into(),
        Input::DrainStarted { wall } => format!("signal to leave at {wall}"),
        Input::Emitted { items, wall: _ } => format!("emitter: {}", list(items, publish)),
        Input::Fetched { request, values } => match values {
            Some(values) => format!("bus {request} fetched: {}", list(values, state_value)),
            None => format!("bus {request} could not fetch"),
        },
        Input::HandshakeStarted { conn } => format!("{conn} asked for a transport"),
        Input::Led { request, held } => {
            let held = held.map_or("failed", |held| if held { "held" } else { "another's" });
            format!("bus {request} lease: {held}")
        }
        Input::LogArrived { entries } => format!("bus log: {}", list(entries, log_entry)),
        Input::LogGap { cause } => format!("bus log gap: {}", gap(*cause)),
        Input::LogLoaded { entries } => format!("bus log before: {}", list(entries, log_entry)),
        Input::OutboxMeasured { conn, pending } => {
            format!("{conn} has {} pending", self::pending(*pending))
        }
        Input::OutboxesMeasured { pending } => {
            let each = list(pending, |(conn, pending)| {
                format!("{conn} {}", self::pending(*pending))
            });
            format!("all outboxes: {each}")
        }
        Input::Published {
            request,
            items,
            wall: _,
        } => {
            format!("publish {request}: {}", list(items, publish))
        }
        Input::Received { conn, event, ack } => {
            let ack = ack.map(|ack| format!(" ack {ack}"));
            format!(
                "{conn} emitted {}{}",
                client_event(event),
                ack.unwrap_or_default()
            )
        }
        Input::SessionLookedUp { request, verdict } => {
            format!("session {request}: {}", self::verdict(verdict))
        }
        Input::SessionsChecked { request, present } => match present {
            Some(present) => {
                let each = list(present, |there| {
                    (if *there { "there" } else { "gone" }).into()
                });
                format!("sessions {request}: {each}")
            }
            None => format!("sessions {request} could not be checked"),
        },
        Input::Shared { request, outcome } => format!("bus {request} shared: {}", done(*outcome)),
        Input::SlotsLost { slots } => {
            let each = list(slots, |(user, slot, loss)| {
                format!("{user} {} {}", slot.socket, self::loss(*loss))
            });
            format!("bus slots lost: {each}")
        }
        Input::StateArrived { values, once } => {
            let once = if *once { " once" } else { "" };
            format!("bus state{once}: {}", list(values, state_value))
        }
        Input::StateMissed => "bus state missed".into(),
        Input::TransportFailed { conn, fault } => format!("{conn} failed: {fault:?}"),
        Input::Woke => "woke".into(),
    }
}

/// An id with a short epoch.
pub(crate) fn event_id(id: EventId) -> String {
    format!("{:x}-{}-{}", id.epoch.number(), id.ms, id.seq)
}

/// A topic as its event and its key.
pub(crate) fn topic(topic: &Topic) -> String {
    match topic {
        Topic::Market => topic.event().into(),
        Topic::Portfolio(user) => format!("{} {user}", topic.event()),
        Topic::Quote(symbol) => format!("{} {symbol}", topic.event()),
    }
}

pub(crate) fn control(control: &Control) -> String {
    match control {
        Control::Error(error) => match error {
            ClientError::RateLimited {
                call,
                retry_after_ms,
            } => {
                format!(
                    "error \"{}\" {} retry {retry_after_ms} ms",
                    error.message(),
                    call.event()
                )
            }
            ClientError::InvalidSubscriptions
            | ClientError::InvalidSymbols
            | ClientError::SessionExpired
            | ClientError::TooManyConnections { .. }
            | ClientError::TooManyEvents
            | ClientError::UnknownEvent => format!("error \"{}\"", error.message()),
        },
        Control::Resumed {
            recovered,
            replayed,
            last,
        } => {
            let last = last.map_or("none".into(), event_id);
            format!("resume recovered {recovered} replayed {replayed} last {last}")
        }
        Control::Shutdown {
            wall: _,
            reconnect_in_ms,
        } => {
            format!("server:shutdown reconnect in {reconnect_in_ms} ms")
        }
        Control::Subscribed { call, symbols } => match call {
            Call::Portfolio | Call::Trades => format!("subscription:confirmed {}", call.kind()),
            Call::Watchlist => format!(
                "subscription:confirmed watchlist {}",
                self::symbols(symbols)
            ),
        },
        Control::Unsubscribed { symbols } => {
            format!(
                "unsubscription:confirmed watchlist {}",
                self::symbols(symbols)
            )
        }
    }
}

pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::Log { id, kind, payload } => {
            format!("{} {} {}", kind.event(), event_id(*id), payload.text())
        }
        Message::State { topic, payload } => format!("{} {}", self::topic(topic), payload.text()),
    }
}

fn note(note: &Note) -> String {
    match note {
        Note::Admitted { conn, user } => format!("admitted {conn} {user}"),
        Note::BusLost => "bus lost".into(),
        Note::BusReached { away } => format!("bus reached after {}", ms(*away)),
        Note::Closing { conn, user, reason } => {
            let user = user.as_ref().map_or("-", |user| user.as_str());
            format!("closing {conn} {user} {}", reason.name())
        }
        Note::Congested { conn, pending } => {
            format!("congested {conn} with {}", self::pending(*pending))
        }
        Note::Conflated { conn, topic } => format!("conflated {conn} {}", self::topic(topic)),
        Note::Disconnected { conn, user } => format!("disconnected {conn} {user}"),
        Note::Draining { told } => format!("draining told {told}"),
        Note::EmittedLost { items } => format!("emitted lost {items}"),
        Note::HandedOver { values } => format!("handed over {values}"),
        Note::HandshakeRefused { reason } => format!("handshake refused {}", reason.name()),
        Note::Held { topic } => format!("held {}", self::topic(topic)),
        Note::IdleUserForgotten => "idle user forgotten".into(),
        Note::Intake { on } => format!("intake {}", if *on { "on" } else { "off" }),
        Note::LogGap { cause, told } => format!("log gap {} told {told}", gap(*cause)),
        Note::RateLimited { conn, user, call } => {
            format!("rate limited {conn} {user} {}", call.kind())
        }
        Note::Refused { conn, reason } => format!("refused {conn} {}", reason.name()),
        Note::RequestTimedOut { request, asked } => {
            let asked = match asked {
                Asked::Bus => "bus",
                Asked::Sessions => "sessions",
            };
            format!("timed out {request} {asked}")
        }
        Note::Resumed {
            conn,
            recovered,
            replayed,
        } => {
            format!("resumed {conn} recovered {recovered} replayed {replayed}")
        }
        Note::SessionGone { conn, user } => format!("session gone {conn} {user}"),
        Note::SlotLost { conn, user, loss } => {
            format!("slot lost {conn} {user} {}", self::loss(*loss))
        }
        Note::StaleState { topic } => format!("stale {}", self::topic(topic)),
        Note::Uncongested { conn } => format!("uncongested {conn}"),
    }
}

fn publish_outcome(outcome: &PublishOutcome) -> String {
    let ids = |ids: &[PublishId]| list(ids, ToString::to_string);
    match outcome {
        PublishOutcome::Accepted {
            ids: taken,
            degraded,
        } => {
            let degraded = if *degraded { "degraded " } else { "" };
            format!("accepted {degraded}{}", ids(taken))
        }
        PublishOutcome::Draining => "draining".into(),
        PublishOutcome::Unavailable { ids: taken } => format!("unavailable {}", ids(taken)),
    }
}

fn bus(request: &BusRequest) -> String {
    match request {
        BusRequest::Append {
            request,
            entries,
            wall: _,
        } => {
            let each = list(entries, |entry| {
                let id = entry.lasting.then(|| format!(" id {}", entry.id));
                format!(
                    "{} {} {}{}",
                    entry.kind.event(),
                    entry.user,
                    entry.payload.text(),
                    id.unwrap_or_default()
                )
            });
            format!("bus append {request}: {each}")
        }
        BusRequest::Charge {
            request,
            user,
            call,
            admitted,
        } => {
            let admitted = if *admitted { " admitted" } else { "" };
            format!("bus charge {request}: {user} {}{admitted}", call.kind())
        }
        BusRequest::Claim {
            request,
            user,
            slot,
            replaces,
        } => {
            let replaces = replaces.as_ref();
            let replaces = replaces.map(|slot| format!(" for {}", slot.socket));
            let replaces = replaces.unwrap_or_default();
            format!("bus claim {request}: {user} {}{replaces}", slot.socket)
        }
        BusRequest::Fetch { request, topics } => {
            format!("bus fetch {request}: {}", list(topics, topic))
        }
        BusRequest::Lead { request } => format!("bus lead {request}"),
        BusRequest::Listen { on } => format!("bus listen {}", if *on { "on" } else { "off" }),
        BusRequest::Probe => "bus probe".into(),
        BusRequest::Release { user, slot } => format!("bus release: {user} {}", slot.socket),
        BusRequest::Renew { users } => format!("bus renew: {}", list(users, renewal)),
        BusRequest::Share {
            request,
            values,
            once,
        } => {
            let once = if *once { " once" } else { "" };
            format!("bus share {request}{once}: {}", list(values, state_publish))
        }
    }
}

fn state_publish(value: &StatePublish) -> String {
    let id = value.id.as_ref().filter(|_| value.lasting);
    let id = id.map(|id| format!(" id {id}"));
    let (topic, text) = (topic(&value.topic), value.payload.text());
    format!("{topic} {text}{}", id.unwrap_or_default())
}

fn renewal(renewal: &Renewal) -> String {
    let slot = |(slot, age): &(Slot, core::time::Duration)| format!("{} {}", slot.socket, ms(*age));
    format!("{} [{}]", renewal.user, list(&renewal.slots, slot))
}

fn loss(loss: SlotLoss) -> &'static str {
    match loss {
        SlotLoss::Excess => "excess",
        SlotLoss::Replaced => "replaced",
    }
}

fn gap(cause: GapCause) -> &'static str {
    match cause {
        GapCause::DataLoss => "data loss",
        GapCause::Trimmed => "trimmed",
    }
}

fn auth(auth: &Auth) -> String {
    let mut words = String::new();
    if let Some(session) = &auth.session {
        words += &format!(", session {session}");
    }
    match &auth.user {
        UserClaim::Absent => {}
        UserClaim::Claimed(user) => words += &format!(", user {user}"),
        UserClaim::Malformed => words += ", user malformed",
    }
    if let LastEventId::Given(id) = auth.last_event_id {
        words += &format!(", last event {}", id.map_or("malformed".into(), event_id));
    }
    match &auth.subscriptions {
        Some(Ok(wished)) => {
            let list = symbols(&wished.watchlist);
            words += &format!(
                ", restore portfolio {} trades {} {list}",
                wished.portfolio, wished.trades
            );
        }
        Some(Err(_)) => words += ", restore malformed",
        None => {}
    }
    if let Some(socket) = &auth.replaces {
        words += &format!(", replaces {socket}");
    }
    words
}

fn client_event(event: &ClientEvent) -> String {
    let list = |list: &Result<Vec<Symbol>, _>| {
        list.as_ref()
            .map_or("malformed".into(), |list| symbols(list))
    };
    match event {
        ClientEvent::SubscribePortfolio => "subscribe:portfolio".into(),
        ClientEvent::SubscribeTrades => "subscribe:trades".into(),
        ClientEvent::SubscribeWatchlist(symbols) => {
            format!("subscribe:watchlist {}", list(symbols))
        }
        ClientEvent::Unknown => "something unknown".into(),
        ClientEvent::UnsubscribeWatchlist(symbols) => {
            format!("unsubscribe:watchlist {}", list(symbols))
        }
    }
}

fn verdict(verdict: &SessionVerdict) -> String {
    match verdict {
        SessionVerdict::Found { user } => format!("found, user {user}"),
        SessionVerdict::Trusted => "trusted".into(),
        SessionVerdict::Unavailable => "unavailable".into(),
        SessionVerdict::Unknown => "unknown".into(),
    }
}

fn publish(item: &Publish) -> String {
    let target = match &item.target {
        Target::State(topic) => self::topic(topic),
        Target::Log { kind, user } => format!("{} {user}", kind.event()),
    };
    let id = item.id.as_ref().map(|id| format!(" id {id}"));
    format!("{target} {}{}", item.payload.text(), id.unwrap_or_default())
}

fn state_value(value: &StateValue) -> String {
    let version = value.version;
    let (epoch, counter) = (version.epoch.number(), version.counter);
    format!(
        "{} {} version {epoch:x}-{counter}",
        topic(&value.topic),
        value.payload.text()
    )
}

fn log_entry(entry: &LogEntry) -> String {
    let (kind, user) = (entry.kind.event(), &entry.user);
    format!(
        "{kind} {user} {} {}",
        event_id(entry.id),
        entry.payload.text()
    )
}

fn pending(pending: Pending) -> String {
    format!("{} B in {}", pending.bytes, pending.packets)
}

fn done(outcome: BusOutcome) -> &'static str {
    match outcome {
        BusOutcome::Done => "done",
        BusOutcome::Failed => "failed",
    }
}

fn symbols(symbols: &[Symbol]) -> String {
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    format!("[{}]", names.join(" "))
}

fn conns(conns: &[ConnId]) -> String {
    list(conns, ToString::to_string)
}

fn list<T>(items: &[T], word: impl Fn(&T) -> String) -> String {
    if items.is_empty() {
        return "nothing".into();
    }
    items.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn ms(span: core::time::Duration) -> String {
    Timestamp::from_ms(u64::try_from(span.as_millis()).unwrap()).to_string()
}

/// The wall time that a node's publishes and drains carry: as far from the epoch as its origin.
pub(crate) fn wall(now: Timestamp) -> WallTime {
    WallTime::from_unix_ms(now.as_ms())
}
