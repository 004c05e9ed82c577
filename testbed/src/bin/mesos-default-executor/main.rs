//! `mesos-default-executor`: what an agent starts for a task group (a pod). Mesos' own is not in the official library; this one is
//! the testbed's, and does with the agent's API what Mesos' own does as far as an isolator can tell.
//!
//! Each task of a LAUNCH_GROUP becomes a container nested in this program's own, with the task's command, container and
//! resources; its labels stay with the task. When one fails, the others of its group are killed. A health check by command is a
//! DEBUG session in the task's container.
//!
//! A task of a plain LAUNCH, which Mesos' own refuses, is a child process in this program's own container, with the shell
//! command in the task's `data`: so it also serves as a framework's custom executor with several tasks.
//!
//! It ends when its last task has ended and the agent has acknowledged that, or without its agent.

mod child;
mod executor;
mod health;
mod member;
mod running;

use std::process::ExitCode;

use clap::Parser;
use mesos_http::executor::Environment;

/// Runs task groups for a Mesos agent, each task in a nested container.
///
/// It is started by the agent (from its --launcher_dir), never by hand: it takes what it has to do from MESOS_* variables and
/// the agent's executor API.
#[derive(Debug, Parser)]
#[command(name = "mesos-default-executor", version)]
struct Options {
    /// Where the other Mesos programs are. The agent gives it; nothing of it is needed.
    #[arg(long = "launcher_dir")]
    _launcher_dir: Option<String>,
}

fn main() -> ExitCode {
    Options::parse();
    let agent = std::env::var("MESOS_AGENT_ENDPOINT").unwrap_or_default();
    let environment = match Environment::of_process() {
        Ok(environment) => environment,
        Err(error) => {
            eprintln!("mesos-default-executor: {error}");
            return ExitCode::FAILURE;
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    match agent.parse() {
        Ok(agent) => executor::run(environment, agent),
        Err(error) => {
            eprintln!("mesos-default-executor: MESOS_AGENT_ENDPOINT is '{agent}': {error}");
            ExitCode::FAILURE
        }
    }
}
