//! The durations of Mesos flags and environment variables: `5secs`, `15mins`, `0.5hrs`.

use std::time::Duration;

/// The units Mesos knows, with their length in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("ms", 1e6),
    ("secs", 1e9),
    ("mins", 60e9),
    ("hrs", 3600e9),
    ("days", 24.0 * 3600e9),
    ("weeks", 7.0 * 24.0 * 3600e9),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a Mesos duration: expected a number of ns, us, ms, secs, mins, hrs, days or weeks, such as 5secs or 1.5mins"
)]
pub struct DurationError {
    text: String,
}

/// Reads a duration in the syntax of Mesos.
///
/// A duration is a number, which may have a fraction, followed by one of `ns`, `us`, `ms`,
/// `secs`, `mins`, `hrs`, `days`, `weeks`. Negative durations are refused: no setting of the
/// executor API has a use for one.
///
/// # Errors
/// [`DurationError`] for any other text, and for what does not fit into 64 bits of nanoseconds
/// (the range of Mesos' own type).
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError { text: text.to_string() };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
    let (number, unit) = text.split_at(end);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_mesos_is_read() {
        let cases = [
            ("7ns", Duration::from_nanos(7)),
            ("7us", Duration::from_micros(7)),
            ("100ms", Duration::from_millis(100)),
            ("5secs", Duration::from_secs(5)),
            ("15mins", Duration::from_secs(15 * 60)),
            ("2hrs", Duration::from_secs(7200)),
            ("1days", Duration::from_secs(86400)),
            ("2weeks", Duration::from_secs(14 * 86400)),
            ("1.5mins", Duration::from_secs(90)),
            ("0ns", Duration::ZERO),
            ("5 secs", Duration::from_secs(5)),
        ];
        for (text, duration) in cases {
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_by_name() {
        for text in [
            "",
            "5",
            "secs",
            "5s",
            "-1secs",
            "1e3secs",
            "5secs ",
            "1..5secs",
            "99999999999weeks",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }
}
