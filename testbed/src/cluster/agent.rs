//! An agent of a cluster.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::make_launcher_dir;
use super::master::START;
use super::spec::{AgentSpec, Places, domain_flag};
use crate::error::ClusterError;
use crate::http;
use crate::modules::Flags;
use crate::package::MesosInstall;
use crate::ports::Port;
use crate::process::Process;
use crate::teardown::cgroups;

/// A `mesos-agent`. It derefs to its [`Process`], for the log and signals.
///
/// Several agents of one machine share nothing but the machine: each has its own port, work, runtime and state
/// folders, image stores, and cgroups. Two with the same cgroups root or runtime folder end each other's containers
/// when they restart.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    port: Port,
    index: usize,
    folder: PathBuf,
    drivers: PathBuf,
    cgroups_root: String,
    program: PathBuf,
    launcher_dir: PathBuf,
    master: String,
    /// Changed by [`Agent::set_flag`].
    spec: Mutex<AgentSpec>,
}

/// What an agent is made with, beside its specification.
pub(super) struct Surroundings<'a> {
    pub(super) install: &'a MesosInstall,
    pub(super) launcher_dir: &'a Path,
    pub(super) master: String,
    pub(super) cgroups_root: String,
}

/// A container that the agent knows: a running one, or one it is still making or destroying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id, without its parents'.
    pub id: String,
    /// The id of the container it is nested in.
    pub parent: Option<String>,
    /// The framework, unless it is a standalone container.
    pub framework: Option<String>,
    /// The executor; a command task's has the task's id.
    pub executor: Option<String>,
    /// The process id of its first process, once there is one.
    pub pid: Option<u32>,
}

impl Agent {
    /// An agent that does not run yet, with its folders made.
    pub(super) fn create(
        index: usize,
        folder: PathBuf,
        spec: AgentSpec,
        surroundings: Surroundings<'_>,
    ) -> Result<Agent, ClusterError> {
        let drivers = spec.drivers.clone().unwrap_or_else(|| folder.join("drivers"));
        for made in [
            &folder,
            &drivers,
            &folder.join("tmp"),
            &folder.join("work"),
            &folder.join("runtime"),
            &folder.join("state"),
        ] {
            fs::create_dir_all(made).map_err(ClusterError::io("create", made))?;
        }
        Ok(Agent {
            process: Process::new(format!("agent {index}"), folder.join("log")),
            port: Port::reserve()?,
            index,
            drivers,
            cgroups_root: surroundings.cgroups_root,
            program: surroundings.install.program("mesos-agent"),
            launcher_dir: surroundings.launcher_dir.to_owned(),
            master: surroundings.master,
            spec: Mutex::new(spec),
            folder,
        })
    }

    /// Its number in the cluster, from 0 on.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `127.0.0.1:PORT`; in the master's lists its `pid` is `slave(1)@` and this.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its folder, with `work`, `runtime`, `state`, `drivers` and `log` in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `--work_dir`: sandboxes, and in `meta` what the agent recovers from.
    pub fn work_dir(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// `--runtime_dir`.
    pub fn runtime_dir(&self) -> PathBuf {
        self.folder.join("runtime")
    }

    /// The folder for a module's records (`{state}` in module parameters).
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The folder for its drivers' sockets (`{drivers}` in module parameters).
    pub fn drivers(&self) -> &Path {
        &self.drivers
    }

    /// The folder with the programs that it runs, `mesos-default-executor` among them (`--launcher_dir`).
    pub fn launcher_dir(&self) -> &Path {
        &self.launcher_dir
    }

    /// `--cgroups_root`: the name of its group at the top of every hierarchy.
    pub fn cgroups_root(&self) -> &str {
        &self.cgroups_root
    }

    /// The processes of its containers: executors, tasks and all they started.
    pub fn container_processes(&self) -> Vec<u32> {
        cgroups::processes(&self.cgroups_root)
    }

    /// Starts it, without waiting for anything.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> Result<(), ClusterError> {
        let spec = self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(module) = &spec.module {
            let path = self.modules_file();
            fs::write(&path, module.manifest(&self.places())).map_err(ClusterError::io("write", &path))?;
            for (name, text) in &module.files {
                let path = self.folder.join(name);
                fs::write(&path, text).map_err(ClusterError::io("write", &path))?;
            }
        }
        let (program, launcher_dir) = self.programs(&spec)?;
        self.process.start(&self.command(&spec, &program, &launcher_dir))
    }

    /// The agent of its release, and the folder with the programs that it runs.
    fn programs(&self, spec: &AgentSpec) -> Result<(PathBuf, PathBuf), ClusterError> {
        let Some(version) = &spec.mesos else {
            return Ok((self.program.clone(), self.launcher_dir.clone()));
        };
        let install = MesosInstall::ensure(version)?;
        let launcher_dir = self.folder.join(format!("libexec-{version}"));
        if !launcher_dir.exists() {
            make_launcher_dir(&launcher_dir, &install, Some(self.launcher_dir.join("mesos-executor")))?;
        }
        Ok((install.program("mesos-agent"), launcher_dir))
    }

    /// Waits until it is registered with the master in its present life.
    ///
    /// # Errors
    /// It ends, or is not registered after `limit`.
    pub fn wait_registered(&self, limit: Duration) -> Result<(), ClusterError> {
        // "Registered with master" the first time, "Re-registered with master" with the id of an earlier life.
        self.process.wait_for_log("egistered with master", limit).map(|_| ())
    }

    /// Kills it (SIGKILL) if it runs, starts it again and waits until it is registered.
    ///
    /// # Errors
    /// It ends, or is not registered within half a minute.
    pub fn restart(&self) -> Result<(), ClusterError> {
        self.process.kill()?;
        self.start()?;
        self.wait_registered(START)
    }

    /// Ends it with SIGTERM and waits for that. Executors and their tasks run on.
    ///
    /// # Errors
    /// It still runs after half a minute.
    pub fn terminate(&self) -> Result<ExitStatus, ClusterError> {
        self.process.signal(Signal::TERM)?;
        self.process.wait_for_exit(START)
    }

    /// Sets a flag for its next start.
    pub fn set_flag(&self, name: impl Into<String>, value: impl Into<String>) {
        self.spec
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flags
            .insert(name.into(), value.into());
    }

    /// Changes its specification for its next start. Its folders and its name stay.
    pub fn respecify(&self, change: impl FnOnce(&mut AgentSpec)) {
        change(&mut self.spec.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The Mesos release that it says it is.
    ///
    /// # Errors
    /// It does not answer.
    pub fn version(&self) -> Result<String, ClusterError> {
        let answer = http::get(&format!("{}/version", self.url()))?;
        Ok(answer["version"].as_str().unwrap_or_default().to_owned())
    }

    /// The id the master gave it.
    ///
    /// # Errors
    /// It does not answer, or is not registered.
    pub fn id(&self) -> Result<String, ClusterError> {
        let url = format!("{}/state", self.url());
        let state = http::get(&url)?;
        match state["id"].as_str() {
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(ClusterError::Http {
                url,
                said: "the agent has no id yet".to_owned(),
            }),
        }
    }

    /// The containers it knows, nested and standalone ones among them.
    ///
    /// # Errors
    /// It does not answer.
    pub fn containers(&self) -> Result<Vec<Container>, ClusterError> {
        let call = json!({"type": "GET_CONTAINERS", "get_containers": {"show_nested": true, "show_standalone": true}});
        let answer = self.call(&call)?;
        let text = |value: &Value| value["value"].as_str().map(str::to_owned);
        let containers = answer["get_containers"]["containers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(containers
            .iter()
            .map(|container| {
                let status = &container["container_status"];
                Container {
                    id: text(&container["container_id"]).unwrap_or_default(),
                    // Of a nested container only the status tells the parent.
                    parent: text(&container["container_id"]["parent"])
                        .or_else(|| text(&status["container_id"]["parent"])),
                    framework: text(&container["framework_id"]),
                    executor: text(&container["executor_id"]),
                    pid: status["executor_pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()),
                }
            })
            .collect())
    }

    /// Sends a call of the v1 operator API and gives the answer, `null` when there is none.
    ///
    /// # Errors
    /// It does not answer, or refuses; the message has its words.
    pub fn call(&self, call: &Value) -> Result<Value, ClusterError> {
        http::post(&format!("{}/api/v1", self.url()), call)
    }

    /// The sandbox of an executor's latest run. A command task's executor has the task's id.
    ///
    /// # Errors
    /// The agent does not answer, or is not registered.
    pub fn sandbox(&self, framework: &str, executor: &str) -> Result<PathBuf, ClusterError> {
        let run = format!(
            "slaves/{}/frameworks/{framework}/executors/{executor}/runs/latest",
            self.id()?
        );
        Ok(self.work_dir().join(run))
    }

    fn modules_file(&self) -> PathBuf {
        self.folder.join("modules.json")
    }

    fn places(&self) -> Places<'_> {
        Places {
            agent: &self.folder,
            drivers: &self.drivers,
            index: self.index,
        }
    }

    fn command(&self, spec: &AgentSpec, program: &Path, launcher_dir: &Path) -> Command {
        let mut flags = Flags::default();
        flags
            .set("master", &self.master)
            .set("ip", "127.0.0.1")
            .set("port", self.port.number().to_string())
            .set("hostname", "localhost")
            .path("work_dir", &self.work_dir())
            .path("runtime_dir", &self.runtime_dir())
            .path("fetcher_cache_dir", &self.folder.join("fetch"))
            .path("docker_store_dir", &self.folder.join("images/docker"))
            .path("appc_store_dir", &self.folder.join("images/appc"))
            .path("docker_volume_checkpoint_dir", &self.folder.join("docker-volume"))
            .path("launcher_dir", launcher_dir)
            .set("cgroups_root", &self.cgroups_root)
            .set("resources", resources_flag(spec))
            .set("isolation", isolation_flag(spec))
            // The command executor of this workspace speaks the v1 HTTP API.
            .set("http_command_executor", "true")
            .set("systemd_enable_support", "false")
            .set(
                "executor_registration_timeout",
                mesos_durations::format(spec.executor_registration_timeout),
            )
            // A registration waits for a random part of this: a second in Mesos, made for thousands of agents.
            .set("registration_backoff_factor", "20ms");
        let mut attributes = spec.attributes.clone();
        if let Some(zone) = &spec.zone {
            attributes.entry("zone".to_owned()).or_insert_with(|| zone.clone());
            flags.set("domain", domain_flag(zone));
        }
        if !attributes.is_empty() {
            let texts: Vec<String> = attributes
                .iter()
                .map(|(name, value)| format!("{name}:{value}"))
                .collect();
            flags.set("attributes", texts.join(";"));
        }
        if spec.module.is_some() {
            flags.set("modules", format!("file://{}", self.modules_file().display()));
        }
        if let Some(hook) = spec.module.as_ref().and_then(|module| module.hook.clone()) {
            flags.set("hooks", hook);
        }
        let places = self.places();
        for (name, value) in &spec.flags {
            flags.set(name, places.fill(value));
        }
        let mut command = Command::new(program);
        // What it starts outside its containers works in its folder too, and is found there when all is taken away.
        command
            .args(flags.arguments())
            .current_dir(&self.folder)
            .env("TMPDIR", self.folder.join("tmp"));
        for (name, value) in &spec.environment {
            command.env(name, places.fill(value));
        }
        command
    }
}

impl Deref for Agent {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

fn resources_flag(spec: &AgentSpec) -> String {
    if spec.volumes.is_empty() {
        spec.resources.clone()
    } else {
        format!("{};ebsvolumes:{{{}}}", spec.resources, spec.volumes.join(","))
    }
}

fn isolation_flag(spec: &AgentSpec) -> String {
    let isolators = spec.module.iter().filter(|module| module.is_isolator);
    let module = isolators.map(|module| module.name.clone());
    spec.isolation
        .iter()
        .cloned()
        .chain(module)
        .collect::<Vec<_>>()
        .join(",")
}
