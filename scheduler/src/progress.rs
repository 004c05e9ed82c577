//! What a scheduler tells the person who watches it.

use std::fmt;

use mesos_http::types::{Reason, TaskState};
use serde::Serialize;

use crate::plan::PlannedTask;
use crate::state::{Agent, Attempt, Millis};

/// One thing worth telling. `Display` is a line for people; as JSON it is an object whose `event` says which it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// Subscribed.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// Not subscribed.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// A task is being launched.
    Launched {
        /// The task.
        task: String,
        /// The attempt.
        task_id: String,
        /// Where.
        agent: Agent,
        /// Its volumes, `name (id)` where the two differ.
        volumes: Vec<String>,
    },
    /// A task's state has changed.
    State {
        /// The task.
        task: String,
        /// The attempt.
        task_id: String,
        /// The new state.
        state: TaskState,
        /// Why.
        reason: Option<Reason>,
        /// In whose words.
        message: Option<String>,
        /// How long after the launch was decided.
        after_ms: Millis,
    },
    /// A task that ended without a fault of its own is going to be launched again.
    Retry {
        /// The task.
        task: String,
        /// Which retry it is.
        retry: u32,
        /// How many there may be.
        of: u32,
        /// The pause before it.
        pause_ms: Millis,
    },
    /// A task that may run has no agent.
    Waiting {
        /// The task.
        task: String,
        /// For how long.
        for_ms: Millis,
        /// Each reason with the agents it is the reason of. Empty when nothing was offered.
        reasons: Vec<(String, Vec<String>)>,
    },
    /// A task that this job has given up, or never had, runs and is being killed.
    Stray {
        /// Its id.
        task_id: String,
        /// Its state.
        state: TaskState,
    },
    /// Nobody can say whether a task runs.
    InDoubt {
        /// The task.
        task: String,
        /// The attempt.
        task_id: String,
        /// What an operator can do about it.
        remedy: String,
    },
    /// An operator's declaration that a task does not run was not taken up.
    NotDeclared {
        /// The task's id.
        task_id: String,
        /// Why not.
        reason: String,
    },
    /// The master did not take a call.
    CallFailed {
        /// Its type.
        call: String,
        /// Why.
        reason: String,
    },
    /// The master sent what cannot be read.
    Unreadable {
        /// The event's type.
        kind: String,
        /// Why.
        reason: String,
    },
    /// Somebody could not be told how the job ended.
    NotNotified {
        /// The command or URL.
        target: String,
        /// Why.
        reason: String,
    },
    /// The storage could not be asked.
    NotListed {
        /// Why.
        reason: String,
    },
    /// A claim has stood still for long, in a state that only the storage or an operator ends.
    Overdue {
        /// The volume.
        volume: String,
        /// The claim's state.
        state: String,
        /// Whose it is.
        holder: String,
        /// On which agent.
        agent: String,
        /// For how long.
        for_ms: Millis,
    },
    /// A run by schedule was not begun.
    Skipped {
        /// The job.
        job: String,
        /// Why.
        reason: String,
    },
    /// A run by schedule is begun later, since another run of its job is not over.
    Deferred {
        /// The job.
        job: String,
        /// What it waits for.
        reason: String,
    },
    /// The job is over.
    Ended {
        /// One line for each task that failed.
        failures: Vec<String>,
        /// The tasks that were never begun for that.
        blocked: Vec<String>,
    },
}

impl Progress {
    pub(crate) fn launched(task: &PlannedTask, attempt: &Attempt) -> Self {
        let volumes = task.volumes.iter().map(|volume| match &volume.claim {
            Some(claim) if *claim != volume.name => format!("{} ({claim})", volume.name),
            _ => volume.name.clone(),
        });
        Self::Launched {
            task: task.name().to_owned(),
            task_id: attempt.task_id.clone(),
            agent: attempt.agent.clone(),
            volumes: volumes.collect(),
        }
    }

    /// The state of an attempt on which something has been said.
    pub(crate) fn state(task: &str, attempt: &Attempt, now: Millis) -> Self {
        Self::State {
            task: task.to_owned(),
            task_id: attempt.task_id.clone(),
            state: attempt.state.clone().unwrap_or(TaskState::Staging),
            reason: attempt.reason.clone(),
            message: attempt.message.clone(),
            after_ms: attempt
                .changes
                .last()
                .map_or(now, |change| change.at_ms)
                .saturating_sub(attempt.intended_ms),
        }
    }

    /// Whether it belongs on stderr: what somebody may have to do something about.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Disconnected { .. }
                | Self::Waiting { .. }
                | Self::Stray { .. }
                | Self::InDoubt { .. }
                | Self::NotDeclared { .. }
                | Self::CallFailed { .. }
                | Self::Unreadable { .. }
                | Self::NotNotified { .. }
                | Self::Skipped { .. }
                | Self::NotListed { .. }
                | Self::Overdue { .. }
        )
    }
}

/// One line, whatever drivers and executors say.
fn line(text: &str) -> String {
    foreign_text::one_line(text)
}

fn seconds(millis: Millis) -> String {
    format!("{:.2} s", millis as f64 / 1000.0)
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { framework_id } => write!(f, "subscribed as framework {framework_id}"),
            Self::Disconnected { reason } => write!(f, "not subscribed, trying again: {}", line(reason)),
            Self::Launched {
                task,
                task_id,
                agent,
                volumes,
            } => {
                write!(f, "{task}: launched as {task_id} on {agent}")?;
                match volumes.is_empty() {
                    true => Ok(()),
                    false => write!(f, " with {}", volumes.join(", ")),
                }
            }
            Self::State {
                task,
                state,
                reason,
                message,
                after_ms,
                ..
            } => {
                write!(f, "{task}: {state} after {}", seconds(*after_ms))?;
                if let Some(reason) = reason.as_ref().filter(|_| *state != TaskState::Finished) {
                    write!(f, ", {}", reason.as_str())?;
                }
                match message {
                    Some(message) => write!(f, ": {}", line(message)),
                    None => Ok(()),
                }
            }
            Self::Retry {
                task,
                retry,
                of,
                pause_ms,
            } => {
                write!(
                    f,
                    "{task}: to be launched again in {} (retry {retry} of {of})",
                    seconds(*pause_ms)
                )
            }
            Self::Waiting { task, for_ms, reasons } => {
                write!(f, "{task}: waiting for {}: ", seconds(*for_ms))?;
                if reasons.is_empty() {
                    return f.write_str("nothing was offered; are there agents with free resources for the role?");
                }
                let each = reasons
                    .iter()
                    .map(|(reason, agents)| format!("{}: {}", agents.join(", "), line(reason)));
                f.write_str(&each.collect::<Vec<_>>().join("; "))
            }
            Self::Stray { task_id, state } => {
                write!(
                    f,
                    "killing {task_id} ({state}), which this job has given up or does not know"
                )
            }
            Self::InDoubt { task, remedy, .. } => write!(f, "{task}: {remedy}"),
            Self::NotDeclared { task_id, reason } => write!(f, "{task_id} is not declared dead: {}", line(reason)),
            Self::CallFailed { call, reason } => write!(f, "the master did not take {call}: {}", line(reason)),
            Self::Unreadable { kind, reason } => write!(f, "an event {kind} cannot be read: {}", line(reason)),
            Self::NotNotified { target, reason } => {
                write!(f, "the notification by '{}' failed: {}", line(target), line(reason))
            }
            Self::NotListed { reason } => write!(f, "the storage was not asked: {}", line(reason)),
            Self::Overdue {
                volume,
                state,
                holder,
                agent,
                for_ms,
            } => {
                let seconds = for_ms / 1000;
                write!(
                    f,
                    "volume {volume} has been {state} for {seconds} s by {holder} on agent {agent}: "
                )?;
                f.write_str(match state.as_str() {
                    "SUSPECT" => {
                        "bring the agent back, or mark it gone once it is certain that the task does not run; where the \
                         master does not know the agent any more, use 'scheduler declare-dead'"
                    }
                    _ => "the storage has not said that it is detached; look at its host, and detach it there",
                })
            }
            Self::Skipped { job, reason } => write!(f, "{job}: it was due and is not begun: {}", line(reason)),
            Self::Deferred { job, reason } => write!(f, "{job}: it was due: {}", line(reason)),
            Self::Ended { failures, blocked } => match (failures.is_empty(), blocked.is_empty()) {
                (true, true) => f.write_str("the job is done"),
                (_, true) => write!(f, "the job has failed: {}", failures.join("; ")),
                (_, false) => {
                    write!(
                        f,
                        "the job has failed: {}; not begun: {}",
                        failures.join("; "),
                        blocked.join(", ")
                    )
                }
            },
        }
    }
}
