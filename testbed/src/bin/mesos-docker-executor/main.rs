//! `mesos-docker-executor`: what an agent's Docker containerizer starts for each command task.
//!
//! The official library does not have this program. This one speaks the same protocol with the agent (version 0: messages of
//! libprocess over HTTP), runs `docker run` with the same arguments and reports what becomes of the container. It outlives its agent
//! as Mesos' own does, and a container outlives it when it is killed.

mod docker;
mod driver;
mod executor;
mod libprocess;
mod messages;
mod options;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The sandbox's stderr is the log of this program and of the container alike.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let result = options::Options::of_process().and_then(executor::run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("mesos-docker-executor: {problem}");
            ExitCode::FAILURE
        }
    }
}
