//! The executor's side of the protocol: who it is, and which updates the agent has not acknowledged.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::libprocess::Libprocess;
use crate::messages::{
    Id, RegisterExecutor, ReregisterExecutor, StatusUpdate, StatusUpdateMessage, TaskState, TaskStatus,
};
use crate::options::Options;

/// What an executor says to its agent.
pub(crate) struct Driver {
    options: Options,
    libprocess: Libprocess,
    /// The task's bytes, until one of its updates is acknowledged.
    unacknowledged_task: Option<Vec<u8>>,
    updates: Vec<StatusUpdate>,
}

impl Driver {
    pub(crate) fn new(options: Options, libprocess: Libprocess) -> Driver {
        Driver {
            options,
            libprocess,
            unacknowledged_task: None,
            updates: Vec::new(),
        }
    }

    /// Registers with the agent that started this process.
    ///
    /// # Errors
    /// The agent does not listen any more.
    pub(crate) fn register(&mut self) -> io::Result<()> {
        let pid = self.options.agent_pid.clone();
        self.libprocess.link(&pid)?;
        let message = RegisterExecutor {
            framework_id: Id::new(&self.options.framework_id),
            executor_id: Id::new(&self.options.executor_id),
        };
        self.libprocess
            .send("RegisterExecutorMessage", &message.encode_to_vec());
        Ok(())
    }

    /// An agent that came back asks for this: it is told everything that it may not know.
    ///
    /// # Errors
    /// It went away again.
    pub(crate) fn reregister(&mut self, agent: &str) -> io::Result<()> {
        self.libprocess.link(agent)?;
        let message = ReregisterExecutor {
            executor_id: Id::new(&self.options.executor_id),
            framework_id: Id::new(&self.options.framework_id),
            tasks: self.unacknowledged_task.clone().into_iter().collect(),
            updates: self.updates.clone(),
        };
        self.libprocess
            .send("ReregisterExecutorMessage", &message.encode_to_vec());
        Ok(())
    }

    /// Whether the connection that ended was the present one; it is given up then.
    pub(crate) fn has_lost(&mut self, agent: &str) -> bool {
        let lost = self.libprocess.is_linked_to(agent);
        if lost {
            self.libprocess.unlink();
        }
        lost
    }

    pub(crate) fn took_task(&mut self, bytes: Vec<u8>) {
        self.unacknowledged_task = Some(bytes);
    }

    /// Sends an update, and keeps it until it is acknowledged.
    pub(crate) fn update(&mut self, task: &str, state: TaskState, message: Option<String>) {
        let uuid = uuid::Uuid::new_v4().as_bytes().to_vec();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = now.as_secs_f64();
        let update = StatusUpdate {
            framework_id: Id::new(&self.options.framework_id),
            executor_id: Some(Id::new(&self.options.executor_id)),
            agent_id: Some(Id::new(&self.options.agent_id)),
            status: TaskStatus {
                task_id: Id::new(task),
                state: state as i32,
                message,
                agent_id: Some(Id::new(&self.options.agent_id)),
                timestamp: Some(timestamp),
                executor_id: Some(Id::new(&self.options.executor_id)),
                source: Some(2),
                uuid: Some(uuid.clone()),
            },
            timestamp,
            uuid: Some(uuid),
        };
        self.updates.push(update.clone());
        let message = StatusUpdateMessage {
            update,
            pid: Some(self.libprocess.pid()),
        };
        self.libprocess.send("StatusUpdateMessage", &message.encode_to_vec());
    }

    /// The update with this id has arrived. Returns its state.
    pub(crate) fn acknowledged(&mut self, uuid: &[u8]) -> Option<TaskState> {
        let found = self
            .updates
            .iter()
            .position(|update| update.uuid.as_deref() == Some(uuid))?;
        self.unacknowledged_task = None;
        TaskState::try_from(self.updates.remove(found).status.state).ok()
    }
}
