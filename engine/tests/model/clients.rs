//! What clients do: they say hello, emit and read.

use tradewire_engine::Input;
use tradewire_engine::ids::ConnId;
use tradewire_engine::input::AckId;
use tradewire_engine::parse::{
    Auth, ClientEvent, InvalidSubscriptions, InvalidSymbols, LastEventId, Subscriptions, UserClaim,
};

use crate::common::make;
use crate::outboxes::pick_from;
use crate::transition::{Claim, Emitted, Hello, Last};
use crate::world::{SYMBOLS, USERS, World};

impl World {
    pub(crate) fn read(&mut self, conn: ConnId, packets: usize) -> Result<(), String> {
        self.clients.take(conn, packets);
        match self.clients.next_measurement() {
            Some(measured) => self.input(measured),
            None => Ok(()),
        }
    }

    pub(crate) fn measure(&mut self, conn: ConnId) -> Result<(), String> {
        let pending = self.clients.pending(conn);
        self.input(Input::OutboxMeasured { conn, pending })
    }

    pub(crate) fn connect(&mut self, conn: ConnId, hello: &Hello) -> Result<(), String> {
        let name = USERS[usize::from(hello.user) % USERS.len()];
        let last_event_id = match &hello.last {
            Last::Absent => LastEventId::Absent,
            Last::Malformed => LastEventId::Given(None),
            Last::Known(pick) | Last::Own(pick) => {
                let user = matches!(hello.last, Last::Own(_)).then(|| make::user(name));
                let events = self.reference.events_of(user.as_ref());
                // Mostly a recent one, and now and then one of long ago.
                let back = usize::from(*pick) % 64 / (1 + usize::from(*pick) / 64);
                let back = back % events.len().max(1);
                LastEventId::Given(events.into_iter().rev().nth(back))
            }
            Last::Forged => LastEventId::Given(Some(make::event(u64::MAX, 0))),
        };
        let subscriptions = hello.restore.as_ref().map(|wished| match wished {
            None => Err(InvalidSubscriptions),
            Some((portfolio, trades, list)) => Ok(Subscriptions {
                portfolio: *portfolio,
                trades: *trades,
                watchlist: names(list),
            }),
        });
        let members = self.reference.members(&make::user(name));
        let replaces = hello.replaces.and_then(|pick| pick_from(&members, pick));
        // Two sessions a user, and now and then none.
        let session = match hello.session % 16 {
            0 => None,
            number => Some(make::session(&format!("s-{name}-{}", number % 2))),
        };
        let auth = Auth {
            session,
            user: match hello.claim {
                Claim::Absent => UserClaim::Absent,
                Claim::Malformed => UserClaim::Malformed,
                Claim::Right => UserClaim::Claimed(make::user(name)),
            },
            last_event_id,
            subscriptions,
            replaces: replaces.map(make::socket),
        };
        let socket = make::socket(conn);
        self.input(Input::ConnectRequested {
            conn,
            socket,
            auth,
            cookie: None,
        })
    }

    pub(crate) fn emit(
        &mut self,
        pick: u8,
        call: &Emitted,
        ack: Option<AckId>,
    ) -> Result<(), String> {
        let Some(conn) = self.clients.pick_transport(pick) else {
            return Ok(());
        };
        let list = |list: &Option<Vec<u8>>| list.as_deref().map(names).ok_or(InvalidSymbols);
        let event = match call {
            Emitted::Portfolio => ClientEvent::SubscribePortfolio,
            Emitted::Trades => ClientEvent::SubscribeTrades,
            Emitted::Watch(symbols) => ClientEvent::SubscribeWatchlist(list(symbols)),
            Emitted::Unwatch(symbols) => ClientEvent::UnsubscribeWatchlist(list(symbols)),
            Emitted::Unknown => ClientEvent::Unknown,
        };
        self.input(Input::Received { conn, event, ack })
    }
}

fn names(picks: &[u8]) -> Vec<tradewire_engine::ids::Symbol> {
    let names: Vec<&str> = picks
        .iter()
        .map(|pick| SYMBOLS[usize::from(*pick) % SYMBOLS.len()])
        .collect();
    make::symbols(&names)
}
