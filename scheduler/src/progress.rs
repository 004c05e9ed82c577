//! What a scheduler reports to the person who watches it.

use std::fmt;

use mesos_http::types::{Reason, TaskState};
use serde::Serialize;

use crate::plan::PlannedTask;
use crate::state::{Agent, Attempt, Millis, Verdict};

/// One thing to report. `Display` is a line for people; as JSON it is an object whose `event` names
/// the kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// Subscribed.
    Connected {
        /// The framework's id.
        framework_id: String,
    },
    /// Not subscribed. Reported once, and again from time to time as long as it lasts.
    Disconnected {
        /// The cause, in one line.
        reason: String,
        /// For how long. 0: until now there was a subscription, or this is the first attempt.
        for_ms: Millis,
    },
    /// The operator stream is closed, although there is a subscription. Reported once, and again
    /// from time to time as long as it lasts.
    OperatorStreamClosed {
        /// The cause, in one line.
        reason: String,
        /// For how long.
        for_ms: Millis,
    },
    /// A task is being launched.
    Launched {
        /// The task's name in the job file.
        task: String,
        /// The task id of the attempt.
        task_id: String,
        /// The agent that it was launched on.
        agent: Agent,
        /// Its volumes, `name (id)` where the two differ.
        volumes: Vec<String>,
    },
    /// A task's state has changed.
    State {
        /// The task's name in the job file.
        task: String,
        /// The task id of the attempt.
        task_id: String,
        /// The new state.
        state: TaskState,
        /// Mesos' reason for the state.
        reason: Option<Reason>,
        /// The message of the update.
        message: Option<String>,
        /// How long after the launch was decided.
        after_ms: Millis,
        /// Where the task ran.
        agent: Agent,
        /// Whether the task has failed with this and is not launched again.
        failed: bool,
        /// Where the output of a task is that failed while it ran.
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<String>,
    },
    /// A task is going to be launched again.
    Retry {
        /// The task's name in the job file.
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
        /// The task's name in the job file.
        task: String,
        /// For how long.
        for_ms: Millis,
        /// Each reason with the agents to which it applies, or without any when it applies to all.
        /// Empty when no agent has offered resources.
        reasons: Vec<(String, Vec<String>)>,
    },
    /// A task that this job has given up, or never had, runs and is being killed.
    Stray {
        /// The task's id.
        task_id: String,
        /// The state that the update reports.
        state: TaskState,
    },
    /// It is not known whether a task runs.
    InDoubt {
        /// The task's name in the job file.
        task: String,
        /// The task id of the attempt.
        task_id: String,
        /// What an operator can do.
        remedy: String,
    },
    /// An operator's declaration that a task does not run was refused.
    NotDeclared {
        /// The task's id.
        task_id: String,
        /// The cause of the refusal, in one line.
        reason: String,
    },
    /// The master did not accept a call.
    CallFailed {
        /// The type of the call, such as `ACCEPT`.
        call: String,
        /// The cause, in one line.
        reason: String,
    },
    /// The master sent an event that cannot be read.
    Unreadable {
        /// The event's type.
        kind: String,
        /// The cause, in one line.
        reason: String,
    },
    /// A notification about the end of the job failed.
    NotNotified {
        /// The command or URL.
        target: String,
        /// The cause, in one line.
        reason: String,
    },
    /// The volumes of the storage could not be listed.
    NotListed {
        /// The cause, in one line.
        reason: String,
    },
    /// A claim has been for a long time in a state that only the storage or an operator ends.
    Overdue {
        /// The volume's id.
        volume: String,
        /// The claim's state.
        state: String,
        /// The task that holds it, with its framework.
        holder: String,
        /// On which agent.
        agent: String,
        /// For how long.
        for_ms: Millis,
    },
    /// A run by schedule was not started.
    Skipped {
        /// The job's name.
        job: String,
        /// The cause, in one line.
        reason: String,
    },
    /// A run by schedule starts later, because another run of its job is not over.
    Deferred {
        /// The job's name.
        job: String,
        /// What it waits for.
        reason: String,
    },
    /// The job is over.
    Ended {
        /// One line for each task that failed.
        failures: Vec<String>,
        /// The names of the tasks that failed.
        failed: Vec<String>,
        /// The tasks that were not started because of these failures.
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

    /// The state of an attempt after an update. `framework_id` is the framework's.
    pub(crate) fn state(task: &str, attempt: &Attempt, framework_id: Option<&str>, now: Millis) -> Self {
        // Nothing else leaves a sandbox with the task's output in it.
        let ran = attempt.has_begun() && matches!(attempt.state, Some(TaskState::Failed | TaskState::Killed));
        let output = framework_id.filter(|_| ran);
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
            agent: attempt.agent.clone(),
            failed: attempt.verdict == Some(Verdict::Failed),
            output: output.map(|framework| attempt.output(framework)),
        }
    }

    /// Whether it belongs on stderr, because an operator may have to act on it.
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::State { failed: true, .. }
                | Self::Disconnected { .. }
                | Self::OperatorStreamClosed { .. }
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

/// A text of a driver or an executor as one line.
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
            Self::Disconnected { reason, for_ms: 0 } => {
                write!(f, "not subscribed; the scheduler tries again: {}", line(reason))
            }
            Self::Disconnected { reason, for_ms } => {
                write!(
                    f,
                    "still not subscribed after {} s; the scheduler tries again: {}",
                    for_ms / 1000,
                    line(reason)
                )
            }
            Self::OperatorStreamClosed { reason, for_ms } => {
                f.write_str("the tasks of other frameworks are not seen, because the operator stream is closed")?;
                match for_ms {
                    0 => f.write_str("; the scheduler tries again")?,
                    _ => write!(f, " for {} s; the scheduler tries again", for_ms / 1000)?,
                }
                write!(f, ": {}", line(reason))
            }
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
                agent,
                failed,
                output,
                ..
            } => {
                write!(f, "{task}: {state} after {}", seconds(*after_ms))?;
                if *failed {
                    write!(f, " on {agent}")?;
                }
                if let Some(reason) = reason.as_ref().filter(|_| *state != TaskState::Finished) {
                    write!(f, ", {}", reason.as_str())?;
                }
                if let Some(message) = message {
                    write!(f, ": {}", line(message))?;
                }
                match output {
                    Some(output) => write!(f, "; its output is in {output}"),
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
                    return f.write_str(
                        "no agent has offered resources; check that agents have free resources for the role",
                    );
                }
                let each = reasons.iter().map(|(reason, agents)| match agents.as_slice() {
                    [] => line(reason),
                    agents => format!("{}: {}", agents.join(", "), line(reason)),
                });
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
            Self::CallFailed { call, reason } => {
                write!(f, "the master did not accept the call {call}: {}", line(reason))
            }
            Self::Unreadable { kind, reason } => write!(f, "an event of type {kind} cannot be read: {}", line(reason)),
            Self::NotNotified { target, reason } => {
                write!(f, "the notification by '{}' failed: {}", line(target), line(reason))
            }
            Self::NotListed { reason } => write!(f, "the volumes of the storage could not be listed: {}", line(reason)),
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
                    _ => "the storage does not list it as detached; look at the host, and detach it there",
                })
            }
            Self::Skipped { job, reason } => write!(f, "{job}: a run was due and is not started: {}", line(reason)),
            Self::Deferred { job, reason } => write!(f, "{job}: a run was due and starts later: {}", line(reason)),
            Self::Ended { failures, .. } if failures.is_empty() => f.write_str("the job is done"),
            Self::Ended {
                failures,
                failed,
                blocked,
            } => {
                // Why a task failed was reported when it did. A run that was cancelled has no such task.
                let causes = if failed.is_empty() { failures } else { failed };
                write!(f, "the job has failed: {}", causes.join(", "))?;
                match blocked.is_empty() {
                    true => Ok(()),
                    false => write!(f, "; not started because of that: {}", blocked.join(", ")),
                }
            }
        }
    }
}
