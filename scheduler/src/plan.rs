//! The job with its volumes found: what each task asks of an agent.

use std::collections::BTreeSet;
use std::fmt;

use label_mapper::{Catalogue, ResolveError, Spelling, Volume, spell};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use volume_labels::{Access, Mode, VolumeLabels};

use crate::job::{self, Job, Notify, Task};

/// Where volumes' names are looked up.
#[derive(Clone, Debug)]
pub struct Volumes {
    /// What the storage listed.
    pub catalogue: Catalogue,
    /// How the labels spell a volume.
    pub spelling: Spelling,
}

/// A job ready to be placed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The job's name.
    pub job: String,
    /// Its tasks, in the order of the file.
    pub tasks: Vec<PlannedTask>,
    /// Whom to tell how it ended. It may change between two runs on one state.
    #[serde(skip)]
    pub notify: Notify,
}

/// One task with its volumes found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedTask {
    /// The task as the job file has it.
    pub task: Task,
    /// Its volumes, by slot.
    pub volumes: Vec<PlannedVolume>,
    /// The zone its volumes are in; `None` when no catalogue tells.
    pub zone: Option<String>,
}

/// One volume of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedVolume {
    /// The name in the job file.
    pub name: String,
    /// The item of the SET resource that claims it, which is its id.
    pub claim: String,
    /// What the task's labels say.
    pub labels: VolumeLabels,
    /// Whether several hosts may hold it at once, by the catalogue.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multi_attach: bool,
}

impl PlannedTask {
    /// The task's name.
    pub fn name(&self) -> &str {
        &self.task.name
    }

    /// The items of the SET resource it has to hold; one for two slots of one volume.
    pub fn claims(&self) -> BTreeSet<&str> {
        self.volumes.iter().map(|volume| volume.claim.as_str()).collect()
    }

    /// The volumes of [`claims`](Self::claims) that it only reads, and lets others read beside it.
    pub fn reads(&self) -> BTreeSet<&str> {
        let only_read = |claim: &&str| {
            let slots = self.volumes.iter().filter(|volume| volume.claim == **claim);
            slots
                .into_iter()
                .all(|volume| volume.labels.mode == Mode::ReadOnly && volume.labels.access == Access::Shared)
        };
        self.claims().into_iter().filter(only_read).collect()
    }

    /// The task's labels.
    pub fn labels(&self) -> impl Iterator<Item = (String, String)> {
        self.volumes.iter().flat_map(|volume| volume.labels.to_labels())
    }
}

/// Why a task's volumes cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VolumeProblem {
    /// The name means no volume.
    #[error("slot '{slot}': {source}")]
    Unresolved {
        /// The slot.
        slot: String,
        /// Why.
        source: ResolveError,
    },
    /// The file's own claim is not what the catalogue says.
    #[error("slot '{slot}': the claim '{given}' is not the id of '{name}', {id}; leave the claim to the catalogue")]
    Claim {
        /// The slot.
        slot: String,
        /// The volume's name in the job file.
        name: String,
        /// The claim there.
        given: String,
        /// The id by the catalogue.
        id: String,
    },
    /// Volumes that no one agent can have.
    #[error("its volumes are in different zones, and an agent is in one: {}", zones.join(", "))]
    Zones {
        /// `name (id) in zone`, each.
        zones: Vec<String>,
    },
}

/// Everything that keeps a job from being planned. `Display` has one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The line of the job file, the task and what is wrong with it. Never empty.
    pub problems: Vec<(u64, String, VolumeProblem)>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .problems
            .iter()
            .map(|(line, task, problem)| format!("{line}:1: task '{task}': {problem}"))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Finds the volumes of every task. Without a catalogue each name is taken as it is, for the driver's name of the
    /// volume and for the item that claims it, and no zone is known.
    ///
    /// # Errors
    /// Every volume that is not found, or cannot be on one agent with the others of its task.
    pub fn new(job: Job, volumes: Option<&Volumes>) -> Result<Self, PlanError> {
        let mut problems = Vec::new();
        let mut tasks = Vec::new();
        for task in job.tasks {
            match planned(&task, volumes) {
                Ok((volumes, zone)) => tasks.push(PlannedTask { task, volumes, zone }),
                Err(problem) => problems.push((task.line, task.name, problem)),
            }
        }
        match problems.is_empty() {
            true => Ok(Self {
                job: job.name,
                tasks,
                notify: job.notify,
            }),
            false => Err(PlanError { problems }),
        }
    }

    /// A fingerprint of everything that is to be run, on what, where.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("a plan has text keys only, so it is JSON");
        hex::encode(Sha256::digest(json))
    }

    /// The task with this name.
    pub fn task(&self, name: &str) -> Option<&PlannedTask> {
        self.tasks.iter().find(|task| task.name() == name)
    }

    /// The names of all tasks that cannot run before `name` is finished, however far away.
    pub fn blocked_by(&self, name: &str) -> BTreeSet<&str> {
        job::blocked_by(self.tasks.iter().map(|task| &task.task), name)
    }
}

fn planned(task: &Task, volumes: Option<&Volumes>) -> Result<(Vec<PlannedVolume>, Option<String>), VolumeProblem> {
    let Some(Volumes { catalogue, spelling }) = volumes else {
        let as_named = task.volumes.iter().map(|labels| PlannedVolume {
            name: labels.name.clone(),
            claim: labels.claim_id().to_owned(),
            labels: labels.clone(),
            multi_attach: false,
        });
        return Ok((as_named.collect(), None));
    };
    let mut planned = Vec::new();
    let mut found = Vec::new();
    for labels in &task.volumes {
        let slot = || labels.slot.to_string();
        let volume = catalogue
            .resolve(&labels.name)
            .map_err(|source| VolumeProblem::Unresolved { slot: slot(), source })?;
        if let Some(given) = labels.claim.as_deref().filter(|given| *given != volume.id.as_str()) {
            return Err(VolumeProblem::Claim {
                slot: slot(),
                name: labels.name.clone(),
                given: given.to_owned(),
                id: volume.id.to_string(),
            });
        }
        let mut spelled = labels.clone();
        spell(&mut spelled, volume, *spelling);
        planned.push(PlannedVolume {
            name: labels.name.clone(),
            claim: volume.id.to_string(),
            labels: spelled,
            multi_attach: volume.multi_attach,
        });
        found.push((labels.name.as_str(), volume));
    }
    Ok((planned, one_zone(&found)?))
}

fn one_zone(volumes: &[(&str, &Volume)]) -> Result<Option<String>, VolumeProblem> {
    let zones: BTreeSet<&str> = volumes.iter().map(|(_, volume)| volume.zone.as_str()).collect();
    if zones.len() > 1 {
        let zones = volumes
            .iter()
            .map(|(name, volume)| format!("'{name}' ({}) in {}", volume.id, volume.zone))
            .collect();
        return Err(VolumeProblem::Zones { zones });
    }
    Ok(zones.into_iter().next().map(str::to_owned))
}
