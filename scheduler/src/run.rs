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
use crate::machine::{Effects, Event, Machine, Rules};
use crate::notification::{self, Notifier};
use crate::progress::Progress;
use crate::state::Millis;
use crate::store::{Store, StoreError};

/// How often the declarations of operators are read while a task is in doubt, in milliseconds.
const DECLARATIONS_EVERY: Millis = 1_000;

/// The masters, and how a job is registered with them.
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
    /// An address of a master is wrong.
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
            "; its tasks are being killed: once they are gone, run the job again with another --state folder"
        }
        mesos_http::Error::TakenOver(_) => "; this scheduler ends",
        _ => "",
    }
}

/// Runs the job of `machine` until it is over, from where its state left it. `report` is called
/// with everything that happens.
///
/// # Errors
/// The state cannot be written, or the master refuses the framework. A master that cannot be
/// reached is no error: this is reported, and tried again for as long as it takes.
pub fn run(
    machine: &mut Machine,
    store: &Store,
    framework: &Framework,
    clock: &Clock,
    report: &mut dyn FnMut(Millis, &Progress),
) -> Result<(), RunError> {
    if machine.state().end.as_ref().is_some_and(|end| end.torn_down) {
        // A process that was killed after the end of the framework may have left notifications to
        // send.
        return notify(machine, store, clock, report);
    }
    let connection = connect(machine, framework)?;
    let mut events = VecDeque::new();
    loop {
        if machine.in_doubt().next().is_some() {
            let declared = declared::declared_dead(store.folder())?;
            events.extend(declared.into_iter().map(|task_id| Event::DeclaredDead { task_id }));
        }
        let event = match events.pop_front() {
            Some(event) => event,
            None => match next(&connection, machine, clock) {
                Ok(event) => event,
                Err(mesos_http::Error::FrameworkRemoved(_)) if machine.state().end.is_some() => {
                    return finish(machine, store);
                }
                Err(cause) => return Err(RunError::Master { cause }),
            },
        };
        let declared = match &event {
            Event::DeclaredDead { task_id } => Some(task_id.clone()),
            _ => None,
        };
        let Effects {
            save,
            progress: reports,
            calls,
            end,
        } = machine.handle(event, clock.now());
        if save {
            store.save(machine.state())?;
        }
        if let Some(task) = declared {
            declared::forget(store.folder(), &task)?;
        }
        for progress in &reports {
            report(clock.now(), progress);
        }
        if machine.state().end.is_some() {
            notify(machine, store, clock, report)?;
        }
        for call in calls {
            match crash_point::around(&call, || connection.deliver(&call)) {
                Ok(()) if call == Call::Teardown => return finish(machine, store),
                Ok(()) => {}
                Err(error) => {
                    let reason = error.to_string();
                    events.push_back(Event::CallFailed { call, reason });
                }
            }
        }
        if end {
            // The master has not received the end of the framework. A later run with the same
            // folder sends it.
            for event in events {
                for progress in machine.handle(event, clock.now()).progress {
                    report(clock.now(), &progress);
                }
            }
            return Ok(());
        }
    }
}

/// Sends the notifications of the job file once; twice when the scheduler is killed meanwhile.
fn notify(
    machine: &mut Machine,
    store: &Store,
    clock: &Clock,
    report: &mut dyn FnMut(Millis, &Progress),
) -> Result<(), RunError> {
    if machine.state().end.as_ref().is_none_or(|end| end.notified) {
        return Ok(());
    }
    // The job file is that of the caller, so its commands are too.
    let notifier = Notifier::new(Some(Commands::of_caller(notification::LIMIT)));
    for (target, error) in notifier.send(machine.plan(), machine.state()) {
        report(clock.now(), &Progress::NotNotified { target, reason: error });
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
fn next(connection: &Connection, machine: &Machine, clock: &Clock) -> Result<Event, mesos_http::Error> {
    let in_doubt = machine.in_doubt().next().is_some();
    let declarations = in_doubt.then(|| clock.now() + DECLARATIONS_EVERY);
    let notice = match machine.deadline().into_iter().chain(declarations).min() {
        None => connection.notices().recv().map_err(|_| mesos_http::Error::Ended)?,
        Some(deadline) => {
            let wait = Duration::from_millis(deadline.saturating_sub(clock.now()));
            match connection.notices().recv_timeout(wait) {
                Ok(notice) => notice,
                Err(error) if error.is_timeout() => return Ok(Event::Tick),
                Err(_) => return Err(mesos_http::Error::Ended),
            }
        }
    };
    match notice {
        Notice::Connected(subscribed) => Ok(Event::Connected {
            framework_id: subscribed.framework_id.0,
        }),
        Notice::Event(event) => Ok(Event::Master(Box::new(event))),
        Notice::Disconnected { error, .. } => Ok(Event::Disconnected {
            reason: error.to_string(),
        }),
        Notice::Failed(error) => Err(error),
        _ => Ok(Event::Tick),
    }
}
