//! State: who is interested in which topic, its current value, and its way to those who are.
//!
//! A topic is known here while someone is interested in it: the market always, a portfolio while its
//! user is connected, a quote while someone holds its symbol. Its value is what the bus ordered last;
//! one that is older than what is held is dropped, so values never go backwards at a client.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::connection::{Member, Watch};
use crate::crowd::{Outlet, Owed};
use crate::deadlines::Due;
use crate::effect::{Effects, Message, Note};
use crate::engine::{Delivery, Engine, Fetch, Spread, SymbolEntry, TopicState};
use crate::event::{Payload, StateValue, Topic};
use crate::ids::{ConnId, Epoch, RequestId, Symbol};
use crate::outbox::TopicRef;

/// Lives of the bus's data whose late values are still told apart.
const RETIRED_MAX: usize = 8;

/// To whom a value is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    Everyone,
    /// All but the subscribers.
    Others,
    Subscribers,
}

/// Where a topic is kept: looked up by name once for each value.
#[derive(Clone, Copy)]
enum TopicPlace {
    Market,
    /// By user number.
    Portfolio(u32),
    /// By symbol number.
    Quote(u32),
}

impl Engine {
    pub(crate) fn state_arrived(
        &mut self,
        values: Vec<StateValue>,
        once: bool,
        effects: &mut Effects,
    ) {
        for value in values {
            if once {
                self.crowd.skip_recipients(effects);
            }
            self.take_value(value, None, effects);
        }
        self.crowd.skip.clear();
    }

    pub(crate) fn fetched(
        &mut self,
        request: RequestId,
        values: Option<Vec<StateValue>>,
        effects: &mut Effects,
    ) {
        // Without an answer the deadline decides.
        let Some(values) = values else { return };
        let Some((at, topics)) = self.fetches.remove(&request) else {
            return;
        };
        self.deadlines.unset(at, Due::Fetch(request));
        // Values may have been missed since the bus read its answer.
        let again = self.is_before_refresh(request);
        let values = values.into_iter().map(|value| (value.topic.clone(), value));
        let mut values: BTreeMap<Topic, StateValue> = values.collect();
        for topic in topics {
            let Some(state) = self.topic_mut(&topic) else {
                continue;
            };
            if state.fetch != Fetch::Asked(request) {
                // Interest ended after the question, and values passed by unseen: the answer may be
                // older.
                continue;
            }
            state.fetch = if again {
                Fetch::Wanted
            } else {
                Fetch::Answered
            };
            if let Some(value) = values.remove(&topic) {
                self.take_value(value, Some(request), effects);
            }
            if let Some(state) = self.topic_mut(&topic) {
                state.missed = again;
            }
            self.release_held_back(&topic, effects);
            if again {
                self.link.refresh.push_back(topic);
            }
        }
        if self.link.refreshing == Some(request) {
            self.link.refreshing = None;
        }
        if !self.link.refresh.is_empty() {
            self.pump_refresh(effects);
        }
    }

    /// Sends on a value that waited for the bus's answer.
    pub(crate) fn release_held_back(&mut self, topic: &Topic, effects: &mut Effects) {
        let Some(place) = self.topic_place(topic) else {
            return;
        };
        let Some(state) = self.topic_at_mut(place) else {
            return;
        };
        if state.spread == Spread::Nobody
            && let Some((_, payload)) = state.value.clone()
        {
            state.spread = Spread::Everyone;
            let value = (topic.clone(), payload);
            self.spread(place, value, Audience::Everyone, effects);
        }
    }

    /// Sends a value that has no version yet to everyone whom it concerns.
    pub(crate) fn spread_to_all(&mut self, topic: Topic, payload: Payload, effects: &mut Effects) {
        let Some(place) = self.topic_place(&topic) else {
            return;
        };
        if let Some(state) = self.topic_at_mut(place) {
            // Whatever was held back is older than this.
            state.spread = Spread::Everyone;
        }
        self.spread(place, (topic, payload), Audience::Everyone, effects);
    }

    /// What a topic says now, as far as this node knows.
    pub(crate) fn current(&mut self, topic: &Topic) -> Option<Payload> {
        if let Some(payload) = self.held.get(topic) {
            return Some(payload.clone());
        }
        let (_, payload) = self.topic_mut(topic)?.value.as_ref()?;
        Some(payload.clone())
    }

    /// Whether a value, which came by itself or was asked for, is of a life of the bus's data that has
    /// ended.
    ///
    /// What comes by itself and what is asked for come on two ways, so that either may be the first to
    /// tell of a new life. What was asked for since the life held was known is never older than it;
    /// that mends it, too, when a life that nobody here knew was told too late and taken for a new one.
    fn is_retired(&mut self, epoch: Epoch, asked: Option<RequestId>) -> bool {
        if self.epoch == Some(epoch) {
            return false;
        }
        let late = match asked {
            Some(asked) => self.epoch.is_some() && asked <= self.epoch_since,
            None => self.retired_epochs.contains(&epoch),
        };
        if late {
            return true;
        }
        self.retired_epochs.retain(|retired| *retired != epoch);
        if let Some(old) = self.epoch.replace(epoch) {
            self.retired_epochs.push_back(old);
        }
        self.epoch_since = RequestId::new(self.last_request);
        if self.retired_epochs.len() > RETIRED_MAX {
            self.retired_epochs.pop_front();
        }
        false
    }

    /// Keeps a value and sends it on, unless what is held is as new.
    ///
    /// A value that was only fetched goes to those who asked for the topic: to others it is no news,
    /// until it arrives by itself. The first value to arrive before the bus has been asked waits for
    /// the answer: a client may have been sent a newer one before, over another subscription.
    fn take_value(
        &mut self,
        value: StateValue,
        asked_by: Option<RequestId>,
        effects: &mut Effects,
    ) {
        let fetched = asked_by.is_some();
        let StateValue {
            topic,
            version,
            payload,
        } = value;
        if self.is_retired(version.epoch, asked_by) {
            effects.note(Note::StaleState { topic });
            return;
        }
        // What is held here is newer, and the bus is asked once it has it.
        if self.held.get(&topic).is_some() {
            return;
        }
        let Some(place) = self.topic_place(&topic) else {
            return;
        };
        let Some(state) = self.topic_at_mut(place) else {
            return;
        };
        if let Some((held, _)) = &state.value
            && !version.supersedes(*held)
        {
            if fetched {
                // It lost the race against its topic's next value, and is no news to anyone.
            } else if version == *held && state.spread == Spread::Subscribers {
                state.spread = Spread::Everyone;
                self.spread(place, (topic, payload), Audience::Others, effects);
            } else {
                effects.note(Note::StaleState { topic });
            }
            return;
        }
        let first = state.value.is_none() || state.spread == Spread::Nobody;
        let asked = matches!(state.fetch, Fetch::Asked(_) | Fetch::Wanted);
        state.value = Some((version, payload.clone()));
        if fetched && !state.missed {
            state.spread = Spread::Subscribers;
            self.spread(place, (topic, payload), Audience::Subscribers, effects);
        } else if !fetched && first && asked {
            state.spread = Spread::Nobody;
        } else {
            state.spread = Spread::Everyone;
            self.spread(place, (topic, payload), Audience::Everyone, effects);
        }
    }

    fn spread(
        &mut self,
        place: TopicPlace,
        (topic, payload): (Topic, Payload),
        to: Audience,
        effects: &mut Effects,
    ) {
        let mut outlet = Outlet {
            now: self.now,
            limits: &self.config.limits,
            deadlines: &mut self.deadlines,
            effects,
        };
        let message = Message::State { topic, payload };
        match place {
            // Everyone whom these concern has asked for them, the market by connecting.
            TopicPlace::Market | TopicPlace::Quote(_) if to == Audience::Others => {}
            TopicPlace::Market => {
                let live = core::mem::take(&mut self.crowd.live);
                let owed = Owed::State(TopicRef::Market);
                self.crowd
                    .fan_out(&mut outlet, live.iter(), |_| true, (message, owed));
                self.crowd.live = live;
            }
            TopicPlace::Portfolio(user) => {
                let all = self.config.delivery == Delivery::All;
                let wants = |member: &Member| match to {
                    Audience::Everyone => all || member.portfolio,
                    Audience::Others => all && !member.portfolio,
                    Audience::Subscribers => member.portfolio,
                };
                let Some(record) = self.users.get(user) else {
                    return;
                };
                let owed = Owed::State(TopicRef::Portfolio);
                self.crowd
                    .fan_out(&mut outlet, record.members.iter(), wants, (message, owed));
            }
            TopicPlace::Quote(symbol) => {
                let Some(entry) = self.symbols.get(symbol) else {
                    return;
                };
                let owed = Owed::State(TopicRef::Quote(symbol));
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
        self.topic_at_mut(self.topic_place(topic)?)
    }

    fn topic_at_mut(&mut self, place: TopicPlace) -> Option<&mut TopicState> {
        match place {
            TopicPlace::Market => Some(&mut self.market),
            TopicPlace::Portfolio(user) => {
                let record = self.users.get_mut(user)?;
                record.idle_until.is_none().then_some(&mut record.portfolio)
            }
            TopicPlace::Quote(symbol) => Some(&mut self.symbols.get_mut(symbol)?.topic),
        }
    }

    /// Where a topic is kept, if its user or symbol is known.
    fn topic_place(&self, topic: &Topic) -> Option<TopicPlace> {
        Some(match topic {
            Topic::Market => TopicPlace::Market,
            Topic::Portfolio(user) => TopicPlace::Portfolio(*self.user_numbers.get(user)?),
            Topic::Quote(symbol) => TopicPlace::Quote(*self.symbol_numbers.get(symbol)?),
        })
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
        let fetch = state.fetch;
        let Some(payload) = self.current(&topic) else {
            if fetch == Fetch::Never {
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
