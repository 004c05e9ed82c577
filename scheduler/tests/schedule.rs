//! When a schedule comes, and what is said of one that is wrong.

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use scheduler::job::Schedule;

fn schedule(line: &str) -> Schedule {
    Schedule::parse(line).unwrap_or_else(|error| panic!("{error}"))
}

/// The first times after an instant, as that zone's clock shows them, with the offset.
fn next(line: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = schedule(line);
    let after: Timestamp = after.parse().expect("the instant is one");
    let mut now = u64::try_from(after.as_millisecond()).expect("it is after 1970");
    let mut times = Vec::new();
    for _ in 0..count {
        let zoned = schedule.next_zoned(now).expect("there is a next time");
        times.push(zoned.strftime("%m-%d %H:%M%:z").to_string());
        now = schedule.next(now).expect("there is a next time");
        assert_eq!(i128::from(now), i128::from(zoned.timestamp().as_millisecond()));
    }
    times
}

/// Every day of a year on which the schedule comes.
fn days_of(line: &str, year: i16) -> Vec<Date> {
    let schedule = schedule(line);
    let first = date(year, 1, 1).to_zoned(TimeZone::UTC).expect("UTC has every time");
    let mut now = u64::try_from(first.timestamp().as_millisecond()).expect("it is after 1970") - 1;
    let mut days: Vec<Date> = Vec::new();
    while let Some(next) = schedule.next_zoned(now).filter(|next| next.year() == year) {
        if days.last() != Some(&next.date()) {
            days.push(next.date());
        }
        now = u64::try_from(next.timestamp().as_millisecond()).expect("it is after 1970");
    }
    days
}

/// The days of a year for which `is` is true.
fn days_with(year: i16, is: impl Fn(Date) -> bool) -> Vec<Date> {
    let days = date(year, 1, 1).series(1.day());
    days.take_while(|day| day.year() == year)
        .filter(|day| is(*day))
        .collect()
}

fn is_last(day: Date) -> bool {
    day == day.last_of_month()
}

fn works(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// The day from Monday to Friday of the same month that is nearest to `wanted`.
fn nearest_workday(wanted: Date) -> Date {
    let near = [0, -1, 1, -2, 2].map(|days| wanted.checked_add(days.days()).expect("it is near"));
    let own = near
        .into_iter()
        .filter(|day| day.month() == wanted.month() && works(*day));
    own.into_iter().next().expect("a week has five such days")
}

#[test]
fn every_month_of_four_years_has_the_days_that_the_fields_mean() {
    type Meaning = fn(Date) -> bool;
    let table: &[(&str, Meaning)] = &[
        ("0 0 L * *", is_last),
        ("0 0 L 12 *", |day| is_last(day) && day.month() == 12),
        ("0 0 LW * *", |day| day == nearest_workday_back(day.last_of_month())),
        ("0 0 * * 5L", |day| {
            day.weekday() == Weekday::Friday && day.day() + 7 > day.days_in_month()
        }),
        ("0 0 * * FRIL", |day| {
            day.weekday() == Weekday::Friday && day.day() + 7 > day.days_in_month()
        }),
        ("0 0 * * 0L", |day| {
            day.weekday() == Weekday::Sunday && day.day() + 7 > day.days_in_month()
        }),
        ("0 0 * * MON#1", |day| {
            day.weekday() == Weekday::Monday && day.day() <= 7
        }),
        ("0 0 * * 2#5", |day| day.weekday() == Weekday::Tuesday && day.day() > 28),
        ("0 0 15W * *", |day| {
            day == nearest_workday(day.first_of_month() + 14.days())
        }),
        ("0 0 1W * *", |day| day == nearest_workday(day.first_of_month())),
        ("0 0 29 2 *", |day| day.month() == 2 && day.day() == 29),
        ("0 0 31 * *", |day| day.day() == 31),
        // A day in one of the two fields counts, unless one of them begins with a star: then in both.
        ("0 0 13 * FRI", |day| {
            day.day() == 13 || day.weekday() == Weekday::Friday
        }),
        ("0 0 */2 * MON", |day| {
            day.day() % 2 == 1 && day.weekday() == Weekday::Monday
        }),
        ("0 0 13 * */2", |day| {
            day.day() == 13 && day.weekday().to_sunday_zero_offset() % 2 == 0
        }),
        ("0 0 * * 7", |day| day.weekday() == Weekday::Sunday),
        ("0 0 * * SUN,wed", |day| {
            matches!(day.weekday(), Weekday::Sunday | Weekday::Wednesday)
        }),
        ("0 0 1-7,21 FEB-apr *", |day| {
            (2..=4).contains(&day.month()) && (day.day() <= 7 || day.day() == 21)
        }),
        ("0 0 5/10 * *", |day| [5, 15, 25].contains(&day.day())),
        ("0 0 2-10/4 * *", |day| [2, 6, 10].contains(&day.day())),
        ("@monthly", |day| day.day() == 1),
        ("@weekly", |day| day.weekday() == Weekday::Sunday),
        ("@yearly", |day| day.day_of_year() == 1),
    ];
    for (line, means) in table {
        for year in 2025..=2028 {
            assert_eq!(days_of(line, year), days_with(year, means), "{line} in {year}");
        }
    }
}

/// The last day from Monday to Friday up to `last`.
fn nearest_workday_back(last: Date) -> Date {
    last.series(-1.day())
        .find(|day| works(*day))
        .expect("a week has five such days")
}

#[test]
fn a_job_at_a_fixed_time_runs_once_on_each_day_of_a_change_of_the_clock() {
    let table = [
        (
            "30 2 * * * Europe/Zurich",
            "2026-03-28T12:00:00Z",
            ["03-29 03:00+02:00", "03-30 02:30+02:00"],
        ),
        (
            "30 2 * * * Europe/Zurich",
            "2026-10-24T12:00:00Z",
            ["10-25 02:30+02:00", "10-26 02:30+01:00"],
        ),
        (
            "30 2 * * * America/New_York",
            "2026-03-07T12:00:00Z",
            ["03-08 03:00-04:00", "03-09 02:30-04:00"],
        ),
        (
            "30 1 * * * America/New_York",
            "2026-10-31T12:00:00Z",
            ["11-01 01:30-04:00", "11-02 01:30-05:00"],
        ),
        // Half an hour.
        (
            "15 2 * * * Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            ["10-04 02:30+11:00", "10-05 02:15+11:00"],
        ),
        (
            "45 1 * * * Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            ["04-05 01:45+11:00", "04-06 01:45+10:30"],
        ),
        // At midnight: the day begins at one o'clock, or its last hour comes twice.
        (
            "0 0 * * * America/Santiago",
            "2026-09-05T12:00:00Z",
            ["09-06 01:00-03:00", "09-07 00:00-03:00"],
        ),
        (
            "30 23 * * * America/Santiago",
            "2026-04-04T12:00:00Z",
            ["04-04 23:30-03:00", "04-05 23:30-04:00"],
        ),
        (
            "@daily Asia/Beirut",
            "2026-03-28T12:00:00Z",
            ["03-29 01:00+03:00", "03-30 00:00+03:00"],
        ),
        (
            "30 23 * * * Asia/Beirut",
            "2026-10-24T12:00:00Z",
            ["10-24 23:30+03:00", "10-25 23:30+02:00"],
        ),
    ];
    for (line, after, expected) in table {
        assert_eq!(next(line, after, 2), expected, "{line} after {after}");
    }
}

#[test]
fn a_job_at_a_fixed_time_runs_once_on_each_day_of_two_years() {
    let zones = [
        "Europe/Zurich",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Asia/Beirut",
    ];
    for zone in zones {
        for time in ["0 0", "30 0", "30 1", "0 2", "15 2", "30 2", "59 23"] {
            let line = format!("{time} * * * {zone}");
            let own = TimeZone::get(zone).expect("the host has a time zone database");
            let first: Zoned = date(2026, 1, 1)
                .at(23, 59, 30, 0)
                .to_zoned(own)
                .expect("no clock changes then");
            let schedule = schedule(&line);
            let mut now = u64::try_from(first.timestamp().as_millisecond()).expect("it is after 1970");
            for day in (date(2026, 1, 2)..=date(2027, 12, 31)).into_days() {
                let next = schedule.next_zoned(now).expect("there is a next time");
                assert_eq!(next.date(), day, "{line}");
                now = u64::try_from(next.timestamp().as_millisecond()).expect("it is after 1970");
            }
        }
    }
}

/// Vixie's cron goes by the `*` alone: a range or a list names fixed times.
#[test]
fn each_time_of_a_range_or_list_comes_once_on_a_day_of_a_change_of_the_clock() {
    let table: [(&str, &str, &[&str]); 6] = [
        (
            "0 1-3 * * * Europe/Zurich",
            "2026-10-24T12:00:00Z",
            &[
                "10-25 01:00+02:00",
                "10-25 02:00+02:00",
                "10-25 03:00+01:00",
                "10-26 01:00+01:00",
            ],
        ),
        (
            "0 1-3 * * * Europe/Zurich",
            "2026-03-28T12:00:00Z",
            &["03-29 01:00+01:00", "03-29 03:00+02:00", "03-30 01:00+02:00"],
        ),
        (
            "0,30 2 * * * Europe/Zurich",
            "2026-10-24T12:00:00Z",
            &["10-25 02:00+02:00", "10-25 02:30+02:00", "10-26 02:00+01:00"],
        ),
        (
            "0-30/10 1 * * * America/New_York",
            "2026-11-01T05:05:00Z",
            &[
                "11-01 01:10-04:00",
                "11-01 01:20-04:00",
                "11-01 01:30-04:00",
                "11-02 01:00-05:00",
            ],
        ),
        // In the second of the two hours nothing is left to come.
        (
            "0-30/10 1 * * * America/New_York",
            "2026-11-01T06:05:00Z",
            &["11-02 01:00-05:00"],
        ),
        (
            "5,45 0-1 * * * America/Santiago",
            "2026-09-05T12:00:00Z",
            &[
                "09-06 01:00-03:00",
                "09-06 01:05-03:00",
                "09-06 01:45-03:00",
                "09-07 00:05-03:00",
            ],
        ),
    ];
    for (line, after, expected) in table {
        assert_eq!(next(line, after, expected.len()), expected, "{line} after {after}");
    }
}

/// Samoa had no 30th of December in 2011, and Kwajalein no 21st of August in 1993.
#[test]
fn a_fixed_time_on_a_day_that_the_zone_skips_comes_when_the_next_day_begins() {
    assert_eq!(
        next("30 6 30 12 * Pacific/Apia", "2011-12-01T00:00:00Z", 2),
        ["12-31 00:00+14:00", "12-30 06:30+14:00"]
    );
    assert_eq!(
        next("0 6 * * * Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        ["12-29 06:00-10:00", "12-31 00:00+14:00", "12-31 06:00+14:00"]
    );
    assert_eq!(
        next("0 12 21 8 * Pacific/Kwajalein", "1993-08-01T00:00:00Z", 1),
        ["08-22 00:00+12:00"]
    );
    // A wildcard follows the clock, and the clock does not show that day.
    assert_eq!(
        next("0 */12 30 12 * Pacific/Apia", "2011-12-01T00:00:00Z", 1),
        ["12-30 00:00+14:00"]
    );
}

trait Days {
    fn into_days(self) -> impl Iterator<Item = Date>;
}

impl Days for std::ops::RangeInclusive<Date> {
    fn into_days(self) -> impl Iterator<Item = Date> {
        let last = *self.end();
        self.start().series(1.day()).take_while(move |day| *day <= last)
    }
}

#[test]
fn wildcards_follow_the_clock_through_its_changes() {
    let half_hours = next("*/30 * * * * Europe/Zurich", "2026-10-24T23:50:00Z", 6);
    let expected = [
        "10-25 02:00+02:00",
        "10-25 02:30+02:00",
        "10-25 02:00+01:00",
        "10-25 02:30+01:00",
        "10-25 03:00+01:00",
        "10-25 03:30+01:00",
    ];
    assert_eq!(half_hours, expected);
    let hours = next("0 * * * * Europe/Zurich", "2026-03-28T23:30:00Z", 4);
    assert_eq!(
        hours,
        [
            "03-29 01:00+01:00",
            "03-29 03:00+02:00",
            "03-29 04:00+02:00",
            "03-29 05:00+02:00"
        ]
    );
}

#[test]
fn a_mistake_is_told_with_its_field_and_its_cause_in_one_line() {
    let table = [
        ("60 0 * * *", "MINUTE is '60': 60 is not between 0 and 59"),
        ("0 24 * * *", "HOUR is '24': 24 is not between 0 and 23"),
        ("0 0 0 * *", "DAY is '0': 0 is not between 1 and 31"),
        ("0 0 1 13 *", "MONTH is '13': 13 is not between 1 and 12"),
        ("0 0 * JANUARY *", "MONTH is 'JANUARY': 'JANUARY' is not understood"),
        ("0 0 * * 8", "WEEKDAY is '8': 8 is not between 0 and 7"),
        (
            "0 0 * * FRI-MON",
            "WEEKDAY is 'FRI-MON': the range 'FRI-MON' goes backwards",
        ),
        ("5-1 0 * * *", "MINUTE is '5-1': the range '5-1' goes backwards"),
        ("*/0 * * * *", "MINUTE is '*/0': '*/0' is no step of 1 to 59"),
        ("*/70 * * * *", "MINUTE is '*/70': '*/70' is no step of 1 to 59"),
        ("/5 * * * *", "MINUTE is '/5': '/5' is no step of 1 to 59"),
        ("0 L * * *", "HOUR is 'L': 'L' is not understood"),
        ("0 0 32W * *", "DAY is '32W': this is not understood"),
        ("0 0 L-3 * *", "DAY is 'L-3': this is not understood"),
        ("1,,2 0 * * *", "MINUTE is '1,,2': '' is not understood"),
        ("0 0 * * MON#6", "WEEKDAY is 'MON#6': this is not understood"),
        ("0 0 * * * Mars/Phobos", "'Mars/Phobos' is no time zone"),
        ("@daily Mars/Phobos", "'Mars/Phobos' is no time zone"),
        ("0 0 0 * * *", "it has six fields, as lines with seconds have"),
        ("0 0 * * * MON", "it has six fields, as lines with seconds have"),
        ("0 0 * *", "it has 4 fields"),
        ("", "it has 0 fields"),
        ("@reboot", "'@reboot' is not known"),
        ("@daily UTC now", "more than a time zone behind its nickname"),
        ("0 0 30 2 *", "never occurs"),
        ("0 0 31 2,4,6,9,11 *", "never occurs"),
        ("0 0 31W FEB *", "never occurs"),
    ];
    for (line, expected) in table {
        let error = Schedule::parse(line).expect_err(line).to_string();
        assert!(error.contains(expected), "'{line}': {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_zone_may_be_left_out_or_be_an_offset() {
    assert_eq!(next("0 12 * * *", "2026-01-01T00:00:00Z", 1), ["01-01 12:00+00:00"]);
    assert_eq!(next("0 12 * * * utc", "2026-01-01T00:00:00Z", 1), ["01-01 12:00+00:00"]);
    assert_eq!(
        next("0 12 * * * +05:30", "2026-01-01T00:00:00Z", 1),
        ["01-01 12:00+05:30"]
    );
    assert_eq!(next("@hourly", "2026-01-01T00:00:00Z", 1), ["01-01 01:00+00:00"]);
}
