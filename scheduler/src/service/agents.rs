//! The agents of the cluster, as the operator stream shows them.

use std::collections::BTreeMap;

use label_mapper::EBS_VOLUMES;
use mesos_http::operator::{AgentState, ClusterEvent};
use mesos_http::types::Resource;

use crate::placement::ZONE_ATTRIBUTES;

/// One agent as the operator stream shows it.
#[derive(Clone, Debug)]
pub struct SeenAgent {
    /// Its host and the port of its API.
    pub address: String,
    /// Its availability zone; `None` when it is not known.
    pub zone: Option<String>,
    /// Whether the master can reach it.
    pub reachable: bool,
    /// CPUs it has.
    pub cpus: String,
    /// MB of memory it has.
    pub mem: String,
    /// The volumes its operator lists.
    pub volumes: Vec<String>,
}

/// Every agent seen since the start, by id.
#[derive(Debug, Default)]
pub struct Agents(BTreeMap<String, SeenAgent>);

impl Agents {
    /// The agents by id.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &SeenAgent)> {
        self.0.iter()
    }

    /// The address of an agent, or its id when it was never seen.
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, |agent| agent.address.as_str())
    }

    pub(super) fn take(&mut self, event: &ClusterEvent) {
        match event {
            ClusterEvent::Snapshot(snapshot) => {
                for agent in self.0.values_mut() {
                    agent.reachable = false;
                }
                for agent in &snapshot.agents {
                    self.add(agent);
                }
            }
            ClusterEvent::AgentAdded(agent) => self.add(agent),
            ClusterEvent::AgentRemoved(id) => {
                if let Some(agent) = self.0.get_mut(id.as_str()) {
                    agent.reachable = false;
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, state: &AgentState) {
        let info = &state.agent_info;
        let Some(id) = &info.id else { return };
        let attribute = |name: &&str| {
            let found = info.attributes.iter().find(|attribute| attribute.name == **name)?;
            found.value.as_text().map(str::to_owned)
        };
        let domain = info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
        let zone = domain.map(|domain| domain.zone.name.clone());
        let resources = match state.total_resources.is_empty() {
            true => &info.resources,
            false => &state.total_resources,
        };
        let volumes = named(resources, EBS_VOLUMES).filter_map(|resource| resource.value.as_set());
        let address = format!("{}:{}", info.hostname, info.port);
        // An agent whose state was removed has another id; the old id will not come back.
        self.0
            .retain(|other, agent| *other == id.0 || agent.address != address || agent.reachable);
        self.0.insert(
            id.0.clone(),
            SeenAgent {
                address,
                zone: zone.or_else(|| ZONE_ATTRIBUTES.iter().find_map(attribute)),
                reachable: state.active,
                cpus: scalar(resources, "cpus"),
                mem: scalar(resources, "mem"),
                volumes: volumes.flatten().cloned().collect(),
            },
        );
    }
}

fn named<'a>(resources: &'a [Resource], name: &'a str) -> impl Iterator<Item = &'a Resource> {
    resources.iter().filter(move |resource| resource.name == name)
}

fn scalar(resources: &[Resource], name: &str) -> String {
    let scalars = named(resources, name).filter_map(|resource| resource.value.as_scalar());
    scalars
        .map(|scalar| scalar.to_string())
        .next()
        .unwrap_or_else(|| "0".to_owned())
}
