//! What one task of a definition asks for, looked up: its volumes, where it can run, and what its author must know.

use std::collections::BTreeSet;

use serde::Serialize;
use volume_labels::{Create, LabelError, Mode, VolumeLabels};

use crate::catalogue::{Catalogue, ResolveError, Volume, VolumeId};
use crate::convert::Options;
use crate::frameworks::{Channel, Task};
use crate::mapping::{Spelling, spell};

/// Why a task cannot have its volumes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unplanned {
    /// Its labels say nothing that can be done.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// A name means no volume.
    #[error("'volume.{slot}': {source}")]
    Unresolved {
        /// The slot.
        slot: String,
        /// Why.
        source: ResolveError,
    },
    /// The claim it says is another volume's.
    #[error("'volume.{slot}.claim' = '{given}' is not the id of '{name}', {id}: leave the claim to the catalogue")]
    Claim {
        /// The slot.
        slot: String,
        /// The claim.
        given: String,
        /// The volume's name in the definition.
        name: String,
        /// The id by the catalogue.
        id: VolumeId,
    },
    /// Volumes that no one agent can have.
    #[error("its volumes are in different zones, and an agent is in one: {}", .0.join(", "))]
    Zones(Vec<String>),
    /// The driver compares names without case and would take either volume for the other.
    #[error(
        "'volume.{slot}': the driver is given the name '{name}', which {} have but for upper and lower case: rename all but one",
        crate::catalogue::joined(ids)
    )]
    Twins {
        /// The slot.
        slot: String,
        /// The name.
        name: String,
        /// The volumes.
        ids: Vec<VolumeId>,
    },
    /// The framework makes the driver's name itself, and it comes out as another one.
    #[error(
        "'volume.{slot}': the framework gives the driver the name '{made}', and volume {id} has {}: give it that Name tag",
        named.as_ref().map_or_else(|| "none".to_owned(), |name| format!("the Name tag '{name}'"))
    )]
    Indexed {
        /// The slot.
        slot: String,
        /// The name the framework makes.
        made: String,
        /// The volume that was found.
        id: VolumeId,
        /// Its Name tag.
        named: Option<String>,
    },
}

/// One volume of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The name in the definition.
    pub name: String,
    /// What it means; none without a catalogue, or when it is yet to be created; several where each copy of the task has
    /// one of its own.
    pub volumes: Vec<Volume>,
    /// What the labels say with the name looked up.
    pub labels: VolumeLabels,
}

/// A task with its volumes looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planned {
    pub(crate) asked: Vec<Asked>,
    /// Those of its own words that are not asked for by label as well.
    pub(crate) native: Vec<Asked>,
    pub(crate) claims: Vec<String>,
    pub(crate) zone: Option<String>,
    pub(crate) notes: Vec<String>,
}

impl Planned {
    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.native.is_empty()
    }

    pub(crate) fn labels(&self) -> Vec<VolumeLabels> {
        self.asked.iter().map(|asked| asked.labels.clone()).collect()
    }
}

/// The note of a task that mixes labels with the framework's own words.
const OWN_WORDS: &str = "it has volumes in the framework's own words, which Mesos' docker/volume isolator mounts, or the module \
    where the operator turned that source on; 'label-mapper migrate' makes labels of them";

/// Looks up what the task asks for by these labels, and what it asks for in its framework's own words.
pub(crate) fn planned(task: &Task, labels: Vec<VolumeLabels>, options: &Options<'_>) -> Result<Planned, Unplanned> {
    let mut plan = Planned::default();
    let spelling = match task.channel {
        Channel::Labels | Channel::Nothing => options.spelling,
        // Whoever reads these gives the driver the name as it stands.
        Channel::DockerVolume | Channel::Environment | Channel::DockerEngine => Spelling::Name,
    };
    let mut native = Vec::new();
    for volume in task.native.iter().filter(|volume| volume.foreign.is_none()) {
        if let Ok(volume) = volume.labels(&native)
            && !labels.iter().any(|label| label.path == volume.path)
        {
            native.push(volume);
        }
    }
    if task.channel == Channel::Labels && !native.is_empty() {
        plan.notes.push(OWN_WORDS.to_owned());
    }
    for labels in labels {
        let asked = look_up(task, labels, spelling, options.catalogue, &mut plan.notes)?;
        plan.asked.push(asked);
    }
    for labels in native {
        let asked = look_up(task, labels, spelling, options.catalogue, &mut plan.notes)?;
        plan.native.push(asked);
    }
    let all = || plan.asked.iter().chain(&plan.native);
    let claims: BTreeSet<String> = all()
        .flat_map(|asked| &asked.volumes)
        .map(|volume| volume.id.to_string())
        .collect();
    plan.claims = claims.into_iter().collect();
    plan.zone = one_zone(all())?;
    let notes: Vec<String> = all().flat_map(|asked| fitness(task, asked)).collect();
    for note in notes {
        if !plan.notes.contains(&note) {
            plan.notes.push(note);
        }
    }
    Ok(plan)
}

fn look_up(
    task: &Task,
    mut labels: VolumeLabels,
    spelling: Spelling,
    catalogue: Option<&Catalogue>,
    notes: &mut Vec<String>,
) -> Result<Asked, Unplanned> {
    let name = labels.name.clone();
    let slot = labels.slot.to_string();
    let mut volumes = Vec::new();
    let Some(catalogue) = catalogue else {
        return Ok(Asked { name, volumes, labels });
    };
    let indexed = |copy: u64| {
        if task.indexed {
            format!("{name}_{copy}")
        } else {
            name.clone()
        }
    };
    let copies = if task.indexed { task.copies.max(1) } else { 1 };
    for copy in 0..copies {
        let made = indexed(copy);
        match catalogue.resolve(&made) {
            Ok(volume) => {
                if task.indexed && volume.name.as_deref() != Some(made.as_str()) {
                    return Err(Unplanned::Indexed { slot, made, id: volume.id.clone(), named: volume.name.clone() });
                }
                volumes.push(volume.clone());
            }
            Err(ResolveError::Unknown { .. }) if labels.create == Create::IfMissing => notes.push(format!(
                "'volume.{slot}': no volume '{}' yet; it is created where the task first runs, and then ties it to that zone",
                volume_labels::cleaned(&made)
            )),
            Err(source) => return Err(Unplanned::Unresolved { slot, source }),
        }
    }
    let Some(first) = volumes.first().filter(|_| !task.indexed) else {
        return Ok(Asked { name, volumes, labels });
    };
    if let Some(given) = labels.claim.clone().filter(|given| given != first.id.as_str()) {
        return Err(Unplanned::Claim {
            slot,
            given,
            name,
            id: first.id.clone(),
        });
    }
    spell(&mut labels, first, spelling);
    if spelling == Spelling::Name {
        let ids = twins(catalogue, &labels.name);
        if ids.len() > 1 {
            return Err(Unplanned::Twins {
                slot,
                name: labels.name,
                ids,
            });
        }
    }
    Ok(Asked { name, volumes, labels })
}

/// The living volumes whose Name tags a driver that does not heed case takes for one.
fn twins(catalogue: &Catalogue, name: &str) -> Vec<VolumeId> {
    let folded = name.to_lowercase();
    let living = catalogue.volumes().filter(|volume| volume.state.is_alive());
    living
        .filter(|volume| volume.name.as_ref().is_some_and(|other| other.to_lowercase() == folded))
        .map(|volume| volume.id.clone())
        .collect()
}

fn one_zone<'a>(all: impl Iterator<Item = &'a Asked>) -> Result<Option<String>, Unplanned> {
    let volumes: Vec<(&str, &Volume)> = all
        .flat_map(|asked| asked.volumes.iter().map(|v| (asked.name.as_str(), v)))
        .collect();
    let zones: BTreeSet<&str> = volumes.iter().map(|(_, volume)| volume.zone.as_str()).collect();
    if zones.len() > 1 {
        let line = |(name, volume): &(&str, &Volume)| {
            format!("'{}' ({}) in {}", volume_labels::cleaned(name), volume.id, volume.zone)
        };
        return Err(Unplanned::Zones(volumes.iter().map(line).collect()));
    }
    Ok(zones.into_iter().next().map(str::to_owned))
}

/// What of a volume's state and kind its user must know.
fn fitness(task: &Task, asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    for volume in &asked.volumes {
        notes.extend(state(volume));
        if task.copies > 1 && !task.indexed {
            notes.push(match (volume.multi_attach, asked.labels.mode) {
                (false, _) => format!(
                    "several copies ask for {}, which attaches to one host at a time: they run on one agent or wait for each \
                     other",
                    volume.id
                ),
                (true, Mode::ReadWrite) => format!(
                    "several copies write to {}; it attaches to several hosts, and a file system such as ext4 or xfs does not \
                     bear two writing hosts: make it 'ro', or give each copy a volume of its own",
                    volume.id
                ),
                (true, Mode::ReadOnly) => continue,
            });
        }
    }
    notes
}

/// What of its state keeps a volume from being used at once.
pub(crate) fn state(volume: &Volume) -> Vec<String> {
    let mut notes = Vec::new();
    if !matches!(volume.state, crate::VolumeState::Available | crate::VolumeState::InUse) {
        notes.push(format!(
            "{} is in state '{}': its tasks wait until it is 'available'",
            volume.id, volume.state
        ));
    }
    if !volume.multi_attach {
        for attachment in &volume.attachments {
            notes.push(format!(
                "{} is held by {} ({}): until that lets go of it, no task on another host gets it",
                volume.id, attachment.instance, attachment.state
            ));
        }
    }
    notes
}
