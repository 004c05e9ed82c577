//! What one task of a definition asks for, looked up: its volumes, where it can run, and what its
//! author must know.

use std::collections::BTreeSet;

use serde::Serialize;
use volume_labels::{Create, LabelError, Lifetime, Mode, VolumeLabels, cleaned};

use crate::catalogue::{Catalogue, Volume, VolumeId};
use crate::convert::Options;
use crate::frameworks::{Channel, GeneratedName, Native, Task, absolute};
use crate::mapping::Spelling;
use crate::placement::{self, PlacementError, VolumeProblem};

/// Why a task cannot have its volumes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unplanned {
    /// Its labels say nothing that can be done.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Its volumes are not there, or not to be had together.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The framework refuses the name.
    #[error("'volume.{slot}': {problem}")]
    Name {
        /// The slot.
        slot: String,
        /// Why.
        problem: String,
    },
    /// The framework makes the driver's name itself, and it comes out as another one.
    #[error(
        "'volume.{slot}': the framework gives the driver the name '{made}', and volume {id} has {}: give it that Name tag",
        named.as_ref().map_or_else(|| "none".to_owned(), |name| format!("the Name tag '{name}'"))
    )]
    Renamed {
        /// The slot.
        slot: String,
        /// The name the framework makes.
        made: String,
        /// The volume that was found.
        id: VolumeId,
        /// Its Name tag.
        named: Option<String>,
    },
    /// Two volumes of which one would be mounted over the other.
    #[error("'{list}' has another volume at '{path}' already: take it out, or give 'volume.{slot}.path' another value")]
    SamePath {
        /// Where the other one is described.
        list: String,
        /// The path of both.
        path: String,
        /// The slot of the volume by label.
        slot: String,
    },
    /// The same, with neither of them by label.
    #[error("'{first}' and '{second}' both mount at '{path}': give one of them another path")]
    SamePathTwice {
        /// Where the first is described.
        first: String,
        /// Where the second is described.
        second: String,
        /// The path of both.
        path: String,
    },
}

/// One volume of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The name in the definition.
    pub name: String,
    /// By which way it comes to the task.
    pub channel: Channel,
    /// What it means; none without a catalogue, or when it is yet to be created; several where each
    /// copy of the task has one of its own.
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

    /// A plan of no volumes, for a task whose volumes are all left as they are.
    pub(crate) fn of_notes(notes: Vec<String>) -> Self {
        Self {
            notes,
            ..Self::default()
        }
    }
}

/// The note of a task that mixes labels with the framework's own words.
const OWN_WORDS: &str = "it has volumes in the framework's own words, which Mesos' docker/volume isolator mounts, or the module \
    where the operator turned that source on; 'label-mapper migrate' makes labels of them";

/// The lines on what is described in the framework's own words and left as it is.
pub(crate) fn left_alone(task: &Task) -> Vec<String> {
    let foreign = task.native.iter().filter_map(|native| {
        let why = native.foreign.as_ref()?;
        Some(format!(
            "the volume at '{}' is left as it is: {why}",
            cleaned(&native.path)
        ))
    });
    foreign.chain(task.unread.iter().cloned()).collect()
}

/// Looks up what the task asks for by these labels, and what it asks for in its framework's own
/// words.
pub(crate) fn planned(task: &Task, labels: Vec<VolumeLabels>, options: &Options<'_>) -> Result<Planned, Unplanned> {
    let mut plan = Planned::of_notes(left_alone(task));
    for labels in labels {
        let spelling = spelling(task.channel, options);
        let name = task.names.of(&labels, options.default_driver);
        let name = name.map_err(|problem| Unplanned::Name {
            slot: labels.slot.to_string(),
            problem,
        })?;
        let asked = look_up(task, task.channel, labels, &name, spelling, options, &mut plan.notes)?;
        plan.asked.push(asked);
    }
    one_at_a_path(task)?;
    let mut taken: Vec<VolumeLabels> = Vec::new();
    for native in task.native.iter() {
        let (path, by_label) = same_path(task, native, &plan.asked);
        if native.foreign.is_some() {
            if let Some(asked) = by_label {
                return Err(same(native, path, asked));
            }
            continue;
        }
        let labels = match native.labels(&taken) {
            Ok(labels) => labels,
            Err(why) => {
                let written = cleaned(native.name.written());
                plan.notes
                    .push(format!("the volume '{written}' was not looked up: {why}"));
                continue;
            }
        };
        let spelling = spelling(native.channel, options);
        let mut notes = Vec::new();
        let own = look_up(
            task,
            native.channel,
            labels,
            &native.name,
            spelling,
            options,
            &mut notes,
        )?;
        match by_label {
            // Asked for in both ways.
            Some(asked) if is_same(asked, &own) => {}
            Some(asked) => return Err(same(native, path, asked)),
            None => {
                plan.notes.extend(notes);
                taken.push(own.labels.clone());
                plan.native.push(own);
            }
        }
    }
    let movable =
        |native: &Native| native.channel == Channel::DockerVolume && native.foreign.is_none() && native.stays.is_none();
    if task.channel == Channel::Labels && !plan.native.is_empty() && task.native.iter().any(movable) {
        plan.notes.push(OWN_WORDS.to_owned());
    }
    let all = || plan.asked.iter().chain(&plan.native);
    let claims: BTreeSet<String> = all()
        .flat_map(|asked| &asked.volumes)
        .map(|volume| volume.id.to_string())
        .collect();
    plan.claims = claims.into_iter().collect();
    let found = all().flat_map(|asked| asked.volumes.iter().map(|volume| (asked.name.as_str(), volume)));
    plan.zone = placement::one_zone(found)?;
    let notes: Vec<String> = all().flat_map(|asked| fitness(task, asked)).collect();
    for note in notes {
        if !plan.notes.contains(&note) {
            plan.notes.push(note);
        }
    }
    Ok(plan)
}

fn spelling(channel: Channel, options: &Options<'_>) -> Spelling {
    match channel {
        Channel::Labels | Channel::Nothing => options.spelling,
        // Whoever reads these gives the driver the name as it stands.
        Channel::DockerVolume | Channel::Environment | Channel::DockerEngine => Spelling::Name,
    }
}

/// Where the volume goes in the container, and what is asked for there by label.
fn same_path<'a>(task: &Task, native: &Native, asked: &'a [Asked]) -> (String, Option<&'a Asked>) {
    let target = |path: &str| match task.channel {
        Channel::DockerEngine => absolute(path),
        _ => path.trim_start_matches("./").trim_end_matches('/').to_owned(),
    };
    let path = target(&native.path);
    let by_label = asked
        .iter()
        .find(|asked| target(&asked.labels.path.to_string()) == path);
    (path, by_label)
}

/// The Docker engine refuses two volumes at one path.
fn one_at_a_path(task: &Task) -> Result<(), Unplanned> {
    let engine: Vec<&Native> = task
        .native
        .iter()
        .filter(|native| native.channel == Channel::DockerEngine)
        .collect();
    for (index, second) in engine.iter().enumerate() {
        let path = absolute(&second.path);
        if let Some(first) = engine[..index].iter().find(|first| absolute(&first.path) == path) {
            return Err(Unplanned::SamePathTwice {
                first: first.at[0].to_string(),
                second: second.at[0].to_string(),
                path,
            });
        }
    }
    Ok(())
}

fn same(native: &Native, path: String, asked: &Asked) -> Unplanned {
    let list = native.at.first().and_then(|at| Some(at.split_last()?.0));
    Unplanned::SamePath {
        list: list.unwrap_or_default().to_string(),
        path: match asked.channel {
            Channel::DockerEngine if asked.labels.path.to_string() == native.path => native.path.clone(),
            _ => path,
        },
        slot: asked.labels.slot.to_string(),
    }
}

fn is_same(asked: &Asked, own: &Asked) -> bool {
    match (asked.volumes.as_slice(), own.volumes.as_slice()) {
        ([], []) => asked.labels.name == own.labels.name,
        (by_label, own) => by_label == own,
    }
}

fn look_up(
    task: &Task,
    channel: Channel,
    labels: VolumeLabels,
    made: &GeneratedName,
    spelling: Spelling,
    options: &Options<'_>,
    notes: &mut Vec<String>,
) -> Result<Asked, Unplanned> {
    let name = labels.name.clone();
    let slot = labels.slot.to_string();
    let problem = |problem: VolumeProblem| {
        Unplanned::Placement(PlacementError::Volume {
            slot: labels.slot.to_string(),
            problem,
        })
    };
    let mut missing = |name: &str| {
        if options.catalogue.is_some() && labels.lifetime == Lifetime::Persistent && labels.create == Create::IfMissing
        {
            notes.push(format!(
                "'volume.{slot}': no volume '{}' yet; it is created where the task first runs, and then ties it to that zone",
                cleaned(name)
            ));
        }
    };
    let driver = labels.driver.as_deref().or(options.default_driver);
    // The framework hands the driver a name that it makes itself.
    let is_made = made.is_per_copy() || made.of_copy(0) != name;
    if !is_made {
        let (volume, labels) = placement::place(&labels, driver, options.catalogue, spelling).map_err(problem)?;
        if volume.is_none() {
            missing(&name);
        }
        return Ok(Asked {
            name,
            channel,
            volumes: volume.into_iter().collect(),
            labels,
        });
    }
    let mut volumes = Vec::new();
    let copies = if made.is_per_copy() { task.copies.max(1) } else { 1 };
    for copy in 0..copies {
        let made = made.of_copy(copy);
        let found = placement::find(&labels, &made, options.catalogue).map_err(|error| problem(error.into()))?;
        match found {
            Some(volume) if volume.name.as_deref() == Some(made.as_str()) => {
                if let Some(catalogue) = options.catalogue {
                    catalogue.check_name(volume, driver).map_err(problem)?;
                }
                volumes.push(volume.clone());
            }
            Some(volume) => {
                return Err(Unplanned::Renamed {
                    slot,
                    made,
                    id: volume.id.clone(),
                    named: volume.name.clone(),
                });
            }
            None => missing(&made),
        }
    }
    Ok(Asked {
        name,
        channel,
        volumes,
        labels,
    })
}

/// What of a volume's state and kind its user must know.
fn fitness(task: &Task, asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    for volume in &asked.volumes {
        notes.extend(state(volume));
        if task.copies > 1 && asked.volumes.len() == 1 {
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
    for attachment in &volume.attachments {
        let holder = attachment.holder();
        if attachment.is_leaving() {
            notes.push(format!(
                "{} is being detached from {holder} ({}): no task gets it there or elsewhere until the storage lists it as detached",
                volume.id, attachment.state
            ));
        } else if !volume.multi_attach {
            notes.push(format!(
                "{} is held by {holder} ({}): until that lets go of it, no task on another host gets it",
                volume.id, attachment.state
            ));
        }
    }
    notes
}

/// The notes on volumes that several apps write, by the place of the app among the tasks.
pub(crate) fn shared(tasks: &[(String, Vec<Asked>)], catalogue: Option<&Catalogue>) -> Vec<(usize, String)> {
    let key = |asked: &Asked| match (asked.volumes.as_slice(), catalogue) {
        ([volume, ..], Some(_)) => volume.id.to_string(),
        _ => format!(
            "{}/{}",
            asked.labels.driver.as_deref().unwrap_or_default(),
            asked.labels.name
        ),
    };
    let mut notes = Vec::new();
    for (index, (name, volumes)) in tasks.iter().enumerate() {
        for (other_index, (other, others)) in tasks.iter().enumerate().filter(|(other, _)| *other != index) {
            let persistent = |asked: &&Asked| asked.labels.lifetime == Lifetime::Persistent;
            for asked in volumes.iter().filter(persistent) {
                let both = others.iter().filter(persistent).find(|other| key(other) == key(asked));
                let Some(also) = both else { continue };
                let reads = asked.labels.mode == Mode::ReadOnly && also.labels.mode == Mode::ReadOnly;
                if !reads {
                    let (first, second) = if index < other_index {
                        (name, other)
                    } else {
                        (other, name)
                    };
                    notes.push((
                        index,
                        format!(
                            "the volume '{}' is named by '{first}' and by '{second}', and not all of them only read it: they write to one \
                             file system; give each its own, or make all of them 'ro'",
                            cleaned(&asked.name)
                        ),
                    ));
                }
            }
        }
    }
    notes
}
