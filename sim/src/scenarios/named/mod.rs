//! The named scenarios, one script each. What they are told with is the stage's; nothing here waits for a
//! time where it can wait for what must come about.

pub(super) mod crash_with_leases;
pub(super) mod graceful_shutdown;
pub(super) mod partition;
pub(super) mod reconnect_storm;
pub(super) mod redis_outage;
pub(super) mod rolling_deploy;
pub(super) mod session_revoked;
pub(super) mod slow_client;

use crate::oracle::{Symbol, Target, Topic, User};

/// Whose trades these are.
const fn trades(user: User) -> Target {
    Target::Trade(user)
}

/// A user's portfolio.
const fn portfolio(user: User) -> Target {
    Target::State(Topic::Portfolio(user))
}

/// Quotes of the symbol `S0`, `S1` and so on.
const fn quotes(symbol: u32) -> Target {
    Target::State(Topic::Quote(Symbol(symbol)))
}
