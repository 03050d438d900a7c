//! What the world does to Redis, always as something that its host does.

use std::sync::Arc;
use std::time::Duration;

use super::Random;
use crate::journal::Journal;
use crate::judge::user_name;
use crate::net::Network;
use crate::observation::Observation as Saw;
use crate::oracle::User;
use crate::redis::Redis;
use crate::scenarios::store::{NAME, plant, session_key};

impl<W: Network> Random<W> {
    /// Has the host of Redis do something with it, in its next turn.
    pub(super) fn with_redis(&mut self, act: impl FnOnce(&Redis, &Journal) + Send + 'static) {
        let (redis, journal) = (self.redis.clone(), self.world.journal().clone());
        let task = async move { act(&redis, &journal) };
        self.world.network().spawn(self.redis_host, task);
    }

    pub(super) fn plant_sessions(&mut self) {
        if self.plan.sessions {
            let users = self.plan.users;
            self.with_redis(move |redis, _| (0..users).for_each(|user| plant(redis, User(user))));
        }
    }

    /// A user's session is there, or is not.
    pub(super) fn set_session(&mut self, user: User, there: bool) {
        self.with_redis(move |redis, journal| {
            if there {
                plant(redis, user);
            } else {
                redis.remove(&session_key(user));
            }
            see_session(journal, user, there);
        });
    }

    /// All data is gone, after `stop` perhaps, and all sessions with it; those come back later.
    pub(super) fn lose_data(&mut self, lose: impl FnOnce(&Redis) + Send + 'static) {
        let users = if self.plan.sessions {
            self.plan.users
        } else {
            0
        };
        self.with_redis(move |redis, journal| {
            lose(redis);
            journal.observe(&Arc::from(NAME), Saw::DataLost);
            (0..users).for_each(|user| see_session(journal, User(user), false));
        });
    }

    /// Sets the clock of Redis by so many milliseconds.
    pub(super) fn set_clock(&mut self, by: i64) {
        self.with_redis(move |redis, journal| {
            let (now, span) = (redis.clock(), Duration::from_millis(by.unsigned_abs()));
            let then = if by < 0 {
                now.saturating_sub(span)
            } else {
                now + span
            };
            redis.set_clock(then);
            journal.observe(&Arc::from(NAME), Saw::ClockSet);
        });
    }
}

fn see_session(journal: &Journal, user: User, there: bool) {
    let user = user_name(user);
    journal.observe(&Arc::from(NAME), Saw::Session { user, there });
}
