//! One look at the task: a command, an HTTP request or a connection.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use mesos_http::types::{CheckInfo, CheckKind, CommandInfo, HealthCheck, HttpCheck, TcpCheck};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::child::TaskProcess;
use crate::environment::{self, Variables};
use crate::launch;
use crate::process_tree;

/// What a check looks at.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    Command {
        command: CommandInfo,
        namespace_of: Option<i32>,
    },
    Http {
        url: String,
    },
    Tcp {
        address: SocketAddr,
    },
}

/// What it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The exit code; `None` when a signal ended the command.
    Exit(Option<i32>),
    Status(u16),
    Connected(bool),
}

impl Sight {
    /// What it means to a health check.
    pub(crate) fn is_healthy(&self) -> bool {
        match self {
            Sight::Exit(code) => *code == Some(0),
            Sight::Status(status) => (200..400).contains(status),
            Sight::Connected(connected) => *connected,
        }
    }
}

impl Probe {
    /// Of a health check. `namespace_of` is the task when it has a root file system of its own,
    /// which a command has to see.
    ///
    /// The error says why it is not supported; it becomes the message of the failed task.
    pub(crate) fn of_health_check(check: &HealthCheck, namespace_of: Option<i32>) -> Result<Probe, String> {
        Probe::new(
            "health_check",
            check.kind.as_ref(),
            check.command.as_ref(),
            check.http.as_ref(),
            check.tcp.as_ref(),
            namespace_of,
        )
    }

    /// Of a check.
    pub(crate) fn of_check(check: &CheckInfo, namespace_of: Option<i32>) -> Result<Probe, String> {
        let command = check.command.as_ref().map(|command| &command.command);
        let (http, tcp) = (check.http.as_ref(), check.tcp.as_ref());
        Probe::new("check", check.kind.as_ref(), command, http, tcp, namespace_of)
    }

    fn new(
        field: &str,
        kind: Option<&CheckKind>,
        command: Option<&CommandInfo>,
        http: Option<&HttpCheck>,
        tcp: Option<&TcpCheck>,
        namespace_of: Option<i32>,
    ) -> Result<Probe, String> {
        let refuse = |reason: &str| format!("The task's {field} is not supported by this executor: {reason}");
        match (kind, command, http, tcp) {
            (Some(CheckKind::Command), Some(command), _, _) if command.value.is_some() => Ok(Probe::Command {
                command: command.clone(),
                namespace_of,
            }),
            (Some(CheckKind::Http), _, Some(http), _) => match http.scheme.as_deref() {
                None | Some("http") => {
                    let address = loopback(http.port, http.protocol.as_deref());
                    Ok(Probe::Http {
                        url: format!("http://{address}{}", http.path.as_deref().unwrap_or("/")),
                    })
                }
                Some(scheme) => Err(refuse(&format!("its scheme is '{scheme}', only http is"))),
            },
            (Some(CheckKind::Tcp), _, _, Some(tcp)) => Ok(Probe::Tcp {
                address: loopback(tcp.port, tcp.protocol.as_deref()),
            }),
            (Some(kind), ..) => Err(refuse(&format!("type {kind} without its content, or unknown"))),
            (None, ..) => Err(refuse("it has no type")),
        }
    }

    /// Looks. The error is a reason why there was nothing to see, such as the end of `timeout`.
    pub(crate) fn look(&self, timeout: Duration) -> Result<Sight, String> {
        match self {
            Probe::Command { command, namespace_of } => run(command, *namespace_of, timeout),
            Probe::Http { url } => request(url, timeout),
            Probe::Tcp { address } => {
                let connection = TcpStream::connect_timeout(address, timeout);
                Ok(Sight::Connected(connection.is_ok()))
            }
        }
    }
}

fn loopback(port: u16, protocol: Option<&str>) -> SocketAddr {
    let address: IpAddr = match protocol {
        Some("IPv6") => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    SocketAddr::new(address, port)
}

fn request(url: &str, timeout: Duration) -> Result<Sight, String> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(timeout))
        .build();
    let response = ureq::Agent::new_with_config(config).get(url).call();
    response
        .map(|response| Sight::Status(response.status().as_u16()))
        .map_err(|error| error.to_string())
}

fn run(command: &CommandInfo, namespace_of: Option<i32>, timeout: Duration) -> Result<Sight, String> {
    let value = command.value.as_deref().unwrap_or_default();
    let mut process = launch::shell_or_program(value, command);
    let mut variables: Variables = std::env::vars_os().collect();
    environment::add(&mut variables, &command.environment);
    // The output of a check belongs to the log, not to what the task writes.
    process
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    if let Some(pid) = namespace_of {
        see_files_of(&mut process, pid).map_err(|error| format!("the task's files cannot be seen: {error}"))?;
    } else {
        process.process_group(0);
    }
    let child = process
        .spawn()
        .map_err(|error| format!("'{value}' cannot be run: {error}"))?;
    let mut process = TaskProcess::new(child);
    if process.ended().recv_timeout(timeout).is_err() {
        process_tree::kill(process.pid());
        let status = process.reap().map_err(|error| error.to_string())?;
        return Err(format!(
            "Command timed out after {timeout:?} ({})",
            crate::exit::describe(status)
        ));
    }
    process
        .reap()
        .map(|status| Sight::Exit(status.code()))
        .map_err(|error| error.to_string())
}

/// Lets the child enter the mount namespace of the task.
#[allow(
    unsafe_code,
    reason = "code between fork and exec can only be given by `pre_exec`, which is unsafe"
)]
fn see_files_of(process: &mut Command, pid: i32) -> std::io::Result<()> {
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // functions may be called. It makes two system calls on a descriptor that was opened before,
    // and neither allocates nor locks.
    unsafe {
        process.pre_exec(move || {
            rustix::process::setsid()?;
            Ok(move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&namespace),
                Some(LinkNameSpaceType::Mount),
            )?)
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn command(command: &str) -> Probe {
        Probe::of_health_check(&HealthCheck::command(CommandInfo::shell(command)), None).unwrap()
    }

    #[test]
    fn a_commands_exit_code_is_seen() {
        assert_eq!(command("exit 0").look(TIMEOUT), Ok(Sight::Exit(Some(0))));
        assert_eq!(command("exit 7").look(TIMEOUT), Ok(Sight::Exit(Some(7))));
        assert!(!Sight::Exit(None).is_healthy());
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let reason = command("sleep 1000 & wait")
            .look(Duration::from_millis(200))
            .unwrap_err();
        assert!(reason.starts_with("Command timed out after 200ms"), "{reason}");
    }

    #[test]
    fn ports_are_connected_to_and_requests_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tcp = Probe::Tcp {
            address: loopback(port, None),
        };
        assert_eq!(tcp.look(TIMEOUT), Ok(Sight::Connected(true)));
        let server = thread::spawn(move || {
            // The first connection is the probe above.
            listener.accept().unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            stream
                .write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            String::from_utf8_lossy(&request[..count])
                .lines()
                .next()
                .unwrap()
                .to_string()
        });
        let http = HttpCheck {
            port,
            path: Some("/ready".into()),
            ..HttpCheck::default()
        };
        let check = HealthCheck {
            kind: Some(CheckKind::Http),
            http: Some(http),
            ..HealthCheck::command(CommandInfo::default())
        };
        let probe = Probe::of_health_check(&check, None).unwrap();
        assert_eq!(probe.look(TIMEOUT), Ok(Sight::Status(503)));
        assert_eq!(server.join().unwrap(), "GET /ready HTTP/1.1");
        assert_eq!(tcp.look(TIMEOUT), Ok(Sight::Connected(false)));
    }

    #[test]
    fn a_check_of_an_unknown_kind_is_refused_with_a_reason() {
        let check = HealthCheck {
            kind: Some(CheckKind::Other("GRPC".into())),
            ..HealthCheck::command(CommandInfo::default())
        };
        let reason = Probe::of_health_check(&check, None).unwrap_err();
        assert!(reason.contains("health_check") && reason.contains("GRPC"), "{reason}");
        let http = HttpCheck {
            scheme: Some("https".into()),
            ..HttpCheck::default()
        };
        let check = HealthCheck {
            kind: Some(CheckKind::Http),
            http: Some(http),
            ..check
        };
        assert!(Probe::of_health_check(&check, None).unwrap_err().contains("'https'"));
    }
}
