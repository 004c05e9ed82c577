//! Checks: what an executor watches while a task runs.

use serde::{Deserialize, Serialize};

use super::CommandInfo;
use super::wire::open_enum;

open_enum! {
    /// How a task is checked.
    CheckKind {
        /// By running a command in the task's container.
        Command = "COMMAND",
        /// By an HTTP request to a port of the task.
        Http = "HTTP",
        /// By connecting to a port of the task.
        Tcp = "TCP",
    }
}

/// A health check: after so many failures in a row the executor kills the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The kind; it says which of the three fields below counts.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<CheckKind>,
    /// The command: healthy when it exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// The request: healthy when the status is in 200..400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// The port: healthy when a connection comes about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// Seconds between the task's start and the first check.
    #[serde(default = "fifteen")]
    pub delay_seconds: f64,
    /// Seconds between the end of one check and the next.
    #[serde(default = "ten")]
    pub interval_seconds: f64,
    /// Seconds one check may take. Zero stands for no limit.
    #[serde(default = "twenty")]
    pub timeout_seconds: f64,
    /// Failures in a row until the task is killed.
    #[serde(default = "three")]
    pub consecutive_failures: u32,
    /// Seconds from the start in which failures do not count until the first success.
    #[serde(default = "ten")]
    pub grace_period_seconds: f64,
}

impl HealthCheck {
    /// A check by command, with the defaults of Mesos.
    pub fn command(command: CommandInfo) -> HealthCheck {
        HealthCheck {
            kind: Some(CheckKind::Command),
            command: Some(command),
            http: None,
            tcp: None,
            delay_seconds: fifteen(),
            interval_seconds: ten(),
            timeout_seconds: twenty(),
            consecutive_failures: three(),
            grace_period_seconds: ten(),
        }
    }
}

/// A check whose result is only reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckInfo {
    /// The kind; it says which of the three fields below counts.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<CheckKind>,
    /// The command, whose exit code is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CheckCommand>,
    /// The request, whose status is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// The port, of which is reported whether it could be connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// Seconds between the task's start and the first check.
    #[serde(default = "fifteen")]
    pub delay_seconds: f64,
    /// Seconds between the end of one check and the next.
    #[serde(default = "ten")]
    pub interval_seconds: f64,
    /// Seconds one check may take. Zero stands for no limit.
    #[serde(default = "twenty")]
    pub timeout_seconds: f64,
}

/// The command of a [`CheckInfo`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckCommand {
    /// What to run.
    pub command: CommandInfo,
}

/// A request to a port of the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// The port, on the loopback address.
    pub port: u16,
    /// The path; `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `http` or `https`; `http` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// `IPv4` or `IPv6`; `IPv4` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// A port of the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpCheck {
    /// The port, on the loopback address.
    pub port: u16,
    /// `IPv4` or `IPv6`; `IPv4` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// The latest result of a [`CheckInfo`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// The kind of check.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<CheckKind>,
    /// Result of a command; without an exit code when there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandResult>,
    /// Result of a request; without a status when there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpResult>,
    /// Result of a connection; without a result when there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpResult>,
}

/// How a check's command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// The exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// How a check's request was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResult {
    /// The status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u32>,
}

/// Whether a check's connection came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpResult {
    /// Whether it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
}

fn fifteen() -> f64 {
    15.0
}

fn ten() -> f64 {
    10.0
}

fn twenty() -> f64 {
    20.0
}

fn three() -> u32 {
    3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_numbers_are_the_defaults_of_mesos() {
        let json = r#"{"type":"COMMAND","command":{"value":"true"}}"#;
        let check: HealthCheck = serde_json::from_str(json).unwrap();
        assert_eq!(check, HealthCheck::command(CommandInfo::shell("true")));
    }
}
