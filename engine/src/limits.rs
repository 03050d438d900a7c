//! Every bound of the engine in one place, with its unit, its default and what happens at its edge.
//!
//! The defaults are the contract's. Bounds that nobody sets are constants beside what they bound:
//! `CONNECTS_MAX`, [`crate::CONGESTED_CONTROLS_MAX`], [`crate::bus::BusLimits`].

use core::time::Duration;

use crate::reason::Call;
use serde::{Deserialize, Serialize};

/// The bounds that the engine keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Connections of one user, at least 1. Default 5. Over it: CONNECT_ERROR.
    pub connections_per_user_max: u32,
    /// Admitted connects of one user in any 60 s, at least 1. Default 120. Over it: the transport is
    /// closed, so that the client comes back by itself.
    pub connects_per_user_minute_max: u32,
    /// Transport sessions in all, at least 1. Default 100,000. Over it: HTTP 503 on the handshake.
    pub connections_max: u32,
    /// Handshakes that did not CONNECT yet, at least 1. Default 10,000. Over it: the oldest is closed.
    pub handshakes_max: u32,
    /// How long a handshake may go without CONNECT. Default 20 s. Then: the transport is closed.
    pub handshake_max: Duration,
    /// Clients that were allowed their handshake within the last second and are not admitted yet, at
    /// least 1. Default 1,000. Over it: HTTP 503 on the handshake. When a herd comes back at once, this
    /// is how much of the node's work may be theirs at a time.
    pub admissions_pending_max: u32,
    /// Symbols of one connection. Default 500. Over it: `Invalid symbols array`, nothing changes.
    pub symbols_per_connection_max: u32,
    /// Events of one connection in a second, sustained, at least 1. Default 100. Over it and the burst:
    /// one `error`, then the transport is closed.
    pub events_per_second_max: u32,
    /// Events of one connection at once, at least 1. Default 200.
    pub events_burst_max: u32,
    /// `subscribe:portfolio` calls of one user in a window. Default 1. Over it: `error`.
    pub portfolio_calls_max: u32,
    /// `subscribe:trades` calls of one user in a window. Default 1. Over it: `error`.
    pub trades_calls_max: u32,
    /// `subscribe:watchlist` calls of one user in a window. Default 10. Over it: `error`.
    pub watchlist_calls_max: u32,
    /// The sliding window of those three. Default 60 s.
    pub calls_window: Duration,
    /// Bytes handed to one connection and not written yet. Default 1 MiB. Over it: congested.
    pub outbox_bytes_max: u64,
    /// Packets handed to one connection and not written yet. Default 4,096. Over it: congested.
    pub outbox_packets_max: u32,
    /// Log events that a congested connection may be owed. Default 1,024. Over it: closed.
    pub congested_log_events_max: u32,
    /// Bytes of log events that a congested connection may be owed. Default 1 MiB. Over it: closed.
    pub congested_log_bytes_max: u64,
    /// How long a connection may stay congested. Default 30 s. Then: closed.
    pub congested_max: Duration,
    /// Bytes handed to all connections and not written yet. Default 256 MiB. Over it: the worst
    /// connections are closed until it holds.
    pub outbox_total_bytes_max: u64,
    /// How long a session look-up may take. Default 5 s. Then: the transport is closed.
    pub session_lookup_max: Duration,
    /// How long a request to the bus may take, at least 1 ms. Default 1 s. Then: publishers get 503.
    pub bus_request_max: Duration,
    /// How long the bus keeps a connection slot that is not renewed. Default 30 s.
    pub slot_lease: Duration,
    /// How often a node renews each of its slots. Default 10 s.
    pub slot_renew_every: Duration,
    /// How often a node looks whether each of its sessions still exists. Default 10 s.
    pub session_check_every: Duration,
    /// Over how long a drain spreads its closes. Default 5 s.
    pub drain_window: Duration,
    /// When a drain ends whatever is left, not before the window's end. Default 10 s.
    pub drain_deadline: Duration,
    /// How long log events are kept for resume. Default 10 min.
    pub history_max: Duration,
    /// Bytes of log events kept for resume, in all. Default 64 MiB. Over it: the oldest are forgotten.
    pub history_bytes_max: u64,
    /// Users without a connection whose rate windows are remembered. Default 100,000. Over it: the
    /// one whose windows are empty soonest is forgotten.
    pub idle_users_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_user_max: 5,
            connects_per_user_minute_max: 120,
            connections_max: 100_000,
            handshakes_max: 10_000,
            handshake_max: Duration::from_secs(20),
            admissions_pending_max: 1_000,
            symbols_per_connection_max: 500,
            events_per_second_max: 100,
            events_burst_max: 200,
            portfolio_calls_max: 1,
            trades_calls_max: 1,
            watchlist_calls_max: 10,
            calls_window: Duration::from_secs(60),
            outbox_bytes_max: 1 << 20,
            outbox_packets_max: 4_096,
            congested_log_events_max: 1_024,
            congested_log_bytes_max: 1 << 20,
            congested_max: Duration::from_secs(30),
            outbox_total_bytes_max: 256 << 20,
            session_lookup_max: Duration::from_secs(5),
            bus_request_max: Duration::from_secs(1),
            slot_lease: Duration::from_secs(30),
            slot_renew_every: Duration::from_secs(10),
            session_check_every: Duration::from_secs(10),
            drain_window: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(10),
            history_max: Duration::from_secs(600),
            history_bytes_max: 64 << 20,
            idle_users_max: 100_000,
        }
    }
}

/// Bounds of what is parsed at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseLimits {
    /// Items in one publish. Default 1,000. Over it: 400.
    pub items_max: usize,
    /// Nesting of JSON in a publish, the outermost value counting 1. Default 64. Over it: 400.
    pub depth_max: usize,
    /// Characters of a symbol, at most [`crate::ids::Symbol::BYTES_MAX`]. Default 32.
    pub symbol_chars_max: usize,
    /// Bytes of a user id, at most [`crate::ids::UserId::BYTES_MAX`]. Default 256.
    pub user_bytes_max: usize,
    /// Symbols in one call, the engine's `symbols_per_connection_max`. Default 500.
    pub symbols_max: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self {
            items_max: 1_000,
            depth_max: 64,
            symbol_chars_max: 32,
            user_bytes_max: 256,
            symbols_max: 500,
        }
    }
}

/// A set of limits that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A drain cannot end before the closes that it spreads.
    #[error(
        "drain deadline ({deadline_ms} ms) must not be shorter than the drain window ({window_ms} ms)"
    )]
    DeadlineBeforeWindow {
        /// The deadline given.
        deadline_ms: u64,
        /// The window given.
        window_ms: u64,
    },
    /// A bound below what its meaning allows.
    #[error("{name} must be at least 1")]
    Zero {
        /// The field's name.
        name: &'static str,
    },
}

impl Limits {
    /// How many calls of this kind a user may make in a window.
    #[must_use]
    pub fn calls_max(&self, call: Call) -> u32 {
        match call {
            Call::Portfolio => self.portfolio_calls_max,
            Call::Trades => self.trades_calls_max,
            Call::Watchlist => self.watchlist_calls_max,
        }
    }

    /// Checks that the limits can hold together.
    ///
    /// # Errors
    /// Names the first limit that cannot.
    pub fn check(&self) -> Result<(), LimitsError> {
        let counts = [
            (
                "connections_per_user_max",
                u64::from(self.connections_per_user_max),
            ),
            (
                "connects_per_user_minute_max",
                u64::from(self.connects_per_user_minute_max),
            ),
            ("connections_max", u64::from(self.connections_max)),
            ("handshakes_max", u64::from(self.handshakes_max)),
            (
                "admissions_pending_max",
                u64::from(self.admissions_pending_max),
            ),
            (
                "events_per_second_max",
                u64::from(self.events_per_second_max),
            ),
            ("events_burst_max", u64::from(self.events_burst_max)),
            ("portfolio_calls_max", u64::from(self.portfolio_calls_max)),
            ("trades_calls_max", u64::from(self.trades_calls_max)),
            ("watchlist_calls_max", u64::from(self.watchlist_calls_max)),
            (
                "symbols_per_connection_max",
                u64::from(self.symbols_per_connection_max),
            ),
            ("outbox_bytes_max", self.outbox_bytes_max),
            ("outbox_packets_max", u64::from(self.outbox_packets_max)),
            // A question without time for its answer would be asked again for ever.
            ("bus_request_max", crate::time::millis(self.bus_request_max)),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return Err(LimitsError::Zero { name });
        }
        if self.drain_deadline < self.drain_window {
            return Err(LimitsError::DeadlineBeforeWindow {
                deadline_ms: crate::time::millis(self.drain_deadline),
                window_ms: crate::time::millis(self.drain_window),
            });
        }
        Ok(())
    }
}
