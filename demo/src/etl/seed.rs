//! The source: a database with the tables of the package.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::outcome::progress;
use super::server::Postgres;
use super::tables::TABLES;
use super::{EtlError, Outcome};
use crate::dataset::Dataset;

const STEP: &str = "seed";

/// Makes a database on the folder `src` and fills it from `data`, all tables in one transaction. Does nothing when that
/// was done before.
///
/// # Errors
/// [`EtlError`]; it can be run again.
pub fn seed(postgres: &Postgres, data: &Dataset, src: &Path, log: &Path) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    postgres.ensure_cluster(src)?;
    let server = postgres.start(src, log)?;
    progress(STEP, format_args!("PostgreSQL runs on {}", src.display()));
    let mut client = server.connect()?;
    let done: bool = client
        .query_one("select to_regclass('public.flights') is not null", &[])
        .map_err(EtlError::database("look for the tables"))?
        .get(0);
    if !done {
        let mut transaction = client.transaction().map_err(EtlError::database("begin"))?;
        for table in TABLES {
            let name = table.name;
            let failed = || format!("load the table {name}");
            transaction
                .batch_execute(&table.create())
                .map_err(EtlError::database(failed()))?;
            let copy = format!(
                "copy {name} ({}) from stdin (format csv, header, null 'NA')",
                table.column_list()
            );
            let rows = data.read(name, |csv| {
                let mut writer = transaction.copy_in(&copy).map_err(EtlError::database(failed()))?;
                io::copy(csv, &mut writer).map_err(EtlError::io("load the original data of", Path::new(name)))?;
                writer.finish().map_err(EtlError::database(failed()))
            })?;
            progress(STEP, format_args!("{name}: {rows} rows"));
        }
        transaction.commit().map_err(EtlError::database("commit"))?;
    }
    let flights: i64 = client
        .query_one("select count(*) from flights", &[])
        .map_err(EtlError::database("count the flights"))?
        .get(0);
    drop(client);
    server.stop()?;
    let mut outcome = Outcome::of(STEP, 0, began);
    outcome.already_done = done;
    outcome.rows_seeded = Some(flights.unsigned_abs());
    Ok(outcome)
}
