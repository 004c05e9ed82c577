//! `scheduler run ls|show|explain|cancel|logs`: the runs of a running scheduler.

use clap::{ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum};
use http_transport::Method;
use serde_json::Value;

use super::connection::{ConnectionArgs, segment};
use super::{head, members, text, time, took};
use crate::{Failure, print};

const EXAMPLES: &str = "\
Examples:
  The runs of a running scheduler, failed ones only:
    scheduler run ls --status failed
  Why has this run not finished, and what did its task write?
    scheduler run explain nightly.12
    scheduler run logs nightly.12 extract";

#[derive(Subcommand)]
pub(crate) enum RunCommand {
    /// List the runs of a running scheduler, the latest first
    #[command(visible_alias = "list", after_help = EXAMPLES)]
    Ls {
        /// Only the runs of this job
        #[arg(long, value_name = "NAME")]
        job: Option<String>,
        /// Only runs with this status
        #[arg(long, value_enum)]
        status: Option<Status>,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show the tasks of a run: state, agent, attempts and message
    #[command(after_help = EXAMPLES)]
    Show {
        /// The run's id, `JOB.NUMBER`
        run: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show why each task of a run has not finished
    #[command(after_help = EXAMPLES)]
    Explain {
        /// The run's id, `JOB.NUMBER`
        run: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Start no further task of a run, and kill those that run
    #[command(after_help = EXAMPLES)]
    Cancel {
        /// The run's id, `JOB.NUMBER`
        run: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Print the end of what a task wrote, from the sandbox of its last attempt
    #[command(after_help = EXAMPLES)]
    Logs {
        /// The run's id, `JOB.NUMBER`
        run: String,
        /// The task's name in the job file
        task: String,
        /// Which of its files
        #[arg(long, value_enum, default_value_t = Output::Stderr)]
        file: Output,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

/// `run FILE`, whose arguments are `File`, or `run ls` and the like. A job file that is named like a
/// command is given as `./ls`.
pub(crate) enum RunOr<File> {
    /// Run a job file.
    File(File),
    /// Ask a running scheduler.
    Ask(RunCommand),
}

impl<File: Args> FromArgMatches for RunOr<File> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some(_) => RunCommand::from_arg_matches(matches).map(Self::Ask),
            None => File::from_arg_matches(matches).map(Self::File),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<File: Args> Args for RunOr<File> {
    fn augment_args(command: clap::Command) -> clap::Command {
        RunCommand::augment_subcommands(File::augment_args(command)).subcommand_required(false)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// The status of a run in the API.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    /// Not over
    Running,
    /// All tasks are done
    Finished,
    /// A task failed, or the run was cancelled
    Failed,
}

/// What a task writes, as Mesos names the files in its sandbox.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    /// Its standard error
    Stderr,
    /// Its standard output
    Stdout,
}

pub(crate) fn run(command: RunCommand) -> Result<(), Failure> {
    match command {
        RunCommand::Ls {
            job,
            status,
            connection,
        } => connection.show("/v1/runs", |response| {
            let status = status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
            list(response, job.as_deref(), status.as_deref())
        }),
        RunCommand::Show { run, connection } => connection.show(&path(&run, ""), details),
        RunCommand::Explain { run, connection } => connection.show(&path(&run, "/explain"), explanation),
        RunCommand::Cancel { run, connection } => connection.change(Method::Post, &path(&run, "/cancel"), None, |_| {
            format!("run {run} is being cancelled")
        }),
        RunCommand::Logs {
            run,
            task,
            file,
            connection,
        } => {
            let file = match file {
                Output::Stderr => "stderr",
                Output::Stdout => "stdout",
            };
            let path = path(&run, &format!("/tasks/{}/{file}", segment(&task)));
            print(&foreign_text::escaped_lines(&connection.request(
                Method::Get,
                &path,
                None,
            )?))
        }
    }
}

fn path(run: &str, action: &str) -> String {
    format!("/v1/runs/{}{action}", segment(run))
}

fn list(response: &Value, job: Option<&str>, status: Option<&str>) -> String {
    let wanted = |run: &&Value| {
        let is = |name: &str, value: Option<&str>| value.is_none_or(|value| run[name] == value);
        is("job", job) && is("status", status)
    };
    let mut runs: Vec<&Value> = members(response, "runs").iter().filter(wanted).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run["started_ms"].as_u64()));
    let mut rows = vec![head(&["RUN", "STATUS", "STARTED (UTC)", "TOOK", "MESSAGE"])];
    rows.extend(runs.iter().map(|run| {
        vec![
            text(&run["run"]),
            text(&run["status"]),
            time(&run["started_ms"]),
            took(&run["started_ms"], &run["ended_ms"]),
            text(&run["message"]),
        ]
    }));
    match rows.len() {
        1 => "no such runs\n".to_owned(),
        _ => foreign_text::columns(&rows),
    }
}

fn details(run: &Value) -> String {
    let mut rows = vec![head(&["TASK", "STATE", "AGENT", "VOLUMES", "LAUNCHES", "MESSAGE"])];
    for task in members(run, "tasks") {
        let volumes: Vec<String> = members(task, "volumes")
            .iter()
            .map(|volume| text(&volume["name"]))
            .collect();
        rows.push(vec![
            text(&task["name"]),
            text(&task["standing"]),
            text(&task["agent"]["hostname"]),
            if volumes.is_empty() {
                "-".to_owned()
            } else {
                volumes.join(",")
            },
            members(task, "attempts").len().to_string(),
            text(&task["message"]),
        ]);
    }
    format!(
        "job      {}\nstatus   {}\nstarted  {} UTC\ntook     {}\nmessage  {}\n\n{}",
        text(&run["job"]),
        text(&run["status"]),
        time(&run["started_ms"]),
        took(&run["started_ms"], &run["ended_ms"]),
        text(&run["message"]),
        foreign_text::columns(&rows)
    )
}

fn explanation(response: &Value) -> String {
    let mut out = String::new();
    for task in members(response, "tasks") {
        out += &format!("{}  {}\n", text(&task["task"]), text(&task["standing"]));
        for why in members(task, "why") {
            out += &format!("  {}\n", text(why));
        }
    }
    out
}
