//! What `tradewire doctor` reads of the command line and the environment.

use super::*;

fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Command, ConfigError> {
    let value = |name: &str| {
        env.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.into())
    };
    command(args.iter().map(OsString::from), value)
}

fn doctor(args: &[&str], env: &[(&str, &str)]) -> DoctorConfig {
    match read(args, env).unwrap() {
        Command::Doctor(config) => config,
        Command::Serve(_) => panic!("it would serve"),
    }
}

#[test]
fn the_doctor_looks_at_the_redis_that_the_server_would_use() {
    let variables = [
        ("REDIS_URL", "redis://:s3cret@redis:1"),
        ("SESSION_PREFIX", "s:"),
        // None of its business.
        ("PORT", "none"),
    ];
    let config = doctor(&["doctor"], &variables);
    assert_eq!(config.redis.host(), "redis");
    assert_eq!(config.session_prefix, "s:");
    assert!(!format!("{config:?}").contains("s3cret"));
    let config = doctor(&["doctor", "--redis-url", "redis://other"], &variables);
    assert_eq!(config.redis.host(), "other");
}

#[test]
fn without_the_word_the_server_is_meant() {
    for args in [&[][..], &["--demo"]] {
        assert!(matches!(read(args, &[]), Ok(Command::Serve(_))));
    }
    let error = read(&["--demo", "doctor"], &[]).unwrap_err().to_string();
    assert!(error.contains("argument 2 is not a flag"), "{error}");
}

#[test]
fn what_the_doctor_cannot_use_is_refused_in_one_line() {
    let allowed = "give redis://[user:password@]host[:port][/database], or rediss:// for TLS";
    for (args, env, line) in [
        (
            &["doctor"][..],
            &[][..],
            "REDIS_URL is not set: give the Redis to look at",
        ),
        (
            &["doctor"],
            &[("REDIS_URL", "s3cret")],
            &format!("REDIS_URL is not allowed: {allowed}"),
        ),
        (
            &["doctor", "--redis-url=s3cret"],
            &[],
            &format!("--redis-url is not allowed: {allowed}"),
        ),
        (
            &["doctor", "--demo"],
            &[],
            "unknown flag --demo: see tradewire --help",
        ),
        (
            &["doctor", "redis://s3cret@h"],
            &[],
            "argument 2 is not a flag: see tradewire --help",
        ),
    ] {
        let error = read(args, env).unwrap_err();
        assert_eq!(error.to_string(), format!("tradewire: {line}"), "{args:?}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn the_doctor_has_a_help_of_its_own() {
    let error = read(&["doctor", "--help"], &[]).unwrap_err();
    assert!(error.is_help());
    let help = error.to_string();
    assert!(help.contains("Usage: tradewire doctor [OPTIONS]"), "{help}");
    for setting in ["<REDIS_URL>", "<SESSION_PREFIX>"] {
        assert!(help.contains(setting), "{help}");
    }
    assert!(!help.contains("LOG_STREAM_MAX"), "{help}");
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
}
