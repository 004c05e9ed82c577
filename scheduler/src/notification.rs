//! Telling others how a job ended: a command, a webhook.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::job::{Command, Target};
use crate::plan::Plan;
use crate::state::{JobState, Millis, Standing};

/// How long one notification may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a command is looked after.
const POLL: Duration = Duration::from_millis(20);

/// What is told, as JSON.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    version: u32,
    job: &'a str,
    /// `finished` or `failed`.
    status: &'static str,
    failures: Vec<Failure<'a>>,
    framework_id: Option<&'a str>,
    started_ms: Millis,
    ended_ms: Millis,
}

/// A task that failed, and what never ran for that.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    task: &'a str,
    what: String,
    blocks: Vec<&'a str>,
}

impl<'a> Message<'a> {
    /// The message on the job of `plan`; `None` as long as it is not over.
    pub fn new(plan: &'a Plan, state: &'a JobState) -> Option<Self> {
        let end = state.end.as_ref()?;
        let failed = plan.tasks.iter().map(|task| task.name()).filter_map(|name| {
            let record = state.tasks.get(name)?;
            let last = record.attempts.last()?;
            (record.standing() == Standing::Failed).then(|| Failure {
                task: name,
                what: crate::machine::failure(name, last),
                blocks: plan.blocked_by(name).into_iter().collect(),
            })
        });
        Some(Self {
            version: 1,
            job: &plan.job,
            status: if end.failures.is_empty() { "finished" } else { "failed" },
            failures: failed.collect(),
            framework_id: state.framework_id.as_deref(),
            started_ms: state.started_ms,
            ended_ms: end.at_ms,
        })
    }
}

/// Tells everybody the job file names for this end, each within 30 s. Returns those that could not be told, with the
/// cause.
pub fn send(plan: &Plan, state: &JobState) -> Vec<(String, String)> {
    let Some(message) = Message::new(plan, state) else {
        return Vec::new();
    };
    let targets = match message.status {
        "finished" => &plan.notify.success,
        _ => &plan.notify.failure,
    };
    let body = serde_json::to_vec(&message).expect("a message has text keys only, so it is JSON");
    let mut failed = Vec::new();
    for target in targets {
        let (shown, outcome) = match target {
            Target::Webhook(url) => (url.clone(), post(url, &body)),
            Target::Command(command @ Command::Shell(line)) => (line.clone(), run(command, &message, &body)),
            Target::Command(command @ Command::Argv(argv)) => (argv.join(" "), run(command, &message, &body)),
        };
        failed.extend(outcome.err().map(|error| (shown, error)));
    }
    failed
}

fn post(url: &str, body: &[u8]) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build().into();
    let sent = agent.post(url).header("content-type", "application/json").send(body);
    sent.map(|_| ()).map_err(|error| error.to_string())
}

fn run(command: &Command, message: &Message<'_>, body: &[u8]) -> Result<(), String> {
    let mut process = match command {
        Command::Shell(line) => {
            let mut shell = process::Command::new("sh");
            shell.args(["-c", line]);
            shell
        }
        Command::Argv(argv) => {
            let mut program = process::Command::new(&argv[0]);
            program.args(&argv[1..]);
            program
        }
    };
    // Files and not pipes: a command that reads or writes nothing, or leaves children behind, blocks nobody.
    let files = || -> io::Result<(File, File)> {
        let mut input = tempfile::tempfile()?;
        input.write_all(body)?;
        input.rewind()?;
        Ok((input, tempfile::tempfile()?))
    };
    let begin = || -> io::Result<(process::Child, File)> {
        let (input, output) = files()?;
        let child = process
            .env("SCHEDULER_JOB", message.job)
            .env("SCHEDULER_STATUS", message.status)
            .stdin(input)
            .stdout(process::Stdio::null())
            .stderr(output.try_clone()?)
            .process_group(0)
            .spawn()?;
        Ok((child, output))
    };
    let mut begin = begin;
    let (mut child, mut output) = begin().map_err(|error| format!("cannot run it: {error}"))?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > LIMIT => {
                // It has ended if it cannot be killed.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not end within {} s and was killed", LIMIT.as_secs()));
            }
            None => thread::sleep(POLL),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    // What it said only explains; the status is what counts.
    let _ = output.rewind().and_then(|()| output.read_to_string(&mut said));
    match said.trim().lines().last() {
        Some(last) => Err(format!("{status}: {last}")),
        None => Err(status.to_string()),
    }
}
