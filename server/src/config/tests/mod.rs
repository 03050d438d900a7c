//! What an operator sees. Environments here are lists; the process's own is never read or changed.

use std::ffi::OsString;

use super::*;

mod doctor;
mod help;
mod refusals;
mod settings;

/// Every variable with its default as the contract has it, or `-` if it is not a plain number.
const VARIABLES: [(&str, &str); 63] = [
    ("NODE_ENV", "-"),
    ("HOST", "-"),
    ("WEBSOCKET_PORT", "-"),
    ("PORT", "-"),
    ("FRONTEND_URL", "-"),
    ("REDIS_URL", "-"),
    ("SESSION_PREFIX", "-"),
    ("LOG_STREAM_MAX", "500000"),
    ("AUTH_MODE", "-"),
    ("SESSION_SECRET", "-"),
    ("PUBLISH_TOKEN", "-"),
    ("DEMO", "-"),
    ("DELIVERY", "-"),
    ("CONNECTIONS_PER_USER_MAX", "5"),
    ("CONNECTS_PER_USER_MINUTE_MAX", "120"),
    ("CONNECTIONS_MAX", "100000"),
    ("HANDSHAKES_MAX", "10000"),
    ("HANDSHAKE_MAX_MS", "20000"),
    ("ADMISSIONS_PENDING_MAX", "1000"),
    ("PING_INTERVAL_MS", "15000"),
    ("PING_TIMEOUT_MS", "10000"),
    ("REQUEST_HEAD_MAX_MS", "20000"),
    ("CLIENT_PAYLOAD_BYTES_MAX", "1000000"),
    ("ATTACHMENTS_MAX", "10"),
    ("ATTACHMENTS_BYTES_MAX", "1000000"),
    ("PUBLISH_BODY_BYTES_MAX", "1000000"),
    ("PUBLISH_ITEMS_MAX", "1000"),
    ("PUBLISH_DEPTH_MAX", "64"),
    ("PUBLISH_WAITING_MAX", "1024"),
    ("PUBLISH_WAIT_MAX_MS", "5000"),
    ("SYMBOLS_PER_CONNECTION_MAX", "500"),
    ("SYMBOL_CHARS_MAX", "32"),
    ("USER_BYTES_MAX", "256"),
    ("EVENTS_PER_SECOND_MAX", "100"),
    ("EVENTS_BURST_MAX", "200"),
    ("PORTFOLIO_CALLS_MAX", "1"),
    ("TRADES_CALLS_MAX", "1"),
    ("WATCHLIST_CALLS_MAX", "10"),
    ("CALLS_WINDOW_MS", "60000"),
    ("OUTBOX_BYTES_MAX", "1048576"),
    ("OUTBOX_PACKETS_MAX", "4096"),
    ("OUTBOX_TOTAL_BYTES_MAX", "268435456"),
    ("CONGESTED_LOG_EVENTS_MAX", "1024"),
    ("CONGESTED_LOG_BYTES_MAX", "1048576"),
    ("CONGESTED_MAX_MS", "30000"),
    ("SESSION_LOOKUP_MAX_MS", "5000"),
    ("BUS_REQUEST_MAX_MS", "1000"),
    ("SLOT_LEASE_MS", "30000"),
    ("SLOT_RENEW_EVERY_MS", "10000"),
    ("SESSION_CHECK_EVERY_MS", "10000"),
    ("DRAIN_WINDOW_MS", "5000"),
    ("DRAIN_DEADLINE_MS", "10000"),
    ("HISTORY_MAX_MS", "600000"),
    ("HISTORY_BYTES_MAX", "67108864"),
    ("IDLE_USERS_MAX", "100000"),
    ("LOG_FORMAT", "-"),
    ("RUST_LOG", "-"),
    ("METRICS_TOKEN", "-"),
    ("RECORD_DIR", "-"),
    ("RECORD_PAYLOADS", "-"),
    ("RECORD_BYTES_MAX", "268435456"),
    ("RECORD_SEGMENT_BYTES_MAX", "33554432"),
    ("SEED", "-"),
];

fn variables() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|(name, _)| *name)
}

fn parsed(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let value = |name: &str| {
        env.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.into())
    };
    parse(args.iter().map(OsString::from), value)
}

fn config(args: &[&str], env: &[(&str, &str)]) -> Config {
    parsed(args, env).unwrap()
}

/// The one line that a start with these settings ends with.
fn refusal(args: &[&str], env: &[(&str, &str)]) -> String {
    let error = parsed(args, env).unwrap_err();
    assert!(!error.is_help());
    assert_eq!(error.exit_code(), 2);
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}
