//! What an agent tells the executor it starts, in environment variables.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::PATH;
use crate::endpoint::Endpoint;
use crate::types::{ExecutorId, FrameworkId};

/// The agent's defaults, for variables it leaves out.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);
const SUBSCRIPTION_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The name of the variable that holds the secret. An executor has to keep it from its tasks.
pub const TOKEN_VARIABLE: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";

/// The `MESOS_*` environment of an executor.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    /// `MESOS_FRAMEWORK_ID`.
    pub framework_id: FrameworkId,
    /// `MESOS_EXECUTOR_ID`.
    pub executor_id: ExecutorId,
    /// Where the executor API is, from `MESOS_AGENT_ENDPOINT` and `MESOS_SLAVE_PID`. Several
    /// agents in one process differ only in the path.
    pub url: String,
    /// `MESOS_DOMAIN_SOCKET`: the unix socket on which the agent serves the executor API, set by agents from 1.10 with
    /// `--http_executor_domain_sockets`. It is used instead of the address in [`url`](Self::url).
    pub domain_socket: Option<PathBuf>,
    /// `MESOS_DIRECTORY`: the sandbox, as the agent sees it.
    pub sandbox: Option<PathBuf>,
    /// `MESOS_CHECKPOINT`: whether the executor outlives its agent.
    pub checkpoint: bool,
    /// `MESOS_RECOVERY_TIMEOUT`: for how long it outlives it.
    pub recovery_timeout: Duration,
    /// `MESOS_SUBSCRIPTION_BACKOFF_MAX`: the longest pause between attempts to subscribe. An agent
    /// that has come back waits for its executors only about so long.
    pub subscription_backoff_max: Duration,
    /// `MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`: the time from SHUTDOWN until the agent kills the
    /// container.
    pub shutdown_grace_period: Duration,
    /// `MESOS_EXECUTOR_AUTHENTICATION_TOKEN`.
    pub token: Option<String>,
}

impl fmt::Debug for Environment {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("framework_id", &self.framework_id)
            .field("executor_id", &self.executor_id)
            .field("url", &self.url)
            .field("domain_socket", &self.domain_socket)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

/// Why an environment is not that of an executor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A variable is missing.
    #[error("{0} is not set in the environment: an executor is started by a Mesos agent")]
    Missing(
        /// The variable.
        &'static str,
    ),
    /// A variable has a value that cannot be used.
    #[error("{variable} is '{value}' in the environment: {reason}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: String,
    },
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// [`EnvironmentError`] names the variable.
    pub fn of_process() -> Result<Environment, EnvironmentError> {
        Environment::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads the environment that `variable` looks up.
    ///
    /// # Errors
    /// [`EnvironmentError`] names the variable.
    pub fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Environment, EnvironmentError> {
        let required = |name| variable(name).ok_or(EnvironmentError::Missing(name));
        let time = |name, default| match variable(name) {
            None => Ok(default),
            Some(value) => mesos_durations::parse(&value).map_err(|error| EnvironmentError::Invalid {
                variable: name,
                value,
                reason: error.to_string(),
            }),
        };
        Ok(Environment {
            framework_id: required("MESOS_FRAMEWORK_ID")?.into(),
            executor_id: required("MESOS_EXECUTOR_ID")?.into(),
            url: api_url(
                &required("MESOS_AGENT_ENDPOINT")?,
                variable("MESOS_SLAVE_PID").as_deref(),
            )?,
            domain_socket: variable("MESOS_DOMAIN_SOCKET")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            sandbox: variable("MESOS_DIRECTORY").map(PathBuf::from),
            checkpoint: variable("MESOS_CHECKPOINT").as_deref() == Some("1"),
            recovery_timeout: time("MESOS_RECOVERY_TIMEOUT", RECOVERY_TIMEOUT)?,
            subscription_backoff_max: time("MESOS_SUBSCRIPTION_BACKOFF_MAX", SUBSCRIPTION_BACKOFF_MAX)?,
            shutdown_grace_period: time("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", SHUTDOWN_GRACE)?,
            token: variable(TOKEN_VARIABLE),
        })
    }
}

/// `ip:port` and `slave(1)@ip:port` give `http://ip:port/slave(1)/api/v1/executor`.
fn api_url(endpoint: &str, agent_pid: Option<&str>) -> Result<String, EnvironmentError> {
    let endpoint: Endpoint = endpoint.parse().map_err(|error| EnvironmentError::Invalid {
        variable: "MESOS_AGENT_ENDPOINT",
        value: endpoint.to_string(),
        reason: format!("{error}"),
    })?;
    let name = agent_pid.and_then(|pid| pid.split_once('@')).map(|(name, _)| name);
    Ok(match name {
        Some(name) if !name.is_empty() => endpoint.url(&format!("/{name}{PATH}")),
        _ => endpoint.url(PATH),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(changes: &[(&'static str, Option<&str>)]) -> Result<Environment, EnvironmentError> {
        let mut variables = HashMap::from([
            ("MESOS_FRAMEWORK_ID", Some("F")),
            ("MESOS_EXECUTOR_ID", Some("t")),
            ("MESOS_AGENT_ENDPOINT", Some("127.0.0.1:5051")),
            ("MESOS_SLAVE_PID", Some("slave(1)@127.0.0.1:5051")),
            ("MESOS_CHECKPOINT", Some("1")),
            ("MESOS_RECOVERY_TIMEOUT", Some("15mins")),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", Some("2secs")),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", Some("5secs")),
        ]);
        variables.extend(changes.iter().copied());
        Environment::from_variables(|name| variables.get(name).copied().flatten().map(str::to_string))
    }

    #[test]
    fn the_environment_of_a_real_agent_is_read() {
        let environment = read(&[]).unwrap();
        assert_eq!(environment.url, "http://127.0.0.1:5051/slave(1)/api/v1/executor");
        assert!(environment.checkpoint);
        assert_eq!(environment.recovery_timeout, Duration::from_secs(900));
        assert_eq!(environment.shutdown_grace_period, Duration::from_secs(5));
    }

    #[test]
    fn without_a_pid_the_plain_path_is_used() {
        let environment = read(&[("MESOS_SLAVE_PID", None), ("MESOS_CHECKPOINT", Some("0"))]).unwrap();
        assert_eq!(environment.url, "http://127.0.0.1:5051/api/v1/executor");
        assert!(!environment.checkpoint);
    }

    #[test]
    fn a_domain_socket_is_used_when_the_agent_names_one() {
        assert_eq!(read(&[]).unwrap().domain_socket, None);
        let environment = read(&[("MESOS_DOMAIN_SOCKET", Some("/run/agent.sock"))]).unwrap();
        assert_eq!(environment.domain_socket, Some("/run/agent.sock".into()));
    }

    #[test]
    fn a_missing_or_bad_variable_is_named() {
        let missing = read(&[("MESOS_EXECUTOR_ID", None)]).unwrap_err();
        assert_eq!(missing, EnvironmentError::Missing("MESOS_EXECUTOR_ID"));
        let bad = read(&[("MESOS_RECOVERY_TIMEOUT", Some("soon"))])
            .unwrap_err()
            .to_string();
        assert!(bad.contains("MESOS_RECOVERY_TIMEOUT is 'soon'"), "{bad}");
    }

    #[test]
    fn the_token_is_not_printed() {
        let environment = read(&[(TOKEN_VARIABLE, Some("secret"))]).unwrap();
        assert_eq!(environment.token.as_deref(), Some("secret"));
        assert!(!format!("{environment:?}").contains("secret"));
    }
}
