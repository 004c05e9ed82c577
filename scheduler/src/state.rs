//! What is known of a running job: which attempts were made, where, and what became of them. This is what lies on
//! disk, so that a scheduler that comes back launches nothing twice.

use std::collections::BTreeMap;

use mesos_http::types::{Reason, TaskState};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// The version of the format on disk.
pub const VERSION: u32 = 1;

/// A job and what became of its tasks so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobState {
    /// The version of this format.
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// The fingerprint of the plan: a job file that says something else is another job.
    pub plan: String,
    /// The framework's id, given by the master at the first subscription.
    pub framework_id: Option<String>,
    /// When the job was begun.
    pub started_ms: Millis,
    /// Whether nothing more of it is to be begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// How it ended.
    pub end: Option<End>,
    /// Each task by name.
    pub tasks: BTreeMap<String, TaskRecord>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// In milliseconds since the epoch.
    pub at_ms: Millis,
    /// One line for each task that failed; empty when the job is done.
    pub failures: Vec<String>,
    /// The tasks that were never begun for that.
    pub blocked: Vec<String>,
    /// Whether the master has accepted the end of the framework.
    pub torn_down: bool,
    /// Whether the notifications about the end were sent.
    #[serde(default)]
    pub notified: bool,
}

/// The record of one task of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// When everything it runs after was finished.
    pub ready_ms: Option<Millis>,
    /// Not to be launched before.
    #[serde(default)]
    pub not_before_ms: Millis,
    /// The attempts, the last one last.
    pub attempts: Vec<Attempt>,
}

/// One launch of a task. It is on disk before the master hears of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// `<job>.<task>.<attempt>`, never used twice.
    pub task_id: String,
    /// The agent that it was launched on.
    pub agent: Agent,
    /// The volumes it uses: items of the SET resource, which it holds unless another reader on the
    /// agent does.
    pub claims: Vec<String>,
    /// Those of them that it only reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Those of its volumes whose item another reader on the agent held when it was launched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_item: Vec<String>,
    /// When it was decided.
    pub intended_ms: Millis,
    /// Whether the master's operator stream showed it running, perhaps before its own update came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seen_running: bool,
    /// The latest state; `None` as long as no update has confirmed the launch.
    pub state: Option<TaskState>,
    /// Why, by the latest update.
    pub reason: Option<Reason>,
    /// The message of the latest update.
    pub message: Option<String>,
    /// Each state with its time: the sender's own where it gave one.
    pub changes: Vec<Change>,
    /// What the end of it means; `None` as long as it may still run.
    pub verdict: Option<Verdict>,
}

/// An agent, as its offers describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The id that the master gave it.
    pub id: String,
    /// The host name under which it registered.
    pub hostname: String,
    /// Host and port of its API, in which agents of one host differ.
    pub address: Option<String>,
    /// Its availability zone; `None` when it is not known.
    pub zone: Option<String>,
}

impl std::fmt::Display for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{} ({address})", self.hostname),
            None => write!(f, "{} ({})", self.hostname, self.id),
        }
    }
}

/// One change of a task's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The new state.
    pub state: TaskState,
    /// In milliseconds since the epoch.
    pub at_ms: Millis,
}

/// What the end of an attempt means for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The task is done.
    Finished,
    /// The task has failed.
    Failed,
    /// It has failed and is run again.
    FailedOnce,
    /// It never began; the task is launched again.
    NeverLaunched,
    /// Another host still held a volume; the task is launched again.
    VolumeElsewhere,
    /// Its agent was drained; the task is launched again.
    Drained,
}

/// The standing of a task in its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Tasks it runs after are not finished.
    Waiting,
    /// It is to be launched.
    Ready,
    /// It was launched and may still run.
    Active,
    /// It is done.
    Finished,
    /// It has failed.
    Failed,
}

impl JobState {
    /// A job of which nothing has been done.
    pub fn new(plan: &Plan, now: Millis) -> Self {
        let tasks = plan
            .tasks
            .iter()
            .map(|task| (task.name().to_owned(), TaskRecord::default()));
        Self {
            version: VERSION,
            job: plan.job.clone(),
            plan: plan.fingerprint(),
            framework_id: None,
            started_ms: now,
            cancelled: false,
            end: None,
            tasks: tasks.collect(),
        }
    }

    /// Every attempt that may still run, with its task's name.
    pub fn live(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        self.tasks
            .iter()
            .filter_map(|(name, task)| Some((name.as_str(), task.live()?)))
    }

    /// Whether the task of this name is finished.
    pub fn is_finished(&self, name: &str) -> bool {
        self.tasks
            .get(name)
            .is_some_and(|task| task.standing() == Standing::Finished)
    }
}

impl TaskRecord {
    /// The attempt that may still run.
    pub fn live(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.verdict.is_none())
    }

    /// Where the task stands.
    pub fn standing(&self) -> Standing {
        match (self.attempts.last().map(|attempt| attempt.verdict), self.ready_ms) {
            (Some(None), _) => Standing::Active,
            (Some(Some(Verdict::Finished)), _) => Standing::Finished,
            (Some(Some(Verdict::Failed)), _) => Standing::Failed,
            // Any other verdict lets the task be launched again.
            (Some(Some(_)), _) => Standing::Ready,
            (None, Some(_)) => Standing::Ready,
            (None, None) => Standing::Waiting,
        }
    }

    /// How many attempts in a row, up to the last one, ended with `verdict`.
    pub fn in_a_row(&self, verdict: Verdict) -> u32 {
        let same = self
            .attempts
            .iter()
            .rev()
            .take_while(|attempt| attempt.verdict == Some(verdict));
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    }

    /// How many attempts ended with `verdict`.
    pub fn count(&self, verdict: Verdict) -> u32 {
        let same = self.attempts.iter().filter(|attempt| attempt.verdict == Some(verdict));
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    }

    /// The agent of the last attempt.
    pub fn last_agent(&self) -> Option<&Agent> {
        self.attempts.last().map(|attempt| &attempt.agent)
    }
}

impl Attempt {
    /// The volumes it may write to.
    pub fn writes(&self) -> impl Iterator<Item = &str> {
        let written = |claim: &&String| !self.reads.contains(*claim);
        self.claims.iter().filter(written).map(String::as_str)
    }

    /// Whether it is not known if it runs: its agent cannot be reached, or the master does not know
    /// it.
    pub fn is_in_doubt(&self) -> bool {
        let doubtful = |state: &TaskState| {
            matches!(
                state,
                TaskState::Unreachable | TaskState::Lost | TaskState::Unknown | TaskState::Other(_)
            )
        };
        self.verdict.is_none() && self.state.as_ref().is_some_and(doubtful)
    }

    /// Where the task's output is: its sandbox, which an agent has below its work directory.
    /// `framework` is the framework's id.
    pub fn output(&self, framework: &str) -> String {
        let Agent { id, hostname, .. } = &self.agent;
        format!(
            "stdout and stderr of WORK_DIR/slaves/{id}/frameworks/{framework}/executors/{}/runs/latest on {hostname}",
            self.task_id
        )
    }

    /// Whether it is known to have begun.
    pub fn has_begun(&self) -> bool {
        self.seen_running || self.was_started()
    }

    /// Whether it holds the volume's item of `ebsvolumes` as a reader.
    pub fn reads_with_item(&self, claim: &str) -> bool {
        let is = |known: &String| known == claim;
        self.reads.iter().any(is) && !self.without_item.iter().any(is)
    }

    /// Whether an executor has sent an update, so that its command may have begun.
    fn was_started(&self) -> bool {
        self.changes.iter().any(|change| {
            matches!(
                change.state,
                TaskState::Starting | TaskState::Running | TaskState::Killing
            )
        })
    }
}
