//! Which volumes a container waits for, from its preparation to the moment when its process is
//! there and they can be bound.
//!
//! Each container's volumes are bound by a thread of its own, since that thread moves into the
//! container's mount namespace. A file system may hang there. So of one driver no more than
//! [`AT_ONCE`] containers are served at a time, the others wait their turn, and every container is
//! answered within [`LIMIT`]; containers with volumes of other drivers do not notice.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select, unbounded};

use super::attach::Limits;
use super::{Bind, BindError, bind_in_namespace_of, bind_on_host, unbind_all};
use crate::host::descriptor::Identity;
use volume_labels::MountFlags;

use crate::types::{Answer, BindMount, ContainerId};

/// Containers with volumes of one driver that are served at the same time.
const AT_ONCE: usize = 16;
/// A bind takes milliseconds; one that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Answers an `isolate`.
type BindAnswer = Box<dyn FnOnce(Result<(), BindError>) + Send>;

/// Where one volume of a container goes, as it was checked in its preparation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Origin and name, for messages.
    pub(crate) display_origin: String,
    pub(crate) driver: String,
    pub(crate) directory_backed: bool,
    pub(crate) target: PathBuf,
    pub(crate) identity: Identity,
    /// The folder of the volume that goes there.
    pub(crate) subpath: Option<PathBuf>,
    pub(crate) forbidden: MountFlags,
}

/// What is known of a container that is being launched.
#[derive(Default)]
struct Launched {
    places: Vec<Place>,
    /// Once its volumes are mounted on the host.
    mounts: Option<Vec<BindMount>>,
}

/// Binds the volumes of containers that were prepared.
pub(crate) struct Binder {
    launched: Arc<Mutex<HashMap<ContainerId, Launched>>>,
    jobs: Option<Sender<Job>>,
    agents: Arc<[PathBuf]>,
    answers: Sender<Answer>,
    dispatcher: Option<JoinHandle<()>>,
}

/// One container to be served, by a thread of its own.
struct Job {
    drivers: BTreeSet<String>,
    work: Box<dyn FnOnce() -> Result<(), BindError> + Send>,
    /// Undoes what succeeded too late.
    undo: Box<dyn FnOnce() + Send>,
    answer: Arc<Once>,
}

impl Binder {
    /// No volume may be in `agents`, the folders of the agent. Answers go through `answers`, since
    /// a thread that binds is in another mount namespace.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(answers: Sender<Answer>, agents: Vec<PathBuf>) -> io::Result<Self> {
        let (jobs, asked) = unbounded();
        let dispatcher = thread::Builder::new()
            .name("mev-bind".into())
            .spawn(move || dispatch(&asked, LIMIT))?;
        Ok(Self {
            launched: Arc::default(),
            jobs: Some(jobs),
            agents: agents.into(),
            answers,
            dispatcher: Some(dispatcher),
        })
    }

    /// A container with volumes is being prepared.
    pub(crate) fn expect(&self, id: &ContainerId) {
        self.lock().insert(id.clone(), Launched::default());
    }

    /// For threads that learn more of a container.
    pub(crate) fn register(&self) -> Register {
        Register(Arc::clone(&self.launched))
    }

    /// Binds the container's volumes in the mount namespace of its process; there is nothing to do
    /// for one without.
    pub(crate) fn bind(&self, id: &ContainerId, pid: i32, answer: BindAnswer) {
        let work = move |binds: &[Bind], agents: &[PathBuf]| bind_in_namespace_of(pid, binds, agents);
        self.serve(id, work, |_| {}, answer);
    }

    /// Binds the container's volumes in the agent's own mount namespace. `is_seen` says at the end
    /// whether the Docker daemon sees them.
    pub(crate) fn bind_on_host(
        &self,
        id: &ContainerId,
        is_seen: impl FnOnce(&[PathBuf]) -> Result<(), String> + Send + 'static,
        answer: BindAnswer,
    ) {
        let work = move |binds: &[Bind], agents: &[PathBuf]| bind_on_host(binds, agents, is_seen);
        self.serve(id, work, |targets| unbind_all(&targets), answer);
    }

    /// `undo` is called when the volumes are bound and nobody waits for that any more.
    fn serve(
        &self,
        id: &ContainerId,
        work: impl FnOnce(&[Bind], &[PathBuf]) -> Result<(), BindError> + Send + 'static,
        undo: impl FnOnce(Vec<PathBuf>) + Send + 'static,
        answer: BindAnswer,
    ) {
        let answer = Arc::new(Once {
            answer: Mutex::new(Some((answer, self.answers.clone()))),
        });
        let Some(launched) = self.lock().remove(id) else {
            answer.give(Ok(()));
            return;
        };
        let Launched { places, mounts } = launched;
        let bind = |mount: BindMount| {
            let place = places.iter().find(|place| place.target == mount.target)?.clone();
            let bind = Bind {
                display_origin: place.display_origin,
                mountpoint: mount.source,
                directory_backed: place.directory_backed,
                target: mount.target,
                identity: place.identity,
                subpath: place.subpath,
                limits: Limits {
                    read_only: mount.read_only,
                    forbidden: place.forbidden,
                },
            };
            Some((place.driver, bind))
        };
        let binds: Option<Vec<(String, Bind)>> = mounts.and_then(|mounts| mounts.into_iter().map(bind).collect());
        let Some(binds) = binds else {
            answer.give(Err(BindError::NotPrepared));
            return;
        };
        let (drivers, binds): (_, Vec<Bind>) = binds.into_iter().unzip();
        let targets = binds.iter().map(|bind| bind.target.clone()).collect();
        let agents = Arc::clone(&self.agents);
        let job = Job {
            drivers,
            work: Box::new(move || work(&binds, &agents)),
            undo: Box::new(move || undo(targets)),
            answer,
        };
        if let Some(jobs) = &self.jobs {
            // The dispatcher ends only with the binder.
            let _ = jobs.send(job);
        }
    }

    /// The container has ended.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Launched>> {
        lock(&self.launched)
    }
}

/// Ends the dispatcher; what hangs is left alone.
impl Drop for Binder {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(dispatcher) = self.dispatcher.take()
            && dispatcher.join().is_err()
        {
            tracing::error!("the thread that binds volumes had failed");
        }
    }
}

/// Takes note of containers that are being launched, and of no others.
#[derive(Clone)]
pub(crate) struct Register(Arc<Mutex<HashMap<ContainerId, Launched>>>);

impl Register {
    /// The container's paths were checked.
    pub(crate) fn places(&self, id: &ContainerId, places: Vec<Place>) {
        if let Some(launched) = lock(&self.0).get_mut(id) {
            launched.places = places;
        }
    }

    /// Its volumes are mounted on the host.
    pub(crate) fn mounts(&self, id: &ContainerId, mounts: &[BindMount]) {
        if let Some(launched) = lock(&self.0).get_mut(id) {
            launched.mounts = Some(mounts.to_vec());
        }
    }
}

fn lock(launched: &Mutex<HashMap<ContainerId, Launched>>) -> MutexGuard<'_, HashMap<ContainerId, Launched>> {
    // The table changes in single steps that do not panic half way.
    launched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that is given once, by the first thread that has one. A thread that hangs does not
/// hold it.
struct Once {
    answer: Mutex<Option<(BindAnswer, Sender<Answer>)>>,
}

impl Once {
    fn lock(&self) -> MutexGuard<'_, Option<(BindAnswer, Sender<Answer>)>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn given(&self) -> bool {
        self.lock().is_none()
    }

    /// False when it was given before.
    fn give(&self, result: Result<(), BindError>) -> bool {
        let Some((answer, answers)) = self.lock().take() else {
            return false;
        };
        // The answering thread outlives this one; see `Isolator`.
        let _ = answers.send(Box::new(move || {
            answer(result);
        }));
        true
    }
}

/// Serves containers in the order in which they come, as far as their drivers are not busy, and
/// answers each within `limit`.
fn dispatch(asked: &Receiver<Job>, limit: Duration) {
    let (finished, done) = unbounded::<BTreeSet<String>>();
    let mut busy: BTreeMap<String, usize> = BTreeMap::new();
    let mut waiting: VecDeque<Job> = VecDeque::new();
    let mut due: VecDeque<(Instant, Arc<Once>)> = VecDeque::new();
    loop {
        let alarm = due.front().map_or_else(never, |(when, _)| at(*when));
        select! {
            recv(asked) -> job => match job {
                Ok(job) => {
                    due.push_back((Instant::now() + limit, Arc::clone(&job.answer)));
                    waiting.push_back(job);
                }
                Err(_) => break,
            },
            recv(done) -> drivers => for driver in drivers.unwrap_or_default() {
                if let Some(count) = busy.get_mut(&driver) {
                    *count -= 1;
                }
            },
            recv(alarm) -> _ => if let Some((_, late)) = due.pop_front() {
                late.give(Err(BindError::Late(limit)));
            },
        }
        busy.retain(|_, count| *count > 0);
        due.retain(|(_, answer)| !answer.given());
        for job in std::mem::take(&mut waiting) {
            if job.answer.given() {
                continue;
            }
            if job
                .drivers
                .iter()
                .any(|driver| busy.get(driver).is_some_and(|count| *count >= AT_ONCE))
            {
                waiting.push_back(job);
                continue;
            }
            for driver in &job.drivers {
                *busy.entry(driver.clone()).or_default() += 1;
            }
            serve(job, finished.clone());
        }
    }
    for (_, answer) in due {
        answer.give(Err(BindError::Stopped));
    }
}

/// Starts the thread that moves into the container's namespace.
fn serve(job: Job, finished: Sender<BTreeSet<String>>) {
    let (answer, drivers, back) = (Arc::clone(&job.answer), job.drivers.clone(), finished.clone());
    let work = move || {
        let bound = catch_unwind(AssertUnwindSafe(job.work));
        let bound = bound.unwrap_or(Err(BindError::NotPrepared));
        let is_bound = bound.is_ok();
        if !job.answer.give(bound) && is_bound {
            (job.undo)();
        }
        // Nobody listens any more only when the agent goes away.
        let _ = finished.send(job.drivers);
    };
    // Not joined at the end: it may hang.
    if let Err(error) = thread::Builder::new().name("mev-binding".into()).spawn(work) {
        answer.give(Err(BindError::NoThread(error.to_string())));
        let _ = back.send(drivers);
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    /// What is asked for goes to the first, the answers come from the second.
    fn start(limit: Duration) -> (Sender<Job>, Receiver<Answer>, Sender<Answer>) {
        let (jobs, asked) = unbounded();
        let (answers, given) = unbounded();
        thread::spawn(move || dispatch(&asked, limit));
        (jobs, given, answers)
    }

    fn job(
        driver: &str,
        answers: &Sender<Answer>,
        told: &Sender<(String, Result<(), BindError>)>,
        work: impl FnOnce() -> Result<(), BindError> + Send + 'static,
    ) -> Job {
        let (told, name) = (told.clone(), driver.to_owned());
        let answer: BindAnswer = Box::new(move |result| told.send((name, result)).unwrap());
        Job {
            drivers: [driver.to_owned()].into(),
            work: Box::new(work),
            undo: Box::new(|| {}),
            answer: Arc::new(Once {
                answer: Mutex::new(Some((answer, answers.clone()))),
            }),
        }
    }

    #[test]
    fn file_systems_that_hang_hold_no_containers_of_other_drivers() {
        let (jobs, given, answers) = start(Duration::from_secs(3600));
        let (told, hears) = unbounded();
        let (release, hang) = bounded::<()>(0);
        for _ in 0..AT_ONCE + 4 {
            let hang = hang.clone();
            let work = move || {
                let _ = hang.recv();
                Ok(())
            };
            jobs.send(job("hung", &answers, &told, work)).unwrap();
        }
        for _ in 0..AT_ONCE * 3 {
            jobs.send(job("well", &answers, &told, || Ok(()))).unwrap();
        }
        for _ in 0..AT_ONCE * 3 {
            given.recv().unwrap()();
            assert_eq!(hears.recv().unwrap(), ("well".to_owned(), Ok(())));
        }
        // When the file system is back, all are served.
        drop(release);
        for _ in 0..AT_ONCE + 4 {
            given.recv().unwrap()();
            assert_eq!(hears.recv().unwrap(), ("hung".to_owned(), Ok(())));
        }
    }

    #[test]
    fn every_container_is_answered_in_time_also_one_whose_turn_does_not_come() {
        let limit = Duration::from_millis(50);
        let (jobs, given, answers) = start(limit);
        let (told, hears) = unbounded();
        let (release, hang) = bounded::<()>(0);
        for _ in 0..AT_ONCE + 4 {
            let hang = hang.clone();
            let work = move || {
                let _ = hang.recv();
                Ok(())
            };
            jobs.send(job("hung", &answers, &told, work)).unwrap();
        }
        for _ in 0..AT_ONCE + 4 {
            given.recv().unwrap()();
            assert_eq!(hears.recv().unwrap().1, Err(BindError::Late(limit)));
        }
        drop(release);
    }

    #[test]
    fn a_container_that_waits_when_the_agent_ends_is_answered() {
        let (jobs, given, answers) = start(Duration::from_secs(3600));
        let (told, hears) = unbounded();
        let (release, hang) = bounded::<()>(0);
        let work = move || {
            let _ = hang.recv();
            Ok(())
        };
        jobs.send(job("hung", &answers, &told, work)).unwrap();
        drop(jobs);
        given.recv().unwrap()();
        assert_eq!(hears.recv().unwrap().1, Err(BindError::Stopped));
        drop(release);
    }
}
