//! What an engine is told and what it decides, in words, with connections under the names that whoever
//! tells it has for them. Nothing is decided here.

use tradewire_engine::bus::BusRequest;
use tradewire_engine::effect::{Control, Message, Note, PublishOutcome};
use tradewire_engine::event::{LogEntry, Publish, StateValue, Target};
use tradewire_engine::ids::ConnId;
use tradewire_engine::input::{BusOutcome, GapCause};
use tradewire_engine::parse::ClientEvent;
use tradewire_engine::reason::ClientError;
use tradewire_engine::{Effect, Input};

/// How much of a line is kept.
const LINE_MAX: usize = 400;

/// What a connection is called.
pub type Named<'a> = &'a dyn Fn(ConnId) -> String;

/// The names, as many of them as a line has room for.
fn names(conns: &[ConnId], named: Named<'_>) -> String {
    let names = conns.iter().take(LINE_MAX).map(|conn| named(*conn));
    names.collect::<Vec<_>>().join(", ")
}

fn clipped(mut line: String) -> String {
    if line.len() > LINE_MAX {
        let end = (0..=LINE_MAX).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or(0));
        line.push('…');
    }
    line
}

fn published(items: &[Publish]) -> String {
    let items = items.iter().map(|item| {
        let to = match &item.target {
            Target::State(topic) => format!("{topic:?}"),
            Target::Log { user, .. } => format!("trade({user})"),
        };
        format!("{to} {:?}", item.payload)
    });
    items.collect::<Vec<_>>().join(", ")
}

fn arrived(values: &[StateValue]) -> String {
    let values = values.iter();
    let values = values.map(|value| format!("{:?} {:?}", value.topic, value.payload));
    values.collect::<Vec<_>>().join(", ")
}

fn logged(entries: &[LogEntry]) -> String {
    let entries = entries.iter();
    let entries =
        entries.map(|entry| format!("{} of {} {:?}", entry.id, entry.user, entry.payload));
    entries.collect::<Vec<_>>().join(", ")
}

/// What it is told.
#[must_use]
pub fn told(input: &Input, named: Named<'_>) -> String {
    let of = |conn: &ConnId| named(*conn);
    clipped(match input {
        Input::BusLost => "the bus cannot be used".to_owned(),
        Input::BusReached => "the bus can be used".to_owned(),
        Input::Closed { conn } => format!("{}: the transport is gone", of(conn)),
        Input::Connected { conn } => format!("{}: CONNECT was answered", of(conn)),
        Input::ConnectRequested { conn, auth, .. } => {
            format!("{} sends CONNECT: {auth:?}", of(conn))
        }
        Input::Disconnected { conn } => format!("{} has left", of(conn)),
        Input::DrainHurried => "a second signal: leave at once".to_owned(),
        Input::DrainStarted { .. } => "a signal: leave".to_owned(),
        Input::Emitted { items, .. } => format!("an emitter sends {}", published(items)),
        Input::HandshakeStarted { conn } => format!("{} shakes hands", of(conn)),
        Input::OutboxMeasured { conn, pending } => {
            format!(
                "{}: {} bytes in {} packets are pending",
                of(conn),
                pending.bytes,
                pending.packets
            )
        }
        Input::Published { request, items, .. } => {
            format!("publish {request:?}: {}", published(items))
        }
        Input::Received { conn, event, .. } => {
            let event = match event {
                ClientEvent::SubscribePortfolio => "subscribe:portfolio".to_owned(),
                ClientEvent::SubscribeTrades => "subscribe:trades".to_owned(),
                ClientEvent::SubscribeWatchlist(symbols) => {
                    format!("subscribe:watchlist {symbols:?}")
                }
                ClientEvent::Unknown => "an unknown event".to_owned(),
                ClientEvent::UnsubscribeWatchlist(symbols) => {
                    format!("unsubscribe:watchlist {symbols:?}")
                }
            };
            format!("{} sends {event}", of(conn))
        }
        Input::StateMissed => "values were missed on their way here".to_owned(),
        Input::TransportFailed { conn, fault } => {
            format!("{}: its transport is {fault:?}", of(conn))
        }
        Input::Woke => "a deadline has come".to_owned(),
        Input::Appended { request, outcome } | Input::Shared { request, outcome } => {
            let outcome = match outcome {
                BusOutcome::Done => "has done",
                BusOutcome::Failed => "has not done, or nobody knows,",
            };
            format!("the bus {outcome} {request:?}")
        }
        Input::Charged { request, verdict } => {
            format!("the bus says to the call of {request:?}: {verdict:?}")
        }
        Input::Claimed { request, verdict } => {
            format!("the bus says to the slot of {request:?}: {verdict:?}")
        }
        Input::Fetched { request, values } => match values {
            Some(values) => format!("current values for {request:?}: {}", arrived(values)),
            None => format!("the bus does not answer {request:?}"),
        },
        Input::Led { held, .. } => match held {
            Some(true) => "this node has the lease for emitter messages".to_owned(),
            Some(false) => "another has the lease for emitter messages".to_owned(),
            None => "who has the lease for emitter messages is not known".to_owned(),
        },
        Input::LogArrived { entries } => format!("trades arrive: {}", logged(entries)),
        Input::LogLoaded { entries } => format!("trades of before: {}", logged(entries)),
        Input::LogGap { cause } => match cause {
            GapCause::DataLoss => "trades are missing: the bus lost its data".to_owned(),
            GapCause::Trimmed => "trades are missing: the log was trimmed".to_owned(),
        },
        Input::OutboxesMeasured { pending } => {
            let pending = pending.iter();
            let pending =
                pending.map(|(conn, pending)| format!("{} {} bytes", of(conn), pending.bytes));
            format!("pending: {}", pending.collect::<Vec<_>>().join(", "))
        }
        Input::SessionLookedUp { verdict, .. } => format!("the session looked up is {verdict:?}"),
        Input::SessionsChecked { present, .. } => match present {
            Some(present) => format!("sessions that are there: {present:?}"),
            None => "sessions could not be checked".to_owned(),
        },
        Input::SlotsLost { slots } => {
            let slots = slots.iter();
            let slots = slots.map(|(user, slot, loss)| format!("{slot} of {user}, {loss:?}"));
            format!("slots are lost: {}", slots.collect::<Vec<_>>().join("; "))
        }
        Input::StateArrived { values, .. } => format!("values arrive: {}", arrived(values)),
    })
}

/// What it decides, and to whom a delivery goes.
#[must_use]
pub fn decided(effect: &Effect, recipients: &[ConnId], named: Named<'_>) -> String {
    let of = |conn: &ConnId| named(*conn);
    clipped(match effect {
        Effect::Acknowledge { conn, answer, .. } => {
            format!("acknowledge to {}: {}", of(conn), control(answer))
        }
        Effect::Admit { conn } => format!("let {} in", of(conn)),
        Effect::AllowHandshake { conn } => format!("let {} shake hands", of(conn)),
        Effect::AnswerPublish { request, outcome } => {
            let outcome = match outcome {
                PublishOutcome::Accepted {
                    degraded: false, ..
                } => "202",
                PublishOutcome::Accepted { degraded: true, .. } => "202, degraded",
                PublishOutcome::Draining => "503, leaving",
                PublishOutcome::Unavailable { .. } => {
                    "503, the bus is away: try again with these ids"
                }
            };
            format!("answer publish {request:?}: {outcome}")
        }
        Effect::Bus(request) => format!("ask the bus: {}", asked(request)),
        Effect::CheckSessions { sessions, .. } => format!("are these sessions there: {sessions:?}"),
        Effect::Close { conn, reason, .. } => format!("close {}: {}", of(conn), reason.name()),
        Effect::Deliver { message, .. } => {
            let what = match message {
                Message::Log { id, payload, .. } => format!("trade {id} {payload:?}"),
                Message::State { topic, payload } => format!("{topic:?} {payload:?}"),
            };
            format!("deliver {what} to {}", names(recipients, named))
        }
        Effect::Disconnect { conn } => format!("send DISCONNECT to {}", of(conn)),
        Effect::Drained => "everyone is gone: exit".to_owned(),
        Effect::LookUpSession { session, .. } => format!("look up session {session:?}"),
        Effect::Measure { conn } => format!("measure what is pending to {}", of(conn)),
        Effect::MeasureAll => "measure what is pending to all".to_owned(),
        Effect::Note(note) => format!("note: {}", noted(note, named)),
        Effect::Refuse { conn, reason } => format!("refuse {}: {reason:?}", of(conn)),
        Effect::RefuseHandshake { conn, reason } => format!("503 to {}: {reason:?}", of(conn)),
        Effect::Release { conn } => format!("forget {}", of(conn)),
        Effect::Send {
            conn,
            control: what,
        } => format!("send {} {}", of(conn), control(what)),
        Effect::Watch { conn, at_most } => {
            format!(
                "tell when at most {} bytes are pending to {}",
                at_most.bytes,
                of(conn)
            )
        }
    })
}

fn asked(request: &BusRequest) -> String {
    match request {
        BusRequest::Append { entries, .. } => {
            let entries = entries
                .iter()
                .map(|entry| format!("{:?} of {}", entry.payload, entry.user));
            format!("log {}", entries.collect::<Vec<_>>().join(", "))
        }
        BusRequest::Charge { user, call, .. } => format!("count a call of {user} for {call:?}"),
        BusRequest::Claim {
            user,
            slot,
            replaces,
            ..
        } => match replaces {
            Some(other) => format!("slot {slot} of {user}, in place of {other}"),
            None => format!("slot {slot} of {user}"),
        },
        BusRequest::Fetch { topics, .. } => format!("values of {topics:?}"),
        BusRequest::Lead { .. } => "the lease for emitter messages".to_owned(),
        BusRequest::Listen { on: true } => "tell what emitters send".to_owned(),
        BusRequest::Listen { on: false } => "tell no more what emitters send".to_owned(),
        BusRequest::Probe => "anything".to_owned(),
        BusRequest::Release { user, slot } => format!("give slot {slot} of {user} back"),
        BusRequest::Renew { users } => format!("hold on to the slots of {} users", users.len()),
        BusRequest::Share { values, .. } => {
            let values = values
                .iter()
                .map(|value| format!("{:?} {:?}", value.topic, value.payload));
            format!("set {}", values.collect::<Vec<_>>().join(", "))
        }
    }
}

fn control(control: &Control) -> String {
    match control {
        Control::Error(error) => match error {
            ClientError::RateLimited { call, .. } => format!("error: too many calls for {call:?}"),
            ClientError::InvalidSubscriptions
            | ClientError::InvalidSymbols
            | ClientError::SessionExpired
            | ClientError::TooManyConnections { .. }
            | ClientError::TooManyEvents
            | ClientError::UnknownEvent => format!("error: {error:?}"),
        },
        Control::Resumed {
            recovered,
            replayed,
            ..
        } => {
            format!("resume recovered:{recovered} replayed:{replayed}")
        }
        Control::Shutdown {
            reconnect_in_ms, ..
        } => {
            format!("server:shutdown reconnectInMs:{reconnect_in_ms}")
        }
        Control::Subscribed { call, symbols } => {
            format!("subscription:confirmed {call:?} {symbols:?}")
        }
        Control::Unsubscribed { symbols } => format!("unsubscription:confirmed {symbols:?}"),
    }
}

fn noted(note: &Note, named: Named<'_>) -> String {
    let of = |conn: &ConnId| named(*conn);
    match note {
        Note::Admitted { conn, user } => format!("{} of {user} is in", of(conn)),
        Note::BusLost => "the bus is away; this node goes on by itself".to_owned(),
        Note::BusReached { away } => format!("the bus is back after {} ms", away.as_millis()),
        Note::Closing { conn, reason, .. } => format!("{} is closed: {}", of(conn), reason.name()),
        Note::Congested { conn, pending } => {
            format!(
                "{} is congested, {} bytes are pending",
                of(conn),
                pending.bytes
            )
        }
        Note::Conflated { conn, topic } => {
            format!(
                "{} gets only the newest {topic:?}: it is congested",
                of(conn)
            )
        }
        Note::Disconnected { conn, user } => format!("{} of {user} is gone", of(conn)),
        Note::EmittedLost { items } => format!("{items} items of an emitter are dropped"),
        Note::Draining { told } => format!("leaving; {told} clients are told"),
        Note::HandedOver { values } => format!("{values} values that were held are with the bus"),
        Note::HandshakeRefused { reason } => format!("a handshake is refused: {reason:?}"),
        Note::Held { topic } => format!("{topic:?} is held for the bus"),
        Note::IdleUserForgotten => {
            "of too many idle users the one whose windows are empty soonest is forgotten".to_owned()
        }
        Note::Intake { on: true } => "takes in emitter messages".to_owned(),
        Note::Intake { on: false } => "takes in no more emitter messages".to_owned(),
        Note::LogGap { cause, told } => {
            format!("trades are missing ({cause:?}); {told} clients are told")
        }
        Note::RateLimited { conn, user, call } => {
            format!("{} of {user} asks too often for {call:?}", of(conn))
        }
        Note::Refused { conn, reason } => format!("{} is refused: {reason:?}", of(conn)),
        Note::RequestTimedOut { request, asked } => {
            format!("{asked:?} did not answer {request:?} in time")
        }
        Note::Resumed {
            conn,
            recovered,
            replayed,
        } => {
            format!(
                "{} resumed, recovered:{recovered}, {replayed} sent again",
                of(conn)
            )
        }
        Note::SessionGone { conn, user } => format!("the session of {} ({user}) is gone", of(conn)),
        Note::SlotLost { conn, user, loss } => {
            format!("{} of {user} loses its slot: {loss:?}", of(conn))
        }
        Note::StaleState { topic } => {
            format!("a value of {topic:?} is older than what is held: dropped")
        }
        Note::Uncongested { conn } => format!("{} keeps up again", of(conn)),
    }
}
