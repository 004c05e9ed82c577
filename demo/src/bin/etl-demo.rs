//! `etl-demo`: the ETL job on a real Mesos with volumes that follow its tasks.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use demo::demonstration::report::Report;
use demo::demonstration::{Options, run, timeline};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Runs the flights ETL job on a real Mesos master and two agents, with three EBS volumes on emulated hosts. Needs root.
#[derive(Debug, Parser)]
#[command(version, after_help = "Exit codes: 0 PASS, 1 FAIL, 2 wrong usage.")]
struct Cli {
    /// The job file.
    #[arg(long, default_value = "demo/flights.yaml")]
    job: PathBuf,
    /// Write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How long the job may take, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    limit: u64,
    /// Keep the folder with logs and sandboxes.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("etl-demo: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    let options = Options {
        job: cli.job,
        limit: Duration::from_secs(cli.limit),
        keep: cli.keep,
    };
    let mut report = run(&options, &stop).unwrap_or_else(|error| Report::failed(error.to_string()));
    if let Some(path) = &cli.report
        && let Err(error) = write(path, &report)
    {
        report.problem(format!("cannot write the report {}: {error}", path.display()));
    }
    print!("{}", timeline::render(&report));
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    fs::write(path, text)
}
