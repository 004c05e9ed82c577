//! The Docker client, as Mesos calls it.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::messages::TaskInfo;
use crate::options::Options;

/// The client with the daemon's address.
fn client(options: &Options) -> Command {
    let mut command = Command::new(&options.docker);
    command.arg("-H").arg(format!("unix://{}", options.docker_socket));
    command
}

/// Starts `docker run`, which ends when the container does.
///
/// # Errors
/// The task has no container or no command of the kind that Mesos accepts here, or the client cannot be started.
pub(crate) fn run(options: &Options, task: &TaskInfo) -> io::Result<Child> {
    client(options)
        .args(arguments(options, task)?)
        .stdin(Stdio::null())
        .spawn()
}

/// In the order of Mesos' own: name, environment, volumes, network, parameters, image, command.
fn arguments(options: &Options, task: &TaskInfo) -> io::Result<Vec<String>> {
    let missing = |what: &str| io::Error::other(format!("the task has no {what}"));
    let container = task.container.as_ref().ok_or_else(|| missing("container"))?;
    let docker = container.docker.as_ref().ok_or_else(|| missing("Docker image"))?;
    let command = task.command.clone().unwrap_or_default();
    let mut arguments: Vec<String> = vec!["run".into()];
    let environment = command.environment.clone().unwrap_or_default();
    for variable in environment.variables {
        arguments.extend([
            "-e".into(),
            format!("{}={}", variable.name, variable.value.unwrap_or_default()),
        ]);
    }
    arguments.extend(["-e".into(), format!("MESOS_SANDBOX={}", options.mapped)]);
    for volume in &container.volumes {
        // A volume of another source is the Docker daemon's own, or none of Docker's.
        let Some(host_path) = &volume.host_path else { continue };
        let absolute = |path: &str| Path::new(path).is_absolute();
        if !absolute(host_path) && !absolute(&volume.container_path) {
            return Err(io::Error::other(format!(
                "Both host_path '{host_path}' and container_path '{}' of a volume are relative",
                volume.container_path
            )));
        }
        let mode = if volume.mode == 2 { "ro" } else { "rw" };
        let source = Path::new(&options.sandbox).join(host_path);
        let target = Path::new(&options.mapped).join(&volume.container_path);
        arguments.extend(["-v".into(), format!("{}:{}:{mode}", source.display(), target.display())]);
    }
    arguments.extend(["-v".into(), format!("{}:{}", options.sandbox, options.mapped)]);
    let network = match docker.network {
        Some(2) => "bridge",
        Some(3) => "none",
        _ => "host",
    };
    arguments.extend(["--net".into(), network.into()]);
    for parameter in &docker.parameters {
        arguments.push(format!("--{}={}", parameter.key, parameter.value));
    }
    let shell = command.shell();
    if shell {
        arguments.extend(["--entrypoint".into(), "/bin/sh".into()]);
    }
    arguments.extend(["--name".into(), options.container.clone(), docker.image.clone()]);
    if shell {
        let value = command.value.ok_or_else(|| missing("command"))?;
        arguments.extend(["-c".into(), value]);
    } else {
        arguments.extend(command.value);
        arguments.extend(command.arguments);
    }
    Ok(arguments)
}

/// Whether the container was started, now or at any time.
pub(crate) fn was_started(options: &Options) -> bool {
    let output = client(options)
        .args(["inspect", "--format", "{{.State.StartedAt}}", &options.container])
        .output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.starts_with(b"0001-"))
}

/// Ends the container: SIGTERM, and SIGKILL after `grace`.
pub(crate) fn stop(options: &Options, grace: Duration) {
    let seconds = grace.as_secs().to_string();
    let stopped = client(options)
        .args(["stop", "-t", &seconds, &options.container])
        .stdout(Stdio::null())
        .status();
    match stopped {
        Ok(status) if status.success() => {}
        other => tracing::warn!(?other, "docker stop failed"),
    }
}
