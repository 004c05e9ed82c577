//! What masters and agents answer.

use serde::Deserialize;

use crate::types::{
    AgentInfo, Bytes, ContainerId, ContainerStatus, ExecutorId, FrameworkId, FrameworkInfo, Resource, Task,
};

/// GET_VERSION.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VersionInfo {
    /// Such as `1.11.0`.
    pub version: String,
    /// When it was built.
    #[serde(default)]
    pub build_date: Option<String>,
    /// The commit it was built from.
    #[serde(default)]
    pub git_sha: Option<String>,
}

/// One agent, as the master knows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AgentState {
    /// How it describes itself.
    pub agent_info: AgentInfo,
    /// Whether it is connected.
    pub active: bool,
    /// Whether an operator has deactivated it.
    #[serde(default)]
    pub deactivated: bool,
    /// Its Mesos version.
    pub version: String,
    /// Its address, such as `slave(1)@10.0.0.5:5051`.
    #[serde(default)]
    pub pid: Option<String>,
    /// Everything it has.
    #[serde(default)]
    pub total_resources: Vec<Resource>,
    /// What tasks use.
    #[serde(default)]
    pub allocated_resources: Vec<Resource>,
    /// What is on offer.
    #[serde(default)]
    pub offered_resources: Vec<Resource>,
}

/// One framework, as the master knows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FrameworkState {
    /// How it describes itself.
    pub framework_info: FrameworkInfo,
    /// Whether it is offered resources.
    pub active: bool,
    /// Whether its scheduler is subscribed.
    pub connected: bool,
    /// Whether it is known only from agents so far.
    #[serde(default)]
    pub recovered: bool,
}

/// GET_TASKS.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Tasks {
    /// Tasks that run, or wait for their end to be acknowledged.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// Tasks of agents the master cannot reach.
    #[serde(default)]
    pub unreachable_tasks: Vec<Task>,
    /// Tasks that have ended, as far as the master still remembers.
    #[serde(default)]
    pub completed_tasks: Vec<Task>,
}

/// GET_CONTAINERS.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Containers {
    /// The containers. One that is being prepared or destroyed is among them.
    #[serde(default)]
    pub containers: Vec<Container>,
}

/// One container of an agent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Container {
    /// Its framework; absent for a standalone container.
    #[serde(default)]
    pub framework_id: Option<FrameworkId>,
    /// Its executor; absent for a standalone container.
    #[serde(default)]
    pub executor_id: Option<ExecutorId>,
    /// Its executor's name.
    #[serde(default)]
    pub executor_name: Option<String>,
    /// Its id. A nested container is named here without the container around it; the whole id is
    /// in the status.
    pub container_id: ContainerId,
    /// What is known of it.
    #[serde(default)]
    pub container_status: Option<ContainerStatus>,
    /// What it uses, as it came.
    #[serde(default)]
    pub resource_statistics: Option<serde_json::Value>,
}

/// READ_FILE: a part of a file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct FilePart {
    /// The size of the whole file, in bytes.
    #[serde(default)]
    pub size: u64,
    /// The part. Empty when none of the file lies behind the offset.
    #[serde(default)]
    pub data: Bytes,
}
