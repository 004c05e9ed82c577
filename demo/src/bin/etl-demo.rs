//! `etl-demo`: the ETL job on a real Mesos with volumes that follow its tasks.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use demo::acts::{self, ActsReport};
use demo::demonstration::report::Report;
use demo::demonstration::{Options, run, timeline};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Runs the flights ETL job on a real Mesos master and three agents in two zones, with three EBS volumes on emulated hosts. Needs root.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n\
\x20 etl-demo --report target/report.json\n\
\x20 etl-demo --acts --only agent-killed\n\n\
Exit codes: 0 PASS, 1 FAIL, 2 wrong usage."
)]
struct Cli {
    /// The job file.
    #[arg(long, default_value = "demo/flights.yaml")]
    job: PathBuf,
    /// Write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the timeline to this file, as SVG; with --acts one file an act, to this folder.
    #[arg(long, value_name = "PATH")]
    timeline: Option<PathBuf>,
    /// How long the job may take, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    limit: u64,
    /// Play the acts instead: what goes wrong in a cluster, done on purpose, each on a site of its own.
    #[arg(long, conflicts_with_all = ["job", "limit"])]
    acts: bool,
    /// Play this act only; may be given several times.
    #[arg(long, value_name = "NAME", requires = "acts")]
    only: Vec<String>,
    /// Leave everything running when the job is over, to look at the scheduler's page, until Ctrl-C.
    #[arg(long, conflicts_with = "acts")]
    stay: bool,
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
    if cli.acts {
        let report = acts::play(&cli.only, cli.keep, &stop);
        let mut report = report.unwrap_or_else(|error| ActsReport::failed(error.to_string()));
        for problem in [
            draw_acts(cli.timeline.as_deref(), &report),
            write(cli.report.as_deref(), &report),
        ] {
            problem.unwrap_or_else(|problem| report.problem(problem));
        }
        print!("{}", report.table());
        return exit_code(report.passed());
    }
    let options = Options {
        job: cli.job,
        limit: Duration::from_secs(cli.limit),
        keep: cli.keep,
        stay: cli.stay,
    };
    let mut report = run(&options, &stop).unwrap_or_else(|error| Report::failed(error.to_string()));
    for problem in [
        draw(cli.timeline.as_deref(), report.drawing.as_deref()),
        write(cli.report.as_deref(), &report),
    ] {
        problem.unwrap_or_else(|problem| report.problem(problem));
    }
    print!("{}", timeline::render(&report));
    exit_code(report.passed())
}

fn exit_code(passed: bool) -> ExitCode {
    match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Writes a drawing, if there is one and it is wanted.
fn draw(path: Option<&Path>, drawing: Option<&str>) -> Result<(), String> {
    let (Some(path), Some(drawing)) = (path, drawing) else {
        return Ok(());
    };
    fs::write(path, drawing).map_err(|error| format!("cannot write the timeline {}: {error}", path.display()))
}

fn draw_acts(folder: Option<&Path>, report: &ActsReport) -> Result<(), String> {
    let Some(folder) = folder else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
    let drawn = report.acts.iter().map(|act| {
        let path = folder.join(format!("{}.svg", act.name));
        draw(Some(&path), act.drawing.as_deref())
    });
    drawn.collect()
}

fn write(path: Option<&Path>, report: &impl Serialize) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    let mut text = serde_json::to_vec_pretty(report).expect("a report is plain data");
    text.push(b'\n');
    fs::write(path, text).map_err(|error| format!("cannot write the report {}: {error}", path.display()))
}
