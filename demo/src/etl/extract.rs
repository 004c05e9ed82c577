//! From the source database to files: one snapshot, counted and digested.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use postgres::{Client, IsolationLevel};

use super::durable::NewFolder;
use super::manifest::{CountedFile, Manifest};
use super::outcome::progress;
use super::server::Postgres;
use super::tables::TABLES;
use super::{EtlError, Hold, Outcome, Slice};

const STEP: &str = "extract";

/// The folder of one batch's extract on the stage.
pub fn folder(stage: &Path, batch: u32) -> PathBuf {
    stage.join(format!("batch-{batch}")).join(STEP)
}

/// Copies every table of the database on `src` to CSV files on `stage`, of the flights those of `slice`, as one REPEATABLE
/// READ transaction sees them, ordered by key, with a manifest. The folder has its name only when all of it is on disk; an earlier extract of the
/// batch is replaced.
///
/// # Errors
/// [`EtlError`]; it can be run again.
pub fn extract(
    postgres: &Postgres,
    src: &Path,
    stage: &Path,
    slice: Slice,
    log: &Path,
    hold: &Hold,
) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    let server = postgres.start(src, log)?;
    progress(STEP, format_args!("PostgreSQL runs on {}", src.display()));
    let mut client = server.connect()?;
    let folder = NewFolder::begin(&folder(stage, slice.batch()))?;
    let manifest = copy_out(&mut client, folder.path(), slice, hold)?;
    manifest.write(folder.path())?;
    folder.finish()?;
    drop(client);
    server.stop()?;
    progress(STEP, format_args!("manifest {}", manifest.digest()));
    let mut outcome = Outcome::of(STEP, slice.batch(), began);
    outcome.rows_extracted = Some(manifest.rows("flights"));
    Ok(outcome)
}

fn copy_out(client: &mut Client, folder: &Path, slice: Slice, hold: &Hold) -> Result<Manifest, EtlError> {
    let mut transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .map_err(EtlError::database("begin"))?;
    let snapshot: String = transaction
        .query_one("select pg_current_snapshot()::text", &[])
        .map_err(EtlError::database("take a snapshot"))?
        .get(0);
    let mut files = BTreeMap::new();
    for table in TABLES {
        let name = table.name;
        if table.sliced_by.is_some() {
            // The tables beside it are on disk, the one that matters is not.
            hold.wait(STEP)?;
        }
        let months = slice.months();
        let rows = match table.sliced_by {
            Some(month) => format!("{name} where {month} between {} and {}", months.start(), months.end()),
            None => name.to_owned(),
        };
        let failed = || format!("extract the table {name}");
        let path = Manifest::file(folder, name);
        let mut file = CountedFile::create(&path)?;
        let copy = format!(
            "copy (select {} from {rows} order by {}) to stdout (format csv, header)",
            table.column_list(),
            table.key
        );
        let mut copied = transaction.copy_out(&copy).map_err(EtlError::database(failed()))?;
        io::copy(&mut copied, &mut file).map_err(EtlError::io("copy a table to", &path))?;
        drop(copied);
        let entry = file.finish()?;
        let count: i64 = transaction
            .query_one(&format!("select count(*) from {rows}"), &[])
            .map_err(EtlError::database(failed()))?
            .get(0);
        if entry.rows != count.unsigned_abs() {
            let problem = format!("{} rows were written, the same snapshot has {count}", entry.rows);
            return Err(EtlError::Input { path, problem });
        }
        progress(STEP, format_args!("{name}: {} rows, {} bytes", entry.rows, entry.bytes));
        files.insert(name.to_owned(), entry);
    }
    transaction.commit().map_err(EtlError::database("commit"))?;
    Ok(Manifest {
        step: STEP.into(),
        batch: slice.batch(),
        of: slice.of(),
        source: format!("snapshot {snapshot}"),
        files,
    })
}
