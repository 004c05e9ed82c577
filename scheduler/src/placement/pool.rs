//! What agents offer, and the answers to their offers.

use std::collections::BTreeMap;

use mesos_http::resources::Resources;
use mesos_http::scheduler::{Accept, Call, Operation};
use mesos_http::types::{Filters, Offer, OfferId, TaskInfo};

use crate::state::Agent;

/// For how many seconds not to be offered what nothing can use as long as no task is to be
/// launched. REVIVE ends it.
pub(crate) const REFUSE_WHILE_IDLE: f64 = 3600.0;

/// Attributes that name the zone of an agent without a fault domain.
pub(crate) const ZONE_ATTRIBUTES: &[&str] = &["zone", "az", "availability_zone"];

/// Attributes that say under which name the storage knows an agent's host, apart from its host
/// name.
const INSTANCE_ATTRIBUTES: &[&str] = &["instance", "instance_id"];

/// The attribute, text or number, that says how many volumes may be attached to an agent's host.
const ATTACH_LIMIT: &str = "attach_limit";

/// The attribute whose `true` says that the agent refuses tasks without a claim on their volumes
/// (`require_claim` of its policy).
const REQUIRES_CLAIM: &str = "require_claim";

/// What one agent offers, all its offers taken together: an item that has just become free often
/// comes in an offer of its own.
pub(crate) struct Pool {
    pub(super) agent: Agent,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) attach_limit: Option<u32>,
    pub(super) requires_claim: bool,
    pub(super) offers: Vec<OfferId>,
    pub(super) left: Resources,
    pub(super) launches: Vec<TaskInfo>,
}

impl Pool {
    /// The names under which the storage may know the agent's host.
    pub(super) fn instances(&self) -> Vec<&str> {
        let attribute = |name: &&str| self.attributes.get(*name).map(String::as_str);
        std::iter::once(self.agent.hostname.as_str())
            .chain(INSTANCE_ATTRIBUTES.iter().filter_map(attribute))
            .collect()
    }
}

/// By agent; offers of one agent for different roles differ in the allocation of their resources,
/// and a role is all that this scheduler subscribes with.
pub(crate) fn pools(offers: BTreeMap<OfferId, Offer>) -> Vec<Pool> {
    let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
    for (id, offer) in offers {
        let pool = pools.entry(offer.agent_id.0.clone()).or_insert_with(|| Pool {
            agent: agent(&offer),
            attributes: attributes(&offer),
            attach_limit: attach_limit(&offer),
            requires_claim: offer.attribute(REQUIRES_CLAIM) == Some("true"),
            offers: Vec::new(),
            left: Resources::new(),
            launches: Vec::new(),
        });
        pool.offers.push(id);
        pool.left.extend(offer.resources);
    }
    pools.into_values().collect()
}

fn agent(offer: &Offer) -> Agent {
    let attribute = || ZONE_ATTRIBUTES.iter().find_map(|name| offer.attribute(name));
    Agent {
        id: offer.agent_id.0.clone(),
        hostname: offer.hostname.clone(),
        address: offer.address(),
        zone: offer.zone().or_else(attribute).map(str::to_owned),
    }
}

fn attributes(offer: &Offer) -> BTreeMap<String, String> {
    let texts = offer
        .attributes
        .iter()
        .filter_map(|a| Some((a.name.clone(), a.value.as_text()?.to_owned())));
    texts.collect()
}

fn attach_limit(offer: &Offer) -> Option<u32> {
    let attribute = offer
        .attributes
        .iter()
        .find(|attribute| attribute.name == ATTACH_LIMIT)?;
    let number = attribute.value.as_scalar().map(|number| number.to_string());
    number.as_deref().or(attribute.value.as_text())?.parse().ok()
}

/// The calls that use what was placed and decline the rest.
pub(crate) fn answers(pools: Vec<Pool>, refuse_seconds: f64) -> Vec<Call> {
    let mut calls = Vec::new();
    let filters = Some(Filters::refuse_for(refuse_seconds));
    let (used, unused): (Vec<Pool>, Vec<Pool>) = pools.into_iter().partition(|pool| !pool.launches.is_empty());
    for pool in used {
        calls.push(Call::Accept(Accept {
            offer_ids: pool.offers,
            operations: vec![Operation::Launch(pool.launches)],
            filters,
        }));
    }
    let offer_ids: Vec<OfferId> = unused.into_iter().flat_map(|pool| pool.offers).collect();
    if !offer_ids.is_empty() {
        calls.push(Call::Decline { offer_ids, filters });
    }
    calls
}
