//! Durations as Mesos writes them in flags, environment variables and JSON: `5secs`, `1.5mins`.
//!
//! The syntax is that of `Duration::parse` in Mesos' stout library: a number, which may have a
//! fraction, and a unit. The short units `s`, `m` and `h` and a blank before the unit are accepted
//! as well, since people write them.
#![forbid(unsafe_code)]

use std::time::Duration;

/// The accepted units and their length in nanoseconds. The first eight are those of Mesos.
const UNITS: [(&str, f64); 14] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("ms", 1e6),
    ("secs", 1e9),
    ("mins", 60e9),
    ("hrs", 3600e9),
    ("days", 24.0 * 3600e9),
    ("weeks", 7.0 * 24.0 * 3600e9),
    ("sec", 1e9),
    ("s", 1e9),
    ("min", 60e9),
    ("m", 60e9),
    ("hr", 3600e9),
    ("h", 3600e9),
];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a duration: expected a number and one of the units ns, us, ms, secs, mins, hrs, days or weeks, such as 5secs or 1.5mins"
)]
pub struct DurationError {
    text: String,
}

/// Reads a duration. Negative durations are refused: no setting has a use for one.
///
/// # Errors
/// [`DurationError`] for any other text, and for a duration that does not fit into 63 bits of
/// nanoseconds, the range of Mesos' own type.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError { text: text.to_owned() };
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(error)?;
    let (number, unit) = trimmed.split_at(end);
    let number: f64 = number.parse().map_err(|_| error())?;
    let (_, length) = UNITS
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
        .ok_or_else(error)?;
    let nanoseconds = (number * length).round();
    if !(0.0..=i64::MAX as f64).contains(&nanoseconds) {
        return Err(error());
    }
    Ok(Duration::from_nanos(nanoseconds as u64))
}

/// Writes a duration so that Mesos reads back the same one, in the largest unit that needs no
/// fraction: `90secs`, `1500ms`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let units = [("secs", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    let fitting = units.iter().find(|(_, length)| nanoseconds.is_multiple_of(*length));
    match fitting {
        Some((unit, length)) => format!("{}{unit}", nanoseconds / length),
        None => format!("{nanoseconds}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_mesos_and_every_short_unit_is_read() {
        let cases = [
            ("7ns", Duration::from_nanos(7)),
            ("7us", Duration::from_micros(7)),
            ("100ms", Duration::from_millis(100)),
            ("12.5ms", Duration::from_micros(12_500)),
            ("5secs", Duration::from_secs(5)),
            ("5sec", Duration::from_secs(5)),
            ("5s", Duration::from_secs(5)),
            ("15mins", Duration::from_secs(15 * 60)),
            ("15min", Duration::from_secs(15 * 60)),
            ("15m", Duration::from_secs(15 * 60)),
            ("2hrs", Duration::from_secs(7200)),
            ("2hr", Duration::from_secs(7200)),
            ("2h", Duration::from_secs(7200)),
            ("1days", Duration::from_secs(86_400)),
            ("2weeks", Duration::from_secs(14 * 86_400)),
            ("1.5mins", Duration::from_secs(90)),
            ("0ns", Duration::ZERO),
            ("5 secs", Duration::from_secs(5)),
            (" 5secs ", Duration::from_secs(5)),
        ];
        for (text, duration) in cases {
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_refused_and_quoted() {
        let texts = [
            "",
            "5",
            "secs",
            "-1secs",
            "1e3secs",
            "1..5secs",
            "1.2.3secs",
            "5 years",
            "soon",
            "99999999999weeks",
            "9e99hrs",
        ];
        for text in texts {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }

    #[test]
    fn a_formatted_duration_is_read_back_as_the_same() {
        let cases = [
            (Duration::from_secs(90), "90secs"),
            (Duration::from_millis(1500), "1500ms"),
            (Duration::from_micros(7), "7us"),
            (Duration::from_nanos(1_000_000_001), "1000000001ns"),
            (Duration::ZERO, "0secs"),
        ];
        for (duration, text) in cases {
            assert_eq!(format(duration), text);
            assert_eq!(parse(text), Ok(duration));
        }
    }
}
