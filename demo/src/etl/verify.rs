//! Every figure once more, from the original files, by another way: SQL over the raw text.
//!
//! Nothing of the steps before is used: not their files, not their code. The original CSV goes into temporary tables
//! whose columns are all text, the figures are computed by one query each, and compared with what was loaded.

use std::io;
use std::path::Path;
use std::time::Instant;

use postgres::Client;

use super::outcome::progress;
use super::reference::{IMPLAUSIBLE_WIND, STRONG_WIND};
use super::server::Postgres;
use super::tables::TABLES;
use super::transform::DELAYED;
use super::{EtlError, Outcome, Slice};
use crate::dataset::Dataset;

const STEP: &str = "verify";

/// How many differing rows an error shows.
const SHOWN: usize = 3;

/// Two tables to compare row by row.
struct Comparison {
    expected: &'static str,
    loaded: &'static str,
    key: &'static [&'static str],
    figures: &'static [&'static str],
}

const COMPARISONS: [Comparison; 3] = [
    Comparison {
        expected: "expected_flights",
        loaded: "flights",
        key: &["carrier", "flight", "time_hour"],
        figures: &[
            "batch",
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
        ],
    },
    Comparison {
        expected: "expected_daily",
        loaded: "carrier_day_airport",
        key: &["carrier", "day", "origin"],
        figures: &[
            "batch",
            "carrier_name",
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
        ],
    },
    Comparison {
        expected: "expected_batches",
        loaded: "batches",
        key: &["batch"],
        figures: &["rows_extracted", "rejected", "rows_loaded", "aggregates"],
    },
];

/// Compares the database on `dst` with what `data` says it must hold once this batch, and each before it, is loaded: every
/// row, in which batch it came, and each batch once.
///
/// # Errors
/// [`EtlError::Mismatch`] with the first differing rows; other [`EtlError`].
pub fn verify(postgres: &Postgres, data: &Dataset, dst: &Path, slice: Slice, log: &Path) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    let server = postgres.start(dst, log)?;
    progress(STEP, format_args!("PostgreSQL runs on {}", dst.display()));
    let mut client = server.connect()?;
    load_raw(&mut client, data, slice)?;
    compute(&mut client, slice)?;
    let mut compared = 0;
    let mut problems = Vec::new();
    for comparison in &COMPARISONS {
        compared += compare(&mut client, comparison, &mut problems)?;
    }
    missing_batches(&mut client, &mut problems)?;
    let totals = totals(&mut client)?;
    drop(client);
    server.stop()?;
    if !problems.is_empty() {
        return Err(EtlError::Mismatch(problems.join("; ")));
    }
    let mut outcome = Outcome::of(STEP, slice.batch(), began);
    outcome.rows_extracted = Some(totals.extracted);
    outcome.rejected = Some(totals.rejected);
    outcome.rows_loaded = Some(totals.loaded);
    outcome.aggregates = Some(totals.aggregates);
    outcome.figures_compared = Some(compared);
    outcome.mismatches = Some(0);
    Ok(outcome)
}

fn load_raw(client: &mut Client, data: &Dataset, slice: Slice) -> Result<(), EtlError> {
    for table in TABLES {
        let name = table.name;
        let failed = || format!("load the original table {name}");
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|(column, _)| format!("{column} text"))
            .collect();
        let make = format!("create temporary table raw_{name} ({})", columns.join(", "));
        client.batch_execute(&make).map_err(EtlError::database(failed()))?;
        let copy = format!("copy raw_{name} from stdin (format csv, header)");
        let rows = data.read(name, |csv| {
            let mut writer = client.copy_in(&copy).map_err(EtlError::database(failed()))?;
            io::copy(csv, &mut writer).map_err(EtlError::io("load the original data of", Path::new(name)))?;
            writer.finish().map_err(EtlError::database(failed()))
        })?;
        // Nobody else looks at a temporary table; without this the database plans with guesses.
        let analyze = format!("analyze raw_{name}");
        client.batch_execute(&analyze).map_err(EtlError::database(failed()))?;
        progress(STEP, format_args!("original {name}: {rows} rows"));
        if let Some(month) = table.sliced_by {
            // What later batches will bring is not yet to be there.
            let later = format!("delete from raw_{name} where {month}::integer > {}", slice.last_month());
            let later = client.execute(&later, &[]).map_err(EtlError::database(failed()))?;
            progress(STEP, format_args!("{} rows of {name} until {slice}", rows - later));
        }
    }
    Ok(())
}

fn compute(client: &mut Client, slice: Slice) -> Result<(), EtlError> {
    let batch = slice.batch_in_sql("f.month::integer");
    let flights = format!(
        "
        create temporary table expected_flights as
        select f.carrier, f.flight::integer, f.time_hour::timestamptz, {batch} as batch,
            (f.year || '-' || f.month || '-' || f.day)::date as day, nullif(f.tailnum, 'NA') as tailnum,
            f.origin, f.dest,
            left(lpad(f.dep_time, 4, '0'), 2)::integer * 60 + right(f.dep_time, 2)::integer as dep_minute,
            f.dep_delay::integer,
            case when f.arr_time <> 'NA'
                then left(lpad(f.arr_time, 4, '0'), 2)::integer * 60 + right(f.arr_time, 2)::integer end as arr_minute,
            nullif(f.arr_delay, 'NA')::integer as arr_delay, nullif(f.air_time, 'NA')::integer as air_time,
            f.distance::integer, p.seats::integer
        from raw_flights f left join raw_planes p on p.tailnum = f.tailnum
        where f.dep_time <> 'NA'"
    );
    let daily = format!(
        "create temporary table expected_daily as
        select f.carrier, a.name as carrier_name, make_date(f.year::int, f.month::int, f.day::int) as day,
            f.origin, o.name as origin_name, {batch} as batch,
            count(*) as flights,
            count(*) filter (where f.dep_delay::int >= {DELAYED}) as delayed,
            sum(f.dep_delay::int) as dep_delay_sum,
            count(nullif(f.arr_delay, 'NA')) as arrivals,
            coalesce(sum(nullif(f.arr_delay, 'NA')::int), 0) as arr_delay_sum,
            coalesce(sum(nullif(f.air_time, 'NA')::int), 0) as air_time_sum,
            sum(f.distance::int) as distance_sum,
            coalesce(sum(p.seats::int), 0) as seats_sum,
            count(*) filter (where w.precip::float8 > 0) as in_rain,
            count(*) filter (where nullif(w.wind_speed, 'NA')::float8 between {STRONG_WIND} and {IMPLAUSIBLE_WIND})
                as in_strong_wind
        from raw_flights f
            join raw_airlines a on a.carrier = f.carrier
            join raw_airports o on o.faa = f.origin
            left join raw_planes p on p.tailnum = f.tailnum
            left join raw_weather w on w.origin = f.origin and w.time_hour = f.time_hour
        where f.dep_time <> 'NA'
        group by f.carrier, a.name, f.year, f.month, f.day, f.origin, o.name"
    );
    let batches = format!(
        "create temporary table expected_batches as
        select b.batch, count(f.batch) as rows_extracted, count(*) filter (where f.dep_time = 'NA') as rejected,
            count(*) filter (where f.dep_time <> 'NA') as rows_loaded,
            (select count(*) from expected_daily d where d.batch = b.batch) as aggregates
        from generate_series(1, {}) b (batch)
            left join (select {batch} as batch, f.dep_time from raw_flights f) f on f.batch = b.batch
        group by b.batch",
        slice.batch()
    );
    for (what, query) in [("flights", flights), ("aggregates", daily), ("batches", batches)] {
        client
            .batch_execute(&query)
            .map_err(EtlError::database(format!("compute the {what}")))?;
        progress(STEP, format_args!("{what} computed from the original files"));
    }
    Ok(())
}

/// Compares every figure of every row, and returns how many there were.
fn compare(client: &mut Client, tables: &Comparison, problems: &mut Vec<String>) -> Result<u64, EtlError> {
    let Comparison {
        expected,
        loaded,
        key,
        figures,
    } = tables;
    let failed = || format!("compare the table {loaded}");
    let join: Vec<String> = key.iter().map(|column| format!("e.{column} = l.{column}")).collect();
    let both = format!("{expected} e full join {loaded} l on {}", join.join(" and "));
    // A row that only one side has differs in its key.
    let differs = |column: &&str| format!("e.{column} is distinct from l.{column}");
    let different: Vec<String> = key.iter().chain(*figures).map(differs).collect();
    let different = different.join(" or ");
    let counts = client
        .query_one(
            &format!("select count(*), count(*) filter (where {different}) from {both}"),
            &[],
        )
        .map_err(EtlError::database(failed()))?;
    let (rows, wrong): (i64, i64) = (counts.get(0), counts.get(1));
    progress(
        STEP,
        format_args!(
            "{loaded}: {rows} rows of {} figures compared, {wrong} rows differ",
            figures.len()
        ),
    );
    if wrong > 0 {
        let sample = format!(
            "select 'expected ' || coalesce(e::text, 'no row') || ', loaded ' || coalesce(l::text, 'no row')
            from {both} where {different} limit {SHOWN}"
        );
        let rows = client.query(&sample, &[]).map_err(EtlError::database(failed()))?;
        let shown: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        problems.push(format!("{wrong} rows of {loaded} differ: {}", shown.join(", ")));
    }
    Ok(rows.unsigned_abs() * (key.len() + figures.len()) as u64)
}

/// The batches that are not there at all; [`compare`] tells of the others.
fn missing_batches(client: &mut Client, problems: &mut Vec<String>) -> Result<(), EtlError> {
    let missing = client
        .query(
            "select batch from expected_batches e where not exists (select from batches l where l.batch = e.batch)",
            &[],
        )
        .map_err(EtlError::database("look for the batches"))?;
    let missing = missing.iter().map(|row| row.get::<_, i32>(0));
    problems.extend(missing.map(|batch| format!("batch {batch} is not in the database")));
    Ok(())
}

/// What the batch rows say, all together.
struct Totals {
    extracted: u64,
    rejected: u64,
    loaded: u64,
    aggregates: u64,
}

fn totals(client: &mut Client) -> Result<Totals, EtlError> {
    let row = client
        .query_one(
            "select coalesce(sum(rows_extracted), 0)::bigint, coalesce(sum(rejected), 0)::bigint,
                coalesce(sum(rows_loaded), 0)::bigint, coalesce(sum(aggregates), 0)::bigint from batches",
            &[],
        )
        .map_err(EtlError::database("add the batches up"))?;
    let count = |index| row.get::<_, i64>(index).unsigned_abs();
    Ok(Totals {
        extracted: count(0),
        rejected: count(1),
        loaded: count(2),
        aggregates: count(3),
    })
}
