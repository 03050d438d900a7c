//! A run as one HTML file that needs nothing else: what happened when, step by step, and how whoever one
//! asks about stood then.
//!
//! Whatever is shown comes from a [`Recording`]; nothing here runs anything. Texts reach the page as data,
//! never as markup: who chose a name must not write the page.

mod recording;

pub use recording::Recording;

use serde::Serialize;

use crate::swarm::Failure;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const CODE: &str = include_str!("page.js");

/// How a run ended.
#[derive(Debug, Serialize)]
struct End {
    /// Which promise was broken.
    name: String,
    /// When, in milliseconds.
    at: u64,
    /// What happened.
    words: String,
}

/// All that a page knows.
#[derive(Debug, Serialize)]
struct Data<'a> {
    words: &'a str,
    again: &'a str,
    end: Option<End>,
    lasts: u64,
    #[serde(flatten)]
    recording: &'a Recording,
}

/// Makes the page of a run that took `lasts` simulated milliseconds; `again` is the command that makes it.
///
/// # Errors
/// When it cannot be written as JSON, which a recording always can.
pub fn page(
    mut recording: Recording,
    words: &str,
    again: &str,
    verdict: Result<(), Failure>,
    lasts: u64,
) -> Result<String, serde_json::Error> {
    recording.finish(lasts);
    let end = verdict.err().map(|failure| match failure {
        Failure::Stuck(violation) | Failure::Violated(violation) => End {
            name: format!("{:?}", violation.guarantee),
            at: violation.at,
            words: violation.facts,
        },
        Failure::Crashed(text) | Failure::Told { text, .. } => End {
            name: "a crash".to_owned(),
            at: lasts,
            words: text,
        },
    });
    let data = serde_json::to_string(&Data {
        words,
        again,
        end,
        lasts,
        recording: &recording,
    })?;
    // Nothing in the data can end the element that it stands in.
    let data = data.replace('<', "\\u003c");
    let page = PAGE.replacen("/*STYLE*/", STYLE, 1);
    let page = page.replacen("/*CODE*/", CODE, 1);
    Ok(page.replacen("/*DATA*/", &data, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_stay_data() {
        let mut recording = Recording::default();
        recording.words(1, "</script><script>alert(1)</script><!--".to_owned());
        let hostile = "</script><img onerror=alert(1)>";
        let page = page(recording, hostile, hostile, Ok(()), 2).unwrap();
        assert_eq!(
            page.matches("</script>").count(),
            2,
            "one of the data, one of the code"
        );
        assert!(!page.contains("<img") && !page.contains("alert(1)</"));
    }

    #[test]
    fn a_long_run_keeps_its_end_and_how_it_stood_before() {
        use crate::oracle::{Node, Observation};
        let mut recording = Recording::default();
        recording.starts(0, Node(0));
        recording.seen(0, &Observation::NodeStarted(Node(0)));
        for at in 0..10_000 {
            recording.words(at, "x".repeat(2_000));
        }
        let page = page(recording, "w", "a", Ok(()), 10_000).unwrap();
        assert!(page.len() < 10_000_000, "{} bytes", page.len());
        assert!(page.contains(r#""begin":{"n0":{"place":"place 0","state":"up"}}"#));
        assert!(!page.contains(r#""left_out":0"#));
    }
}
