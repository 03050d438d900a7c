//! Which settings apply, and what applies without any.

use core::time::Duration;

use super::*;

#[test]
fn without_settings_the_defaults_are_those_of_the_contract() {
    let config = config(&[], &[]);
    assert!(!config.production);
    assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
    assert!(config.frontend_origins.is_empty());
    assert_eq!(config.auth_mode, AuthMode::Trust);
    assert_eq!(config.redis, None);
    assert_eq!(config.session_prefix, "sess:");
    assert_eq!(config.log_stream_max, 500_000);
    assert!(config.session_secrets.is_empty());
    assert!(config.publish_token.is_none());
    assert!(config.metrics_token.is_none());
    assert_eq!(config.delivery, Delivery::All);
    assert!(!config.demo);
    assert_eq!(config.log_format, None);
    assert_eq!(config.log_filter, "info");
    assert_eq!(config.seed, None);
}

#[test]
fn the_default_limits_are_those_of_the_contract() {
    let config = config(&[], &[]);
    let seconds = Duration::from_secs;
    assert_eq!(
        config.limits,
        Limits {
            connections_per_user_max: 5,
            connects_per_user_minute_max: 120,
            connections_max: 100_000,
            handshakes_max: 10_000,
            admissions_pending_max: 1_000,
            handshake_max: seconds(20),
            symbols_per_connection_max: 500,
            events_per_second_max: 100,
            events_burst_max: 200,
            portfolio_calls_max: 1,
            trades_calls_max: 1,
            watchlist_calls_max: 10,
            calls_window: seconds(60),
            outbox_bytes_max: 1_048_576,
            outbox_packets_max: 4_096,
            congested_log_events_max: 1_024,
            congested_log_bytes_max: 1_048_576,
            congested_max: seconds(30),
            outbox_total_bytes_max: 268_435_456,
            session_lookup_max: seconds(5),
            bus_request_max: seconds(1),
            slot_lease: seconds(30),
            slot_renew_every: seconds(10),
            session_check_every: seconds(10),
            drain_window: seconds(5),
            drain_deadline: seconds(10),
            history_max: seconds(600),
            history_bytes_max: 67_108_864,
            idle_users_max: 100_000,
        }
    );
    assert_eq!(
        config.parse_limits,
        ParseLimits {
            items_max: 1_000,
            depth_max: 64,
            symbol_chars_max: 32,
            user_bytes_max: 256,
            symbols_max: 500,
        }
    );
    assert_eq!(
        config.server_limits,
        ServerLimits {
            ping_interval: seconds(15),
            ping_timeout: seconds(10),
            client_payload_bytes_max: 1_000_000,
            attachments_max: 10,
            attachments_bytes_max: 1_000_000,
            publish_body_bytes_max: 1_000_000,
            publish_waiting_max: 1_024,
            publish_wait_max: seconds(5),
            request_head_max: seconds(20),
        }
    );
}

#[test]
fn every_limit_reaches_its_field_from_its_variable_and_from_its_flag() {
    // A number of its own for each, so that no two can be mixed up; rising, so that the drain's
    // deadline is not below its window. A lease must be longer than two renewals.
    let own = |(setting, number): (&'static (&str, &str), u64)| match setting.0 {
        "SLOT_LEASE_MS" => (setting, number * 100),
        _ => (setting, number),
    };
    let limits = || {
        VARIABLES
            .iter()
            .filter(|(_, default)| *default != "-")
            .zip(20..)
            .map(own)
    };
    let mut variables = Vec::new();
    let mut flags = Vec::new();
    for ((name, _), number) in limits() {
        variables.push(((*name).to_owned(), number.to_string()));
        flags.push(format!(
            "--{}={number}",
            name.to_lowercase().replace('_', "-")
        ));
    }
    let variables: Vec<_> = variables
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    for config in [config(&[], &variables), config(&flags, &[])] {
        assert_eq!(config.log_stream_max, limits().next().unwrap().1);
        assert_eq!(config.record, None);
        let number = |name: &str| limits().find(|((n, _), _)| *n == name).unwrap().1;
        let ms = |name: &str| Duration::from_millis(number(name));
        let small = |name: &str| u32::try_from(number(name)).unwrap();
        let size = |name: &str| usize::try_from(number(name)).unwrap();
        assert_eq!(
            config.limits,
            Limits {
                connections_per_user_max: small("CONNECTIONS_PER_USER_MAX"),
                connects_per_user_minute_max: small("CONNECTS_PER_USER_MINUTE_MAX"),
                connections_max: small("CONNECTIONS_MAX"),
                handshakes_max: small("HANDSHAKES_MAX"),
                admissions_pending_max: small("ADMISSIONS_PENDING_MAX"),
                handshake_max: ms("HANDSHAKE_MAX_MS"),
                symbols_per_connection_max: small("SYMBOLS_PER_CONNECTION_MAX"),
                events_per_second_max: small("EVENTS_PER_SECOND_MAX"),
                events_burst_max: small("EVENTS_BURST_MAX"),
                portfolio_calls_max: small("PORTFOLIO_CALLS_MAX"),
                trades_calls_max: small("TRADES_CALLS_MAX"),
                watchlist_calls_max: small("WATCHLIST_CALLS_MAX"),
                calls_window: ms("CALLS_WINDOW_MS"),
                outbox_bytes_max: number("OUTBOX_BYTES_MAX"),
                outbox_packets_max: small("OUTBOX_PACKETS_MAX"),
                congested_log_events_max: small("CONGESTED_LOG_EVENTS_MAX"),
                congested_log_bytes_max: number("CONGESTED_LOG_BYTES_MAX"),
                congested_max: ms("CONGESTED_MAX_MS"),
                outbox_total_bytes_max: number("OUTBOX_TOTAL_BYTES_MAX"),
                session_lookup_max: ms("SESSION_LOOKUP_MAX_MS"),
                bus_request_max: ms("BUS_REQUEST_MAX_MS"),
                slot_lease: ms("SLOT_LEASE_MS"),
                slot_renew_every: ms("SLOT_RENEW_EVERY_MS"),
                session_check_every: ms("SESSION_CHECK_EVERY_MS"),
                drain_window: ms("DRAIN_WINDOW_MS"),
                drain_deadline: ms("DRAIN_DEADLINE_MS"),
                history_max: ms("HISTORY_MAX_MS"),
                history_bytes_max: number("HISTORY_BYTES_MAX"),
                idle_users_max: small("IDLE_USERS_MAX"),
            }
        );
        assert_eq!(
            config.parse_limits,
            ParseLimits {
                items_max: size("PUBLISH_ITEMS_MAX"),
                depth_max: size("PUBLISH_DEPTH_MAX"),
                symbol_chars_max: size("SYMBOL_CHARS_MAX"),
                user_bytes_max: size("USER_BYTES_MAX"),
                symbols_max: size("SYMBOLS_PER_CONNECTION_MAX"),
            }
        );
        assert_eq!(
            config.server_limits,
            ServerLimits {
                ping_interval: ms("PING_INTERVAL_MS"),
                ping_timeout: ms("PING_TIMEOUT_MS"),
                client_payload_bytes_max: size("CLIENT_PAYLOAD_BYTES_MAX"),
                attachments_max: size("ATTACHMENTS_MAX"),
                attachments_bytes_max: size("ATTACHMENTS_BYTES_MAX"),
                publish_body_bytes_max: size("PUBLISH_BODY_BYTES_MAX"),
                publish_waiting_max: size("PUBLISH_WAITING_MAX"),
                publish_wait_max: ms("PUBLISH_WAIT_MAX_MS"),
                request_head_max: ms("REQUEST_HEAD_MAX_MS"),
            }
        );
    }
}

#[test]
fn every_other_setting_reaches_its_field() {
    let config = config(
        &["--demo", "--seed=18446744073709551615"],
        &[
            ("NODE_ENV", "development"),
            ("HOST", "::1"),
            ("WEBSOCKET_PORT", "0"),
            (
                "FRONTEND_URL",
                "https://App.example.com:443/, http://localhost:5173",
            ),
            ("REDIS_URL", "rediss://default:s3cret@redis.example.com/2"),
            ("SESSION_PREFIX", "app:sess:"),
            ("LOG_STREAM_MAX", "1000"),
            ("AUTH_MODE", "session"),
            ("SESSION_SECRET", "keyboard cat,old"),
            ("PUBLISH_TOKEN", "p-token"),
            ("METRICS_TOKEN", "m-token"),
            ("DELIVERY", "subscribed"),
            ("LOG_FORMAT", "json"),
            ("RUST_LOG", "warn,tradewire_server=debug"),
            ("UNKNOWN_TO_ALL", "ignored"),
        ],
    );
    assert!(!config.production && config.demo);
    assert_eq!(config.listen.to_string(), "[::1]:0");
    let origins: Vec<_> = config
        .frontend_origins
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        origins,
        ["https://app.example.com", "http://localhost:5173"]
    );
    let redis = config.redis.unwrap();
    assert_eq!((redis.host(), redis.port()), ("redis.example.com", 6_379));
    assert_eq!(config.session_prefix, "app:sess:");
    assert_eq!(config.log_stream_max, 1_000);
    assert_eq!(config.auth_mode, AuthMode::Session);
    let secrets: Vec<_> = config.session_secrets.iter().map(Secret::expose).collect();
    assert_eq!(secrets, [b"keyboard cat".as_slice(), b"old"]);
    assert!(config.publish_token.unwrap().matches(b"p-token"));
    assert!(config.metrics_token.unwrap().matches(b"m-token"));
    assert_eq!(config.delivery, Delivery::Subscribed);
    assert_eq!(config.log_format, Some(LogFormat::Json));
    assert_eq!(config.log_filter, "warn,tradewire_server=debug");
    assert_eq!(config.seed, Some(u64::MAX));
}

#[test]
fn a_flag_wins_over_its_variable_even_over_a_bad_one() {
    let variables = [
        ("CONNECTIONS_MAX", "7"),
        ("DELIVERY", "nobody"),
        ("DEMO", "true"),
    ];
    let config = config(
        &[
            "--connections-max",
            "8",
            "--delivery=subscribed",
            "--demo=false",
        ],
        &variables,
    );
    assert_eq!(config.limits.connections_max, 8);
    assert_eq!(config.delivery, Delivery::Subscribed);
    assert!(!config.demo);
}

#[test]
fn the_last_of_two_equal_flags_wins() {
    assert_eq!(config(&["--seed=1", "--seed", "2"], &[]).seed, Some(2));
}

#[test]
fn the_servers_own_port_wins_over_the_platforms_and_any_flag_over_both() {
    let port = |args: &[&str], env: &[(&str, &str)]| config(args, env).listen.port();
    let both = [("PORT", "1"), ("WEBSOCKET_PORT", "2")];
    assert_eq!(port(&[], &[("PORT", "1")]), 1);
    assert_eq!(port(&[], &both), 2);
    assert_eq!(port(&["--port=3"], &both), 3);
    assert_eq!(port(&["--websocket-port=4"], &both), 4);
    assert_eq!(port(&["--websocket-port=4", "--port=3"], &both), 4);
    assert_eq!(port(&[], &[("PORT", "1"), ("WEBSOCKET_PORT", "")]), 1);
    // Some platforms put other things than numbers there; what is not used cannot be wrong.
    assert_eq!(
        port(&[], &[("PORT", r"\\.\pipe\x"), ("WEBSOCKET_PORT", "2")]),
        2
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let every: Vec<_> = variables().map(|name| (name, "")).collect();
    assert_eq!(
        format!("{:?}", config(&[], &every)),
        format!("{:?}", config(&[], &[]))
    );
}

#[test]
fn demo_is_a_switch_and_a_truth_value() {
    for (args, env, demo) in [
        (&["--demo"][..], "", true),
        (&["--demo=1"], "", true),
        (&[], "true", true),
        (&[], "1", true),
        (&[], "false", false),
        (&["--demo"], "0", true),
    ] {
        assert_eq!(config(args, &[("DEMO", env)]).demo, demo, "{args:?} {env}");
    }
}

#[test]
fn only_production_is_production() {
    for other in [
        "development",
        "test",
        "Production",
        "production ",
        "staging",
    ] {
        assert!(!config(&[], &[("NODE_ENV", other)]).production, "{other}");
    }
}

#[test]
fn a_directory_is_all_that_a_recording_needs() {
    let record = config(&["--record-dir=/var/tradewire"], &[]).record;
    let whole = RecordConfig {
        dir: "/var/tradewire".into(),
        masked: false,
        bytes_max: 268_435_456,
        segment_bytes_max: 33_554_432,
    };
    assert_eq!(record, Some(whole.clone()));
    let record = config(
        &["--record-payloads=mask", "--record-bytes-max=7"],
        &[
            ("RECORD_DIR", "/var/tradewire"),
            ("RECORD_SEGMENT_BYTES_MAX", "5"),
        ],
    );
    let masked = RecordConfig {
        masked: true,
        bytes_max: 7,
        segment_bytes_max: 5,
        ..whole
    };
    assert_eq!(record.record, Some(masked));
}
