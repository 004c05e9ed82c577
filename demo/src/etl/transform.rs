//! Clean, reject, aggregate: files to files, no database.
//!
//! * **Clean**: times of day from `HHMM` to minutes (midnight is written 2400), a date of year, month and day, seats
//!   of the plane, the weather of the hour of departure.
//! * **Reject** what has no departure time: the flight was cancelled.
//! * **Aggregate** per carrier, day and airport of departure. All figures are whole numbers, so they can be compared
//!   exactly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::durable::NewFolder;
use super::manifest::{CountedFile, Manifest};
use super::outcome::progress;
use super::record::{Record, Records};
use super::reference::Reference;
use super::{EtlError, Outcome, Slice, extract};

const STEP: &str = "transform";

/// A departure this late, in minutes, is counted as delayed.
pub const DELAYED: i32 = 15;

/// Why a flight is rejected.
const NO_DEPARTURE: &str = "no departure";

/// The folder of one batch's result on the stage.
pub fn folder(stage: &Path, batch: u32) -> PathBuf {
    stage.join(format!("batch-{batch}")).join(STEP)
}

/// A flight that departed. The fields are the columns of `flights.csv` and of the target's table `flights`.
#[derive(Debug, Serialize)]
struct Flight<'a> {
    carrier: &'a str,
    flight: u32,
    time_hour: Timestamp,
    day: Date,
    tailnum: Option<&'a str>,
    origin: &'a str,
    dest: &'a str,
    dep_minute: u16,
    dep_delay: i32,
    arr_minute: Option<u16>,
    arr_delay: Option<i32>,
    air_time: Option<u32>,
    distance: u32,
    seats: Option<u32>,
}

/// A flight that was rejected.
#[derive(Debug, Serialize)]
struct Rejected<'a> {
    carrier: &'a str,
    flight: u32,
    time_hour: Timestamp,
    reason: &'static str,
}

/// The figures of one carrier, day and airport of departure; the last columns of `daily.csv`.
#[derive(Debug, Default, Serialize)]
struct Figures {
    flights: u64,
    delayed: u64,
    dep_delay_sum: i64,
    arrivals: u64,
    arr_delay_sum: i64,
    air_time_sum: u64,
    distance_sum: u64,
    seats_sum: u64,
    in_rain: u64,
    in_strong_wind: u64,
}

/// Transforms the extract of a batch on `stage`. The folder with the result has its name only when all of it is on
/// disk; an earlier result of the batch is replaced.
///
/// # Errors
/// [`EtlError`]; it can be run again.
pub fn transform(stage: &Path, slice: Slice) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    let batch = slice.batch();
    let input = extract::folder(stage, batch);
    let manifest = Manifest::of_slice(&input, slice)?;
    progress(
        STEP,
        format_args!("{} flights, digests as the manifest says", manifest.rows("flights")),
    );
    let reference = Reference::read(&input)?;
    let output = NewFolder::begin(&folder(stage, batch))?;
    let mut work = Work::begin(output.path())?;
    work.flights(&Manifest::file(&input, "flights"), &reference)?;
    let files = work.finish(&reference)?;
    let result = Manifest {
        step: STEP.into(),
        batch,
        of: slice.of(),
        source: manifest.digest(),
        files,
    };
    result.write(output.path())?;
    output.finish()?;
    let (kept, rejected) = (result.rows("flights"), result.rows("rejected"));
    progress(
        STEP,
        format_args!("{kept} flights kept, {rejected} rejected: {NO_DEPARTURE}"),
    );
    if kept + rejected != manifest.rows("flights") {
        let came = manifest.rows("flights");
        return Err(EtlError::Mismatch(format!(
            "{came} flights came in, {kept} + {rejected} went out"
        )));
    }
    let mut outcome = Outcome::of(STEP, batch, began);
    outcome.rejected = Some(rejected);
    outcome.aggregates = Some(result.rows("daily"));
    Ok(outcome)
}

/// The columns that are read.
struct Columns {
    year: usize,
    month: usize,
    day: usize,
    dep_time: usize,
    dep_delay: usize,
    arr_time: usize,
    arr_delay: usize,
    carrier: usize,
    flight: usize,
    tailnum: usize,
    origin: usize,
    dest: usize,
    air_time: usize,
    distance: usize,
    time_hour: usize,
}

impl Columns {
    fn of(records: &Records) -> Result<Columns, EtlError> {
        Ok(Columns {
            year: records.column("year")?,
            month: records.column("month")?,
            day: records.column("day")?,
            dep_time: records.column("dep_time")?,
            dep_delay: records.column("dep_delay")?,
            arr_time: records.column("arr_time")?,
            arr_delay: records.column("arr_delay")?,
            carrier: records.column("carrier")?,
            flight: records.column("flight")?,
            tailnum: records.column("tailnum")?,
            origin: records.column("origin")?,
            dest: records.column("dest")?,
            air_time: records.column("air_time")?,
            distance: records.column("distance")?,
            time_hour: records.column("time_hour")?,
        })
    }
}

/// A CSV file being written.
struct Output {
    path: PathBuf,
    writer: csv::Writer<CountedFile>,
}

impl Output {
    /// Makes the file. The header is written even if no row follows.
    fn create(folder: &Path, name: &str, header: &[&str]) -> Result<Output, EtlError> {
        let path = Manifest::file(folder, name);
        let file = CountedFile::create(&path)?;
        let writer = csv::WriterBuilder::new().has_headers(false).from_writer(file);
        let mut output = Output { path, writer };
        output.write(&header)?;
        Ok(output)
    }

    fn write(&mut self, row: &impl Serialize) -> Result<(), EtlError> {
        let failed = |error: csv::Error| EtlError::io("write", &self.path)(error.into());
        self.writer.serialize(row).map_err(failed)
    }
}

/// The columns of `flights.csv`.
pub const FLIGHTS: [&str; 14] = [
    "carrier",
    "flight",
    "time_hour",
    "day",
    "tailnum",
    "origin",
    "dest",
    "dep_minute",
    "dep_delay",
    "arr_minute",
    "arr_delay",
    "air_time",
    "distance",
    "seats",
];

/// The columns of `daily.csv`.
pub const DAILY: [&str; 15] = [
    "carrier",
    "carrier_name",
    "day",
    "origin",
    "origin_name",
    "flights",
    "delayed",
    "dep_delay_sum",
    "arrivals",
    "arr_delay_sum",
    "air_time_sum",
    "distance_sum",
    "seats_sum",
    "in_rain",
    "in_strong_wind",
];

/// The columns of `rejected.csv`.
const REJECTED: [&str; 4] = ["carrier", "flight", "time_hour", "reason"];

/// The three files in the making.
struct Work {
    folder: PathBuf,
    flights: Output,
    rejected: Output,
    groups: BTreeMap<(String, Date, String), Figures>,
}

impl Work {
    fn begin(folder: &Path) -> Result<Work, EtlError> {
        Ok(Work {
            folder: folder.to_owned(),
            flights: Output::create(folder, "flights", &FLIGHTS)?,
            rejected: Output::create(folder, "rejected", &REJECTED)?,
            groups: BTreeMap::new(),
        })
    }

    fn flights(&mut self, path: &Path, reference: &Reference) -> Result<(), EtlError> {
        let mut records = Records::open(path)?;
        let columns = Columns::of(&records)?;
        let mut seen = 0_u64;
        while let Some(record) = records.next()? {
            self.flight(&record, &columns, reference)?;
            seen += 1;
            if seen.is_multiple_of(100_000) {
                progress(STEP, format_args!("{seen} flights"));
            }
        }
        Ok(())
    }

    fn flight(&mut self, record: &Record, columns: &Columns, reference: &Reference) -> Result<(), EtlError> {
        let carrier = record.text(columns.carrier)?;
        let flight = record.value(columns.flight)?;
        let time_hour = record.value(columns.time_hour)?;
        let Some(departure) = record.optional_value(columns.dep_time)? else {
            return self.rejected.write(&Rejected {
                carrier,
                flight,
                time_hour,
                reason: NO_DEPARTURE,
            });
        };
        let minute = |column: usize, time: u16| {
            minute_of_day(time).ok_or_else(|| record.wrong(column, &format!("has no time of day: {time}")))
        };
        let day = Date::new(
            record.value(columns.year)?,
            record.value(columns.month)?,
            record.value(columns.day)?,
        );
        let tailnum = record.optional(columns.tailnum);
        let arrival: Option<u16> = record.optional_value(columns.arr_time)?;
        let clean = Flight {
            carrier,
            flight,
            time_hour,
            day: day.map_err(|error| record.wrong(columns.day, &format!("makes no date: {error}")))?,
            tailnum,
            origin: record.text(columns.origin)?,
            dest: record.text(columns.dest)?,
            dep_minute: minute(columns.dep_time, departure)?,
            dep_delay: record.value(columns.dep_delay)?,
            arr_minute: arrival.map(|time| minute(columns.arr_time, time)).transpose()?,
            arr_delay: record.optional_value(columns.arr_delay)?,
            air_time: record.optional_value(columns.air_time)?,
            distance: record.value(columns.distance)?,
            seats: tailnum.and_then(|tailnum| reference.seats(tailnum)),
        };
        self.flights.write(&clean)?;
        self.count(&clean, reference);
        Ok(())
    }

    fn count(&mut self, flight: &Flight, reference: &Reference) {
        let weather = reference.weather(flight.origin, flight.time_hour);
        let key = (flight.carrier.to_owned(), flight.day, flight.origin.to_owned());
        let group = self.groups.entry(key).or_default();
        group.flights += 1;
        group.delayed += u64::from(flight.dep_delay >= DELAYED);
        group.dep_delay_sum += i64::from(flight.dep_delay);
        group.arrivals += u64::from(flight.arr_delay.is_some());
        group.arr_delay_sum += i64::from(flight.arr_delay.unwrap_or(0));
        group.air_time_sum += u64::from(flight.air_time.unwrap_or(0));
        group.distance_sum += u64::from(flight.distance);
        group.seats_sum += u64::from(flight.seats.unwrap_or(0));
        group.in_rain += u64::from(weather.is_some_and(|weather| weather.rain));
        group.in_strong_wind += u64::from(weather.is_some_and(|weather| weather.strong_wind));
    }

    fn finish(self, reference: &Reference) -> Result<BTreeMap<String, super::manifest::Entry>, EtlError> {
        let mut daily = Output::create(&self.folder, "daily", &DAILY)?;
        for ((carrier, day, origin), figures) in self.groups {
            let unknown = |what: &str, code: &str| EtlError::Input {
                path: self.folder.clone(),
                problem: format!("a flight names the {what} '{code}', which its table does not have"),
            };
            let carrier_name = reference
                .airline(&carrier)
                .ok_or_else(|| unknown("carrier", &carrier))?;
            let origin_name = reference.airport(&origin).ok_or_else(|| unknown("airport", &origin))?;
            daily.write(&(&carrier, carrier_name, day, &origin, origin_name, &figures))?;
        }
        let mut files = BTreeMap::new();
        for (name, output) in [("flights", self.flights), ("rejected", self.rejected), ("daily", daily)] {
            let path = output.path;
            let file = output.writer.into_inner().map_err(|error| {
                EtlError::io("write", &path)(std::io::Error::new(error.error().kind(), error.to_string()))
            })?;
            files.insert(name.to_owned(), file.finish()?);
        }
        Ok(files)
    }
}

/// Minutes since midnight of a time written `HHMM`; midnight at the end of the day is 2400.
fn minute_of_day(time: u16) -> Option<u16> {
    let (hour, minute) = (time / 100, time % 100);
    let valid = minute < 60 && (hour < 24 || time == 2400);
    valid.then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_become_minutes() {
        assert_eq!(minute_of_day(517), Some(5 * 60 + 17));
        assert_eq!(minute_of_day(0), Some(0));
        assert_eq!(minute_of_day(2400), Some(24 * 60));
        assert_eq!(minute_of_day(2401), None);
        assert_eq!(minute_of_day(1260), None);
    }
}
