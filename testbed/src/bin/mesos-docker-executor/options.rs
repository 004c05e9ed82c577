//! What the agent hands over: flags on the command line, and variables of the environment.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that this executor is told when it is started.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The name of the Docker container.
    pub(crate) container: String,
    /// The Docker client.
    pub(crate) docker: PathBuf,
    /// The socket of the Docker daemon.
    pub(crate) docker_socket: String,
    /// The sandbox on the host.
    pub(crate) sandbox: String,
    /// Where the container sees the sandbox.
    pub(crate) mapped: String,
    pub(crate) framework_id: String,
    pub(crate) executor_id: String,
    pub(crate) agent_id: String,
    /// `slave(1)@127.0.0.1:5051`.
    pub(crate) agent_pid: String,
    /// Whether the framework checkpoints: then this executor waits for an agent that went away.
    pub(crate) checkpoint: bool,
    /// For how long it waits.
    pub(crate) recovery_timeout: Duration,
    /// Between SIGTERM and SIGKILL when nobody says otherwise.
    pub(crate) shutdown_grace: Duration,
}

impl Options {
    /// From this process' arguments and environment.
    ///
    /// # Errors
    /// Something is missing: the message names it.
    pub(crate) fn of_process() -> Result<Options, String> {
        let flags: BTreeMap<String, String> = env::args()
            .skip(1)
            .filter_map(|argument| {
                let (name, value) = argument.strip_prefix("--")?.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        let flag = |name: &str| {
            let value = flags.get(name).cloned();
            value.ok_or_else(|| format!("the agent did not pass the flag --{name}"))
        };
        let variable = |name: &str| env::var(name).map_err(|_| format!("the agent did not set the variable {name}"));
        let duration = |name: &str, default: u64| {
            let value = env::var(name).ok();
            let value = value.and_then(|value| mesos_durations::parse(&value).ok());
            value.unwrap_or(Duration::from_secs(default))
        };
        Ok(Options {
            container: flag("container")?,
            docker: flag("docker")?.into(),
            docker_socket: flag("docker_socket")?,
            sandbox: flag("sandbox_directory")?,
            mapped: flag("mapped_directory")?,
            framework_id: variable("MESOS_FRAMEWORK_ID")?,
            executor_id: variable("MESOS_EXECUTOR_ID")?,
            agent_id: variable("MESOS_SLAVE_ID")?,
            agent_pid: variable("MESOS_SLAVE_PID")?,
            checkpoint: env::var("MESOS_CHECKPOINT").is_ok_and(|value| value == "1"),
            recovery_timeout: duration("MESOS_RECOVERY_TIMEOUT", 15 * 60),
            shutdown_grace: duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", 5),
        })
    }
}
