//! How segments and steps read: a line each. A trace is anyone's, so nothing in it reaches the terminal as a
//! control character.

use std::fmt::Write as _;

use tradewire_engine::time::Timestamp;
use tradewire_engine::{Effect, Effects, Input};
use tradewire_trace::{Build, Ending, Trace};

/// The same in one line.
fn line_of(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

/// The text with its control characters escaped, but for the ends of lines.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' {
            plain.extend(char.escape_default());
        } else {
            plain.push(char);
        }
    }
    plain
}

/// What a segment says of itself.
pub(super) fn segment(trace: &Trace<'_>) -> String {
    let header = trace.header();
    let mut line = format!(
        "node {}, life {:016x} begun {}, segment {} of {}, version {}",
        header.node,
        header.config.instance,
        header.started,
        header.segment,
        header.begun,
        header.build.version
    );
    if header.masked {
        line.push_str(", without the texts of payloads");
    }
    if header.build.engine != Build::this().engine {
        let this = Build::this().engine;
        let _ = write!(
            line,
            "; it was recorded with engine {}, this is engine {this}, which may decide otherwise",
            header.build.engine
        );
    }
    if trace.lost() > 0 {
        let _ = write!(
            line,
            "; the disk was too slow: {} inputs before it were not recorded",
            trace.lost()
        );
    }
    line_of(&line)
}

/// How a segment ends.
pub(super) fn ending(ending: Option<Ending>) -> String {
    match ending {
        Some(Ending::Closed) => "closed".to_owned(),
        Some(Ending::Open) => "not closed: its node was killed, or still writes".to_owned(),
        Some(Ending::Torn { offset, bytes }) => {
            format!("torn: {bytes} bytes at byte {offset} are less than a block, and were cut off")
        }
        None => "not read to its end".to_owned(),
    }
}

/// What the engine is given.
pub(super) fn input(seq: u64, now: Timestamp, input: &Input) -> String {
    line_of(&format!("#{seq} {now} {input:?}"))
}

/// What it says.
pub(super) fn effects(effects: &Effects) -> String {
    let mut line = String::new();
    for effect in effects.list() {
        line.push_str(if line.is_empty() { " => " } else { " | " });
        // Writing to a text does not fail.
        let _ = if let Effect::Deliver {
            message,
            recipients,
        } = effect
        {
            let recipients = effects.recipients(recipients);
            write!(line, "Deliver {message:?} to {recipients:?}")
        } else {
            write!(line, "{effect:?}")
        };
    }
    line_of(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_trace_holds_cannot_write_to_the_terminal_but_text() {
        assert_eq!(line_of("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(plain("é\n\r"), "é\n\\r");
    }
}
