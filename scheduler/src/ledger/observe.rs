//! Enters the tasks of masters and the listings of the storage into the ledger: this is how it is
//! rebuilt, and how it sees the tasks of other frameworks.

use std::collections::{BTreeMap, BTreeSet};

use label_mapper::{Catalogue, EBS_VOLUMES, Volume};
use mesos_http::operator::Tasks;
use mesos_http::types::Task;
use volume_labels::{Access, Lifetime, Mode as LabelMode};

use super::{Claim, ClaimState, Entry, Holder, Ledger, Mode, Stored, next};
use crate::state::{JobState, Millis};

impl Ledger {
    /// A ledger from what the master knows, and the storage if it was asked. `asked_ms` is when,
    /// before both answered.
    pub fn rebuilt(tasks: &Tasks, catalogue: Option<&Catalogue>, asked_ms: Millis, now: Millis) -> Self {
        let mut ledger = Self::default();
        ledger.snapshot(tasks, catalogue, now);
        if let Some(catalogue) = catalogue {
            ledger.stored(catalogue, asked_ms, now);
            ledger.last_users(tasks, catalogue, now);
        }
        ledger
    }

    /// The claims of the tasks of one job that may still run, by what the job's own state says of
    /// them. `framework` is the framework's id.
    pub fn of_job(state: &JobState, framework: &str, now: Millis) -> Self {
        let mut ledger = Self::default();
        for (_, attempt) in state.live() {
            let holder = Holder {
                framework: framework.to_owned(),
                task: attempt.task_id.clone(),
            };
            for volume in &attempt.claims {
                ledger.volumes.entry(volume.clone()).or_default().add(Claim {
                    holder: holder.clone(),
                    agent: attempt.agent.id.clone(),
                    mode: match attempt.reads.contains(volume) {
                        true => Mode::Read,
                        false => Mode::Write,
                    },
                    state: ClaimState::Launched,
                    since_ms: attempt.intended_ms,
                    used: attempt.has_begun(),
                    instances: vec![attempt.agent.hostname.clone()],
                    without_item: attempt.without_item.contains(volume),
                });
            }
            if let Some(state) = &attempt.state {
                ledger.task(&holder, state, now);
            }
        }
        ledger
    }

    /// All tasks the master knows. Claims of tasks that it does not know any more are not freed for
    /// that: they are SUSPECT, unless they were never launched or are over. Returns whether
    /// anything changed.
    pub fn snapshot(&mut self, tasks: &Tasks, names: Option<&Catalogue>, now: Millis) -> bool {
        let mut changed = false;
        let mut known = BTreeSet::new();
        for task in tasks.tasks.iter().chain(&tasks.unreachable_tasks) {
            known.insert(holder(task));
            changed |= self.observe(task, names, now);
        }
        for task in &tasks.completed_tasks {
            // A framework may have used an id again: the task that is there now has it.
            if !known.insert(holder(task)) {
                continue;
            }
            changed |= self.task(&holder(task), &task.state, now);
        }
        changed
            | self.turn_all(|entry| {
                entry.turn(
                    |claim| {
                        let may_run = matches!(claim.state, ClaimState::Launched | ClaimState::InUse);
                        (may_run && !known.contains(&claim.holder)).then_some(Some(ClaimState::Suspect))
                    },
                    now,
                )
            })
    }

    /// A task of any framework, as the master describes it. A task that uses a volume has a claim,
    /// even when this scheduler did not grant it.
    pub fn observe(&mut self, task: &Task, names: Option<&Catalogue>, now: Millis) -> bool {
        let holder = holder(task);
        let mut changed = false;
        for (volume, mode) in volumes(task, names) {
            let entry = self.volumes.entry(volume.clone()).or_default();
            if entry.claims.iter().any(|claim| claim.holder == holder) {
                continue;
            }
            let mut claim = Claim {
                holder: holder.clone(),
                agent: task.agent_id.0.clone(),
                mode,
                state: ClaimState::Launched,
                since_ms: now,
                // A task that is unreachable now may have run before.
                used: has_run(task),
                instances: Vec::new(),
                without_item: !holds_item(task, &volume),
            };
            match next(&claim, &task.state) {
                // It has ended, and whether its agent has let go is the storage's to say.
                Some(None | Some(ClaimState::Releasing | ClaimState::Fenced)) => continue,
                Some(Some(state)) => claim.state = state,
                None => {}
            }
            claim.used |= claim.state == ClaimState::InUse;
            entry.add(claim);
            self.changed.insert(volume);
            changed = true;
        }
        changed | self.task(&holder, &task.state, now)
    }

    /// The storage's listing, asked for at `asked_ms`. Returns whether a claim changed.
    pub fn stored(&mut self, catalogue: &Catalogue, asked_ms: Millis, now: Millis) -> bool {
        let mut changed = false;
        for volume in catalogue.volumes() {
            let entry = self.volumes.entry(volume.id.to_string()).or_default();
            if entry.stored.as_ref().is_some_and(|stored| stored.asked_ms > asked_ms) {
                continue;
            }
            let news = entry.store(volume, asked_ms);
            let turned = asked_ms >= self.listings_count_from && entry.let_go(asked_ms, now);
            if news || turned {
                self.changed.insert(volume.id.to_string());
            }
            changed |= turned;
        }
        changed
    }

    /// This listing, asked for at `asked_ms`, names every volume of the source with this
    /// fingerprint. A volume that an earlier listing of the same source named was deleted, which
    /// the storage allows only when no host has it. One that no listing has ever named is none of
    /// this storage's, so that the storage will not say when it is detached. An empty listing is
    /// taken for a fault of the source. Returns whether a claim changed.
    pub fn complete(&mut self, source: &str, catalogue: &Catalogue, asked_ms: Millis, now: Millis) -> bool {
        let listed: BTreeSet<String> = catalogue.volumes().map(|volume| volume.id.to_string()).collect();
        if listed.is_empty() {
            return false;
        }
        let mut freed = false;
        for (volume, entry) in &mut self.volumes {
            let news = match &mut entry.stored {
                Some(stored) if listed.contains(volume) => stored.sources.insert(source.to_owned()),
                Some(stored) => {
                    if !stored.sources.contains(source) || stored.asked_ms >= asked_ms {
                        continue;
                    }
                    stored.asked_ms = asked_ms;
                    !std::mem::take(&mut stored.instances).is_empty()
                }
                None => false,
            };
            let let_go = !listed.contains(volume) && entry.free(|claim, _| is_past(claim, asked_ms), now);
            freed |= let_go;
            if news || let_go {
                self.changed.insert(volume.clone());
            }
        }
        freed
    }

    /// After a rebuild: a volume that is attached and that no task has was used by the last one
    /// that ran with it; when several hosts may attach it, by the last one on each agent.
    fn last_users(&mut self, tasks: &Tasks, catalogue: &Catalogue, now: Millis) {
        let mut ran: Vec<&Task> = tasks.completed_tasks.iter().filter(|task| has_run(task)).collect();
        ran.sort_by(|one, other| ended(other).total_cmp(&ended(one)));
        for task in ran {
            for (volume, _) in volumes(task, Some(catalogue)) {
                let Some(entry) = self.volumes.get_mut(&volume) else {
                    continue;
                };
                let Some(stored) = entry.stored.as_ref().filter(|stored| !stored.instances.is_empty()) else {
                    continue;
                };
                let is_explained = match stored.multi_attach {
                    true => entry.claims.iter().any(|claim| claim.agent == task.agent_id.0),
                    false => !entry.claims.is_empty(),
                };
                if !is_explained {
                    entry.add(Claim {
                        state: ClaimState::Releasing,
                        since_ms: now,
                        used: true,
                        ..unused(&holder(task), task)
                    });
                    self.changed.insert(volume);
                }
            }
        }
    }
}

impl Entry {
    /// What the storage says of the volume. Returns whether that is news.
    fn store(&mut self, volume: &Volume, asked_ms: Millis) -> bool {
        let attached = volume
            .attachments
            .iter()
            .filter(|attachment| attachment.state != "detached");
        let leaving = attached.clone().filter(|attachment| attachment.is_leaving());
        let stored = Stored {
            asked_ms,
            instances: attached.map(|attachment| attachment.instance.clone()).collect(),
            leaving: leaving.map(|attachment| attachment.instance.clone()).collect(),
            multi_attach: volume.multi_attach,
            name: volume.name.clone(),
            zone: Some(volume.zone.clone()),
            sources: self
                .stored
                .as_ref()
                .map(|stored| stored.sources.clone())
                .unwrap_or_default(),
        };
        let known = self.stored.take().map(|known| Stored { asked_ms, ..known });
        let news = known.as_ref() != Some(&stored);
        self.stored = Some(stored);
        news
    }

    /// Changes the claims when the storage lists the volume as attached to no host.
    fn let_go(&mut self, asked_ms: Millis, now: Millis) -> bool {
        let Some(stored) = self.stored.as_ref().filter(|stored| stored.instances.is_empty()) else {
            return false;
        };
        let one_host = !stored.multi_attach;
        let fenced = self.turn(
            |claim| {
                let proven = claim.state == ClaimState::Suspect && claim.used && one_host;
                (proven && asked_ms > claim.since_ms).then_some(Some(ClaimState::Fenced))
            },
            // The proof is as old as the question.
            asked_ms,
        );
        fenced | self.free(|claim, _| is_past(claim, asked_ms), now)
    }
}

/// Whether a listing that was asked for at `asked_ms` is later than the end of the claim's task.
fn is_past(claim: &Claim, asked_ms: Millis) -> bool {
    match claim.state {
        // The proof that the task does not run may be this very listing.
        ClaimState::Fenced => asked_ms >= claim.since_ms,
        _ => asked_ms > claim.since_ms,
    }
}

/// When the task's state changed last, in seconds.
fn ended(task: &Task) -> f64 {
    let times = task.statuses.iter().filter_map(|status| status.timestamp);
    times.fold(0.0, f64::max)
}

/// Whether the task was seen to run, so that it had its volumes.
pub(crate) fn has_run(task: &Task) -> bool {
    let claim = unused(&holder(task), task);
    task.statuses
        .iter()
        .any(|status| next(&claim, &status.state) == Some(Some(ClaimState::InUse)))
}

fn holder(task: &Task) -> Holder {
    Holder {
        framework: task.framework_id.0.clone(),
        task: task.task_id.0.clone(),
    }
}

fn unused(holder: &Holder, task: &Task) -> Claim {
    Claim {
        holder: holder.clone(),
        agent: task.agent_id.0.clone(),
        mode: Mode::Write,
        state: ClaimState::Launched,
        since_ms: 0,
        used: false,
        instances: Vec::new(),
        without_item: false,
    }
}

/// Whether the volume's item of `ebsvolumes` is among the task's resources.
fn holds_item(task: &Task, volume: &str) -> bool {
    let items = task.resources.iter().filter(|resource| resource.name == EBS_VOLUMES);
    let mut items = items.filter_map(|resource| resource.value.as_set()).flatten();
    items.any(|item| item == volume)
}

/// The volumes a task holds in `ebsvolumes`, and those its labels name; by the catalogue's ids
/// where it has them.
pub(super) fn volumes(task: &Task, names: Option<&Catalogue>) -> BTreeMap<String, Mode> {
    let mut volumes = BTreeMap::new();
    // Labels that cannot be read are the agent's to refuse; the resources still count.
    for labels in volume_labels::parse(task.labels.iter()).unwrap_or_default() {
        // Every container has its own.
        if labels.lifetime == Lifetime::Container {
            continue;
        }
        let id = names
            .and_then(|names| names.resolve(&labels.name).ok())
            .map_or_else(|| labels.claim_id().to_owned(), |volume| volume.id.to_string());
        let reads = labels.mode == LabelMode::ReadOnly && labels.access == Access::Shared;
        let mode = volumes.entry(id).or_insert(Mode::Read);
        if !reads {
            *mode = Mode::Write;
        }
    }
    let held = task.resources.iter().filter(|resource| resource.name == EBS_VOLUMES);
    for item in held.filter_map(|resource| resource.value.as_set()).flatten() {
        volumes.entry(item.clone()).or_insert(Mode::Write);
    }
    volumes
}
