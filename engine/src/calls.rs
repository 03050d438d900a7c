//! What clients ask for once they are in: entering, subscriptions, and the limits on both.

use alloc::vec::Vec;

use crate::connection::{Life, WAITING_MAX, Wishes};
use crate::effect::{Control, Effects};
use crate::engine::Engine;
use crate::ids::{ConnId, Symbol};
use crate::input::AckId;
use crate::outbox::TopicRef;
use crate::parse::{ClientEvent, InvalidSubscriptions, InvalidSymbols, Subscriptions};
use crate::reason::{Call, ClientError, CloseReason};

impl Engine {
    /// A member's CONNECT answer was sent: gives it what it wished for in the handshake.
    pub(crate) fn enter(&mut self, conn: ConnId, effects: &mut Effects) {
        let place = u32::try_from(self.crowd.live.len()).unwrap_or(u32::MAX);
        let last_number = self.history.last_number();
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        let life = Life::Live {
            place,
            drains_at: None,
        };
        let wishes = match core::mem::replace(&mut member.life, life) {
            Life::Entering(wishes) => *wishes,
            live @ Life::Live { .. } => {
                member.life = live;
                return;
            }
        };
        member.outbox.log_sent = last_number;
        self.crowd.live.push(conn.slot());
        let Wishes {
            last_event,
            subscriptions,
        } = wishes;
        self.give_current(conn, TopicRef::Market, effects);
        match subscriptions {
            Some(Ok(subscriptions)) => self.restore_subscriptions(conn, subscriptions, effects),
            Some(Err(InvalidSubscriptions)) => {
                self.complain(conn, None, ClientError::InvalidSubscriptions, effects);
            }
            None => {}
        }
        self.resume(conn, last_event, effects);
        self.join_drain(conn, effects);
    }

    /// Subscribes to what the handshake named, uncharged.
    fn restore_subscriptions(
        &mut self,
        conn: ConnId,
        wished: Subscriptions,
        effects: &mut Effects,
    ) {
        if wished.portfolio {
            self.subscribe_portfolio(conn, None, effects);
        }
        if wished.trades {
            self.subscribe_trades(conn, None, effects);
        }
        if !wished.watchlist.is_empty()
            && self
                .subscribe_symbols(conn, None, wished.watchlist, effects)
                .is_err()
        {
            self.complain(conn, None, ClientError::InvalidSubscriptions, effects);
        }
    }

    pub(crate) fn received(
        &mut self,
        conn: ConnId,
        event: ClientEvent,
        ack: Option<AckId>,
        effects: &mut Effects,
    ) {
        // The client has seen its CONNECT answer, even if the driver's word of it is still queued.
        self.enter(conn, effects);
        let limits = &self.config.limits;
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        if !member.events.take(
            self.now,
            limits.events_per_second_max,
            limits.events_burst_max,
        ) {
            self.complain(conn, None, ClientError::TooManyEvents, effects);
            self.close(conn, CloseReason::Flood, effects);
            return;
        }
        if let Some(waiting) = &mut member.waiting {
            if waiting.behind.len() < WAITING_MAX {
                waiting.behind.push_back((event, ack));
            } else {
                self.complain(conn, None, ClientError::TooManyEvents, effects);
                self.close(conn, CloseReason::Flood, effects);
            }
            return;
        }
        self.handle_event(conn, event, ack, effects);
    }

    pub(crate) fn handle_event(
        &mut self,
        conn: ConnId,
        event: ClientEvent,
        ack: Option<AckId>,
        effects: &mut Effects,
    ) {
        match event {
            ClientEvent::SubscribePortfolio => {
                self.limited(conn, Call::Portfolio, event, ack, effects)
            }
            ClientEvent::SubscribeTrades => self.limited(conn, Call::Trades, event, ack, effects),
            ClientEvent::SubscribeWatchlist(_) => {
                self.limited(conn, Call::Watchlist, event, ack, effects)
            }
            ClientEvent::UnsubscribeWatchlist(Ok(symbols)) => {
                for symbol in &symbols {
                    self.unwatch(conn, symbol);
                }
                self.crowd
                    .tell(effects, conn, ack, Control::Unsubscribed { symbols });
            }
            ClientEvent::UnsubscribeWatchlist(Err(_)) => {
                self.complain(conn, ack, ClientError::InvalidSymbols, effects);
            }
            ClientEvent::Unknown => {
                if let Some(ack) = ack {
                    let answer = Control::Error(ClientError::UnknownEvent);
                    self.crowd.acknowledge(effects, conn, ack, answer);
                }
            }
        }
    }

    /// Does what a call asks for, which was admitted.
    pub(crate) fn subscribe(
        &mut self,
        conn: ConnId,
        event: ClientEvent,
        ack: Option<AckId>,
        effects: &mut Effects,
    ) {
        match event {
            ClientEvent::SubscribePortfolio => self.subscribe_portfolio(conn, ack, effects),
            ClientEvent::SubscribeTrades => self.subscribe_trades(conn, ack, effects),
            ClientEvent::SubscribeWatchlist(symbols) => {
                let done =
                    symbols.and_then(|symbols| self.subscribe_symbols(conn, ack, symbols, effects));
                if done.is_err() {
                    self.complain(conn, ack, ClientError::InvalidSymbols, effects);
                }
            }
            ClientEvent::UnsubscribeWatchlist(_) | ClientEvent::Unknown => {}
        }
    }

    pub(crate) fn complain(
        &mut self,
        conn: ConnId,
        ack: Option<AckId>,
        error: ClientError,
        effects: &mut Effects,
    ) {
        self.crowd.tell(effects, conn, ack, Control::Error(error));
    }

    fn subscribe_portfolio(&mut self, conn: ConnId, ack: Option<AckId>, effects: &mut Effects) {
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        member.portfolio = true;
        let confirmed = Control::Subscribed {
            call: Call::Portfolio,
            symbols: Vec::new(),
        };
        self.crowd.tell(effects, conn, ack, confirmed);
        self.give_current(conn, TopicRef::Portfolio, effects);
    }

    fn subscribe_trades(&mut self, conn: ConnId, ack: Option<AckId>, effects: &mut Effects) {
        let last_number = self.history.last_number();
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        if !core::mem::replace(&mut member.trades, true)
            && self.config.delivery == crate::engine::Delivery::Subscribed
        {
            // What came before was not for this connection.
            member.outbox.log_sent = last_number;
        }
        let confirmed = Control::Subscribed {
            call: Call::Trades,
            symbols: Vec::new(),
        };
        self.crowd.tell(effects, conn, ack, confirmed);
    }

    /// Subscribes to all of the symbols or, if that would be too many, to none.
    fn subscribe_symbols(
        &mut self,
        conn: ConnId,
        ack: Option<AckId>,
        symbols: Vec<Symbol>,
        effects: &mut Effects,
    ) -> Result<(), InvalidSymbols> {
        let mut distinct: Vec<&Symbol> = symbols.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let fresh = distinct
            .iter()
            .filter(|symbol| self.watched(conn, symbol).is_none())
            .count();
        let held = self
            .crowd
            .member(conn)
            .map_or(0, |member| member.watches.len());
        if held + fresh > self.config.limits.symbols_per_connection_max as usize {
            return Err(InvalidSymbols);
        }
        let numbers: Vec<u32> = distinct
            .into_iter()
            .map(|symbol| self.watch(conn, symbol))
            .collect();
        self.crowd.tell(
            effects,
            conn,
            ack,
            Control::Subscribed {
                call: Call::Watchlist,
                symbols,
            },
        );
        for number in numbers {
            self.give_current(conn, TopicRef::Quote(number), effects);
        }
        Ok(())
    }
}
