//! State: who is interested in which topic, its current value, and its way to those who are.
//!
//! A topic is known here while someone is interested in it: the market always, a portfolio while its
//! user is connected, a quote while someone holds its symbol. Its value is what the bus ordered last;
//! one that is older than what is held is dropped, so values never go backwards at a client.

use alloc::vec::Vec;

use crate::connection::{Member, Watch};
use crate::crowd::{Outlet, Owed};
use crate::deadlines::Due;
use crate::effect::{Effects, Message, Note};
use crate::engine::{Delivery, Engine, Fetch, Spread, SymbolEntry, TopicState};
use crate::event::{Payload, StateValue, Topic};
use crate::ids::{ConnId, RequestId, Symbol};
use crate::outbox::TopicRef;

/// To whom a value is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Everyone,
    /// All but the subscribers.
    Others,
    Subscribers,
}

impl Engine {
    pub(crate) fn state_arrived(&mut self, values: Vec<StateValue>, effects: &mut Effects) {
        for value in values {
            self.take_value(value, false, effects);
        }
    }

    pub(crate) fn fetched(
        &mut self,
        request: RequestId,
        values: Option<Vec<StateValue>>,
        effects: &mut Effects,
    ) {
        // Without an answer the deadline asks again.
        let Some(values) = values else { return };
        let Some((at, topic)) = self.fetches.remove(&request) else {
            return;
        };
        self.deadlines.unset(at, Due::Fetch(request));
        let Some(state) = self.topic_mut(&topic) else {
            return;
        };
        if state.fetch != Fetch::Asked(request) {
            // Interest ended after the question, and values passed by unseen: the answer may be older.
            return;
        }
        state.fetch = Fetch::Answered;
        for value in values {
            self.take_value(value, true, effects);
        }
        self.release_held(&topic, effects);
    }

    /// Asks again, if someone is still interested.
    pub(crate) fn fetch_timed_out(&mut self, request: RequestId, effects: &mut Effects) {
        let Some((_, topic)) = self.fetches.remove(&request) else {
            return;
        };
        let Some(state) = self.topic_mut(&topic) else {
            return;
        };
        if state.fetch == Fetch::Asked(request) {
            // What came by itself is the best that there is to send.
            self.release_held(&topic, effects);
            self.fetch(topic, effects);
        }
    }

    /// Sends on a value that waited for the bus's answer.
    fn release_held(&mut self, topic: &Topic, effects: &mut Effects) {
        let Some(state) = self.topic_mut(topic) else {
            return;
        };
        if state.spread == Spread::Nobody
            && let Some((_, payload)) = state.value.clone()
        {
            state.spread = Spread::Everyone;
            self.spread(topic.clone(), payload, Audience::Everyone, effects);
        }
    }

    /// Keeps a value and sends it on, unless what is held is as new.
    ///
    /// A value that was only fetched goes to those who asked for the topic: to others it is no news,
    /// until it arrives by itself. The first value to arrive while the bus is being asked waits for
    /// the answer: a client may have been sent a newer one before, over another subscription.
    fn take_value(&mut self, value: StateValue, fetched: bool, effects: &mut Effects) {
        let StateValue {
            topic,
            version,
            payload,
        } = value;
        let Some(state) = self.topic_mut(&topic) else {
            return;
        };
        if let Some((held, _)) = &state.value
            && !version.supersedes(*held)
        {
            if fetched {
                // It lost the race against its topic's next value, and is no news to anyone.
            } else if version == *held && state.spread == Spread::Subscribers {
                state.spread = Spread::Everyone;
                self.spread(topic, payload, Audience::Others, effects);
            } else {
                effects.note(Note::StaleState { topic });
            }
            return;
        }
        let first = state.value.is_none() || state.spread == Spread::Nobody;
        let asked = matches!(state.fetch, Fetch::Asked(_));
        state.value = Some((version, payload.clone()));
        if fetched {
            state.spread = Spread::Subscribers;
            self.spread(topic, payload, Audience::Subscribers, effects);
        } else if first && asked {
            state.spread = Spread::Nobody;
        } else {
            state.spread = Spread::Everyone;
            self.spread(topic, payload, Audience::Everyone, effects);
        }
    }

    fn spread(&mut self, topic: Topic, payload: Payload, to: Audience, effects: &mut Effects) {
        let mut outlet = Outlet {
            now: self.now,
            limits: &self.config.limits,
            deadlines: &mut self.deadlines,
            effects,
        };
        let message = Message::State {
            topic: topic.clone(),
            payload,
        };
        match &topic {
            // Everyone whom these concern has asked for them, the market by connecting.
            Topic::Market | Topic::Quote(_) if to == Audience::Others => {}
            Topic::Market => {
                let live = core::mem::take(&mut self.crowd.live);
                let owed = Owed::State(TopicRef::Market);
                self.crowd
                    .fan_out(&mut outlet, live.iter(), |_| true, (message, owed));
                self.crowd.live = live;
            }
            Topic::Portfolio(user) => {
                let all = self.config.delivery == Delivery::All;
                let wants = |member: &Member| match to {
                    Audience::Everyone => all || member.portfolio,
                    Audience::Others => all && !member.portfolio,
                    Audience::Subscribers => member.portfolio,
                };
                let Some(number) = self.user_numbers.get(user) else {
                    return;
                };
                let Some(record) = self.users.get(*number) else {
                    return;
                };
                let owed = Owed::State(TopicRef::Portfolio);
                self.crowd
                    .fan_out(&mut outlet, record.members.iter(), wants, (message, owed));
            }
            Topic::Quote(symbol) => {
                let Some(number) = self.symbol_numbers.get(symbol) else {
                    return;
                };
                let Some(entry) = self.symbols.get(*number) else {
                    return;
                };
                let owed = Owed::State(TopicRef::Quote(*number));
                self.crowd.fan_out(
                    &mut outlet,
                    entry.subscribers.iter(),
                    |_| true,
                    (message, owed),
                );
            }
        }
    }

    /// What is known of a topic, if someone is interested in it.
    pub(crate) fn topic_mut(&mut self, topic: &Topic) -> Option<&mut TopicState> {
        match topic {
            Topic::Market => Some(&mut self.market),
            Topic::Portfolio(user) => {
                let record = self.users.get_mut(*self.user_numbers.get(user)?)?;
                record.idle_until.is_none().then_some(&mut record.portfolio)
            }
            Topic::Quote(symbol) => {
                let number = *self.symbol_numbers.get(symbol)?;
                Some(&mut self.symbols.get_mut(number)?.topic)
            }
        }
    }

    /// A topic's full name.
    pub(crate) fn topic_named(&self, conn: ConnId, topic: TopicRef) -> Option<Topic> {
        match topic {
            TopicRef::Market => Some(Topic::Market),
            TopicRef::Portfolio => {
                let user = self.users.get(self.crowd.member(conn)?.user)?;
                Some(Topic::Portfolio(user.id.clone()))
            }
            TopicRef::Quote(number) => Some(Topic::Quote(self.symbols.get(number)?.symbol.clone())),
        }
    }

    /// Sends a topic's current value to one member, or has the bus asked for it; the answer goes to
    /// everyone who asked.
    pub(crate) fn give_current(&mut self, conn: ConnId, name: TopicRef, effects: &mut Effects) {
        let Some(topic) = self.topic_named(conn, name) else {
            return;
        };
        let Some(state) = self.topic_mut(&topic) else {
            return;
        };
        if state.spread == Spread::Nobody {
            return;
        }
        let Some((_, payload)) = state.value.clone() else {
            if state.fetch == Fetch::Never {
                self.fetch(topic, effects);
            }
            return;
        };
        let (crowd, mut outlet) = self.outlet(effects);
        let message = Message::State { topic, payload };
        let to = [conn.slot()];
        crowd.fan_out(
            &mut outlet,
            to.iter(),
            |_| true,
            (message, Owed::State(name)),
        );
    }

    /// The number of a symbol that this connection holds.
    pub(crate) fn watched(&self, conn: ConnId, symbol: &Symbol) -> Option<u32> {
        let number = *self.symbol_numbers.get(symbol)?;
        let watches = &self.crowd.member(conn)?.watches;
        watches
            .binary_search_by_key(&number, |watch| watch.symbol)
            .ok()?;
        Some(number)
    }

    /// Makes the connection hold the symbol, and tells the symbol's number.
    pub(crate) fn watch(&mut self, conn: ConnId, symbol: &Symbol) -> u32 {
        let number = match self.symbol_numbers.get(symbol) {
            Some(number) => *number,
            None => {
                let number = self.symbols.insert(SymbolEntry {
                    symbol: symbol.clone(),
                    subscribers: Vec::new(),
                    topic: TopicState::default(),
                });
                self.symbol_numbers.insert(symbol.clone(), number);
                number
            }
        };
        if let Some(entry) = self.symbols.get_mut(number)
            && let Some(member) = self.crowd.member_mut(conn)
            && let Err(at) = member
                .watches
                .binary_search_by_key(&number, |watch| watch.symbol)
        {
            let place = u32::try_from(entry.subscribers.len()).unwrap_or(u32::MAX);
            entry.subscribers.push(conn.slot());
            member.watches.insert(
                at,
                Watch {
                    symbol: number,
                    place,
                },
            );
        }
        number
    }

    /// Makes the connection hold the symbol no more.
    pub(crate) fn unwatch(&mut self, conn: ConnId, symbol: &Symbol) {
        let Some(number) = self.watched(conn, symbol) else {
            return;
        };
        let Some(member) = self.crowd.member_mut(conn) else {
            return;
        };
        if let Some(congestion) = &mut member.outbox.congestion {
            congestion.topics.remove(&TopicRef::Quote(number));
        }
        let Ok(at) = member
            .watches
            .binary_search_by_key(&number, |watch| watch.symbol)
        else {
            return;
        };
        let watch = member.watches.remove(at);
        self.drop_watch(watch.symbol, watch.place);
    }

    /// Takes a place out of a symbol's list; the last one moves into it. A symbol that nobody holds
    /// is forgotten.
    pub(crate) fn drop_watch(&mut self, number: u32, place: u32) {
        let Some(entry) = self.symbols.get_mut(number) else {
            return;
        };
        entry.subscribers.swap_remove(place as usize);
        if entry.subscribers.is_empty() {
            if let Some(entry) = self.symbols.remove(number) {
                self.symbol_numbers.remove(&entry.symbol);
            }
            return;
        }
        if let Some(moved) = entry.subscribers.get(place as usize).copied()
            && let Some(member) = self.crowd.member_at_mut(moved)
            && let Ok(at) = member
                .watches
                .binary_search_by_key(&number, |watch| watch.symbol)
            && let Some(watch) = member.watches.get_mut(at)
        {
            watch.place = place;
        }
    }
}
