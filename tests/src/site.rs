//! Agents with the module, each on an emulated host of its own with the EBS emulator's driver.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ebs_emulator::{Emulator, EmulatorOptions, Event, EventKind, HostSpec, Manners};
use rustix::mount::{MountFlags, mount};
use testbed::{Agent, AgentSpec, Cluster, ClusterBuilder, Dockerd, Module, Mount, Namespace, built, mounts_below};

/// The module's name, as an operator writes it in `--isolation`.
pub const MODULE: &str = "mesos_external_volumes";
/// The hook's name, as an operator writes it in `--hooks`.
pub const HOOK: &str = "mesos_external_volumes_hook";
/// The image of Docker tasks.
pub const DOCKER_IMAGE: &str = "busybox";
/// The emulator's driver on every agent.
pub const DRIVER: &str = "ebs";

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(120);

/// The module that this workspace builds, with a state folder and drivers of the agent's own, as a cluster of one team has it:
/// labels may have anything created.
///
/// # Panics
/// When it is not built.
pub fn module() -> Module {
    // Copied to the agent's folder: the agent refuses a policy in the hands of another user, as a checkout may be.
    let policy = include_str!("../../docs/policy.one-team.json");
    module_without_policy().parameter_file("policy", "one-team.json", policy)
}

/// An agent with these containerizers, whose isolator and hook share the usual module's parameters.
///
/// # Panics
/// When the module is not built.
pub fn docker_agent(containerizers: &str) -> AgentSpec {
    let module = module().parameter("docker_socket", "{docker}/docker.sock").hook(HOOK);
    AgentSpec::default().docker(containerizers).module(module)
}

/// The same with another policy.
///
/// # Panics
/// When it is not built.
pub fn module_with_policy(file: impl AsRef<Path>) -> Module {
    module_without_policy().parameter("policy", file.as_ref().display().to_string())
}

/// The same with the policy that is built in.
///
/// # Panics
/// When it is not built.
pub fn module_without_policy() -> Module {
    let library = built("libmesos_external_volumes.so", "mesos-module").unwrap_or_else(|error| panic!("{error}"));
    Module::new(library, MODULE)
        .parameter("state_dir", "{state}")
        .parameter("driver_sockets", "{drivers}")
        .parameter("driver_specs", "{drivers}")
        .parameter("driver_locks", "{agent}/locks")
        .parameter("default_driver", DRIVER)
}

/// A cluster and the storage behind it. What is left of either when a test ends is taken away.
pub struct Site {
    // Dropped in this order: containers end before their volumes go.
    cluster: Cluster,
    emulator: Emulator,
}

impl Site {
    /// `count` agents in one zone, all of which may use the volumes made so far and later by name.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn start(count: usize) -> Self {
        Self::with_agents(count, &AgentSpec::default().module(module()))
    }

    /// As [`Self::start`], with agents of this kind.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn with_agents(count: usize, spec: &AgentSpec) -> Self {
        Self::on_hosts(Cluster::builder().agents(count, spec), emulated_host)
    }

    /// The agents of this cluster, which may be of several kinds.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn of_cluster(cluster: ClusterBuilder) -> Self {
        Self::on_hosts(cluster, emulated_host)
    }

    /// One agent of this kind, and its master, on any release of Mesos.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn on_mesos(version: &str, spec: &AgentSpec) -> Self {
        Self::on_hosts(Cluster::builder().mesos(version).agents(1, spec), emulated_host)
    }

    /// One agent whose driver mounts below `{agent}/base`, on a mount that is private unless the module shares it.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn with_private_mounts(spec: &AgentSpec) -> Self {
        Self::on_hosts(Cluster::builder().agents(1, spec), |agent, driver| HostSpec {
            shared: false,
            ..emulated_host(agent, driver).base(agent.folder().join("base"))
        })
    }

    /// One agent of this kind whose driver has these manners.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn with_manners(manners: &Manners, spec: &AgentSpec) -> Self {
        Self::on_hosts(Cluster::builder().agents(1, spec), |agent, driver| {
            emulated_host(agent, driver).manners(manners.clone())
        })
    }

    /// One agent of this kind, whose driver has its folder on a file system of its own, as a tmpfs on `/run` or a separate `/var`
    /// is.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn on_a_separate_file_system(spec: &AgentSpec) -> Self {
        Self::on_hosts(Cluster::builder().agents(1, spec), |agent, driver| {
            let around = separate_file_system(agent.folder());
            emulated_host(agent, driver).base(around.join("base"))
        })
    }

    /// One agent of this kind on a release of Mesos, and a Docker daemon with the image
    /// [`DOCKER_IMAGE`].
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn with_docker(version: Option<&str>, spec: &AgentSpec, namespace: Namespace) -> (Self, Dockerd) {
        let builder = Cluster::builder().agents(1, spec);
        let builder = match version {
            Some(version) => builder.mesos(version),
            None => builder,
        };
        let site = Self::prepare(builder, emulated_host);
        let dockerd = Dockerd::start(&site.cluster, namespace).unwrap_or_else(|error| panic!("{error}"));
        dockerd
            .make_image(DOCKER_IMAGE)
            .unwrap_or_else(|error| panic!("{error}"));
        (site.started(), dockerd)
    }

    /// One agent of this kind that offers one volume, which has this name and 1 GiB; and the volume's id. Its driver has these
    /// manners.
    ///
    /// # Panics
    /// When it cannot be started; the cluster's report says why.
    pub fn with_volume(name: &str, manners: &Manners, spec: &AgentSpec) -> (Self, String) {
        let site = Self::prepare(Cluster::builder().agents(1, spec), |agent, driver| {
            emulated_host(agent, driver).manners(manners.clone())
        });
        let volume = site.volume(name);
        site.agent(0).respecify(|spec| spec.volumes.push(volume.clone()));
        (site.started(), volume)
    }

    fn on_hosts(cluster: ClusterBuilder, host: impl Fn(&Agent, &str) -> HostSpec) -> Self {
        Self::prepare(cluster, host).started()
    }

    /// The storage runs, and the cluster does not.
    fn prepare(cluster: ClusterBuilder, host: impl Fn(&Agent, &str) -> HostSpec) -> Self {
        let cluster = cluster.create().unwrap_or_else(|error| panic!("{error}"));
        let hosts = cluster.agents().iter().map(|agent| host(agent, DRIVER));
        let options = EmulatorOptions {
            program: None,
            state: cluster.folder().join("ebs"),
            hosts: hosts.collect(),
        };
        let emulator = Emulator::start(options).unwrap_or_else(|error| panic!("{error}"));
        Self { cluster, emulator }
    }

    fn started(self) -> Self {
        let started = self.cluster.start();
        started.unwrap_or_else(|error| panic!("{error}\n{}", self.cluster.report()));
        self
    }

    /// A second driver on an agent, with storage of its own; it ends when it is dropped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn second_driver(&self, agent: &Agent, name: &str) -> Emulator {
        let hosts = vec![emulated_host(agent, name)];
        let state = self.cluster.folder().join(name);
        Emulator::start(EmulatorOptions {
            program: None,
            state,
            hosts,
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the agent has no container.
    ///
    /// # Panics
    /// When it has one after two minutes.
    pub fn wait_until_no_container_is_left(&self, agent: &Agent) {
        eventually("no container is left", || match agent.containers() {
            Ok(containers) if containers.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// An agent, counted from 0.
    pub fn agent(&self, index: usize) -> &Agent {
        self.cluster.agent(index)
    }

    /// The storage.
    pub fn emulator(&mut self) -> &mut Emulator {
        &mut self.emulator
    }

    /// Makes a volume of 1 GiB with this Name tag, and returns its id.
    ///
    /// # Panics
    /// When the emulator refuses.
    pub fn volume(&self, name: &str) -> String {
        let volume = self
            .emulator
            .client()
            .create(name, 1, "zone-a")
            .unwrap_or_else(|error| panic!("{error}"));
        volume.volume_id.to_string()
    }

    /// The names of all volumes, in order.
    ///
    /// # Panics
    /// When the emulator does not answer.
    pub fn volumes(&self) -> Vec<String> {
        let described = self.emulator.client().describe();
        let described = described.unwrap_or_else(|error| panic!("{error}"));
        let tags = described.volumes.into_iter().flat_map(|volume| volume.tags);
        let mut names: Vec<String> = tags.map(|tag| tag.value).collect();
        names.sort();
        names
    }

    /// Steps of the storage (attach, mount, unmount, detach) at one volume, as "host: step".
    ///
    /// # Panics
    /// When the emulator does not answer.
    pub fn steps(&self, volume: &str) -> Vec<String> {
        let steps = [
            EventKind::Attach,
            EventKind::Mount,
            EventKind::Unmount,
            EventKind::Detach,
        ];
        let events = self.events().into_iter().filter(|event| steps.contains(&event.kind));
        events
            .filter(|event| event.volume.as_deref() == Some(volume))
            .map(|event| format!("{}: {}", event.host.unwrap_or_default(), event.kind.as_str()))
            .collect()
    }

    /// Everything the storage did.
    ///
    /// # Panics
    /// When the emulator does not answer.
    pub fn events(&self) -> Vec<Event> {
        self.emulator.client().log().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until no volume is attached or mounted anywhere and no record is left.
    ///
    /// # Panics
    /// When something is still there after two minutes, naming it.
    pub fn wait_until_nothing_is_left(&self) {
        eventually("nothing is left", || {
            let described = self.emulator.client().describe().map_err(|error| error.to_string())?;
            let attached: Vec<String> = described
                .volumes
                .iter()
                .filter(|volume| !volume.attachments.is_empty())
                .map(|volume| format!("{} is {:?}", volume.volume_id, volume.state))
                .collect();
            let mounted: Vec<String> = self.mounts().iter().map(|mount| format!("{mount:?}")).collect();
            let records: Vec<String> = self.cluster.agents().iter().flat_map(records).collect();
            let left = [attached, mounted, records].concat();
            if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
        });
    }

    /// Mounts of the storage.
    ///
    /// # Panics
    /// When the mount table cannot be read.
    pub fn mounts(&self) -> Vec<Mount> {
        let mounts = mounts_below(self.cluster.folder()).unwrap_or_else(|error| panic!("{error}"));
        // The folder of the mounts is a mount itself: `shared()`.
        mounts
            .into_iter()
            .filter(|mount| mount.target.parent().is_some_and(|parent| parent.ends_with("volumes")))
            .collect()
    }
}

fn emulated_host(agent: &Agent, driver: &str) -> HostSpec {
    let socket = agent.drivers().join(format!("{driver}.sock"));
    HostSpec {
        limit: Some(64),
        ..HostSpec::new(host(agent), "zone-a").socket(socket).shared()
    }
}

/// A tmpfs in a folder of a cluster, which is unmounted with the cluster.
///
/// # Panics
/// When it cannot be mounted.
pub fn separate_file_system(folder: &Path) -> PathBuf {
    let around = folder.join("separate");
    std::fs::create_dir_all(&around).expect("a folder");
    mount("separate", &around, "tmpfs", MountFlags::empty(), None).expect("root may mount");
    around
}

/// The emulated host an agent runs on.
fn host(agent: &Agent) -> String {
    format!("host-{}", agent.index())
}

/// The records in an agent's state folder.
fn records(agent: &Agent) -> Vec<String> {
    files(&agent.state_dir().join("containers"))
        .iter()
        .map(|path| format!("record {}", path.display()))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()));
    entries.map(Iterator::collect).unwrap_or_default()
}

/// Waits until `check` is content.
///
/// # Panics
/// When it is not in two minutes, with its last complaint.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match check() {
            Ok(found) => return found,
            Err(complaint) => assert!(Instant::now() < deadline, "{what}: not in {LIMIT:?}: {complaint}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
