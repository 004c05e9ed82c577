//! Calls about containers that a caller of an agent's API makes itself: nested ones, as the executors of task groups do, and
//! standalone ones.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Agent;
use crate::error::Error;
use crate::resources::Resources;
use crate::types::{CommandInfo, ContainerId, ContainerInfo, Reason, TaskState};

/// A container to make.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContainerLaunch {
    /// Its id, chosen by the caller. With a parent it is nested in that container, without one it is standalone.
    pub container_id: ContainerId,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// How it is contained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerInfo>,
    /// What it may use. An agent before 1.10 refuses these for a nested container.
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
}

impl ContainerLaunch {
    /// A command in a container of the Mesos containerizer, without resources of its own.
    pub fn new(container_id: ContainerId, command: CommandInfo) -> ContainerLaunch {
        ContainerLaunch {
            container_id,
            command: Some(command),
            container: Some(ContainerInfo::mesos()),
            resources: Resources::new(),
        }
    }
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ContainerEnd {
    /// The wait status of its first process: an exit code is in bits 8 to 15, a signal in bits 0 to 6. `None` when it never
    /// ran, or whose outcome is not known any more.
    #[serde(default)]
    pub exit_status: Option<i32>,
    /// The state that an isolator wants the task to be in.
    #[serde(default)]
    pub state: Option<TaskState>,
    /// Why an isolator ended it.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// The same in words.
    #[serde(default)]
    pub message: Option<String>,
}

impl Agent {
    /// LAUNCH_CONTAINER (since 1.5): makes a container and returns when its command runs, or cannot be run.
    ///
    /// # Errors
    /// When there is no answer, or the container cannot be made; the agent's words say why.
    pub fn launch_container(&self, launch: &ContainerLaunch) -> Result<(), Error> {
        let content = ("launch_container", json!(launch));
        self.caller.post("LAUNCH_CONTAINER", Some(content)).map(|_| ())
    }

    /// LAUNCH_NESTED_CONTAINER: the same for a nested container, on agents of any release. Its resources are not sent.
    ///
    /// # Errors
    /// As [`Agent::launch_container`].
    pub fn launch_nested_container(&self, launch: &ContainerLaunch) -> Result<(), Error> {
        let ContainerLaunch {
            container_id,
            command,
            container,
            ..
        } = launch;
        let content = json!({"container_id": container_id, "command": command, "container": container});
        let content = ("launch_nested_container", content);
        self.caller.post("LAUNCH_NESTED_CONTAINER", Some(content)).map(|_| ())
    }

    /// LAUNCH_NESTED_CONTAINER_SESSION: runs a command in the namespaces of the container it is nested in (a DEBUG
    /// container), and returns when all its output has come. Its end is asked for with
    /// [`Agent::wait_nested_container`].
    ///
    /// # Errors
    /// As [`Agent::launch_container`].
    pub fn run_session(&self, container_id: &ContainerId, command: &CommandInfo) -> Result<(), Error> {
        let content = json!({"container_id": container_id, "command": command});
        let content = ("launch_nested_container_session", content);
        self.caller.stream("LAUNCH_NESTED_CONTAINER_SESSION", content)
    }

    /// WAIT_CONTAINER (since 1.5): returns when the container has ended, if that is within the deadline of this agent.
    ///
    /// # Errors
    /// When there is no answer in time, or the agent does not know the container.
    pub fn wait_container(&self, container_id: &ContainerId) -> Result<ContainerEnd, Error> {
        self.about("WAIT_CONTAINER", "wait_container", container_id)
    }

    /// WAIT_NESTED_CONTAINER: the same for a nested container, on agents of any release.
    ///
    /// # Errors
    /// As [`Agent::wait_container`].
    pub fn wait_nested_container(&self, container_id: &ContainerId) -> Result<ContainerEnd, Error> {
        self.about("WAIT_NESTED_CONTAINER", "wait_nested_container", container_id)
    }

    /// KILL_NESTED_CONTAINER: sends SIGKILL to the container's processes.
    ///
    /// # Errors
    /// When there is no answer, or the agent does not know the container.
    pub fn kill_nested_container(&self, container_id: &ContainerId) -> Result<(), Error> {
        let content = ("kill_nested_container", json!({"container_id": container_id}));
        self.caller.post("KILL_NESTED_CONTAINER", Some(content)).map(|_| ())
    }

    fn about(&self, kind: &str, field: &str, container_id: &ContainerId) -> Result<ContainerEnd, Error> {
        let content = json!({"container_id": container_id});
        self.caller.ask(kind, Some((field, content)), &[field])
    }
}
