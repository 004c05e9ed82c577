//! The frameworks whose definitions are read and written, one module each: where each keeps labels,
//! placement and volumes, and what of it reaches the agent's isolator.

mod aurora;
mod chronos;
mod cook;
mod dcos_commons;
mod dcos_names;
mod dcos_reading;
mod docker;
mod dvdi;
mod json;
mod marathon;
mod native;
mod parameters;
mod singularity;
mod spark;
mod task_info;

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use volume_labels::VolumeLabels;

use crate::text::TextError;

pub(crate) use docker::absolute;
pub(crate) use native::{GeneratedName, Native};

/// A framework's way to describe what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framework {
    /// Marathon: an app, a pod, a group, or a list of them, as for `/v2/apps`, `/v2/pods` and
    /// `/v2/groups`
    Marathon,
    /// Chronos: a job or a list of jobs
    Chronos,
    /// Aurora: a job as JSON (`aurora job create --read-json`)
    Aurora,
    /// Singularity: a deploy, a request, or both in one object
    Singularity,
    /// dcos-commons: a service's YAML, template or not
    DcosCommons,
    /// Spark: properties, as in `spark-defaults.conf`
    Spark,
    /// Cook: a submission's `jobs`, or one job
    Cook,
    /// A `TaskInfo` as JSON, or a list of them, as for `mesos-execute --task`
    TaskInfo,
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_possible_value() {
            Some(value) => f.write_str(value.get_name()),
            None => Ok(()),
        }
    }
}

/// By which way a task's volumes come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Labels that the isolator sees.
    Labels,
    /// A `DOCKER_VOLUME` of the container, which the isolator reads only where the operator has
    /// turned that source on, and which Mesos' own docker/volume isolator reads as well.
    DockerVolume,
    /// `DVDI_VOLUME_*` variables, which the isolator reads only where the operator has turned that source on.
    Environment,
    /// The Docker engine mounts them: Mesos calls no isolator for its containers.
    DockerEngine,
    /// None: the framework has no way to the isolator.
    Nothing,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Labels => "labels",
            Self::DockerVolume => "docker-volume",
            Self::Environment => "environment",
            Self::DockerEngine => "docker-engine",
            Self::Nothing => "nothing",
        })
    }
}

/// One thing a definition runs.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The framework's name of it.
    pub(crate) name: String,
    /// How many run at once.
    pub(crate) copies: u64,
    /// How the framework makes the driver's name for a volume of [`labels`](Self::labels).
    pub(crate) names: Names,
    /// Where in Mesos' messages what [`labels`](Self::labels) was read from comes to be.
    pub(crate) lands: &'static str,
    pub(crate) channel: Channel,
    /// What it asks for by label (or by `DVDI_VOLUME_*`), as written.
    pub(crate) labels: Vec<(String, String)>,
    /// What it asks for in the framework's own fields, with what must be known of each.
    pub(crate) native: Vec<Native>,
    /// What describes a volume and was not read, a line each.
    pub(crate) unread: Vec<String>,
    /// What the author must know whatever the volumes are.
    pub(crate) notes: Vec<String>,
}

/// How a framework makes the driver's name for a volume from the one in a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// As written.
    AsWritten,
    /// As dcos-commons makes it for `volume-name`.
    DcosCommons,
}

impl Names {
    /// The name that the framework makes.
    ///
    /// # Errors
    /// One line: the framework refuses the name.
    pub(crate) fn of(self, labels: &VolumeLabels, default_driver: Option<&str>) -> Result<GeneratedName, String> {
        match self {
            Self::AsWritten => Ok(GeneratedName::fixed(labels.name.as_str())),
            Self::DcosCommons => {
                let driver = labels.driver.as_deref().or(default_driver).unwrap_or_default();
                dcos_names::given(&labels.name, driver, &labels.options)
            }
        }
    }
}

/// What is added to the definition for one task.
#[derive(Clone, Debug)]
pub(crate) struct Additions<'a> {
    pub(crate) volumes: &'a [VolumeLabels],
    /// The items of the SET resource.
    pub(crate) claims: &'a [String],
    pub(crate) zone: Option<Zone<'a>>,
    /// For channels that need the driver's name and do not know the agent's default.
    pub(crate) default_driver: Option<&'a str>,
    /// The role of the reservation that the claims are under.
    pub(crate) claim_role: Option<&'a str>,
}

/// The agents a task has to be on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone<'a> {
    /// The attribute of the agent; `@zone` for its fault domain, where the framework knows that.
    pub(crate) attribute: &'a str,
    pub(crate) name: &'a str,
}

/// A definition that can be read and edited.
pub(crate) trait Definition {
    fn text(&self) -> &str;

    /// Its tasks, in the order of the definition. Edits keep number and order.
    fn tasks(&self) -> Result<Vec<Task>, Problem>;

    /// Writes the additions for a task and leaves everything else as it is. Returns notes for the
    /// author.
    fn write(&mut self, task: usize, additions: &Additions<'_>) -> Result<Vec<String>, Problem>;

    /// Removes these volumes (indices into [`Task::native`]) from the framework's own fields.
    fn drop_native(&mut self, task: usize, which: &[usize]) -> Result<(), Problem>;

    /// Replaces the task's volume labels by entries in the framework's own fields.
    fn write_native(&mut self, task: usize, additions: &Additions<'_>) -> Result<Vec<String>, Problem>;
}

/// Why a definition cannot be read, or cannot hold the additions. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("{0}")]
    Refused(String),
}

pub(crate) fn refused<T>(words: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Refused(words.into()))
}

/// Reads a definition.
pub(crate) fn read(framework: Framework, text: &str) -> Result<Box<dyn Definition>, Problem> {
    Ok(match framework {
        Framework::Marathon => Box::new(json::Json::read(text, marathon::units)?),
        Framework::Chronos => Box::new(json::Json::read(text, chronos::units)?),
        Framework::Aurora => Box::new(json::Json::read(aurora::only_json(text)?, aurora::units)?),
        Framework::Singularity => Box::new(json::Json::read(text, singularity::units)?),
        Framework::Cook => Box::new(json::Json::read(text, cook::units)?),
        Framework::TaskInfo => Box::new(json::Json::read(text, task_info::units)?),
        Framework::DcosCommons => Box::new(dcos_commons::Service::read(text)?),
        Framework::Spark => Box::new(spark::Submission::read(text)),
    })
}

/// The note of every task that the Docker containerizer runs.
pub(crate) const DOCKER_ENGINE: &str = "the Docker containerizer runs this task, and Mesos calls no isolator for it: the \
    Docker engine mounts the volume and counts its users by itself, apart from the isolator's count on that agent; keep \
    other tasks off the volume while it runs";

/// The note of a task whose volumes come as DOCKER_VOLUME.
pub(crate) const DOCKER_VOLUME: &str = "volumes in the framework's own fields come as DOCKER_VOLUME, \
    which the module mounts only where the operator turned that source on (module parameter \
    docker_volume_source, off by default: the agent's own docker/volume isolator may have it)";

/// The note of a task whose volumes come by environment.
pub(crate) const ENVIRONMENT: &str = "volumes that variables name come by DVDI_VOLUME_* \
    variables, which the module mounts only where the operator turned that source on (module parameter \
    dvdi_source, off by default)";
