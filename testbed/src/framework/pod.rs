//! Tasks that run together: task groups, and custom executors with several tasks.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use mesos_http::resources::{Demand, Resources, Shortage};
use mesos_http::scheduler::Operation;
use mesos_http::types::{AgentId, CommandInfo, ContainerInfo, ExecutorInfo, ExecutorKind, Offer, TaskGroupInfo};

use super::Job;

/// Makes ids of executors unique within this program.
static COUNT: AtomicU64 = AtomicU64::new(1);

/// A task group under Mesos' default executor; the program behind that name is the testbed's.
#[derive(Debug, Clone)]
pub struct Pod {
    pub(super) executor: ExecutorInfo,
    pub(super) members: Vec<Job>,
    pub(super) agent: Option<AgentId>,
}

impl Pod {
    /// These tasks, in an executor of their own with 0.1 cpus, 32 MiB and 16 MiB of disk, the least that a master accepts.
    pub fn of(members: impl IntoIterator<Item = Job>) -> Pod {
        Pod {
            executor: ExecutorInfo::default_executor(executor_id(), Resources::new()),
            members: members.into_iter().collect(),
            agent: None,
        }
    }

    /// With one more label of the executor.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Pod {
        self.executor.labels.push(key, value);
        self
    }

    /// Other tasks for the same executor; a group for one that runs already.
    #[must_use]
    pub fn again(&self, members: impl IntoIterator<Item = Job>) -> Pod {
        Pod {
            members: members.into_iter().collect(),
            ..self.clone()
        }
    }

    /// The executor's id.
    pub fn executor_id(&self) -> &str {
        self.executor.executor_id.as_str()
    }

    /// With any other change to the executor.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ExecutorInfo)) -> Pod {
        change(&mut self.executor);
        self
    }

    /// Only on the agent with this id (see [`Agent::id`](crate::Agent::id)).
    #[must_use]
    pub fn on(mut self, agent: impl Into<AgentId>) -> Pod {
        self.agent = Some(agent.into());
        self
    }

    /// The launch with its share of an offer.
    ///
    /// # Errors
    /// What the offer is short of; nothing is taken then.
    pub(super) fn placed(&self, offer: &mut Offer) -> Result<Operation, Shortage> {
        let mut rest = offer.clone();
        let own = Demand::new()
            .scalar("cpus", 0.1)
            .scalar("mem", 32.0)
            .scalar("disk", 16.0);
        let mut executor = self.executor.clone();
        executor.framework_id = Some(offer.framework_id.clone());
        executor.resources = rest.resources.take(&own)?;
        let members = self.members.iter().map(|job| job.placed(&mut rest));
        let tasks = members.collect::<Result<Vec<_>, _>>()?;
        *offer = rest;
        Ok(Operation::LaunchGroup {
            executor: Box::new(executor),
            task_group: TaskGroupInfo { tasks },
        })
    }
}

/// A custom executor that is the testbed's `mesos-default-executor` at this path, for [`Job::executor`]: its tasks are processes
/// in its own container.
pub fn custom_executor(program: &Path) -> ExecutorInfo {
    let executor = ExecutorInfo::default_executor(executor_id(), Resources::new());
    ExecutorInfo {
        kind: Some(ExecutorKind::Custom),
        command: Some(CommandInfo::program([program.display().to_string()])),
        container: Some(ContainerInfo::mesos()),
        ..executor
    }
}

fn executor_id() -> String {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("executor-{}-{number}", std::process::id())
}
