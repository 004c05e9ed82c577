//! When a job runs by itself: a line as in crontab(5), with a time zone.
//!
//! `croner` reads the fields and finds the times. What is here says what is wrong with a line in
//! words that name the field, refuses lines that mean nothing, and decides what happens when the
//! clock changes.
//!
//! Vixie's cron makes that decision by the first character of MINUTE and HOUR (`MIN_STAR` and
//! `HR_STAR` in its `entry.c` and `cron.c`), and so does this: a line with a `*` there follows the
//! clock, and every other line names fixed times, also by a range or a list. A fixed time comes
//! once: when the clock skips it, as soon as the clock has moved on, and when the clock shows it
//! twice, the first time.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};
use thiserror::Error;

/// What is accepted, at the end of each message about the shape of the line.
const ACCEPTED: &str = "accepted is MINUTE HOUR DAY MONTH WEEKDAY [TIMEZONE], as in '30 3 * * MON-FRI Europe/Zurich', \
                        or @hourly, @daily, @weekly, @monthly or @yearly in the place of the five fields";
/// The zone of a line without one.
const UTC: &str = "UTC";
/// crontab(5) without `@reboot`.
const NICKNAMES: &[(&str, [&str; 5])] = &[
    ("@hourly", ["0", "*", "*", "*", "*"]),
    ("@daily", ["0", "0", "*", "*", "*"]),
    ("@midnight", ["0", "0", "*", "*", "*"]),
    ("@weekly", ["0", "0", "*", "*", "0"]),
    ("@monthly", ["0", "0", "1", "*", "*"]),
    ("@yearly", ["0", "0", "1", "1", "*"]),
    ("@annually", ["0", "0", "1", "1", "*"]),
];

/// Five fields, or a nickname for them, and a time zone, UTC when there is none: `30 3 * * MON-FRI Europe/Zurich`.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: TimeZone,
    /// Whether neither MINUTE nor HOUR begins with `*`.
    has_fixed_times: bool,
}

/// What is wrong with a line. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Not five fields, with a time zone or without.
    #[error("'{text}' is no schedule: it has {found}; {ACCEPTED}")]
    Fields {
        /// The schedule as the job file has it.
        text: String,
        /// What it has instead.
        found: String,
    },
    /// One of the fields is wrong.
    #[error("'{text}' is no schedule: {name} is '{value}': {cause}")]
    Field {
        /// The schedule as the job file has it.
        text: String,
        /// The field's name.
        name: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it, and what is accepted.
        cause: String,
    },
    /// There is no such nickname.
    #[error("'{text}' is no schedule: '{nickname}' is not known; {ACCEPTED}")]
    Nickname {
        /// The schedule as the job file has it.
        text: String,
        /// The word that begins with `@`.
        nickname: String,
    },
    /// There is no such time zone.
    #[error("'{text}' is no schedule: {cause}")]
    Zone {
        /// The schedule as the job file has it.
        text: String,
        /// What is wrong with the zone, and what is accepted.
        cause: String,
    },
    /// No day is in all of its fields.
    #[error("'{text}' is a schedule that never occurs: no month that it names has such a day")]
    Never {
        /// The schedule as the job file has it.
        text: String,
    },
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
    /// The line is none, its zone is not known here, or it names no time at all.
    pub fn parse(line: &str) -> Result<Self, ScheduleError> {
        let text = volume_labels::cleaned(line).to_string();
        let (fields, zone) = split(&text, line)?;
        let zone = time_zone(zone, &text)?;
        for (field, value) in FIELDS.iter().zip(fields) {
            if let Err(cause) = field.check(value) {
                return Err(ScheduleError::Field {
                    text,
                    name: field.name,
                    value: value.to_owned(),
                    cause,
                });
            }
        }
        let cron = cron(fields).map_err(|error| ScheduleError::Fields {
            text: text.clone(),
            found: format!("fields that do not go together ({error})"),
        })?;
        // The fields alone decide whether there is a time: a year that has it comes within the next eight.
        let start = Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC);
        if cron.find_next_occurrence(&start, false).is_err() {
            return Err(ScheduleError::Never { text });
        }
        Ok(Self {
            text: line.to_owned(),
            cron,
            zone,
            has_fixed_times: !fields[..2].iter().any(|field| field.starts_with('*')),
        })
    }

    /// The line as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first time after `now`, both in milliseconds since the epoch; `None` for a time that never comes.
    pub fn next(&self, now: u64) -> Option<u64> {
        let next = self.next_zoned(now)?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }

    /// The same as a date with its time zone.
    pub fn next_zoned(&self, now: u64) -> Option<Zoned> {
        let now = Timestamp::from_millisecond(i64::try_from(now).ok()?).ok()?;
        let now = now.to_zoned(self.zone.clone());
        match self.has_fixed_times {
            true => self.next_fixed(&now),
            false => self.cron.find_next_occurrence(&now, false).ok(),
        }
    }

    /// Goes through what a clock without changes shows at the times of the schedule, until one of
    /// them is still to come.
    fn next_fixed(&self, now: &Zoned) -> Option<Zoned> {
        let mut shown = now.datetime();
        loop {
            shown = self.cron.find_next_occurrence(&shown, false).ok()?;
            let time = self.comes_at(shown)?;
            if time > *now {
                return Some(time);
            }
        }
    }

    /// When a fixed time comes: the first time that the clock shows it, or the end of the gap when
    /// the clock skips it, be it an hour or a whole day.
    fn comes_at(&self, shown: DateTime) -> Option<Zoned> {
        let ambiguous = self.zone.to_ambiguous_zoned(shown);
        let AmbiguousOffset::Gap { after, .. } = ambiguous.offset() else {
            return ambiguous.earlier().ok();
        };
        // By the offset after the gap, what it skips lies before its end, which is the next change
        // to that offset.
        let before_its_end = after.to_timestamp(shown).ok()?;
        let end = self
            .zone
            .following(before_its_end)
            .find(|change| change.offset() == after)?;
        Some(end.timestamp().to_zoned(self.zone.clone()))
    }
}

/// The five fields and the time zone of a line.
fn split<'a>(text: &str, line: &'a str) -> Result<([&'a str; 5], &'a str), ScheduleError> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let wrong = |found: String| ScheduleError::Fields {
        text: text.to_owned(),
        found,
    };
    if let Some(nickname) = words.first().filter(|word| word.starts_with('@')) {
        let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(nickname));
        let Some((_, fields)) = known else {
            return Err(ScheduleError::Nickname {
                text: text.to_owned(),
                nickname: volume_labels::cleaned(nickname).to_string(),
            });
        };
        return match words[1..] {
            [] => Ok((*fields, UTC)),
            [zone] => Ok((*fields, zone)),
            _ => Err(wrong("more than a time zone behind its nickname".to_owned())),
        };
    }
    match words[..] {
        [minute, hour, day, month, weekday] => Ok(([minute, hour, day, month, weekday], UTC)),
        [.., last] if words.len() == 6 && FIELDS[4].check(last).is_ok() => Err(wrong(
            "six fields, as lines with seconds have, and a job begins at full minutes only".to_owned(),
        )),
        [minute, hour, day, month, weekday, zone] => Ok(([minute, hour, day, month, weekday], zone)),
        _ => Err(wrong(match words.len() {
            1 => "one field".to_owned(),
            count => format!("{count} fields"),
        })),
    }
}

fn time_zone(name: &str, text: &str) -> Result<TimeZone, ScheduleError> {
    let parser = jiff::fmt::temporal::DateTimeParser::new();
    if name.eq_ignore_ascii_case(UTC) {
        return Ok(TimeZone::UTC);
    }
    parser.parse_time_zone(name).map_err(|_| {
        let shown = volume_labels::cleaned(name);
        let cause = match jiff::tz::db().available().next() {
            Some(_) => format!("'{shown}' is no time zone; accepted is a name such as Europe/Zurich, or UTC"),
            None => format!(
                "the time zone '{shown}' cannot be looked up, since this host has no time zone database; install the \
                 package tzdata, or leave the zone out for UTC"
            ),
        };
        ScheduleError::Zone {
            text: text.to_owned(),
            cause,
        }
    })
}

/// As Vixie's cron: a day has to be in both day fields when one of them begins with `*`, else in one of them.
fn cron(fields: [&str; 5]) -> Result<Cron, croner::errors::CronError> {
    let begins_with_star = |field: &str| field.starts_with(['*', '?']);
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .dom_and_dow(begins_with_star(fields[2]) || begins_with_star(fields[4]))
        .sloppy_ranges(true)
        .build()
        .parse(&fields.join(" "))
}

/// What may stand in one of the five fields.
struct Field {
    name: &'static str,
    /// Its place among the five.
    place: usize,
    least: u32,
    most: u32,
    /// Names, of which the first stands for `least`.
    names: &'static [&'static str],
    /// In words: what else is accepted.
    special: &'static str,
    /// The characters of that.
    characters: &'static str,
}

const FIELDS: [Field; 5] = [
    Field {
        name: "MINUTE",
        place: 0,
        least: 0,
        most: 59,
        names: &[],
        special: "",
        characters: "",
    },
    Field {
        name: "HOUR",
        place: 1,
        least: 0,
        most: 23,
        names: &[],
        special: "",
        characters: "",
    },
    Field {
        name: "DAY",
        place: 2,
        least: 1,
        most: 31,
        names: &[],
        special: ", L for the last day, LW for the last day from Monday to Friday, 15W for such a day nearest to the 15th",
        characters: "LW?",
    },
    Field {
        name: "MONTH",
        place: 3,
        least: 1,
        most: 12,
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        special: ", JAN to DEC",
        characters: "",
    },
    Field {
        name: "WEEKDAY",
        place: 4,
        least: 0,
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        special: " (0 and 7 are Sunday), SUN to SAT, FRI#2 for the second Friday, 5L for the last Friday",
        characters: "L#?",
    },
];

impl Field {
    /// # Errors
    /// What is wrong with the value, and what is accepted.
    fn check(&self, value: &str) -> Result<(), String> {
        for item in value.split(',') {
            self.check_item(item)
                .map_err(|cause| format!("{cause}; accepted is {}", self.accepted()))?;
        }
        let mut alone = ["*"; 5];
        alone[self.place] = value;
        match cron(alone) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("this is not understood; accepted is {}", self.accepted())),
        }
    }

    fn check_item(&self, item: &str) -> Result<(), String> {
        let shown = volume_labels::cleaned(item);
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        if let Some(step) = step {
            let number = step.parse().ok().filter(|number| (1..=self.most).contains(number));
            if number.is_none() || range.is_empty() {
                return Err(format!("'{shown}' is no step of 1 to {}", self.most));
            }
        }
        let value = |text: &str| -> Result<u32, String> {
            let name = self
                .names
                .iter()
                .zip(self.least..)
                .find(|(name, _)| name.eq_ignore_ascii_case(text));
            let number = name.map(|(_, number)| number).or_else(|| text.parse().ok());
            let number = number.ok_or_else(|| format!("'{shown}' is not understood"))?;
            match (self.least..=self.most).contains(&number) {
                true => Ok(number),
                false => Err(format!("{number} is not between {} and {}", self.least, self.most)),
            }
        };
        if range == "*" || range.contains(|c: char| self.characters.contains(c.to_ascii_uppercase())) && step.is_none()
        {
            return Ok(());
        }
        match range.split_once('-') {
            None => value(range).map(drop),
            Some((first, last)) => match (value(first)?, value(last)?) {
                (first, last) if first <= last => Ok(()),
                _ => Err(format!("the range '{shown}' goes backwards")),
            },
        }
    }

    fn accepted(&self) -> String {
        format!(
            "*, numbers from {} to {}, ranges such as {}-{}, steps such as */2, lists with commas{}",
            self.least,
            self.most,
            self.least + 1,
            self.least + 3,
            self.special
        )
    }
}
