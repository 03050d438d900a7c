//! The page of what nodes recorded: it holds every step, and marks where a trace is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tradewire-sim"))
        .args(args)
        .output()
        .unwrap()
}

/// A directory of this test's own, with what the nodes of a small run recorded.
fn recorded(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&dir);
    let run = ["run", "--scenario", "small", "--seed", "1", "--brief"];
    let ran = sim(&[&run[..], &["--record", dir.to_str().unwrap()]].concat());
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    dir
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "trace"))
        .collect();
    files.sort();
    files
}

/// What the page of a trace is told, the exit code, and what was said.
fn page(trace: &Path) -> (Value, Option<i32>, String) {
    let out = trace.with_extension("html");
    let made = sim(&[
        "report",
        trace.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    let said = String::from_utf8(made.stdout).unwrap();
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.len() < 10_000_000);
    let data = page.split("type=\"application/json\">").nth(1).unwrap();
    let data = data.split("</script>").next().unwrap();
    (
        serde_json::from_str(data).unwrap(),
        made.status.code(),
        said,
    )
}

fn steps(data: &Value) -> Vec<&Value> {
    let steps = data["steps"].as_array().unwrap().iter();
    steps
        .filter(|step| step["x"].as_str().unwrap().starts_with('#'))
        .collect()
}

/// How a step left someone: the last that was said of it.
fn how<'a>(data: &'a Value, of: &str, what: &str) -> Option<&'a str> {
    let steps = data["steps"].as_array().unwrap().iter().rev();
    steps
        .filter_map(|step| step["d"].as_array())
        .flat_map(|changes| changes.iter().rev())
        .find(|change| change[0] == of && (change[1] == what || change[1] == ""))
        .and_then(|change| change[2].as_str())
}

#[test]
fn every_step_of_a_run_s_recordings_is_on_the_page_in_the_order_of_time() {
    let dir = recorded("report-all");
    let (data, code, said) = page(&dir);
    assert_eq!(code, Some(0), "{said}");
    let replayed = String::from_utf8(sim(&["replay", dir.to_str().unwrap()]).stdout).unwrap();
    let steps = steps(&data);
    assert!(steps.len() > 1_000);
    let count = format!("replayed {} steps", steps.len());
    assert!(replayed.contains(&count), "{count}: {replayed}");
    assert!(
        said.starts_with(&format!("{} steps of 3 lives", steps.len())),
        "{said}"
    );
    let times = data["steps"].as_array().unwrap().iter();
    assert!(times.map(|step| step["t"].as_u64()).is_sorted());
    assert_eq!(data["end"], Value::Null);
    let lanes = data["spans"].as_array().unwrap().iter();
    assert!(
        lanes
            .clone()
            .any(|span| span["lane"] == "node node0" && span["kind"] == "up")
    );
    assert!(
        lanes
            .clone()
            .any(|span| span["lane"] == "user u0" && span["kind"] == "in")
    );
    assert_eq!(
        how(&data, "node node0, life 3", "state"),
        Some("not known any more")
    );
}

#[test]
fn a_life_tells_how_a_connection_its_user_and_its_topics_stood() {
    let dir = recorded("report-life");
    let file = &segments(&dir)[0];
    let (data, code, said) = page(file);
    assert_eq!(code, Some(0), "{said}");
    let states = data["steps"].as_array().unwrap().iter();
    let states = states
        .filter_map(|step| step["d"].as_array())
        .flatten()
        .filter(|change| change[0] == "c0" && change[1] == "state")
        .map(|change| change[2].as_str().unwrap())
        .take(4);
    let states: Vec<&str> = states.collect();
    assert_eq!(
        states,
        ["shakes hands", "asks to be let in", "is let in", "in"]
    );
    let found = |of: &str, what: &str| {
        let steps = data["steps"].as_array().unwrap().iter();
        let mut changes = steps.filter_map(|step| step["d"].as_array()).flatten();
        let change = changes.find(|change| change[0] == of && change[1] == what);
        change.unwrap()[2].as_str().unwrap().to_owned()
    };
    assert_eq!(found("c0", "portfolio"), "subscribed");
    assert_eq!(found("c0", "watchlist"), "ES=F");
    assert_eq!(found("user u1", "c0"), "is let in");
    assert!(found("c0", "last trade").contains('-'));
    let latest = found("quote(AAPL)", "latest");
    assert!(latest.starts_with("value "), "{latest}");
    assert!(found("quote(AAPL)", "sent last").starts_with("value "));
    let shown = String::from_utf8(sim(&["show", file.to_str().unwrap()]).stdout).unwrap();
    let shown = shown.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(steps(&data).len(), shown);
}

#[test]
fn who_has_left_is_forgotten_and_nobody_is_drawn_over_another() {
    let dir = recorded("report-left");
    let mut forgotten = 0;
    for file in segments(&dir) {
        let (data, _, _) = page(&file);
        for step in steps(&data) {
            let decided = step["o"].as_array().map_or(&[][..], Vec::as_slice).iter();
            let decided = decided.map(|line| line.as_str().unwrap());
            for conn in decided.filter_map(|line| line.strip_prefix("forget ")) {
                let changes = step["d"].as_array().unwrap();
                assert!(
                    changes.contains(&serde_json::json!([conn, "", ""])),
                    "{step}"
                );
                forgotten += 1;
            }
        }
        // What is drawn in one lane does not overlap.
        let spans = data["spans"].as_array().unwrap().iter();
        let mut spans: Vec<(&str, u64, u64)> = spans
            .filter(|span| span["kind"] == "in")
            .map(|span| {
                let at = |end: &str| span[end].as_u64().unwrap();
                (span["lane"].as_str().unwrap(), at("from"), at("to"))
            })
            .collect();
        spans.sort_unstable();
        let lanes: Vec<&str> = spans.iter().map(|span| span.0).collect();
        assert!(lanes.contains(&"user u1"), "{lanes:?}");
        assert!(!lanes.iter().any(|lane| lane.ends_with("(6)")), "{lanes:?}");
        assert!(
            spans
                .windows(2)
                .all(|two| two[0].0 != two[1].0 || two[0].2 <= two[1].1)
        );
    }
    assert!(forgotten > 0, "somebody leaves");
}

#[test]
fn a_damaged_trace_is_marked_where_it_is_and_what_comes_before_is_shown() {
    let dir = recorded("report-damaged");
    let file = &segments(&dir)[0];
    let whole = steps(&page(file).0).len();
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
    let (data, code, said) = page(file);
    assert_eq!(code, Some(2));
    assert!(said.contains("damaged at byte"), "{said}");
    let shown = steps(&data).len();
    assert!(shown > whole / 2 && shown < whole, "{shown} of {whole}");
    assert_eq!(data["end"]["name"], "The trace cannot be read on");
    let marked = data["steps"].as_array().unwrap().iter();
    let marked: Vec<&Value> = marked.filter(|step| step["b"] == true).collect();
    assert_eq!(marked.len(), 1);
    assert!(marked[0]["x"].as_str().unwrap().contains("damaged at byte"));
    // In a directory the other lives are shown all the same.
    let (data, code, _) = page(&dir);
    assert_eq!(code, Some(2));
    assert!(steps(&data).len() > shown + 1_000);
}

#[test]
fn what_is_no_trace_makes_no_page() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-none.html");
    let out = out.to_str().unwrap();
    let made = sim(&["report", "/nowhere/at/all", "--out", out]);
    assert_eq!(made.status.code(), Some(2));
    assert!(!Path::new(out).exists());
    for args in [
        &["report", "--out", out][..],
        &["report", "x", "--seed", "1", "--out", out],
        &["report", "--seed", "1"],
    ] {
        assert_eq!(sim(args).status.code(), Some(2), "{args:?}");
    }
}
