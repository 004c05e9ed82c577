//! `mesos-executor`: what an agent with `--http_command_executor` starts for each command task.
//!
//! It subscribes to the agent's v1 executor API, runs the task's command, reports what becomes of
//! it, and ends when the agent has acknowledged the last report. While the framework checkpoints
//! it outlives its agent for `MESOS_RECOVERY_TIMEOUT`, and the task with it.

mod checks;
mod child;
mod environment;
mod exit;
mod health;
mod launch;
mod options;
mod probe;
mod process_tree;
mod supervisor;
mod task;
mod token;

use std::process::ExitCode;

use clap::Parser;
use mesos_http::executor::Environment;

fn main() -> ExitCode {
    let options = options::Options::parse();
    let environment = match Environment::of_process() {
        Ok(environment) => environment,
        Err(error) => {
            eprintln!("mesos-executor: {error}");
            return ExitCode::FAILURE;
        }
    };
    token::wipe();
    // The sandbox's stderr is the log of this program and of the task alike.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    supervisor::run(options, environment)
}
