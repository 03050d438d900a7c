//! The exact line behind every start that is refused.

use core::time::Duration;
use std::os::unix::ffi::OsStringExt;

use super::*;

#[test]
fn a_bad_value_is_refused_in_one_line_with_what_is_allowed() {
    let number = "give a whole number";
    let ms = "give a whole number of milliseconds";
    let bytes = "give a whole number of bytes";
    for (name, value, allowed) in [
        ("WEBSOCKET_PORT", "abc", "give a port number, 0 to 65535"),
        ("PORT", "65536", "give a port number, 0 to 65535"),
        (
            "HOST",
            "localhost",
            "give an IP address to listen on, such as 127.0.0.1 or ::",
        ),
        (
            "FRONTEND_URL",
            "https://a.io/app",
            "give origins like https://app.example.com[:port], separated by commas",
        ),
        ("AUTH_MODE", "none", "give session or trust"),
        ("DELIVERY", "some", "give all or subscribed"),
        ("RECORD_PAYLOADS", "none", "give full or mask"),
        ("DEMO", "yes", "give true or false"),
        ("LOG_FORMAT", "xml", "give pretty or json"),
        (
            "RUST_LOG",
            "a=b=c",
            "give a level such as info, or a filter such as info,tradewire_server=debug",
        ),
        (
            "SEED",
            "-1",
            "give a whole number, 0 to 18446744073709551615",
        ),
        (
            "RECORD_BYTES_MAX",
            "1G",
            &format!("{bytes}, 1 to 1099511627776"),
        ),
        (
            "CONNECTIONS_MAX",
            "1_000",
            &format!("{number}, 1 to 4294967295"),
        ),
        ("PING_TIMEOUT_MS", "0", &format!("{ms}, 1 to 86400000")),
        ("HISTORY_MAX_MS", "10m", &format!("{ms}, 0 to 86400000")),
        (
            "OUTBOX_BYTES_MAX",
            "1MiB",
            &format!("{bytes}, 1 to 1099511627776"),
        ),
        ("LOG_STREAM_MAX", "0", &format!("{number}, 1 to 4294967295")),
        ("SYMBOL_CHARS_MAX", "129", &format!("{number}, 1 to 128")),
        ("USER_BYTES_MAX", "1025", &format!("{number}, 1 to 1024")),
        ("PUBLISH_DEPTH_MAX", "101", &format!("{number}, 1 to 100")),
    ] {
        let line = format!("{name}=\"{value}\" is not allowed: {allowed}");
        assert_eq!(refusal(&[], &[(name, value)]), format!("tradewire: {line}"));
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        let line = format!("tradewire: {flag}=\"{value}\" is not allowed: {allowed}");
        assert_eq!(refusal(&[&format!("{flag}={value}")], &[]), line);
    }
}

#[test]
fn a_limit_of_zero_is_refused_wherever_the_engine_refuses_it() {
    for name in [
        "CONNECTIONS_PER_USER_MAX",
        "CONNECTS_PER_USER_MINUTE_MAX",
        "CONNECTIONS_MAX",
        "HANDSHAKES_MAX",
        "ADMISSIONS_PENDING_MAX",
        "EVENTS_PER_SECOND_MAX",
        "EVENTS_BURST_MAX",
        "PORTFOLIO_CALLS_MAX",
        "TRADES_CALLS_MAX",
        "WATCHLIST_CALLS_MAX",
        "SYMBOLS_PER_CONNECTION_MAX",
        "OUTBOX_BYTES_MAX",
        "OUTBOX_PACKETS_MAX",
    ] {
        let line = refusal(&[], &[(name, "0")]);
        assert!(
            line.starts_with(&format!("tradewire: {name}=\"0\" is not allowed: ")),
            "{line}"
        );
    }
    // Should the engine ever refuse what the flags allow, the line is still of this form.
    let (_, names) = flags::read::<Flags>([], 0, |_| None).unwrap();
    let error = contradiction(
        &LimitsError::Zero {
            name: "idle_users_max",
        },
        &names,
    );
    let line = "tradewire: IDLE_USERS_MAX=\"0\" is not allowed: give at least 1";
    assert_eq!(error.to_string(), line);
}

#[test]
fn a_drain_that_ends_before_its_window_is_refused_by_the_name_that_was_given() {
    for (args, env, line) in [
        (
            &[][..],
            &[("DRAIN_DEADLINE_MS", "4999")][..],
            "DRAIN_DEADLINE_MS=\"4999\" is not allowed: give at least DRAIN_WINDOW_MS, which is 5000",
        ),
        (
            &[],
            &[("DRAIN_WINDOW_MS", "10001")],
            "DRAIN_WINDOW_MS=\"10001\" is not allowed: give at most DRAIN_DEADLINE_MS, which is 10000",
        ),
        (
            &["--drain-window-ms=10001"],
            &[],
            "--drain-window-ms=\"10001\" is not allowed: give at most DRAIN_DEADLINE_MS, which is 10000",
        ),
        (
            &["--drain-deadline-ms=2"],
            &[("DRAIN_WINDOW_MS", "3")],
            "--drain-deadline-ms=\"2\" is not allowed: give at least DRAIN_WINDOW_MS, which is 3",
        ),
    ] {
        assert_eq!(refusal(args, env), format!("tradewire: {line}"));
    }
    let equal = [("DRAIN_DEADLINE_MS", "7"), ("DRAIN_WINDOW_MS", "7")];
    assert_eq!(
        config(&[], &equal).limits.drain_window,
        Duration::from_millis(7)
    );
}

#[test]
fn a_lease_that_a_late_renewal_would_lose_is_refused_by_the_name_that_was_given() {
    for (args, env, line) in [
        (
            &[][..],
            &[("SLOT_LEASE_MS", "19999")][..],
            "SLOT_LEASE_MS=\"19999\" is not allowed: give at least twice SLOT_RENEW_EVERY_MS, which is \
                10000",
        ),
        (
            &[],
            &[("SLOT_RENEW_EVERY_MS", "15001")],
            "SLOT_RENEW_EVERY_MS=\"15001\" is not allowed: give at most half of SLOT_LEASE_MS, which \
                is 30000",
        ),
        (
            &["--slot-lease-ms=5"],
            &[("SLOT_RENEW_EVERY_MS", "3")],
            "--slot-lease-ms=\"5\" is not allowed: give at least twice SLOT_RENEW_EVERY_MS, which is 3",
        ),
    ] {
        assert_eq!(refusal(args, env), format!("tradewire: {line}"));
    }
    let twice = [("SLOT_LEASE_MS", "6"), ("SLOT_RENEW_EVERY_MS", "3")];
    let limits = config(&[], &twice).limits;
    assert_eq!(limits.slot_lease, Duration::from_millis(6));
    assert_eq!(limits.slot_renew_every, Duration::from_millis(3));
}

#[test]
fn what_is_no_setting_is_refused_without_showing_what_may_be_a_secret() {
    for (args, line) in [
        (&["--fo"][..], "unknown flag --fo: see tradewire --help"),
        (&["--fo=s3cret"], "unknown flag --fo: see tradewire --help"),
        (
            &["--publish-tokn", "s3cret"],
            "unknown flag --publish-tokn: see tradewire --help",
        ),
        (
            &["--publish-token=s3cret", "--fo"],
            "unknown flag --fo: see tradewire --help",
        ),
        (&["-x"], "unknown flag -x: see tradewire --help"),
        (&["--f\no"], "unknown flag --f\\no: see tradewire --help"),
        (
            &["--demo", "s3cret"],
            "argument 2 is not a flag: see tradewire --help",
        ),
        (
            &["--publish-token", "a", "s3cret"],
            "argument 3 is not a flag: see tradewire --help",
        ),
        (
            &["--", "s3cret"],
            "argument 2 is not a flag: see tradewire --help",
        ),
        (
            &["--seed"],
            "--seed needs a value: write --seed=…, or see tradewire --help",
        ),
        (
            &["--seed", "--demo"],
            "--seed needs a value: write --seed=…, or see tradewire --help",
        ),
        (
            &["--publish-token", "--s3cret"],
            "--publish-token needs a value: write --publish-token=…, or see tradewire --help",
        ),
        (
            &["--metrics-token", "-s3cret"],
            "--metrics-token needs a value: write --metrics-token=…, or see tradewire --help",
        ),
        (
            &["--host="],
            "--host=\"\" is not allowed: give an IP address to listen on, such as 127.0.0.1 or ::",
        ),
        (
            &["--help=x"],
            "the command line cannot be read: see tradewire --help",
        ),
    ] {
        assert_eq!(refusal(args, &[]), format!("tradewire: {line}"), "{args:?}");
    }
    assert!(
        config(&["--publish-token=--s3cret"], &[])
            .publish_token
            .unwrap()
            .matches(b"--s3cret")
    );
}

#[test]
fn what_is_not_utf_8_is_refused_by_its_place() {
    let bad = || OsString::from_vec(b"\xff".to_vec());
    let error = parse([OsString::from("--demo"), bad()], |_| None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tradewire: argument 2 is not allowed: give UTF-8 text"
    );
    let error = parse([], |name| (name == "SESSION_SECRET").then(bad)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tradewire: SESSION_SECRET is not allowed: give UTF-8 text"
    );
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn a_refusal_stays_one_short_line_whatever_the_value() {
    let line = refusal(&[], &[("SEED", "1\n2\u{1b}[31m\"")]);
    assert!(
        line.starts_with(r#"tradewire: SEED="1\n2\u{1b}[31m\"" is not allowed: "#),
        "{line}"
    );
    let line = refusal(&[], &[("SEED", &"é".repeat(1_000))]);
    assert!(
        line.contains(&format!("\"{}…\"", "é".repeat(100))),
        "{line}"
    );
}

#[test]
fn production_starts_only_with_sessions_a_redis_and_a_token() {
    let production = ("NODE_ENV", "production");
    let redis = ("REDIS_URL", "redis://:s3cret@redis:6379");
    let token = ("PUBLISH_TOKEN", "t");
    let no_redis = "tradewire: REDIS_URL is not set: give the Redis that holds the sessions, which \
        NODE_ENV=production asks for";
    assert_eq!(refusal(&[], &[production]), no_redis);
    assert_eq!(refusal(&[], &[production, token]), no_redis);
    assert_eq!(
        refusal(&[], &[production, token, ("REDIS_URL", "")]),
        no_redis
    );
    assert_eq!(
        refusal(&[], &[production, ("AUTH_MODE", "session")]),
        no_redis
    );
    assert_eq!(refusal(&["--node-env", "production"], &[]), no_redis);
    assert_eq!(
        refusal(&[], &[production, ("AUTH_MODE", "trust")]),
        "tradewire: AUTH_MODE=\"trust\" is not allowed: give session when NODE_ENV is production"
    );
    assert_eq!(
        refusal(&["--auth-mode=trust"], &[production, redis, token]),
        "tradewire: --auth-mode=\"trust\" is not allowed: give session when NODE_ENV is production"
    );
    assert_eq!(
        refusal(&[], &[production, redis]),
        "tradewire: PUBLISH_TOKEN is not set: give the token that publishers must bring, which \
            NODE_ENV=production asks for"
    );
    let config = config(&[], &[production, redis, token]);
    assert!(config.production && config.publish_token.is_some());
    assert_eq!(config.auth_mode, AuthMode::Session);
    assert_eq!(config.redis.unwrap().host(), "redis");
    assert_eq!(config.listen.to_string(), "0.0.0.0:3000");
}

#[test]
fn outside_production_sessions_need_a_redis_and_trust_may_have_one() {
    let redis = ("REDIS_URL", "redis://redis");
    let session = ("AUTH_MODE", "session");
    assert_eq!(
        refusal(&[], &[session]),
        "tradewire: REDIS_URL is not set: give the Redis that holds the sessions, which \
            AUTH_MODE=session asks for"
    );
    assert_eq!(config(&[], &[redis, session]).auth_mode, AuthMode::Session);
    let trusting = config(&[], &[redis]);
    assert_eq!(trusting.auth_mode, AuthMode::Trust);
    assert!(trusting.redis.is_some() && trusting.publish_token.is_none());
}

#[test]
fn no_secret_is_ever_shown() {
    for (name, value, allowed) in [
        (
            "PUBLISH_TOKEN",
            "s3cret two",
            "give printable ASCII characters without spaces",
        ),
        (
            "METRICS_TOKEN",
            "s3cret\n",
            "give printable ASCII characters without spaces",
        ),
        (
            "SESSION_SECRET",
            "s3cret,",
            "give one or more secrets, separated by commas, without spaces around them",
        ),
        (
            "REDIS_URL",
            "s3cret",
            "give redis://[user:password@]host[:port][/database], or rediss:// for TLS",
        ),
        (
            "REDIS_URL",
            "redis://s3cret@redis",
            "give user:password@ or :password@ before the host",
        ),
    ] {
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        let line = format!("tradewire: {name} is not allowed: {allowed}");
        assert_eq!(refusal(&[], &[(name, value)]), line);
        let line = format!("tradewire: {flag} is not allowed: {allowed}");
        assert_eq!(refusal(&[&format!("{flag}={value}")], &[]), line);
    }
    let secrets = [
        ("PUBLISH_TOKEN", "s3cret"),
        ("METRICS_TOKEN", "s3cret"),
        ("SESSION_SECRET", "s3cret,s3cret"),
        ("REDIS_URL", "redis://s3cret:s3cret@redis"),
    ];
    let shown = format!("{:?}", config(&[], &secrets));
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(shown.matches("[redacted]").count(), 4, "{shown}");
    let error = parsed(&["--fo"], &secrets).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("s3cret"));
}
