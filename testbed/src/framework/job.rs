//! What a test or demo wants to have run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesos_http::resources::{Demand, Resources, Shortage};
use mesos_http::types::{
    AgentId, Bytes, CommandInfo, ContainerInfo, ExecutorInfo, HealthCheck, Offer, Resource, TaskInfo,
};

/// Makes ids unique within this program.
static COUNT: AtomicU64 = AtomicU64::new(1);

/// One task, and where it may run: a command task, unless it is given an executor.
#[derive(Debug, Clone)]
pub struct Job {
    pub(super) task: TaskInfo,
    pub(super) agent: Option<AgentId>,
    cpus: f64,
    mem: f64,
    items: Vec<(String, Vec<String>)>,
    /// In MiB; Mesos enforces no quota on a task without any.
    disk: Option<f64>,
    persistent_volumes: Vec<String>,
}

impl Job {
    /// A command for the shell, with 0.1 cpus, 32 MiB and an id of its own.
    pub fn shell(command: impl Into<String>) -> Job {
        Job::command(CommandInfo::shell(command))
    }

    /// Any command.
    pub fn command(command: CommandInfo) -> Job {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("task-{}-{number}", std::process::id());
        let task = TaskInfo::command(id, AgentId::from(""), command, Resources::new());
        Job {
            task,
            agent: None,
            cpus: 0.1,
            mem: 32.0,
            items: Vec::new(),
            disk: None,
            persistent_volumes: Vec::new(),
        }
    }

    /// With this id instead of one of its own.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Job {
        self.task.task_id = id.into().into();
        self.task.name = self.task.task_id.0.clone();
        self
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Job {
        self.task.labels.push(key, value);
        self
    }

    /// With one more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Job {
        self.task.command = self.task.command.map(|command| command.env(name, value));
        self
    }

    /// As this user instead of the framework's.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Job {
        self.task.command = self.task.command.map(|command| command.as_user(user));
        self
    }

    /// With so many cpus and so much memory in MiB.
    #[must_use]
    pub fn size(mut self, cpus: f64, mem: f64) -> Job {
        (self.cpus, self.mem) = (cpus, mem);
        self
    }

    /// With so much disk in MiB, which is the quota of its sandbox where the agent enforces one.
    #[must_use]
    pub fn disk(mut self, disk: f64) -> Job {
        self.disk = Some(disk);
        self
    }

    /// With the persistent volume of Mesos that has this id, just as it is offered.
    #[must_use]
    pub fn persistent_volume(mut self, id: impl Into<String>) -> Job {
        self.persistent_volumes.push(id.into());
        self
    }

    /// Holding exactly these items of a SET resource, such as `ebsvolumes`.
    #[must_use]
    pub fn items<T: Into<String>>(mut self, name: impl Into<String>, items: impl IntoIterator<Item = T>) -> Job {
        self.items
            .push((name.into(), items.into_iter().map(Into::into).collect()));
        self
    }

    /// Only on the agent with this id (see [`Agent::id`](crate::Agent::id)).
    #[must_use]
    pub fn on(mut self, agent: impl Into<AgentId>) -> Job {
        self.agent = Some(agent.into());
        self
    }

    /// In a Docker image.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>) -> Job {
        self.task.container = Some(ContainerInfo::mesos().with_docker_image(name));
        self
    }

    /// As a Docker container, by an agent with the Docker containerizer ([`AgentSpec::docker`](crate::AgentSpec::docker)).
    #[must_use]
    pub fn docker(mut self, image: impl Into<String>) -> Job {
        self.task.container = Some(ContainerInfo::docker(image));
        self
    }

    /// In a custom executor, such as the testbed's ([`crate::custom_executor`]), which gets the command as the task's `data`.
    /// Tasks with equal descriptions of it share one. What it uses itself is not taken from the offer: name none.
    #[must_use]
    pub fn executor(mut self, executor: ExecutorInfo) -> Job {
        let command = self.task.command.take().and_then(|command| command.value);
        self.task.data = command.map(|command| Bytes(command.into_bytes()));
        self.task.executor = Some(executor);
        self
    }

    /// With so long between SIGTERM and SIGKILL.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Job {
        self.task = self.task.with_kill_grace(grace);
        self
    }

    /// With a health check.
    #[must_use]
    pub fn health_check(mut self, check: HealthCheck) -> Job {
        self.task.health_check = Some(check);
        self
    }

    /// With any other change to what is sent.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut TaskInfo)) -> Job {
        change(&mut self.task);
        self
    }

    /// The task with its share of an offer.
    ///
    /// # Errors
    /// What the offer is short of; nothing is taken then.
    pub(super) fn placed(&self, offer: &mut Offer) -> Result<TaskInfo, Shortage> {
        let mut left = offer.resources.clone();
        let mut resources = left.take(&self.demand())?;
        for id in &self.persistent_volumes {
            let volume = persistent_volume(&left, id)?;
            left.subtract(&Resources::from_iter([volume.clone()]))?;
            resources.add(volume);
        }
        offer.resources = left;
        Ok(TaskInfo {
            agent_id: offer.agent_id.clone(),
            resources,
            ..self.task.clone()
        })
    }

    fn demand(&self) -> Demand {
        let demand = Demand::new().scalar("cpus", self.cpus).scalar("mem", self.mem);
        let demand = self
            .disk
            .iter()
            .fold(demand, |demand, disk| demand.scalar("disk", *disk));
        self.items.iter().fold(demand, |demand, (name, items)| {
            demand.items(name, items.iter().map(String::as_str))
        })
    }
}

/// The persistent volume with this id, as Mesos offers it: a resource `disk` that names it.
fn persistent_volume(offered: &Resources, id: &str) -> Result<Resource, Shortage> {
    let has_id = |resource: &&Resource| {
        resource
            .other
            .get("disk")
            .is_some_and(|disk| disk["persistence"]["id"] == id)
    };
    offered.iter().find(has_id).cloned().ok_or_else(|| Shortage::Item {
        name: "the persistent volumes".to_owned(),
        item: id.to_owned(),
    })
}
