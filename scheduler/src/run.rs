//! The scheduler with its I/O: a connection to the master, a folder for the state, a clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesos_http::endpoint::EndpointError;
use mesos_http::scheduler::{Call, Config, Connection, Notice};
use mesos_http::tls::Tls;
use mesos_http::types::FrameworkInfo;
use thiserror::Error;

use crate::bounded::Commands;
use crate::clock::Clock;
use crate::crash_point;
use crate::declared;
use crate::machine::{Input, Machine, Rules, Step};
use crate::notification::{self, Notifier};
use crate::progress::Progress;
use crate::state::Millis;
use crate::store::{Store, StoreError};

/// How often to look whether an operator has declared a task dead, in milliseconds, while one could be.
const DECLARATIONS_EVERY: Millis = 1_000;

/// As whom to run a job, and where.
#[derive(Clone, Debug)]
pub struct Framework {
    /// The masters, `host:port[,host:port...]`.
    pub masters: String,
    /// The user of tasks that name none.
    pub user: String,
    /// Principal and secret, when the master wants them.
    pub credential: Option<(String, String)>,
    /// For masters whose address begins with `https://`; `None`: the authorities this host trusts.
    pub tls: Option<Tls>,
    /// How often and how long to try.
    pub rules: Rules,
}

/// Why a scheduler stopped before its job was over. Its tasks, if any, go on, and a scheduler with the same state folder
/// takes them over.
#[derive(Debug, Error)]
pub enum RunError {
    /// The state cannot be written.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The masters' addresses are none.
    #[error("--master: {0}")]
    Address(#[from] EndpointError),
    /// The master refuses this framework for good.
    #[error("{cause}{}", remedy(cause))]
    Master {
        /// The master's words, or the connection's.
        cause: mesos_http::Error,
    },
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

fn remedy(error: &mesos_http::Error) -> &'static str {
    match error {
        mesos_http::Error::FrameworkRemoved(_) => {
            "; its tasks are being killed, give another --state to begin the job anew once they are gone"
        }
        mesos_http::Error::TakenOver(_) => "; this scheduler steps back",
        _ => "",
    }
}

/// Runs the job of `machine` until it is over, from where its state left it. `tell` hears what happens.
///
/// # Errors
/// The state cannot be written, or the master refuses the framework. That the master cannot be reached is no error: it is
/// told, and tried again for as long as it takes.
pub fn run(
    machine: &mut Machine,
    store: &Store,
    framework: &Framework,
    clock: &Clock,
    tell: &mut dyn FnMut(Millis, &Progress),
) -> Result<(), RunError> {
    if machine.state().end.as_ref().is_some_and(|end| end.torn_down) {
        // Only a run that was killed in between leaves somebody to be told.
        return notify(machine, store, clock, tell);
    }
    let connection = connect(machine, framework)?;
    let mut inputs = VecDeque::new();
    loop {
        if machine.in_doubt().next().is_some() {
            let declared = declared::declared_dead(store.folder())?;
            inputs.extend(declared.into_iter().map(|task_id| Input::DeclaredDead { task_id }));
        }
        let input = match inputs.pop_front() {
            Some(input) => input,
            None => match next(&connection, machine, clock) {
                Ok(input) => input,
                Err(mesos_http::Error::FrameworkRemoved(_)) if machine.state().end.is_some() => {
                    return finish(machine, store);
                }
                Err(cause) => return Err(RunError::Master { cause }),
            },
        };
        let declared = match &input {
            Input::DeclaredDead { task_id } => Some(task_id.clone()),
            _ => None,
        };
        let Step {
            save,
            tell: told,
            calls,
            end,
        } = machine.handle(input, clock.now());
        if save {
            store.save(machine.state())?;
        }
        if let Some(task) = declared {
            declared::forget(store.folder(), &task)?;
        }
        for progress in &told {
            tell(clock.now(), progress);
        }
        if machine.state().end.is_some() {
            notify(machine, store, clock, tell)?;
        }
        for call in calls {
            match crash_point::around(&call, || connection.deliver(&call)) {
                Ok(()) if call == Call::Teardown => return finish(machine, store),
                Ok(()) => {}
                Err(error) => {
                    let reason = error.to_string();
                    inputs.push_back(Input::CallFailed { call, reason });
                }
            }
        }
        if end {
            // The master did not hear of the end; a later run on the same folder tells it.
            for input in inputs {
                for progress in machine.handle(input, clock.now()).tell {
                    tell(clock.now(), &progress);
                }
            }
            return Ok(());
        }
    }
}

/// Tells those of the job file how the job ended, once; twice when the scheduler is killed meanwhile.
fn notify(
    machine: &mut Machine,
    store: &Store,
    clock: &Clock,
    tell: &mut dyn FnMut(Millis, &Progress),
) -> Result<(), RunError> {
    if machine.state().end.as_ref().is_none_or(|end| end.notified) {
        return Ok(());
    }
    // The job file is that of the caller, so its commands are too.
    let notifier = Notifier::new(Some(Commands::of_caller(notification::LIMIT)));
    for (target, error) in notifier.send(machine.plan(), machine.state()) {
        tell(clock.now(), &Progress::NotNotified { target, reason: error });
    }
    machine.notified();
    Ok(store.save(machine.state())?)
}

fn finish(machine: &mut Machine, store: &Store) -> Result<(), RunError> {
    machine.torn_down();
    Ok(store.save(machine.state())?)
}

fn connect(machine: &Machine, framework: &Framework) -> Result<Connection, RunError> {
    let mut info = FrameworkInfo::new(machine.state().job.clone(), framework.user.clone())
        .with_id(machine.state().framework_id.clone().map(Into::into))
        .with_roles([framework.rules.role.clone()]);
    info.principal = framework.credential.as_ref().map(|(principal, _)| principal.clone());
    let mut config = Config::new(&framework.masters, info)?;
    config.credential = framework.credential.clone();
    config.tls = framework.tls.clone();
    Ok(Connection::open(config))
}

/// What happens next: a notice, or the machine's deadline.
fn next(connection: &Connection, machine: &Machine, clock: &Clock) -> Result<Input, mesos_http::Error> {
    let in_doubt = machine.in_doubt().next().is_some();
    let declarations = in_doubt.then(|| clock.now() + DECLARATIONS_EVERY);
    let notice = match machine.deadline().into_iter().chain(declarations).min() {
        None => connection.notices().recv().map_err(|_| mesos_http::Error::Ended)?,
        Some(deadline) => {
            let wait = Duration::from_millis(deadline.saturating_sub(clock.now()));
            match connection.notices().recv_timeout(wait) {
                Ok(notice) => notice,
                Err(error) if error.is_timeout() => return Ok(Input::Tick),
                Err(_) => return Err(mesos_http::Error::Ended),
            }
        }
    };
    match notice {
        Notice::Connected(subscribed) => Ok(Input::Connected {
            framework_id: subscribed.framework_id.0,
        }),
        Notice::Event(event) => Ok(Input::Event(Box::new(event))),
        Notice::Disconnected { error, .. } => Ok(Input::Disconnected {
            reason: error.to_string(),
        }),
        Notice::Failed(error) => Err(error),
        _ => Ok(Input::Tick),
    }
}
