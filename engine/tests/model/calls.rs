//! What a client's call must be answered, from the list of all calls ever admitted.

use tradewire_engine::Effect;
use tradewire_engine::effect::Control;
use tradewire_engine::ids::{ConnId, Symbol};
use tradewire_engine::input::AckId;
use tradewire_engine::parse::{ClientEvent, Subscriptions};
use tradewire_engine::reason::{Call, ClientError, CloseReason};

use crate::reference::{Reference, Stage};

impl Reference {
    pub(crate) fn expect_answer(&mut self, conn: ConnId, event: &ClientEvent, ack: Option<AckId>) {
        self.expect_entry(conn);
        if self
            .conns
            .get(&conn)
            .is_none_or(|state| state.stage != Stage::Live)
        {
            return;
        }
        if !self.within_event_rate(conn) {
            self.expect_error(conn, None, ClientError::TooManyEvents);
            let (reason, flush) = (CloseReason::Flood, core::time::Duration::from_secs(1));
            self.expected.push_back(Effect::Close {
                conn,
                reason,
                flush,
            });
            return;
        }
        match event {
            ClientEvent::SubscribePortfolio => {
                if self.admits(conn, Call::Portfolio, ack) {
                    self.subscribed(conn, Call::Portfolio, ack);
                }
            }
            ClientEvent::SubscribeTrades => {
                if self.admits(conn, Call::Trades, ack) {
                    self.subscribed(conn, Call::Trades, ack);
                }
            }
            ClientEvent::SubscribeWatchlist(symbols) => {
                if self.admits(conn, Call::Watchlist, ack) {
                    let done = symbols
                        .as_ref()
                        .is_ok_and(|symbols| self.watches(conn, symbols, ack));
                    if !done {
                        self.expect_error(conn, ack, ClientError::InvalidSymbols);
                    }
                }
            }
            ClientEvent::UnsubscribeWatchlist(Ok(symbols)) => {
                let symbols = symbols.clone();
                self.expect_control(conn, ack, Control::Unsubscribed { symbols });
            }
            ClientEvent::UnsubscribeWatchlist(Err(_)) => {
                self.expect_error(conn, ack, ClientError::InvalidSymbols);
            }
            ClientEvent::Unknown => {
                if let Some(ack) = ack {
                    let answer = Control::Error(ClientError::UnknownEvent);
                    self.expected
                        .push_back(Effect::Acknowledge { conn, ack, answer });
                }
            }
        }
    }

    pub(crate) fn expect_restored(&mut self, conn: ConnId, wished: Subscriptions) {
        if wished.portfolio {
            self.subscribed(conn, Call::Portfolio, None);
        }
        if wished.trades {
            self.subscribed(conn, Call::Trades, None);
        }
        if !wished.watchlist.is_empty() && !self.watches(conn, &wished.watchlist, None) {
            self.expect_error(conn, None, ClientError::InvalidSubscriptions);
        }
    }

    pub(crate) fn expect_error(&mut self, conn: ConnId, ack: Option<AckId>, error: ClientError) {
        self.expect_control(conn, ack, Control::Error(error));
    }

    fn expect_control(&mut self, conn: ConnId, ack: Option<AckId>, control: Control) {
        if let Some(ack) = ack {
            let answer = control.clone();
            self.expected
                .push_back(Effect::Acknowledge { conn, ack, answer });
        }
        self.expected.push_back(Effect::Send { conn, control });
    }

    /// Events may come evenly at the rate, and ahead of that by the burst.
    fn within_event_rate(&mut self, conn: ConnId) -> bool {
        let apart = 1_000 / u64::from(self.limits.events_per_second_max);
        let ahead_max = apart * u64::from(self.limits.events_burst_max - 1);
        let now = self.now.as_ms();
        let state = self.conns.get_mut(&conn).unwrap();
        let even_at = state.even_at.max(now);
        if even_at - now > ahead_max {
            return false;
        }
        state.even_at = even_at + apart;
        true
    }

    /// Whether a call is within its user's limit; if not, the client is told when it will be.
    fn admits(&mut self, conn: ConnId, call: Call, ack: Option<AckId>) -> bool {
        let limit = match call {
            Call::Portfolio => self.limits.portfolio_calls_max,
            Call::Trades => self.limits.trades_calls_max,
            Call::Watchlist => self.limits.watchlist_calls_max,
        } as usize;
        let window = self.limits.calls_window;
        let state = self.conns.get_mut(&conn).unwrap();
        let first = state.called.insert(call);
        let user = state.user.clone().unwrap();
        let calls = self.calls.entry((user, call)).or_default();
        let now = self.now;
        let recent = |at: u64| {
            calls
                .iter()
                .filter(|call| at - call.as_ms() < window.as_millis() as u64)
                .count()
        };
        if first || recent(now.as_ms()) < limit {
            calls.push(now);
            return true;
        }
        let leave = calls.iter().map(|call| *call + window);
        let mut leave = leave.filter(|at| *at > now).map(|at| at.as_ms());
        let free_at = leave.find(|at| recent(*at) < limit).unwrap();
        let retry_after_ms = free_at - now.as_ms();
        self.expect_error(
            conn,
            ack,
            ClientError::RateLimited {
                call,
                retry_after_ms,
            },
        );
        false
    }

    fn subscribed(&mut self, conn: ConnId, call: Call, ack: Option<AckId>) {
        let state = self.conns.get_mut(&conn).unwrap();
        match call {
            Call::Portfolio => state.portfolio = true,
            Call::Trades => state.trades = true,
            Call::Watchlist => {}
        }
        self.expect_control(
            conn,
            ack,
            Control::Subscribed {
                call,
                symbols: Vec::new(),
            },
        );
    }

    /// Whether the connection may hold these symbols too; if so, it does.
    fn watches(&mut self, conn: ConnId, symbols: &[Symbol], ack: Option<AckId>) -> bool {
        let state = self.conns.get_mut(&conn).unwrap();
        let mut all = state.symbols.clone();
        all.extend(symbols.iter().cloned());
        if all.len() > self.limits.symbols_per_connection_max as usize {
            return false;
        }
        state.symbols = all;
        let (call, symbols) = (Call::Watchlist, symbols.to_vec());
        self.expect_control(conn, ack, Control::Subscribed { call, symbols });
        true
    }
}
