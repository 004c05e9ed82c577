//! `scheduler run`: a service with one job, without an API, that ends with the job.

use crate::bounded::Commands;
use crate::clock::Clock;
use crate::framework::{Framework, RunError, subscribe};
use crate::notification::{self, Notifier};
use crate::plan::Plan;
use crate::service::Service;
use crate::service::serve::{Reporter, Running};
use crate::state::JobState;
use crate::store::Store;

/// Runs the job of `plan` until it is over, from where `state` left it. `report` is called with
/// everything that happens. Returns the state that the job is in then.
///
/// A master that cannot be reached is no error: this is reported, and tried again for as long as it
/// takes. The errors are that the state cannot be written, or that the master refuses the
/// framework.
pub fn run(
    plan: Plan,
    state: JobState,
    store: Store,
    framework: &Framework,
    clock: &Clock,
    report: Reporter,
) -> (JobState, Result<(), RunError>) {
    if state.end.as_ref().is_some_and(|end| end.torn_down && end.notified) {
        return (state, Ok(()));
    }
    let connection = match subscribe(framework, state.framework_id.clone()) {
        Ok(connection) => connection,
        Err(error) => return (state, Err(error)),
    };
    // The job file is that of the caller, so its commands are too.
    let notifier = Notifier::new(Some(Commands::of_caller(notification::LIMIT)));
    let before = state.clone();
    let service = Service::of_one_job(plan, state, framework.rules.clone(), clock.now());
    let running = Running::start(service, Box::new(store), connection, clock, notifier, report);
    let shared = running.shared();
    let ended = running.run();
    let state = shared.read(|service, _| service.only_run().map(|run| run.state().clone()));
    (state.unwrap_or(before), ended.map_err(|error| error.about(framework)))
}
