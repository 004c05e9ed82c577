//! Into the target database: upsert and a batch row, in one transaction.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use postgres::{Client, Transaction};

use super::manifest::Manifest;
use super::outcome::progress;
use super::server::Postgres;
use super::transform::{DAILY, FLIGHTS};
use super::{EtlError, Hold, Outcome, Slice, transform};

const STEP: &str = "load";

/// The target's tables. `batch` is the batch that wrote the row last.
const SCHEMA: &str = "
    create table if not exists batches (
        batch integer primary key,
        source text not null,
        rows_extracted bigint not null,
        rejected bigint not null,
        rows_loaded bigint not null,
        aggregates bigint not null,
        loaded_at timestamptz not null default now()
    );
    create table if not exists flights (
        carrier text, flight integer, time_hour timestamptz, day date not null, tailnum text,
        origin text not null, dest text not null, dep_minute smallint not null, dep_delay integer not null,
        arr_minute smallint, arr_delay integer, air_time integer, distance integer not null, seats integer,
        batch integer not null references batches, primary key (carrier, flight, time_hour)
    );
    create table if not exists carrier_day_airport (
        carrier text, carrier_name text not null, day date, origin text, origin_name text not null,
        flights bigint not null, delayed bigint not null, dep_delay_sum bigint not null,
        arrivals bigint not null, arr_delay_sum bigint not null, air_time_sum bigint not null,
        distance_sum bigint not null, seats_sum bigint not null, in_rain bigint not null,
        in_strong_wind bigint not null,
        batch integer not null references batches, primary key (carrier, day, origin)
    );";

/// A table of the target and the file it is filled from.
struct Target {
    table: &'static str,
    file: &'static str,
    columns: &'static [&'static str],
    key: &'static [&'static str],
}

const TARGETS: [Target; 2] = [
    Target {
        table: "flights",
        file: "flights",
        columns: &FLIGHTS,
        key: &["carrier", "flight", "time_hour"],
    },
    Target {
        table: "carrier_day_airport",
        file: "daily",
        columns: &DAILY,
        key: &["carrier", "day", "origin"],
    },
];

/// Loads the result of a batch on `stage` into the database on `dst`, which is made if there is none. Loading the same
/// result again changes nothing; loading another result of the batch replaces what the batch had brought.
///
/// # Errors
/// [`EtlError`]; then the database is as it was, and the step can be run again.
pub fn load(
    postgres: &Postgres,
    stage: &Path,
    dst: &Path,
    slice: Slice,
    log: &Path,
    hold: &Hold,
) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    let batch = slice.batch();
    let input = transform::folder(stage, batch);
    let manifest = Manifest::of_slice(&input, slice)?;
    progress(
        STEP,
        format_args!("{} flights, digests as the manifest says", manifest.rows("flights")),
    );
    postgres.ensure_cluster(dst)?;
    let server = postgres.start(dst, log)?;
    progress(STEP, format_args!("PostgreSQL runs on {}", dst.display()));
    let mut client = server.connect()?;
    client
        .batch_execute(&format!("set client_min_messages = warning; {SCHEMA}"))
        .map_err(EtlError::database("make the tables"))?;
    let already_done = is_loaded(&mut client, batch, &manifest)?;
    if already_done {
        progress(STEP, format_args!("batch {batch} is loaded already"));
    } else {
        let mut transaction = client.transaction().map_err(EtlError::database("begin"))?;
        record_batch(&mut transaction, batch, &manifest)?;
        for (index, target) in TARGETS.iter().enumerate() {
            if index > 0 {
                // The flights are in, their sums are not, and nothing is committed.
                hold.wait(STEP)?;
            }
            upsert(&mut transaction, target, &input, batch)?;
        }
        transaction.commit().map_err(EtlError::database("commit"))?;
        progress(STEP, format_args!("batch {batch} committed"));
    }
    let mut outcome = Outcome::of(STEP, batch, began);
    outcome.already_done = already_done;
    outcome.rows_loaded = Some(count(&mut client, "flights", batch)?);
    outcome.aggregates = Some(count(&mut client, "carrier_day_airport", batch)?);
    drop(client);
    server.stop()?;
    outcome.seconds = Outcome::of(STEP, batch, began).seconds;
    Ok(outcome)
}

fn is_loaded(client: &mut Client, batch: u32, manifest: &Manifest) -> Result<bool, EtlError> {
    let rows = client
        .query("select source from batches where batch = $1", &[&number(batch)])
        .map_err(EtlError::database("look for the batch"))?;
    Ok(rows
        .first()
        .is_some_and(|row| row.get::<_, &str>(0) == manifest.digest()))
}

fn record_batch(transaction: &mut Transaction, batch: u32, manifest: &Manifest) -> Result<(), EtlError> {
    let rows = |file| i64::try_from(manifest.rows(file)).unwrap_or(i64::MAX);
    let (kept, rejected, aggregates) = (rows("flights"), rows("rejected"), rows("daily"));
    transaction
        .execute(
            "insert into batches (batch, source, rows_extracted, rejected, rows_loaded, aggregates)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (batch) do update set source = excluded.source, rows_extracted = excluded.rows_extracted,
                 rejected = excluded.rejected, rows_loaded = excluded.rows_loaded,
                 aggregates = excluded.aggregates, loaded_at = default",
            &[
                &number(batch),
                &manifest.digest(),
                &(kept + rejected),
                &rejected,
                &kept,
                &aggregates,
            ],
        )
        .map(drop)
        .map_err(EtlError::database("record the batch"))
}

/// Copies the file to a temporary table, upserts from it, and removes what the batch had brought and brings no more.
fn upsert(transaction: &mut Transaction, target: &Target, input: &Path, batch: u32) -> Result<(), EtlError> {
    let Target {
        table,
        file,
        columns,
        key,
    } = target;
    let failed = || format!("load the table {table}");
    let list = columns.join(", ");
    let make = format!("create temporary table new_{table} on commit drop as select {list} from {table} limit 0");
    transaction.batch_execute(&make).map_err(EtlError::database(failed()))?;

    let path = Manifest::file(input, file);
    let mut rows = File::open(&path).map_err(EtlError::io("open", &path))?;
    let copy = format!("copy new_{table} ({list}) from stdin (format csv, header)");
    let mut writer = transaction.copy_in(&copy).map_err(EtlError::database(failed()))?;
    io::copy(&mut rows, &mut writer).map_err(EtlError::io("load", &path))?;
    let copied = writer.finish().map_err(EtlError::database(failed()))?;

    let values = columns.iter().filter(|column| !key.contains(column));
    let set: Vec<String> = values.map(|column| format!("{column} = excluded.{column}")).collect();
    let merge = format!(
        "insert into {table} ({list}, batch) select {list}, $1 from new_{table}
         on conflict ({}) do update set {}, batch = excluded.batch",
        key.join(", "),
        set.join(", ")
    );
    let merged = transaction
        .execute(&merge, &[&number(batch)])
        .map_err(EtlError::database(failed()))?;
    let same: Vec<String> = key
        .iter()
        .map(|column| format!("new.{column} = old.{column}"))
        .collect();
    let prune = format!(
        "delete from {table} old where batch = $1 and not exists (select from new_{table} new where {})",
        same.join(" and ")
    );
    let pruned = transaction
        .execute(&prune, &[&number(batch)])
        .map_err(EtlError::database(failed()))?;
    progress(
        STEP,
        format_args!("{table}: {copied} rows copied, {merged} upserted, {pruned} removed"),
    );
    Ok(())
}

fn count(client: &mut Client, table: &str, batch: u32) -> Result<u64, EtlError> {
    let row = client
        .query_one(
            &format!("select count(*) from {table} where batch = $1"),
            &[&number(batch)],
        )
        .map_err(EtlError::database(format!("count {table}")))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// PostgreSQL has no unsigned integers.
fn number(batch: u32) -> i32 {
    i32::try_from(batch).unwrap_or(i32::MAX)
}
