//! When a job runs by itself: a line as in crontab(5), with a time zone.

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};

/// Five fields and a time zone, UTC when there is none: `30 3 * * MON-FRI Europe/Zurich`.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    crontab: Crontab,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Schedule {
    /// Reads the line.
    ///
    /// # Errors
    /// One line on what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = cronexpr::parse_crontab_with(text, options).map_err(|error| {
            let error = error.to_string();
            format!(
                "'{}' is no schedule ({}); accepted is MINUTE HOUR DAY MONTH WEEKDAY [TIMEZONE], as in '30 3 * * * Europe/Zurich'",
                volume_labels::cleaned(text),
                error.lines().next().unwrap_or_default()
            )
        })?;
        Ok(Self {
            text: text.to_owned(),
            crontab,
        })
    }

    /// The line as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first time after `now`, both in milliseconds since the epoch; `None` for a time that never comes.
    pub fn next(&self, now: u64) -> Option<u64> {
        let now = MakeTimestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
        let next = self.crontab.find_next(now).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }
}
