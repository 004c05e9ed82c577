//! The job file: what is to run, after what, with which volumes. Its format is documented in
//! `scheduler/JOBFILE.md`.

mod check;
mod error;
mod fields;
mod instances;
mod notify;
mod schedule;
mod shape;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use volume_labels::VolumeLabels;

pub use error::{JobFileError, Problem};
pub use notify::{Notify, Target};
pub use schedule::{Schedule, ScheduleError};

/// A job, checked: names are unique, dependencies exist and have no cycle, every volume's labels
/// are good.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The job's name, the first part of every task id.
    pub name: String,
    /// The tasks, in the order of the file; one with `instances` is as many tasks.
    pub tasks: Vec<Task>,
    /// The notifications about its end.
    pub notify: Notify,
    /// When it runs by itself; only `scheduler serve` looks at it and at the next two.
    pub schedule: Option<Schedule>,
    /// How late a run by schedule may begin, in milliseconds; `None`: however late.
    pub start_within_ms: Option<u64>,
    /// What becomes of a run by schedule that is due while another one goes on.
    pub overlap: Overlap,
}

/// What becomes of a run by schedule that is due while another run of its job is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is not begun.
    #[default]
    Skip,
    /// It is begun when the other one is over. One run waits at most: the one that was due first.
    Queue,
    /// The other one is cancelled, and it is begun when that one is over.
    Replace,
}

/// One task of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
    /// Its name in the job.
    pub name: String,
    /// The line of the file where it begins.
    #[serde(skip)]
    pub line: u64,
    /// What it runs.
    pub command: Command,
    /// The user it runs as; the framework's when `None`.
    pub user: Option<String>,
    /// CPUs; thousandths count, less does not.
    pub cpus: f64,
    /// Memory in MB (2^20 bytes).
    pub mem: f64,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The tasks that have to be finished before.
    pub after: BTreeSet<String>,
    /// Its volumes by slot, each named as people name it; what a catalogue says of it is not looked
    /// at here.
    pub volumes: Vec<VolumeLabels>,
    /// The line of the file where each label of [`volumes`](Self::volumes) stands, by the label's
    /// key.
    #[serde(skip)]
    pub label_lines: BTreeMap<String, u64>,
    /// On which agents it may run.
    pub agent: AgentConstraint,
    // What follows came later: a plan without it has the fingerprint it always had.
    /// Which of several instances it is, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<u32>,
    /// How often it is run again when it fails.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// The pause before the first retry, in milliseconds; each further one is twice as long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_pause_ms: Option<u64>,
    /// How long it may run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Of tasks that could be launched the one with the higher priority goes first.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i32,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// What a task runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// By `sh -c`.
    Shell(String),
    /// Without a shell: the program and its arguments, never empty.
    Argv(Vec<String>),
}

/// On which agents a task may run. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentConstraint {
    /// On this host only.
    pub hostname: Option<String>,
    /// On agents with these text attributes only.
    pub attributes: BTreeMap<String, String>,
    /// On the agent where each of these tasks ran.
    pub same_as: BTreeSet<String>,
    /// On none of the agents where these tasks ran.
    pub not_same_as: BTreeSet<String>,
}

impl Job {
    /// Reads a job file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line; or, when it is no job file at all, the
    /// first thing.
    pub fn parse(text: &str) -> Result<Self, JobFileError> {
        check::job(shape::parse(text)?)
    }

    /// Reads the job file of a run that was begun. When its job runs by itself does not matter to it, so that a schedule which an
    /// older version took does not keep the run from going on.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_begun(text: &str) -> Result<Self, JobFileError> {
        let mut shape = shape::parse(text)?;
        (shape.schedule, shape.start_within, shape.overlap) = (None, None, None);
        check::job(shape)
    }

    /// The task with this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// The names of all tasks that cannot run before `name` is finished, however far away.
    pub fn blocked_by(&self, name: &str) -> BTreeSet<&str> {
        blocked_by(self.tasks.iter(), name)
    }
}

/// The names of all of `tasks` that cannot run before `name` is finished.
pub(crate) fn blocked_by<'a>(tasks: impl Iterator<Item = &'a Task> + Clone, name: &str) -> BTreeSet<&'a str> {
    let mut blocked: BTreeSet<&str> = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(cause) = open.pop() {
        for task in tasks.clone().filter(|task| task.after.contains(&cause)) {
            if blocked.insert(task.name.as_str()) {
                open.push(task.name.clone());
            }
        }
    }
    blocked
}
