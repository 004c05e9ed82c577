//! What the agent and its isolators put on the command line.

use std::path::PathBuf;

use clap::Parser;
use mesos_http::types::{CommandInfo, Environment};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Runs one command task for a Mesos agent.
///
/// It is started by the agent (from its --launcher_dir, with --http_command_executor), never by
/// hand: it takes what it has to do from MESOS_* variables and the agent's executor API.
#[derive(Debug, Parser)]
#[command(name = "mesos-executor", version)]
pub(crate) struct Options {
    /// Where the other Mesos programs are.
    #[arg(long = "launcher_dir", default_value = "/usr/libexec/mesos")]
    pub(crate) launcher_dir: PathBuf,
    /// The root file system of the task.
    #[arg(long = "rootfs")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Where the sandbox is inside of --rootfs.
    #[arg(long = "sandbox_directory")]
    pub(crate) sandbox_directory: Option<PathBuf>,
    /// The task's working directory inside of --rootfs; --sandbox_directory when absent.
    #[arg(long = "working_directory")]
    pub(crate) working_directory: Option<PathBuf>,
    /// The user of the task inside of --rootfs; without --rootfs this program already runs as that user.
    #[arg(long = "user")]
    pub(crate) user: Option<String>,
    /// The command, as a CommandInfo in JSON, instead of the one in the task.
    #[arg(long = "task_command", value_parser = json::<CommandInfo>)]
    pub(crate) task_command: Option<CommandInfo>,
    /// Variables for the task's environment, as an Environment in JSON.
    #[arg(long = "task_environment", value_parser = json::<Environment>)]
    pub(crate) task_environment: Option<Environment>,
    /// The capabilities of the task, as a CapabilityInfo in JSON.
    #[arg(long = "effective_capabilities", value_parser = json::<Value>)]
    pub(crate) effective_capabilities: Option<Value>,
    /// The capabilities the task may get, as a CapabilityInfo in JSON.
    #[arg(long = "bounding_capabilities", value_parser = json::<Value>)]
    pub(crate) bounding_capabilities: Option<Value>,
    /// What else the task's container needs, as a ContainerLaunchInfo in JSON.
    #[arg(long = "task_launch_info", value_parser = json::<Value>)]
    pub(crate) task_launch_info: Option<Value>,
    /// The terminal of the task.
    #[arg(long = "tty_slave_path")]
    pub(crate) tty_slave_path: Option<PathBuf>,
    /// Further groups of the task, numbers separated by commas.
    #[arg(long = "task_supplementary_groups", value_delimiter = ',')]
    pub(crate) task_supplementary_groups: Vec<u32>,
}

impl Options {
    /// Whether the task needs a container of its own inside the executor's: then it is started by
    /// `mesos-containerizer launch`, the program that makes containers.
    pub(crate) fn needs_containerizer(&self) -> bool {
        self.rootfs.is_some()
            || self.user.is_some()
            || self.effective_capabilities.is_some()
            || self.bounding_capabilities.is_some()
            || self.task_launch_info.is_some()
            || !self.task_supplementary_groups.is_empty()
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["mesos-executor"], arguments].concat()).unwrap()
    }

    #[test]
    fn a_plain_command_task_needs_no_container_of_its_own() {
        let options = parse(&["--launcher_dir=/opt/mesos"]);
        assert_eq!(options.launcher_dir, PathBuf::from("/opt/mesos"));
        assert!(!options.needs_containerizer());
    }

    #[test]
    fn the_arguments_of_an_image_task_are_understood() {
        let options = parse(&[
            "--launcher_dir=/opt/mesos",
            "--sandbox_directory=/mnt/mesos/sandbox",
            "--user=nobody",
            "--working_directory=/srv",
            r#"--task_command={"shell":false,"value":"id","arguments":["id","-u"]}"#,
            r#"--task_environment={"variables":[{"name":"A","value":"1"}]}"#,
            "--task_supplementary_groups=10,20",
            "--rootfs=/var/lib/rootfs",
        ]);
        assert!(options.needs_containerizer());
        assert_eq!(options.task_command.unwrap().arguments, ["id", "-u"]);
        assert_eq!(options.task_supplementary_groups, [10, 20]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for argument in [
            "--task_command=echo",
            "--unknown=1",
            "--task_supplementary_groups=wheel",
        ] {
            assert!(
                Options::try_parse_from(["mesos-executor", argument]).is_err(),
                "{argument}"
            );
        }
    }
}
