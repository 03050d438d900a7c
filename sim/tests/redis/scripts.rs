//! The server's scripts as they are in its sources, put together as it puts them together.

/// Each script's name and text.
pub(crate) fn scripts() -> Vec<(&'static str, String)> {
    [
        ("append", &["time", "clock"][..]),
        ("charge", &["time"]),
        ("claim", &["time", "slots"]),
        ("fetch", &["clock"]),
        ("lead", &[]),
        ("open", &["time", "clock"]),
        ("renew", &["time", "slots"]),
        ("share", &["time", "clock"]),
    ]
    .into_iter()
    .map(|(name, preludes)| {
        let parts = preludes.iter().copied().chain([name]);
        (name, parts.map(read).collect())
    })
    .collect()
}

fn read(part: &str) -> String {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/src/bus/redis/scripts"
    );
    std::fs::read_to_string(format!("{folder}/{part}.lua")).expect("a script of the server's")
}

/// The scripts under a clock that a test sets: seconds and microseconds at two keys.
pub(crate) fn on_set_time() -> Vec<(&'static str, String)> {
    let mut scripts = scripts();
    for (_, text) in &mut scripts {
        *text = text.replace(
            "redis.call('TIME')",
            "redis.call('MGET', 'now:s', 'now:us')",
        );
        assert!(
            !text.contains("TIME'"),
            "a script reads the clock in another way"
        );
    }
    scripts
}
