//! The service with its I/O: the master, the operator stream, the storage's listings, a folder, a
//! clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mesos_http::endpoint::Endpoint;
use mesos_http::operator::Master;
use mesos_http::scheduler::{Call, Caller, Connection, Notice};

use super::listing::Listing;
use super::storage::{self, Storage};
use super::{Effects, Event, RequestError, RunId, Service};
use crate::clock::Clock;
use crate::crash_point;
use crate::framework::{self, Framework, RunError};
use crate::notification::Notifier;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::state::{JobState, Millis};
use crate::store::StoreError;

/// How often the service gets a [`Event::Tick`], in milliseconds; sooner when something is due.
const TICK: Millis = 250;
/// How many events are handled together at most. The API and the schedules have their turn after
/// them.
const TOGETHER: usize = 500;
/// For how many ended runs notifications are sent at the same time, so that receivers that do not
/// answer delay no other run.
const NOTIFIERS: usize = 8;
/// An operator call has to be answered within this.
const OPERATOR_DEADLINE: Duration = Duration::from_secs(30);

/// Called with everything to report, and with the run that it is about.
pub type Reporter = Box<dyn Fn(Millis, Option<&RunId>, &Progress) + Send>;

/// The service and its storage, for one thread at a time. No call to the master is made while it is
/// locked.
pub struct Core {
    service: Service,
    storage: Box<dyn Storage>,
    /// The calls to the master, in this order.
    calls: crossbeam_channel::Sender<Call>,
    clock: Clock,
    report: Reporter,
    /// Why it cannot go on. From then on nothing is written: what is on disk is what the next
    /// instance goes on from, and another line behind half a line would spoil it.
    broken: Option<Arc<StoreError>>,
    /// Runs whose notifications are to be sent.
    ended: crossbeam_channel::Sender<EndedRun>,
    /// Whether the framework's end was sent, so that nothing is left to do.
    over: bool,
}

/// A run that has ended, with everything that its notifications need. Its record may be gone by
/// then.
struct EndedRun {
    id: RunId,
    plan: Plan,
    state: JobState,
}

impl EndedRun {
    fn of(service: &Service, id: &RunId) -> Option<Self> {
        let run = service.runs().get(id)?;
        Some(Self {
            id: id.clone(),
            plan: run.plan().clone(),
            state: run.state().clone(),
        })
    }
}

/// A handle that several threads share.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Core>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the service.
    pub fn read<T>(&self, look: impl FnOnce(&Service, Millis) -> T) -> T {
        let core = self.lock();
        look(&core.service, core.clock.now())
    }

    /// Changes the service, and returns once the change is on disk. The calls to the master follow.
    ///
    /// # Errors
    /// The request's own; or the state cannot be written.
    pub fn change<T>(
        &self,
        act: impl FnOnce(&mut Service, Millis) -> Result<(T, Effects), RequestError>,
    ) -> Result<T, RequestError> {
        let mut core = self.lock();
        core.refuse_when_broken()?;
        let now = core.clock.now();
        let (value, effects) = act(&mut core.service, now)?;
        core.carry_out(effects);
        core.refuse_when_broken()?;
        Ok(value)
    }
}

impl Core {
    fn refuse_when_broken(&self) -> Result<(), RequestError> {
        match &self.broken {
            Some(error) => Err(RequestError::Unwritable(error.to_string())),
            None => Ok(()),
        }
    }

    /// Saves, reports and calls, in this order, as [`Effects`] says.
    fn carry_out(&mut self, effects: Effects) {
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = storage::save(self.storage.as_mut(), &self.service, &effects) {
            // What is not on disk must not be done; the next instance goes on from what is.
            self.broken = Some(Arc::new(error));
            return;
        }
        for (run, progress) in &effects.progress {
            (self.report)(self.clock.now(), run.as_ref(), progress);
        }
        for call in effects.calls {
            // The thread that makes them lives as long as this does.
            let _ = self.calls.send(call);
        }
        for ended in effects.ended.iter().filter_map(|id| EndedRun::of(&self.service, id)) {
            // The threads that send notifications live as long as this does.
            let _ = self.ended.send(ended);
        }
    }

    /// Carries the events out, and forgets the declarations among them once what follows from them
    /// is on disk.
    fn events(&mut self, events: Vec<Event>) {
        let declared = events.iter().filter_map(|event| match event {
            Event::DeclaredDead { task_id } => Some(task_id.clone()),
            _ => None,
        });
        let declared: Vec<String> = declared.collect();
        let now = self.clock.now();
        self.service.set_lead(self.clock.lead(), now);
        let effects = self.service.handle_all(events, now);
        self.carry_out(effects);
        if self.broken.is_none()
            && let Err(error) = self.storage.forget_declared(&declared)
        {
            self.broken = Some(Arc::new(error));
        }
    }

    /// The master has accepted the framework's end, or has removed the framework.
    fn torn_down(&mut self) {
        self.over = true;
        let effects = self.service.torn_down(self.clock.now());
        self.carry_out(effects);
    }

    /// Adds the declarations of operators that tasks do not run.
    fn take_declarations(&mut self, events: &mut Vec<Event>) {
        match self.storage.declared_dead() {
            Ok(tasks) => events.extend(tasks.into_iter().map(|task_id| Event::DeclaredDead { task_id })),
            Err(error) => self.broken = Some(error.into()),
        }
    }
}

/// Makes the calls. They arrive here once the state that they follow from is on disk.
fn make_calls(shared: &Shared, caller: &Caller, calls: &crossbeam_channel::Receiver<Call>) {
    while let Ok(call) = calls.recv() {
        let sent = crash_point::around(&call, || caller.deliver(&call));
        let mut core = shared.lock();
        let now = core.clock.now();
        match sent {
            Ok(()) if call == Call::Teardown => core.torn_down(),
            Ok(()) => core.service.sent(&call, now),
            Err(error) => {
                // A later run with the same folder ends the framework.
                core.over |= call == Call::Teardown;
                let (call, reason) = (call.kind().to_owned(), error.to_string());
                (core.report)(now, None, &Progress::CallFailed { call, reason });
            }
        }
    }
}

/// A service that was started.
pub struct Running {
    shared: Shared,
    connection: Connection,
    clock: Clock,
}

impl Running {
    /// Starts the service on a connection to the master. `storage` keeps its state.
    pub fn start(
        service: Service,
        storage: Box<dyn Storage>,
        connection: Connection,
        clock: &Clock,
        notifier: Notifier,
        report: Reporter,
    ) -> Self {
        let (ended, to_notify) = crossbeam_channel::unbounded();
        for (id, run) in service.runs() {
            let is_unnotified = run.state().end.as_ref().is_some_and(|end| !end.notified);
            if let Some(run) = is_unnotified.then(|| EndedRun::of(&service, id)).flatten() {
                // The receiver exists in this function.
                let _ = ended.send(run);
            }
        }
        let (calls, to_make) = crossbeam_channel::unbounded();
        let shared = Shared(Arc::new(Mutex::new(Core {
            service,
            storage,
            calls,
            clock: clock.clone(),
            report,
            broken: None,
            ended,
            over: false,
        })));
        let (calling, caller) = (shared.clone(), connection.caller());
        spawn("calls", move || make_calls(&calling, &caller, &to_make));
        for _ in 0..NOTIFIERS {
            let (notifying, to_notify, notifier) = (shared.clone(), to_notify.clone(), notifier.clone());
            spawn("notifications", move || notify_ends(&notifying, &to_notify, &notifier));
        }
        Self {
            shared,
            connection,
            clock: clock.clone(),
        }
    }

    /// Lists the storage's volumes now, and then every so often.
    ///
    /// # Errors
    /// The first listing cannot be had.
    pub fn list(&self, listing: Listing, every: Duration) -> Result<(), String> {
        let (first, asked) = listing.ask(&self.clock)?;
        {
            let mut core = self.shared.lock();
            let effects = core.service.listed(first, asked, self.clock.now());
            core.carry_out(effects);
        }
        let shared = self.shared.clone();
        spawn("storage", move || keep_listing(&shared, &listing, every));
        Ok(())
    }

    /// The handle for API and page.
    pub fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Follows the operator stream of the leading master, as the framework's principal.
    ///
    /// # Errors
    /// The masters' addresses are none.
    pub fn watch(&self, framework: &Framework) -> Result<(), RunError> {
        let shared = self.shared.clone();
        let mut master = Master::any_of(Endpoint::parse_list(&framework.masters)?, OPERATOR_DEADLINE);
        if let Some(tls) = &framework.tls {
            master = master.with_tls(tls.clone());
        }
        if let Some((principal, secret)) = &framework.credential {
            master = master.with_credential(principal, secret);
        }
        spawn("operator-stream", move || {
            let watch = master.watch();
            while let Ok(event) = watch.events().recv() {
                let mut events = vec![event];
                events.extend(watch.events().try_iter().take(TOGETHER));
                let mut core = shared.lock();
                let now = core.clock.now();
                let effects = core.service.cluster_all(events, now);
                core.carry_out(effects);
            }
        });
        Ok(())
    }

    /// Runs until the only job of the service is over, or for ever.
    ///
    /// # Errors
    /// It cannot go on: the master refuses the framework, another instance has taken it over, or
    /// the state cannot be written.
    pub fn run(self) -> Result<(), RunError> {
        let mut ticked = None;
        loop {
            let mut events = Vec::new();
            let mut end = None;
            match self.connection.notices().recv_timeout(self.until_tick(ticked)) {
                Ok(first) => {
                    // What came meanwhile is taken with it: all of it is saved at once.
                    let more = self.connection.notices().try_iter().take(TOGETHER);
                    for notice in std::iter::once(first).chain(more) {
                        match event(notice) {
                            Ok(event) => events.extend(event),
                            Err(error) => {
                                end = Some(error);
                                break;
                            }
                        }
                    }
                }
                Err(error) if error.is_timeout() => {}
                Err(_) => {
                    // There will be no further notice, so that only time can pass.
                    thread::sleep(self.until_tick(ticked));
                    end = Some(mesos_http::Error::Ended);
                }
            }
            if self.until_tick(ticked).is_zero() {
                ticked = Some(self.clock.now());
                events.push(Event::Tick);
            }
            let mut core = self.shared.lock();
            core.take_declarations(&mut events);
            core.events(events);
            let is_removed = |error: &mesos_http::Error| {
                matches!(error, mesos_http::Error::FrameworkRemoved(_) | mesos_http::Error::Ended)
            };
            if end.as_ref().is_some_and(is_removed) && core.service.is_over() && !core.over {
                core.torn_down();
            }
            if let Some(error) = core.broken.clone() {
                return Err(RunError::Store(error));
            }
            if core.over && core.service.is_done() {
                return Ok(());
            }
            if let Some(cause) = end.filter(|_| !core.over) {
                return Err(RunError::Master { cause });
            }
        }
    }

    /// How long to wait until the next tick.
    fn until_tick(&self, ticked: Option<Millis>) -> Duration {
        let Some(ticked) = ticked else { return Duration::ZERO };
        let deadline = self.shared.lock().service.deadline();
        let next = deadline.unwrap_or(Millis::MAX).clamp(ticked + 1, ticked + TICK);
        Duration::from_millis(next.saturating_sub(self.clock.now()))
    }
}

/// What a notice is to the service; none when it is nothing.
fn event(notice: Notice) -> Result<Option<Event>, mesos_http::Error> {
    Ok(Some(match notice {
        Notice::Connected(subscribed) => Event::Connected {
            framework_id: subscribed.framework_id.0,
        },
        Notice::Event(event) => Event::Master(Box::new(event)),
        Notice::Disconnected { error, .. } => Event::Disconnected {
            reason: framework::outage(&error),
        },
        Notice::Failed(error) => return Err(error),
        _ => return Ok(None),
    }))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("the system has no thread left for the scheduler");
}

fn keep_listing(shared: &Shared, listing: &Listing, every: Duration) {
    let clock = shared.lock().clock.clone();
    loop {
        thread::sleep(every);
        let answer = listing.ask(&clock);
        let mut core = shared.lock();
        match answer {
            Ok((catalogue, asked_ms)) => {
                let effects = core.service.listed(catalogue, asked_ms, clock.now());
                core.carry_out(effects);
            }
            Err(reason) => (core.report)(clock.now(), None, &Progress::NotListed { reason }),
        }
    }
}

fn notify_ends(shared: &Shared, ended: &crossbeam_channel::Receiver<EndedRun>, notifier: &Notifier) {
    while let Ok(EndedRun { id, plan, state }) = ended.recv() {
        let failed = notifier.send(&plan, &state);
        let mut core = shared.lock();
        for (target, reason) in failed {
            (core.report)(core.clock.now(), Some(&id), &Progress::NotNotified { target, reason });
        }
        let now = core.clock.now();
        let effects = core.service.notified(&id, now);
        core.carry_out(effects);
    }
}
