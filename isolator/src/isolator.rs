//! The isolator as its caller sees it: the calls of Mesos, none of which blocks.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use thiserror::Error;
use volume_driver_client::{Code, Drivers};

use crate::claims::Claims;
use crate::config::Config;
use crate::docker::{self, Daemon, Tracker, Watch, Watcher, daemon_sees};
use crate::error::{PrelaunchError, PrepareError, Refusal};
use crate::first_tasks::FirstTasks;
use crate::health::{Baselines, WatchedVolume, make_rounds};
use crate::host::{BindError, Binder, Register, agents_folders, share_mount_bases};
use crate::identity;
use crate::ledger::{Event, VolumeRequest};
use crate::ledger_reader::LedgerReader;
use crate::names::Names;
use crate::policy::{self, InForce, PolicyError};
use crate::records::{Store, StoreError};
use crate::reports::{Exposition, Reports};
use crate::request::{RequestedVolume, of_this_container, parse_request, resolve, targets};
use crate::runtime::{Engine, Message, RecordWrite, Turn, crash_point, write_records};
use crate::status::Keeper;
use crate::types::{Answer, ArrivingTask, BindMount, ContainerId, ContainerLaunch, Limitation, RecoveredContainer};

/// Threads that resolve paths of containers. A sandbox lies on the agent's own disk, so two are
/// plenty.
const RESOLVERS: usize = 2;

/// Why the isolator cannot start. The agent should not start either.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy's file cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// No thread to be had.
    #[error("cannot start thread '{name}': {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// The kernel's words.
        source: io::Error,
    },
}

/// The isolator of one agent. Calls may come from any thread; each answer is given once, on a
/// thread of the isolator's own, and may come before the call returns.
pub struct Isolator {
    config: Arc<Config>,
    engine: Sender<Message>,
    resolver: Option<Sender<Resolve>>,
    /// How many prepares there were.
    turns: AtomicU64,
    answers: Sender<Answer>,
    threads: Vec<JoinHandle<()>>,
    reports: Arc<Reports>,
    claims: Claims,
    first_tasks: FirstTasks,
    docker: Watch,
    /// Taken when the isolator ends.
    watcher: Option<Watcher>,
    /// Whether [`Self::recover`] was called.
    is_recovered: AtomicBool,
    /// Taken when the isolator ends.
    binder: Option<Binder>,
    /// Ends with the isolator.
    _exposition: Exposition,
    _status: Option<Keeper>,
}

struct Resolve {
    id: ContainerId,
    turn: Turn,
    launch: ContainerLaunch,
    volumes: Vec<RequestedVolume>,
}

impl Isolator {
    /// Locks the state folder and starts the threads. Nothing is mounted, unmounted or read yet:
    /// that begins with [`Self::recover`].
    ///
    /// # Errors
    /// One line for the operator; see [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let policy = Arc::new(InForce::of(config.policy.as_deref())?);
        policy.announce();
        config.warn_of_deadline();
        let names = Names::of(config.name_map.as_deref()).map_err(|source| StartError::Thread {
            name: "mev-files",
            source,
        })?;
        let names = Arc::new(names);
        let store = Arc::new(Store::open(&config.state_dir)?);
        share_mount_bases(&config.mount_bases, &config.state_dir);
        let reports = Reports::new(&config).map_err(|source| StartError::Thread {
            name: "mev-audit",
            source,
        })?;
        let mut config = config;
        config.agents_folders = agents_folders();
        config.agents_folders.push(
            config
                .state_dir
                .canonicalize()
                .unwrap_or_else(|_| config.state_dir.clone()),
        );
        let config = Arc::new(config);
        let drivers = Drivers::new(config.discovery.clone(), config.profiles.clone());
        let (engine, inbox) = unbounded();
        let (writer, writes) = unbounded::<RecordWrite>();
        let (answers, given) = unbounded::<Answer>();
        let (resolver, to_resolve) = unbounded::<Resolve>();
        let mut threads = Vec::new();

        threads.push(spawn("mev-answers", move || given.iter().for_each(|answer| answer()))?);
        let binder =
            Binder::start(answers.clone(), config.agents_folders.clone()).map_err(|source| StartError::Thread {
                name: "mev-bind",
                source,
            })?;
        let (written, records) = (engine.clone(), Arc::clone(&store));
        threads.push(spawn("mev-records", move || {
            // The ledger's thread stops listening only when the agent goes away.
            let report = |change| drop(written.send(Message::Written(change)));
            write_records(|changes| records.commit(changes), &writes, report)
        })?);
        let resolvers = Resolver {
            config: Arc::clone(&config),
            drivers: drivers.clone(),
            store: Arc::clone(&store),
            policy,
            names,
            reports: Arc::clone(&reports),
            register: binder.register(),
        };
        for _ in 0..RESOLVERS {
            let (to_resolve, done) = (to_resolve.clone(), engine.clone());
            let resolver = resolvers.clone();
            threads.push(spawn("mev-resolve", move || resolver.run(&to_resolve, &done))?);
        }
        let (monitor, rounds) = unbounded::<Vec<WatchedVolume>>();
        let found = engine.clone();
        let baselines = Baselines::default();
        let (known, told) = (baselines.clone(), Arc::clone(&reports));
        // The ledger's thread stops listening only when the agent goes away.
        let report = move |report| drop(found.send(Message::Health(report)));
        // The thread is not joined: it ends when the engine does.
        drop(spawn("mev-monitor", move || make_rounds(&rounds, report, known, told))?);
        let (status, changes) = Keeper::channel();
        let tracker = Tracker::new(Config::launch_limit(), config.docker_orphan_grace);
        let ended = engine.clone();
        // The ledger's thread stops listening only when the agent goes away.
        let release = Box::new(move |id| {
            let answer = Box::new(|| {});
            let _ = ended.send(Message::Cleanup { id, answer });
        });
        let (watcher, docker) =
            Watcher::start(Daemon::new(&config.docker_socket), tracker, release).map_err(|source| {
                StartError::Thread {
                    name: "mev-docker",
                    source,
                }
            })?;
        let ledger = Engine {
            docker: docker.clone(),
            config: Arc::clone(&config),
            drivers,
            store,
            inbox,
            outbox: engine.clone(),
            writer,
            answers: answers.clone(),
            monitor,
            baselines,
            reports: Arc::clone(&reports),
            status: status.clone(),
        };
        threads.push(spawn("mev-ledger", move || ledger.run())?);
        let to_ledger = engine.clone();
        let reader = LedgerReader::new(move |read| to_ledger.send(Message::Read(read)).is_ok());
        let status = Keeper::start(
            &config.state_dir,
            config.audit_log.clone(),
            status,
            changes,
            reader.clone(),
        )
        .inspect_err(|error| tracing::error!(%error, "cannot start the thread that keeps the status file"));
        let exposition = Exposition::start(&config, &reports, &reader);
        let claims = Claims::new(&config.claim_resource);
        Ok(Self {
            config,
            engine,
            resolver: Some(resolver),
            turns: AtomicU64::new(0),
            answers,
            threads,
            reports,
            claims,
            first_tasks: FirstTasks::default(),
            docker,
            watcher: Some(watcher),
            is_recovered: AtomicBool::new(false),
            binder: Some(binder),
            _exposition: exposition,
            _status: status.ok(),
        })
    }

    /// Takes up what an earlier life of the agent left: first call, once. Never fails; what is
    /// wrong with a record or a driver is in the log, and is settled in the background.
    pub fn recover(
        &self,
        running: Vec<RecoveredContainer>,
        orphans: Vec<ContainerId>,
        answer: impl FnOnce() + Send + 'static,
    ) {
        self.is_recovered.store(true, Ordering::Relaxed);
        for container in &running {
            self.claims.recovered(container);
        }
        self.send(Message::Recover {
            running,
            orphans,
            answer: Box::new(answer),
        });
    }

    /// Gets a container its volumes. `Ok(None)` means that it asks for none.
    ///
    /// The answer comes within the parameter `prepare_timeout`, whatever a driver does: Mesos never
    /// takes a prepare back, and the framework hears nothing until it is answered.
    pub fn prepare(
        &self,
        id: ContainerId,
        mut launch: ContainerLaunch,
        answer: impl FnOnce(Result<Option<Vec<BindMount>>, PrepareError>) + Send + 'static,
    ) {
        self.first_tasks.launched(&id, &mut launch);
        let volumes = parse_request(&id, &launch, &self.config);
        if let Ok(volumes) = &volumes {
            let labels = volumes.iter().map(|requested| &requested.labels);
            self.claims.launched(&id, labels, &launch.set_resources);
        }
        match volumes.map(|volumes| of_this_container(volumes, &id, &launch, &self.config)) {
            Ok(volumes) if volumes.is_empty() => self.answer(move || answer(Ok(None))),
            Ok(volumes) => {
                self.reports.requested(&id, &launch);
                let (register, container) = (self.binder().register(), id.clone());
                self.binder().expect(&id);
                let answer = move |result: Result<Option<Vec<BindMount>>, PrepareError>| {
                    if let Ok(Some(mounts)) = &result {
                        register.mounts(&container, mounts);
                    }
                    answer(result);
                };
                let turn = Turn(self.turns.fetch_add(1, Ordering::Relaxed));
                self.send(Message::Prepare {
                    id: id.clone(),
                    turn,
                    answer: Box::new(answer),
                });
                let resolver = self.resolver.as_ref().expect("it is there until drop");
                // The resolvers end after the last call to us.
                let _ = resolver.send(Resolve {
                    id,
                    turn,
                    launch,
                    volumes,
                });
            }
            Err(error) => {
                let problem = Refusal::from(error);
                self.reports.refused_at_once(&id, &launch, &problem);
                self.answer(move || answer(Err(PrepareError::Request(problem))));
            }
        }
    }

    /// Binds a container's volumes in the mount namespace of its process `pid`, which waits
    /// meanwhile. There is nothing to do for a container without volumes.
    ///
    /// The answer comes within half a minute, whatever a file system does. When it is an error, the
    /// container must not go on.
    pub fn isolate(&self, id: &ContainerId, pid: i32, answer: impl FnOnce(Result<(), BindError>) + Send + 'static) {
        let (reports, container) = (Arc::clone(&self.reports), id.clone());
        let answer = move |result: Result<(), BindError>| {
            if let Err(problem) = &result {
                reports.not_bound(&container, problem.code(), &problem.to_string());
            }
            answer(result);
        };
        self.binder().bind(id, pid, Box::new(answer));
    }

    /// Takes up what an earlier life of the agent left, unless [`Self::recover`] did: Mesos
    /// recovers no Mesos containers on an agent with Docker containers alone.
    pub fn recover_without_isolator(&self) {
        if !self.is_recovered.load(Ordering::Relaxed) {
            self.recover(Vec::new(), Vec::new(), || {});
        }
    }

    /// Gets a Docker container its volumes, before Mesos asks Docker to run it. They are bound into
    /// the sandbox on the host.
    ///
    /// The answer comes within the parameter `prepare_timeout` and half a minute. When it is an
    /// error, the container must not be launched, and it has left.
    pub fn prelaunch(
        self: &Arc<Self>,
        id: ContainerId,
        launch: ContainerLaunch,
        answer: impl FnOnce(Result<(), PrelaunchError>) + Send + 'static,
    ) {
        let workload = &launch.workload;
        let name = launch.docker.as_ref().map_or("", |docker| &docker.name);
        let (framework, executor) = (workload.framework.clone(), workload.executor.clone());
        self.docker
            .launching(&id, name, launch.containerizer(), framework, executor);
        let (this, container) = (Arc::downgrade(self), id.clone());
        self.prepare(id, launch, move |prepared| {
            // The agent ends, and its record tells the next one.
            let Some(this) = this.upgrade() else {
                return answer(Err(PrepareError::Stopped.into()));
            };
            match prepared {
                Ok(None) => {
                    this.docker.forget(&container);
                    answer(Ok(()));
                }
                Ok(Some(mounts)) => this.bind_for_docker(container, &mounts, answer),
                Err(problem) => {
                    this.not_launched(container);
                    answer(Err(problem.into()));
                }
            }
        });
    }

    fn bind_for_docker(
        self: &Arc<Self>,
        id: ContainerId,
        mounts: &[BindMount],
        answer: impl FnOnce(Result<(), PrelaunchError>) + Send + 'static,
    ) {
        let targets = mounts.iter().map(|mount| mount.target.clone()).collect();
        if !self.docker.begin_binding(&id, targets) {
            self.not_launched(id);
            return answer(Err(BindError::Destroyed.into()));
        }
        let daemon = Daemon::new(&self.config.docker_socket);
        let (this, container) = (Arc::downgrade(self), id.clone());
        let answer = move |bound: Result<(), BindError>| {
            let Some(this) = this.upgrade() else {
                return answer(Err(BindError::Stopped.into()));
            };
            match bound {
                Ok(()) => {
                    let (docker, id) = (this.docker.clone(), container.clone());
                    this.watch(container.clone(), move |limitation| docker.limit(&id, &limitation));
                    this.docker.bound(&container);
                    crash_point("bind-end");
                    answer(Ok(()));
                }
                Err(problem) => {
                    this.reports.not_bound(&container, problem.code(), &problem.to_string());
                    this.not_launched(container);
                    answer(Err(problem.into()));
                }
            }
        };
        let is_seen = move |places: &[PathBuf]| daemon_sees(&daemon, places);
        crash_point("bind-begin");
        self.binder().bind_on_host(&id, is_seen, Box::new(answer));
    }

    /// Mesos calls nothing more for a Docker container that was refused.
    fn not_launched(&self, id: ContainerId) {
        self.docker.forget(&id);
        self.cleanup(id, || {});
    }

    /// A task was handed to the agent: the first of an executor is seen before the executor's
    /// container is launched.
    pub fn task_arrives(&self, task: ArrivingTask) {
        self.first_tasks.arrived(task);
    }

    /// Mesos says that a task has ended.
    pub fn task_ended(&self, framework: &str, task: &str) {
        self.docker.task_ended(framework, task);
    }

    /// Mesos says that an executor has ended.
    pub fn executor_ended(&self, framework: &str, executor: &str) {
        self.first_tasks.executor_ended(framework, executor);
        self.docker.executor_ended(framework, executor);
    }

    /// Takes note of the resources a container holds now.
    pub fn update(
        &self,
        id: ContainerId,
        set_resources: Vec<(String, BTreeSet<String>)>,
        answer: impl FnOnce() + Send + 'static,
    ) {
        tracing::debug!(container = %id, ?set_resources, "resources updated");
        self.claims.held(&id, &set_resources);
        self.answer(answer);
    }

    /// Keeps `answer` for the case that the container must be ended because of one of its volumes;
    /// drops it uncalled with the container's cleanup.
    pub fn watch(&self, id: ContainerId, answer: impl FnOnce(Limitation) + Send + 'static) {
        self.send(Message::Watch {
            id,
            watcher: Box::new(answer),
        });
    }

    /// Lets go of a container's volumes. The answer comes when the first attempt to unmount is
    /// over, well or not, or after the parameter `cleanup_wait`; what is left goes on in the
    /// background.
    pub fn cleanup(&self, id: ContainerId, answer: impl FnOnce() + Send + 'static) {
        self.claims.ended(&id);
        self.first_tasks.container_ended(&id);
        self.binder().forget(&id);
        self.send(Message::Cleanup {
            id,
            answer: Box::new(answer),
        });
    }

    fn binder(&self) -> &Binder {
        self.binder.as_ref().expect("it is there until drop")
    }

    fn send(&self, message: Message) {
        // The ledger's thread ends only with us.
        let _ = self.engine.send(message);
    }

    fn answer(&self, answer: impl FnOnce() + Send + 'static) {
        // Likewise the answering thread.
        let _ = self.answers.send(Box::new(answer));
    }
}

/// Ends the threads. A call that a driver has not answered is left alone: the next start finds its
/// record.
impl Drop for Isolator {
    fn drop(&mut self) {
        self.resolver = None;
        self.binder = None;
        self.watcher = None;
        self.send(Message::Stop);
        // Channels close one after the other: ledger, then writer and answers.
        let (answers, _) = unbounded();
        self.answers = answers;
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() {
                tracing::error!("a thread of the isolator had failed");
            }
        }
        self.reports.finish();
    }
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map_err(|source| StartError::Thread { name, source })
}

/// The container that a panic struck is refused, and the thread goes on with the next one.
fn refused_on_panic<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let words = "the module failed while it read what the container requests: see the agent's log";
        Err(Refusal::new(Code::Unreachable, words))
    })
}

/// What turns labels into requests.
#[derive(Clone)]
struct Resolver {
    config: Arc<Config>,
    drivers: Drivers,
    store: Arc<Store>,
    policy: Arc<InForce>,
    names: Arc<Names>,
    reports: Arc<Reports>,
    register: Register,
}

impl Resolver {
    fn run(&self, jobs: &Receiver<Resolve>, done: &Sender<Message>) {
        for Resolve {
            id,
            turn,
            launch,
            volumes,
        } in jobs
        {
            let result = refused_on_panic(|| {
                self.resolve(&id, &launch, volumes).and_then(|requests| {
                    let identified = identity::of_requests(&requests, &self.drivers)
                        .map_err(|error| Refusal::new(Code::Invalid, error.to_string()))?;
                    for (volume, identities) in identified {
                        let _ = done.send(Message::Event(Event::Identified { volume, identities }));
                    }
                    Ok(requests)
                })
            });
            let result = result.map_err(PrepareError::Request);
            let containerizer = launch.containerizer();
            // The ledger's thread ends only with the isolator.
            let _ = done.send(Message::Resolved {
                id,
                turn,
                containerizer,
                result,
            });
        }
    }

    fn resolve(
        &self,
        id: &ContainerId,
        launch: &ContainerLaunch,
        volumes: Vec<RequestedVolume>,
    ) -> Result<Vec<VolumeRequest>, Refusal> {
        if let Some(docker) = &launch.docker {
            docker::check(docker, launch)?;
        }
        let names = self
            .names
            .current()
            .map_err(|error| Refusal::new(Code::Invalid, error.to_string()))?;
        let mut resolved = resolve(id, volumes, launch, &self.config, &names, self.store.host_id())?;
        let judged = policy::check(&self.policy.current(), &mut resolved, launch, &self.config, &names);
        let forbidden = judged.map_err(|denied| {
            self.reports.denied(&denied.by);
            Refusal::new(Code::Denied, denied.message)
        })?;
        let (requests, places) = targets(&resolved, &forbidden, launch, &self.config, &self.drivers)?;
        self.register.places(id, places);
        Ok(requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_a_container_is_resolved_refuses_it_and_ends_no_thread() {
        let refusal = refused_on_panic::<()>(|| panic!("as the test demands")).unwrap_err();
        assert!(refusal.to_string().contains("see the agent's log"), "{refusal}");
        assert_eq!(refused_on_panic(|| Ok(1)), Ok(1));
    }
}
