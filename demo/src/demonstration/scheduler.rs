//! The scheduler as a child process: its events as they come, its report at the end.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;
use testbed::built;

use super::DemoError;
use super::site::Site;

/// What the scheduler tells while it runs; only what is used here.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is subscribed.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// A task is being launched.
    Launched {
        /// The task.
        task: String,
        /// The attempt.
        task_id: String,
        /// Where.
        agent: Agent,
        /// Its volumes, as a person reads them.
        volumes: Vec<String>,
    },
    /// A task's state has changed.
    State {
        /// The task.
        task: String,
        /// The new state.
        state: String,
        /// In whose words.
        message: Option<String>,
    },
    /// A task that may run has no agent.
    Waiting {
        /// The task.
        task: String,
        /// Each reason with the agents it is the reason of.
        reasons: Vec<(String, Vec<String>)>,
    },
    /// The process ends; no more events come.
    #[serde(skip)]
    Ended,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// An agent, as the scheduler names it.
#[derive(Debug, Clone, Deserialize)]
pub struct Agent {
    /// Its host.
    pub hostname: String,
}

impl Event {
    /// One line for a person, if it is worth one.
    pub fn human(&self) -> Option<String> {
        match self {
            Event::Connected { framework_id } => Some(format!("scheduler subscribed as {framework_id}")),
            Event::Launched {
                task, agent, volumes, ..
            } => Some(format!(
                "{task:<10} launched on {} with {}",
                agent.hostname,
                volumes.join(", ")
            )),
            Event::State { task, state, message } => {
                let message = message
                    .as_ref()
                    .map(|message| format!(": {message}"))
                    .unwrap_or_default();
                Some(format!("{task:<10} {state}{message}"))
            }
            Event::Waiting { task, reasons } => {
                let why = reasons
                    .iter()
                    .map(|(reason, agents)| format!("{}: {reason}", agents.join(", ")));
                Some(format!("{task:<10} waits: {}", why.collect::<Vec<_>>().join("; ")))
            }
            Event::Ended | Event::Other => None,
        }
    }
}

/// The scheduler's report; only what is used here.
#[derive(Debug, Clone, Deserialize)]
pub struct JobReport {
    /// `finished`, `failed` or `stopped`.
    pub status: String,
    /// Why it failed or stopped.
    pub message: Option<String>,
    /// When the job began, in milliseconds since 1970.
    pub started_ms: u64,
    /// The tasks, in the order of the job file.
    pub tasks: Vec<JobTask>,
}

/// A task in the scheduler's report.
#[derive(Debug, Clone, Deserialize)]
pub struct JobTask {
    /// Its name.
    pub name: String,
    /// Its volumes.
    pub volumes: Vec<JobVolume>,
    /// Where its last attempt ran.
    pub agent: Option<Agent>,
    /// When that was launched, in milliseconds since 1970.
    pub launched_ms: Option<u64>,
    /// Its state.
    pub status: Option<String>,
    /// Its words.
    pub message: Option<String>,
    /// When which state came.
    pub times: Vec<JobTime>,
    /// All attempts.
    pub attempts: Vec<serde_json::Value>,
}

/// A volume of a task in the scheduler's report.
#[derive(Debug, Clone, Deserialize)]
pub struct JobVolume {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// A state with its time.
#[derive(Debug, Clone, Deserialize)]
pub struct JobTime {
    /// The state.
    pub state: String,
    /// In milliseconds since 1970.
    pub at_ms: u64,
}

/// The running scheduler. Dropping it kills it.
#[derive(Debug)]
pub struct Scheduler {
    child: Child,
    events: Receiver<String>,
    /// Passes on what it says on standard error, and keeps the last line.
    warnings: Option<JoinHandle<Option<String>>>,
    report: PathBuf,
}

impl Scheduler {
    /// Starts it on a job file.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn start(site: &Site, job: &Path, catalogue: &Path) -> Result<Scheduler, DemoError> {
        let program = built("scheduler", "scheduler")?;
        let folder = site.cluster().folder().join("scheduler");
        fs::create_dir_all(&folder).map_err(DemoError::io("make", &folder))?;
        let report = folder.join("report.json");
        let job = job.canonicalize().map_err(DemoError::io("find the job file", job))?;
        let mut child = Command::new(&program)
            // In the cluster's folder, so that whoever cleans up after a killed demonstration finds it.
            .current_dir(&folder)
            .arg("run")
            .arg(job)
            .args(["--json", "--master", &site.cluster().master().address()])
            .arg("--catalogue")
            .arg(catalogue)
            .arg("--state")
            .arg(folder.join("state"))
            .arg("--report")
            .arg(&report)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(DemoError::io("run", program))?;
        let (send, events) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                // The receiver goes when the scheduler is dropped.
                lines.into_iter().try_for_each(|line| send.send(line))
            });
        }
        let warnings = child.stderr.take().map(|output| {
            thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                lines.inspect(|line| eprintln!("{line}")).last()
            })
        });
        Ok(Scheduler {
            child,
            events,
            warnings,
            report,
        })
    }

    /// The next event; none if none comes within `limit`.
    ///
    /// # Errors
    /// [`DemoError::Unreadable`].
    pub fn next(&mut self, limit: Duration) -> Result<Option<Event>, DemoError> {
        match self.events.recv_timeout(limit) {
            Ok(line) => {
                let event = serde_json::from_str(&line);
                event
                    .map(Some)
                    .map_err(|source| DemoError::Unreadable { what: "event", source })
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(Event::Ended)),
        }
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub fn kill(&mut self) -> Result<(), DemoError> {
        self.child.kill().map_err(DemoError::io("kill", "the scheduler"))
    }

    /// Waits for its end and reads its report.
    ///
    /// # Errors
    /// [`DemoError`], when it left no report.
    pub fn finish(mut self) -> Result<JobReport, DemoError> {
        let status = self.child.wait().map_err(DemoError::io("wait for", "the scheduler"))?;
        let last = self.warnings.take().and_then(|thread| thread.join().ok()).flatten();
        let text = match fs::read(&self.report) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let words = last.unwrap_or_else(|| "no message".to_owned());
                return Err(DemoError::Scheduler { status, words });
            }
            Err(error) => return Err(DemoError::io("read", &self.report)(error)),
        };
        serde_json::from_slice(&text).map_err(|source| DemoError::Unreadable { what: "report", source })
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
