//! The labels of an executor's first task, which count for the executor's container.
//!
//! Mesos shows isolators the labels of a custom executor and of none of its tasks. A hook sees
//! every task, and the first one of an executor before its container is launched. Nothing of this
//! needs to be recovered: the container's record has its volumes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};
use volume_labels::FRAMEWORK_PREFIXES;

use crate::types::{ArrivingTask, ContainerId, ContainerLaunch};

/// A framework's id and an executor's.
type Executor = (String, String);

/// Executors that were handed a task.
#[derive(Default)]
pub(crate) struct FirstTasks(Mutex<Known>);

#[derive(Default)]
struct Known {
    executors: HashMap<Executor, First>,
    containers: HashMap<ContainerId, Executor>,
}

struct First {
    task: ArrivingTask,
    is_launched: bool,
}

impl FirstTasks {
    /// The agent was handed a task. Labels of one that is not its executor's first bring no
    /// volumes, and the log says so.
    pub(crate) fn arrived(&self, task: ArrivingTask) {
        if !task.has_custom_executor {
            return;
        }
        let key = (task.framework.clone(), task.executor.clone());
        let mut known = self.lock();
        let Some(first) = known.executors.get(&key) else {
            let is_launched = false;
            known.executors.insert(key, First { task, is_launched });
            return;
        };
        if first.task.task == task.task {
            return;
        }
        let differs = volume_labels_of(&task).any(|label| !first.task.labels.contains(label));
        if differs {
            warn!(
                framework = task.framework,
                executor = task.executor,
                task = task.task,
                first = first.task.task,
                "the task's volume labels bring no volumes: only those of an executor's first task do, before its container is launched"
            );
        }
    }

    /// A container is launched: if it is that of a custom executor, the labels of its first task
    /// are added.
    pub(crate) fn launched(&self, id: &ContainerId, launch: &mut ContainerLaunch) {
        let (Some(framework), Some(executor)) = (&launch.workload.framework, &launch.workload.executor) else {
            return;
        };
        if id.parent().is_some() || launch.workload.task.is_some() {
            return;
        }
        let key = (framework.clone(), executor.clone());
        let mut known = self.lock();
        let Some(first) = known.executors.get_mut(&key).filter(|first| !first.is_launched) else {
            return;
        };
        first.is_launched = true;
        let labels: Vec<_> = volume_labels_of(&first.task).cloned().collect();
        if !labels.is_empty() {
            info!(container = %id, task = first.task.task, "the labels of the executor's first task count for its container");
            launch.task_labels.extend(labels);
            launch.set_resources.extend(first.task.set_resources.iter().cloned());
        }
        known.containers.insert(id.clone(), key);
    }

    /// A container has ended. The next one of its executor has a first task of its own.
    pub(crate) fn container_ended(&self, id: &ContainerId) {
        let mut known = self.lock();
        if let Some(executor) = known.containers.remove(id) {
            known.executors.remove(&executor);
        }
    }

    /// Mesos says that an executor has ended, perhaps before it was launched.
    pub(crate) fn executor_ended(&self, framework: &str, executor: &str) {
        let key = (framework.to_owned(), executor.to_owned());
        self.lock().executors.remove(&key);
    }

    /// The table changes in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn volume_labels_of(task: &ArrivingTask) -> impl Iterator<Item = &(String, String)> {
    task.labels.iter().filter(|(key, _)| {
        let stripped = FRAMEWORK_PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix));
        stripped.unwrap_or(key).starts_with("volume.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Workload;

    fn task(name: &str) -> ArrivingTask {
        ArrivingTask {
            framework: "F".into(),
            executor: "e".into(),
            task: name.into(),
            has_custom_executor: true,
            labels: vec![("volume.data".into(), name.into()), ("other".into(), "x".into())],
            set_resources: vec![("ebsvolumes".into(), [name.to_owned()].into())],
        }
    }

    fn labels_of_launch(first_tasks: &FirstTasks, container: &str) -> Vec<(String, String)> {
        let mut launch = ContainerLaunch {
            workload: Workload {
                framework: Some("F".into()),
                executor: Some("e".into()),
                ..Workload::default()
            },
            ..ContainerLaunch::default()
        };
        first_tasks.launched(&ContainerId::root(container), &mut launch);
        launch.task_labels
    }

    #[test]
    fn the_labels_of_the_first_task_count_for_the_container_and_those_of_later_ones_do_not() {
        let first_tasks = FirstTasks::default();
        first_tasks.arrived(task("one"));
        first_tasks.arrived(task("two"));
        assert_eq!(
            labels_of_launch(&first_tasks, "c"),
            [("volume.data".to_owned(), "one".to_owned())]
        );
        first_tasks.arrived(task("three"));
        assert_eq!(labels_of_launch(&first_tasks, "d"), [], "its labels were used");
        first_tasks.container_ended(&ContainerId::root("c"));
        first_tasks.arrived(task("four"));
        assert_eq!(
            labels_of_launch(&first_tasks, "d"),
            [("volume.data".to_owned(), "four".to_owned())]
        );
    }

    #[test]
    fn a_task_in_an_executor_of_mesos_brings_nothing_here() {
        let first_tasks = FirstTasks::default();
        first_tasks.arrived(ArrivingTask {
            has_custom_executor: false,
            ..task("one")
        });
        assert_eq!(labels_of_launch(&first_tasks, "c"), []);
    }
}
