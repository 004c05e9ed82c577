//! A framework's definition with its volumes looked up and written where they take effect.

use std::fmt;

use serde::Serialize;
use volume_labels::{Create, VolumeLabels};

use crate::catalogue::{Catalogue, ResolveError};
use crate::frameworks::{
    self, Channel, DOCKER_VOLUME, Definition, ENVIRONMENT, Framework, Problem, Task, Wanted, Zone,
};
use crate::mapping::Spelling;
use crate::planned::{self, Asked, Planned, Unplanned, planned};

/// How to convert.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Where names are looked up; without one they are taken as they stand, and no zone and no
    /// claim is known.
    pub catalogue: Option<&'a Catalogue>,
    /// How labels spell a volume. Other channels always have the driver's own name.
    pub spelling: Spelling,
    /// The agents' attribute that says their zone; `@zone` for their fault domain, where the
    /// framework knows those.
    pub zone_attribute: &'a str,
    /// For channels outside of the isolator, which knows its own default.
    pub default_driver: Option<&'a str>,
    /// The role that the agents' `ebsvolumes` is reserved for.
    pub claim_role: Option<&'a str>,
    /// Labels to add to the task.
    pub given: &'a [(String, String)],
    /// The one task to look at, by its name in the definition.
    pub task: Option<&'a str>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            catalogue: None,
            spelling: Spelling::Id,
            zone_attribute: "zone",
            default_driver: None,
            claim_role: None,
            given: &[],
            task: None,
        }
    }
}

/// A definition, written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Converted {
    /// The whole text; what had not to change is as it was, byte for byte.
    pub definition: String,
    /// The tasks that have volumes.
    pub tasks: Vec<TaskReport>,
}

/// What came of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskReport {
    /// Its name in the definition.
    pub task: String,
    /// By which way its volumes come to it.
    pub channel: Channel,
    /// Where in Mesos' messages its labels come to be.
    pub labels_in: &'static str,
    /// Its volumes.
    pub volumes: Vec<Asked>,
    /// The items of the SET resource `ebsvolumes` that stand for them.
    pub claims: Vec<String>,
    /// The zone it has to run in.
    pub zone: Option<String>,
    /// What its author must know, a line each.
    pub notes: Vec<String>,
}

impl Converted {
    /// Whether every task with volumes has a way for them to come.
    pub fn all_mounted(&self) -> bool {
        self.tasks.iter().all(|task| !task.has_no_way())
    }
}

impl TaskReport {
    /// Whether it asks for volumes of drivers, and one of them has no way to it.
    pub fn has_no_way(&self) -> bool {
        self.volumes.iter().any(|asked| asked.channel == Channel::Nothing)
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
/// constraint where they take effect. Done twice it changes nothing more.
///
/// # Errors
/// The text is no definition of that framework, or a task cannot have its volumes.
pub fn convert(framework: Framework, text: &str, options: &Options<'_>) -> Result<Converted, ConvertError> {
    let mut run = Run::new(framework, text, options)?;
    run.each(|definition, index, task, options| {
        let plan = planned(task, labels_of(task, options)?, options)?;
        if plan.is_empty() {
            return Ok(Some((plan, Vec::new())));
        }
        let labels = plan.labels();
        let notes = definition.write(index, &wanted(&plan, &labels, options))?;
        Ok(Some((plan, notes)))
    })
}

/// As [`convert`], for tasks that describe their volumes in the framework's own words: these become
/// labels, where labels reach the isolator.
///
/// # Errors
/// As [`convert`].
pub fn migrate(framework: Framework, text: &str, options: &Options<'_>) -> Result<Converted, ConvertError> {
    let mut run = Run::new(framework, text, options)?;
    run.each(|definition, index, task, options| {
        if task.native.is_empty() {
            return Ok(Some((Planned::of_notes(task.unread.clone()), Vec::new())));
        }
        let mut labels = labels_of(task, options)?;
        if task.channel != Channel::Labels {
            let plan = planned(task, labels, options)?;
            let note = "its volumes are left in the framework's own words: labels would not be seen".to_owned();
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
        // What stays is looked up all the same; what moves is asked for by label alone.
        let task = &Task {
            native: kept,
            ..task.clone()
        };
        if moved.is_empty() {
            return Ok(Some((planned(task, labels, options)?, notes)));
        }
        // Two slots at one path, and the like, show when all are read together.
        let labels = volume_labels::parse(labels.iter().flat_map(VolumeLabels::to_labels))?;
        let plan = planned(task, labels, options)?;
        let labels = plan.labels();
        definition.drop_native(index, &moved)?;
        notes.extend(definition.write(index, &wanted(&plan, &labels, options))?);
        Ok(Some((plan, notes)))
    })
}

/// The way back: labels become the framework's own words for a volume.
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
            return Ok(Some((Planned::of_notes(planned::left_alone(task)), Vec::new())));
        }
        let plan = planned(task, labels, options)?;
        let labels = plan.labels();
        let mut notes = definition.write_native(index, &wanted(&plan, &labels, options))?;
        if labels.iter().any(|volume| volume.create == Create::Never) {
            notes.push(
                "in the framework's own words a volume that is missing is created: mind the spelling of names"
                    .to_owned(),
            );
        }
        Ok(Some((plan, notes)))
    })
}

/// A volume that is there needs no word on how to create it.
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
    // A label on the command line has the last word.
    let given = |key: &str| options.given.iter().any(|(known, _)| known == key);
    let written = task.labels.iter().filter(|(key, _)| !given(key));
    Ok(volume_labels::parse(
        written.chain(options.given).map(|(key, value)| (key, value)),
    )?)
}

fn wanted<'a>(plan: &'a Planned, labels: &'a [VolumeLabels], options: &'a Options<'_>) -> Wanted<'a> {
    Wanted {
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

/// What stops one task.
enum Failure {
    Definition(Problem),
    Volumes(Unplanned),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Definition(problem)
    }
}

impl From<Unplanned> for Failure {
    fn from(problem: Unplanned) -> Self {
        Self::Volumes(problem)
    }
}

impl From<volume_labels::LabelError> for Failure {
    fn from(problem: volume_labels::LabelError) -> Self {
        Self::Volumes(problem.into())
    }
}

type Outcome = Result<Option<(Planned, Vec<String>)>, Failure>;

/// One definition on its way.
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
            let asked = |report: &TaskReport| (report.task.clone(), report.volumes.clone());
            let all: Vec<(String, Vec<Asked>)> = reports.iter().map(asked).collect();
            for (index, note) in planned::shared(&all, self.options.catalogue) {
                reports[index].notes.push(note);
            }
        }
        Ok(Converted {
            definition: self.definition.text().to_owned(),
            tasks: reports,
        })
    }
}

fn report(task: &Task, plan: Planned, notes: Vec<String>) -> TaskReport {
    let by_label = !plan.asked.is_empty();
    let volumes: Vec<Asked> = plan.asked.into_iter().chain(plan.native).collect();
    let channel = match volumes.first() {
        Some(own) if !by_label => own.channel,
        _ => task.channel,
    };
    // What is said of the task's labels and volumes is said where it has some.
    let of_task = task.notes.iter().filter(|_| !volumes.is_empty()).cloned();
    let of_channels = [
        (Channel::DockerVolume, DOCKER_VOLUME),
        (Channel::Environment, ENVIRONMENT),
    ]
    .into_iter()
    .filter(|(channel, _)| volumes.iter().any(|asked| asked.channel == *channel))
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
