//! A run as one HTML file that needs nothing else: what happened when, step by step, and how whoever one
//! asks about stood then.
//!
//! Whatever is shown comes from a [`Recording`]; nothing here runs anything. Texts reach the page as data,
//! never as markup: who chose a name must not write the page.

mod observed;
mod recording;

pub use recording::{Changes, Recording, Step};

use serde::Serialize;

use crate::swarm::Failure;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const CODE: &str = include_str!("page.js");

/// How a run ended badly.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// Which promise was broken, or what else is wrong.
    pub name: String,
    /// When, in milliseconds.
    pub at: u64,
    /// What happened.
    pub words: String,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stuck(violation) | Failure::Violated(violation) => Self {
                name: format!("{:?} is broken", violation.guarantee),
                at: violation.at,
                words: violation.facts,
            },
            Failure::Crashed(text) | Failure::Told { text, .. } => Self {
                name: "it crashed".to_owned(),
                at: u64::MAX,
                words: text,
            },
        }
    }
}

/// What a page says of the whole run.
#[derive(Debug, Serialize)]
pub struct Head {
    /// What it is.
    pub words: String,
    /// The command that tells it again.
    pub again: String,
    /// Whether a node recorded it, so that its steps are marked, and not faults and acts.
    pub is_recorded: bool,
    /// How it ended, if not well.
    pub end: Option<End>,
    /// What is said otherwise.
    pub well: String,
    /// When it begins and ends, in milliseconds.
    pub from: u64,
    /// As above.
    pub lasts: u64,
}

/// All that a page knows.
#[derive(Debug, Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    head: &'a Head,
    #[serde(flatten)]
    recording: &'a Recording,
}

/// Makes the page of a run.
///
/// # Errors
/// When it cannot be written as JSON, which a recording always can.
pub fn page(mut recording: Recording, mut head: Head) -> Result<String, serde_json::Error> {
    recording.finish(head.lasts);
    if let Some(end) = &mut head.end {
        end.at = end.at.min(head.lasts);
    }
    let data = serde_json::to_string(&Data {
        head: &head,
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

    fn head(words: &str, lasts: u64) -> Head {
        Head {
            words: words.to_owned(),
            again: words.to_owned(),
            is_recorded: false,
            end: None,
            well: String::new(),
            from: 0,
            lasts,
        }
    }

    #[test]
    fn hostile_words_stay_data() {
        let mut recording = Recording::default();
        recording.words(1, "</script><script>alert(1)</script><!--".to_owned());
        let hostile = "</script><img onerror=alert(1)>";
        let page = page(recording, head(hostile, 2)).unwrap();
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
        let page = page(recording, head("w", 10_000)).unwrap();
        assert!(page.len() < 10_000_000, "{} bytes", page.len());
        assert!(page.contains(r#""begin":{"n0":{"place":"place 0","state":"up"}}"#));
        assert!(!page.contains(r#""left_out":0"#));
    }
    #[test]
    fn the_state_in_which_a_page_begins_is_bounded_and_forgets() {
        let mut recording = Recording::default();
        for number in 0..40_000_u64 {
            let mut changes = Changes::default();
            changes.set(&format_args!("c{number}"), "state", "in");
            if number < 10 {
                changes.forget(&format_args!("c{number}"));
            }
            recording.push(Step {
                t: number,
                k: "told",
                x: "x".repeat(2_000),
                d: changes,
                ..Step::default()
            });
        }
        let page = page(recording, head("w", 40_000)).unwrap();
        assert!(page.len() < 10_000_000, "{} bytes", page.len());
        assert!(page.contains(r#""begin":{"c10":{"state":"in"}"#));
        assert!(page.contains(r#""begin_is_full":true"#));
    }
}
