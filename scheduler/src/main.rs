//! The command line: `scheduler run`, `check`, `serve`, `claims` and `declare-dead`, and the commands for a
//! running `serve`: `job`, `run ls|show|...` and `volume`.
#![forbid(unsafe_code)]

mod claims;
mod client;
mod dead;
mod framework_args;
mod listen;
mod serve;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use framework_args::FrameworkArgs;
use label_mapper::{Catalogue, Spelling};
use mesos_http::tls::{Tls, TlsFiles};
use scheduler::bounded::supervise;
use scheduler::clock::Clock;
use scheduler::framework::RunError;
use scheduler::job::{Job, Schedule};
use scheduler::one_job;
use scheduler::plan::{Plan, Volumes};
use scheduler::progress::Progress;
use scheduler::report::Report;
use scheduler::state::{JobState, Millis, Standing};
use scheduler::store::Store;
use volume_labels::counted;

/// How many times of a schedule `check --explain` prints.
const NEXT_TIMES: usize = 3;
/// Longest job file or catalogue that is read: a listing has about 1 KB for each volume.
const MAX_BYTES: u64 = 256 << 20;

/// A task of the job failed.
const FAILED: u8 = 1;
/// Wrong usage: the command line (clap's own code), the job file, the catalogue, or the state folder.
const USAGE: u8 = 2;
/// The master refuses the framework for good, or has removed it.
const REFUSED: u8 = 3;
/// The state cannot be written any more.
const STATE: u8 = 4;

/// What `scheduler run --help` ends with.
const RUN_EXAMPLES: &str = "\
Examples:
  Show what the tasks would request, without a master:
    scheduler run etl.yml --dry-run
  Run a job; when this is killed, the same command goes on where it stopped:
    scheduler run etl.yml --master 10.0.0.1:5050,10.0.0.2:5050 --state /var/lib/etl/2026-11-28
  With volumes named by their Name tags, and a report:
    aws ec2 describe-volumes > volumes.json
    scheduler run etl.yml --master 10.0.0.1:5050 --state runs/1 --catalogue volumes.json --report report.json
  Where the master asks for credentials and has TLS:
    scheduler run etl.yml --master https://master.example.org:5050 --ca-file ca.pem --state runs/1 \\
      --principal etl --secret-file /etc/scheduler/secret
  Show why a run of 'scheduler serve' is not further:
    scheduler run explain etl.7 --url http://127.0.0.1:8180";

/// Runs a job file on Mesos: tasks with volumes, each after the tasks it depends on.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n\
\x20 scheduler check job.yml --explain\n\
\x20 scheduler run job.yml --master 10.0.0.1:5050 --state /var/lib/job\n\
\x20 scheduler serve --master 10.0.0.1:5050 --state /var/lib/scheduler\n\n\
Exit codes: 0 the job is done; 1 a task failed; 2 wrong usage, job file, catalogue or state folder; \
                  3 the master refuses the framework; 4 the state cannot be written. After 3 and 4 tasks may still run."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a job until it is over; with the state folder of an earlier run, continue where that run
    /// stopped. Or show, explain and cancel the runs of a running `scheduler serve`
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = RUN_EXAMPLES)]
    Run(Box<client::RunOr<RunArgs>>),
    /// List, add, run, pause and remove the jobs of a running `scheduler serve`
    #[command(subcommand)]
    Job(client::JobCommand),
    /// Show who holds which volume, as a running `scheduler serve` knows it
    #[command(subcommand)]
    Volume(client::VolumeCommand),
    /// Check a job file, and print its mistakes with line numbers
    #[command(after_help = "Examples:\n\
\x20 scheduler check job.yml\n\
\x20 scheduler check job.yml --explain --catalogue volumes.json")]
    Check {
        #[command(flatten)]
        job: JobArgs,
        /// Print what each task would request from an agent, and the next three times of the
        /// schedule
        #[arg(long)]
        explain: bool,
    },
    /// Run many jobs, by schedule and on request, and serve an HTTP API
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<serve::ServeArgs>),
    /// Declare that a task does not run, when the master cannot say whether it runs: its agent is
    /// gone for good, or is back under another id. If the task still writes, its volume then has
    /// two writers
    #[command(after_help = "Examples:\n\
\x20 scheduler declare-dead --state /var/lib/scheduler nightly.1.load.1")]
    DeclareDead(dead::DeadArgs),
    /// Show the claim ledger, or rebuild it
    #[command(subcommand)]
    #[command(after_help = "Examples:\n\
\x20 scheduler claims ls --state /var/lib/scheduler\n\
\x20 scheduler claims rebuild --master 10.0.0.1:5050 --catalogue volumes.json")]
    Claims(claims::ClaimsCommand),
    /// Run a command and kill whatever it has started; the scheduler itself calls this
    #[command(hide = true)]
    Supervise(SuperviseArgs),
}

#[derive(Args)]
struct SuperviseArgs {
    /// The time limit, in milliseconds
    #[arg(long)]
    limit_ms: u64,
    /// The user's id
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// The group's id
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct JobArgs {
    /// The job file; `-` reads it from standard input
    file: PathBuf,
    /// What `aws ec2 describe-volumes` printed, or a catalogue file with volumes and aliases, to look volumes up by id, alias
    /// or Name tag. May be repeated. Without it a volume's name in the job file is its id
    #[arg(long, value_name = "FILE", env = "SCHEDULER_CATALOGUE")]
    catalogue: Vec<PathBuf>,
    /// How labels spell the volumes of the catalogue: `id`, or `name` for agents without a `name_map` file
    #[arg(long, value_enum, default_value_t)]
    spelling: Spelling,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    job: JobArgs,
    /// The masters, of which one leads; `https://HOST:PORT` for TLS
    #[arg(
        long,
        value_name = "HOST:PORT,...",
        env = "SCHEDULER_MASTER",
        required_unless_present = "dry_run"
    )]
    master: Option<String>,
    /// The folder that keeps the job's state, made when missing; one for each run of a job
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    state: Option<PathBuf>,
    #[command(flatten)]
    framework: FrameworkArgs,
    /// Write a report about the job to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Print what each task would request from an agent, and launch nothing
    #[arg(long)]
    dry_run: bool,
}

/// For addresses with `https://`, whose certificates are always verified.
#[derive(Args, Clone)]
struct TlsArgs {
    /// The certificate authorities that certificates of the other side have to be from, in PEM; without it
    /// those that this host trusts
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate to show to servers that want one, in PEM, with its chain
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl TlsArgs {
    fn load(&self) -> Result<Option<Tls>, Failure> {
        if self.ca_file.is_none() && self.cert.is_none() {
            return Ok(None);
        }
        let files = TlsFiles {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert.clone(),
            key_file: self.key.clone(),
        };
        Tls::load(&files).map(Some).map_err(usage)
    }
}

/// One line or more for stderr, and the exit code.
struct Failure(String, u8);

fn usage(message: impl ToString) -> Failure {
    Failure(message.to_string(), USAGE)
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => match *arguments {
            client::RunOr::Ask(command) => client::run(command),
            client::RunOr::File(job) => run_job(job),
        },
        Command::Job(command) => client::job(command),
        Command::Volume(command) => client::volume(command),
        Command::Check { job, explain } => check(&job, explain),
        Command::Serve(arguments) => serve::serve(*arguments),
        Command::DeclareDead(arguments) => dead::declare_dead(&arguments),
        Command::Claims(command) => claims::claims(command),
        Command::Supervise(arguments) => {
            let limit = Duration::from_millis(arguments.limit_ms);
            let ids = arguments.uid.zip(arguments.gid);
            return ExitCode::from(supervise(limit, ids, &arguments.command));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(message, code)) => {
            for line in message.lines() {
                eprintln!("scheduler: {line}");
            }
            ExitCode::from(code)
        }
    }
}

fn check(arguments: &JobArgs, explain: bool) -> Result<(), Failure> {
    let (plan, schedule) = plan(arguments)?;
    let text = match explain {
        true => explained(&plan) + &schedule.as_ref().map(times).unwrap_or_default(),
        false => format!(
            "{}: job '{}', {}\n",
            arguments.file.display(),
            plan.job,
            counted(plan.tasks.len(), "task")
        ),
    };
    print(&text)
}

fn run_job(arguments: RunArgs) -> Result<(), Failure> {
    let (plan, _) = plan(&arguments.job)?;
    if arguments.dry_run {
        return print(&explained(&plan));
    }
    let folder = arguments.state.as_deref().ok_or_else(|| usage("--state is missing"))?;
    let masters = arguments.master.clone().ok_or_else(|| usage("--master is missing"))?;
    let framework = arguments.framework.framework(&plan.job, masters)?;
    let clock = Clock::start();
    let store = Store::open(folder).map_err(usage)?;
    let state = store.load(&plan, clock.now()).map_err(usage)?;
    let was_over = state.end.is_some();
    if let Some(end) = state.end.as_ref().filter(|_| !arguments.json) {
        let outcome = if end.failures.is_empty() {
            "is done"
        } else {
            "has failed"
        };
        print(&format!(
            "the job in {} {outcome} already; to run it again, name another --state folder\n",
            folder.display()
        ))?;
    }
    let (json, started) = (arguments.json, clock.now());
    let report = move |now: Millis, _: Option<&String>, progress: &Progress| {
        // What this process ends with says the same.
        let is_failure = matches!(progress, Progress::Ended { failures, .. } if !failures.is_empty());
        if json || !is_failure {
            print_progress(json, now, now - started, progress);
        }
    };
    let (state, ended) = one_job::run(plan.clone(), state, store, &framework, &clock, Box::new(report));
    let outcome = conclusion(ended, &state, json || was_over);
    if let Some(path) = &arguments.report {
        let stopped = outcome.as_ref().err().map(|Failure(message, _)| message.clone());
        let written = Report::new(&plan, &state, stopped).write(path);
        written.map_err(|error| Failure(format!("cannot write the report {}: {error}", path.display()), STATE))?;
    }
    outcome
}

/// How the job ended. `in_full`: the causes of failures were not printed as text when they came.
fn conclusion(outcome: Result<(), RunError>, state: &JobState, in_full: bool) -> Result<(), Failure> {
    outcome.map_err(|error| match error {
        RunError::Store(_) => Failure(error.to_string(), STATE),
        RunError::Address(_) => usage(error),
        RunError::Master { .. } | RunError::Credentials { .. } => Failure(error.to_string(), REFUSED),
    })?;
    match &state.end {
        Some(end) if end.failures.is_empty() => Ok(()),
        Some(end) => {
            let failed = state
                .tasks
                .iter()
                .filter(|(_, record)| record.standing() == Standing::Failed);
            let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
            let mut lines = match in_full || failed.is_empty() {
                true => end.failures.clone(),
                false => vec![format!("the job has failed: {}", failed.join(", "))],
            };
            if !end.blocked.is_empty() {
                lines.push(format!("not started because of that: {}", end.blocked.join(", ")));
            }
            Err(Failure(lines.join("\n"), FAILED))
        }
        None => Err(Failure(
            "the connection to the master ended before the job did".to_owned(),
            REFUSED,
        )),
    }
}

/// Reads job file and catalogue; every line of an error begins with the file, as compilers write it.
fn plan(arguments: &JobArgs) -> Result<(Plan, Option<Schedule>), Failure> {
    let text = read(&arguments.file, "job file")?;
    let in_file = |error: String| {
        let each = error.lines().map(|line| format!("{}:{line}", arguments.file.display()));
        usage(each.collect::<Vec<_>>().join("\n"))
    };
    let job = Job::parse(&text).map_err(|error| in_file(error.to_string()))?;
    let volumes = match arguments.catalogue.as_slice() {
        [] => None,
        files => Some(Volumes {
            catalogue: catalogue(files)?,
            spelling: arguments.spelling,
        }),
    };
    let schedule = job.schedule.clone();
    let plan = Plan::new(job, volumes.as_ref()).map_err(|error| in_file(error.to_string()))?;
    Ok((plan, schedule))
}

/// The schedule with the next times at which `scheduler serve` would begin the job.
fn times(schedule: &Schedule) -> String {
    let mut text = format!("schedule     {}\n", schedule.text());
    let mut now = Clock::start().now();
    for _ in 0..NEXT_TIMES {
        let (Some(next), Some(next_ms)) = (schedule.next_zoned(now), schedule.next(now)) else {
            break;
        };
        let zone = next.time_zone().iana_name().unwrap_or("");
        text += format!("  next       {} {zone}", next.strftime("%a %Y-%m-%d %H:%M %:z")).trim_end();
        text.push('\n');
        now = next_ms;
    }
    text
}

fn catalogue(files: &[PathBuf]) -> Result<Catalogue, Failure> {
    let texts: Vec<String> = files
        .iter()
        .map(|path| match path == Path::new("-") {
            true => read(path, "catalogue"),
            // It decides which volume a name means, so only root and the caller may have written
            // it.
            false => {
                let bytes = operator_files::read_bytes(path, MAX_BYTES)
                    .map_err(|error| usage(format!("cannot read the catalogue {error}")))?;
                label_mapper::decoded(bytes)
                    .map_err(|error| usage(format!("cannot read the catalogue {}: {error}", path.display())))
            }
        })
        .collect::<Result<_, _>>()?;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let named: Vec<String> = names.iter().map(|name| format!("catalogue {name}")).collect();
    let sources = named.iter().map(String::as_str).zip(texts.iter().map(String::as_str));
    Catalogue::from_sources(sources).map_err(|error| usage(format!("catalogue {}: {error}", names.join(", "))))
}

fn read(path: &Path, what: &str) -> Result<String, Failure> {
    let failed = |error: String| usage(format!("cannot read the {what} {}: {error}", path.display()));
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let mut input = std::io::stdin().take(MAX_BYTES + 1);
        input
            .read_to_end(&mut bytes)
            .map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed(format!("it has more than {MAX_BYTES} bytes")));
        }
        bytes
    } else {
        operator_files::read_given_bytes(path, MAX_BYTES)
            .map_err(|error| usage(format!("cannot read the {what} {error}")))?
    };
    label_mapper::decoded(bytes).map_err(|error| failed(error.to_string()))
}

/// What each task requests from an agent.
fn explained(plan: &Plan) -> String {
    let mut text = String::new();
    for task in &plan.tasks {
        text += &format!("{}\n", task.name());
        if !task.task.after.is_empty() {
            let after: Vec<&str> = task.task.after.iter().map(String::as_str).collect();
            text += &format!("  after      {}\n", after.join(", "));
        }
        text += &format!("  resources  cpus:{};mem:{}", task.task.cpus, task.task.mem);
        let claims: Vec<&str> = task.items().into_iter().collect();
        if !claims.is_empty() {
            text += &format!(";{}:{{{}}}", label_mapper::EBS_VOLUMES, claims.join(","));
        }
        text.push('\n');
        if let Some(zone) = &task.zone {
            text += &format!("  zone       {zone}\n");
        }
        for (key, value) in task.labels() {
            text += &format!("  label      {key}={value}\n");
        }
    }
    text
}

fn print_progress(json: bool, now: Millis, since_start: Millis, progress: &Progress) {
    let line = if json {
        let mut object = serde_json::to_value(progress).expect("progress has text keys only, so it is JSON");
        object["at_ms"] = now.into();
        object.to_string()
    } else {
        format!("[{:7.1}] {progress}", since_start as f64 / 1000.0)
    };
    // A reader that has gone away must not end the job.
    let _ = match progress.is_warning() && !json {
        true => writeln!(std::io::stderr(), "{line}"),
        false => writeln!(std::io::stdout(), "{line}"),
    };
}

/// As [`print_progress`], for one run of a service.
fn print_run_progress(json: bool, now: Millis, run: Option<&String>, progress: &Progress) {
    let line = if json {
        let mut object = serde_json::to_value(progress).expect("progress has text keys only, so it is JSON");
        object["at_ms"] = now.into();
        object["run"] = serde_json::json!(run);
        object.to_string()
    } else {
        match run {
            Some(run) => format!("{run}: {progress}"),
            None => progress.to_string(),
        }
    };
    let _ = match progress.is_warning() && !json {
        true => writeln!(std::io::stderr(), "{line}"),
        false => writeln!(std::io::stdout(), "{line}"),
    };
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure(format!("cannot write to standard output: {error}"), STATE))
}
