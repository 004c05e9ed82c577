//! The types that the whole crate uses: containers, volumes, and launches.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use foreign_text::escaped;
use serde::{Deserialize, Serialize};
use volume_driver_client::Code;

/// A Mesos container id with its parents, outermost first, so that a nested container is told apart
/// from a top-level one that happens to have the same last part.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(Vec<String>);

impl ContainerId {
    /// A top-level container.
    pub fn root(id: impl Into<String>) -> Self {
        Self(vec![id.into()])
    }

    /// From the ids outermost first; `None` when there is none or one of them is empty.
    pub fn from_path(path: Vec<String>) -> Option<Self> {
        (!path.is_empty() && path.iter().all(|part| !part.is_empty())).then_some(Self(path))
    }

    /// The ids, outermost first.
    pub fn path(&self) -> &[String] {
        &self.0
    }

    /// The container this one is nested in.
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.0.split_last()?;
        Self::from_path(parents.to_vec())
    }
}

/// As Mesos prints it: parents first, joined with dots.
impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A volume as one driver knows it. Both parts are opaque and compared as spelled: two drivers may
/// use one name for different volumes, and some drivers tell upper from lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeKey {
    /// The driver's name, as discovery looks it up.
    pub driver: String,
    /// The volume's name, as the driver spells it.
    pub name: String,
}

impl VolumeKey {
    /// A key from its two parts.
    pub fn new(driver: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            driver: driver.into(),
            name: name.into(),
        }
    }
}

/// What a spelling of a volume stands for, as far as it is known before anything is mounted.
/// Spellings that share one are the same volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The driver: its name, or the address where it listens, which several names can lead to.
    pub place: String,
    /// The volume's name as the driver compares names: in lower case when it ignores the case.
    pub name: String,
}

impl Identity {
    /// An identity from its two parts.
    pub fn new(place: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for VolumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, driver) = (escaped(&self.name), escaped(&self.driver));
        write!(f, "'{name}' of driver '{driver}'")
    }
}

impl fmt::Debug for VolumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.driver, self.name)
    }
}

/// What kind of container Mesos is launching. DEBUG containers (command health checks, attached
/// sessions) enter their parent's mount namespace, and a launch that hands mounts to one is refused
/// by Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ContainerClass {
    /// A container with file systems of its own.
    #[default]
    Default,
    /// One that enters its parent's.
    Debug,
}

/// Which part of Mesos runs a container, and so who knows when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Containerizer {
    /// The Mesos containerizer: it calls `cleanup()` and `recover()`.
    #[default]
    Mesos,
    /// The Docker containerizer, for a task with a command: the Docker container is the task's, and
    /// its executor is a process of the host.
    Docker,
    /// The Docker containerizer, for an executor: the executor runs in the Docker container.
    DockerExecutor,
}

impl Containerizer {
    /// Whether the Docker daemon knows when the container has ended.
    pub fn is_docker(self) -> bool {
        self != Self::Mesos
    }
}

/// What Mesos tells `prepare()` of a container (`ContainerConfig`), reduced to what decides about volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerLaunch {
    /// DEBUG or not.
    pub class: ContainerClass,
    /// The sandbox on the host.
    pub directory: PathBuf,
    /// The image's root file system on the host, when the container has one.
    pub rootfs: Option<PathBuf>,
    /// The user the task runs as.
    pub user: Option<String>,
    /// Labels of the task, in the order given; a repeated key stays repeated.
    pub task_labels: Vec<(String, String)>,
    /// Labels of the executor.
    pub executor_labels: Vec<(String, String)>,
    /// Whether the executor, which may be this container or the one around it, is Mesos' own for
    /// pods.
    pub default_executor: bool,
    /// The Docker volumes of the container's own `ContainerInfo`, in its order.
    pub docker_volumes: Vec<DockerVolume>,
    /// What Mesos itself mounts in the container, after the module has.
    pub mesos_mounts: Vec<MesosMount>,
    /// The variables of its own command whose names begin with [`DVDI_PREFIX`](crate::DVDI_PREFIX),
    /// in the order given; a repeated one stays repeated.
    pub dvdi_variables: Vec<(String, String)>,
    /// Every SET resource item the container holds, by resource name.
    pub set_resources: Vec<(String, BTreeSet<String>)>,
    /// Whose container it is.
    pub workload: Workload,
    /// Of a Docker container, how Docker will be asked to run it.
    pub docker: Option<DockerLaunch>,
}

/// What Mesos tells the hook of a Docker container that it is about to launch, reduced to what
/// decides about volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerLaunch {
    /// The container's name in Docker.
    pub name: String,
    /// Whether the container is an executor's, and not that of a task with a command.
    pub is_executor: bool,
    /// Where the container sees its sandbox.
    pub mapped: PathBuf,
    /// The volumes of `ContainerInfo.volumes` that have a `host_path`, in their order.
    pub host_paths: Vec<DockerHostPath>,
    /// The driver that the deprecated field `volume_driver` names: Docker then takes a relative
    /// `host_path` for a volume's name.
    pub volume_driver: Option<String>,
    /// The names of the parameters that Mesos hands to `docker run`, with their values.
    pub parameters: Vec<(String, String)>,
    /// The agent's release of Mesos, as in `1.11.0`.
    pub mesos: String,
}

/// One `-v` of `docker run` that Mesos makes of a `host_path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerHostPath {
    /// Its place among all of the container's volumes, from 0.
    pub index: usize,
    /// Where the container sees it; relative to the sandbox when it is not absolute.
    pub container_path: PathBuf,
    /// What it sees; relative to the sandbox when it is not absolute.
    pub host_path: PathBuf,
}

impl ContainerLaunch {
    /// Which part of Mesos launches the container.
    pub fn containerizer(&self) -> Containerizer {
        match &self.docker {
            None => Containerizer::Mesos,
            Some(docker) if docker.is_executor => Containerizer::DockerExecutor,
            Some(_) => Containerizer::Docker,
        }
    }
}

/// A mount that Mesos makes by path, as root, in the container's mount namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MesosMount {
    /// What requests it, for messages.
    pub requested_by: String,
    /// Where it goes, as its author wrote it: relative to the sandbox, or absolute in the
    /// container.
    pub path: PathBuf,
    /// The folder of the host that it shows, when its description names one. It may lie in the
    /// sandbox.
    pub source: Option<PathBuf>,
    /// Whether it is a Docker volume, which the module may mount in Mesos' place.
    pub docker: bool,
}

/// An element of `ContainerInfo.volumes` whose source is a `DOCKER_VOLUME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerVolume {
    /// Its place among all of the container's volumes, from 0.
    pub index: usize,
    /// The driver, when it names one.
    pub driver: Option<String>,
    /// The volume's name.
    pub name: String,
    /// Options for Create, in the order given; a repeated key stays repeated.
    pub options: Vec<(String, String)>,
    /// `container_path`, as it stands.
    pub path: String,
    /// Whether its mode is `RO`.
    pub read_only: bool,
}

/// Which framework, executor and task a container belongs to, as far as Mesos shows it to an
/// isolator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// The framework's id; none of a standalone container.
    pub framework: Option<String>,
    /// The executor's id.
    pub executor: Option<String>,
    /// The task's id; of a task that is its own executor only (a Mesos rule).
    pub task: Option<String>,
    /// The one role that its resources are allocated to; none when it holds none, or, against a
    /// rule of Mesos, of several.
    pub role: Option<String>,
    /// Where the agent has its own checkpoint of the framework, with the principal that no message
    /// to an isolator carries. The file is there only of a framework that checkpoints.
    pub framework_info: Option<PathBuf>,
}

/// A volume that is mounted on the host, and where it is bound in the container's own mount
/// namespace once that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// The directory of the volume, absolute, in the agent's file system.
    pub source: PathBuf,
    /// Where it goes, absolute, in the agent's file system.
    pub target: PathBuf,
    /// Whether the bind is read-only, with every mount inside it.
    pub read_only: bool,
}

/// A task that the agent was handed, as a hook hears of it (`slaveRunTaskLabelDecorator`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrivingTask {
    /// Whose executor it is.
    pub framework: String,
    /// The executor that will run it.
    pub executor: String,
    /// Its id.
    pub task: String,
    /// Whether the framework brings the executor. That of a task with a command is Mesos' own, and
    /// so is that of a pod.
    pub has_custom_executor: bool,
    /// Its labels, in the order given.
    pub labels: Vec<(String, String)>,
    /// Every SET resource item that it holds, by resource name.
    pub set_resources: Vec<(String, BTreeSet<String>)>,
}

/// A container found at agent start (`recover()`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredContainer {
    /// Its id.
    pub id: ContainerId,
    /// Labels of its executor (top-level containers only, a Mesos rule).
    pub executor_labels: Vec<(String, String)>,
}

/// Answers a call of Mesos that has no result. Runs on the thread for answers.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// What is wrong with a volume whose container has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolumeFault {
    /// Nothing is mounted at the mountpoint any more.
    Gone,
    /// Something else is mounted at the mountpoint.
    Replaced,
    /// The server behind the mount is gone.
    Dead,
    /// The device or the file system gives errors.
    Failing,
    /// The file system was writable and is read-only now. A container that only reads goes on.
    ReadOnly,
}

impl VolumeFault {
    /// The value of the label `cause` in the metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Replaced => "replaced",
            Self::Dead => "dead",
            Self::Failing => "io_error",
            Self::ReadOnly => "read_only",
        }
    }

    /// The error code of a container that is ended for it. Whatever happened to the volume, it
    /// cannot be used on this host any more, another host may be able to use it, and somebody has
    /// to look at this one.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Gone | Self::Replaced | Self::Dead | Self::Failing | Self::ReadOnly => Code::Unreachable,
        }
    }
}

/// Why the agent should end a container (`watch()`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limitation {
    /// One line that names the volume and the cause; it reaches the framework verbatim.
    pub message: String,
}
