//! The service with its I/O: the master, the operator stream, the storage's listings, a folder, a clock.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use label_mapper::Catalogue;
use mesos_http::Action;
use mesos_http::endpoint::Endpoint;
use mesos_http::operator::{ClusterEvent, Master};
use mesos_http::scheduler::{Call, Caller, Config, Connection, Notice};
use mesos_http::types::FrameworkInfo;

use super::storage::Storage;
use super::{RequestError, RunId, Service, Settings, Step};
use crate::crash_point;
use crate::machine::Input;
use crate::notification;
use crate::progress::Progress;
use crate::run::{Clock, Framework, RunError};
use crate::state::Millis;
use crate::store::StoreError;

/// How often the service is given the time.
const TICK: Duration = Duration::from_millis(250);
/// A call that found no master is tried again so often.
const CALL_TRIES: u32 = 5;
/// The first pause between such tries; it doubles.
const CALL_PAUSE: Duration = Duration::from_millis(200);
/// An operator call has to be answered within this.
const OPERATOR_DEADLINE: Duration = Duration::from_secs(30);

/// What is told, with the run it is about.
pub type Tell = Box<dyn Fn(Millis, Option<&RunId>, &Progress) + Send>;

/// Where the storage's listing comes from.
#[derive(Clone, Debug)]
pub enum Listing {
    /// A file that somebody else keeps fresh.
    File(PathBuf),
    /// A command that prints it, run by `sh -c`.
    Command(String),
}

/// The service, its storage and the way to the master, one at a time.
pub struct Core {
    service: Service,
    storage: Box<dyn Storage>,
    caller: Option<Caller>,
    clock: Clock,
    tell: Tell,
    /// Why it cannot go on.
    broken: Option<RunError>,
    /// Runs to tell of.
    ended: crossbeam_channel::Sender<RunId>,
}

/// A handle that many threads may have.
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

    /// Changes the service, and returns once the change is on disk and the master was told.
    ///
    /// # Errors
    /// The request's own; or the state cannot be written.
    pub fn change<T>(
        &self,
        act: impl FnOnce(&mut Service, Millis) -> Result<(T, Step), RequestError>,
    ) -> Result<T, RequestError> {
        let mut core = self.lock();
        let now = core.clock.now();
        let (value, step) = act(&mut core.service, now)?;
        core.carry_out(step);
        match &core.broken {
            Some(error) => Err(RequestError::Conflict(error.to_string())),
            None => Ok(value),
        }
    }
}

impl Core {
    /// Save, tell, call, as [`Step`] says.
    fn carry_out(&mut self, step: Step) {
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = self.save(&step) {
            // What is not on disk must not be done; the next instance goes on from what is.
            self.broken = Some(error.into());
            return;
        }
        for (run, progress) in &step.tell {
            (self.tell)(self.clock.now(), run.as_ref(), progress);
        }
        for call in step.calls {
            let Some(caller) = self.caller.clone() else { continue };
            match crash_point::around(&call, || send(&caller, &call)) {
                Ok(()) => self.service.sent(&call, self.clock.now()),
                Err(error) => {
                    let reason = error.to_string();
                    let input = Input::CallFailed { call, reason };
                    for (run, progress) in self.service.handle(input, self.clock.now()).tell {
                        (self.tell)(self.clock.now(), run.as_ref(), &progress);
                    }
                }
            }
        }
        for id in step.ended {
            // The thread that tells lives as long as this does.
            let _ = self.ended.send(id);
        }
    }

    fn save(&self, step: &Step) -> Result<(), StoreError> {
        if step.save_service {
            self.storage.save_service(self.service.record())?;
        }
        if step.save_claims {
            self.storage.save_claims(self.service.ledger())?;
        }
        for id in &step.save_runs {
            if let Some(run) = self.service.runs().get(id) {
                self.storage.save_run(&run.record())?;
            }
        }
        step.forget.iter().try_for_each(|id| self.storage.remove_run(id))
    }

    fn input(&mut self, input: Input) {
        let step = self.service.handle(input, self.clock.now());
        self.carry_out(step);
    }
}

fn send(caller: &Caller, call: &Call) -> Result<(), mesos_http::Error> {
    let mut pause = CALL_PAUSE;
    for _ in 1..CALL_TRIES {
        match caller.call(call) {
            // Nothing was sent, or nothing was done.
            Err(error) if error.action() == Action::Retry => thread::sleep(pause),
            other => return other,
        }
        pause *= 2;
    }
    caller.call(call)
}

/// A service that was started.
pub struct Running {
    shared: Shared,
    connection: Connection,
}

/// Subscribes, as the framework with this id or as a new one. With an id this takes the framework over: the master sends
/// whoever had it away.
///
/// # Errors
/// The masters' addresses are none.
pub fn subscribe(framework: &Framework, id: Option<String>) -> Result<Connection, RunError> {
    let mut info = FrameworkInfo::new("scheduler".to_owned(), framework.user.clone())
        .with_id(id.map(Into::into))
        .with_roles([framework.rules.role.clone()]);
    info.principal = framework.credential.as_ref().map(|(principal, _)| principal.clone());
    let mut config = Config::new(&framework.masters, info)?;
    config.credential = framework.credential.clone();
    config.tls = framework.tls.clone();
    Ok(Connection::open(config))
}

impl Running {
    /// Takes up the state of `storage` on a connection to the master.
    ///
    /// # Errors
    /// The state cannot be read, or the storage's first listing cannot be had.
    pub fn start(
        settings: Settings,
        storage: Box<dyn Storage>,
        connection: Connection,
        listing: Option<(Listing, Duration)>,
        tell: Tell,
    ) -> Result<Self, String> {
        let clock = Clock::start();
        let saved = storage.load().map_err(|error| error.to_string())?;
        let service = Service::new(settings, saved.service, saved.ledger, saved.runs, clock.now())?;
        let (ended, to_tell) = crossbeam_channel::unbounded();
        for (id, run) in service.runs() {
            let end = run.machine().state().end.as_ref();
            if end.is_some_and(|end| !end.notified) {
                // Its receiver is in hand.
                let _ = ended.send(id.clone());
            }
        }
        let shared = Shared(Arc::new(Mutex::new(Core {
            service,
            storage,
            caller: Some(connection.caller()),
            clock,
            tell,
            broken: None,
            ended,
        })));
        if let Some((listing, every)) = listing {
            let asked = clock.now();
            let first = list(&listing)?;
            {
                let mut core = shared.lock();
                let step = core.service.listed(first, asked, clock.now());
                core.carry_out(step);
            }
            let shared = shared.clone();
            spawn("storage", move || keep_listing(&shared, &listing, every));
        }
        let telling = shared.clone();
        spawn("notifications", move || tell_ends(&telling, &to_tell));
        Ok(Self { shared, connection })
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
                let mut core = shared.lock();
                if let ClusterEvent::Failed(error) | ClusterEvent::Disconnected(error) = &event {
                    let reason = format!("the operator stream: {error}");
                    (core.tell)(core.clock.now(), None, &Progress::Disconnected { reason });
                }
                let now = core.clock.now();
                let step = core.service.cluster(event, now);
                core.carry_out(step);
            }
        });
        Ok(())
    }

    /// Runs until it cannot go on: the master refuses the framework, another instance has taken it over, or the state cannot
    /// be written.
    pub fn run(self) -> RunError {
        loop {
            let input = match self.connection.notices().recv_timeout(TICK) {
                Ok(Notice::Connected(subscribed)) => Input::Connected {
                    framework_id: subscribed.framework_id.0,
                },
                Ok(Notice::Event(event)) => Input::Event(Box::new(event)),
                Ok(Notice::Disconnected { error, .. }) => Input::Disconnected {
                    reason: error.to_string(),
                },
                Ok(Notice::Failed(cause)) => return RunError::Master { cause },
                Ok(_) => Input::Tick,
                Err(error) if error.is_timeout() => Input::Tick,
                Err(_) => {
                    return RunError::Master {
                        cause: mesos_http::Error::Ended,
                    };
                }
            };
            let mut core = self.shared.lock();
            core.input(input);
            core.input(Input::Tick);
            if let Some(error) = core.broken.take() {
                return error;
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("the system has no thread left for the scheduler");
}

fn list(listing: &Listing) -> Result<Catalogue, String> {
    let text = match listing {
        Listing::File(path) => fs::read_to_string(path)
            .map_err(|error| format!("cannot read the catalogue {}: {error}", path.display()))?,
        Listing::Command(line) => {
            let output = process::Command::new("sh")
                .args(["-c", line])
                .stdin(process::Stdio::null())
                .output()
                .map_err(|error| format!("cannot run '{line}': {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
                return Err(format!("'{line}' failed ({}): {last}", output.status));
            }
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    };
    Catalogue::from_describe_volumes(&text).map_err(|error| format!("the storage's listing: {error}"))
}

/// When what the listing says was true, at the latest known moment: for a file when it was written.
fn asked(listing: &Listing, clock: Clock) -> Millis {
    let Listing::File(path) = listing else {
        return clock.now();
    };
    let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since_epoch = written.and_then(|written| written.duration_since(std::time::UNIX_EPOCH).ok());
    since_epoch.map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(0))
}

fn keep_listing(shared: &Shared, listing: &Listing, every: Duration) {
    let clock = shared.lock().clock;
    loop {
        thread::sleep(every);
        let asked_ms = asked(listing, clock);
        let catalogue = list(listing);
        let mut core = shared.lock();
        match catalogue {
            Ok(catalogue) => {
                let step = core.service.listed(catalogue, asked_ms, clock.now());
                core.carry_out(step);
            }
            Err(reason) => (core.tell)(clock.now(), None, &Progress::NotListed { reason }),
        }
    }
}

fn tell_ends(shared: &Shared, ended: &crossbeam_channel::Receiver<RunId>) {
    while let Ok(id) = ended.recv() {
        let what = shared.read(|service, _| {
            let machine = service.runs().get(&id)?.machine();
            Some((machine.plan().clone(), machine.state().clone()))
        });
        let Some((plan, state)) = what else { continue };
        let failed = notification::send(&plan, &state);
        let mut core = shared.lock();
        for (target, reason) in failed {
            (core.tell)(core.clock.now(), Some(&id), &Progress::NotNotified { target, reason });
        }
        let step = core.service.notified(&id);
        core.carry_out(step);
    }
}
