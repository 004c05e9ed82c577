//! Which agents can run a task with these volumes, as far as the listings of the master and the
//! storage show.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use volume_labels::counted;

use crate::catalogue::{Catalogue, Volume};
use crate::mapping::EBS_VOLUMES;

/// Attributes that contain an agent's zone, in addition to the one that the constraint names.
const ZONE_ATTRIBUTES: &[&str] = &["zone", "az", "availability_zone"];

/// The agents of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    agents: Vec<Agent>,
}

/// A text that is not the master's list of agents.
#[derive(Debug, Error)]
#[error("not the JSON of the master's /slaves: {0}")]
pub struct AgentsError(String);

#[derive(Clone, Debug)]
struct Agent {
    address: String,
    active: bool,
    zone: Option<String>,
    instance: Option<String>,
    /// Items of the SET resource that it has; `None` when it has no such resource.
    items: Option<BTreeSet<String>>,
    held: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Listing {
    slaves: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    hostname: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default = "yes")]
    active: bool,
    #[serde(default)]
    attributes: BTreeMap<String, Value>,
    #[serde(default)]
    resources: BTreeMap<String, Value>,
    #[serde(default)]
    used_resources: BTreeMap<String, Value>,
    #[serde(default)]
    domain: Value,
}

fn yes() -> bool {
    true
}

/// What the question is about.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The volumes of one task.
    pub volumes: &'a [Volume],
    /// Whether the task takes their items of the SET resource from the offer.
    pub holds_claims: bool,
    /// What the storage knows of attachments.
    pub catalogue: &'a Catalogue,
    /// How many volumes a host may have attached.
    pub attach_limit: Option<usize>,
}

/// Whether one agent can run the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The agent's host and port.
    pub agent: String,
    /// Whether nothing that is known keeps the task from it.
    pub fits: bool,
    /// What keeps it away.
    pub against: Vec<String>,
    /// What else is to be known, or is not known.
    pub remarks: Vec<String>,
}

impl Agents {
    /// From what `GET /slaves` of the master answers.
    ///
    /// # Errors
    /// Text of another shape.
    pub fn from_slaves(json: &str, zone_attribute: &str, instance_attribute: &str) -> Result<Self, AgentsError> {
        let listing: Listing = serde_json::from_str(json).map_err(|error| AgentsError(error.to_string()))?;
        let agents = listing.slaves.into_iter().map(|listed| {
            let attribute = |name: &str| listed.attributes.get(name).and_then(Value::as_str).map(str::to_owned);
            let domain = listed.domain.pointer("/fault_domain/zone/name").and_then(Value::as_str);
            let by_attribute = || {
                std::iter::once(zone_attribute)
                    .chain(ZONE_ATTRIBUTES.iter().copied())
                    .find_map(attribute)
            };
            Agent {
                zone: domain.map(str::to_owned).or_else(by_attribute),
                instance: attribute(instance_attribute),
                items: listed.resources.get(EBS_VOLUMES).map(set),
                held: listed.used_resources.get(EBS_VOLUMES).map(set).unwrap_or_default(),
                active: listed.active,
                // Several agents of one host differ in their ports.
                address: match listed.port {
                    Some(port) => format!("{}:{port}", listed.hostname),
                    None => listed.hostname,
                },
            }
        });
        Ok(Self {
            agents: agents.collect(),
        })
    }

    /// The hosts of these volumes that none of the agents is, when every agent says which host it
    /// is: attachments that may have been left behind, a line each.
    pub(crate) fn strangers(&self, volumes: &[Volume]) -> Vec<String> {
        let Some(instances) = self
            .agents
            .iter()
            .map(|agent| agent.instance.as_deref())
            .collect::<Option<BTreeSet<&str>>>()
        else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for volume in volumes {
            let held = volume.attachments.iter().filter(|attachment| attachment.is_known());
            for attachment in held.filter(|attachment| !instances.contains(attachment.instance.as_str())) {
                lines.push(format!(
                    "none of these agents is {}, which holds {}: if that host is gone, detach the volume in the storage",
                    attachment.instance, volume.id
                ));
            }
        }
        lines
    }

    /// Every agent's verdict, in the master's order.
    pub fn verdicts(&self, demand: &Demand<'_>) -> Vec<Verdict> {
        self.agents.iter().map(|agent| agent.verdict(demand)).collect()
    }
}

/// A set as the master's older JSON writes it: `{a, b}`.
fn set(value: &Value) -> BTreeSet<String> {
    let text = value.as_str().unwrap_or_default().trim_matches(['{', '}']);
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Agent {
    fn verdict(&self, demand: &Demand<'_>) -> Verdict {
        let mut against = Vec::new();
        let mut remarks = Vec::new();
        if !self.active {
            against.push("it is not active".to_owned());
        }
        let zones: BTreeSet<&str> = demand.volumes.iter().map(|volume| volume.zone.as_str()).collect();
        match &self.zone {
            Some(zone) => against.extend(
                zones
                    .iter()
                    .filter(|other| *other != zone)
                    .map(|other| format!("it is in zone {zone}, the volumes are in {other}")),
            ),
            None if zones.is_empty() => {}
            None => remarks.push("its zone is not known".to_owned()),
        }
        for volume in demand.volumes {
            self.claim(volume, demand.holds_claims, &mut against, &mut remarks);
            self.attachment(volume, &mut against, &mut remarks);
        }
        self.slots(demand, &mut against, &mut remarks);
        Verdict {
            agent: volume_labels::cleaned(&self.address),
            fits: against.is_empty(),
            against,
            remarks,
        }
    }

    fn claim(&self, volume: &Volume, needed: bool, against: &mut Vec<String>, remarks: &mut Vec<String>) {
        let id = volume.id.as_str();
        let problem = match &self.items {
            None => format!("it offers no resource '{EBS_VOLUMES}'"),
            Some(items) if !items.contains(id) => format!("its resource '{EBS_VOLUMES}' does not list {id}"),
            Some(_) if self.held.contains(id) => format!("a task there holds {id} of '{EBS_VOLUMES}'"),
            Some(_) => return,
        };
        let list = if needed { against } else { remarks };
        if !list.contains(&problem) {
            list.push(problem);
        }
    }

    fn attachment(&self, volume: &Volume, against: &mut Vec<String>, remarks: &mut Vec<String>) {
        for attachment in &volume.attachments {
            let (id, holder, state) = (&volume.id, attachment.holder(), &attachment.state);
            let is_here = self
                .instance
                .as_ref()
                .filter(|_| attachment.is_known())
                .map(|instance| *instance == attachment.instance);
            match is_here {
                // It is on its way off, and cannot be attached before that is over.
                Some(true) if attachment.is_leaving() => against.push(format!(
                    "{id} is being detached from here ({state}): wait until the storage lists it as detached"
                )),
                Some(true) => remarks.push(format!("{id} is attached here already")),
                _ if volume.multi_attach => {}
                Some(false) => against.push(format!("{id} is held by {holder} ({state})")),
                None => remarks.push(format!(
                    "{id} is held by {holder} ({state}), and whether that is this agent is not known"
                )),
            }
        }
    }

    fn slots(&self, demand: &Demand<'_>, against: &mut Vec<String>, remarks: &mut Vec<String>) {
        let Some(limit) = demand.attach_limit else { return };
        let Some(instance) = &self.instance else {
            remarks.push("its attached volumes are not known: it has no attribute with its instance id".to_owned());
            return;
        };
        let here = |volume: &&Volume| {
            volume
                .attachments
                .iter()
                .any(|attachment| attachment.instance == *instance)
        };
        let attached = demand.catalogue.volumes().filter(here).count();
        let more = demand.volumes.iter().filter(|volume| !here(volume)).count();
        if attached + more > limit {
            against.push(format!(
                "{attached} of at most {} attached to {instance}, and {more} more needed",
                counted(limit, "volume")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLAVES: &str = r#"{"slaves": [
        {"hostname": "a1", "active": true, "attributes": {"zone": "z1", "instance_id": "i-1"},
         "resources": {"cpus": 4, "ebsvolumes": "{vol-1, vol-2}"}, "used_resources": {"cpus": 1, "ebsvolumes": "{vol-2}"}},
        {"hostname": "a2", "attributes": {"instance_id": "i-2"}, "resources": {"ebsvolumes": "{vol-1}"},
         "domain": {"fault_domain": {"region": {"name": "r"}, "zone": {"name": "z2"}}}},
        {"hostname": "a3", "active": false, "attributes": {"zone": "z1"}, "resources": {"cpus": 4}}
    ]}"#;

    fn catalogue() -> Catalogue {
        Catalogue::from_texts(["volumes:\n- {id: vol-1, zone: z1}\n- {id: vol-2, zone: z1, attachments: [{instance: i-1, state: attached}]}\n- {id: vol-3, zone: z1, attachments: [{instance: i-9, state: detaching}]}\n"]).unwrap()
    }

    fn against(names: &[&str], holds_claims: bool, attach_limit: Option<usize>) -> Vec<String> {
        let catalogue = catalogue();
        let volumes: Vec<Volume> = names
            .iter()
            .map(|name| catalogue.resolve(name).unwrap().clone())
            .collect();
        let demand = Demand {
            volumes: &volumes,
            holds_claims,
            catalogue: &catalogue,
            attach_limit,
        };
        let agents = Agents::from_slaves(SLAVES, "zone", "instance_id").unwrap();
        agents
            .verdicts(&demand)
            .into_iter()
            .map(|verdict| verdict.against.join("; "))
            .collect()
    }

    #[test]
    fn zone_claim_and_attachment_decide() {
        assert_eq!(
            against(&["vol-1"], true, None),
            [
                "",
                "it is in zone z2, the volumes are in z1",
                "it is not active; it offers no resource 'ebsvolumes'"
            ]
        );
        assert_eq!(
            against(&["vol-2"], true, None)[0],
            "a task there holds vol-2 of 'ebsvolumes'"
        );
        assert_eq!(
            against(&["vol-2"], false, None)[0],
            "",
            "without claims the volume may be shared"
        );
        assert_eq!(
            against(&["vol-3"], true, None)[0],
            "its resource 'ebsvolumes' does not list vol-3; vol-3 is held by i-9 (detaching)"
        );
    }

    #[test]
    fn attach_slots_are_counted_from_the_storage() {
        assert_eq!(against(&["vol-1"], false, Some(2))[0], "");
        assert_eq!(
            against(&["vol-1"], false, Some(1))[0],
            "1 of at most 1 volume attached to i-1, and 1 more needed"
        );
        assert_eq!(
            against(&["vol-2"], false, Some(1))[0],
            "",
            "what is attached there needs no slot more"
        );
    }
}
