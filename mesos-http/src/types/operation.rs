//! What became of an offer operation that asked for feedback.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wire::open_enum;
use super::{AgentId, Bytes, OperationId, Resource, UpdateId};

open_enum! {
    /// Where an offer operation stands.
    OperationState {
        /// A value from before the enumeration knew it.
        Unsupported = "OPERATION_UNSUPPORTED",
        /// It is on its way.
        Pending = "OPERATION_PENDING",
        /// It is done. Terminal.
        Finished = "OPERATION_FINISHED",
        /// It was tried and has failed. Terminal.
        Failed = "OPERATION_FAILED",
        /// It was refused as it was. Terminal.
        Error = "OPERATION_ERROR",
        /// It was never carried out. Terminal.
        Dropped = "OPERATION_DROPPED",
        /// Its agent cannot be reached; it may still be carried out.
        Unreachable = "OPERATION_UNREACHABLE",
        /// An operator has said that its agent is gone. Terminal.
        GoneByOperator = "OPERATION_GONE_BY_OPERATOR",
        /// The master does not know yet: the agent is expected to register again.
        Recovering = "OPERATION_RECOVERING",
        /// The state is unknown. An agent that comes back may still carry the operation out.
        Unknown = "OPERATION_UNKNOWN",
    }
}

impl OperationState {
    /// Whether no other state can follow.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            OperationState::Finished
                | OperationState::Failed
                | OperationState::Error
                | OperationState::Dropped
                | OperationState::GoneByOperator
        )
    }
}

/// The state of one operation, at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationStatus {
    /// The operation, by the id the scheduler gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// Where it stands.
    pub state: OperationState,
    /// In whose words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the resources have become.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub converted_resources: Vec<Resource>,
    /// What is acknowledged; absent in answers to RECONCILE_OPERATIONS.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_uuid",
        serialize_with = "write_uuid"
    )]
    pub uuid: Option<UpdateId>,
    /// Where it is carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// By which resource provider of the agent, if not by the agent itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_provider_id: Option<ResourceProviderId>,
}

/// A resource provider of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceProviderId {
    /// The id.
    pub value: String,
}

/// Here, and only here, the id of an update is an object.
#[derive(Serialize, Deserialize)]
struct Uuid {
    value: Bytes,
}

fn read_uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UpdateId>, D::Error> {
    let uuid = Option::<Uuid>::deserialize(deserializer)?;
    Ok(uuid.map(|uuid| UpdateId(uuid.value)))
}

fn write_uuid<S: Serializer>(id: &Option<UpdateId>, serializer: S) -> Result<S::Ok, S::Error> {
    let uuid = id.as_ref().map(|id| Uuid { value: id.0.clone() });
    uuid.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_written_as_the_master_spells_it() {
        let json = serde_json::json!({
            "operation_id": {"value": "op-1"}, "state": "OPERATION_FINISHED",
            "uuid": {"value": "AQEBAQEBAQEBAQEBAQEBAQ=="}, "agent_id": {"value": "S"},
        });
        let status: OperationStatus = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(status.uuid, Some(UpdateId(Bytes(vec![1; 16]))));
        assert!(status.state.is_terminal());
        assert_eq!(serde_json::to_value(&status).unwrap(), json);
    }

    #[test]
    fn an_operation_nobody_can_tell_of_is_not_over() {
        for state in [
            OperationState::Unreachable,
            OperationState::Unknown,
            OperationState::Recovering,
        ] {
            assert!(!state.is_terminal(), "{state}");
        }
    }
}
