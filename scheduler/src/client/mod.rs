//! Commands that ask a running `scheduler serve`: `job`, `run ls|show|explain|cancel|logs` and `volume`.
//!
//! They speak to its HTTP API (SERVICE.md) with the same names, and print a table, or with `--json`
//! the response as it is.

mod connection;
mod jobs;
mod runs;
mod volumes;

pub(crate) use jobs::{JobCommand, job};
pub(crate) use runs::{RunOr, run};
pub(crate) use volumes::{VolumeCommand, volume};

use jiff::Timestamp;
use serde_json::Value;

/// A time of the API, in milliseconds since the epoch, as UTC; `-` when there is none.
fn time(value: &Value) -> String {
    let millis = value.as_i64();
    let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The time between two times of the API, up to now when the second one is missing, in seconds.
fn took(from: &Value, to: &Value) -> String {
    let Some(from) = from.as_i64() else {
        return "-".to_owned();
    };
    let to = to.as_i64().unwrap_or_else(|| Timestamp::now().as_millisecond());
    let seconds = (to - from).max(0) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A text of the API, on one line; `-` when there is none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => foreign_text::escaped(text),
        other => foreign_text::escaped(&other.to_string()),
    }
}

/// The members of an array of the API.
fn members<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// The first row of a table.
fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_utc_and_durations_have_the_two_largest_units() {
        assert_eq!(time(&json!(0)), "1970-01-01 00:00:00");
        assert_eq!(time(&Value::Null), "-");
        assert_eq!(took(&json!(0), &json!(59_999)), "59 s");
        assert_eq!(took(&json!(0), &json!(61_000)), "1 min 1 s");
        assert_eq!(took(&json!(0), &json!(7_380_000)), "2 h 3 min");
        assert_eq!(took(&json!(5_000), &json!(1_000)), "0 s");
        assert_eq!(took(&Value::Null, &json!(1_000)), "-");
    }

    #[test]
    fn text_of_others_stays_on_its_line() {
        assert_eq!(text(&json!("a\nb")), "a\\nb");
        assert_eq!(text(&json!("")), "-");
    }
}
