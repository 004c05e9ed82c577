//! Tasks and executors.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::{DurationInfo, open_enum};
use super::{
    AgentId, Bytes, CheckInfo, CommandInfo, ContainerInfo, ExecutorId, FrameworkId, HealthCheck, Labels, Resource,
    Scalar, TaskId, TaskState, TaskStatus, UpdateId,
};
use crate::resources::Resources;

/// A task to launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// The name people see.
    pub name: String,
    /// Its id, chosen by the scheduler.
    pub task_id: TaskId,
    /// Where: the agent of the offer.
    pub agent_id: AgentId,
    /// What it may use: a part of the offer.
    #[serde(default)]
    pub resources: Resources,
    /// A custom executor; absent for a command task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<ExecutorInfo>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// How it is contained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerInfo>,
    /// After so many failures of this check it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// The result of this check is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckInfo>,
    /// How it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_policy: Option<KillPolicy>,
    /// Bytes for the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
    /// Labels. An isolator sees those of a command task.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// After so long it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_completion_time: Option<DurationInfo>,
    /// Upper limits of cpus and mem, where they differ from the resources.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Scalar>,
    /// Everything else (`discovery`), as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl TaskInfo {
    /// A command task: run by Mesos' own executor, named like its id.
    pub fn command(
        task_id: impl Into<TaskId>,
        agent_id: AgentId,
        command: CommandInfo,
        resources: Resources,
    ) -> TaskInfo {
        let task_id = task_id.into();
        TaskInfo {
            name: task_id.0.clone(),
            task_id,
            agent_id,
            resources,
            executor: None,
            command: Some(command),
            container: None,
            health_check: None,
            check: None,
            kill_policy: None,
            data: None,
            labels: Labels::new(),
            max_completion_time: None,
            limits: BTreeMap::new(),
            other: serde_json::Map::new(),
        }
    }

    /// The same task with one more label.
    pub fn with_label(mut self, key: impl Into<String>, value: impl Into<String>) -> TaskInfo {
        self.labels.push(key, value);
        self
    }

    /// The same task in this container.
    pub fn with_container(mut self, container: ContainerInfo) -> TaskInfo {
        self.container = Some(container);
        self
    }

    /// The same task, given so long between SIGTERM and SIGKILL.
    pub fn with_kill_grace(mut self, grace: Duration) -> TaskInfo {
        self.kill_policy = Some(KillPolicy {
            grace_period: Some(grace.into()),
        });
        self
    }
}

/// Tasks that are launched together in one executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskGroupInfo {
    /// The tasks.
    #[serde(default)]
    pub tasks: Vec<TaskInfo>,
}

/// How a task is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillPolicy {
    /// The time between SIGTERM and SIGKILL; three seconds when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<DurationInfo>,
}

open_enum! {
    /// Who brings the executor.
    ExecutorKind {
        /// Mesos: the one that runs task groups.
        Default = "DEFAULT",
        /// The framework.
        Custom = "CUSTOM",
    }
}

/// An executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorInfo {
    /// Who brings it.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ExecutorKind>,
    /// Its id.
    pub executor_id: ExecutorId,
    /// Its framework.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework_id: Option<FrameworkId>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// How it is contained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerInfo>,
    /// What it uses itself, in addition to its tasks.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// The name people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
    /// The time between the request to shut down and its kill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_grace_period: Option<DurationInfo>,
    /// Labels. An isolator sees them for every container of a pod.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Everything else (`source`, `discovery`), as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl ExecutorInfo {
    /// Mesos' own executor for task groups. Two launches share one executor only when their descriptions are equal; labels are
    /// not compared, and those of the first launch stay.
    pub fn default_executor(executor_id: impl Into<ExecutorId>, resources: Resources) -> ExecutorInfo {
        ExecutorInfo {
            kind: Some(ExecutorKind::Default),
            executor_id: executor_id.into(),
            framework_id: None,
            command: None,
            container: None,
            resources,
            name: None,
            data: None,
            shutdown_grace_period: None,
            labels: Labels::new(),
            other: serde_json::Map::new(),
        }
    }
}

/// A task, as a master or agent knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The name people see.
    pub name: String,
    /// Its id.
    pub task_id: TaskId,
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Its executor; absent for a command task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<ExecutorId>,
    /// The agent that runs the task.
    pub agent_id: AgentId,
    /// The latest state.
    pub state: TaskState,
    /// What it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Its updates, oldest first; of each state only one is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<TaskStatus>,
    /// The state of the latest update that the framework has received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_update_state: Option<TaskState>,
    /// The id of that update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_update_uuid: Option<UpdateId>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// How it is contained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerInfo>,
    /// The user it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_task_is_what_the_api_asks_for() {
        let resources = Resources::from_iter([Resource::scalar("cpus", 0.5)]);
        let task = TaskInfo::command("p1.extract.1", "S1".into(), CommandInfo::shell("true"), resources)
            .with_label("volume.src", "vol-7bca078f")
            .with_kill_grace(Duration::from_secs(2));
        let json = serde_json::json!({
            "name": "p1.extract.1", "task_id": {"value": "p1.extract.1"}, "agent_id": {"value": "S1"},
            "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}}],
            "command": {"value": "true", "shell": true},
            "labels": {"labels": [{"key": "volume.src", "value": "vol-7bca078f"}]},
            "kill_policy": {"grace_period": {"nanoseconds": 2_000_000_000_u64}},
        });
        assert_eq!(serde_json::to_value(&task).unwrap(), json);
        assert_eq!(serde_json::from_value::<TaskInfo>(json).unwrap(), task);
    }
}
