//! Clients as stock ones are: handshake, CONNECT, backoff with jitter, resume, what they ask for, and
//! what they do when they are refused, disconnected or cut off.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use tradewire_engine::effect::Control;
use tradewire_engine::ids::{Epoch, EventId};
use tradewire_engine::parse::{
    Auth, ClientEvent, InvalidSymbols, LastEventId, Subscriptions, UserClaim,
};
use tradewire_engine::reason::{Call as EngineCall, ClientError};
use tradewire_engine::{Contact, Input};

use super::names::{socket, symbol_of};
use super::script::{Client, Wish};
use super::wires::{Frame, Wire};
use super::world::{Event, World};
use crate::oracle::{
    Call, Conn, Ended, Got, Node, Observation, Resume, Symbol, Tab, User, Verdict,
};

/// The first wait before a client comes back, and the longest.
const BACKOFF_MS: (u64, u64) = (1_000, 5_000);

/// How long a client waits for its CONNECT to be answered.
const CONNECT_MS: u64 = 20_000;

/// A tab and how it stands.
#[derive(Debug)]
pub(super) struct TabState {
    pub(super) name: u32,
    pub(super) tab: Tab,
    pub(super) user: User,
    pub(super) dials_at: u64,
    /// Counts attempts, so that those planned before are void.
    attempt: u32,
    failures: u32,
    pub(super) conn: Option<Conn>,
    is_in: bool,
    /// Since when it tries to connect; `None` while it is in, or has given up.
    pub(super) out_since: Option<u64>,
    last_conn: Option<Conn>,
    pub(super) last_id: Option<EventId>,
    resumes: bool,
    replaces: bool,
    restores: bool,
    symbols: Vec<Symbol>,
    latency: u64,
    slow: Option<u32>,
    /// Decides what it draws.
    pub(super) chance: StdRng,
}

impl TabState {
    pub(super) fn new(tab: Tab, client: Client, chance: StdRng) -> Self {
        Self {
            name: client.tab,
            tab,
            user: client.user,
            dials_at: client.dials_at,
            attempt: 0,
            failures: 0,
            conn: None,
            is_in: false,
            out_since: Some(0),
            last_conn: None,
            last_id: None,
            resumes: client.resumes,
            replaces: client.replaces,
            restores: client.restores,
            symbols: client.symbols,
            latency: client.latency,
            slow: client.slow,
            chance,
        }
    }
}

impl World<'_> {
    /// A tab opens a connection to whichever node the balancer picks.
    pub(super) fn dial(&mut self, tab: usize, attempt: u32) -> Verdict {
        if self.tabs[tab].attempt != attempt || self.tabs[tab].conn.is_some() {
            return Ok(());
        }
        self.tabs[tab].out_since.get_or_insert(self.now);
        // A balancer learns late that a node leaves.
        let late = self.whim(tab, 5);
        let able: Vec<_> = self.able(late).collect();
        if able.is_empty() {
            self.retry(tab);
            return Ok(());
        }
        let drawn = self.tabs[tab].chance.next_u64();
        let (place, node) = self.chosen(&able, drawn);
        let state = &self.tabs[tab];
        let (latency, slow) = (
            state.latency,
            state.slow.filter(|_| self.now < self.busy_until),
        );
        let conn = Conn(u32::try_from(self.wires.len()).unwrap_or(u32::MAX));
        self.wires.push(Wire::new(tab, place, node, latency, slow));
        self.tabs[tab].conn = Some(conn);
        self.after(latency, Event::HandshakeArrives(conn));
        self.after(CONNECT_MS, Event::ConnectTimeout(conn));
        if self.is_busy() && self.whim(tab, 3) {
            // Someone closes the page again at once.
            let ms = self.tabs[tab].chance.random_range(0..6 * latency + 20);
            self.after(ms, Event::ConnectTimeout(conn));
        }
        Ok(())
    }

    /// The nodes to which a balancer sends people: those that are ready, unless it is late to know.
    pub(super) fn able(&self, late: bool) -> impl Iterator<Item = (usize, Node)> {
        let lives = self.places.iter().enumerate();
        lives.filter_map(move |(place, at)| {
            let life = at.life.as_ref()?;
            let ready = !life.draining && life.engine.stats().contact != Contact::Never;
            (late || ready).then_some((place, life.node))
        })
    }

    /// The one of them on which a draw falls: that another is not there moves only what fell on that.
    pub(super) fn chosen(&self, able: &[(usize, Node)], drawn: u64) -> (usize, Node) {
        let weight = |place: usize| {
            let name = u64::from(self.places[place].name) + 1;
            (drawn ^ name.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93)
                >> 8
        };
        let mut chosen = able[0];
        for at in able {
            if weight(at.0) > weight(chosen.0) {
                chosen = *at;
            }
        }
        chosen
    }

    pub(super) fn handshake_answered(&mut self, conn: Conn) -> Verdict {
        let wire = &self.wires[conn.index()];
        if wire.is_left || wire.is_closing {
            return Ok(());
        }
        let (tab, node, latency) = (wire.tab, wire.node, wire.latency);
        let forges = self.trouble.garbage && self.tabs[tab].resumes && self.whim(tab, 10);
        let state = &mut self.tabs[tab];
        let user = state.user;
        let resume = match state.last_id.filter(|_| state.resumes) {
            _ if forges => Resume::Forged,
            Some(id) => Resume::After(id),
            None => Resume::No,
        };
        let replaces = state.last_conn.filter(|_| state.replaces);
        let forged = EventId {
            epoch: Epoch::new(state.chance.random_range(0..3)),
            ms: u64::MAX,
            seq: 7,
        };
        let restored = state.restores.then(|| Subscriptions {
            portfolio: true,
            trades: true,
            watchlist: state
                .symbols
                .iter()
                .map(|symbol| self.names.symbol(*symbol))
                .collect(),
        });
        let auth = Auth {
            session: Some(self.names.session(user)),
            user: UserClaim::Claimed(self.names.user(user)),
            last_event_id: match resume {
                Resume::No => LastEventId::Absent,
                Resume::After(id) => LastEventId::Given(Some(id)),
                Resume::Forged => LastEventId::Given(Some(forged)),
            },
            subscriptions: restored.clone().map(Ok),
            replaces: replaces.map(|conn| socket(conn.0)),
        };
        let tab_number = state.tab;
        self.see(&Observation::Dialled {
            conn,
            tab: tab_number,
            user,
            node,
            resume,
            replaces,
        })?;
        if restored.is_some() {
            let symbols = self.tabs[tab].symbols.clone();
            self.see(&Observation::Called {
                conn,
                call: Call::Portfolio,
                symbols: Vec::new(),
            })?;
            self.see(&Observation::Called {
                conn,
                call: Call::Trades,
                symbols: Vec::new(),
            })?;
            self.wires[conn.index()].restored = if symbols.is_empty() { 2 } else { 3 };
            self.see(&Observation::Called {
                conn,
                call: Call::Watchlist,
                symbols,
            })?;
        }
        self.wires[conn.index()].auth = Some(auth);
        self.after(latency, Event::ConnectArrives(conn));
        Ok(())
    }

    pub(super) fn connect_arrives(&mut self, conn: Conn) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        if wire.is_closing {
            return Ok(());
        }
        let (place, node, id) = (wire.place, wire.node, wire.id);
        let Some(auth) = wire.auth.take() else {
            return Ok(());
        };
        if self.life(place, node).is_none() {
            return Ok(());
        }
        let (socket, cookie) = (socket(conn.0), None);
        self.input(
            place,
            Input::ConnectRequested {
                conn: id,
                socket,
                auth,
                cookie,
            },
        )
    }

    pub(super) fn connect_timeout(&mut self, conn: Conn) -> Verdict {
        let wire = &self.wires[conn.index()];
        let tab = &self.tabs[wire.tab];
        if wire.is_left || tab.conn != Some(conn) || tab.is_in {
            return Ok(());
        }
        self.hang_up(conn)
    }

    /// The client ends its connection in good order.
    pub(super) fn hang_up(&mut self, conn: Conn) -> Verdict {
        if self.wires[conn.index()].is_left {
            return Ok(());
        }
        let ms = self.wires[conn.index()].latency;
        self.after(ms, Event::ServerSeesEnd(conn));
        self.leave(conn, Ended::Own)
    }

    /// The client's end of a connection is over.
    pub(super) fn leave(&mut self, conn: Conn, how: Ended) -> Verdict {
        self.ended(conn, how)?;
        let tab = self.wires[conn.index()].tab;
        if how == Ended::Disconnected {
            self.give_up(tab);
        } else {
            self.retry(tab);
        }
        Ok(())
    }

    /// The same, and the server hears nothing of it.
    pub(super) fn leave_silently(&mut self, conn: Conn) -> Verdict {
        self.leave(conn, Ended::Own)
    }

    fn ended(&mut self, conn: Conn, how: Ended) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        wire.is_left = true;
        let tab = wire.tab;
        let state = &mut self.tabs[tab];
        if state.conn == Some(conn) {
            state.conn = None;
            state.is_in = false;
        }
        self.see(&Observation::Ended { conn, how })
    }

    /// Comes back by itself, as a stock client does.
    fn retry(&mut self, tab: usize) {
        let state = &mut self.tabs[tab];
        state.out_since.get_or_insert(self.now);
        state.attempt += 1;
        let about = (BACKOFF_MS.0 << state.failures.min(3)).min(BACKOFF_MS.1);
        state.failures += 1;
        let attempt = state.attempt;
        let ms = state.chance.random_range(about / 2..=about * 3 / 2);
        self.after(ms, Event::Dial(tab, attempt));
    }

    /// Does not come back by itself; its user loads the page anew after a while.
    fn give_up(&mut self, tab: usize) {
        let number = Tab(self.tab_numbers);
        self.tab_numbers += 1;
        let state = &mut self.tabs[tab];
        state.tab = number;
        (state.last_id, state.last_conn) = (None, None);
        state.out_since = None;
        state.attempt += 1;
        state.failures = 0;
        let attempt = state.attempt;
        let ms = state.chance.random_range(2_000..20_000);
        self.after(ms, Event::Dial(tab, attempt));
    }

    /// A packet reaches the client.
    pub(super) fn read_frame(&mut self, conn: Conn, frame: Frame) -> Verdict {
        let tab = self.wires[conn.index()].tab;
        match frame {
            Frame::Acknowledgement => Ok(()),
            Frame::Control(control) => self.told(conn, tab, *control),
            Frame::Goodbye => {
                self.leave(conn, Ended::Disconnected)?;
                let ms = self.wires[conn.index()].latency;
                self.after(ms, Event::ServerSeesEnd(conn));
                Ok(())
            }
            Frame::Refusal => {
                self.leave(conn, Ended::Disconnected)?;
                let ms = self.wires[conn.index()].latency;
                self.after(ms, Event::ServerSeesEnd(conn));
                Ok(())
            }
            Frame::Trade { id, item } => {
                self.tabs[tab].last_id = Some(id);
                self.see(&Observation::Got(conn, Got::Trade { id, item }))
            }
            Frame::Value { topic, item } => {
                self.see(&Observation::Got(conn, Got::Value { topic, item }))
            }
            Frame::Welcome => self.welcomed(conn, tab),
        }
    }

    fn welcomed(&mut self, conn: Conn, tab: usize) -> Verdict {
        self.see(&Observation::Entered(conn))?;
        let state = &mut self.tabs[tab];
        state.is_in = true;
        state.failures = 0;
        state.out_since = None;
        state.last_conn = Some(conn);
        if !state.restores {
            let symbols = state.symbols.clone();
            self.call(conn, Call::Portfolio, Vec::new())?;
            self.call(conn, Call::Trades, Vec::new())?;
            if !symbols.is_empty() {
                self.call(conn, Call::Watchlist, symbols)?;
            }
        }
        Ok(())
    }

    fn told(&mut self, conn: Conn, tab: usize, control: Control) -> Verdict {
        let symbols_of =
            |symbols: &[tradewire_engine::ids::Symbol]| symbols.iter().map(symbol_of).collect();
        let call_of = |call| match call {
            EngineCall::Portfolio => Call::Portfolio,
            EngineCall::Trades => Call::Trades,
            EngineCall::Watchlist => Call::Watchlist,
        };
        let got = match &control {
            Control::Error(error) => match error {
                ClientError::RateLimited { call, .. } => Got::RateLimited {
                    call: call_of(*call),
                },
                ClientError::SessionExpired => Got::SessionExpired,
                ClientError::TooManyConnections { .. } => Got::Excess,
                ClientError::InvalidSubscriptions
                | ClientError::InvalidSymbols
                | ClientError::TooManyEvents
                | ClientError::UnknownEvent => Got::Error,
            },
            Control::Resumed {
                recovered,
                replayed,
                last,
            } => Got::Resumed {
                recovered: *recovered,
                replayed: *replayed,
                last: *last,
            },
            Control::Shutdown {
                reconnect_in_ms, ..
            } => Got::Shutdown {
                reconnect_in_ms: *reconnect_in_ms,
            },
            Control::Subscribed { call, symbols } => {
                let wire = &mut self.wires[conn.index()];
                let restored = wire.restored > 0;
                wire.restored = wire.restored.saturating_sub(1);
                Got::Confirmed {
                    call: call_of(*call),
                    symbols: symbols_of(symbols),
                    restored,
                }
            }
            Control::Unsubscribed { symbols } => Got::Unsubscribed {
                symbols: symbols_of(symbols),
            },
        };
        if let Control::Resumed {
            recovered: false, ..
        } = control
            && !self.tabs[tab].resumes
        {
            self.tabs[tab].last_id = None;
        }
        self.see(&Observation::Got(conn, got))
    }

    /// A client makes a call.
    fn call(&mut self, conn: Conn, call: Call, symbols: Vec<Symbol>) -> Verdict {
        let event = match call {
            Call::Portfolio => ClientEvent::SubscribePortfolio,
            Call::Trades => ClientEvent::SubscribeTrades,
            Call::Watchlist => {
                let symbols = symbols.iter().map(|symbol| self.names.symbol(*symbol));
                ClientEvent::SubscribeWatchlist(Ok(symbols.collect()))
            }
        };
        self.see(&Observation::Called {
            conn,
            call,
            symbols,
        })?;
        self.emit_event(conn, event);
        Ok(())
    }

    fn emit_event(&mut self, conn: Conn, event: ClientEvent) {
        let wire = &mut self.wires[conn.index()];
        let ack = self.tabs[wire.tab].chance.random_bool(0.2).then_some(1);
        wire.calls.push_back((event, ack));
        let ms = wire.latency;
        self.after(ms, Event::CallArrives(conn));
    }

    pub(super) fn call_arrives(&mut self, conn: Conn) -> Verdict {
        let wire = &mut self.wires[conn.index()];
        let (place, node, id) = (wire.place, wire.node, wire.id);
        let Some((event, ack)) = wire.calls.pop_front() else {
            return Ok(());
        };
        if wire.is_closing || self.life(place, node).is_none() {
            return Ok(());
        }
        self.input(
            place,
            Input::Received {
                conn: id,
                event,
                ack,
            },
        )
    }

    /// A client does what the script says, if it is in.
    pub(super) fn client_does(&mut self, conn: Conn, does: Wish) -> Verdict {
        let wire = &self.wires[conn.index()];
        let state = &mut self.tabs[wire.tab];
        if !state.is_in || wire.is_stalled {
            return Ok(());
        }
        match does {
            Wish::AskPortfolio => self.call(conn, Call::Portfolio, Vec::new()),
            Wish::AskTrades => self.call(conn, Call::Trades, Vec::new()),
            Wish::Watch(symbol) => {
                if !state.symbols.contains(&symbol) {
                    state.symbols.push(symbol);
                }
                self.call(conn, Call::Watchlist, vec![symbol])
            }
            Wish::Unwatch(symbol) => {
                state.symbols.retain(|held| *held != symbol);
                let symbols = vec![self.names.symbol(symbol)];
                self.emit_event(conn, ClientEvent::UnsubscribeWatchlist(Ok(symbols)));
                Ok(())
            }
            Wish::Leave => self.hang_up(conn),
            Wish::Flood(events) => {
                self.see(&Observation::Unfit(conn))?;
                for _ in 0..events {
                    self.emit_event(conn, ClientEvent::Unknown);
                }
                self.emit_event(conn, ClientEvent::UnsubscribeWatchlist(Err(InvalidSymbols)));
                Ok(())
            }
        }
    }
}
