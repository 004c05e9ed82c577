//! Which offers a framework wants at all: the master keeps the others back.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::FrameworkInfo;

/// Which agents' offers a framework wants, by role; all for a role that is not named. Masters know it from Mesos 1.11, and
/// older ones ignore it, so a user of offers still has to check the agent of each offer.
///
/// ```
/// use mesos_http::types::{AgentConstraint, OfferConstraints};
///
/// let in_zone = AgentConstraint::zone("us-east-1a");
/// let constraints = OfferConstraints::new().any_of("etl", [[in_zone, AgentConstraint::has_attribute("ssd")]]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferConstraints {
    roles: BTreeMap<String, Vec<Vec<AgentConstraint>>>,
}

/// Something that is true of an agent, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConstraint {
    selector: Selector,
    predicate: Predicate,
}

/// What of the agent is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// The attribute of this name.
    Attribute(String),
    /// The host name.
    Hostname,
    /// The region of its fault domain.
    Region,
    /// The zone of its fault domain.
    Zone,
}

/// What has to be true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is this text. True as well for an attribute that is no text.
    Equals(String),
    /// It is not this text.
    NotEquals(String),
    /// This regular expression (RE2) matches the whole of it. The master limits its size.
    Matches(String),
    /// This regular expression does not.
    NotMatches(String),
}

impl OfferConstraints {
    /// None: every offer is wanted.
    pub fn new() -> OfferConstraints {
        OfferConstraints::default()
    }

    /// For `role`, offers of agents for which every constraint of one of the groups is true.
    #[must_use]
    pub fn any_of<G: IntoIterator<Item = AgentConstraint>>(
        mut self,
        role: impl Into<String>,
        groups: impl IntoIterator<Item = G>,
    ) -> OfferConstraints {
        let groups = groups.into_iter().map(|group| group.into_iter().collect());
        self.roles.entry(role.into()).or_default().extend(groups);
        self
    }
}

impl AgentConstraint {
    /// Any of the protocol's.
    pub fn new(selector: Selector, predicate: Predicate) -> AgentConstraint {
        AgentConstraint { selector, predicate }
    }

    /// The agent's fault domain has this zone.
    pub fn zone(zone: impl Into<String>) -> AgentConstraint {
        AgentConstraint::new(Selector::Zone, Predicate::Equals(zone.into()))
    }

    /// The agent has an attribute of this name.
    pub fn has_attribute(name: impl Into<String>) -> AgentConstraint {
        AgentConstraint::new(Selector::Attribute(name.into()), Predicate::Exists)
    }
}

impl Serialize for OfferConstraints {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let groups = |groups: &Vec<Vec<AgentConstraint>>| {
            let each = groups.iter().map(|group| json!({"attribute_constraints": group}));
            json!({"groups": each.collect::<Vec<_>>()})
        };
        let roles: BTreeMap<&String, _> = self.roles.iter().map(|(role, all)| (role, groups(all))).collect();
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("role_constraints", &roles)?;
        map.end()
    }
}

impl Serialize for AgentConstraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let selector = match &self.selector {
            Selector::Attribute(name) => json!({"attribute_name": name}),
            Selector::Hostname => json!({"pseudoattribute_type": "HOSTNAME"}),
            Selector::Region => json!({"pseudoattribute_type": "REGION"}),
            Selector::Zone => json!({"pseudoattribute_type": "ZONE"}),
        };
        let predicate = match &self.predicate {
            Predicate::Exists => json!({"exists": {}}),
            Predicate::NotExists => json!({"not_exists": {}}),
            Predicate::Equals(text) => json!({"text_equals": {"value": text}}),
            Predicate::NotEquals(text) => json!({"text_not_equals": {"value": text}}),
            Predicate::Matches(regex) => json!({"text_matches": {"regex": regex}}),
            Predicate::NotMatches(regex) => json!({"text_not_matches": {"regex": regex}}),
        };
        json!({"selector": selector, "predicate": predicate}).serialize(serializer)
    }
}

impl FrameworkInfo {
    /// The same framework, to which offers for `role` are made only when they have at least so much of each named resource,
    /// from Mesos 1.8; an item of a set counts as one. Several of these for one role: any one of them is enough.
    #[must_use]
    pub fn with_least_offer(mut self, role: &str, amounts: &[(&str, f64)]) -> FrameworkInfo {
        let quantities: BTreeMap<&str, _> = amounts
            .iter()
            .map(|(name, amount)| (*name, json!({"value": amount})))
            .collect();
        let filters = self.other.entry("offer_filters").or_insert_with(|| json!({}));
        let least = &mut filters[role]["min_allocatable_resources"]["quantities"];
        if !least.is_array() {
            *least = json!([]);
        }
        if let Some(list) = least.as_array_mut() {
            list.push(json!({"quantities": quantities}));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_have_the_form_of_the_protocol() {
        let zone = AgentConstraint::zone("us-east-1a");
        let host = AgentConstraint::new(Selector::Hostname, Predicate::NotMatches("spare.*".into()));
        let constraints = OfferConstraints::new().any_of("etl", [vec![zone, host]]);
        let expected = json!({"role_constraints": {"etl": {"groups": [{"attribute_constraints": [
            {"selector": {"pseudoattribute_type": "ZONE"}, "predicate": {"text_equals": {"value": "us-east-1a"}}},
            {"selector": {"pseudoattribute_type": "HOSTNAME"}, "predicate": {"text_not_matches": {"regex": "spare.*"}}},
        ]}]}}});
        assert_eq!(json!(constraints), expected);
    }

    #[test]
    fn the_least_an_offer_has_to_hold_is_given_by_role() {
        let framework = FrameworkInfo::new("f", "root").with_least_offer("etl", &[("cpus", 0.5), ("ebsvolumes", 1.0)]);
        let quantities = json!({"cpus": {"value": 0.5}, "ebsvolumes": {"value": 1.0}});
        let expected = json!({"etl": {"min_allocatable_resources": {"quantities": [{"quantities": quantities}]}}});
        assert_eq!(json!(framework)["offer_filters"], expected);
    }
}
