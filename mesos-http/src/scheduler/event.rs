//! What a master says.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::types::{
    AgentId, Bytes, ExecutorId, FrameworkId, InverseOffer, MasterInfo, Offer, OfferId, OperationStatus, TaskStatus,
};

/// The heartbeat interval of a master that names none.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

/// An event of a subscription.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "events are few and moved seldom: a box would only stand in the way of every match"
)]
pub enum Event {
    /// The first event of every subscription that is not refused.
    Subscribed(Subscribed),
    /// Resources that may be used, or given back.
    Offers(Vec<Offer>),
    /// Requests to give resources back. They have to be answered.
    InverseOffers(Vec<InverseOffer>),
    /// An offer that is no longer good. It may cross an ACCEPT.
    Rescind(OfferId),
    /// An inverse offer that is no longer good.
    RescindInverseOffer(OfferId),
    /// What became of a task. It has to be acknowledged if it has an id.
    Update(TaskStatus),
    /// What became of an operation that asked for feedback. It has to be acknowledged if it has an id.
    OperationUpdate(OperationStatus),
    /// Bytes from an executor.
    Message(Message),
    /// An agent is gone or an executor has ended. It is not reliable.
    Failure(Failure),
    /// The end of the subscription, in the master's words.
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
    /// The framework's id: given now, or the one it came with.
    pub framework_id: FrameworkId,
    /// Seconds between heartbeats.
    #[serde(default)]
    pub heartbeat_interval_seconds: Option<f64>,
    /// The leading master.
    #[serde(default)]
    pub master_info: Option<MasterInfo>,
}

impl Subscribed {
    /// The time between heartbeats; 15 seconds when the master names none that makes sense.
    pub fn heartbeat_interval(&self) -> Duration {
        let seconds = self.heartbeat_interval_seconds.filter(|seconds| *seconds > 0.0);
        seconds
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
            .unwrap_or(DEFAULT_HEARTBEAT)
    }
}

/// MESSAGE.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// Where the executor runs.
    pub agent_id: AgentId,
    /// The executor.
    pub executor_id: ExecutorId,
    /// The bytes.
    pub data: Bytes,
}

/// FAILURE.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// The agent that is gone, or on which the executor was.
    #[serde(default)]
    pub agent_id: Option<AgentId>,
    /// The executor that has ended.
    #[serde(default)]
    pub executor_id: Option<ExecutorId>,
    /// Its exit status. -1 also stands for a cleanup that failed.
    #[serde(default)]
    pub status: Option<i32>,
}

impl Event {
    /// Reads one record of the stream.
    ///
    /// # Errors
    /// Only for what is not JSON. An event whose content cannot be read is [`Event::Other`]:
    /// the stream goes on after it.
    pub fn from_json(record: &[u8]) -> Result<Event, serde_json::Error> {
        let event: Value = serde_json::from_slice(record)?;
        let kind = event["type"].as_str().unwrap_or_default().to_string();
        let read = match kind.as_str() {
            "SUBSCRIBED" => content(&event, &["subscribed"]).map(Event::Subscribed),
            "OFFERS" => content(&event, &["offers", "offers"]).map(Event::Offers),
            "INVERSE_OFFERS" => content(&event, &["inverse_offers", "inverse_offers"]).map(Event::InverseOffers),
            "RESCIND" => content(&event, &["rescind", "offer_id"]).map(Event::Rescind),
            "RESCIND_INVERSE_OFFER" => {
                content(&event, &["rescind_inverse_offer", "inverse_offer_id"]).map(Event::RescindInverseOffer)
            }
            "UPDATE" => content(&event, &["update", "status"]).map(Event::Update),
            "UPDATE_OPERATION_STATUS" => {
                content(&event, &["update_operation_status", "status"]).map(Event::OperationUpdate)
            }
            "MESSAGE" => content(&event, &["message"]).map(Event::Message),
            "FAILURE" => content(&event, &["failure"]).map(Event::Failure),
            "ERROR" => content(&event, &["error", "message"]).map(Event::Error),
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

/// Reads what lies at a path of fields.
fn content<T: DeserializeOwned>(event: &Value, path: &[&str]) -> Result<T, serde_json::Error> {
    let place = path.iter().fold(event, |value, field| &value[field]);
    T::deserialize(place)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::OperationState;

    fn event(json: Value) -> Event {
        Event::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_subscription_begins_with_id_and_heartbeat() {
        let json = json!({"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "F"},
            "heartbeat_interval_seconds": 2.5, "master_info": {"id": "m", "ip": 1, "port": 5050}}});
        let Event::Subscribed(subscribed) = event(json) else {
            panic!()
        };
        assert_eq!(subscribed.framework_id, "F".into());
        assert_eq!(subscribed.heartbeat_interval(), Duration::from_millis(2500));
        let odd = Subscribed {
            heartbeat_interval_seconds: Some(-1.0),
            ..subscribed
        };
        assert_eq!(odd.heartbeat_interval(), Duration::from_secs(15));
    }

    #[test]
    fn offers_lie_two_levels_deep() {
        let json = json!({"type": "OFFERS", "offers": {"offers": [{"id": {"value": "O"},
            "framework_id": {"value": "F"}, "agent_id": {"value": "S"}, "hostname": "h"}]}});
        let Event::Offers(offers) = event(json) else { panic!() };
        assert_eq!(offers[0].id, "O".into());
    }

    #[test]
    fn small_events_are_read() {
        let cases = [
            (json!({"type": "HEARTBEAT"}), Event::Heartbeat),
            (
                json!({"type": "ERROR", "error": {"message": "no"}}),
                Event::Error("no".into()),
            ),
            (
                json!({"type": "RESCIND", "rescind": {"offer_id": {"value": "O"}}}),
                Event::Rescind("O".into()),
            ),
            (
                json!({"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status":
                    {"operation_id": {"value": "op"}, "state": "OPERATION_DROPPED"}}}),
                Event::OperationUpdate(OperationStatus {
                    operation_id: Some("op".into()),
                    state: OperationState::Dropped,
                    message: None,
                    converted_resources: vec![],
                    uuid: None,
                    agent_id: None,
                    resource_provider_id: None,
                }),
            ),
            (
                json!({"type": "FAILURE", "failure": {"agent_id": {"value": "S"}, "status": -1}}),
                Event::Failure(Failure {
                    agent_id: Some("S".into()),
                    executor_id: None,
                    status: Some(-1),
                }),
            ),
        ];
        for (json, expected) in cases {
            assert_eq!(event(json), expected);
        }
    }

    #[test]
    fn unknown_and_unreadable_events_do_not_end_the_stream() {
        let unknown = event(json!({"type": "SOMETHING_NEW", "x": 1}));
        assert!(matches!(unknown, Event::Other { unreadable: None, .. }), "{unknown:?}");
        let unreadable = event(json!({"type": "UPDATE", "update": {"status": {"state": 3}}}));
        let Event::Other {
            kind,
            unreadable: Some(_),
            event,
        } = unreadable
        else {
            panic!()
        };
        assert_eq!(
            (kind.as_str(), &event["update"]["status"]["state"]),
            ("UPDATE", &json!(3))
        );
        assert!(Event::from_json(b"<html>").is_err());
    }
}
