//! A framework's definition with its volumes looked up and written where they take effect.

use std::fmt;

use serde::Serialize;
use volume_labels::{Create, VolumeLabels};

use crate::catalogue::{Catalogue, ResolveError};
use crate::frameworks::{
    self, Additions, Channel, DOCKER_VOLUME, Definition, ENVIRONMENT, Framework, Problem, Task, Zone,
};
use crate::mapping::Spelling;
use crate::options::Options;
use crate::task_placement::{self, RequestedVolume, TaskPlacement, TaskPlacementError, place_task};

/// A definition, written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// The whole text. Every byte that did not have to change is the same as before.
    pub definition: String,
    /// The tasks that have volumes.
    pub tasks: Vec<TaskReport>,
}

/// The result for one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskReport {
    /// Its name in the definition.
    pub task: String,
    /// The channel by which its volumes reach the agent.
    pub channel: Channel,
    /// The field of Mesos' messages in which its labels arrive at the agent.
    pub labels_in: &'static str,
    /// Its volumes.
    pub volumes: Vec<RequestedVolume>,
    /// The items of the SET resource `ebsvolumes` that are its claims.
    pub claims: Vec<String>,
    /// The zone it has to run in.
    pub zone: Option<String>,
    /// What its author has to know, one line each.
    pub notes: Vec<String>,
}

impl Converted {
    /// Whether the volumes of every task reach the agent.
    pub fn all_mounted(&self) -> bool {
        self.tasks.iter().all(|task| !task.has_no_way())
    }
}

impl TaskReport {
    /// Whether one of its volumes cannot reach the agent.
    pub fn has_no_way(&self) -> bool {
        self.volumes
            .iter()
            .any(|requested| requested.channel == Channel::Nothing)
    }
}

/// Why a definition was not converted. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    framework: Framework,
    task: Option<String>,
    problem: String,
}

impl ConvertError {
    pub(crate) fn of(framework: Framework, task: Option<String>, problem: String) -> Self {
        Self {
            framework,
            task,
            problem,
        }
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.framework)?;
        if let Some(task) = &self.task {
            write!(f, ": task '{task}'")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ConvertError {}

/// Looks up the volumes that the definition's labels name, and writes labels, claims and zone
/// constraint where they take effect. A second conversion changes nothing.
///
/// # Errors
/// The text is no definition of that framework, or a task cannot have its volumes.
pub fn convert(framework: Framework, text: &str, options: &Options<'_>) -> Result<Converted, ConvertError> {
    let mut run = Run::new(framework, text, options)?;
    run.each(|definition, index, task, options| {
        let plan = place_task(task, labels_of(task, options)?, options)?;
        if plan.is_empty() {
            return Ok(Some((plan, Vec::new())));
        }
        let labels = plan.labels();
        let notes = definition.write(index, &additions(&plan, &labels, options))?;
        Ok(Some((plan, notes)))
    })
}

/// As [`convert`], for tasks that describe their volumes in the framework's own fields: these
/// become labels, where labels reach the isolator.
///
/// # Errors
/// As [`convert`].
pub fn migrate(framework: Framework, text: &str, options: &Options<'_>) -> Result<Converted, ConvertError> {
    let mut run = Run::new(framework, text, options)?;
    run.each(|definition, index, task, options| {
        if task.native.is_empty() {
            return Ok(Some((TaskPlacement::of_notes(task.unread.clone()), Vec::new())));
        }
        let mut labels = labels_of(task, options)?;
        if task.channel != Channel::Labels {
            let plan = place_task(task, labels, options)?;
            let note = "its volumes are left in the framework's own fields: the agent would not see labels".to_owned();
            let notes = if plan.is_empty() { Vec::new() } else { vec![note] };
            return Ok(Some((plan, notes)));
        }
        let mut notes = Vec::new();
        let mut moved = Vec::new();
        let mut kept = Vec::new();
        for (place, native) in task.native.iter().enumerate() {
            let stays = native.stays.clone().map_or(Ok(()), Err);
            let mut volume = match stays.and_then(|()| native.labels(&labels)) {
                Ok(volume) => volume,
                Err(why) => {
                    if native.foreign.is_none() {
                        notes.push(format!(
                            "the volume at '{}' is left as it is: {why}",
                            volume_labels::cleaned(&native.path)
                        ));
                    }
                    kept.push(native.clone());
                    continue;
                }
            };
            notes.extend(existing(&mut volume, options.catalogue));
            labels.push(volume);
            moved.push(place);
        }
        // Volumes that stay are looked up as well. Those that move are requested by label only.
        let task = &Task {
            native: kept,
            ..task.clone()
        };
        if moved.is_empty() {
            return Ok(Some((place_task(task, labels, options)?, notes)));
        }
        // Conflicts such as two slots with one path are found when all labels are read together.
        let labels = volume_labels::parse(labels.iter().flat_map(VolumeLabels::to_labels))?;
        let plan = place_task(task, labels, options)?;
        let labels = plan.labels();
        definition.drop_native(index, &moved)?;
        notes.extend(definition.write(index, &additions(&plan, &labels, options))?);
        Ok(Some((plan, notes)))
    })
}

/// The reverse of [`migrate`]: labels become volumes as the framework describes them.
///
/// # Errors
/// As [`convert`]; also labels that the framework's words cannot say, and frameworks without such
/// words.
pub fn migrate_back(framework: Framework, text: &str, options: &Options<'_>) -> Result<Converted, ConvertError> {
    let options = &Options {
        spelling: Spelling::Name,
        ..*options
    };
    let mut run = Run::new(framework, text, options)?;
    run.each(|definition, index, task, options| {
        let labels = labels_of(task, options)?;
        if labels.is_empty() {
            return Ok(Some((
                TaskPlacement::of_notes(task_placement::left_alone(task)),
                Vec::new(),
            )));
        }
        let plan = place_task(task, labels, options)?;
        let labels = plan.labels();
        let mut notes = definition.write_native(index, &additions(&plan, &labels, options))?;
        if labels.iter().any(|volume| volume.create == Create::Never) {
            notes.push(
                "in the framework's own fields a volume that is missing is created: check the spelling of the names"
                    .to_owned(),
            );
        }
        Ok(Some((plan, notes)))
    })
}

/// Removes from the labels of a volume that exists how it would be created.
fn existing(volume: &mut VolumeLabels, catalogue: Option<&Catalogue>) -> Option<String> {
    match catalogue?.resolve(&volume.name) {
        Err(ResolveError::Unknown { .. }) => None,
        _ => {
            volume.create = Create::Never;
            let options = std::mem::take(&mut volume.options);
            let names: Vec<&str> = options.keys().map(String::as_str).collect();
            (!names.is_empty()).then(|| {
                format!(
                    "'volume.{}': the volume exists, and its options for creation ({}) are left out",
                    volume.slot,
                    names.join(", ")
                )
            })
        }
    }
}

fn labels_of(task: &Task, options: &Options<'_>) -> Result<Vec<VolumeLabels>, Failure> {
    // A label on the command line replaces the label of the definition.
    let given = |key: &str| options.given.iter().any(|(known, _)| known == key);
    let written = task.labels.iter().filter(|(key, _)| !given(key));
    Ok(volume_labels::parse(
        written.chain(options.given).map(|(key, value)| (key, value)),
    )?)
}

fn additions<'a>(plan: &'a TaskPlacement, labels: &'a [VolumeLabels], options: &'a Options<'_>) -> Additions<'a> {
    Additions {
        volumes: labels,
        claims: &plan.claims,
        zone: plan.zone.as_deref().map(|name| Zone {
            attribute: options.zone_attribute,
            name,
        }),
        default_driver: options.default_driver,
        claim_role: options.claim_role,
    }
}

/// Why one task cannot be converted.
enum Failure {
    Definition(Problem),
    Volumes(TaskPlacementError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Definition(problem)
    }
}

impl From<TaskPlacementError> for Failure {
    fn from(problem: TaskPlacementError) -> Self {
        Self::Volumes(problem)
    }
}

impl From<volume_labels::LabelError> for Failure {
    fn from(problem: volume_labels::LabelError) -> Self {
        Self::Volumes(problem.into())
    }
}

type Outcome = Result<Option<(TaskPlacement, Vec<String>)>, Failure>;

/// The conversion of one definition.
struct Run<'a> {
    framework: Framework,
    definition: Box<dyn Definition>,
    tasks: Vec<Task>,
    options: &'a Options<'a>,
}

impl<'a> Run<'a> {
    fn new(framework: Framework, text: &str, options: &'a Options<'a>) -> Result<Self, ConvertError> {
        let whole = |problem: String| ConvertError {
            framework,
            task: None,
            problem,
        };
        let definition = frameworks::read(framework, text).map_err(|problem| whole(problem.to_string()))?;
        let tasks = definition.tasks().map_err(|problem| whole(problem.to_string()))?;
        let names = || {
            tasks
                .iter()
                .map(|task| format!("'{}'", task.name))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match options.task {
            Some(name) if !tasks.iter().any(|task| task.name == name) => Err(whole(format!(
                "no task '{}' here; there are {}",
                volume_labels::cleaned(name),
                names()
            ))),
            None if !options.given.is_empty() && tasks.len() > 1 => Err(whole(format!(
                "there are several tasks, say which gets the volume (--task): {}",
                names()
            ))),
            _ => Ok(Self {
                framework,
                definition,
                tasks,
                options,
            }),
        }
    }

    fn each(
        &mut self,
        mut act: impl FnMut(&mut dyn Definition, usize, &Task, &Options<'_>) -> Outcome,
    ) -> Result<Converted, ConvertError> {
        let mut reports = Vec::new();
        for (index, task) in self.tasks.iter().enumerate() {
            if self.options.task.is_some_and(|name| name != task.name) {
                continue;
            }
            let outcome = act(self.definition.as_mut(), index, task, self.options).map_err(|failure| ConvertError {
                framework: self.framework,
                task: Some(task.name.clone()),
                problem: match failure {
                    Failure::Definition(problem) => problem.to_string(),
                    Failure::Volumes(problem) => problem.to_string(),
                },
            })?;
            if let Some((plan, notes)) = outcome
                && !(plan.is_empty() && plan.notes.is_empty() && notes.is_empty())
            {
                reports.push(report(task, plan, notes));
            }
        }
        if self.framework == Framework::Marathon {
            let requested = |report: &TaskReport| (report.task.clone(), report.volumes.clone());
            let all: Vec<(String, Vec<RequestedVolume>)> = reports.iter().map(requested).collect();
            for (index, note) in task_placement::shared(&all, self.options.catalogue) {
                reports[index].notes.push(note);
            }
        }
        Ok(Converted {
            definition: self.definition.text().to_owned(),
            tasks: reports,
        })
    }
}

fn report(task: &Task, plan: TaskPlacement, notes: Vec<String>) -> TaskReport {
    let by_label = !plan.requested.is_empty();
    let volumes: Vec<RequestedVolume> = plan.requested.into_iter().chain(plan.native).collect();
    let channel = match volumes.first() {
        Some(own) if !by_label => own.channel,
        _ => task.channel,
    };
    // Notes about labels and volumes are for tasks that have some.
    let of_task = task.notes.iter().filter(|_| !volumes.is_empty()).cloned();
    let of_channels = [
        (Channel::DockerVolume, DOCKER_VOLUME),
        (Channel::Environment, ENVIRONMENT),
    ]
    .into_iter()
    .filter(|(channel, _)| volumes.iter().any(|requested| requested.channel == *channel))
    .map(|(_, note)| note.to_owned());
    TaskReport {
        task: task.name.clone(),
        channel,
        labels_in: task.lands,
        notes: of_task.chain(of_channels).chain(plan.notes).chain(notes).collect(),
        volumes,
        claims: plan.claims,
        zone: plan.zone,
    }
}
