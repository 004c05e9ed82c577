//! `bench`: the module beside Mesos' own docker/volume isolator, and its parts beside their floors.
//!
//! Every comparison takes turns: one of each in every round, so that a busy machine slows all sides alike, and ratios are
//! taken within a round.

mod bare;
mod client;
mod facade;
mod figures;
mod footprint;
mod hung;
mod jobs;
mod launch;
mod machine;
mod peer;
mod plugin;
mod prepare;
mod recover;
mod relay;
mod report;
mod scratch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

/// For `--help`.
const EXAMPLES: &str = "\
Examples:
  bench                            measure everything but jobs
  bench --quick launch prepare     two measurements, with fewer rounds
  bench --json figures.json        write the figures to a file as well";

/// Measures the module beside Mesos' own docker/volume isolator, and its parts beside their floors. Needs root, and a
/// release build of the whole workspace: scripts/bench makes both sure.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    /// Fewer rounds: under three minutes instead of under twenty, and noisier.
    #[arg(long)]
    quick: bool,
    /// Write the figures as JSON to this file as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What to measure; everything but jobs unless given.
    #[arg(value_enum)]
    only: Vec<Measurement>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// A part of a measurement that needs a process of its own.
#[derive(Debug, Subcommand)]
enum Part {
    /// One recovery, with its time and memory as JSON.
    #[command(hide = true)]
    Recover {
        /// How many records there are.
        records: usize,
        /// How often it is repeated.
        repeats: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Tasks on agents that differ only in isolation.
    Launch,
    /// One prepare beside the fsyncs it needs.
    Prepare,
    /// Agent start with 100 to 100,000 records.
    Recover,
    /// A healthy driver while another hangs.
    HungDriver,
    /// Size, threads, memory.
    Footprint,
    /// The driver client beside a bare exchange of the same bytes.
    Client,
    /// A thousand jobs of three tasks through the scheduler. Only when asked for.
    Jobs,
}

impl Measurement {
    /// Whether it is about the module, and so part of the whole.
    fn by_default(self) -> bool {
        self != Measurement::Jobs
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    quick: bool,
}

impl Effort {
    /// A number for the quick run and one for the whole.
    fn choose<T>(self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Recover { records, repeats }) => recover::part(records, repeats),
        None => measure(&cli),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<()> {
    let effort = Effort { quick: cli.quick };
    let begin = Instant::now();
    let mut figures = Map::new();
    figures.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    figures.insert("quick".to_owned(), json!(cli.quick));
    let before = machine::state()?;
    println!("{}", machine::line(&before));
    for measurement in Measurement::value_variants() {
        let chosen = match cli.only.as_slice() {
            [] => measurement.by_default(),
            only => only.contains(measurement),
        };
        if !chosen {
            continue;
        }
        eprintln!("measuring {measurement:?} ..");
        let section = match measurement {
            Measurement::Launch => launch::run(effort),
            Measurement::Prepare => prepare::run(effort),
            Measurement::Recover => recover::run(effort),
            Measurement::HungDriver => hung::run(effort),
            Measurement::Footprint => footprint::run(),
            Measurement::Client => client::run(effort),
            Measurement::Jobs => jobs::run(effort),
        }
        .with_context(|| format!("measuring {measurement:?}"))?;
        println!("{}", section.table());
        let (name, json) = section.json();
        figures.insert(name, json);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let after = machine::state()?;
    println!("took {seconds:.0} s; {}", machine::line(&after));
    figures.insert(
        "machine".to_owned(),
        json!({"before": before, "after": after, "seconds": seconds}),
    );
    if let Some(path) = &cli.json {
        let text = serde_json::to_string_pretty(&Value::Object(figures))? + "\n";
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
