//! The job with its volumes found: what each task asks of an agent.

use std::collections::BTreeSet;
use std::fmt;

use label_mapper::{Catalogue, PlacementError, Spelling, VolumeProblem};
use serde::Serialize;
use sha2::{Digest, Sha256};
use volume_labels::{Access, Lifetime, Mode, VolumeLabels};

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
    /// The notifications about its end. They may change between two runs with one state folder.
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
    /// The zone its volumes are in; `None` without a catalogue.
    pub zone: Option<String>,
}

/// One volume of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedVolume {
    /// The name in the job file.
    pub name: String,
    /// What no other task may use at the same time: the volume's id, or its name where the id is
    /// not known. A volume that is created for its container has none, since every task has its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Whether agents offer the claim as an item of the SET resource. They do not when the
    /// catalogue does not know the volume, because it is created by the first task that uses it.
    #[serde(skip)]
    pub is_offered: bool,
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

    /// The claims it has to have; one for two slots of one volume.
    pub fn claims(&self) -> BTreeSet<&str> {
        self.volumes
            .iter()
            .filter_map(|volume| volume.claim.as_deref())
            .collect()
    }

    /// Those of [`claims`](Self::claims) that it takes from an offer, as items of the SET resource.
    pub fn items(&self) -> BTreeSet<&str> {
        let offered = self.volumes.iter().filter(|volume| volume.is_offered);
        offered.filter_map(|volume| volume.claim.as_deref()).collect()
    }

    /// The volumes of [`claims`](Self::claims) that it only reads, and that others may read at the
    /// same time.
    pub fn reads(&self) -> BTreeSet<&str> {
        let only_read = |claim: &&str| {
            let slots = self
                .volumes
                .iter()
                .filter(|volume| volume.claim.as_deref() == Some(*claim));
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

/// Everything that keeps a job from being planned. `Display` has one line for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The line of the job file, the task and what is wrong with it. Never empty.
    pub problems: Vec<(u64, String, PlacementError)>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self
            .problems
            .iter()
            .map(|(line, task, problem)| match problem {
                PlacementError::Volume { slot, problem } => {
                    format!("{line}:1: task '{task}': slot '{slot}': {problem}")
                }
                zones => format!("{line}:1: task '{task}': {zones}"),
            })
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Finds the volumes of every task. Without a catalogue each name is taken as it is, for the
    /// driver's name of the volume and for the item that claims it, and no zone is known.
    ///
    /// # Errors
    /// Every volume that is not found, or cannot be on one agent with the others of its task.
    pub fn new(job: Job, volumes: Option<&Volumes>) -> Result<Self, PlanError> {
        let mut problems = Vec::new();
        let mut tasks = Vec::new();
        for task in job.tasks {
            match planned(&task, volumes) {
                Ok((volumes, zone)) => tasks.push(PlannedTask { task, volumes, zone }),
                Err(problem) => problems.push((line_of(&task, &problem), task.name, problem)),
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

/// The line of the field that is wrong; of several the task's own.
fn line_of(task: &Task, problem: &PlacementError) -> u64 {
    let key = match problem {
        PlacementError::Zones(_) => return task.line,
        PlacementError::Volume { slot, problem } => match problem {
            VolumeProblem::Claim { .. } => format!("volume.{slot}.claim"),
            VolumeProblem::Unresolved(_) | VolumeProblem::Twins { .. } | VolumeProblem::Unsupported { .. } => {
                format!("volume.{slot}")
            }
        },
    };
    task.label_lines.get(&key).copied().unwrap_or(task.line)
}

fn planned(task: &Task, volumes: Option<&Volumes>) -> Result<(Vec<PlannedVolume>, Option<String>), PlacementError> {
    let (catalogue, spelling) = match volumes {
        Some(Volumes { catalogue, spelling }) => (Some(catalogue), *spelling),
        None => (None, Spelling::Id),
    };
    let placement = label_mapper::placement(&task.volumes, catalogue, spelling)?;
    let planned = placement.volumes.into_iter().map(|placed| PlannedVolume {
        claim: match (&placed.volume, placed.labels.lifetime) {
            (_, Lifetime::Container) => None,
            (Some(volume), _) => Some(volume.id.to_string()),
            (None, _) => Some(placed.labels.claim_id().to_owned()),
        },
        is_offered: placed.volume.is_some() || catalogue.is_none(),
        multi_attach: placed.volume.is_some_and(|volume| volume.multi_attach),
        name: placed.name,
        labels: placed.labels,
    });
    Ok((planned.collect(), placement.zone))
}
