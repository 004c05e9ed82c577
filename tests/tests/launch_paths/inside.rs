//! A site whose containers may have images and mount at one folder of the host; and what containers see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mesos_http::operator::{Agent as Api, ContainerEnd, ContainerLaunch};
use mesos_http::types::{CommandInfo, ContainerId, ContainerInfo};
use tempfile::TempDir;
use testbed::{AgentSpec, Container, Image, LaunchedTask, Module};
use tests::{Site, Tasks, eventually, module};

/// The image of containers that have one.
pub(crate) const IMAGE: &str = "tiny";

/// Writes down which file is behind each loop device, and what is mounted, for [`Place::seen`].
pub(crate) const LOOK: &str = "for loop in /sys/block/loop*/loop/backing_file; do echo \"$loop $(cat $loop)\"; done > loops; \
                               cat /proc/self/mountinfo > seen";

/// How long a call to an agent may take that waits for a container.
const LIMIT: Duration = Duration::from_secs(60);

/// One agent with an image and a folder of the host where containers without one may mount.
pub(crate) struct Place {
    pub(crate) tasks: Tasks,
    pub(crate) site: Site,
    host: TempDir,
    registry: TempDir,
}

/// One line of a mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) device: String,
    pub(crate) mode: String,
}

impl Place {
    pub(crate) fn start() -> Self {
        Self::with(&Image::shell(), module())
    }

    pub(crate) fn with(image: &Image, module: Module) -> Self {
        let registry = tempfile::tempdir().expect("a folder for images");
        let host = tempfile::tempdir().expect("a folder that containers may mount at");
        image.save(registry.path(), IMAGE).expect("an image");
        let module = module.parameter("allowed_host_paths", host.path().display().to_string());
        let spec = AgentSpec::default()
            .resources("cpus:32;mem:16384;disk:4096")
            .volumes(["vol-a", "vol-b"])
            .images(registry.path())
            .module(module);
        let site = Site::with_agents(1, &spec);
        Self {
            tasks: Tasks::connect(site.cluster()),
            site,
            host,
            registry,
        }
    }

    /// One more image.
    pub(crate) fn add_image(&self, name: &str, image: &Image) {
        image.save(self.registry.path(), name).expect("an image");
    }

    /// A folder of the host, made now, where containers without an image may mount.
    pub(crate) fn host_folder(&self, name: &str) -> PathBuf {
        let folder = self.host.path().canonicalize().expect("the folder is there").join(name);
        fs::create_dir_all(&folder).expect("the folder can be made");
        folder
    }

    /// The agent's API.
    pub(crate) fn api(&self) -> Api {
        let endpoint = self.site.agent(0).address().parse().expect("an agent's address");
        Api::new(endpoint, LIMIT)
    }

    /// The container of a task's executor; a command task is its own.
    pub(crate) fn container_of(&self, executor: &str) -> ContainerId {
        let containers = self
            .site
            .agent(0)
            .containers()
            .unwrap_or_else(|error| panic!("{error}"));
        let is_of =
            |container: &&Container| container.parent.is_none() && container.executor.as_deref() == Some(executor);
        let found = containers.iter().find(is_of);
        let id = found.unwrap_or_else(|| panic!("{executor} has no container: {containers:?}"));
        ContainerId {
            value: id.id.clone(),
            parent: None,
        }
    }

    /// The sandbox of an executor.
    pub(crate) fn sandbox(&self, executor: &str) -> PathBuf {
        let sandbox = self.site.agent(0).sandbox(self.tasks.framework(), executor);
        let sandbox = sandbox.unwrap_or_else(|error| panic!("{error}"));
        sandbox
            .canonicalize()
            .unwrap_or_else(|error| panic!("{}: {error}", sandbox.display()))
    }

    /// The sandbox of a member of a pod.
    pub(crate) fn member_sandbox(&self, executor: &str, member: &LaunchedTask) -> PathBuf {
        self.sandbox(executor)
            .join("containers")
            .join(member_container(member).value)
    }

    /// Runs a container that a caller of the agent's API makes.
    pub(crate) fn run(&self, launch: &ContainerLaunch) -> ContainerEnd {
        let api = self.api();
        api.launch_container(launch)
            .and_then(|()| api.wait_container(&launch.container_id))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.site.cluster().report()))
    }

    /// Runs a session in a container: its exit status.
    pub(crate) fn session(&self, parent: ContainerId, name: &str, command: &str) -> Option<i32> {
        let id = nested(parent, name);
        let api = self.api();
        api.run_session(&id, &CommandInfo::shell(command))
            .and_then(|()| api.wait_nested_container(&id))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.site.cluster().report()))
            .exit_status
    }

    /// Where volumes are in the container that ran [`LOOK`] in this sandbox. Containers without an image also see the driver's own
    /// mounts; these are left out.
    pub(crate) fn seen(&self, sandbox: &Path) -> Vec<Seen> {
        let read = |name: &str| {
            let path = sandbox.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let table = eventually("the container has looked around", || read("seen"));
        let loops = read("loops").unwrap_or_else(|error| panic!("{error}"));
        self.volumes(&table, &loops)
    }

    /// Mounts of volumes of this site's storage, which are loop devices with files of its folder, without the driver's own.
    fn volumes(&self, table: &str, loops: &str) -> Vec<Seen> {
        let storage = self.site.cluster().folder().join("ebs").display().to_string();
        let ours = |line: &str| {
            let (device, file) = line.split_once("/loop/backing_file ")?;
            let device = device.strip_prefix("/sys/block/")?;
            file.starts_with(&storage).then(|| format!("/dev/{device}"))
        };
        let devices: Vec<String> = loops.lines().filter_map(ours).collect();
        let seen = table.lines().filter_map(mounted);
        seen.filter(|seen| devices.contains(&seen.device) && !seen.target.starts_with(&storage))
            .collect()
    }

    /// Nothing of a volume is mounted on the host but what the driver has mounted.
    pub(crate) fn host_has_only_the_drivers_mounts(&self) {
        let look = Command::new("sh")
            .args(["-c", LOOK])
            .current_dir(self.host.path())
            .status();
        assert!(look.expect("sh can be run").success());
        assert_eq!(self.seen(self.host.path()), []);
    }
}

/// A container nested in another.
pub(crate) fn nested(parent: ContainerId, name: &str) -> ContainerId {
    ContainerId {
        value: name.to_owned(),
        parent: Some(Box::new(parent)),
    }
}

/// The container of a pod's member, as its status tells.
pub(crate) fn member_container(member: &LaunchedTask) -> ContainerId {
    let status = member
        .wait_for("tell its container", LIMIT, |status| status.container_status.is_some())
        .unwrap_or_else(|error| panic!("{error}"));
    let container = status.container_status.and_then(|status| status.container_id);
    container.expect("the status has the container's id")
}

/// A container's description, with or without the image.
pub(crate) fn contained(image: bool) -> ContainerInfo {
    let container = ContainerInfo::mesos();
    if image {
        container.with_docker_image(IMAGE)
    } else {
        container
    }
}

fn mounted(line: &str) -> Option<Seen> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mount: Vec<&str> = mount.split(' ').collect();
    Some(Seen {
        target: mount
            .get(4)?
            .replace("\\040", " ")
            .replace("\\043", "#")
            .replace("\\134", "\\"),
        device: filesystem.split(' ').nth(1)?.to_owned(),
        mode: mount.get(5)?.split(',').next()?.to_owned(),
    })
}
