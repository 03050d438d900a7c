//! What clients saw, in the oracle's words.

use std::sync::Arc;

use tradewire_engine::ids::EventId;

use super::names::{Link, symbol_of, user_of};
use super::texts::{self, Payload};
use super::{Judge, Seat};
use crate::observation::{Observation as Saw, Reason};
use crate::oracle::{
    Call, Conn, Ended, Got, Guarantee, Observation, Refused, Resume, Situation, Symbol, Tab,
    Target, Topic, Verdict,
};

/// How long a client that is not refused may take to come in: a wait, a look-up, and once more.
const IN_MS: u64 = 35_000;

/// One client over all its connections.
#[derive(Debug)]
pub(super) struct Client {
    tab: Tab,
    /// Where it runs.
    host: usize,
    conn: Option<Conn>,
    /// It does not read.
    pub(super) frozen: bool,
    /// Calls that wait for a connection.
    buffer: Vec<(Call, Vec<Symbol>)>,
    /// Since when it tries to come in.
    out_since: Option<u64>,
    /// More connections of its user than there may be, so that it may be refused.
    crowded: bool,
}

impl Judge {
    /// There is a client on a host. One that is `crowded` may find no room.
    pub fn expect(&mut self, name: &str, host: usize, crowded: bool) {
        let client = Client {
            tab: self.tab(),
            host,
            conn: None,
            frozen: false,
            buffer: Vec::new(),
            out_since: Some(self.now),
            crowded,
        };
        self.clients.insert(Arc::from(name), client);
    }

    pub(super) fn client(&mut self, who: &Arc<str>, what: &Saw) -> Verdict {
        let now = self.now;
        let Some(client) = self.clients.get_mut(who) else {
            return Ok(());
        };
        let current = client.conn;
        match what {
            Saw::Connecting { node, sid, auth } => self.dialled(who, node, sid, auth),
            Saw::Connected { .. } => {
                let Some(conn) = current else { return Ok(()) };
                client.out_since = None;
                let calls = core::mem::take(&mut client.buffer);
                if let Some(seat) = self.conns.get_mut(conn.index()) {
                    seat.entered = true;
                }
                self.see(&Observation::Entered(conn))?;
                for (call, symbols) in calls {
                    self.see(&Observation::Called {
                        conn,
                        call,
                        symbols,
                    })?;
                }
                Ok(())
            }
            Saw::ConnectError { message } => {
                // It comes back when it is told to.
                client.out_since = None;
                let Some(conn) = current else { return Ok(()) };
                let why = if message.starts_with("Too many connections") {
                    Refused::TooMany
                } else if message.starts_with("Authentication failed: ") {
                    Refused::UnknownSession
                } else {
                    Refused::Other
                };
                self.see(&Observation::Refused { conn, why })?;
                self.end(who, conn, Ended::Disconnected)
            }
            Saw::Event { name, payload } => {
                let Some(conn) = current else { return Ok(()) };
                let Some(got) = self.got(conn, name, payload) else {
                    let facts = format!("{who} got {name} {payload}, which says nothing");
                    return self.broken(Guarantee::G1, facts);
                };
                self.see(&Observation::Got(conn, got))
            }
            Saw::Emitted { name, payload, .. } => {
                let Some((call, symbols)) = called(name, payload) else {
                    return Ok(());
                };
                let seat = current.and_then(|conn| self.conns.get(conn.index()));
                match (current, seat.is_some_and(|seat| seat.entered)) {
                    (Some(conn), true) => self.see(&Observation::Called {
                        conn,
                        call,
                        symbols,
                    }),
                    (Some(_) | None, _) => {
                        client.buffer.push((call, symbols));
                        Ok(())
                    }
                }
            }
            Saw::Disconnected { reason } => {
                let how = match reason {
                    Reason::ServerDisconnect => Ended::Disconnected,
                    // The client's own decision, for want of a heartbeat.
                    Reason::ClientDisconnect | Reason::PingTimeout => Ended::Own,
                    Reason::TransportClose | Reason::TransportError | Reason::ParseError => {
                        Ended::Transport
                    }
                };
                client.out_since = (how != Ended::Disconnected).then_some(now);
                let Some(conn) = current else { return Ok(()) };
                self.unheard(who, conn, *reason)?;
                self.end(who, conn, how)
            }
            Saw::Stalled | Saw::Resumed => {
                client.frozen = *what == Saw::Stalled;
                client.out_since = client.out_since.map(|_| now);
                let Some(conn) = current else { return Ok(()) };
                let on = *what == Saw::Stalled;
                let cut = self
                    .seat(conn)
                    .is_some_and(|seat| self.disturbed.contains_key(&seat.link));
                if on || !cut {
                    self.see(&Observation::Stalled { conn, on })?;
                }
                Ok(())
            }
            Saw::Roamed | Saw::Vanished | Saw::Stopped => {
                client.out_since = (*what == Saw::Roamed).then_some(now);
                let Some(conn) = current else { return Ok(()) };
                if *what == Saw::Vanished {
                    self.reached(Situation::Vanished);
                }
                if *what != Saw::Stopped {
                    self.see(&Observation::Stalled { conn, on: true })?;
                }
                self.end(who, conn, Ended::Own)
            }
            _ => Ok(()),
        }
    }

    fn dialled(&mut self, who: &Arc<str>, node: &str, sid: &str, auth: &str) -> Verdict {
        let Ok(auth) = serde_json::from_str::<texts::Auth>(auth) else {
            return Ok(());
        };
        let (Some(user), Some(at)) = (user_of(&auth.user_id), self.latest(node)) else {
            return Ok(());
        };
        let Some(client) = self.clients.get_mut(who) else {
            return Ok(());
        };
        let conn = Conn(u32::try_from(self.conns.len()).unwrap_or(u32::MAX));
        client.conn = Some(conn);
        let tab = client.tab;
        let resume = match &auth.last_event_id {
            None => Resume::No,
            Some(id) => EventId::parse(id).map_or(Resume::Forged, Resume::After),
        };
        let replaces = auth.replaces.and_then(|sid| self.sids.get(&sid).copied());
        let mut restored = Vec::new();
        if let Some(wanted) = auth.subscriptions {
            if wanted.portfolio {
                restored.push((Call::Portfolio, Vec::new()));
            }
            if wanted.trades {
                restored.push((Call::Trades, Vec::new()));
            }
            if !wanted.watchlist.is_empty() {
                let symbols = wanted.watchlist.iter().filter_map(|text| symbol_of(text));
                restored.push((Call::Watchlist, symbols.collect()));
            }
        }
        let link = Link {
            host: client.host,
            node: node.to_owned(),
        };
        let cut = self.disturbed.contains_key(&link);
        self.sids.insert(sid.to_owned(), conn);
        self.conns.push(Seat {
            client: Arc::clone(who),
            user,
            link,
            restored: restored.len(),
            entered: false,
            ended: false,
        });
        self.see(&Observation::Dialled {
            conn,
            tab,
            user,
            node: at,
            resume,
            replaces,
        })?;
        for (call, symbols) in restored {
            self.see(&Observation::Called {
                conn,
                call,
                symbols,
            })?;
        }
        if cut {
            self.see(&Observation::Stalled { conn, on: true })?;
        }
        Ok(())
    }

    fn end(&mut self, who: &Arc<str>, conn: Conn, how: Ended) -> Verdict {
        if let Some(client) = self.clients.get_mut(who) {
            client.conn = None;
        }
        if let Some(seat) = self.conns.get_mut(conn.index()) {
            seat.ended = true;
        }
        self.see(&Observation::Ended { conn, how })
    }

    /// A client that reads hears heartbeats, unless something is wrong.
    fn unheard(&self, who: &Arc<str>, conn: Conn, reason: Reason) -> Verdict {
        let healthy = |node: &crate::oracle::NodeFacts| node.ended.is_none();
        let facts = self.oracle.facts();
        let Some(of) = facts.conn(conn).filter(|_| reason == Reason::PingTimeout) else {
            return Ok(());
        };
        let node = facts.nodes.get(of.node.index());
        if of.able_since(self.now.saturating_sub(40_000))
            && of.left_at.is_none()
            && node.is_some_and(healthy)
        {
            let facts = format!("{who} ({conn}) heard no heartbeat, and nothing was in the way");
            return self.broken(Guarantee::Liveness, facts);
        }
        Ok(())
    }

    fn got(&mut self, conn: Conn, name: &str, payload: &str) -> Option<Got> {
        let published = |text| serde_json::from_str::<Payload<'_>>(text).ok();
        match name {
            "trade:executed" | "trade:failed" => {
                let trade = published(payload)?;
                let id = EventId::parse(trade.event_id.as_deref()?)?;
                let target = Target::Trade(self.seat(conn)?.user);
                let item = self.item(trade.item(), target);
                Some(Got::Trade { id, item })
            }
            "market:status" | "portfolio:update" | "quote:update" => {
                let value = published(payload)?;
                let topic = match name {
                    "market:status" => Topic::Market,
                    "portfolio:update" => Topic::Portfolio(self.seat(conn)?.user),
                    _ => Topic::Quote(symbol_of(value.symbol.as_deref()?)?),
                };
                let item = self.item(value.item(), Target::State(topic));
                Some(Got::Value { topic, item })
            }
            "subscription:confirmed" | "unsubscription:confirmed" => {
                let confirmed: texts::Confirmed<'_> = serde_json::from_str(payload).ok()?;
                let symbols = confirmed.symbols.iter().map(|text| symbol_of(text));
                let symbols = symbols.collect::<Option<Vec<_>>>()?;
                if name == "unsubscription:confirmed" {
                    return Some(Got::Unsubscribed { symbols });
                }
                let call = match &*confirmed.kind {
                    "portfolio" => Call::Portfolio,
                    "trades" => Call::Trades,
                    "watchlist" => Call::Watchlist,
                    _ => return None,
                };
                let seat = self.conns.get_mut(conn.index())?;
                let restored = seat.restored > 0;
                seat.restored = seat.restored.saturating_sub(1);
                Some(Got::Confirmed {
                    call,
                    symbols,
                    restored,
                })
            }
            "error" => {
                let error: texts::Error<'_> = serde_json::from_str(payload).ok()?;
                Some(match (error.event, &*error.message) {
                    (Some(event), _) => Got::RateLimited {
                        call: call_of(&event)?,
                    },
                    (None, "Session expired") => Got::SessionExpired,
                    (None, text) if text.starts_with("Too many connections") => Got::Excess,
                    (None, _) => Got::Error,
                })
            }
            "resume" => {
                let resume: texts::Resume = serde_json::from_str(payload).ok()?;
                Some(Got::Resumed {
                    recovered: resume.recovered,
                    replayed: resume.replayed,
                    last: resume.last_event_id.as_deref().and_then(EventId::parse),
                })
            }
            "server:shutdown" => {
                let shutdown: texts::Shutdown = serde_json::from_str(payload).ok()?;
                Some(Got::Shutdown {
                    reconnect_in_ms: shutdown.reconnect_in_ms,
                })
            }
            _ => None,
        }
    }

    /// Nobody who should be connected is not.
    pub(super) fn everyone_is_in(&self) -> Verdict {
        for (name, client) in &self.clients {
            if let Some(since) = client.out_since
                && since + IN_MS < self.now
                && !client.crowded
                && !client.frozen
            {
                let facts = format!("{name} has tried to connect since {since} ms");
                return self.broken(Guarantee::Liveness, facts);
            }
        }
        Ok(())
    }
}

fn call_of(event: &str) -> Option<Call> {
    match event {
        "subscribe:portfolio" => Some(Call::Portfolio),
        "subscribe:trades" => Some(Call::Trades),
        "subscribe:watchlist" => Some(Call::Watchlist),
        _ => None,
    }
}

/// A call that is counted.
fn called(event: &str, payload: &str) -> Option<(Call, Vec<Symbol>)> {
    let call = call_of(event)?;
    let symbols: Vec<String> = serde_json::from_str(payload).unwrap_or_default();
    Some((
        call,
        symbols.iter().filter_map(|text| symbol_of(text)).collect(),
    ))
}
