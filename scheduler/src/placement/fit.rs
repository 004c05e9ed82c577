//! Whether an agent is right for a task, and which agent is best.

use std::collections::BTreeSet;

use mesos_http::resources::{Resources, Shortage};
use thiserror::Error;
use volume_labels::counted;

use super::Placement;
use super::launch::demand;
use super::pool::Pool;
use crate::ledger::{ClaimRequest, Holder, Ledger, Mode, Refusal};
use crate::plan::PlannedTask;
use crate::run::Run;
use crate::state::{Agent, Millis};

/// Why a task does not go to an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub(crate) enum Unfit {
    #[error("it is in zone {agent}, and the volumes are in {volumes}")]
    Zone { agent: String, volumes: String },
    #[error("its host is {0}, and 'agent.hostname' wants another")]
    Hostname(String),
    #[error("its attribute '{name}' is {}, and 'agent.attributes' wants '{wanted}'", found.as_deref().unwrap_or("not set"))]
    Attribute {
        name: String,
        wanted: String,
        found: Option<String>,
    },
    #[error("'agent.same-as' wants the agent of '{0}'")]
    NotSame(String),
    #[error("'agent.not-same-as' wants another agent than that of '{0}'")]
    Same(String),
    #[error("it does not offer volume {name} ({item} in {}): {}", label_mapper::EBS_VOLUMES, lacking(item, holder.as_ref()))]
    Volume {
        name: String,
        item: String,
        /// The task that holds the item there, as far as the ledger knows.
        holder: Option<Holder>,
    },
    #[error("{0}")]
    Claim(Refusal),
    #[error(
        "{} attached to its host or claimed there, {wanted} more wanted, and its limit is {limit}", counted(*.held, "volume")
    )]
    Slots { held: usize, wanted: usize, limit: u32 },
    #[error("{0}")]
    Shortage(String),
}

/// Why an agent does not offer a volume, and what to do.
fn lacking(item: &str, holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!("{holder} has it; wait until that task ends"),
        None => format!("add {item} to the agent's --resources, or wait when a task of another framework has it there"),
    }
}

/// What an agent lacks, in the words of the job file.
fn short_of(shortage: &Shortage) -> String {
    match shortage {
        Shortage::Scalar {
            name,
            wanted,
            available,
        } => format!("the task needs {wanted} {name}, and it offers {available}"),
        other => other.to_string(),
    }
}

/// An agent that is right for a task.
pub(super) struct Fit {
    /// Which of the pools.
    pub(super) index: usize,
    /// What the task takes of the agent's offers.
    pub(super) share: Resources,
    /// What is left of them then.
    pub(super) left: Resources,
    /// The volumes that the task reads without their items, since another reader there has these.
    pub(super) without_item: BTreeSet<String>,
}

/// What a task asks of the ledger on one agent.
pub(super) struct Claims<'a> {
    holder: Holder,
    agent: &'a str,
    instances: Vec<&'a str>,
    volumes: Vec<(&'a str, Mode)>,
    multi_attach: Vec<&'a str>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(task: &'a PlannedTask, task_id: &str, pool: &'a Pool, framework: &str) -> Self {
        let reads = task.reads();
        let mode = |claim: &str| match reads.contains(claim) {
            true => Mode::Read,
            false => Mode::Write,
        };
        let several = task.volumes.iter().filter(|volume| volume.multi_attach);
        Self {
            holder: Holder {
                framework: framework.to_owned(),
                task: task_id.to_owned(),
            },
            agent: &pool.agent.id,
            instances: pool.instances(),
            volumes: task.claims().into_iter().map(|claim| (claim, mode(claim))).collect(),
            multi_attach: several.filter_map(|volume| volume.claim.as_deref()).collect(),
        }
    }

    /// Calls `act` with the request for these claims.
    pub(super) fn with<T>(&self, without_item: &BTreeSet<String>, act: impl FnOnce(&ClaimRequest<'_>) -> T) -> T {
        let without_item: Vec<&str> = without_item.iter().map(String::as_str).collect();
        act(&ClaimRequest {
            holder: self.holder.clone(),
            agent: self.agent,
            instances: &self.instances,
            volumes: &self.volumes,
            multi_attach: &self.multi_attach,
            without_item: &without_item,
        })
    }
}

/// The best agent for the task: the one to whose host the storage has most of its volumes attached,
/// else one where they were last, so that nothing has to move; else the one with the most CPUs
/// left. Or why each is unfit.
pub(super) fn choose(
    run: &Run,
    task: &PlannedTask,
    task_id: &str,
    pools: &[Pool],
    placement: &Placement<'_>,
    now: Millis,
) -> Result<Fit, Vec<(Agent, Unfit)>> {
    let mut fit = Vec::new();
    let mut unfit = Vec::new();
    for (index, pool) in pools.iter().enumerate() {
        let taken = constraint(run, task, pool).map_or_else(|| take(task, pool, placement.ledger), Err);
        let allowed = taken.and_then(|taken| match refusal(task, task_id, pool, placement, now) {
            None => Ok(taken),
            Some(reason) => Err(reason),
        });
        match allowed {
            Ok((share, left, without_item)) => fit.push(Fit {
                index,
                share,
                left,
                without_item,
            }),
            Err(reason) => unfit.push((pool.agent.clone(), reason)),
        }
    }
    let last = run.last_agent(task);
    let score = |fit: &Fit| {
        let pool = &pools[fit.index];
        let (attached, was_last) = nearness(placement.ledger, task, pool);
        let was_last = was_last + usize::from(last == Some(pool.agent.id.as_str()));
        (attached, was_last, pool.left.scalar("cpus"))
    };
    fit.into_iter().max_by_key(score).ok_or(unfit)
}

/// How many of the task's volumes the storage has attached to the agent's host, and how many were
/// used there last.
fn nearness(ledger: &Ledger, task: &PlannedTask, pool: &Pool) -> (usize, usize) {
    let instances = pool.instances();
    let claims = task.claims();
    let entries = || claims.iter().filter_map(|claim| ledger.volumes.get(*claim));
    let attached = entries().filter(|entry| entry.is_attached_to(&instances)).count();
    let last = entries().filter(|entry| entry.last_agent() == Some(pool.agent.id.as_str()));
    (attached, last.count())
}

/// Why the ledger does not let the task use its volumes on the agent, or why the agent's host has
/// no attachment left for them.
fn refusal(task: &PlannedTask, task_id: &str, pool: &Pool, placement: &Placement<'_>, now: Millis) -> Option<Unfit> {
    let Placement {
        ledger,
        ledger_rules,
        framework,
        rules,
    } = placement;
    let claims = Claims::new(task, task_id, pool, framework);
    let refusal = claims.with(&BTreeSet::new(), |request| ledger.refusal(request, *ledger_rules, now));
    if let Some(refusal) = refusal {
        return Some(Unfit::Claim(refusal));
    }
    let limit = pool.attach_limit.or(rules.attach_limit)?;
    let held = ledger.on_host(&pool.agent.id, &pool.instances());
    let wanted = (&task.claims() - &held).len();
    let fits = wanted == 0 || held.len() + wanted <= usize::try_from(limit).unwrap_or(usize::MAX);
    (!fits).then_some(Unfit::Slots {
        held: held.len(),
        wanted,
        limit,
    })
}

/// The volumes of the task that others read on this agent, and whose item of the SET resource one
/// of them holds: as long as that reader runs no task is offered the item. A reader that finds no
/// such reader needs the item itself, since another framework may have taken it. On an agent that
/// refuses tasks without a claim every reader needs it.
fn held_by_readers<'a>(task: &'a PlannedTask, pool: &Pool, ledger: &Ledger) -> BTreeSet<&'a str> {
    if pool.requires_claim {
        return BTreeSet::new();
    }
    let agent = pool.agent.id.as_str();
    let offered = pool.left.items(label_mapper::EBS_VOLUMES);
    let is_read = |claim: &str| {
        let entry = ledger.volumes.get(claim);
        entry.is_some_and(|entry| entry.is_read_with_item_on(agent))
    };
    let here = |claim: &&str| !offered.contains(claim) && is_read(claim);
    task.reads().into_iter().filter(here).collect()
}

/// What the task takes of the agent's offers, and what is left of them then.
fn take(task: &PlannedTask, pool: &Pool, ledger: &Ledger) -> Result<(Resources, Resources, BTreeSet<String>), Unfit> {
    let held_by_readers = held_by_readers(task, pool, ledger);
    let mut left = pool.left.clone();
    match left.take(&demand(task, &held_by_readers)) {
        Ok(share) => Ok((share, left, held_by_readers.into_iter().map(str::to_owned).collect())),
        Err(Shortage::Item { item, .. }) => {
            let volume = task.volumes.iter().find(|volume| volume.claim.as_ref() == Some(&item));
            let name = volume.map_or_else(|| item.clone(), |volume| format!("'{}'", volume.name));
            let claims = ledger.volumes.get(&item).into_iter().flat_map(|entry| &entry.claims);
            let mut here = claims.filter(|claim| claim.agent == pool.agent.id && !claim.without_item);
            let holder = here.next().map(|claim| claim.holder.clone());
            Err(Unfit::Volume { name, item, holder })
        }
        Err(shortage) => Err(Unfit::Shortage(short_of(&shortage))),
    }
}

/// What the job asks of the agent and this one is not.
fn constraint(run: &Run, task: &PlannedTask, pool: &Pool) -> Option<Unfit> {
    let Pool { agent, attributes, .. } = pool;
    // Where an agent has no zone, its operator has decided that the volume can be attached there,
    // by listing it.
    if let (Some(volumes), Some(zone)) = (&task.zone, &agent.zone)
        && volumes != zone
    {
        return Some(Unfit::Zone {
            agent: zone.clone(),
            volumes: volumes.clone(),
        });
    }
    let wanted = &task.task.agent;
    if wanted
        .hostname
        .as_ref()
        .is_some_and(|hostname| *hostname != agent.hostname)
    {
        return Some(Unfit::Hostname(agent.hostname.clone()));
    }
    let differs = wanted
        .attributes
        .iter()
        .find(|(name, value)| attributes.get(*name) != Some(value));
    if let Some((name, value)) = differs {
        let found = attributes.get(name).cloned();
        return Some(Unfit::Attribute {
            name: name.clone(),
            wanted: value.clone(),
            found,
        });
    }
    let ran_here = |name: &&String| {
        let tasks = &run.state().tasks;
        tasks
            .get(*name)
            .and_then(|record| record.last_agent())
            .is_some_and(|last| last.id == agent.id)
    };
    if let Some(other) = wanted.same_as.iter().find(|name| !ran_here(name)) {
        return Some(Unfit::NotSame(other.clone()));
    }
    if let Some(other) = wanted.not_same_as.iter().find(ran_here) {
        return Some(Unfit::Same(other.clone()));
    }
    None
}
