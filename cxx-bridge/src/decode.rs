//! From Mesos' wire bytes to the isolator's types.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use isolator::{
    ArrivingTask, ContainerClass, ContainerId, ContainerLaunch, DVDI_PREFIX, DockerHostPath, DockerLaunch,
    DockerVolume, MesosMount, RecoveredContainer, Workload,
};
use prost::Message;

use crate::checkpoint;
use crate::wire;

/// `ContainerClass::DEBUG` of Mesos.
const DEBUG: i32 = 2;

/// `ExecutorInfo::Type::DEFAULT` of Mesos.
const DEFAULT_EXECUTOR: i32 = 1;
/// `Volume.Source.Type::DOCKER_VOLUME` of Mesos.
const DOCKER_VOLUME: i32 = 1;
/// `Volume.Source.SandboxPath.Type::PARENT` of Mesos.
const PARENT: i32 = 2;
/// `Volume.Mode::RO` of Mesos.
const READ_ONLY: i32 = 2;

/// Bytes that are not the message they were said to be. Since Mesos made them, this means that its
/// wire format is not the one this module was written for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Not protobuf, or a field of another type.
    #[error("cannot read Mesos' {message} message: {problem}")]
    Malformed { message: &'static str, problem: String },
    /// A container without an id, or with an empty part in it.
    #[error("Mesos' {message} message has no usable container id")]
    NoContainerId { message: &'static str },
}

fn read<M: Message + Default>(message: &'static str, bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| DecodeError::Malformed {
        message,
        problem: brief(&error),
    })
}

/// The place and the fault; of a place deep in nested containers only the end.
fn brief(error: &prost::DecodeError) -> String {
    const LONGEST: usize = 200;
    let words = error.to_string();
    match words.char_indices().rev().nth(LONGEST) {
        Some((cut, _)) => format!("…{}", &words[cut..]),
        None => words,
    }
}

/// A `ContainerID`, with the parents of a nested container.
pub(crate) fn container_id(bytes: &[u8]) -> Result<ContainerId, DecodeError> {
    full_id("ContainerID", read("ContainerID", bytes)?)
}

/// A `ContainerConfig`, as prepare() gets it. `of_root` is the executor of a nested container's
/// root, for releases that do not always put it there.
pub(crate) fn launch(bytes: &[u8], of_root: Option<wire::ExecutorInfo>) -> Result<ContainerLaunch, DecodeError> {
    let config: wire::ContainerConfig = read("ContainerConfig", bytes)?;
    let task = config.task_info.unwrap_or_default();
    let executor = config.executor_info.or(of_root).unwrap_or_default();
    // The sum of what the container holds is in `resources`. The task's own share is in there too;
    // reading it as well costs nothing and keeps a claim when an agent leaves the sum out. The
    // executor's is not read: in a nested container it is a copy of the root's and holds what other
    // members of the pod hold.
    let resources: Vec<wire::Resource> = config.resources.into_iter().chain(task.resources).collect();
    let directory = path(config.directory.unwrap_or_default());
    let framework = value(executor.framework_id);
    let workload = Workload {
        framework_info: framework
            .as_deref()
            .and_then(|id| checkpoint::framework_info(&directory, id)),
        // The executor's own resources come from the master. Those of a nested container may come
        // from its executor, whose word on roles is not taken as long as there is another; and a
        // task has the role of its executor (a Mesos rule).
        role: role(&executor.resources).or_else(|| role(&resources)),
        framework,
        executor: value(executor.executor_id),
        task: value(task.task_id),
    };
    let mesos_mounts = mesos_mounts(config.container_info.as_ref(), &resources, &directory);
    Ok(ContainerLaunch {
        class: match config.container_class {
            Some(DEBUG) => ContainerClass::Debug,
            _ => ContainerClass::Default,
        },
        directory,
        rootfs: config.rootfs.filter(|path| !path.is_empty()).map(path),
        user: config.user.filter(|user| !user.is_empty()).map(text),
        task_labels: labels(task.labels),
        default_executor: executor.r#type == Some(DEFAULT_EXECUTOR),
        executor_labels: labels(executor.labels),
        docker_volumes: docker_volumes(config.container_info),
        mesos_mounts,
        dvdi_variables: dvdi_variables(config.command_info),
        set_resources: sets(resources),
        workload,
        docker: None,
    })
}

/// What the hook is told of a Docker container before its launch.
pub(crate) struct Prelaunch<'a> {
    /// A `TaskInfo`; no bytes when the container is an executor's.
    pub(crate) task: &'a [u8],
    /// An `ExecutorInfo`.
    pub(crate) executor: &'a [u8],
    /// The container's name in Docker.
    pub(crate) name: &'a [u8],
    /// The sandbox on the host, or a symlink to it.
    pub(crate) sandbox: &'a [u8],
    /// Where the container sees the sandbox.
    pub(crate) mapped: &'a [u8],
    /// The agent's release of Mesos.
    pub(crate) mesos: &'a str,
}

/// Where the agent keeps symlinks to sandboxes whose path has a colon, which Docker would take for
/// a separator.
const DOCKER_LINKS: &str = "docker/links";

/// A Docker container by the id that Mesos gave it, and what its launch says.
pub(crate) fn docker_launch(told: &Prelaunch<'_>) -> Result<(ContainerId, ContainerLaunch), DecodeError> {
    let task: Option<wire::TaskInfo> = match told.task {
        [] => None,
        bytes => Some(read("TaskInfo", bytes)?),
    };
    let executor: wire::ExecutorInfo = read("ExecutorInfo", told.executor)?;
    let named = path(told.sandbox.to_vec());
    let is_link = named.parent().is_some_and(|folder| folder.ends_with(DOCKER_LINKS));
    // What is not there any more is refused later, with its name.
    let directory = if is_link {
        std::fs::read_link(&named).unwrap_or(named)
    } else {
        named
    };
    // `mesos-<container>`, and the sandbox is `.../runs/<container>`.
    let name = text(told.name.to_vec());
    let id = name.strip_prefix("mesos-").filter(|id| !id.is_empty());
    let id = ContainerId::root(id.ok_or(DecodeError::NoContainerId { message: "TaskInfo" })?);
    let is_executor = task.is_none();
    let task = task.unwrap_or_default();
    let container = match is_executor {
        true => executor.container,
        false => task.container,
    };
    let (mapped, mesos) = (path(told.mapped.to_vec()), told.mesos.to_owned());
    let docker = docker(container, name, is_executor, mapped, mesos);
    let framework = value(executor.framework_id);
    let resources: Vec<wire::Resource> = executor.resources.into_iter().chain(task.resources).collect();
    let workload = Workload {
        framework_info: framework
            .as_deref()
            .and_then(|id| checkpoint::framework_info(&directory, id)),
        role: role(&resources),
        framework,
        executor: value(executor.executor_id),
        task: value(task.task_id),
    };
    let launch = ContainerLaunch {
        user: owner(&directory),
        directory,
        task_labels: labels(task.labels),
        executor_labels: labels(executor.labels),
        set_resources: sets(resources),
        workload,
        docker: Some(docker),
        ..ContainerLaunch::default()
    };
    Ok((id, launch))
}

fn docker(
    container: Option<wire::ContainerInfo>,
    name: String,
    is_executor: bool,
    mapped: PathBuf,
    mesos: String,
) -> DockerLaunch {
    let container = container.unwrap_or_default();
    let info = container.docker.unwrap_or_default();
    let host_path = |(index, volume): (usize, wire::Volume)| {
        Some(DockerHostPath {
            index,
            container_path: path(volume.container_path?),
            host_path: path(volume.host_path?),
        })
    };
    let parameters = info.parameters.into_iter().map(|parameter| {
        let (key, value) = (parameter.key.unwrap_or_default(), parameter.value.unwrap_or_default());
        (text(key), text(value))
    });
    DockerLaunch {
        name,
        is_executor,
        mapped,
        host_paths: container
            .volumes
            .into_iter()
            .enumerate()
            .filter_map(host_path)
            .collect(),
        volume_driver: info.volume_driver.map(text),
        parameters: parameters.collect(),
        mesos,
    }
}

/// The user whom the agent gave the sandbox to: the hook is not told the user.
fn owner(sandbox: &Path) -> Option<String> {
    let owner = std::fs::metadata(sandbox).ok()?.uid();
    Some(isolator::user_name(owner).unwrap_or_else(|| owner.to_string()))
}

/// A task that the agent was handed, and the `ExecutorInfo` of its executor.
pub(crate) fn arriving(task: &[u8], executor: &[u8]) -> Result<ArrivingTask, DecodeError> {
    let task: wire::TaskInfo = read("TaskInfo", task)?;
    let executor: wire::ExecutorInfo = read("ExecutorInfo", executor)?;
    Ok(ArrivingTask {
        framework: value(executor.framework_id).unwrap_or_default(),
        executor: value(executor.executor_id).unwrap_or_default(),
        task: value(task.task_id).unwrap_or_default(),
        has_custom_executor: task.executor.is_some(),
        labels: labels(task.labels),
        set_resources: sets(task.resources),
    })
}

/// `TaskState`s after which a task does not run: FINISHED, FAILED, KILLED, LOST, ERROR, DROPPED, GONE.
const ENDED: [i32; 7] = [2, 3, 4, 5, 7, 9, 11];

/// The framework and the id of a task whose status says that it has ended.
pub(crate) fn ended_task(framework_id: &[u8], status: &[u8]) -> Result<Option<(String, String)>, DecodeError> {
    let framework: wire::Id = read("FrameworkID", framework_id)?;
    let status: wire::TaskStatus = read("TaskStatus", status)?;
    let has_ended = status.state.is_some_and(|state| ENDED.contains(&state));
    Ok(value(Some(framework)).zip(value(status.task_id)).filter(|_| has_ended))
}

/// The ids of an executor's framework and of the executor.
pub(crate) fn executor(bytes: &[u8]) -> Result<Option<(String, String)>, DecodeError> {
    let executor: wire::ExecutorInfo = read("ExecutorInfo", bytes)?;
    Ok(value(executor.framework_id).zip(value(executor.executor_id)))
}

/// A `ContainerState`, as recover() gets one for each container that is still running, and its executor.
pub(crate) fn recovered(bytes: &[u8]) -> Result<(RecoveredContainer, wire::ExecutorInfo), DecodeError> {
    const MESSAGE: &str = "ContainerState";
    let state: wire::ContainerState = read(MESSAGE, bytes)?;
    let id = state
        .container_id
        .ok_or(DecodeError::NoContainerId { message: MESSAGE })?;
    let executor = state.executor_info.unwrap_or_default();
    let container = RecoveredContainer {
        id: full_id(MESSAGE, id)?,
        executor_labels: labels(executor.labels.clone()),
    };
    Ok((container, executor))
}

/// The `Resource` messages of update(): what the container holds from now on.
pub(crate) fn set_resources<'a>(
    resources: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<(String, BTreeSet<String>)>, DecodeError> {
    let resources: Result<Vec<wire::Resource>, _> =
        resources.into_iter().map(|bytes| read("Resource", bytes)).collect();
    Ok(sets(resources?))
}

/// The module's `Parameters`, in the order of the modules file.
pub(crate) fn parameters(bytes: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let parameters: wire::Parameters = read("Parameters", bytes)?;
    Ok(pairs(parameters))
}

fn pairs(parameters: wire::Parameters) -> Vec<(String, String)> {
    parameters
        .parameter
        .into_iter()
        .map(|parameter| {
            (
                text(parameter.key.unwrap_or_default()),
                text(parameter.value.unwrap_or_default()),
            )
        })
        .collect()
}

/// A volume without its `docker_volume`, which Mesos refuses itself, comes out without a name.
fn docker_volumes(container: Option<wire::ContainerInfo>) -> Vec<DockerVolume> {
    let volumes = container.unwrap_or_default().volumes.into_iter().enumerate();
    let docker_volume = |(index, volume): (usize, wire::Volume)| {
        let source = volume.source.filter(|source| source.r#type == Some(DOCKER_VOLUME))?;
        let docker = source.docker_volume.unwrap_or_default();
        Some(DockerVolume {
            index,
            driver: docker.driver.map(text),
            name: text(docker.name.unwrap_or_default()),
            options: pairs(docker.driver_options.unwrap_or_default()),
            path: text(volume.container_path.unwrap_or_default()),
            read_only: volume.mode == Some(READ_ONLY),
        })
    };
    volumes.filter_map(docker_volume).collect()
}

/// Everything that Mesos itself mounts in the container because its description says so.
fn mesos_mounts(
    container: Option<&wire::ContainerInfo>,
    resources: &[wire::Resource],
    directory: &Path,
) -> Vec<MesosMount> {
    let volumes = container
        .map(|container| container.volumes.as_slice())
        .unwrap_or_default();
    let described = volumes.iter().enumerate().map(|(index, volume)| MesosMount {
        requested_by: format!("ContainerInfo.volumes[{index}]"),
        path: path(volume.container_path.clone().unwrap_or_default()),
        source: source_in_sandbox(volume, directory),
        docker: volume
            .source
            .as_ref()
            .is_some_and(|source| source.r#type == Some(DOCKER_VOLUME)),
    });
    let disks = resources
        .iter()
        .filter_map(|resource| resource.disk.as_ref()?.volume.as_ref());
    let persistent = disks.map(|volume| MesosMount {
        requested_by: "a persistent volume".to_owned(),
        path: path(volume.container_path.clone().unwrap_or_default()),
        source: None,
        docker: false,
    });
    described.chain(persistent).collect()
}

/// What a volume shows of a sandbox, this container's or that of the one around it
/// (`<parent's>/containers/<id>` is ours), or of the host.
fn source_in_sandbox(volume: &wire::Volume, directory: &Path) -> Option<PathBuf> {
    let source = volume.source.clone().unwrap_or_default();
    if let Some(wire::SandboxPath { r#type, path: inside }) = source.sandbox_path {
        let sandbox = match r#type {
            Some(PARENT) => directory.parent()?.parent()?,
            _ => directory,
        };
        return Some(sandbox.join(path(inside?)));
    }
    let host_path = source
        .host_path
        .and_then(|host| host.path)
        .or(volume.host_path.clone())?;
    Some(directory.join(path(host_path)))
}

/// The rest of an environment may hold secrets and stays behind.
fn dvdi_variables(command: Option<wire::Command>) -> Vec<(String, String)> {
    let environment = command.and_then(|command| command.environment).unwrap_or_default();
    let variables = environment.variables.into_iter().filter_map(|variable| {
        let name = variable.name.filter(|name| name.starts_with(DVDI_PREFIX.as_bytes()))?;
        Some((text(name), text(variable.value.unwrap_or_default())))
    });
    variables.collect()
}

fn full_id(message: &'static str, id: wire::ContainerId) -> Result<ContainerId, DecodeError> {
    let mut path = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        path.push(text(id.value.unwrap_or_default()));
        next = id.parent.map(|parent| *parent);
    }
    path.reverse();
    ContainerId::from_path(path).ok_or(DecodeError::NoContainerId { message })
}

fn value(id: Option<wire::Id>) -> Option<String> {
    id.and_then(|id| id.value).filter(|value| !value.is_empty()).map(text)
}

/// The one role that resources are allocated to; none when it is not one.
fn role(resources: &[wire::Resource]) -> Option<String> {
    let mut roles = resources
        .iter()
        .filter_map(|resource| resource.allocation_info.as_ref()?.role.clone());
    let first = roles.next()?;
    roles.all(|role| role == first).then(|| text(first))
}

/// SET resources by name. A container may hold one resource in several pieces (another role,
/// another reservation); their items are one set for us.
fn sets(resources: impl IntoIterator<Item = wire::Resource>) -> Vec<(String, BTreeSet<String>)> {
    let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for resource in resources {
        if let Some(set) = resource.set {
            let name = text(resource.name.unwrap_or_default());
            sets.entry(name).or_default().extend(set.item.into_iter().map(text));
        }
    }
    sets.into_iter().collect()
}

fn labels(labels: Option<wire::Labels>) -> Vec<(String, String)> {
    labels
        .unwrap_or_default()
        .labels
        .into_iter()
        .map(|label| {
            (
                text(label.key.unwrap_or_default()),
                text(label.value.unwrap_or_default()),
            )
        })
        .collect()
}

/// Text that Mesos does not promise to be UTF-8. What is not becomes U+FFFD, which no accepted name
/// contains.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests;
