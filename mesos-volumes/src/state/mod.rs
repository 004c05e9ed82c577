//! `ls`, `inspect`, `release` and `quarantine`: the agent's state folder, read and, with care,
//! repaired.

mod events;
mod inspect;
mod ls;
mod picture;
mod quarantine;
mod release;
mod running;
mod selection;
mod template;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use isolator::records::StoreError;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::exit;
use crate::failure::Failure;
use crate::print::{self, Said};
use crate::settings::Lookup;

pub(crate) use quarantine::Arguments as QuarantineArguments;
pub(crate) use release::Arguments as ReleaseArguments;

/// What the codes mean, for `--help`.
pub(crate) const HELP: &str = "\
Run it on the agent's host as root. Looking needs no lock: it works while the agent runs and while it is down.

Examples:
  mesos-volumes ls
  mesos-volumes ls --state-dir /srv/mesos/volumes --json
  mesos-volumes ls --filter state=stuck --filter state=uncertain
  mesos-volumes ls -q --filter container=5b1c
  mesos-volumes ls --format '{volume}\t{state}\t{last_error}'
  mesos-volumes inspect vol-7bca078f --audit-log /var/log/mesos-volumes.jsonl

Exit codes:
  0  done
  1  refused, or another failure; --json names the kind
  2  the command line is wrong
  3  nothing of that name
  6  the state folder cannot be used";

/// What every command here takes.
#[derive(Args)]
pub(crate) struct Common {
    /// The module's state folder, its parameter state_dir
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "MESOS_VOLUMES_STATE_DIR",
        default_value = "/var/lib/mesos-external-volumes"
    )]
    state_dir: PathBuf,
    /// Print JSON, also for a failure
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct LsArguments {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    selection: selection::Selection,
    #[command(flatten)]
    output: ls::Output,
    #[command(flatten)]
    lookup: Lookup,
}

#[derive(Args)]
pub(crate) struct InspectArguments {
    #[command(flatten)]
    common: Common,
    /// A container's id, or its beginning, or a volume's name
    #[arg(value_name = "CONTAINER|VOLUME")]
    what: String,
    #[command(flatten)]
    source: events::Source,
}

pub(crate) fn ls(arguments: &LsArguments) -> ExitCode {
    end(
        &arguments.common,
        ls::run(
            &arguments.common.state_dir,
            &arguments.selection,
            &arguments.output,
            &arguments.lookup,
        ),
    )
}

pub(crate) fn inspect(arguments: &InspectArguments) -> ExitCode {
    end(
        &arguments.common,
        inspect::run(&arguments.common.state_dir, &arguments.what, &arguments.source),
    )
}

pub(crate) fn release(arguments: &ReleaseArguments) -> ExitCode {
    end(&arguments.common, release::run(arguments))
}

pub(crate) fn quarantine(arguments: &QuarantineArguments) -> ExitCode {
    end(&arguments.common, quarantine::run(arguments))
}

fn end(common: &Common, result: Result<Said, Failure>) -> ExitCode {
    match result.and_then(|said| print::said(&said, common.json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if common.json {
                print::failure(&failure);
            }
            eprintln!("mesos-volumes: {failure}");
            exit::with(failure.code())
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Locked { .. } => Failure::Refused(error.to_string()),
            _ => Failure::Settings(error.to_string()),
        }
    }
}

/// Whole seconds are enough for people and programs.
fn moment(time: impl TryInto<Timestamp>) -> Option<Timestamp> {
    let time = time.try_into().ok()?;
    let seconds = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc);
    Some(time.round(seconds).unwrap_or(time))
}

fn words(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}
