//! Compares the items of the agent's SET resource that containers hold with the volumes that their
//! labels name.
//!
//! Mesos gives an isolator the labels of a container once, when it launches it, and those are its
//! executor's (a command task's own are among them). No isolator sees the labels of a task that a
//! scheduler hands to a running executor. But `update` shows which items the executor's container
//! holds with that task. An item that no label names is a volume that a task expects and does not
//! get, so the log says so, once for each container and item.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::info;
use volume_labels::VolumeLabels;

use crate::types::{ContainerId, RecoveredContainer};

/// SET resources by their name.
type Sets = [(String, BTreeSet<String>)];

/// The items of top-level containers that their labels name or that were logged.
pub(crate) struct Claims {
    resource: String,
    settled: Mutex<HashMap<ContainerId, BTreeSet<String>>>,
}

impl Claims {
    /// For this resource.
    pub(crate) fn new(resource: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            settled: Mutex::default(),
        }
    }

    /// A container is launched, with these volumes and resources.
    pub(crate) fn launched<'a>(
        &self,
        id: &ContainerId,
        volumes: impl IntoIterator<Item = &'a VolumeLabels>,
        held: &Sets,
    ) {
        // What the members of a pod hold, its executor holds too.
        if id.parent().is_none() {
            self.name(id, volumes);
            self.held(id, held);
        }
    }

    /// A container was found running.
    pub(crate) fn recovered(&self, container: &RecoveredContainer) {
        let labels = container.executor_labels.iter().map(|(key, value)| (key, value));
        // Labels that cannot be read name nothing.
        if let (None, Ok(volumes)) = (container.id.parent(), volume_labels::parse(labels)) {
            self.name(&container.id, &volumes);
        }
    }

    /// A container holds these resources now. Logs new items that no label names.
    pub(crate) fn held(&self, id: &ContainerId, held: &Sets) {
        let ours = held.iter().filter(|(name, _)| *name == self.resource);
        let items: BTreeSet<&String> = ours.flat_map(|(_, items)| items).collect();
        let unnamed: Vec<&str> = {
            let mut all = self.lock();
            let settled = all.get(id);
            let is_new = |item: &&&String| settled.is_none_or(|settled| !settled.contains(item.as_str()));
            let unnamed: Vec<&String> = items.iter().filter(is_new).copied().collect();
            if unnamed.is_empty() {
                return;
            }
            all.entry(id.clone())
                .or_default()
                .extend(unnamed.iter().copied().cloned());
            unnamed.into_iter().map(String::as_str).collect()
        };
        info!(
            container = %id,
            items = unnamed.join(", "),
            resource = self.resource,
            "the container holds items that no label names, so nothing is mounted for them; when tasks have an executor of their own, \
             Mesos shows this module only the executor's labels: write the volumes' labels there"
        );
    }

    /// A container has ended.
    pub(crate) fn ended(&self, id: &ContainerId) {
        self.lock().remove(id);
    }

    fn name<'a>(&self, id: &ContainerId, volumes: impl IntoIterator<Item = &'a VolumeLabels>) {
        let names = volumes.into_iter().flat_map(|volume| [volume.claim_id(), &volume.name]);
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        if !names.is_empty() {
            self.lock().insert(id.clone(), names);
        }
    }

    /// The table changes in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, BTreeSet<String>>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
