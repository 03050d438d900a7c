//! How the Redis itself is: version, role, memory, persistence, latency, clock. Nothing is written.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::doctor::Patient;
use crate::doctor::report::{Check, Report, millis};
use crate::net::Net;
use crate::redis::Shown;

/// How many PINGs are sent, and how long that may take.
const PINGS: usize = 200;
const PINGS_MAX: Duration = Duration::from_secs(3);

/// A round trip that publishers begin to feel, at the median and at the worst of a hundred.
const SLOW_P50: Duration = Duration::from_millis(10);
const SLOW_P99: Duration = Duration::from_millis(100);

/// How far Redis' clock may be from this host's.
const SKEW_MAX_MS: u64 = 1_000;

/// What part of its memory Redis may use before that is worth a word, in percent.
const FULL_PERCENT: u64 = 90;

/// What INFO tells, by name.
type Info = BTreeMap<String, String>;

pub(super) async fn examine<N: Net, C: Clock>(
    patient: &mut Patient<'_, N>,
    clock: &C,
    report: &mut Report,
) {
    match info(patient).await {
        Ok(info) => {
            report.add(version(&info));
            report.add(role(&info));
            report.add(memory(&info));
            report.add(persistence(patient, &info).await);
        }
        Err(error) => {
            let found = Shown::error(&error);
            let found = format!("version, role, memory and persistence cannot be read: {found}");
            report.add(Check::warning("info", found, &patient.mend(&error)));
        }
    }
    report.add(latency(patient).await);
    report.add(skew(patient, clock).await);
}

async fn info<N>(patient: &mut Patient<'_, N>) -> redis::RedisResult<Info> {
    let text: String = redis::cmd("INFO")
        .query_async(&mut patient.connection)
        .await?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    Ok(fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

fn field<'a>(info: &'a Info, name: &str) -> &'a str {
    info.get(name).map_or("", String::as_str)
}

fn number(info: &Info, name: &str) -> u64 {
    field(info, name).parse().unwrap_or(0)
}

fn version(info: &Info) -> Check {
    // One that is too old was refused with the connection.
    let version = Shown::new(field(info, "redis_version"));
    Check::ok("version", version.to_string())
}

fn role(info: &Info) -> Check {
    if field(info, "role") == "slave" {
        return Check::failure(
            "role",
            "this is a replica, and what is written to it is lost".to_owned(),
            "name the primary in REDIS_URL",
        );
    }
    let replicas = number(info, "connected_slaves");
    Check::ok("role", format!("primary, with {replicas} replicas"))
}

/// Whether Redis may throw away what the server needs, and whether there is room.
fn memory(info: &Info) -> Check {
    const MEND: &str = "set maxmemory-policy noeviction";
    let policy = Shown::new(field(info, "maxmemory_policy"));
    let name = policy.to_string();
    let (used, max) = (number(info, "used_memory"), number(info, "maxmemory"));
    if name.starts_with("allkeys-") {
        return if max == 0 {
            let found = format!("maxmemory-policy {policy} drops any key once maxmemory is set");
            Check::warning("memory", found, MEND)
        } else {
            let found =
                format!("maxmemory-policy {policy} drops any key: sessions, limits, the log");
            Check::failure("memory", found, MEND)
        };
    }
    if name.starts_with("volatile-") {
        let found = format!(
            "maxmemory-policy {policy} drops sessions, limits and current values when memory is short"
        );
        return Check::warning("memory", found, MEND);
    }
    if max > 0 && used.saturating_mul(100) > max.saturating_mul(FULL_PERCENT) {
        let found = format!("{used} of {max} bytes are used, and writes fail when it is full");
        return Check::warning("memory", found, "raise maxmemory");
    }
    let room = if max == 0 {
        "no limit".to_owned()
    } else {
        format!("at most {max}")
    };
    let found = format!("maxmemory-policy {policy}, {used} bytes used, {room}");
    Check::ok("memory", found)
}

async fn persistence<N: Net>(patient: &mut Patient<'_, N>, info: &Info) -> Check {
    let bad = |name: &str| !matches!(field(info, name), "ok" | "");
    if bad("rdb_last_bgsave_status") || bad("aof_last_write_status") {
        return Check::warning(
            "persistence",
            "Redis could not save when it last tried, and may refuse writes".to_owned(),
            "see Redis' log, and the room on its disk",
        );
    }
    if number(info, "aof_enabled") == 1 {
        return Check::ok("persistence", "append-only file".to_owned());
    }
    let save: redis::RedisResult<BTreeMap<String, String>> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("save")
        .query_async(&mut patient.connection)
        .await;
    match save {
        Ok(save) if save.get("save").is_some_and(|save| !save.is_empty()) => {
            let found = "snapshots; a crash loses what came after the last";
            Check::ok("persistence", found.to_owned())
        }
        Ok(_) => Check::warning(
            "persistence",
            "none: a restart of Redis loses trades that were accepted, and all sessions".to_owned(),
            "set appendonly yes",
        ),
        Err(_) => Check::warning(
            "persistence",
            "no append-only file, and this user may not see whether there are snapshots".to_owned(),
            "set appendonly yes, if there are none",
        ),
    }
}

async fn latency<N: Net>(patient: &mut Patient<'_, N>) -> Check {
    let began = Instant::now();
    let mut trips = Vec::with_capacity(PINGS);
    while trips.len() < PINGS && began.elapsed() < PINGS_MAX {
        let sent = Instant::now();
        let pong: redis::RedisResult<redis::Value> = redis::cmd("PING")
            .query_async(&mut patient.connection)
            .await;
        if let Err(error) = pong {
            return patient.failed("latency", &error);
        }
        trips.push(sent.elapsed());
    }
    trips.sort_unstable();
    judge(&trips)
}

/// Judges round trips, the shortest first.
fn judge(trips: &[Duration]) -> Check {
    let at = |percent: usize| -> Duration {
        let place = (trips.len() * percent).div_ceil(100).saturating_sub(1);
        trips.get(place).copied().unwrap_or_default()
    };
    let (p50, p99, max) = (at(50), at(99), at(100));
    let found = format!(
        "p50 {}, p99 {}, max {} of {} PINGs",
        millis(p50),
        millis(p99),
        millis(max),
        trips.len()
    );
    if p50 > SLOW_P50 || p99 > SLOW_P99 {
        let mend = "run servers near their Redis, and find what keeps it busy (SLOWLOG GET)";
        Check::warning("latency", found, mend)
    } else {
        Check::ok("latency", found)
    }
}

async fn skew<N: Net, C: Clock>(patient: &mut Patient<'_, N>, clock: &C) -> Check {
    let before = clock.wall().as_unix_ms();
    let time: redis::RedisResult<(u64, u64)> = redis::cmd("TIME")
        .query_async(&mut patient.connection)
        .await;
    let after = clock.wall().as_unix_ms();
    let there = match time {
        Ok((seconds, micros)) => seconds.saturating_mul(1_000).saturating_add(micros / 1_000),
        Err(error) => return patient.failed("clock", &error),
    };
    judge_skew(before, there, after)
}

/// Judges Redis' clock, which was read between two readings of this host's.
fn judge_skew(before: u64, there: u64, after: u64) -> Check {
    // Within the round trip anything may be right.
    let skew = before
        .saturating_sub(there)
        .max(there.saturating_sub(after));
    if skew > SKEW_MAX_MS {
        let found = format!("Redis' clock and this host's are {skew} ms apart");
        Check::warning("clock", found, "keep both set by NTP")
    } else {
        Check::ok("clock", format!("within {SKEW_MAX_MS} ms of this host's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Grade;

    fn info(text: &str) -> Info {
        text.split(' ')
            .filter_map(|field| field.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn memory_is_judged_by_what_could_be_thrown_away() {
        for (text, grade) in [
            (
                "maxmemory_policy:noeviction used_memory:9 maxmemory:0",
                Grade::Ok,
            ),
            (
                "maxmemory_policy:noeviction used_memory:90 maxmemory:100",
                Grade::Ok,
            ),
            (
                "maxmemory_policy:noeviction used_memory:91 maxmemory:100",
                Grade::Warning,
            ),
            (
                "maxmemory_policy:volatile-lru maxmemory:100",
                Grade::Warning,
            ),
            ("maxmemory_policy:allkeys-lfu maxmemory:0", Grade::Warning),
            ("maxmemory_policy:allkeys-lru maxmemory:100", Grade::Failure),
            ("", Grade::Ok),
        ] {
            assert_eq!(memory(&info(text)).grade, grade, "{text}");
        }
    }

    #[test]
    fn a_replica_is_no_place_to_write() {
        assert_eq!(role(&info("role:slave")).grade, Grade::Failure);
        assert_eq!(
            role(&info("role:master connected_slaves:2")).found,
            "primary, with 2 replicas"
        );
    }

    #[test]
    fn what_redis_says_is_shown_on_one_line() {
        let check = version(&info("redis_version:7\n\u{1b}[31m"));
        assert_eq!(check.found, "7\\n\\u{1b}[31m");
    }

    #[test]
    fn latency_is_judged_by_its_percentiles() {
        let ms = |ms: &[u64]| {
            ms.iter()
                .copied()
                .map(Duration::from_millis)
                .collect::<Vec<_>>()
        };
        let even: Vec<u64> = (1..=100).map(|n| n / 20).collect();
        let check = judge(&ms(&even));
        assert_eq!(check.grade, Grade::Ok);
        assert_eq!(
            check.found,
            "p50 2.00 ms, p99 4.00 ms, max 5.00 ms of 100 PINGs"
        );
        assert_eq!(judge(&ms(&[11, 11])).grade, Grade::Warning);
        assert_eq!(judge(&ms(&[1, 1, 101])).grade, Grade::Warning);
        assert_eq!(judge(&[]).grade, Grade::Ok);
    }

    #[test]
    fn a_clock_is_only_wrong_beyond_the_round_trip() {
        for (there, grade) in [
            (10_000, Grade::Ok),
            (9_000, Grade::Ok),
            (8_999, Grade::Warning),
            (16_000, Grade::Ok),
            (16_001, Grade::Warning),
        ] {
            assert_eq!(judge_skew(10_000, there, 15_000).grade, grade, "{there}");
        }
    }
}
