//! What the flights are joined with: names of airlines and airports, seats of planes, the weather of the hour.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;

use super::EtlError;
use super::manifest::Manifest;
use super::record::Records;

/// A wind of this many miles an hour or more is called strong.
pub const STRONG_WIND: f64 = 25.0;

/// A wind above this is a fault of the instrument: the data has an hour of 1,048 miles an hour.
pub const IMPLAUSIBLE_WIND: f64 = 200.0;

/// The weather at one airport in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weather {
    /// Any precipitation.
    pub(super) rain: bool,
    /// A strong wind that is plausible.
    pub(super) strong_wind: bool,
}

/// The tables beside the flights, in memory.
#[derive(Debug)]
pub(super) struct Reference {
    airlines: HashMap<String, String>,
    airports: HashMap<String, String>,
    seats: HashMap<String, u32>,
    /// By airport, then by hour.
    weather: HashMap<String, HashMap<Timestamp, Weather>>,
}

impl Reference {
    /// Reads the tables from an extract.
    pub(super) fn read(folder: &Path) -> Result<Reference, EtlError> {
        Ok(Reference {
            airlines: names(folder, "airlines", "carrier")?,
            airports: names(folder, "airports", "faa")?,
            seats: seats(folder)?,
            weather: weather(folder)?,
        })
    }

    pub(super) fn airline(&self, carrier: &str) -> Option<&str> {
        self.airlines.get(carrier).map(String::as_str)
    }

    pub(super) fn airport(&self, faa: &str) -> Option<&str> {
        self.airports.get(faa).map(String::as_str)
    }

    pub(super) fn seats(&self, tailnum: &str) -> Option<u32> {
        self.seats.get(tailnum).copied()
    }

    pub(super) fn weather(&self, airport: &str, hour: Timestamp) -> Option<Weather> {
        self.weather.get(airport)?.get(&hour).copied()
    }
}

fn names(folder: &Path, table: &str, key: &str) -> Result<HashMap<String, String>, EtlError> {
    let mut records = Records::open(&Manifest::file(folder, table))?;
    let (key, name) = (records.column(key)?, records.column("name")?);
    let mut names = HashMap::new();
    while let Some(record) = records.next()? {
        names.insert(record.text(key)?.to_owned(), record.text(name)?.to_owned());
    }
    Ok(names)
}

fn seats(folder: &Path) -> Result<HashMap<String, u32>, EtlError> {
    let mut records = Records::open(&Manifest::file(folder, "planes"))?;
    let (tailnum, count) = (records.column("tailnum")?, records.column("seats")?);
    let mut seats = HashMap::new();
    while let Some(record) = records.next()? {
        seats.insert(record.text(tailnum)?.to_owned(), record.value(count)?);
    }
    Ok(seats)
}

fn weather(folder: &Path) -> Result<HashMap<String, HashMap<Timestamp, Weather>>, EtlError> {
    let mut records = Records::open(&Manifest::file(folder, "weather"))?;
    let (origin, hour) = (records.column("origin")?, records.column("time_hour")?);
    let (precip, wind_speed) = (records.column("precip")?, records.column("wind_speed")?);
    let mut weather: HashMap<String, HashMap<Timestamp, Weather>> = HashMap::new();
    while let Some(record) = records.next()? {
        let precip: f64 = record.value(precip)?;
        let wind: Option<f64> = record.optional_value(wind_speed)?;
        let conditions = Weather {
            rain: precip > 0.0,
            strong_wind: wind.is_some_and(|wind| (STRONG_WIND..=IMPLAUSIBLE_WIND).contains(&wind)),
        };
        let hours = weather.entry(record.text(origin)?.to_owned()).or_default();
        hours.insert(record.value(hour)?, conditions);
    }
    Ok(weather)
}
