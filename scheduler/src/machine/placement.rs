//! Which offer goes to which task.

use std::collections::BTreeSet;

use mesos_http::resources::Shortage;
use thiserror::Error;
use volume_labels::counted;

use super::launch::{demand, task_info};
use super::pool::{Pool, REFUSE_WHILE_IDLE, answers, pools};
use super::{Effects, HeldVolumes, Machine};
use crate::ledger::{self, ClaimRequest, Holder, Ledger, Mode, Refusal};
use crate::plan::PlannedTask;
use crate::progress::Progress;
use crate::state::{Agent, Attempt, JobState, Millis};

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
    #[error(
        "{} attached to its host or claimed there, {wanted} more wanted, and its limit is {limit}", counted(*.held, "volume")
    )]
    Slots { held: usize, wanted: usize, limit: u32 },
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
    fn with_request<T>(
        &self,
        task: &PlannedTask,
        task_id: &str,
        pool: &Pool,
        without_item: &[&str],
        act: impl FnOnce(&ClaimRequest<'_>) -> T,
    ) -> T {
        let reads = task.reads();
        let mode = |claim: &str| match reads.contains(claim) {
            true => Mode::Read,
            false => Mode::Write,
        };
        let volumes: Vec<(&str, Mode)> = task.claims().into_iter().map(|claim| (claim, mode(claim))).collect();
        act(&ClaimRequest {
            holder: Holder {
                framework: self.framework.to_owned(),
                task: task_id.to_owned(),
            },
            agent: &pool.agent.id,
            instances: &pool.instances(),
            volumes: &volumes,
            without_item,
        })
    }

    /// How many of the task's volumes the storage has attached to the agent's host, and how many were used there last.
    fn nearness(&self, task: &PlannedTask, pool: &Pool) -> (usize, usize) {
        let instances = pool.instances();
        let claims = task.claims();
        let entries = || claims.iter().filter_map(|claim| self.ledger.volumes.get(*claim));
        let attached = entries().filter(|entry| entry.is_attached_to(&instances)).count();
        let last = entries().filter(|entry| entry.last_agent() == Some(pool.agent.id.as_str()));
        (attached, last.count())
    }

    fn refusal(&self, task: &PlannedTask, task_id: &str, pool: &Pool, now: Millis) -> Option<Refusal> {
        self.with_request(task, task_id, pool, &[], |request| {
            self.ledger.refusal(request, self.rules, now)
        })
    }

    fn intend(
        &mut self,
        task: &PlannedTask,
        task_id: &str,
        pool: &Pool,
        without_item: &[&str],
        now: Millis,
    ) -> Result<(), Refusal> {
        let mut ledger = std::mem::take(self.ledger);
        let done = self.with_request(task, task_id, pool, without_item, |request| {
            ledger.intend(request, self.rules, now)
        });
        *self.ledger = ledger;
        done
    }
}

impl Machine {
    /// Launches what can be launched and gives every other offer back.
    pub(super) fn answer_offers(&mut self, wanted: &[String], now: Millis, effects: &mut Effects) {
        let mut pools = pools(std::mem::take(&mut self.offers));
        if pools.is_empty() {
            return;
        }
        for name in wanted {
            self.try_place(name, &mut pools, None, now, effects);
        }
        let still_wanted = self.launchable(now).next().is_some();
        let refuse_seconds = if still_wanted {
            self.rules.refuse_seconds
        } else {
            REFUSE_WHILE_IDLE
        };
        effects.calls.extend(answers(pools, refuse_seconds));
    }

    /// Launches the task on the best agent of `pools`, if one is right for it and the ledger allows it.
    pub(crate) fn try_place(
        &mut self,
        name: &str,
        pools: &mut [Pool],
        mut claims: Option<&mut Claims<'_>>,
        now: Millis,
        effects: &mut Effects,
    ) {
        // A task placed just now may hold the volume of the next.
        let is_free = |task: &&PlannedTask| HeldVolumes::of(&self.state).leaves_room_for(task);
        let Some(task) = self.plan.task(name).filter(is_free) else {
            return;
        };
        let task_id = self.next_id(name);
        match self.choose(task, &task_id, pools, claims.as_deref(), now) {
            Ok(index) => {
                let task = task.clone();
                let held_by_readers = held_by_readers(&task, &self.state, &pools[index], claims.as_deref());
                let without_item: Vec<&str> = held_by_readers.iter().copied().collect();
                if let Some(claims) = &mut claims
                    && let Err(refusal) = claims.intend(&task, &task_id, &pools[index], &without_item, now)
                {
                    self.waiting
                        .note(name, vec![(pools[index].agent.clone(), Unfit::Claim(refusal))]);
                    return;
                }
                self.place(&task, &mut pools[index], &held_by_readers, now, effects);
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

    /// The best agent for the task: the one to whose host the storage has most of its volumes attached, else one where they were
    /// last, so that nothing has to move; else the one with the most CPUs left. Or why each is unfit.
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
            let unfit_here = unfitness(task, pool, &self.state, claims)
                .or_else(|| self.letting_go(task, pool, now))
                .or_else(|| claimed().map(Unfit::Claim))
                .or_else(|| self.no_slot(task, pool, claims, now));
            match unfit_here {
                None => fit.push(index),
                Some(reason) => unfit.push((pool.agent.clone(), reason)),
            }
        }
        let last = last_agent(task, &self.state);
        let score = |index: &usize| {
            let pool = &pools[*index];
            let (attached, was_last) = claims.map_or((0, 0), |claims| claims.nearness(task, pool));
            let was_last = was_last + usize::from(last == Some(pool.agent.id.as_str()));
            (attached, was_last, pool.left.scalar("cpus"))
        };
        fit.into_iter().max_by_key(score).ok_or(unfit)
    }

    /// Whether another agent had one of the task's volumes until just now.
    fn letting_go(&self, task: &PlannedTask, pool: &Pool, now: Millis) -> Option<Unfit> {
        task.volumes.iter().find_map(|volume| {
            let (agent, ended) = self.freed.get(volume.claim.as_ref()?)?;
            let until = ended + self.rules.let_go;
            (*agent != pool.agent.id && now < until).then(|| Unfit::LettingGo {
                volume: volume.name.clone(),
                until,
            })
        })
    }

    /// Whether the agent's host has no attachment left for the task's volumes.
    fn no_slot(&self, task: &PlannedTask, pool: &Pool, claims: Option<&Claims<'_>>, now: Millis) -> Option<Unfit> {
        let limit = pool.attach_limit.or(self.rules.attach_limit)?;
        let held = match claims {
            Some(claims) => claims.ledger.on_host(&pool.agent.id, &pool.instances()),
            None => {
                let live = self.state.live().map(|(_, attempt)| attempt);
                let live = live.filter(|attempt| attempt.agent.id == pool.agent.id);
                let freed = self
                    .freed
                    .iter()
                    .filter(|(_, (agent, ended))| *agent == pool.agent.id && now < ended + self.rules.let_go);
                let live = live.flat_map(|attempt| attempt.claims.iter().map(String::as_str));
                live.chain(freed.map(|(claim, _)| claim.as_str())).collect()
            }
        };
        let wanted = (&task.claims() - &held).len();
        let fits = wanted == 0 || held.len() + wanted <= usize::try_from(limit).unwrap_or(usize::MAX);
        (!fits).then_some(Unfit::Slots {
            held: held.len(),
            wanted,
            limit,
        })
    }

    /// Notes the launch and takes the task's share from the pool.
    fn place(
        &mut self,
        task: &PlannedTask,
        pool: &mut Pool,
        held_by_readers: &BTreeSet<&str>,
        now: Millis,
        effects: &mut Effects,
    ) {
        let Ok(share) = pool.left.take(&demand(task, held_by_readers)) else {
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
            without_item: held_by_readers.iter().map(|claim| (*claim).to_owned()).collect(),
            intended_ms: now,
            seen_running: false,
            state: None,
            reason: None,
            message: None,
            changes: Vec::new(),
            verdict: None,
        };
        pool.launches.push(task_info(&self.plan, task, &attempt, number, share));
        effects.progress.push(Progress::launched(task, &attempt));
        effects.save = true;
        record.attempts.push(attempt);
    }
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

/// The volumes of the task that others read on this agent, and whose item of the SET resource one of them holds: as long as
/// that reader runs no task is offered the item. A reader that finds no such reader needs the item itself, since another
/// framework may have taken it. On an agent that refuses tasks without a claim every reader needs it.
fn held_by_readers<'a>(
    task: &'a PlannedTask,
    state: &JobState,
    pool: &Pool,
    claims: Option<&Claims<'_>>,
) -> BTreeSet<&'a str> {
    if pool.requires_claim {
        return BTreeSet::new();
    }
    let agent = pool.agent.id.as_str();
    let offered = pool.left.items(label_mapper::EBS_VOLUMES);
    let own = |claim: &str| {
        let mut live = state.live();
        live.any(|(_, attempt)| attempt.agent.id == agent && attempt.reads_with_item(claim))
    };
    let anybodys = |claim: &str| {
        let entry = claims.and_then(|claims| claims.ledger.volumes.get(claim));
        entry.is_some_and(|entry| entry.is_read_with_item_on(agent))
    };
    let here = |claim: &&str| !offered.contains(claim) && (own(claim) || anybodys(claim));
    task.reads().into_iter().filter(here).collect()
}

/// A volume that is read on another agent and cannot be attached to two.
fn read_elsewhere(task: &PlannedTask, state: &JobState, agent: &str) -> Option<(String, String)> {
    task.volumes
        .iter()
        .filter(|volume| !volume.multi_attach)
        .find_map(|volume| {
            let claim = volume.claim.as_ref()?;
            let (_, other) = state
                .live()
                .find(|(_, attempt)| attempt.agent.id != agent && attempt.claims.contains(claim))?;
            Some((volume.name.clone(), other.agent.to_string()))
        })
}

fn unfitness(task: &PlannedTask, pool: &Pool, state: &JobState, claims: Option<&Claims<'_>>) -> Option<Unfit> {
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
        state
            .tasks
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
    if let Some((volume, holder)) = read_elsewhere(task, state, &agent.id) {
        return Some(Unfit::ReadElsewhere { volume, holder });
    }
    let held_by_readers = held_by_readers(task, state, pool, claims);
    match pool.left.clone().take(&demand(task, &held_by_readers)) {
        Ok(_) => None,
        Err(Shortage::Item { item, .. }) => {
            let volume = task.volumes.iter().find(|volume| volume.claim.as_ref() == Some(&item));
            let name = volume.map_or_else(|| item.clone(), |volume| format!("'{}'", volume.name));
            Some(Unfit::Volume { name, item })
        }
        Err(shortage) => Some(Unfit::Shortage(shortage.to_string())),
    }
}
