//! A framework for tests and demos: it runs what it is given, as soon as an offer fits, and remembers every update.

mod job;
mod pod;
mod worker;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
pub use job::Job;
use mesos_http::Error;
use mesos_http::endpoint::EndpointError;
use mesos_http::scheduler::{Call, Caller, Config, Connection, Failure, Kill, TaskReference};
use mesos_http::types::{AgentId, FrameworkId, FrameworkInfo, KillPolicy, TaskId, TaskState, TaskStatus};
pub use pod::{Pod, custom_executor};

/// How long the master gets to accept a subscription.
const SUBSCRIPTION: Duration = Duration::from_secs(30);

/// Why a framework did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FrameworkError {
    /// The address of the master is none.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// The master refuses, or cannot be reached.
    #[error(transparent)]
    Mesos(#[from] Error),
    /// A state was not reached in time, or never will be.
    #[error("waited {waited:.1?} for {task} to {what}; its updates:{history}")]
    Task {
        /// The task.
        task: TaskId,
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The updates so far, a line each.
        history: String,
    },
}

/// A subscribed framework. Dropping it tears it down, which kills its tasks.
///
/// It wants offers only while something is to be launched, so several can share a cluster. Updates are acknowledged as
/// they come.
///
/// ```no_run
/// use std::time::Duration;
/// use testbed::{AgentSpec, Cluster, Framework, Job};
///
/// let cluster = Cluster::builder().agent(AgentSpec::default().volumes(["vol-1"])).start()?;
/// let framework = Framework::subscribe(&cluster.master().address())?;
/// let job = Job::shell("date > data/now").label("volume.data", "vol-1").items("ebsvolumes", ["vol-1"]);
/// let task = framework.launch(job);
/// let end = task.wait_for_end(Duration::from_secs(60))?;
/// println!("{} {}", end.state, end.message.unwrap_or_default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Framework {
    caller: Caller,
    launches: Sender<Vec<Launch>>,
    id: FrameworkId,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    changed: Condvar,
}

/// What waits for an offer.
#[derive(Debug)]
enum Launch {
    Task(Box<Job>),
    Pod(Box<Pod>),
}

impl Launch {
    /// The only agent it may go to.
    fn agent(&self) -> Option<&AgentId> {
        match self {
            Launch::Task(job) => job.agent.as_ref(),
            Launch::Pod(pod) => pod.agent.as_ref(),
        }
    }
}

/// What the framework has heard.
#[derive(Debug, Default)]
struct Known {
    updates: HashMap<TaskId, Vec<TaskStatus>>,
    failures: Vec<Failure>,
    /// Why an offer did not fit, at last.
    shortage: Option<String>,
    /// How often it was subscribed.
    subscriptions: usize,
    failed: Option<Error>,
}

impl Shared {
    /// What is known changes in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and wakes all who wait.
    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `find` finds something. `None` after `limit`.
    fn wait<T>(&self, limit: Duration, mut find: impl FnMut(&Known) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut known = self.lock();
        loop {
            if let Some(found) = find(&known) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.changed.wait_timeout(known, left);
            known = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Framework {
    /// Subscribes a framework of user root, that checkpoints, in the role `*`.
    ///
    /// # Errors
    /// `master` (HOST:PORT) does not accept it within half a minute.
    pub fn subscribe(master: &str) -> Result<Framework, FrameworkError> {
        Framework::subscribe_as(master, FrameworkInfo::new("testbed", "root"))
    }

    /// Subscribes any framework.
    ///
    /// # Errors
    /// `master` (HOST:PORT) does not accept it within half a minute.
    pub fn subscribe_as(master: &str, framework: FrameworkInfo) -> Result<Framework, FrameworkError> {
        let mut config = Config::new(master, framework)?;
        config.suppressed_roles.clone_from(&config.framework.roles);
        let connection = Connection::open(config);
        let caller = connection.caller();
        let shared = Arc::new(Shared::default());
        let launches = worker::start(connection, Arc::clone(&shared));
        let subscribed = shared.wait(SUBSCRIPTION, |known| match &known.failed {
            Some(error) => Some(Err(error.clone())),
            None => (known.subscriptions > 0).then_some(Ok(())),
        });
        subscribed.unwrap_or(Err(Error::NotSubscribed(None)))?;
        let id = caller.framework_id().ok_or(Error::NotSubscribed(None))?;
        Ok(Framework {
            caller,
            launches,
            id,
            shared,
        })
    }

    /// Its id.
    pub fn id(&self) -> &FrameworkId {
        &self.id
    }

    /// For calls of any other kind.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Has a job run as soon as an offer fits.
    pub fn launch(&self, job: Job) -> LaunchedTask {
        let id = job.task.task_id.clone();
        self.send(vec![Launch::Task(Box::new(job))]);
        self.task(id)
    }

    /// Has jobs run, all in one launch if one offer fits them all.
    pub fn launch_all(&self, jobs: impl IntoIterator<Item = Job>) -> Vec<LaunchedTask> {
        let jobs: Vec<Job> = jobs.into_iter().collect();
        let tasks = jobs.iter().map(|job| self.task(job.task.task_id.clone())).collect();
        self.send(jobs.into_iter().map(|job| Launch::Task(Box::new(job))).collect());
        tasks
    }

    /// Has the members of a pod run together as soon as an offer fits.
    pub fn launch_pod(&self, pod: Pod) -> Vec<LaunchedTask> {
        let tasks = pod
            .members
            .iter()
            .map(|job| self.task(job.task.task_id.clone()))
            .collect();
        self.send(vec![Launch::Pod(Box::new(pod))]);
        tasks
    }

    /// A task by its id, launched by this framework or an earlier life of it.
    pub fn task(&self, id: impl Into<TaskId>) -> LaunchedTask {
        LaunchedTask {
            id: id.into(),
            caller: self.caller.clone(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Every FAILURE event so far.
    pub fn failures(&self) -> Vec<Failure> {
        self.shared.lock().failures.clone()
    }

    /// How often it has been subscribed: more than once after a break.
    pub fn subscriptions(&self) -> usize {
        self.shared.lock().subscriptions
    }

    /// Waits until it has been subscribed so often.
    ///
    /// # Errors
    /// The master refuses it, or `limit` passes.
    pub fn wait_for_subscription(&self, count: usize, limit: Duration) -> Result<(), FrameworkError> {
        let waited = self.shared.wait(limit, |known| match &known.failed {
            Some(error) => Some(Err(error.clone())),
            None => (known.subscriptions >= count).then_some(Ok(())),
        });
        Ok(waited.unwrap_or(Err(Error::NotSubscribed(None)))?)
    }

    /// When the thread is gone the wait for the task tells why.
    fn send(&self, launches: Vec<Launch>) {
        let _ = self.launches.send(launches);
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        if let Err(error) = self.caller.call(&Call::Teardown) {
            eprintln!("the framework {} was not torn down: {error}", self.id);
        }
    }
}

/// A task that was launched or waits for an offer.
#[derive(Debug, Clone)]
pub struct LaunchedTask {
    id: TaskId,
    caller: Caller,
    shared: Arc<Shared>,
}

impl LaunchedTask {
    /// Its id, which is also its executor's.
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// Every update so far. An update that came twice is there once.
    pub fn updates(&self) -> Vec<TaskStatus> {
        self.shared.lock().updates.get(&self.id).cloned().unwrap_or_default()
    }

    /// The states so far.
    pub fn states(&self) -> Vec<TaskState> {
        self.updates().into_iter().map(|status| status.state).collect()
    }

    /// Where it runs, once an update has told.
    pub fn agent_id(&self) -> Option<AgentId> {
        self.updates().into_iter().find_map(|status| status.agent_id)
    }

    /// Kills it by its own policy.
    ///
    /// # Errors
    /// The master does not accept the call.
    pub fn kill(&self) -> Result<(), FrameworkError> {
        Ok(self.caller.call(&Call::kill(self.id.clone(), self.agent_id()))?)
    }

    /// Kills it with so long between SIGTERM and SIGKILL.
    ///
    /// # Errors
    /// The master does not accept the call.
    pub fn kill_within(&self, grace: Duration) -> Result<(), FrameworkError> {
        let kill_policy = Some(KillPolicy {
            grace_period: Some(grace.into()),
        });
        let kill = Kill {
            task_id: self.id.clone(),
            agent_id: self.agent_id(),
            kill_policy,
        };
        Ok(self.caller.call(&Call::Kill(kill))?)
    }

    /// Asks the master for its latest state; the answer is an update.
    ///
    /// # Errors
    /// The master does not accept the call.
    pub fn reconcile(&self) -> Result<(), FrameworkError> {
        let tasks = vec![TaskReference {
            task_id: self.id.clone(),
            agent_id: self.agent_id(),
        }];
        Ok(self.caller.call(&Call::Reconcile { tasks })?)
    }

    /// Waits until it runs.
    ///
    /// # Errors
    /// It ends before, or `limit` passes; the message has all updates.
    pub fn wait_for_running(&self, limit: Duration) -> Result<TaskStatus, FrameworkError> {
        self.wait_for("run", limit, |status| status.state == TaskState::Running)
    }

    /// Waits for its end, however it ends. LOST counts as an end here.
    ///
    /// # Errors
    /// `limit` passes; the message has all updates.
    pub fn wait_for_end(&self, limit: Duration) -> Result<TaskStatus, FrameworkError> {
        self.wait_for("end", limit, is_end)
    }

    /// Waits for an update, past or future; `what` says, as an infinitive, what is waited for.
    ///
    /// # Errors
    /// It ends without such an update, or `limit` passes; the message has all updates.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&TaskStatus) -> bool,
    ) -> Result<TaskStatus, FrameworkError> {
        let start = Instant::now();
        let found = self.shared.wait(limit, |known| {
            let updates = known.updates.get(&self.id).map(Vec::as_slice).unwrap_or_default();
            if let Some(status) = updates.iter().find(|status| wanted(status)) {
                return Some(Ok(status.clone()));
            }
            let is_over = updates.iter().any(is_end);
            match &known.failed {
                Some(error) => Some(Err(Some(error.clone()))),
                None => is_over.then_some(Err(None)),
            }
        });
        match found {
            Some(Ok(status)) => Ok(status),
            Some(Err(Some(error))) => Err(error.into()),
            Some(Err(None)) | None => Err(FrameworkError::Task {
                task: self.id.clone(),
                what: what.to_string(),
                waited: start.elapsed(),
                history: self.history(),
            }),
        }
    }

    fn history(&self) -> String {
        let known = self.shared.lock();
        let mut text = String::new();
        for status in known.updates.get(&self.id).into_iter().flatten() {
            let message = status.message.as_deref().unwrap_or_default();
            let reason = status.reason.as_ref().map(ToString::to_string).unwrap_or_default();
            let _ = write!(text, "\n  {} {reason} {message}", status.state);
        }
        if text.is_empty() {
            let shortage = known.shortage.as_deref().unwrap_or("no offer came");
            let _ = write!(text, "\n  none ({shortage})");
        }
        text
    }
}

fn is_end(status: &TaskStatus) -> bool {
    status.state.is_terminal() || status.state == TaskState::Lost
}
