//! Status updates: what became of a task.

use serde::{Deserialize, Serialize};

use super::wire::{TimeInfo, open_enum};
use super::{AgentId, Bytes, CheckStatus, ContainerId, ExecutorId, Labels, Resource, TaskId, UpdateId};

open_enum! {
    /// The state of a task.
    TaskState {
        /// Accepted; not with an executor yet.
        Staging = "TASK_STAGING",
        /// With its executor.
        Starting = "TASK_STARTING",
        /// Running.
        Running = "TASK_RUNNING",
        /// Being killed.
        Killing = "TASK_KILLING",
        /// Ended well.
        Finished = "TASK_FINISHED",
        /// Ended badly.
        Failed = "TASK_FAILED",
        /// Killed at someone's request.
        Killed = "TASK_KILLED",
        /// Refused: the description is invalid.
        Error = "TASK_ERROR",
        /// Gone, for a framework that is not PARTITION_AWARE. The task may still be running.
        Lost = "TASK_LOST",
        /// Never launched.
        Dropped = "TASK_DROPPED",
        /// On an agent the master cannot reach. The task may still be running, and come back.
        Unreachable = "TASK_UNREACHABLE",
        /// Was on an agent that is gone, and so has ended.
        Gone = "TASK_GONE",
        /// Was on an agent of which an operator says that it is gone.
        GoneByOperator = "TASK_GONE_BY_OPERATOR",
        /// The master does not know the task.
        Unknown = "TASK_UNKNOWN",
    }
}

impl TaskState {
    /// Whether the task has ended for certain and nothing of it runs any more, as far as Mesos
    /// knows. LOST, UNREACHABLE and UNKNOWN are not terminal in this sense: such a task may still
    /// be writing to its volume.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            TaskState::Finished
                | TaskState::Failed
                | TaskState::Killed
                | TaskState::Error
                | TaskState::Dropped
                | TaskState::Gone
                | TaskState::GoneByOperator
        )
    }
}

open_enum! {
    /// Who made a status update.
    StatusSource {
        /// The master.
        Master = "SOURCE_MASTER",
        /// The agent.
        Agent = "SOURCE_AGENT",
        /// The executor.
        Executor = "SOURCE_EXECUTOR",
    }
}

open_enum! {
    /// Why. The reasons a scheduler has to tell apart; others come as text.
    Reason {
        /// The container could not be prepared: an isolator failed. The message is its own.
        ContainerLaunchFailed = "REASON_CONTAINER_LAUNCH_FAILED",
        /// An isolator ended the container.
        ContainerLimitation = "REASON_CONTAINER_LIMITATION",
        /// The executor did not subscribe in time.
        ExecutorRegistrationTimeout = "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        /// The executor ended.
        ExecutorTerminated = "REASON_EXECUTOR_TERMINATED",
        /// The offer was no longer good.
        InvalidOffers = "REASON_INVALID_OFFERS",
        /// An answer to RECONCILE.
        Reconciliation = "REASON_RECONCILIATION",
        /// The connection to the agent broke and the framework does not checkpoint.
        AgentDisconnected = "REASON_AGENT_DISCONNECTED",
        /// The agent is gone.
        AgentRemoved = "REASON_AGENT_REMOVED",
        /// An operator said the agent is gone.
        AgentRemovedByOperator = "REASON_AGENT_REMOVED_BY_OPERATOR",
        /// The agent is being drained: an operator moves what runs there to other agents.
        AgentDraining = "REASON_AGENT_DRAINING",
        /// The agent was unreachable and has come back.
        AgentReregistered = "REASON_AGENT_REREGISTERED",
        /// The agent was restarted.
        AgentRestarted = "REASON_AGENT_RESTARTED",
        /// The agent is not known.
        AgentUnknown = "REASON_AGENT_UNKNOWN",
        /// Killed before it reached its executor.
        TaskKilledDuringLaunch = "REASON_TASK_KILLED_DURING_LAUNCH",
        /// A check has a new result.
        TaskCheckStatusUpdated = "REASON_TASK_CHECK_STATUS_UPDATED",
        /// A health check has a new result.
        TaskHealthCheckStatusUpdated = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
        /// The description is invalid.
        TaskInvalid = "REASON_TASK_INVALID",
        /// The task is not known.
        TaskUnknown = "REASON_TASK_UNKNOWN",
        /// It ran for longer than it may.
        MaxCompletionTimeReached = "REASON_MAX_COMPLETION_TIME_REACHED",
    }
}

/// One status update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The task that the update is about.
    pub task_id: TaskId,
    /// The state that the update reports.
    pub state: TaskState,
    /// What happened, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<StatusSource>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Bytes from the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// By which executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<ExecutorId>,
    /// When: seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<f64>,
    /// Names the update. One without it (made by the master, or an answer to RECONCILE) must not
    /// be acknowledged; one with it is sent again until it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<UpdateId>,
    /// What the health check says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// What the check says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_status: Option<CheckStatus>,
    /// Labels from the executor.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// What is known of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_status: Option<ContainerStatus>,
    /// Since when the agent is unreachable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_time: Option<TimeInfo>,
    /// With REASON_CONTAINER_LIMITATION: which resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limitation: Option<Limitation>,
}

impl TaskStatus {
    /// An update with nothing but task and state.
    pub fn new(task_id: TaskId, state: TaskState) -> TaskStatus {
        TaskStatus {
            task_id,
            state,
            message: None,
            source: None,
            reason: None,
            data: None,
            agent_id: None,
            executor_id: None,
            timestamp: None,
            uuid: None,
            healthy: None,
            check_status: None,
            labels: Labels::new(),
            container_status: None,
            unreachable_time: None,
            limitation: None,
        }
    }
}

/// A container, as its agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<ContainerId>,
    /// The process id of its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_pid: Option<u32>,
    /// Everything else (addresses, cgroups), as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// The resources an isolator ended a container for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limitation {
    /// The resources.
    #[serde(default)]
    pub resources: Vec<Resource>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_may_still_run_is_not_terminal() {
        for state in [
            TaskState::Lost,
            TaskState::Unreachable,
            TaskState::Unknown,
            TaskState::Running,
        ] {
            assert!(!state.is_terminal(), "{state}");
        }
        for state in [TaskState::Finished, TaskState::Dropped, TaskState::GoneByOperator] {
            assert!(state.is_terminal(), "{state}");
        }
        assert!(!TaskState::Other("TASK_NEW".into()).is_terminal());
    }

    #[test]
    fn an_update_of_a_real_agent_is_read() {
        let json = r#"{"agent_id":{"value":"S0"},"container_status":{"container_id":{"value":"c"},
            "executor_pid":7,"network_infos":[{"ip_addresses":[{"ip_address":"127.0.0.1"}]}]},
            "executor_id":{"value":"t"},"message":"Command exited with status 1",
            "reason":"REASON_COMMAND_EXECUTOR_FAILED","source":"SOURCE_EXECUTOR","state":"TASK_FAILED",
            "task_id":{"value":"t"},"timestamp":1.5,"uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}"#;
        let status: TaskStatus = serde_json::from_str(json).unwrap();
        assert_eq!(status.state, TaskState::Failed);
        assert_eq!(status.reason.unwrap().as_str(), "REASON_COMMAND_EXECUTOR_FAILED");
        assert_eq!(status.container_status.unwrap().executor_pid, Some(7));
    }
}
