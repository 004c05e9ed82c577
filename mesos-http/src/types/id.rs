//! Identifiers. On the wire each is an object with the one field `value`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::Bytes;

#[derive(Serialize, Deserialize)]
struct Wrapped<T> {
    value: T,
}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                $name(id.to_string())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                $name(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Wrapped { value: &self.0 }.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Wrapped::deserialize(deserializer).map(|wrapped| $name(wrapped.value))
            }
        }
    )+};
}

ids! {
    /// An agent. It keeps its id over restarts as long as its work directory does.
    AgentId,
    /// An executor, unique within its framework and agent. A command task's executor has the
    /// task's own id.
    ExecutorId,
    /// A framework: given by the master at the first subscription, to be kept on disk by the
    /// scheduler, because it is what makes the tasks its own after a restart.
    FrameworkId,
    /// An offer. Good for one ACCEPT or DECLINE and for one subscription.
    OfferId,
    /// An offer operation with feedback, chosen by the scheduler.
    OperationId,
    /// A task, chosen by the scheduler: not empty, at most 255 bytes, no `/`, no `\` and no
    /// control character, and never used twice.
    TaskId,
}

/// A container, with the containers it is nested in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerId {
    /// The container's own id.
    pub value: String,
    /// The container around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Box<ContainerId>>,
}

impl fmt::Display for ContainerId {
    /// Outermost first, joined by dots, as the agent's log spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = &self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(&self.value)
    }
}

/// The id of one status update: 16 raw bytes. What is acknowledged is this id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpdateId(pub Bytes);

impl UpdateId {
    /// A new random id, for an executor's update.
    pub fn random() -> UpdateId {
        UpdateId(Bytes(Uuid::new_v4().as_bytes().to_vec()))
    }
}

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Uuid::from_slice(&self.0.0) {
            Ok(uuid) => uuid.fmt(f),
            Err(_) => write!(f, "{:02x?}", self.0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_object_with_a_value() {
        let id: TaskId = serde_json::from_str(r#"{"value":"t-1"}"#).unwrap();
        assert_eq!(id, TaskId::from("t-1"));
        assert_eq!(serde_json::to_string(&id).unwrap(), r#"{"value":"t-1"}"#);
    }

    #[test]
    fn a_nested_container_is_spelled_as_in_the_agents_log() {
        let json = r#"{"value":"check-1","parent":{"value":"task","parent":{"value":"root"}}}"#;
        let id: ContainerId = serde_json::from_str(json).unwrap();
        assert_eq!(id.to_string(), "root.task.check-1");
        assert_eq!(serde_json::to_string(&id).unwrap(), json);
    }

    #[test]
    fn an_update_id_goes_back_verbatim() {
        let json = r#""/////////////////////w==""#;
        let id: UpdateId = serde_json::from_str(json).unwrap();
        assert_eq!(id.to_string(), "ffffffff-ffff-ffff-ffff-ffffffffffff");
        assert_eq!(serde_json::to_string(&id).unwrap(), json);
    }
}
