//! The master of a cluster.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::spec::{MasterSpec, domain_flag};
use crate::error::ClusterError;
use crate::http;
use crate::modules::Flags;
use crate::package::MesosInstall;
use crate::ports::Port;
use crate::process::{POLL, Process};

/// How long a master gets to be elected, and a process to exit.
pub(super) const START: Duration = Duration::from_secs(30);

/// A `mesos-master`. It derefs to its [`Process`], for the log and signals.
#[derive(Debug)]
pub struct Master {
    process: Process,
    port: Port,
    folder: PathBuf,
    program: PathBuf,
    spec: MasterSpec,
    zone: Option<String>,
}

impl Master {
    /// A master that does not run yet, with its folders made. `zone` is the fault domain it needs for its agents'.
    pub(super) fn create(
        install: &MesosInstall,
        folder: PathBuf,
        spec: MasterSpec,
        zone: Option<String>,
    ) -> Result<Master, ClusterError> {
        fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
        let process = Process::new("the master", folder.join("log"));
        let program = install.program("mesos-master");
        Ok(Master {
            process,
            port: Port::reserve()?,
            folder,
            program,
            spec,
            zone,
        })
    }

    /// `127.0.0.1:PORT`, as `--master` of an agent takes it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its folder: `work` has the registry, `log` is its log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it and waits until it leads. Its registry and its port are those of its last life.
    ///
    /// # Errors
    /// It ends, or does not lead within half a minute.
    pub fn start(&self) -> Result<(), ClusterError> {
        self.process.start(&self.command())?;
        let deadline = Instant::now() + START;
        while !self.leads() {
            if let Some(status) = self.process.exit_status() {
                return Err(self.process.exited(status));
            }
            if Instant::now() >= deadline {
                return Err(self.process.timed_out("to lead", START));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Kills it (SIGKILL) and starts it again. Agents register again after they missed the pings of
    /// [`MasterSpec::pings`].
    ///
    /// # Errors
    /// As [`Master::start`].
    pub fn restart(&self) -> Result<(), ClusterError> {
        self.process.kill()?;
        self.start()
    }

    /// Ends it with SIGTERM and waits for that.
    ///
    /// # Errors
    /// It still runs after half a minute.
    pub fn terminate(&self) -> Result<ExitStatus, ClusterError> {
        self.process.signal(Signal::TERM)?;
        self.process.wait_for_exit(START)
    }

    /// The master's `/slaves`: every agent it knows.
    ///
    /// # Errors
    /// It does not answer.
    pub fn agents(&self) -> Result<Vec<Value>, ClusterError> {
        let answer = http::get(&format!("{}/slaves", self.url()))?;
        Ok(answer["slaves"].as_array().cloned().unwrap_or_default())
    }

    /// Its API answers once it is elected and has read the registry.
    fn leads(&self) -> bool {
        http::post(&format!("{}/api/v1", self.url()), &json!({"type": "GET_HEALTH"})).is_ok()
    }

    fn command(&self) -> Command {
        let mut flags = Flags::default();
        flags
            .set("ip", "127.0.0.1")
            .set("port", self.port.number().to_string())
            .set("hostname", "localhost")
            .path("work_dir", &self.folder.join("work"));
        if let Some((timeout, lost)) = self.spec.pings {
            flags
                .set("agent_ping_timeout", mesos_durations::format(timeout))
                .set("max_agent_ping_timeouts", lost.to_string());
        }
        if let Some(zone) = &self.zone {
            flags.set("domain", domain_flag(zone));
        }
        for (name, value) in &self.spec.flags {
            flags.set(name, value);
        }
        let mut command = Command::new(&self.program);
        command.args(flags.arguments());
        command
    }
}

impl Deref for Master {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}
