//! The executors of containers that outlived their agent, for containers that are nested in them
//! later.
//!
//! The configuration of a nested container has a copy of its root's executor, with the labels.
//! Mesos 1.4 has nothing to copy any more once the agent was restarted, but at recovery it gave the
//! ids from which it follows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use isolator::ContainerId;

use crate::wire::ExecutorInfo;

/// Executors by their top-level container.
#[derive(Default)]
pub(crate) struct Roots(Mutex<HashMap<ContainerId, ExecutorInfo>>);

impl Roots {
    /// Of a container that runs at the agent's start.
    pub(crate) fn remember(&self, id: ContainerId, executor: ExecutorInfo) {
        if id.parent().is_none() {
            self.lock().insert(id, executor);
        }
    }

    /// The executor of the container that this one is nested in, if the agent found it running. A
    /// top-level container has its own.
    pub(crate) fn executor_of(&self, id: &ContainerId) -> Option<ExecutorInfo> {
        id.parent()?;
        let root = ContainerId::root(id.path().first()?);
        self.lock().get(&root).cloned()
    }

    /// The container has ended.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.lock().remove(id);
    }

    /// The table changes in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, ExecutorInfo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
