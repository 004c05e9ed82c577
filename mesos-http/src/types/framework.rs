//! Frameworks: how a scheduler describes itself.

use serde::{Deserialize, Serialize};

use super::wire::open_enum;
use super::{FrameworkId, Labels};

open_enum! {
    /// Something a framework says it can deal with.
    CapabilityKind {
        /// It takes revocable resources.
        RevocableResources = "REVOCABLE_RESOURCES",
        /// It wants to hear TASK_KILLING.
        TaskKillingState = "TASK_KILLING_STATE",
        /// It wants offers of agents with GPUs.
        GpuResources = "GPU_RESOURCES",
        /// It takes shared resources.
        SharedResources = "SHARED_RESOURCES",
        /// It tells unreachable tasks from lost ones.
        PartitionAware = "PARTITION_AWARE",
        /// It may have several roles. Without it `roles` is not looked at.
        MultiRole = "MULTI_ROLE",
        /// It reads `Resource.reservations`.
        ReservationRefinement = "RESERVATION_REFINEMENT",
        /// It wants offers from all regions.
        RegionAware = "REGION_AWARE",
    }
}

/// One capability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Which.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<CapabilityKind>,
}

/// A framework. Make one with [`FrameworkInfo::new`]: its defaults are those of a scheduler that
/// must not lose its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameworkInfo {
    /// The user tasks run as, unless their command names one.
    pub user: String,
    /// The name people see.
    pub name: String,
    /// The id, absent at the very first subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameworkId>,
    /// Seconds the master keeps the tasks while no scheduler is subscribed. A new leading master
    /// does not know it (MESOS-4659) and kills nothing meanwhile.
    #[serde(default)]
    pub failover_timeout: f64,
    /// Whether agents write down what they need to let the tasks live over their own restart.
    #[serde(default)]
    pub checkpoint: bool,
    /// The roles resources are offered to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The host the scheduler runs on, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Who authenticates. It cannot change later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// A page about the framework, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webui_url: Option<String>,
    /// What it can deal with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// Labels, for people and authorizers.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Everything else (`offer_filters`, the old `role`), as it came.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// One week, in seconds.
const A_WEEK: f64 = 7.0 * 24.0 * 3600.0;

impl FrameworkInfo {
    /// A framework that keeps its tasks: checkpointing, a failover timeout of one week, the
    /// role `*`, and the capabilities MULTI_ROLE, PARTITION_AWARE, RESERVATION_REFINEMENT and
    /// TASK_KILLING_STATE.
    pub fn new(name: impl Into<String>, user: impl Into<String>) -> FrameworkInfo {
        let capabilities = [
            CapabilityKind::MultiRole,
            CapabilityKind::PartitionAware,
            CapabilityKind::ReservationRefinement,
            CapabilityKind::TaskKillingState,
        ];
        FrameworkInfo {
            user: user.into(),
            name: name.into(),
            id: None,
            failover_timeout: A_WEEK,
            checkpoint: true,
            roles: vec!["*".to_string()],
            hostname: None,
            principal: None,
            webui_url: None,
            capabilities: capabilities.map(|kind| Capability { kind: Some(kind) }).to_vec(),
            labels: Labels::new(),
            other: serde_json::Map::new(),
        }
    }

    /// The same framework with this id: a scheduler that comes back to its tasks.
    pub fn with_id(mut self, id: Option<FrameworkId>) -> FrameworkInfo {
        self.id = id;
        self
    }

    /// The same framework in these roles only.
    pub fn with_roles<T: Into<String>>(mut self, roles: impl IntoIterator<Item = T>) -> FrameworkInfo {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Whether it has said it can deal with `kind`.
    pub fn has(&self, kind: &CapabilityKind) -> bool {
        self.capabilities
            .iter()
            .any(|capability| capability.kind.as_ref() == Some(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_tasks_alive() {
        let framework = FrameworkInfo::new("etl", "root").with_roles(["etl"]);
        let json = serde_json::json!({
            "user": "root", "name": "etl", "roles": ["etl"], "checkpoint": true,
            "failover_timeout": 604800.0,
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"},
                {"type": "RESERVATION_REFINEMENT"}, {"type": "TASK_KILLING_STATE"}],
        });
        assert_eq!(serde_json::to_value(&framework).unwrap(), json);
        assert!(framework.has(&CapabilityKind::PartitionAware));
    }
}
