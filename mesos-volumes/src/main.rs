//! The operator's command line for external volumes on a Mesos agent.
//!
//! One file per command. Called by the name `dvdcli` it is the drop-in for that program.
#![forbid(unsafe_code)]

mod agents;
mod doctor;
mod driver;
mod dvdcli;
mod exit;
mod failure;
mod host;
mod print;
mod reach;
mod settings;
mod state;
mod unrecorded;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at external volumes and their drivers on this host.
#[derive(Parser)]
#[command(name = "mesos-volumes", version, about, after_long_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows the drivers and volumes of all agents of a master, and which agents need a look
    #[command(after_long_help = agents::HELP)]
    Agents(agents::Arguments),
    /// Looks at a running agent: whether its containers will get their volumes, and if not, what to
    /// do.
    #[command(after_long_help = doctor::HELP)]
    Doctor(doctor::Arguments),
    /// Talks to volume drivers: lists them, and calls one.
    #[command(after_long_help = exit::DRIVER_HELP)]
    Driver(driver::Arguments),
    /// Shows one container or one volume in full
    #[command(after_long_help = state::HELP)]
    Inspect(state::InspectArguments),
    /// Lists volumes: who has each, since when, its state, its last error and next try
    #[command(after_long_help = state::HELP)]
    Ls(state::LsArguments),
    /// Looks at, restores or removes the files that the agent found to be no records
    #[command(after_long_help = state::HELP)]
    Quarantine(state::QuarantineArguments),
    /// Marks the record of a container that is gone, while the agent is down: at its next start it
    /// lets the volumes go
    #[command(after_long_help = state::HELP)]
    Release(state::ReleaseArguments),
    /// Does what dvdcli 0.2 does, without its faults. Also reached by calling this program
    /// `dvdcli`.
    #[command(disable_help_flag = true)]
    Dvdcli {
        /// dvdcli's own command and flags; `dvdcli help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    if Path::new(&program).file_name() == Some(OsStr::new("dvdcli")) {
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        return dvdcli::run(&words);
    }
    match Arguments::parse().command {
        Command::Agents(arguments) => agents::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Driver(arguments) => driver::run(arguments),
        Command::Inspect(arguments) => state::inspect(&arguments),
        Command::Ls(arguments) => state::ls(&arguments),
        Command::Quarantine(arguments) => state::quarantine(&arguments),
        Command::Release(arguments) => state::release(&arguments),
        Command::Dvdcli { arguments } => dvdcli::run(&arguments),
    }
}
