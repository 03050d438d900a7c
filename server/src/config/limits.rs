//! The flags for every limit, and the limits that the server itself keeps.
//!
//! Defaults are read from the structs that hold them, so that there is one place for each number. A
//! flag is named as the field is, with its unit when that is not in the name already.

use core::time::Duration;

use clap::Args;
use tradewire_engine::ids::{Symbol, UserId};
use tradewire_engine::limits::{Limits, ParseLimits};

use crate::config::values::{as_millis, bytes, count, millis};

/// The largest count that a 32-bit limit can hold.
const COUNT_MAX: u64 = u32::MAX as u64;

/// The deepest JSON that can be asked for. The JSON reader's own end is at 127 levels, and a publish
/// has a few of its own around what was counted.
const DEPTH_MAX: u64 = 100;

/// The bounds that the server keeps itself, before anything reaches the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// How often a client is pinged. Default 15 s.
    pub ping_interval: Duration,
    /// How long a pong may take, at least 1 ms. Default 10 s. Then: the transport is closed.
    pub ping_timeout: Duration,
    /// Bytes of one message from a client, at least 1. Default 1,000,000. Over it: closed.
    pub client_payload_bytes_max: usize,
    /// Binary attachments of one packet from a client. Default 10. Over it: closed.
    pub attachments_max: usize,
    /// Bytes of the attachments of one packet together. Default 1,000,000. Over it: closed.
    pub attachments_bytes_max: usize,
    /// Bytes of one publish request's body, at least 1. Default 1,000,000. Over it: 413.
    pub publish_body_bytes_max: usize,
    /// Publish requests that wait for room. Default 1,024. Over it: 429.
    pub publish_waiting_max: usize,
    /// How long a publish waits for room. Default 5 s. Then: 503.
    pub publish_wait_max: Duration,
    /// How long the head of a request may take to arrive, at least 1 ms. Default 20 s. Then: closed.
    pub request_head_max: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            client_payload_bytes_max: 1_000_000,
            attachments_max: 10,
            attachments_bytes_max: 1_000_000,
            publish_body_bytes_max: 1_000_000,
            publish_waiting_max: 1_024,
            publish_wait_max: Duration::from_secs(5),
            request_head_max: Duration::from_secs(20),
        }
    }
}

// The doc comments below are the words of `--help`.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitFlags {
    /// Connections of one user; over it: refused with CONNECT_ERROR
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().connections_per_user_max)]
    connections_per_user_max: u32,

    /// Admitted connects of one user in 60 s; over it: refused for now
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().connects_per_user_minute_max)]
    connects_per_user_minute_max: u32,

    /// Transport sessions in all, whether they have sent CONNECT or not; over it: refused for now
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().connections_max)]
    connections_max: u32,

    /// Handshakes that did not CONNECT yet; over it: the oldest is closed
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().handshakes_max)]
    handshakes_max: u32,

    /// Milliseconds that a handshake may go without CONNECT; then: closed
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().handshake_max))]
    handshake_max_ms: u64,

    /// Clients that began to connect within the last second and are not admitted yet; over it: refused for now
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().admissions_pending_max)]
    admissions_pending_max: u32,

    /// Milliseconds between pings to a client
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(ServerLimits::default().ping_interval))]
    ping_interval_ms: u64,

    /// Milliseconds that a client may take to answer a ping; then: closed
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(ServerLimits::default().ping_timeout))]
    ping_timeout_ms: u64,

    /// Milliseconds that the head of a request may take to arrive; then: closed
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(ServerLimits::default().request_head_max))]
    request_head_max_ms: u64,

    /// Bytes of one message from a client; over it: closed
    #[arg(long, value_parser = bytes::<usize>(1),
        default_value_t = ServerLimits::default().client_payload_bytes_max)]
    client_payload_bytes_max: usize,

    /// Binary attachments of one packet from a client; over it: closed
    #[arg(long, value_parser = count::<usize>(0..=COUNT_MAX),
        default_value_t = ServerLimits::default().attachments_max)]
    attachments_max: usize,

    /// Bytes of the binary attachments of one packet together; over it: closed
    #[arg(long, value_parser = bytes::<usize>(0),
        default_value_t = ServerLimits::default().attachments_bytes_max)]
    attachments_bytes_max: usize,

    /// Bytes of one publish request's body; over it: 413
    #[arg(long, value_parser = bytes::<usize>(1),
        default_value_t = ServerLimits::default().publish_body_bytes_max)]
    publish_body_bytes_max: usize,

    /// Items in one publish request; over it: 400
    #[arg(long, value_parser = count::<usize>(1..=COUNT_MAX),
        default_value_t = ParseLimits::default().items_max)]
    publish_items_max: usize,

    /// Levels of JSON in a publish; over it: 400
    #[arg(long, value_parser = count::<usize>(1..=DEPTH_MAX),
        default_value_t = ParseLimits::default().depth_max)]
    publish_depth_max: usize,

    /// Publish requests that wait for room; over it: 429
    #[arg(long, value_parser = count::<usize>(0..=COUNT_MAX),
        default_value_t = ServerLimits::default().publish_waiting_max)]
    publish_waiting_max: usize,

    /// Milliseconds that a publish waits for room; then: 503
    #[arg(long, value_parser = millis(0),
        default_value_t = as_millis(ServerLimits::default().publish_wait_max))]
    publish_wait_max_ms: u64,

    /// Symbols of one connection, and in one call; over it: refused with an error
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().symbols_per_connection_max)]
    symbols_per_connection_max: u32,

    /// Characters of a symbol; over it: refused with an error
    #[arg(long, value_parser = count::<usize>(1..=Symbol::BYTES_MAX as u64),
        default_value_t = ParseLimits::default().symbol_chars_max)]
    symbol_chars_max: usize,

    /// Bytes of a user id; over it: refused
    #[arg(long, value_parser = count::<usize>(1..=UserId::BYTES_MAX as u64),
        default_value_t = ParseLimits::default().user_bytes_max)]
    user_bytes_max: usize,

    /// Events of one connection in a second, sustained; over it and the burst: closed
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().events_per_second_max)]
    events_per_second_max: u32,

    /// Events of one connection at once
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().events_burst_max)]
    events_burst_max: u32,

    /// subscribe:portfolio calls of one user in a window; over it: refused with an error
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().portfolio_calls_max)]
    portfolio_calls_max: u32,

    /// subscribe:trades calls of one user in a window; over it: refused with an error
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().trades_calls_max)]
    trades_calls_max: u32,

    /// subscribe:watchlist calls of one user in a window; over it: refused with an error
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().watchlist_calls_max)]
    watchlist_calls_max: u32,

    /// Milliseconds of the sliding window of those three
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().calls_window))]
    calls_window_ms: u64,

    /// Bytes pending to one connection; over it: congested
    #[arg(long, value_parser = bytes::<u64>(1),
        default_value_t = Limits::default().outbox_bytes_max)]
    outbox_bytes_max: u64,

    /// Packets pending to one connection; over it: congested
    #[arg(long, value_parser = count::<u32>(1..=COUNT_MAX),
        default_value_t = Limits::default().outbox_packets_max)]
    outbox_packets_max: u32,

    /// Bytes pending to all connections; over it: the worst are closed
    #[arg(long, value_parser = bytes::<u64>(1),
        default_value_t = Limits::default().outbox_total_bytes_max)]
    outbox_total_bytes_max: u64,

    /// Log events queued for a congested connection; over it: closed
    #[arg(long, value_parser = count::<u32>(0..=COUNT_MAX),
        default_value_t = Limits::default().congested_log_events_max)]
    congested_log_events_max: u32,

    /// Bytes of log events queued for a congested connection; over it: closed
    #[arg(long, value_parser = bytes::<u64>(0),
        default_value_t = Limits::default().congested_log_bytes_max)]
    congested_log_bytes_max: u64,

    /// Milliseconds that a connection may stay congested; then: closed
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().congested_max))]
    congested_max_ms: u64,

    /// Milliseconds that a session look-up may take; then: closed
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().session_lookup_max))]
    session_lookup_max_ms: u64,

    /// Milliseconds that a request to the bus may take; then: publishers get 503 with their ids
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().bus_request_max))]
    bus_request_max_ms: u64,

    /// Milliseconds for which Redis keeps a connection slot that is not renewed
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().slot_lease))]
    slot_lease_ms: u64,

    /// Milliseconds after which a node renews each of its connection slots
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().slot_renew_every))]
    slot_renew_every_ms: u64,

    /// Milliseconds after which a node looks whether each of its sessions still exists; one that is
    /// missing twice in a row is gone
    #[arg(long, value_parser = millis(1),
        default_value_t = as_millis(Limits::default().session_check_every))]
    session_check_every_ms: u64,

    /// Milliseconds over which a shutdown spreads its closes
    #[arg(long, value_parser = millis(0),
        default_value_t = as_millis(Limits::default().drain_window))]
    drain_window_ms: u64,

    /// Milliseconds after which a shutdown ends all the same, not below the window
    #[arg(long, value_parser = millis(0),
        default_value_t = as_millis(Limits::default().drain_deadline))]
    drain_deadline_ms: u64,

    /// Milliseconds for which log events are kept for resume
    #[arg(long, value_parser = millis(0),
        default_value_t = as_millis(Limits::default().history_max))]
    history_max_ms: u64,

    /// Bytes of log events kept for resume; over it: the oldest are forgotten
    #[arg(long, value_parser = bytes::<u64>(0),
        default_value_t = Limits::default().history_bytes_max)]
    history_bytes_max: u64,

    /// Users without a connection whose call windows are remembered
    #[arg(long, value_parser = count::<u32>(0..=COUNT_MAX),
        default_value_t = Limits::default().idle_users_max)]
    idle_users_max: u32,
}

impl LimitFlags {
    pub(super) const fn engine(&self) -> Limits {
        Limits {
            connections_per_user_max: self.connections_per_user_max,
            connects_per_user_minute_max: self.connects_per_user_minute_max,
            connections_max: self.connections_max,
            handshakes_max: self.handshakes_max,
            handshake_max: Duration::from_millis(self.handshake_max_ms),
            admissions_pending_max: self.admissions_pending_max,
            symbols_per_connection_max: self.symbols_per_connection_max,
            events_per_second_max: self.events_per_second_max,
            events_burst_max: self.events_burst_max,
            portfolio_calls_max: self.portfolio_calls_max,
            trades_calls_max: self.trades_calls_max,
            watchlist_calls_max: self.watchlist_calls_max,
            calls_window: Duration::from_millis(self.calls_window_ms),
            outbox_bytes_max: self.outbox_bytes_max,
            outbox_packets_max: self.outbox_packets_max,
            congested_log_events_max: self.congested_log_events_max,
            congested_log_bytes_max: self.congested_log_bytes_max,
            congested_max: Duration::from_millis(self.congested_max_ms),
            outbox_total_bytes_max: self.outbox_total_bytes_max,
            session_lookup_max: Duration::from_millis(self.session_lookup_max_ms),
            bus_request_max: Duration::from_millis(self.bus_request_max_ms),
            slot_lease: Duration::from_millis(self.slot_lease_ms),
            slot_renew_every: Duration::from_millis(self.slot_renew_every_ms),
            session_check_every: Duration::from_millis(self.session_check_every_ms),
            drain_window: Duration::from_millis(self.drain_window_ms),
            drain_deadline: Duration::from_millis(self.drain_deadline_ms),
            history_max: Duration::from_millis(self.history_max_ms),
            history_bytes_max: self.history_bytes_max,
            idle_users_max: self.idle_users_max,
        }
    }

    pub(super) const fn parse(&self) -> ParseLimits {
        ParseLimits {
            items_max: self.publish_items_max,
            depth_max: self.publish_depth_max,
            symbol_chars_max: self.symbol_chars_max,
            user_bytes_max: self.user_bytes_max,
            symbols_max: self.symbols_per_connection_max as usize,
        }
    }

    pub(super) const fn server(&self) -> ServerLimits {
        ServerLimits {
            ping_interval: Duration::from_millis(self.ping_interval_ms),
            ping_timeout: Duration::from_millis(self.ping_timeout_ms),
            client_payload_bytes_max: self.client_payload_bytes_max,
            attachments_max: self.attachments_max,
            attachments_bytes_max: self.attachments_bytes_max,
            publish_body_bytes_max: self.publish_body_bytes_max,
            publish_waiting_max: self.publish_waiting_max,
            publish_wait_max: Duration::from_millis(self.publish_wait_max_ms),
            request_head_max: Duration::from_millis(self.request_head_max_ms),
        }
    }
}
