//! A master and agents, from their folders to their removal.

mod agent;
mod master;
mod report;
mod spec;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, thread};

pub use agent::{Agent, Container};
pub use master::Master;
pub(crate) use spec::Places;
pub use spec::{AgentSpec, MasterSpec};

use crate::artifact::built;
use crate::dockerd;
use crate::error::ClusterError;
use crate::package::{DEFAULT_VERSION, MesosInstall};
use crate::process::Process;
use crate::teardown::{Footprint, Registration, cgroups, sweep};
use agent::Surroundings;

/// What an agent starts for a task group; also a custom executor that takes several tasks.
const DEFAULT_EXECUTOR: &str = "mesos-default-executor";

/// What an agent starts for each command task in the Docker containerizer.
const DOCKER_EXECUTOR: &str = "mesos-docker-executor";

/// How long an agent gets to register for the first time.
const REGISTRATION: Duration = Duration::from_secs(60);

/// What a cluster is to be. Made by [`Cluster::builder`].
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    version: String,
    install: Option<MesosInstall>,
    master: MasterSpec,
    agents: Vec<AgentSpec>,
    executor: Option<PathBuf>,
    parent: Option<PathBuf>,
    keep: bool,
}

impl ClusterBuilder {
    /// The Mesos release. Default: [`DEFAULT_VERSION`].
    #[must_use]
    pub fn mesos(mut self, version: impl Into<String>) -> ClusterBuilder {
        self.version = version.into();
        self
    }

    /// Another Mesos than the official build of [`ClusterBuilder::mesos`].
    #[must_use]
    pub fn install(mut self, install: MesosInstall) -> ClusterBuilder {
        self.install = Some(install);
        self
    }

    /// The master. Default: [`MasterSpec::default`].
    #[must_use]
    pub fn master(mut self, spec: MasterSpec) -> ClusterBuilder {
        self.master = spec;
        self
    }

    /// Adds an agent.
    #[must_use]
    pub fn agent(mut self, spec: AgentSpec) -> ClusterBuilder {
        self.agents.push(spec);
        self
    }

    /// Adds `count` agents of one specification.
    #[must_use]
    pub fn agents(mut self, count: usize, spec: &AgentSpec) -> ClusterBuilder {
        self.agents.extend(std::iter::repeat_n(spec, count).cloned());
        self
    }

    /// The program that runs command tasks. Default: the `mesos-executor` of this workspace.
    #[must_use]
    pub fn executor(mut self, program: impl Into<PathBuf>) -> ClusterBuilder {
        self.executor = Some(program.into());
        self
    }

    /// Where the cluster's folder is made. Default: the folder for temporary files. A long path makes socket paths too
    /// long.
    #[must_use]
    pub fn folder_in(mut self, parent: impl Into<PathBuf>) -> ClusterBuilder {
        self.parent = Some(parent.into());
        self
    }

    /// Keeps the cluster's folder when the cluster goes. It is also kept when a test panics, and when the variable
    /// `MESOS_TESTBED_KEEP` is set.
    #[must_use]
    pub fn keep_folder(mut self) -> ClusterBuilder {
        self.keep = true;
        self
    }

    /// Makes the cluster's folders and reserves its ports; nothing runs yet. For tests that have to see to something
    /// (a driver, a file) before [`Cluster::start`].
    ///
    /// Brings Mesos into the cache first, if it is not there, and cleans away clusters whose processes were killed.
    ///
    /// # Errors
    /// There is no Mesos to run, not enough privilege, or no folder or port to be had.
    pub fn create(self) -> Result<Cluster, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Err(ClusterError::NotRoot);
        }
        let install = match self.install {
            Some(install) => install,
            None => MesosInstall::ensure(&self.version)?,
        };
        cgroups::ensure_freezer()?;
        for dead in sweep()? {
            eprintln!(
                "cleaned away a cluster whose process was killed; its logs are in {}",
                dead.folder.display()
            );
            dead.problems.iter().for_each(|problem| eprintln!("  {problem}"));
        }

        let (folder, footprint) = make_folder(self.parent, self.agents.len())?;
        let name = folder
            .file_name()
            .expect("the folder was given a name")
            .to_string_lossy()
            .into_owned();
        let registration = Registration::add(&name, &footprint)?;
        // From here on, whatever fails: dropping this takes away what there is.
        let mut clearing = Clearing {
            footprint,
            registration: Some(registration),
            keep: self.keep,
        };

        match assemble(
            &folder,
            &clearing.footprint,
            &install,
            self.master,
            self.agents,
            self.executor,
        ) {
            Ok((master, agents)) => Ok(Cluster {
                install,
                folder,
                master,
                agents,
                companions: Mutex::default(),
                clearing,
            }),
            Err(error) => {
                clearing.clear();
                Err(error)
            }
        }
    }

    /// Makes the cluster and starts it; returns when every agent is registered.
    ///
    /// # Errors
    /// As [`ClusterBuilder::create`] and [`Cluster::start`].
    pub fn start(self) -> Result<Cluster, ClusterError> {
        let cluster = self.create()?;
        cluster.start()?;
        Ok(cluster)
    }
}

/// A master and agents on this machine. Dropping it takes everything away, also after a panic; then its folder stays
/// and a report of it is written to stderr.
#[derive(Debug)]
pub struct Cluster {
    install: MesosInstall,
    folder: PathBuf,
    // In the order in which they are dropped: agents before what their containers use.
    agents: Vec<Agent>,
    master: Master,
    companions: Mutex<Vec<Arc<Process>>>,
    clearing: Clearing,
}

impl Cluster {
    /// A cluster of one master and, so far, no agent.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            version: DEFAULT_VERSION.to_owned(),
            install: None,
            master: MasterSpec::default(),
            agents: Vec::new(),
            executor: None,
            parent: None,
            keep: false,
        }
    }

    /// Starts the master, then the agents; returns when every agent is registered.
    ///
    /// # Errors
    /// One of them ends or takes more than a minute. The message has the end of its log.
    pub fn start(&self) -> Result<(), ClusterError> {
        self.master.start()?;
        for agent in &self.agents {
            agent.start()?;
        }
        self.agents
            .iter()
            .try_for_each(|agent| agent.wait_registered(REGISTRATION))
    }

    /// The master.
    pub fn master(&self) -> &Master {
        &self.master
    }

    /// The agents.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The agent with this number, from 0 on.
    ///
    /// # Panics
    /// There is no such agent.
    pub fn agent(&self, index: usize) -> &Agent {
        &self.agents[index]
    }

    /// Its folder: `master`, `agent-0` and so on, `libexec`, and one for each companion.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The Mesos it runs.
    pub fn install(&self) -> &MesosInstall {
        &self.install
    }

    /// Starts a program that belongs to the cluster, such as a volume driver. It is killed when the cluster goes, after
    /// the containers. Its log is `<name>/log` in the cluster's folder, and `<name>` is its working folder unless
    /// `command` has one.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run_beside(&self, name: &str, mut command: Command) -> Result<Arc<Process>, ClusterError> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
        if command.get_current_dir().is_none() {
            command.current_dir(&folder);
        }
        let process = Arc::new(Process::new(name, folder.join("log")));
        process.start(&command)?;
        self.companions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&process));
        Ok(process)
    }

    /// All there is to see of it in one block: command lines, folders, mounts, cgroups, the ends of the logs.
    pub fn report(&self) -> String {
        report::of(self)
    }

    /// Takes everything away, as dropping it does, and says what could not be.
    ///
    /// # Errors
    /// Something is left: a mount that stayed busy, a process that does not end.
    pub fn tear_down(mut self) -> Result<(), ClusterError> {
        let problems = self.end();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ClusterError::LeftOver(problems))
        }
    }

    fn end(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        // Agents first: one that lives would see its containers die and clean up after them.
        for process in self.processes() {
            if let Err(error) = process.kill() {
                problems.push(error.to_string());
            }
        }
        self.clearing.end_containers(&mut problems);
        for companion in self
            .companions
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            if let Err(error) = companion.kill() {
                problems.push(error.to_string());
            }
        }
        problems.extend(self.clearing.clear());
        problems
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.agents.iter().map(|agent| &**agent).chain([&*self.master])
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.clearing.registration.is_none() {
            return;
        }
        if thread::panicking() {
            eprintln!("{}", self.report());
            eprintln!("the cluster's folder stays: {}", self.folder.display());
            self.clearing.keep = true;
        }
        for problem in self.end() {
            eprintln!("left over after the cluster was torn down: {problem}");
        }
    }
}

/// What is to be taken away, once.
#[derive(Debug)]
struct Clearing {
    footprint: Footprint,
    /// None when all is taken away.
    registration: Option<Registration>,
    keep: bool,
}

impl Clearing {
    fn end_containers(&self, problems: &mut Vec<String>) {
        self.footprint.end_containers(problems);
    }

    /// Leaves the cluster on the machine's list when something could not be taken away, for a later sweep.
    fn clear(&mut self) -> Vec<String> {
        let Some(registration) = self.registration.take() else {
            return Vec::new();
        };
        let mut problems = self.footprint.remove();
        if !self.keep && env::var_os("MESOS_TESTBED_KEEP").is_none() {
            problems.extend(self.footprint.remove_folder().err());
        }
        if problems.is_empty()
            && let Err(error) = registration.remove()
        {
            problems.push(error.to_string());
        }
        problems
    }
}

/// The cluster's folder and what its name stands for elsewhere.
fn make_folder(parent: Option<PathBuf>, agents: usize) -> Result<(PathBuf, Footprint), ClusterError> {
    let parent = parent.unwrap_or_else(env::temp_dir);
    // Tasks of any user work below it.
    let folder = tempfile::Builder::new()
        .prefix("mesos-testbed-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(&parent)
        .and_then(|folder| fs::canonicalize(folder.keep()))
        .map_err(ClusterError::io("create a folder in", &parent))?;
    let name = folder
        .file_name()
        .expect("the folder was given a name")
        .to_string_lossy();
    let agents = (0..agents).map(|index| format!("{name}-{index}"));
    let cgroups = agents.chain([dockerd::cgroup(&folder)]).collect();
    Ok((folder.clone(), Footprint { folder, cgroups }))
}

fn assemble(
    folder: &Path,
    footprint: &Footprint,
    install: &MesosInstall,
    master: MasterSpec,
    agents: Vec<AgentSpec>,
    executor: Option<PathBuf>,
) -> Result<(Master, Vec<Agent>), ClusterError> {
    let launcher_dir = folder.join("libexec");
    make_launcher_dir(&launcher_dir, install, executor)?;
    let zone = agents.iter().find_map(|agent| agent.zone.clone());
    let master = Master::create(install, folder.join("master"), master, zone)?;
    let agents = agents
        .into_iter()
        .zip(&footprint.cgroups)
        .enumerate()
        .map(|(index, (spec, cgroups_root))| {
            let surroundings = Surroundings {
                install,
                launcher_dir: &launcher_dir,
                master: master.address(),
                cgroups_root: cgroups_root.clone(),
            };
            Agent::create(index, folder.join(format!("agent-{index}")), spec, surroundings)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok((master, agents))
}

/// The programs that an agent runs. The official library has no executors: the testbed brings its own mesos-executor, for
/// command tasks, mesos-default-executor, for task groups, and mesos-docker-executor, for command tasks in Docker. Missing is
/// mesos-fetcher (a task with URIs is refused: "Could not fetch URIs: failed to find mesos-fetcher").
fn make_launcher_dir(folder: &Path, install: &MesosInstall, executor: Option<PathBuf>) -> Result<(), ClusterError> {
    fs::create_dir(folder).map_err(ClusterError::io("create", folder))?;
    for name in ["mesos-containerizer", "mesos-io-switchboard"] {
        let link = folder.join(name);
        symlink(install.program(name), &link).map_err(ClusterError::io("create", &link))?;
    }
    // Copies: the user of a task may not be allowed to enter the target folder.
    let executor = executor.map_or_else(|| built("mesos-executor", "testbed"), Ok)?;
    let mut executors = vec![(executor, "mesos-executor")];
    for name in [DEFAULT_EXECUTOR, DOCKER_EXECUTOR] {
        executors.push((built(name, "testbed")?, name));
    }
    for (source, name) in executors {
        fs::copy(&source, folder.join(name)).map_err(ClusterError::io("copy", &source))?;
    }
    Ok(())
}
