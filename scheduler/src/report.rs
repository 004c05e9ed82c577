//! What became of a job, as data.

use std::io;
use std::path::Path;

use mesos_http::types::{Reason, TaskState};
use serde::Serialize;

use crate::plan::{Plan, PlannedTask};
use crate::state::{Agent, Attempt, Change, JobState, Millis, Standing};
use crate::store::replace;

/// The version of the report's format.
const VERSION: u32 = 1;

/// A job's report.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    version: u32,
    job: &'a str,
    /// `finished`, `failed`, or `stopped` when the scheduler gave up before the job was over.
    status: &'static str,
    /// What the job failed of, or why the scheduler stopped.
    message: Option<String>,
    framework_id: Option<&'a str>,
    started_ms: Millis,
    ended_ms: Option<Millis>,
    tasks: Vec<TaskReport<'a>>,
}

#[derive(Debug, Serialize)]
struct TaskReport<'a> {
    name: &'a str,
    /// As in the state: `waiting`, `ready`, `active`, `finished`, `failed`.
    standing: Standing,
    after: Vec<&'a str>,
    volumes: Vec<VolumeReport<'a>>,
    /// When all it runs after was finished.
    ready_ms: Option<Millis>,
    /// What follows is of the last attempt.
    id: Option<&'a str>,
    agent: Option<&'a Agent>,
    launched_ms: Option<Millis>,
    status: Option<&'a TaskState>,
    reason: Option<&'a Reason>,
    message: Option<&'a str>,
    times: Vec<&'a Change>,
    /// All of them, the last one last.
    attempts: &'a [Attempt],
}

#[derive(Debug, Serialize)]
struct VolumeReport<'a> {
    slot: &'a str,
    name: &'a str,
    id: Option<&'a str>,
    path: String,
    mode: String,
    driver: Option<&'a str>,
    zone: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// The report of a job that stands at `state`; `stopped` says why its scheduler stopped before it was over.
    pub fn new(plan: &'a Plan, state: &'a JobState, stopped: Option<String>) -> Self {
        let end = state.end.as_ref();
        let failures = end
            .map(|end| end.failures.join("; "))
            .filter(|failures| !failures.is_empty());
        Self {
            version: VERSION,
            job: &state.job,
            status: match (end, &failures) {
                (None, _) => "stopped",
                (Some(_), None) => "finished",
                (Some(_), Some(_)) => "failed",
            },
            message: failures.or(stopped),
            framework_id: state.framework_id.as_deref(),
            started_ms: state.started_ms,
            ended_ms: end.map(|end| end.at_ms),
            tasks: plan.tasks.iter().map(|task| task_report(task, state)).collect(),
        }
    }

    /// Replaces the file at once.
    ///
    /// # Errors
    /// The file could not be written; the old one, if any, is untouched.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        replace(path, |file| {
            serde_json::to_writer_pretty(file, self).map_err(io::Error::from)
        })
    }
}

fn task_report<'a>(task: &'a PlannedTask, state: &'a JobState) -> TaskReport<'a> {
    let record = &state.tasks[task.name()];
    let last = record.attempts.last();
    TaskReport {
        name: task.name(),
        standing: record.standing(),
        after: task.task.after.iter().map(String::as_str).collect(),
        volumes: task
            .volumes
            .iter()
            .map(|volume| VolumeReport {
                slot: volume.labels.slot.as_str(),
                name: &volume.name,
                id: volume.claim.as_deref(),
                path: volume.labels.path.to_string(),
                mode: volume.labels.mode.to_string(),
                driver: volume.labels.driver.as_deref(),
                zone: task.zone.as_deref(),
            })
            .collect(),
        ready_ms: record.ready_ms,
        id: last.map(|attempt| attempt.task_id.as_str()),
        agent: last.map(|attempt| &attempt.agent),
        launched_ms: last.map(|attempt| attempt.intended_ms),
        status: last.and_then(|attempt| attempt.state.as_ref()),
        reason: last.and_then(|attempt| attempt.reason.as_ref()),
        message: last.and_then(|attempt| attempt.message.as_deref()),
        times: last.map(|attempt| attempt.changes.iter().collect()).unwrap_or_default(),
        attempts: &record.attempts,
    }
}
