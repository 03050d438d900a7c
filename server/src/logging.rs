//! How log lines look and where they go: standard output, one event a line.
//!
//! Containers collect standard output, and operators grep it, so nothing else is written there. This
//! sets the process's logging up once; it never decides what is worth a line. Text fields are escaped
//! in both formats; who writes a message keeps line breaks out of it.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What is logged when nothing else is asked for.
pub const DEFAULT_FILTER: &str = "info";

/// How one log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object: `timestamp`, `level`, `target`, `message`, and the event's fields beside them.
    Json,
    /// For people: time, level, message, then the event's fields as `name=value`.
    Pretty,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one: the operator's.
    #[error("the log filter cannot be read")]
    Filter(#[from] ParseError),
    /// Logging was set up before: the caller's.
    #[error("logging was set up before")]
    Twice(#[from] TryInitError),
}

/// Sends every event that passes `filter` to standard output from now on.
///
/// Without a `format`, a terminal gets [`LogFormat::Pretty`] and anything else [`LogFormat::Json`].
/// Colours are only for a terminal.
///
/// # Errors
/// When the filter cannot be read, or the process logs already.
pub fn init(format: Option<LogFormat>, filter: &str) -> Result<(), LoggingError> {
    let terminal = io::stdout().is_terminal();
    let by_place = if terminal {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    };
    let filter = read_filter(filter)?;
    match format.unwrap_or(by_place) {
        LogFormat::Json => json(filter, io::stdout).try_init()?,
        LogFormat::Pretty => pretty(filter, terminal, io::stdout).try_init()?,
    }
    Ok(())
}

/// Whether [`init`] will take this filter.
#[must_use]
pub fn is_filter(text: &str) -> bool {
    read_filter(text).is_ok()
}

fn read_filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(text)
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // A reader that is gone must not end the server, which a complaint about it would.
        .log_internal_errors(false)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .finish()
}

fn pretty<W>(filter: EnvFilter, ansi: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .log_internal_errors(false)
        .compact()
        .with_ansi(ansi)
        .with_target(false)
        .finish()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    /// What was written, shared with the subscriber that writes it.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn json_lines(filter: &str, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        with_default(
            json(read_filter(filter).unwrap(), move || writer.clone()),
            log,
        );
        written.text()
    }

    fn pretty_lines(ansi: bool, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let filter = read_filter(DEFAULT_FILTER).unwrap();
        with_default(pretty(filter, ansi, move || writer.clone()), log);
        written.text()
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields_at_the_top() {
        let lines = json_lines(DEFAULT_FILTER, || {
            let _span = tracing::info_span!("publish", id = 1).entered();
            tracing::warn!(user = "u-1", bytes = 12, "WebSocket\nclosed");
        });
        assert_eq!(lines.lines().count(), 1);
        let line: serde_json::Map<_, _> = serde_json::from_str(&lines).unwrap();
        let mut names: Vec<_> = line.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["bytes", "level", "message", "target", "timestamp", "user"]
        );
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "WebSocket\nclosed");
        assert_eq!(line["user"], "u-1");
        assert_eq!(line["bytes"], 12);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_pretty_line_reads_as_a_sentence_with_its_fields_behind() {
        let line = pretty_lines(false, || {
            tracing::info!(bytes = 12, "WebSocket connected: abc123 (User: user-456)");
        });
        let end = " INFO WebSocket connected: abc123 (User: user-456) bytes=12\n";
        assert!(line.ends_with(end), "{line:?}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn colours_are_only_for_a_terminal() {
        let log = || tracing::info!("hello");
        assert!(!pretty_lines(false, log).contains('\u{1b}'));
        assert!(pretty_lines(true, log).contains('\u{1b}'));
        assert!(!json_lines(DEFAULT_FILTER, log).contains('\u{1b}'));
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let log = || {
            tracing::debug!("quiet");
            tracing::info!("usual");
            tracing::error!("loud");
        };
        assert_eq!(json_lines(DEFAULT_FILTER, log).lines().count(), 2);
        assert_eq!(json_lines("debug", log).lines().count(), 3);
        assert_eq!(json_lines("off", log), "");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_known_before_logging_begins() {
        for good in [
            DEFAULT_FILTER,
            "debug",
            "warn,tradewire_server=debug",
            "off",
        ] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["info,tradewire=loud", "a=b=c", "[", "info,,=x"] {
            assert!(!is_filter(bad), "{bad}");
            assert!(
                matches!(init(None, bad), Err(LoggingError::Filter(_))),
                "{bad}"
            );
        }
    }
}
