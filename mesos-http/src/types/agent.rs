//! Agents and masters, as they describe themselves.

use serde::{Deserialize, Serialize};

use super::resource::Value;
use super::{AgentId, Resource};

/// Something that has only a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// Region and zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultDomain {
    /// The region, such as `us-east-1`.
    pub region: Named,
    /// The zone, such as `us-east-1a`.
    pub zone: Named,
}

/// Where a machine stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainInfo {
    /// Region and zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_domain: Option<FaultDomain>,
}

/// One attribute of an agent, from its `--attributes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// The value; usually text.
    #[serde(flatten)]
    pub value: Value,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Its host's name.
    pub hostname: String,
    /// The port of its HTTP API.
    #[serde(default = "default_agent_port")]
    pub port: u16,
    /// Everything it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// Its id, once the master has given it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AgentId>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainInfo>,
}

fn default_agent_port() -> u16 {
    5051
}

/// A master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterInfo {
    /// Its id; new at every start of a master.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// Its host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its version, such as `1.11.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_every_kind_are_read() {
        let json = r#"[{"name":"az","type":"TEXT","text":{"value":"us-east-1a"}},
            {"name":"slots","type":"RANGES","ranges":{"range":[{"begin":1,"end":28}]}},
            {"name":"maxvol","type":"SCALAR","scalar":{"value":28}}]"#;
        let attributes: Vec<Attribute> = serde_json::from_str(json).unwrap();
        assert_eq!(attributes[0].value.as_text(), Some("us-east-1a"));
        assert_eq!(attributes[1].value.as_ranges().unwrap()[0].end, 28);
        assert_eq!(attributes[2].value.as_scalar(), Some(28.0.into()));
    }
}
