//! `scheduler job`: the jobs of a running scheduler.

use std::path::PathBuf;

use clap::Subcommand;
use http_transport::Method;
use scheduler::job::Job;
use serde_json::Value;

use super::connection::ConnectionArgs;
use super::{head, members, text, time, took};
use crate::{Failure, read, usage};

const EXAMPLES: &str = "\
Examples:
  Add a job, or replace it, and run it now:
    scheduler job put nightly.yml
    scheduler job run nightly
  With a scheduler on another host that wants a token:
    export SCHEDULER_URL=https://scheduler.example.org:8180 SCHEDULER_TOKEN_FILE=/etc/scheduler/token
    scheduler job ls
  The names of the paused jobs:
    scheduler job ls --json | jq -r '.jobs[] | select(.paused) | .name'";

#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum JobCommand {
    /// List the jobs
    #[command(visible_alias = "list", after_help = EXAMPLES)]
    Ls {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show a job: its schedule, its runs and its file
    #[command(after_help = EXAMPLES)]
    Show {
        /// The job's name
        name: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Add a job, or replace the job of the same name
    #[command(after_help = EXAMPLES)]
    Put {
        /// The job file; `-` reads it from standard input
        file: PathBuf,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Remove a job and its ended runs
    #[command(after_help = EXAMPLES)]
    Rm {
        /// The job's name
        name: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Start a run of a job now
    #[command(after_help = EXAMPLES)]
    Run {
        /// The job's name
        name: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Pause the schedule of a job; its runs go on
    #[command(after_help = EXAMPLES)]
    Pause {
        /// The job's name
        name: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Resume the schedule of a job
    #[command(after_help = EXAMPLES)]
    Resume {
        /// The job's name
        name: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

pub(crate) fn job(command: JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Ls { connection } => connection.show("/v1/jobs", list),
        JobCommand::Show { name, connection } => {
            let runs = connection.get("/v1/runs")?;
            connection.show(&path(&name, ""), |job| details(job, &runs))
        }
        JobCommand::Put { file, connection } => {
            let content = read(&file, "job file")?;
            let in_file = |error: &dyn std::fmt::Display| {
                let error = error.to_string();
                let lines = error.lines().map(|line| format!("{}:{line}", file.display()));
                usage(lines.collect::<Vec<_>>().join("\n"))
            };
            let name = Job::parse(&content).map_err(|error| in_file(&error))?.name;
            let done = |_: &Value| format!("job {name} is on disk");
            connection.change(Method::Put, &path(&name, ""), Some(content.as_bytes()), done)
        }
        JobCommand::Rm { name, connection } => connection.change(Method::Delete, &path(&name, ""), None, |_| {
            format!("job {name} is removed")
        }),
        JobCommand::Run { name, connection } => {
            connection.change(Method::Post, &path(&name, "/run"), None, |response| {
                format!("run {} is started", text(&response["run"]))
            })
        }
        JobCommand::Pause { name, connection } => connection.change(Method::Post, &path(&name, "/pause"), None, |_| {
            format!("the schedule of job {name} is paused")
        }),
        JobCommand::Resume { name, connection } => {
            connection.change(Method::Post, &path(&name, "/resume"), None, |_| {
                format!("the schedule of job {name} is resumed")
            })
        }
    }
}

fn path(name: &str, action: &str) -> String {
    format!("/v1/jobs/{}{action}", super::connection::segment(name))
}

fn list(response: &Value) -> String {
    let mut rows = vec![head(&["JOB", "RUNNING", "RUNS", "NEXT (UTC)"])];
    for job in members(response, "jobs") {
        let next = match job["paused"].as_bool() {
            Some(true) => "paused".to_owned(),
            _ => time(&job["next_ms"]),
        };
        let runs = members(job, "runs").len().to_string();
        rows.push(vec![text(&job["name"]), text(&job["active_run"]), runs, next]);
    }
    match rows.len() {
        1 => "no jobs; 'scheduler job put FILE' adds one\n".to_owned(),
        _ => foreign_text::columns(&rows),
    }
}

fn details(job: &Value, runs: &Value) -> String {
    let mut rows = vec![head(&["RUN", "STATUS", "STARTED (UTC)", "TOOK", "MESSAGE"])];
    for run in members(runs, "runs").iter().filter(|run| run["job"] == job["name"]) {
        rows.push(vec![
            text(&run["run"]),
            text(&run["status"]),
            time(&run["started_ms"]),
            took(&run["started_ms"], &run["ended_ms"]),
            text(&run["message"]),
        ]);
    }
    let next = match job["paused"].as_bool() {
        Some(true) => "paused".to_owned(),
        _ => time(&job["next_ms"]),
    };
    let file = job["file"].as_str().unwrap_or_default();
    format!(
        "job      {}\nnext     {next}\nrunning  {}\n\n{}\n{}",
        text(&job["name"]),
        text(&job["active_run"]),
        foreign_text::columns(&rows),
        foreign_text::escaped_lines(file)
    )
}
