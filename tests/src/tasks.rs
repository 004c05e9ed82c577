//! A test's own framework: runs tasks on the agents it names, and says what went wrong with them.

use std::time::Duration;

use mesos_http::types::{FrameworkInfo, TaskState, TaskStatus};
use testbed::{Agent, Cluster, Framework, Job, LaunchedTask, Pod};

/// How long any task may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A subscribed framework. Dropping it ends it, and its tasks with it.
pub struct Tasks(Framework);

impl Tasks {
    /// Subscribes with the cluster's master; checkpoints, so that tasks outlive their agent.
    ///
    /// # Panics
    /// When it cannot subscribe.
    pub fn connect(cluster: &Cluster) -> Self {
        Self::subscribe(cluster, FrameworkInfo::new("tests", "root"))
    }

    /// As [`Self::connect`], without checkpointing: Mesos then ends the tasks of an agent that goes away.
    ///
    /// # Panics
    /// When it cannot subscribe.
    pub fn connect_without_checkpoint(cluster: &Cluster) -> Self {
        let framework = FrameworkInfo {
            checkpoint: false,
            ..FrameworkInfo::new("tests", "root")
        };
        Self::subscribe(cluster, framework)
    }

    /// As [`Self::connect`], in this role: it is offered what is reserved for the role.
    ///
    /// # Panics
    /// When it cannot subscribe.
    pub fn connect_in_role(cluster: &Cluster, role: &str) -> Self {
        let framework = FrameworkInfo {
            roles: vec![role.to_owned()],
            ..FrameworkInfo::new("tests", "root")
        };
        Self::subscribe(cluster, framework)
    }

    fn subscribe(cluster: &Cluster, framework: FrameworkInfo) -> Self {
        let framework = Framework::subscribe_as(&cluster.master().address(), framework);
        Self(framework.unwrap_or_else(|error| panic!("{error}\n{}", cluster.report())))
    }

    /// Launches a task on an agent.
    ///
    /// # Panics
    /// When the agent does not tell its id.
    pub fn launch(&self, agent: &Agent, job: Job) -> LaunchedTask {
        let id = agent.id().unwrap_or_else(|error| panic!("{error}"));
        self.0.launch(job.on(id.as_str()))
    }

    /// Launches tasks on an agent, all at once.
    ///
    /// # Panics
    /// When the agent does not tell its id.
    pub fn launch_all(&self, agent: &Agent, jobs: impl IntoIterator<Item = Job>) -> Vec<LaunchedTask> {
        let id = agent.id().unwrap_or_else(|error| panic!("{error}"));
        self.0.launch_all(jobs.into_iter().map(|job| job.on(id.as_str())))
    }

    /// Launches the members of a pod on an agent.
    ///
    /// # Panics
    /// When the agent does not tell its id.
    pub fn launch_pod(&self, agent: &Agent, pod: Pod) -> Vec<LaunchedTask> {
        let id = agent.id().unwrap_or_else(|error| panic!("{error}"));
        self.0.launch_pod(pod.on(id.as_str()))
    }

    /// The framework's id.
    pub fn framework(&self) -> &str {
        self.0.id().as_str()
    }

    /// Runs a task that must finish well.
    ///
    /// # Panics
    /// When it ends otherwise, with its message; or when it does not end.
    pub fn finish(&self, agent: &Agent, job: Job) {
        finished(&self.launch(agent, job));
    }

    /// Runs a task that must fail, and returns its message.
    ///
    /// # Panics
    /// When it does not fail.
    pub fn fail(&self, agent: &Agent, job: Job) -> String {
        let status = end(&self.launch(agent, job));
        assert_eq!(status.state, TaskState::Failed, "{:?}", status.message);
        status.message.unwrap_or_default()
    }
}

/// Waits until the task runs.
///
/// # Panics
/// When it ends instead, or does not run.
pub fn running(task: &LaunchedTask) {
    task.wait_for_running(LIMIT).unwrap_or_else(|error| panic!("{error}"));
}

/// Waits for the task's end.
///
/// # Panics
/// When it does not end.
pub fn end(task: &LaunchedTask) -> TaskStatus {
    task.wait_for_end(LIMIT).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits for the task's end, which must be a good one.
///
/// # Panics
/// When it ends otherwise, with its message; or when it does not end.
pub fn finished(task: &LaunchedTask) {
    let status = end(task);
    assert_eq!(status.state, TaskState::Finished, "{:?}", status.message);
}
