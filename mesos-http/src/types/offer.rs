//! Offers: what the master lets a framework use.

use serde::{Deserialize, Serialize};

use super::wire::{DurationInfo, TimeInfo};
use super::{AgentId, AllocationInfo, Attribute, DomainInfo, ExecutorId, FrameworkId, OfferId, Resource};
use crate::resources::Resources;

/// Resources of one agent, offered to one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Names the offer in ACCEPT and DECLINE.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// The agent with these resources.
    pub agent_id: AgentId,
    /// The agent's host.
    pub hostname: String,
    /// Where the agent stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainInfo>,
    /// What may be used.
    #[serde(default)]
    pub resources: Resources,
    /// The agent's attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// The framework's executors that run on the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub executor_ids: Vec<ExecutorId>,
    /// When the agent is to go away, if that is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailability: Option<Unavailability>,
    /// The role it is offered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_info: Option<AllocationInfo>,
    /// Where the agent's HTTP API is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
}

/// An address on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Url {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port.
    pub address: Address,
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The host's IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The port.
    pub port: u16,
}

impl Offer {
    /// The text of an attribute of the agent.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)?
            .value
            .as_text()
    }

    /// The agent's zone, from its fault domain.
    pub fn zone(&self) -> Option<&str> {
        Some(&self.domain.as_ref()?.fault_domain.as_ref()?.zone.name)
    }

    /// Host and port of the agent's HTTP API, which tell apart agents that share a host. An IP address is preferred.
    pub fn address(&self) -> Option<String> {
        let Address { hostname, ip, port } = &self.url.as_ref()?.address;
        let host = ip.as_deref().or(hostname.as_deref())?;
        Some(match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    }

    /// The role the resources are allocated to.
    pub fn role(&self) -> Option<&str> {
        self.allocation_info.as_ref()?.role.as_deref()
    }
}

/// A request to give resources back, ahead of a maintenance. It has to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InverseOffer {
    /// Names the inverse offer in its answer.
    pub id: OfferId,
    /// Of whom.
    pub framework_id: FrameworkId,
    /// On which agent; every agent when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// The time of the maintenance.
    pub unavailability: Unavailability,
    /// What; everything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
}

/// A planned absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailability {
    /// When it begins.
    pub start: TimeInfo,
    /// How long it lasts; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<DurationInfo>,
}

/// For how long the resources that were not taken are not to be offered again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Filters {
    /// Seconds; 5 when absent. REVIVE ends every filter of the framework.
    pub refuse_seconds: f64,
}

impl Filters {
    /// Not for so many seconds.
    pub fn refuse_for(seconds: f64) -> Filters {
        Filters {
            refuse_seconds: seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_attribute_and_role_are_found() {
        let json = r#"{"id":{"value":"O1"},"framework_id":{"value":"F"},"agent_id":{"value":"S"},
            "hostname":"h","domain":{"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}},
            "attributes":[{"name":"az","type":"TEXT","text":{"value":"us-east-1a"}}],
            "allocation_info":{"role":"etl"},
            "url":{"scheme":"http","address":{"hostname":"h","ip":"10.0.0.2","port":5051},"path":"/slave(1)"},
            "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":2}}]}"#;
        let offer: Offer = serde_json::from_str(json).unwrap();
        assert_eq!(offer.zone(), Some("z"));
        assert_eq!(offer.attribute("az"), Some("us-east-1a"));
        assert_eq!(offer.role(), Some("etl"));
        assert_eq!(offer.address().as_deref(), Some("10.0.0.2:5051"));
        assert_eq!(offer.resources.scalar("cpus"), 2.0.into());
    }
}
