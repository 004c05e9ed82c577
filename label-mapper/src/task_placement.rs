//! The volumes of one task of a definition, looked up: which they are, where the task can run, and
//! what its author has to know.

use std::collections::BTreeSet;

use serde::Serialize;
use volume_labels::{Create, LabelError, Lifetime, Mode, VolumeLabels, cleaned};

use crate::catalogue::{Catalogue, Volume, VolumeId};
use crate::frameworks::{Channel, GeneratedName, Native, Task, absolute};
use crate::mapping::Spelling;
use crate::options::Options;
use crate::placement::{self, PlacementError, VolumeProblem};

/// Why a task cannot have its volumes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskPlacementError {
    /// One of its labels is wrong.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// A volume does not exist, or the volumes are in different zones.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The framework refuses the name.
    #[error("'volume.{slot}': {problem}")]
    Name {
        /// The slot.
        slot: String,
        /// The reason of the framework.
        problem: String,
    },
    /// The framework makes the name for the driver itself, and this name differs from the volume's
    /// Name tag.
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
    /// As [`SamePath`](Self::SamePath), where neither volume is requested by label.
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
pub struct RequestedVolume {
    /// The name in the definition.
    pub name: String,
    /// The channel by which the request reaches the agent.
    pub channel: Channel,
    /// The volumes that the name stands for. There is none without a catalogue, and none for a
    /// volume that is yet to be created. There are several when each copy of the task has its own
    /// volume.
    pub volumes: Vec<Volume>,
    /// The labels, with the name as the agent needs it.
    pub labels: VolumeLabels,
}

/// A task with its volumes looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskPlacement {
    pub(crate) requested: Vec<RequestedVolume>,
    /// Volumes that only the framework's own fields request.
    pub(crate) native: Vec<RequestedVolume>,
    pub(crate) claims: Vec<String>,
    pub(crate) zone: Option<String>,
    pub(crate) notes: Vec<String>,
}

impl TaskPlacement {
    pub(crate) fn is_empty(&self) -> bool {
        self.requested.is_empty() && self.native.is_empty()
    }

    pub(crate) fn labels(&self) -> Vec<VolumeLabels> {
        self.requested
            .iter()
            .map(|requested| requested.labels.clone())
            .collect()
    }

    /// A plan of no volumes, for a task whose volumes are all left as they are.
    pub(crate) fn of_notes(notes: Vec<String>) -> Self {
        Self {
            notes,
            ..Self::default()
        }
    }
}

/// The note of a task that mixes labels with the framework's own fields.
const OWN_FIELDS: &str = "it has volumes in the framework's own fields, which Mesos' docker/volume isolator mounts, or the module \
    where the operator turned that source on; 'label-mapper migrate' makes labels of them";

/// The lines on what is described in the framework's own fields and left as it is.
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

/// Looks up the volumes that the task requests by these labels and in the framework's own fields.
pub(crate) fn place_task(
    task: &Task,
    labels: Vec<VolumeLabels>,
    options: &Options<'_>,
) -> Result<TaskPlacement, TaskPlacementError> {
    let mut plan = TaskPlacement::of_notes(left_alone(task));
    for labels in labels {
        let spelling = spelling(task.channel, options);
        let name = task.names.of(&labels, options.default_driver);
        let name = name.map_err(|problem| TaskPlacementError::Name {
            slot: labels.slot.to_string(),
            problem,
        })?;
        let requested = look_up(task, task.channel, labels, &name, spelling, options, &mut plan.notes)?;
        plan.requested.push(requested);
    }
    one_at_a_path(task)?;
    let mut taken: Vec<VolumeLabels> = Vec::new();
    for native in task.native.iter() {
        let (path, by_label) = same_path(task, native, &plan.requested);
        if native.foreign.is_some() {
            if let Some(requested) = by_label {
                return Err(same(native, path, requested));
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
            // The task requests the volume in both ways.
            Some(requested) if is_same(requested, &own) => {}
            Some(requested) => return Err(same(native, path, requested)),
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
        plan.notes.push(OWN_FIELDS.to_owned());
    }
    let all = || plan.requested.iter().chain(&plan.native);
    let claims: BTreeSet<String> = all()
        .flat_map(|requested| &requested.volumes)
        .map(|volume| volume.id.to_string())
        .collect();
    plan.claims = claims.into_iter().collect();
    let found = all().flat_map(|requested| requested.volumes.iter().map(|volume| (requested.name.as_str(), volume)));
    plan.zone = placement::one_zone(found)?;
    let notes: Vec<String> = all().flat_map(|requested| fitness(task, requested)).collect();
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
        // The readers of these channels give the driver the name unchanged.
        Channel::DockerVolume | Channel::Environment | Channel::DockerEngine => Spelling::Name,
    }
}

/// Where the volume goes in the container, and what is asked for there by label.
fn same_path<'a>(
    task: &Task,
    native: &Native,
    requested: &'a [RequestedVolume],
) -> (String, Option<&'a RequestedVolume>) {
    let target = |path: &str| match task.channel {
        Channel::DockerEngine => absolute(path),
        _ => path.trim_start_matches("./").trim_end_matches('/').to_owned(),
    };
    let path = target(&native.path);
    let by_label = requested
        .iter()
        .find(|requested| target(&requested.labels.path.to_string()) == path);
    (path, by_label)
}

/// The Docker engine refuses two volumes at one path.
fn one_at_a_path(task: &Task) -> Result<(), TaskPlacementError> {
    let engine: Vec<&Native> = task
        .native
        .iter()
        .filter(|native| native.channel == Channel::DockerEngine)
        .collect();
    for (index, second) in engine.iter().enumerate() {
        let path = absolute(&second.path);
        if let Some(first) = engine[..index].iter().find(|first| absolute(&first.path) == path) {
            return Err(TaskPlacementError::SamePathTwice {
                first: first.at[0].to_string(),
                second: second.at[0].to_string(),
                path,
            });
        }
    }
    Ok(())
}

fn same(native: &Native, path: String, requested: &RequestedVolume) -> TaskPlacementError {
    let list = native.at.first().and_then(|at| Some(at.split_last()?.0));
    TaskPlacementError::SamePath {
        list: list.unwrap_or_default().to_string(),
        path: match requested.channel {
            Channel::DockerEngine if requested.labels.path.to_string() == native.path => native.path.clone(),
            _ => path,
        },
        slot: requested.labels.slot.to_string(),
    }
}

fn is_same(requested: &RequestedVolume, own: &RequestedVolume) -> bool {
    match (requested.volumes.as_slice(), own.volumes.as_slice()) {
        ([], []) => requested.labels.name == own.labels.name,
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
) -> Result<RequestedVolume, TaskPlacementError> {
    let name = labels.name.clone();
    let slot = labels.slot.to_string();
    let problem = |problem: VolumeProblem| {
        TaskPlacementError::Placement(PlacementError::Volume {
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
    // The framework gives the driver a name that it makes itself.
    let is_made = made.is_per_copy() || made.of_copy(0) != name;
    if !is_made {
        let (volume, labels) = placement::place(&labels, driver, options.catalogue, spelling).map_err(problem)?;
        if volume.is_none() {
            missing(&name);
        }
        return Ok(RequestedVolume {
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
                return Err(TaskPlacementError::Renamed {
                    slot,
                    made,
                    id: volume.id.clone(),
                    named: volume.name.clone(),
                });
            }
            None => missing(&made),
        }
    }
    Ok(RequestedVolume {
        name,
        channel,
        volumes,
        labels,
    })
}

/// What the author has to know about the state and the kind of the volumes.
fn fitness(task: &Task, requested: &RequestedVolume) -> Vec<String> {
    let mut notes = Vec::new();
    for volume in &requested.volumes {
        notes.extend(state(volume));
        if task.copies > 1 && requested.volumes.len() == 1 {
            notes.push(match (volume.multi_attach, requested.labels.mode) {
                (false, _) => format!(
                    "several copies ask for {}, which attaches to one host at a time: they run on one agent or wait for each \
                     other",
                    volume.id
                ),
                (true, Mode::ReadWrite) => format!(
                    "several copies write to {}; it attaches to several hosts, and two hosts that write destroy \
                     a file system such as ext4 or xfs: make it 'ro', or give each copy a volume of its own",
                    volume.id
                ),
                (true, Mode::ReadOnly) => continue,
            });
        }
    }
    notes
}

/// Why a volume cannot be used at once, one line for each reason.
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
                "{} is held by {holder} ({}): until it is detached there, no task on another host gets it",
                volume.id, attachment.state
            ));
        }
    }
    notes
}

/// The notes on volumes that several apps write, by the place of the app among the tasks.
pub(crate) fn shared(tasks: &[(String, Vec<RequestedVolume>)], catalogue: Option<&Catalogue>) -> Vec<(usize, String)> {
    let key = |requested: &RequestedVolume| match (requested.volumes.as_slice(), catalogue) {
        ([volume, ..], Some(_)) => volume.id.to_string(),
        _ => format!(
            "{}/{}",
            requested.labels.driver.as_deref().unwrap_or_default(),
            requested.labels.name
        ),
    };
    let mut notes = Vec::new();
    for (index, (name, volumes)) in tasks.iter().enumerate() {
        for (other_index, (other, others)) in tasks.iter().enumerate().filter(|(other, _)| *other != index) {
            let persistent = |requested: &&RequestedVolume| requested.labels.lifetime == Lifetime::Persistent;
            for requested in volumes.iter().filter(persistent) {
                let both = others
                    .iter()
                    .filter(persistent)
                    .find(|other| key(other) == key(requested));
                let Some(also) = both else { continue };
                let reads = requested.labels.mode == Mode::ReadOnly && also.labels.mode == Mode::ReadOnly;
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
                            cleaned(&requested.name)
                        ),
                    ));
                }
            }
        }
    }
    notes
}
