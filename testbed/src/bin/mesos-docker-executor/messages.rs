//! The messages between an agent and an executor of version 0, reduced to the fields that are used. Field numbers are Mesos' own.
//!
//! What is only handed back (a task) stays bytes, so that no field of it is lost.

use prost::Message;

/// Any of Mesos' ids.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Id {
    #[prost(string, required, tag = "1")]
    pub(crate) value: String,
}

impl Id {
    pub(crate) fn new(value: &str) -> Id {
        Id {
            value: value.to_owned(),
        }
    }
}

/// `RegisterExecutorMessage`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RegisterExecutor {
    #[prost(message, required, tag = "1")]
    pub(crate) framework_id: Id,
    #[prost(message, required, tag = "2")]
    pub(crate) executor_id: Id,
}

/// `ReregisterExecutorMessage`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReregisterExecutor {
    #[prost(message, required, tag = "1")]
    pub(crate) executor_id: Id,
    #[prost(message, required, tag = "2")]
    pub(crate) framework_id: Id,
    /// `TaskInfo`s of which no update was acknowledged.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) tasks: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) updates: Vec<StatusUpdate>,
}

/// `RunTaskMessage`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RunTask {
    /// A `TaskInfo`.
    #[prost(bytes = "vec", required, tag = "4")]
    pub(crate) task: Vec<u8>,
}

/// `KillTaskMessage`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KillTask {
    #[prost(message, optional, tag = "3")]
    pub(crate) kill_policy: Option<KillPolicy>,
}

/// `StatusUpdateAcknowledgementMessage`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Acknowledgement {
    #[prost(bytes = "vec", required, tag = "4")]
    pub(crate) uuid: Vec<u8>,
}

/// `StatusUpdateMessage`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusUpdateMessage {
    #[prost(message, required, tag = "1")]
    pub(crate) update: StatusUpdate,
    #[prost(string, optional, tag = "2")]
    pub(crate) pid: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct StatusUpdate {
    #[prost(message, required, tag = "1")]
    pub(crate) framework_id: Id,
    #[prost(message, optional, tag = "2")]
    pub(crate) executor_id: Option<Id>,
    #[prost(message, optional, tag = "3")]
    pub(crate) agent_id: Option<Id>,
    #[prost(message, required, tag = "4")]
    pub(crate) status: TaskStatus,
    #[prost(double, required, tag = "5")]
    pub(crate) timestamp: f64,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(crate) uuid: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TaskStatus {
    #[prost(message, required, tag = "1")]
    pub(crate) task_id: Id,
    #[prost(enumeration = "TaskState", required, tag = "2")]
    pub(crate) state: i32,
    #[prost(string, optional, tag = "4")]
    pub(crate) message: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(crate) agent_id: Option<Id>,
    #[prost(double, optional, tag = "6")]
    pub(crate) timestamp: Option<f64>,
    #[prost(message, optional, tag = "7")]
    pub(crate) executor_id: Option<Id>,
    /// 2 is SOURCE_EXECUTOR.
    #[prost(int32, optional, tag = "9")]
    pub(crate) source: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "11")]
    pub(crate) uuid: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
pub(crate) enum TaskState {
    Starting = 0,
    Running = 1,
    Finished = 2,
    Failed = 3,
    Killed = 4,
}

impl TaskState {
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, TaskState::Finished | TaskState::Failed | TaskState::Killed)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TaskInfo {
    #[prost(message, required, tag = "2")]
    pub(crate) task_id: Id,
    #[prost(message, optional, tag = "7")]
    pub(crate) command: Option<CommandInfo>,
    #[prost(message, optional, tag = "9")]
    pub(crate) container: Option<ContainerInfo>,
    #[prost(message, optional, tag = "12")]
    pub(crate) kill_policy: Option<KillPolicy>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct KillPolicy {
    #[prost(message, optional, tag = "1")]
    pub(crate) grace_period: Option<DurationInfo>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct DurationInfo {
    #[prost(int64, required, tag = "1")]
    pub(crate) nanoseconds: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CommandInfo {
    #[prost(message, optional, tag = "2")]
    pub(crate) environment: Option<Environment>,
    #[prost(string, optional, tag = "3")]
    pub(crate) value: Option<String>,
    #[prost(bool, optional, tag = "6", default = true)]
    pub(crate) shell: Option<bool>,
    #[prost(string, repeated, tag = "7")]
    pub(crate) arguments: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Environment {
    #[prost(message, repeated, tag = "1")]
    pub(crate) variables: Vec<Variable>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Variable {
    #[prost(string, required, tag = "1")]
    pub(crate) name: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) value: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ContainerInfo {
    #[prost(message, repeated, tag = "2")]
    pub(crate) volumes: Vec<Volume>,
    #[prost(message, optional, tag = "3")]
    pub(crate) docker: Option<DockerInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Volume {
    #[prost(string, required, tag = "1")]
    pub(crate) container_path: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) host_path: Option<String>,
    /// 1 is RW, 2 is RO.
    #[prost(int32, required, tag = "3")]
    pub(crate) mode: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DockerInfo {
    #[prost(string, required, tag = "1")]
    pub(crate) image: String,
    /// 1 is HOST, 2 is BRIDGE, 3 is NONE.
    #[prost(int32, optional, tag = "2")]
    pub(crate) network: Option<i32>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) parameters: Vec<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Parameter {
    #[prost(string, required, tag = "1")]
    pub(crate) key: String,
    #[prost(string, required, tag = "2")]
    pub(crate) value: String,
}
