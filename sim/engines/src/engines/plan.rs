//! What holds for a whole run: how many there are, what the engines allow, and how long faults come.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::Value;
use tradewire_engine::Delivery;
use tradewire_engine::limits::Limits;

use super::millis;
use crate::oracle::Promises;

/// What does not change while a run goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Decides what nobody plans: jitter, choices of a balancer, what engines draw.
    pub(crate) seed: u64,
    pub(crate) users: u32,
    pub(crate) symbols: u32,
    pub(crate) delivery: Delivery,
    pub(crate) sessions: bool,
    /// Now and then a page is closed at once and a balancer is late to know.
    pub(crate) whims: bool,
    /// How long a payload may be.
    pub(crate) payload_max: usize,
    pub(crate) log_max: usize,
    /// How long faults and publishes come; what still lasts then is mended.
    pub(crate) lasts_ms: u64,
    pub(crate) skew_permille: u64,
    pub(crate) bus_ms: u64,
    /// Written down where they are not the contract's own.
    #[serde(with = "unusual", default)]
    pub(crate) limits: Limits,
}

impl Plan {
    /// Whether a run can be made of it.
    pub(super) fn check(&self) -> Result<(), String> {
        self.limits.check().map_err(|error| error.to_string())?;
        let fits = (1..=1_000).contains(&self.users)
            && (1..=1_000).contains(&self.symbols)
            && self.payload_max <= 1_000_000
            && self.lasts_ms <= 3_600_000
            && self.skew_permille <= 100
            && (1..=10_000).contains(&self.bus_ms);
        if fits {
            Ok(())
        } else {
            Err("a number in the plan is too small or too large".to_owned())
        }
    }

    /// The limits that are not the contract's own.
    pub(crate) fn unusual_limits(&self) -> Vec<String> {
        let differ = unusual::differing(&self.limits).unwrap_or_default();
        differ.into_keys().collect()
    }

    /// Has a limit as the contract has it.
    pub(crate) fn make_usual(&mut self, name: &str) {
        if let Ok(mut differ) = unusual::differing(&self.limits) {
            differ.remove(name);
            if let Ok(limits) = unusual::merged(differ) {
                self.limits = limits;
            }
        }
    }

    pub(super) fn promises(&self) -> Promises {
        let limits = &self.limits;
        Promises {
            only_subscribers: self.delivery == Delivery::Subscribed,
            connections_max: limits.connections_per_user_max as usize,
            calls_max: [
                limits.portfolio_calls_max as usize,
                limits.trades_calls_max as usize,
                limits.watchlist_calls_max as usize,
            ],
            calls_window_ms: millis(limits.calls_window),
            bus_request_max_ms: millis(limits.bus_request_max),
            session_check_ms: millis(limits.session_check_every),
            outbox_bytes_max: limits.outbox_bytes_max,
            outbox_packets_max: limits.outbox_packets_max as usize,
            congested_ms: millis(limits.congested_max),
            congested_log_max: limits.congested_log_events_max as usize,
            pending_bytes_max: limits.outbox_total_bytes_max,
            history_bytes_max: limits.history_bytes_max,
            payload_bytes_max: self.payload_max as u64 + 64,
            drain_window_ms: millis(limits.drain_window),
            drain_deadline_ms: millis(limits.drain_deadline),
            skew_permille: self.skew_permille,
            transit_ms: 100,
        }
    }
}

/// Limits as what differs from the contract's own.
mod unusual {
    use super::{
        BTreeMap, Deserialize, Deserializer, Limits, Serialize, Serializer, Value, de, ser,
    };

    type Fields = BTreeMap<String, Value>;
    type Result<T> = core::result::Result<T, serde_json::Error>;

    fn fields(limits: &Limits) -> Result<Fields> {
        serde_json::from_value(serde_json::to_value(limits)?)
    }

    pub(super) fn differing(limits: &Limits) -> Result<Fields> {
        let own = fields(&Limits::default())?;
        let mut differ = fields(limits)?;
        differ.retain(|name, value| own.get(name) != Some(value));
        Ok(differ)
    }

    pub(super) fn merged(differ: Fields) -> Result<Limits> {
        let mut all = fields(&Limits::default())?;
        for (name, value) in differ {
            match all.get_mut(&name) {
                Some(own) => *own = value,
                None => {
                    let words = format!("no limit is called {name}");
                    return Err(de::Error::custom(words));
                }
            }
        }
        serde_json::from_value(serde_json::to_value(all)?)
    }

    pub(super) fn serialize<S: Serializer>(
        limits: &Limits,
        to: S,
    ) -> core::result::Result<S::Ok, S::Error> {
        let differ = differing(limits).map_err(ser::Error::custom)?;
        differ.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> core::result::Result<Limits, D::Error> {
        merged(Fields::deserialize(from)?).map_err(de::Error::custom)
    }
}
