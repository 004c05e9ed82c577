//! The isolator's `tracing` events, in the agent's own log.
//!
//! One event is one line: the message, then its fields as `name=value`. What drivers and labels say
//! is quoted in fields, so control characters are replaced: no text from outside can add a line to
//! the agent's log.

use std::fmt::{self, Write};
use std::sync::OnceLock;

use cxx::UniquePtr;
use isolator::{ConfigError, ParameterProblem};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{ffi, guard};

/// The module parameter that the log itself uses up.
pub(crate) const PARAMETER: &str = "log_level";

/// Reads `log_level` and takes it out of the parameters.
///
/// # Errors
/// As for every parameter: when its value is not accepted, and when it is given twice.
pub(crate) fn take_level(parameters: &mut Vec<(String, String)>) -> Result<LevelFilter, ConfigError> {
    let given: Vec<String> = parameters
        .extract_if(.., |(key, _)| key == PARAMETER)
        .map(|(_, value)| value)
        .collect();
    let refused = |value: &str, problem: ParameterProblem| ConfigError::Value {
        key: PARAMETER.to_owned(),
        value: value.chars().take(200).collect(),
        problem: Box::new(problem),
        accepted: "error, warn, info (the default), debug or trace",
    };
    match given.as_slice() {
        [] => Ok(LevelFilter::INFO),
        [value] => match value.as_str() {
            "error" => Ok(LevelFilter::ERROR),
            "warn" => Ok(LevelFilter::WARN),
            "info" => Ok(LevelFilter::INFO),
            "debug" => Ok(LevelFilter::DEBUG),
            "trace" => Ok(LevelFilter::TRACE),
            _ => Err(refused(value, ParameterProblem::NoLevel)),
        },
        [.., last] => Err(refused(last, ParameterProblem::GivenTwice)),
    }
}

/// The log of the process this library is loaded in.
static HOST: OnceLock<UniquePtr<ffi::Log>> = OnceLock::new();

/// Sends every event of this library to `log` from now on, panics included. A second module in one
/// process (Mesos' in-process test cluster) keeps the first one's log and level.
pub(crate) fn install(level: LevelFilter, log: UniquePtr<ffi::Log>) {
    if HOST.set(log).is_ok() && tracing::subscriber::set_global_default(Sink(level)).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let (file, line) = panic
                .location()
                .map_or(("unknown", 0), |place| (place.file(), place.line()));
            write(
                Level::ERROR,
                file,
                line,
                &format!("panic: {}", guard::words(panic.payload())),
            );
        }));
    }
}

fn write(level: Level, file: &str, line: u32, text: &str) {
    let severity = match level {
        Level::ERROR => 2,
        Level::WARN => 1,
        _ => 0,
    };
    if let Some(log) = HOST.get().and_then(UniquePtr::as_ref) {
        log.write(severity, file, line, &guard::flat(text));
    }
}

/// Writes events, each on its own: spans add nothing to a line, an event carries its own fields.
struct Sink(LevelFilter);

impl Subscriber for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let file = metadata.file().unwrap_or_else(|| metadata.target());
        write(
            *metadata.level(),
            file,
            metadata.line().unwrap_or_default(),
            &line(event),
        );
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn line(event: &Event<'_>) -> String {
    let mut line = Line::default();
    event.record(&mut line);
    line.message + &line.fields
}

/// The parts of a line while the fields of an event come in.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        self.fields.push(' ');
        self.fields.push_str(field.name());
        self.fields.push('=');
        // A value is quoted when a reader could not see where it ends. A bracket or a quote at its
        // beginning shows that already.
        if value.is_empty() || (value.contains([' ', '"', '=']) && !value.starts_with(['"', '[', '{', '('])) {
            // Writing to a String cannot fail.
            let _ = write!(self.fields, "{value:?}");
        } else {
            self.fields.push_str(value);
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &guard::one_line(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps the lines of one thread's events.
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(guard::flat(&line(event)));
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn logged(events: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Lines(lines.clone()), events);
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn an_event_is_its_message_and_its_fields() {
        let lines = logged(|| tracing::info!(volume = "vol-1", users = 2, took = ?[1, 2], "Mounted the volume"));
        assert_eq!(lines, ["Mounted the volume volume=vol-1 users=2 took=[1, 2]"]);
    }

    #[test]
    fn a_value_with_blanks_is_quoted() {
        let shown = format_args!("no such volume");
        let lines = logged(|| tracing::warn!(answer = "not here", %shown, debug = ?"a b", empty = "", "Refused"));
        assert_eq!(
            lines,
            [r#"Refused answer="not here" shown="no such volume" debug="a b" empty="""#]
        );
    }

    #[test]
    fn a_driver_cannot_write_lines_of_its_own() {
        let words = "gone\nE0101 slave.cpp:1] all is lost\u{1b}[31m";
        let lines = logged(|| tracing::error!(%words, "{words}"));
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains(char::is_control), "{lines:?}");
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn the_log_level_is_taken_out_of_the_parameters() {
        let mut parameters = vec![pair("log_level", "debug"), pair("state_dir", "/s")];
        assert_eq!(take_level(&mut parameters).unwrap(), LevelFilter::DEBUG);
        assert_eq!(parameters, [pair("state_dir", "/s")]);
        assert_eq!(take_level(&mut parameters).unwrap(), LevelFilter::INFO);
    }

    #[test]
    fn a_log_level_that_is_none_or_given_twice_is_refused() {
        assert_eq!(
            take_level(&mut vec![pair("log_level", "loud")])
                .unwrap_err()
                .to_string(),
            "module parameter 'log_level' = 'loud': there is no such level; \
             accepted: error, warn, info (the default), debug or trace"
        );
        let twice = take_level(&mut vec![pair("log_level", "info"), pair("log_level", "info")]);
        assert!(twice.unwrap_err().to_string().contains("given twice"));
    }
}
