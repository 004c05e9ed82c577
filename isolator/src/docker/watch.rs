//! The thread that follows Docker containers and lets go of the volumes of those that have ended.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::{error, info, warn};

use super::api::Daemon;
use super::processes::named_containers;
use super::tracker::{Followed, Sight, Tracker, Verdict};
use crate::host::unbind;
use crate::types::{ContainerId, Containerizer, Limitation};

/// Between two looks when nothing tells of a change.
const QUIET: Duration = Duration::from_secs(20);
/// Between two looks while a change is expected of which no event tells.
const WAITING: Duration = Duration::from_millis(300);
/// Between two attempts to follow the events of a daemon that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What is done when a container has ended.
pub(crate) type Release = Box<dyn Fn(ContainerId) + Send>;

/// Follows the Docker containers of this agent. Its thread begins with the first of them.
#[derive(Clone)]
pub(crate) struct Watch {
    tracker: Arc<Mutex<Tracker>>,
    /// Holds one message: a look that has not begun sees everything.
    wake: Sender<()>,
}

/// Ends the thread when it is dropped.
pub(crate) struct Watcher {
    watch: Option<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(daemon: Daemon, tracker: Tracker, release: Release) -> io::Result<(Self, Watch)> {
        let (wake, woken) = bounded(1);
        let watch = Watch {
            tracker: Arc::new(Mutex::new(tracker)),
            wake,
        };
        let looker = Looker {
            daemon,
            tracker: Arc::clone(&watch.tracker),
            release,
            is_unreachable: false,
        };
        let thread = thread::Builder::new()
            .name("mev-docker".into())
            .spawn(move || looker.run(&woken))?;
        let watcher = Self {
            watch: Some(watch.clone()),
            thread: Some(thread),
        };
        Ok((watcher, watch))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.lock().end();
            watch.look();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the thread that follows Docker containers had failed");
        }
    }
}

impl Watch {
    /// A container is about to be launched.
    pub(crate) fn launching(
        &self,
        id: &ContainerId,
        name: &str,
        containerizer: Containerizer,
        framework: Option<String>,
        executor: Option<String>,
    ) {
        let container = Followed::launching(name, containerizer, framework, executor, Instant::now());
        self.lock().follow(id.clone(), container);
        self.look();
    }

    /// A record says that this container holds volumes.
    pub(crate) fn recorded(&self, id: &ContainerId, containerizer: Containerizer, targets: Vec<PathBuf>) {
        let container = Followed::recorded(id, containerizer, targets, Instant::now());
        self.lock().follow(id.clone(), container);
        self.look();
    }

    /// See [`Tracker::begin_binding`].
    pub(crate) fn begin_binding(&self, id: &ContainerId, targets: Vec<PathBuf>) -> bool {
        self.lock().begin_binding(id, targets)
    }

    /// The volumes are bound, and Mesos goes on with the launch.
    pub(crate) fn bound(&self, id: &ContainerId) {
        self.lock().bound(id, Instant::now());
    }

    /// The container is not launched.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.lock().forget(id);
    }

    /// Mesos says that a task has ended, which is a reason to look.
    pub(crate) fn task_ended(&self, framework: &str, task: &str) {
        self.lock().task_ended(framework, task);
        self.look();
    }

    /// Mesos says that an executor has ended, which is a reason to look.
    pub(crate) fn executor_ended(&self, framework: &str, executor: &str) {
        self.lock().executor_ended(framework, executor);
        self.look();
    }

    /// A volume of the container is lost. Mesos has no way for a hook to end a container with a
    /// reason, so Docker is asked to.
    pub(crate) fn limit(&self, id: &ContainerId, limitation: &Limitation) {
        warn!(container = %id, reason = limitation.message, "the Docker container is stopped");
        self.lock().condemn(id);
        self.look();
    }

    fn look(&self) {
        // One that waits to be taken is as good.
        let _ = self.wake.try_send(());
    }

    /// The tracker changes in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Looker {
    daemon: Daemon,
    tracker: Arc<Mutex<Tracker>>,
    release: Release,
    is_unreachable: bool,
}

impl Looker {
    fn run(mut self, woken: &Receiver<()>) {
        let (happened, events) = bounded(1);
        let mut is_following = false;
        // Places that could not be unbound yet, with their containers.
        let mut left: Vec<(ContainerId, Vec<PathBuf>)> = Vec::new();
        loop {
            let (is_over, is_empty, is_waiting) = {
                let tracker = self.lock();
                (tracker.is_over(), tracker.is_empty(), tracker.is_waiting())
            };
            if is_over {
                return;
            }
            let wait = if is_waiting || !left.is_empty() { WAITING } else { QUIET };
            let woke = if is_empty && left.is_empty() {
                woken.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                crossbeam_channel::select! {
                    recv(woken) -> message => message.map_err(|_| RecvTimeoutError::Disconnected),
                    recv(events) -> message => message.map_err(|_| RecvTimeoutError::Disconnected),
                    default(wait) => Err(RecvTimeoutError::Timeout),
                }
            };
            if woke == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            if !is_following && !self.lock().is_empty() {
                is_following = self.follow_events(happened.clone());
            }
            for (id, targets) in std::mem::take(&mut left) {
                self.end(id, targets, &mut left);
            }
            for verdict in self.look() {
                match verdict {
                    Verdict::Ended(id, targets) => self.end(id, targets, &mut left),
                    Verdict::Stop(name) => self.stop(name),
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is seen now, judged. Nothing follows when Docker is not reachable.
    fn look(&mut self) -> Vec<Verdict> {
        if self.lock().is_empty() {
            return Vec::new();
        }
        // Processes first: one that ends between the two looks leaves a container that the second
        // sees.
        let sight = named_containers().and_then(|processes| {
            let containers = self.daemon.containers()?;
            Ok(Sight { containers, processes })
        });
        match sight {
            Ok(sight) => {
                if std::mem::take(&mut self.is_unreachable) {
                    info!("the Docker daemon answers again");
                }
                self.lock().judge(&sight, Instant::now())
            }
            Err(problem) => {
                if !std::mem::replace(&mut self.is_unreachable, true) {
                    let socket = self.daemon.socket().display();
                    warn!(%problem, %socket, "cannot see which Docker containers run; their volumes stay mounted until the daemon answers");
                }
                Vec::new()
            }
        }
    }

    fn end(&self, id: ContainerId, targets: Vec<PathBuf>, left: &mut Vec<(ContainerId, Vec<PathBuf>)>) {
        let mut remaining = targets;
        remaining.retain(|target| {
            let result = unbind(target);
            result
                .inspect_err(|problem| {
                    warn!(container = %id, target = %target.display(), %problem, "cannot take a volume out of the sandbox; trying again");
                })
                .is_err()
        });
        if remaining.is_empty() {
            info!(container = %id, "the Docker container has ended");
            (self.release)(id);
        } else {
            left.push((id, remaining));
        }
    }

    /// `docker stop` takes as long as the container does, so that it has a thread of its own.
    fn stop(&self, name: String) {
        warn!(
            container = name,
            "stopping a Docker container that runs without its executor, or has lost a volume"
        );
        let daemon = self.daemon.clone();
        let stop = move || {
            if let Err(problem) = daemon.stop(&name) {
                warn!(container = name, %problem, "cannot stop a Docker container");
            }
        };
        if let Err(error) = thread::Builder::new().name("mev-dockerstop".into()).spawn(stop) {
            warn!(%error, "cannot start a thread to stop a Docker container");
        }
    }

    /// Starts the thread that hears of Docker's events. It ends by itself when nobody listens any
    /// more.
    fn follow_events(&self, happened: Sender<()>) -> bool {
        let daemon = self.daemon.clone();
        let tell = move || {
            !matches!(
                happened.try_send(()),
                Err(crossbeam_channel::TrySendError::Disconnected(()))
            )
        };
        let follow = move || {
            // Each time the stream begins or ends all containers are looked at.
            while tell() {
                let _ = daemon.follow(&tell);
                thread::sleep(AGAIN);
            }
        };
        let started = thread::Builder::new().name("mev-dockerevent".into()).spawn(follow);
        started
            .inspect_err(
                |error| warn!(%error, "cannot follow Docker's events; containers are looked at from time to time"),
            )
            .is_ok()
    }
}
