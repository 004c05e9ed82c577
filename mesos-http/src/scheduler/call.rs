//! What a scheduler says.

use serde::Serialize;
use serde_json::{Value, json};

use crate::types::{
    AgentId, Bytes, ExecutorId, ExecutorInfo, Filters, FrameworkId, FrameworkInfo, KillPolicy, OfferConstraints,
    OfferId, OperationId, OperationStatus, Resource, ResourceProviderId, TaskGroupInfo, TaskId, TaskInfo, TaskStatus,
    UpdateId,
};

/// A call to the leading master. SUBSCRIBE is not among them: the connection sends it.
///
/// Every call is answered with "accepted", which says only that it was understood; what came of
/// it comes as an event.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// Uses offers of one agent and one role. What the operations leave is declined.
    Accept(Accept),
    /// Gives offers back.
    Decline {
        /// The offers.
        offer_ids: Vec<OfferId>,
        /// For how long not to offer the resources again.
        filters: Option<Filters>,
    },
    /// Agrees to inverse offers.
    AcceptInverseOffers {
        /// The inverse offers.
        inverse_offer_ids: Vec<OfferId>,
    },
    /// Does not agree to inverse offers.
    DeclineInverseOffers {
        /// The inverse offers.
        inverse_offer_ids: Vec<OfferId>,
    },
    /// Wants offers again, without regard to earlier filters.
    Revive {
        /// The roles; all when empty.
        roles: Vec<String>,
    },
    /// Wants no offers for now.
    Suppress {
        /// The roles; all when empty.
        roles: Vec<String>,
    },
    /// Kills a task.
    Kill(Kill),
    /// Kills an executor and all its tasks.
    Shutdown {
        /// The executor.
        executor_id: ExecutorId,
        /// Where it runs.
        agent_id: AgentId,
    },
    /// Has taken note, durably, of a status update.
    Acknowledge {
        /// The task.
        task_id: TaskId,
        /// Where it runs.
        agent_id: AgentId,
        /// The id of the update that is acknowledged.
        uuid: UpdateId,
    },
    /// Asks for the latest state of these tasks, or of all tasks the master knows when empty.
    Reconcile {
        /// The tasks.
        tasks: Vec<TaskReference>,
    },
    /// Has taken note, durably, of what became of an operation.
    AcknowledgeOperation {
        /// The operation.
        operation_id: OperationId,
        /// Where it was carried out.
        agent_id: Option<AgentId>,
        /// By which resource provider.
        resource_provider_id: Option<ResourceProviderId>,
        /// The id of the update that is acknowledged.
        uuid: UpdateId,
    },
    /// Asks for the latest state of these operations, or of all operations the master knows when empty. The answers come as
    /// events.
    ReconcileOperations {
        /// The operations.
        operations: Vec<OperationReference>,
    },
    /// Sends bytes to an executor, without any guarantee.
    Message {
        /// Where it runs.
        agent_id: AgentId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: Bytes,
    },
    /// Changes what the master knows of the framework, without a new subscription.
    UpdateFramework {
        /// The whole description; id, principal and checkpoint cannot change.
        framework_info: Box<FrameworkInfo>,
        /// Roles for which no offers are wanted.
        suppressed_roles: Vec<String>,
        /// Which agents' offers are wanted; `None`: all.
        offer_constraints: Option<OfferConstraints>,
    },
    /// Ends the framework: every task is killed and the id is never good again.
    Teardown,
    /// A call this crate has no type for: its type's name, such as `REQUEST`, and its content.
    Other {
        /// The name in capitals.
        kind: String,
        /// What stands in the field of that name, if there is one.
        content: Option<Value>,
    },
}

/// ACCEPT.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accept {
    /// The offers, all of one agent.
    pub offer_ids: Vec<OfferId>,
    /// What to do with them, in order.
    pub operations: Vec<Operation>,
    /// For how long not to offer again what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
}

/// KILL.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kill {
    /// The task.
    pub task_id: TaskId,
    /// Where it runs; the master looks for it when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// Instead of the task's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_policy: Option<KillPolicy>,
}

/// A task in RECONCILE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskReference {
    /// The task.
    pub task_id: TaskId,
    /// Where it is thought to run. With it, a master that has just taken over can answer that
    /// the task is gone without waiting for every agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
}

/// An operation to reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationReference {
    /// The operation.
    pub operation_id: OperationId,
    /// The agent that carries it out. The master answers sooner when this is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// By which resource provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_provider_id: Option<ResourceProviderId>,
}

/// One thing to do with accepted offers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Launches tasks.
    Launch(Vec<TaskInfo>),
    /// Launches tasks together, in one executor.
    LaunchGroup {
        /// The executor.
        executor: Box<ExecutorInfo>,
        /// The tasks.
        task_group: TaskGroupInfo,
    },
    /// Reserves resources for the role.
    Reserve(Vec<Resource>),
    /// Takes reservations back.
    Unreserve(Vec<Resource>),
    /// The same with an id: its outcome arrives as
    /// [`Event::OperationUpdate`](super::Event::OperationUpdate). Not for launches, which have task
    /// ids.
    WithFeedback {
        /// The id, never used twice.
        id: OperationId,
        /// What to do.
        operation: Box<Operation>,
    },
    /// An operation this crate has no type for: its type's name, such as `CREATE_DISK`, and its content.
    Other {
        /// The name in capitals.
        kind: String,
        /// What stands in the field of that name.
        content: Value,
    },
}

impl Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Operation::Launch(tasks) => json!({"type": "LAUNCH", "launch": {"task_infos": tasks}}),
            Operation::LaunchGroup { executor, task_group } => json!({
                "type": "LAUNCH_GROUP",
                "launch_group": {"executor": executor, "task_group": task_group},
            }),
            Operation::Reserve(resources) => {
                json!({"type": "RESERVE", "reserve": {"resources": resources}})
            }
            Operation::Unreserve(resources) => {
                json!({"type": "UNRESERVE", "unreserve": {"resources": resources}})
            }
            Operation::WithFeedback { id, operation } => {
                let mut json = json!(operation);
                json["id"] = json!(id);
                json
            }
            Operation::Other { kind, content } => {
                let mut json = json!({"type": kind});
                json[kind.to_ascii_lowercase()] = content.clone();
                json
            }
        }
        .serialize(serializer)
    }
}

impl Call {
    /// Launches tasks on one offer, with the master's filter of 5 seconds for what is left.
    pub fn launch(offer_id: OfferId, tasks: Vec<TaskInfo>) -> Call {
        Call::Accept(Accept {
            offer_ids: vec![offer_id],
            operations: vec![Operation::Launch(tasks)],
            filters: None,
        })
    }

    /// Gives offers back for so many seconds.
    pub fn decline(offer_ids: impl IntoIterator<Item = OfferId>, refuse_seconds: f64) -> Call {
        let offer_ids = offer_ids.into_iter().collect();
        Call::Decline {
            offer_ids,
            filters: Some(Filters::refuse_for(refuse_seconds)),
        }
    }

    /// Kills a task by its own policy.
    pub fn kill(task_id: TaskId, agent_id: Option<AgentId>) -> Call {
        Call::Kill(Kill {
            task_id,
            agent_id,
            kill_policy: None,
        })
    }

    /// The acknowledgement an update asks for. `None` for one that must not be acknowledged: it
    /// was made by the master or answers RECONCILE, and has no id.
    pub fn acknowledge(status: &TaskStatus) -> Option<Call> {
        Some(Call::Acknowledge {
            task_id: status.task_id.clone(),
            agent_id: status.agent_id.clone()?,
            uuid: status.uuid.clone()?,
        })
    }

    /// The acknowledgement an operation's update asks for. `None` for one that must not be acknowledged.
    pub fn acknowledge_operation(status: &OperationStatus) -> Option<Call> {
        Some(Call::AcknowledgeOperation {
            operation_id: status.operation_id.clone()?,
            agent_id: status.agent_id.clone(),
            resource_provider_id: status.resource_provider_id.clone(),
            uuid: status.uuid.clone()?,
        })
    }

    /// The name of the call's type.
    pub fn kind(&self) -> &str {
        match self {
            Call::Accept(_) => "ACCEPT",
            Call::Decline { .. } => "DECLINE",
            Call::AcceptInverseOffers { .. } => "ACCEPT_INVERSE_OFFERS",
            Call::DeclineInverseOffers { .. } => "DECLINE_INVERSE_OFFERS",
            Call::Revive { .. } => "REVIVE",
            Call::Suppress { .. } => "SUPPRESS",
            Call::Kill(_) => "KILL",
            Call::Shutdown { .. } => "SHUTDOWN",
            Call::Acknowledge { .. } => "ACKNOWLEDGE",
            Call::Reconcile { .. } => "RECONCILE",
            Call::AcknowledgeOperation { .. } => "ACKNOWLEDGE_OPERATION_STATUS",
            Call::ReconcileOperations { .. } => "RECONCILE_OPERATIONS",
            Call::Message { .. } => "MESSAGE",
            Call::UpdateFramework { .. } => "UPDATE_FRAMEWORK",
            Call::Teardown => "TEARDOWN",
            Call::Other { kind, .. } => kind,
        }
    }

    /// The whole call as it goes over the wire.
    pub fn to_json(&self, framework_id: &FrameworkId) -> Value {
        let content = match self {
            Call::Accept(accept) => Some(json!(accept)),
            Call::Decline { offer_ids, filters } => Some(match filters {
                Some(filters) => json!({"offer_ids": offer_ids, "filters": filters}),
                None => json!({"offer_ids": offer_ids}),
            }),
            Call::AcceptInverseOffers { inverse_offer_ids } | Call::DeclineInverseOffers { inverse_offer_ids } => {
                Some(json!({"inverse_offer_ids": inverse_offer_ids}))
            }
            Call::Revive { roles } | Call::Suppress { roles } => Some(json!({"roles": roles})),
            Call::Kill(kill) => Some(json!(kill)),
            Call::Shutdown { executor_id, agent_id } => Some(json!({"executor_id": executor_id, "agent_id": agent_id})),
            Call::Acknowledge {
                task_id,
                agent_id,
                uuid,
            } => Some(json!({"task_id": task_id, "agent_id": agent_id, "uuid": uuid})),
            Call::Reconcile { tasks } => Some(json!({"tasks": tasks})),
            Call::AcknowledgeOperation {
                operation_id,
                agent_id,
                resource_provider_id,
                uuid,
            } => {
                let mut content = json!({"operation_id": operation_id, "uuid": uuid});
                if let Some(agent_id) = agent_id {
                    content["agent_id"] = json!(agent_id);
                }
                if let Some(provider) = resource_provider_id {
                    content["resource_provider_id"] = json!(provider);
                }
                Some(content)
            }
            Call::ReconcileOperations { operations } => Some(json!({"operations": operations})),
            Call::Message {
                agent_id,
                executor_id,
                data,
            } => Some(json!({"agent_id": agent_id, "executor_id": executor_id, "data": data})),
            Call::UpdateFramework {
                framework_info,
                suppressed_roles,
                offer_constraints,
            } => {
                let mut content = json!({"framework_info": framework_info, "suppressed_roles": suppressed_roles});
                if let Some(constraints) = offer_constraints {
                    content["offer_constraints"] = json!(constraints);
                }
                Some(content)
            }
            Call::Teardown => None,
            Call::Other { content, .. } => content.clone(),
        };
        let mut call = json!({"type": self.kind(), "framework_id": framework_id});
        if let Some(content) = content {
            call[self.kind().to_ascii_lowercase()] = content;
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommandInfo, TaskState};

    fn wire(call: &Call) -> Value {
        call.to_json(&"F".into())
    }

    #[test]
    fn a_launch_is_one_accept_with_one_operation() {
        let task = TaskInfo::command("t", "S".into(), CommandInfo::shell("true"), Default::default());
        let json = wire(&Call::launch("O".into(), vec![task]));
        assert_eq!(json["type"], "ACCEPT");
        assert_eq!(json["framework_id"]["value"], "F");
        assert_eq!(json["accept"]["offer_ids"], json!([{"value": "O"}]));
        let operation = &json["accept"]["operations"][0];
        assert_eq!(operation["type"], "LAUNCH");
        assert_eq!(operation["launch"]["task_infos"][0]["task_id"]["value"], "t");
    }

    #[test]
    fn every_other_call_has_the_form_of_the_protocol() {
        let id = |id: &str| json!({"value": id});
        let cases = [
            (
                Call::decline(["O".into()], 3600.0),
                json!({"offer_ids": [id("O")], "filters": {"refuse_seconds": 3600.0}}),
            ),
            (
                Call::Suppress {
                    roles: vec!["etl".into()],
                },
                json!({"roles": ["etl"]}),
            ),
            (Call::Revive { roles: vec![] }, json!({"roles": []})),
            (
                Call::kill("t".into(), Some("S".into())),
                json!({"task_id": id("t"), "agent_id": id("S")}),
            ),
            (Call::Reconcile { tasks: vec![] }, json!({"tasks": []})),
            (
                Call::Reconcile {
                    tasks: vec![TaskReference {
                        task_id: "t".into(),
                        agent_id: None,
                    }],
                },
                json!({"tasks": [{"task_id": id("t")}]}),
            ),
            (
                Call::AcceptInverseOffers {
                    inverse_offer_ids: vec!["I".into()],
                },
                json!({"inverse_offer_ids": [id("I")]}),
            ),
        ];
        for (call, content) in cases {
            let expected = json!({
                "type": call.kind(), "framework_id": {"value": "F"},
                call.kind().to_ascii_lowercase(): content,
            });
            assert_eq!(wire(&call), expected);
        }
        assert_eq!(
            wire(&Call::Teardown),
            json!({"type": "TEARDOWN", "framework_id": {"value": "F"}})
        );
    }

    #[test]
    fn an_operation_with_feedback_has_its_id_beside_its_type() {
        let operation = Operation::WithFeedback {
            id: "op-1".into(),
            operation: Box::new(Operation::Unreserve(vec![])),
        };
        let json = json!({"type": "UNRESERVE", "id": {"value": "op-1"}, "unreserve": {"resources": []}});
        assert_eq!(json!(operation), json);
    }

    #[test]
    fn an_operations_update_is_acknowledged_by_its_bare_id() {
        let json = json!({"operation_id": {"value": "op-1"}, "state": "OPERATION_FINISHED",
            "uuid": {"value": "AQEBAQEBAQEBAQEBAQEBAQ=="}, "agent_id": {"value": "S"}});
        let mut status: OperationStatus = serde_json::from_value(json).unwrap();
        let call = wire(&Call::acknowledge_operation(&status).unwrap());
        assert_eq!(
            call["acknowledge_operation_status"],
            json!({"operation_id": {"value": "op-1"}, "uuid": "AQEBAQEBAQEBAQEBAQEBAQ==", "agent_id": {"value": "S"}})
        );
        status.uuid = None;
        assert_eq!(Call::acknowledge_operation(&status), None);
    }

    #[test]
    fn only_an_update_with_an_id_is_acknowledged() {
        let mut status = TaskStatus::new("t".into(), TaskState::Running);
        status.agent_id = Some("S".into());
        assert_eq!(Call::acknowledge(&status), None);
        status.uuid = Some(UpdateId(Bytes(vec![1; 16])));
        let acknowledge = wire(&Call::acknowledge(&status).unwrap());
        assert_eq!(acknowledge["acknowledge"]["uuid"], "AQEBAQEBAQEBAQEBAQEBAQ==");
    }
}
