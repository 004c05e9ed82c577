//! What an agent says to an executor.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::types::{
    AgentInfo, Bytes, ContainerId, ExecutorInfo, FrameworkInfo, KillPolicy, TaskGroupInfo, TaskId, TaskInfo, UpdateId,
};

/// An event of a subscription.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first event of a subscription that is not refused.
    Subscribed(Box<Subscribed>),
    /// A task to run.
    Launch(Box<TaskInfo>),
    /// Tasks to run together.
    LaunchGroup(TaskGroupInfo),
    /// A task to kill. It may come several times.
    Kill {
        /// The task.
        task_id: TaskId,
        /// Instead of the task's own.
        kill_policy: Option<KillPolicy>,
    },
    /// The agent has written an update down.
    Acknowledged {
        /// The task.
        task_id: TaskId,
        /// The id of the update that is acknowledged.
        uuid: UpdateId,
    },
    /// Bytes from the scheduler.
    Message(Bytes),
    /// Kill everything and end. It may come before, or instead of, SUBSCRIBED.
    Shutdown,
    /// A complaint, in words.
    Error(String),
    /// Nothing but a sign of life.
    Heartbeat,
    /// An event this crate has no type for, or could not read.
    Other {
        /// The type's name.
        kind: String,
        /// Why it could not be read; `None` for an unknown type.
        unreadable: Option<String>,
        /// All of it.
        event: Value,
    },
}

/// SUBSCRIBED.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Subscribed {
    /// This executor.
    pub executor_info: ExecutorInfo,
    /// Its framework.
    pub framework_info: FrameworkInfo,
    /// Its agent.
    pub agent_info: AgentInfo,
    /// Its container.
    #[serde(default)]
    pub container_id: Option<ContainerId>,
}

#[derive(Deserialize)]
struct Kill {
    task_id: TaskId,
    #[serde(default)]
    kill_policy: Option<KillPolicy>,
}

#[derive(Deserialize)]
struct Acknowledged {
    task_id: TaskId,
    uuid: UpdateId,
}

impl Event {
    /// Reads one record of the stream.
    ///
    /// # Errors
    /// Only for what is not JSON. An event whose content cannot be read is [`Event::Other`].
    pub fn from_json(record: &[u8]) -> Result<Event, serde_json::Error> {
        let event: Value = serde_json::from_slice(record)?;
        let kind = event["type"].as_str().unwrap_or_default().to_string();
        let read = match kind.as_str() {
            "SUBSCRIBED" => content(&event["subscribed"]).map(|s| Event::Subscribed(Box::new(s))),
            "LAUNCH" => content(&event["launch"]["task"]).map(|task| Event::Launch(Box::new(task))),
            "LAUNCH_GROUP" => content(&event["launch_group"]["task_group"]).map(Event::LaunchGroup),
            "KILL" => content(&event["kill"]).map(|Kill { task_id, kill_policy }| Event::Kill { task_id, kill_policy }),
            "ACKNOWLEDGED" => content(&event["acknowledged"])
                .map(|Acknowledged { task_id, uuid }| Event::Acknowledged { task_id, uuid }),
            "MESSAGE" => content(&event["message"]["data"]).map(Event::Message),
            "ERROR" => content(&event["error"]["message"]).map(Event::Error),
            "SHUTDOWN" => Ok(Event::Shutdown),
            "HEARTBEAT" => Ok(Event::Heartbeat),
            _ => {
                return Ok(Event::Other {
                    kind,
                    unreadable: None,
                    event,
                });
            }
        };
        Ok(read.unwrap_or_else(|error| Event::Other {
            kind,
            unreadable: Some(error.to_string()),
            event,
        }))
    }
}

fn content<T: DeserializeOwned>(place: &Value) -> Result<T, serde_json::Error> {
    T::deserialize(place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_event_is_read() {
        let launch = json!({"type": "LAUNCH", "launch": {"task": {"name": "t", "task_id": {"value": "t"},
            "agent_id": {"value": "S"}, "command": {"value": "true"}}}});
        let kill = json!({"type": "KILL", "kill": {"task_id": {"value": "t"},
            "kill_policy": {"grace_period": {"nanoseconds": 1_000_000_000}}}});
        let acknowledged = json!({"type": "ACKNOWLEDGED", "acknowledged": {"task_id": {"value": "t"},
            "uuid": "AAAAAAAAAAAAAAAAAAAAAA=="}});
        let read = |json: Value| Event::from_json(json.to_string().as_bytes()).unwrap();
        assert!(matches!(read(launch), Event::Launch(task) if task.task_id == "t".into()));
        assert!(matches!(
            read(kill),
            Event::Kill {
                kill_policy: Some(_),
                ..
            }
        ));
        assert!(matches!(read(acknowledged), Event::Acknowledged { uuid, .. } if uuid.0.0 == [0; 16]));
        assert_eq!(read(json!({"type": "SHUTDOWN"})), Event::Shutdown);
        assert!(matches!(
            read(json!({"type": "NEW"})),
            Event::Other { unreadable: None, .. }
        ));
        assert!(matches!(
            read(json!({"type": "LAUNCH"})),
            Event::Other {
                unreadable: Some(_),
                ..
            }
        ));
    }
}
