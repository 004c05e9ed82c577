//! Which offer goes to which task.

use std::collections::{BTreeMap, BTreeSet};

use mesos_http::resources::{Resources, Shortage};
use mesos_http::scheduler::{Accept, Call, Operation};
use mesos_http::types::{Filters, Offer, OfferId, TaskInfo};
use thiserror::Error;

use super::launch::{demand, task_info};
use super::{Held, Machine, Step};
use crate::ledger::{self, Holder, Ledger, Mode, Refusal, Wish};
use crate::plan::PlannedTask;
use crate::progress::Progress;
use crate::state::{Agent, Attempt, JobState, Millis};

/// For how many seconds not to be offered what nothing can use as long as no task is to be launched. REVIVE ends it.
pub(crate) const REFUSE_WHILE_IDLE: f64 = 3600.0;

/// Attributes that name the zone of an agent without a fault domain.
pub(crate) const ZONE_ATTRIBUTES: &[&str] = &["zone", "az", "availability_zone"];

/// Attributes that say under which name the storage knows an agent's host, apart from its host name.
const INSTANCE_ATTRIBUTES: &[&str] = &["instance", "instance_id"];

/// What one agent offers, all its offers taken together: an item that has just become free often comes in an offer of its
/// own.
pub(crate) struct Pool {
    agent: Agent,
    attributes: BTreeMap<String, String>,
    offers: Vec<OfferId>,
    left: Resources,
    launches: Vec<TaskInfo>,
}

/// Why a task does not go to an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub(super) enum Unfit {
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
    #[error(
        "it does not offer volume {name} ({item} in {}): not in its --resources, or held by another task",
        label_mapper::EBS_VOLUMES
    )]
    Volume { name: String, item: String },
    #[error("another agent had '{volume}' until just now and is given time to let go")]
    LettingGo { volume: String, until: Millis },
    #[error("'{volume}' is being read on {holder}, and it can be attached to one host at a time")]
    ReadElsewhere { volume: String, holder: String },
    #[error("{0}")]
    Claim(Refusal),
    #[error("{0}")]
    Shortage(String),
}

/// The ledger that launches have to be entered in.
pub(crate) struct Claims<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) rules: ledger::Rules,
    pub(crate) framework: &'a str,
}

impl Claims<'_> {
    fn with_wish<T>(&self, task: &PlannedTask, task_id: &str, pool: &Pool, act: impl FnOnce(&Wish<'_>) -> T) -> T {
        let reads = task.reads();
        let mode = |claim: &str| match reads.contains(claim) {
            true => Mode::Read,
            false => Mode::Write,
        };
        let volumes: Vec<(&str, Mode)> = task.claims().into_iter().map(|claim| (claim, mode(claim))).collect();
        let attribute = |name: &&str| pool.attributes.get(*name).map(String::as_str);
        let instances: Vec<&str> = std::iter::once(pool.agent.hostname.as_str())
            .chain(INSTANCE_ATTRIBUTES.iter().filter_map(attribute))
            .collect();
        act(&Wish {
            holder: Holder {
                framework: self.framework.to_owned(),
                task: task_id.to_owned(),
            },
            agent: &pool.agent.id,
            instances: &instances,
            volumes: &volumes,
        })
    }

    fn refusal(&self, task: &PlannedTask, task_id: &str, pool: &Pool, now: Millis) -> Option<Refusal> {
        self.with_wish(task, task_id, pool, |wish| self.ledger.refusal(wish, self.rules, now))
    }

    fn intend(&mut self, task: &PlannedTask, task_id: &str, pool: &Pool, now: Millis) -> Result<(), Refusal> {
        let mut ledger = std::mem::take(self.ledger);
        let done = self.with_wish(task, task_id, pool, |wish| ledger.intend(wish, self.rules, now));
        *self.ledger = ledger;
        done
    }
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

impl Machine {
    /// Launches what can be launched and gives every other offer back.
    pub(super) fn answer_offers(&mut self, wanted: &[String], now: Millis, step: &mut Step) {
        let mut pools = pools(std::mem::take(&mut self.offers));
        if pools.is_empty() {
            return;
        }
        for name in wanted {
            self.try_place(name, &mut pools, None, now, step);
        }
        let still_wanted = self.wanted(now).next().is_some();
        let refuse_seconds = if still_wanted {
            self.rules.refuse_seconds
        } else {
            REFUSE_WHILE_IDLE
        };
        step.calls.extend(answers(pools, refuse_seconds));
    }

    /// Launches the task on the best agent of `pools`, if one is right for it and the ledger allows it.
    pub(crate) fn try_place(
        &mut self,
        name: &str,
        pools: &mut [Pool],
        mut claims: Option<&mut Claims<'_>>,
        now: Millis,
        step: &mut Step,
    ) {
        // A task placed just now may hold the volume of the next.
        let is_free = |task: &&PlannedTask| Held::of(&self.state).leaves_room_for(task);
        let Some(task) = self.plan.task(name).filter(is_free) else {
            return;
        };
        let task_id = self.next_id(name);
        match self.choose(task, &task_id, pools, claims.as_deref(), now) {
            Ok(index) => {
                let task = task.clone();
                if let Some(claims) = &mut claims
                    && let Err(refusal) = claims.intend(&task, &task_id, &pools[index], now)
                {
                    self.waiting
                        .note(name, vec![(pools[index].agent.clone(), Unfit::Claim(refusal))]);
                    return;
                }
                self.place(&task, &mut pools[index], now, step);
            }
            Err(reasons) => {
                let let_go = reasons.iter().filter_map(|(_, reason)| match reason {
                    Unfit::LettingGo { until, .. } => Some(*until),
                    Unfit::Claim(_) => Some(now + self.rules.let_go),
                    _ => None,
                });
                if let (Some(until), Some(record)) = (let_go.min(), self.state.tasks.get_mut(name)) {
                    record.not_before_ms = until;
                }
                self.waiting.note(name, reasons);
            }
        }
    }

    fn next_id(&self, name: &str) -> String {
        let number = self.state.tasks.get(name).map_or(0, |record| record.attempts.len()) + 1;
        format!("{}.{name}.{number}", self.prefix)
    }

    /// The best agent for the task: the one where its volumes were last, so that nothing has to move; else the one with the
    /// most CPUs left. Or why each is unfit.
    fn choose(
        &self,
        task: &PlannedTask,
        task_id: &str,
        pools: &[Pool],
        claims: Option<&Claims<'_>>,
        now: Millis,
    ) -> Result<usize, Vec<(Agent, Unfit)>> {
        let mut fit = Vec::new();
        let mut unfit = Vec::new();
        for (index, pool) in pools.iter().enumerate() {
            let claimed = || claims.and_then(|claims| claims.refusal(task, task_id, pool, now));
            let unfit_here = unfitness(task, pool, &self.state)
                .or_else(|| self.letting_go(task, pool, now))
                .or_else(|| claimed().map(Unfit::Claim));
            match unfit_here {
                None => fit.push(index),
                Some(reason) => unfit.push((pool.agent.clone(), reason)),
            }
        }
        let last = last_agent(task, &self.state);
        let score = |index: &usize| {
            let pool = &pools[*index];
            (last == Some(pool.agent.id.as_str()), pool.left.scalar("cpus"))
        };
        fit.into_iter().max_by_key(score).ok_or(unfit)
    }

    /// Whether another agent had one of the task's volumes until just now.
    fn letting_go(&self, task: &PlannedTask, pool: &Pool, now: Millis) -> Option<Unfit> {
        task.volumes.iter().find_map(|volume| {
            let (agent, ended) = self.freed.get(&volume.claim)?;
            let until = ended + self.rules.let_go;
            (*agent != pool.agent.id && now < until).then(|| Unfit::LettingGo {
                volume: volume.name.clone(),
                until,
            })
        })
    }

    /// Notes the launch and takes the task's share from the pool.
    fn place(&mut self, task: &PlannedTask, pool: &mut Pool, now: Millis, step: &mut Step) {
        let beside = read_beside(task, &self.state, &pool.agent.id);
        let Ok(share) = pool.left.take(&demand(task, &beside)) else {
            return;
        };
        let Some(record) = self.state.tasks.get_mut(task.name()) else {
            return;
        };
        let number = record.attempts.len() + 1;
        let attempt = Attempt {
            task_id: format!("{}.{}.{number}", self.prefix, task.name()),
            agent: pool.agent.clone(),
            claims: task.claims().into_iter().map(str::to_owned).collect(),
            reads: task.reads().into_iter().map(str::to_owned).collect(),
            intended_ms: now,
            state: None,
            reason: None,
            message: None,
            changes: Vec::new(),
            verdict: None,
        };
        pool.launches.push(task_info(&self.plan, task, &attempt, number, share));
        step.tell.push(Progress::launched(task, &attempt));
        step.save = true;
        record.attempts.push(attempt);
    }
}

/// By agent; offers of one agent for different roles are told apart by their resources' allocation, and a role is all
/// that this scheduler subscribes with.
pub(crate) fn pools(offers: BTreeMap<OfferId, Offer>) -> Vec<Pool> {
    let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
    for (id, offer) in offers {
        let pool = pools.entry(offer.agent_id.0.clone()).or_insert_with(|| Pool {
            agent: agent(&offer),
            attributes: attributes(&offer),
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

/// Where one of the task's volumes was used last in this job.
fn last_agent<'a>(task: &PlannedTask, state: &'a JobState) -> Option<&'a str> {
    let claims = task.claims();
    let attempts = state.tasks.values().flat_map(|record| &record.attempts);
    attempts
        .filter(|attempt| attempt.claims.iter().any(|claim| claims.contains(claim.as_str())))
        .max_by_key(|attempt| attempt.intended_ms)
        .map(|attempt| attempt.agent.id.as_str())
}

/// The volumes of the task that others read on this agent. One of them holds the item of the SET resource, which no second
/// task is offered as long as it does; a reader needs it only when it is the first.
fn read_beside<'a>(task: &'a PlannedTask, state: &JobState, agent: &str) -> BTreeSet<&'a str> {
    let here = |claim: &&str| {
        state
            .live()
            .any(|(_, attempt)| attempt.agent.id == agent && attempt.reads.iter().any(|read| read == claim))
    };
    task.reads().into_iter().filter(here).collect()
}

/// A volume that is read on another agent and cannot be attached to two.
fn read_elsewhere(task: &PlannedTask, state: &JobState, agent: &str) -> Option<(String, String)> {
    task.volumes
        .iter()
        .filter(|volume| !volume.multi_attach)
        .find_map(|volume| {
            let (_, other) = state
                .live()
                .find(|(_, attempt)| attempt.agent.id != agent && attempt.claims.contains(&volume.claim))?;
            Some((volume.name.clone(), other.agent.to_string()))
        })
}

fn unfitness(task: &PlannedTask, pool: &Pool, state: &JobState) -> Option<Unfit> {
    let Pool { agent, attributes, .. } = pool;
    // An agent that tells no zone is taken at the word of its operator, who listed the volume there.
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
        state
            .tasks
            .get(*name)
            .and_then(|record| record.ran_on())
            .is_some_and(|ran_on| ran_on.id == agent.id)
    };
    if let Some(other) = wanted.same_as.iter().find(|name| !ran_here(name)) {
        return Some(Unfit::NotSame(other.clone()));
    }
    if let Some(other) = wanted.not_same_as.iter().find(ran_here) {
        return Some(Unfit::Same(other.clone()));
    }
    if let Some((volume, holder)) = read_elsewhere(task, state, &agent.id) {
        return Some(Unfit::ReadElsewhere { volume, holder });
    }
    let beside = read_beside(task, state, &agent.id);
    match pool.left.clone().take(&demand(task, &beside)) {
        Ok(_) => None,
        Err(Shortage::Item { item, .. }) => {
            let volume = task.volumes.iter().find(|volume| volume.claim == item);
            let name = volume.map_or_else(|| item.clone(), |volume| format!("'{}'", volume.name));
            Some(Unfit::Volume { name, item })
        }
        Err(shortage) => Some(Unfit::Shortage(shortage.to_string())),
    }
}
