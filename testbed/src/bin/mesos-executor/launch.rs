//! Starting the task's command.
//!
//! A plain task is a child of this program in a session of its own; sandbox, user and volumes are
//! those this program was started with. A task with a root file system, capabilities or mounts of
//! its own is started through `mesos-containerizer launch`, which does for it what it did for
//! this program, and then becomes the task.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use mesos_http::types::{CommandInfo, TaskInfo};
use serde_json::{Value, json};

use crate::environment::{self, Variables};
use crate::options::Options;

/// Why a task cannot be started. The text is what the scheduler gets to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("Task '{0}' has no command")]
    NoCommand(String),
    #[error("Failed to execute '{program}': {source}")]
    Execute { program: String, source: io::Error },
    #[error("Failed to change the owner of the sandbox to '{user}': {reason}")]
    Owner { user: String, reason: String },
}

/// The command of a task: an isolator's (an image has its own entrypoint) before the task's.
pub(crate) fn command_of<'a>(options: &'a Options, task: &'a TaskInfo) -> Option<&'a CommandInfo> {
    options.task_command.as_ref().or(task.command.as_ref())
}

/// Starts the command.
pub(crate) fn launch(options: &Options, task: &TaskInfo) -> Result<Child, LaunchError> {
    let none = || LaunchError::NoCommand(task.task_id.to_string());
    let command = command_of(options, task).ok_or_else(none)?;
    let value = command.value.as_deref().ok_or_else(none)?;
    let from_isolators = options.task_environment.as_ref();
    let variables = environment::of_task(std::env::vars_os(), from_isolators, &command.environment, task);
    let (program, mut process) = if options.needs_containerizer() {
        if let (Some(_), Some(user)) = (&options.rootfs, &options.user) {
            own_sandbox(user)?;
        }
        let program = options.launcher_dir.join("mesos-containerizer");
        (
            program.display().to_string(),
            through_containerizer(&program, options, command, &variables),
        )
    } else {
        (value.to_string(), plain(value, command, &variables))
    };
    // With a terminal the agent has already made the session the terminal belongs to.
    if options.tty_slave_path.is_none() {
        in_own_session(&mut process);
    }
    process
        .spawn()
        .map_err(|source| LaunchError::Execute { program, source })
}

fn plain(value: &str, command: &CommandInfo, variables: &Variables) -> Command {
    let mut process = shell_or_program(value, command);
    process.env_clear().envs(variables);
    process
}

/// `sh -c VALUE`, or the program with its whole argument list, its name first.
pub(crate) fn shell_or_program(value: &str, command: &CommandInfo) -> Command {
    if command.shell {
        let mut process = Command::new("/bin/sh");
        process.arg0("sh").args(["-c", value]);
        return process;
    }
    let mut process = Command::new(value);
    if let Some((name, rest)) = command.arguments.split_first() {
        process.arg0(name).args(rest);
    }
    process
}

/// The agent makes the sandbox for the user this program runs as; with a root file system that is
/// root, while the task is somebody else.
fn own_sandbox(user: &str) -> Result<(), LaunchError> {
    let failed = |reason: String| LaunchError::Owner {
        user: user.to_string(),
        reason,
    };
    let output = Command::new("chown").args(["--", user, "."]).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_string()))
}

fn through_containerizer(program: &Path, options: &Options, command: &CommandInfo, variables: &Variables) -> Command {
    let launch_info = launch_info(options, command, variables);
    let mut process = Command::new(program);
    // As the agent itself hands it over: every flag of the program can be a variable.
    process
        .arg("launch")
        .env("MESOS_CONTAINERIZER_LAUNCH_INFO", launch_info.to_string());
    if options.rootfs.is_some() {
        // The root is changed with pivot_root, which must not reach this program.
        process.arg("--unshare_namespace_mnt=true");
    }
    process
}

/// A ContainerLaunchInfo.
fn launch_info(options: &Options, command: &CommandInfo, variables: &Variables) -> Value {
    let variables: Vec<Value> = variables
        .iter()
        .filter_map(|(name, value)| Some(json!({"name": name.to_str()?, "value": value.to_str()?})))
        .collect();
    let mut info = json!({"command": command, "environment": {"variables": variables}});
    if let Some(rootfs) = &options.rootfs {
        info["rootfs"] = json!(rootfs);
        info["working_directory"] = json!(
            options
                .working_directory
                .as_ref()
                .or(options.sandbox_directory.as_ref())
        );
    }
    if let Some(user) = &options.user {
        info["user"] = json!(user);
    }
    if let Some(capabilities) = &options.effective_capabilities {
        info["effective_capabilities"] = capabilities.clone();
    }
    if let Some(capabilities) = &options.bounding_capabilities {
        info["bounding_capabilities"] = capabilities.clone();
    }
    if !options.task_supplementary_groups.is_empty() {
        info["supplementary_groups"] = json!(options.task_supplementary_groups);
    }
    if let Some(task_info) = &options.task_launch_info {
        for field in ["mounts", "file_operations", "pre_exec_commands", "clone_namespaces"] {
            if let Some(value) = task_info.get(field) {
                info[field] = value.clone();
            }
        }
    }
    info
}

/// Makes the child the leader of a session, so that it and what it starts can be signalled
/// without this program.
#[allow(
    unsafe_code,
    reason = "code between fork and exec can only be given by `pre_exec`, which is unsafe"
)]
fn in_own_session(process: &mut Command) {
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // functions may be called. It makes one system call and neither allocates nor locks.
    unsafe {
        process.pre_exec(|| Ok(rustix::process::setsid().map(|_| ())?));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["mesos-executor"], arguments].concat()).unwrap()
    }

    fn task(command: CommandInfo) -> TaskInfo {
        TaskInfo::command("t", "S".into(), command, Default::default())
    }

    fn run(command: CommandInfo) -> Option<i32> {
        launch(&options(&[]), &task(command)).unwrap().wait().unwrap().code()
    }

    #[test]
    fn shell_commands_and_programs_are_run() {
        assert_eq!(
            run(CommandInfo::shell("test \"$A\" = 'b c' && exit 3").env("A", "b c")),
            Some(3)
        );
        assert_eq!(run(CommandInfo::program(["sh", "-c", "exit 4"])), Some(4));
        let renamed = CommandInfo {
            arguments: vec!["other".into(), "-c".into(), "test $0 = other".into()],
            ..CommandInfo::program(["/bin/sh"])
        };
        assert_eq!(run(renamed), Some(0));
    }

    #[test]
    fn the_command_leads_a_session_of_its_own() {
        let command = "test \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$";
        assert_eq!(run(CommandInfo::shell(command)), Some(0));
    }

    #[test]
    fn a_missing_program_and_a_missing_command_are_named() {
        let missing = launch(&options(&[]), &task(CommandInfo::program(["/no/such/program"]))).unwrap_err();
        let text = missing.to_string();
        assert!(
            text.starts_with("Failed to execute '/no/such/program': No such file"),
            "{text}"
        );
        let none = launch(&options(&[]), &task(CommandInfo::default())).unwrap_err();
        assert_eq!(none.to_string(), "Task 't' has no command");
    }

    #[test]
    fn an_image_task_goes_through_the_containerizer() {
        let options = options(&[
            "--rootfs=/rootfs",
            "--sandbox_directory=/mnt/mesos/sandbox",
            "--user=nobody",
            r#"--effective_capabilities={"capabilities":["CHOWN"]}"#,
            r#"--task_launch_info={"mounts":[{"target":"/x"}],"rootfs":"/ignored"}"#,
        ]);
        let info = launch_info(&options, &CommandInfo::shell("id"), &Variables::new());
        let expected = json!({
            "command": {"value": "id", "shell": true}, "environment": {"variables": []},
            "rootfs": "/rootfs", "working_directory": "/mnt/mesos/sandbox", "user": "nobody",
            "effective_capabilities": {"capabilities": ["CHOWN"]}, "mounts": [{"target": "/x"}],
        });
        assert_eq!(info, expected);
    }
}
