//! What the threads of tasks tell the executor, and how it ends a task.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crossbeam_channel::Sender;
use mesos_http::types::{ContainerId, Reason, TaskId, TaskState, TaskStatus};

/// What happened to a task.
#[derive(Debug)]
pub(crate) enum Happened {
    /// It runs.
    Started(TaskId),
    /// Its health check has a new result.
    Checked(TaskId, bool),
    /// Its health check failed too often.
    Sick(TaskId),
    /// It has ended, as this update says.
    Ended(Box<TaskStatus>),
}

/// Where a task's threads tell what happens.
pub(crate) type Told = Sender<Happened>;

/// A task that is being started, runs or is being killed.
pub(crate) struct Running {
    pub(crate) task_id: TaskId,
    /// Its own container; a task without one is in the executor's.
    pub(crate) container: Option<ContainerId>,
    /// Tasks of one group end together when one fails.
    pub(crate) group: Option<usize>,
    pub(crate) killed: bool,
    pub(crate) healthy: Option<bool>,
    pub(crate) kill: Box<dyn Fn() + Send>,
}

/// The update about a command that has ended, in the words Mesos uses.
pub(crate) fn ended(task_id: TaskId, status: ExitStatus) -> TaskStatus {
    let state = if status.success() {
        TaskState::Finished
    } else {
        TaskState::Failed
    };
    let mut update = TaskStatus::new(task_id, state);
    update.message = Some(match (status.code(), status.signal()) {
        (Some(code), _) => format!("Command exited with status {code}"),
        (None, Some(9)) => "Command terminated with signal Killed".to_owned(),
        (None, Some(signal)) => format!("Command terminated with signal {signal}"),
        (None, None) => format!("Command ended with wait status {}", status.into_raw()),
    });
    update
}

/// The update about a task that could not be started.
pub(crate) fn not_started(task_id: TaskId, cause: String) -> TaskStatus {
    let mut update = TaskStatus::new(task_id, TaskState::Failed);
    update.reason = Some(Reason::ContainerLaunchFailed);
    update.message = Some(cause);
    update
}
