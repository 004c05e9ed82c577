//! `scheduler declare-dead`: an operator declares that a task does not run, when the master cannot
//! say whether it does.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use scheduler::declared;
use scheduler::ledger::{self, ClaimState};
use scheduler::service::storage::read_runs;
use scheduler::state::{Attempt, JobState};
use scheduler::store::{Store, StoreError, read_state};

use crate::{Failure, STATE, print, usage};

/// How long a running scheduler may take to read a declaration. It looks for declarations every
/// second.
const TAKEN_WITHIN: Duration = Duration::from_secs(15);

#[derive(Args)]
pub(crate) struct DeadArgs {
    /// The id of the task, as `explain`, the output of the scheduler and `scheduler claims ls` show it
    task: String,
    /// The state folder of the scheduler; a scheduler may be using it
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

pub(crate) fn declare_dead(arguments: &DeadArgs) -> Result<(), Failure> {
    let DeadArgs { task, state } = arguments;
    let known = doubt(state, task).map_err(usage)?;
    declared::declare_dead(state, task).map_err(|error| Failure(error.to_string(), STATE))?;
    print(&format!("task {task}{known} is declared dead\n"))?;
    let begin = Instant::now();
    while begin.elapsed() < TAKEN_WITHIN {
        if !declared::declared_dead(state).map_err(usage)?.contains(task) {
            return print("the scheduler has read the declaration; its output shows the result\n");
        }
        match Store::open(state) {
            Ok(_) => {
                return print(
                    "no scheduler uses the folder now; the next scheduler reads the declaration when it starts\n",
                );
            }
            Err(StoreError::InUse { .. }) => thread::sleep(Duration::from_millis(100)),
            Err(error) => return Err(usage(error)),
        }
    }
    Err(usage(format!(
        "the scheduler that uses {} has not read the declaration; look at its output",
        state.display()
    )))
}

/// The last known state and agent of the task; or why it may not be declared dead, by the state on
/// disk. The scheduler checks this again.
fn doubt(state: &Path, task: &str) -> Result<String, String> {
    let mut states: Vec<JobState> = read_state(state)
        .map_err(|error| error.to_string())?
        .into_iter()
        .collect();
    let runs = read_runs(state).map_err(|error| error.to_string())?;
    states.extend(runs.into_iter().map(|run| run.state));
    let mut attempts = states.iter().flat_map(JobState::live).map(|(_, attempt)| attempt);
    let is = |attempt: &&Attempt| attempt.task_id == task;
    match attempts.find(is) {
        Some(attempt) => {
            let known = attempt.state.as_ref().map_or("not confirmed", |state| state.as_str());
            match attempt.is_in_doubt() {
                true => Ok(format!(" ({known} on {})", attempt.agent)),
                false => Err(format!(
                    "task {task} is {known} on {}; only a task of which the master cannot say whether it runs can be \
                     declared dead",
                    attempt.agent
                )),
            }
        }
        None => {
            let ledger = ledger::file::load(state)
                .map_err(|error| error.to_string())?
                .unwrap_or_default();
            let mut suspects = ledger.claims().filter(|(_, claim)| claim.state == ClaimState::Suspect);
            match suspects.find(|(_, claim)| claim.holder.task == task) {
                Some((volume, claim)) => Ok(format!(" (on agent {}, with volume {volume})", claim.agent)),
                None => Err(format!(
                    "{} knows no task {task} that may still run; 'scheduler claims ls' shows the claims",
                    state.display()
                )),
            }
        }
    }
}
