//! Tasks as they are, and as the master describes them.

use std::collections::{BTreeMap, BTreeSet};

use mesos_http::types::{Resource, Task, TaskState};
use scheduler::ledger::{Holder, Mode};

use crate::action::VOLUMES;

pub(crate) const OURS: &str = "F";
pub(crate) const OTHERS: &str = "G";
/// The last volume can be attached to several hosts.
pub(crate) const MULTI: u8 = VOLUMES - 1;

#[derive(Clone, Debug)]
pub(crate) struct Real {
    pub(crate) framework: &'static str,
    pub(crate) agent: u8,
    pub(crate) volumes: BTreeMap<u8, Mode>,
    /// What the agent knows; `None` until the ACCEPT has arrived.
    pub(crate) state: Option<TaskState>,
    /// What the master knows.
    pub(crate) reported: TaskState,
    /// Volumes it can still write to, or read from.
    pub(crate) mounted: BTreeSet<u8>,
    pub(crate) began: bool,
    /// When its state changed last, in seconds.
    pub(crate) changed: f64,
}

impl Real {
    /// Whether it uses its volumes, or may come to.
    pub(crate) fn is_alive(&self) -> bool {
        self.state.as_ref().is_none_or(|state| !state.is_terminal())
    }

    pub(crate) fn may_touch(&self, volume: u8) -> bool {
        self.is_alive() && self.volumes.contains_key(&volume) && (!self.began || self.mounted.contains(&volume))
    }
}

pub(crate) fn holder(framework: &str, task: &str) -> Holder {
    Holder {
        framework: framework.to_owned(),
        task: task.to_owned(),
    }
}

pub(crate) fn volume_id(volume: u8) -> String {
    format!("vol-{volume}")
}

pub(crate) fn agent_id(agent: u8) -> String {
    format!("agent-{agent}")
}

/// The task as the master describes it.
pub(crate) fn described(id: &str, task: &Real) -> Task {
    let items = task.volumes.keys().map(|volume| volume_id(*volume));
    let reads = task.volumes.values().all(|mode| *mode == Mode::Read);
    let labels: Vec<(String, String)> = task
        .volumes
        .keys()
        .filter(|_| reads)
        .flat_map(|v| {
            [
                (format!("volume.v{v}"), volume_id(*v)),
                (format!("volume.v{v}.mode"), "ro".to_owned()),
            ]
        })
        .collect();
    let mut json = serde_json::json!({
        "name": id, "task_id": {"value": id}, "framework_id": {"value": task.framework},
        "agent_id": {"value": agent_id(task.agent)}, "state": task.reported,
    });
    if task.began {
        json["statuses"] =
            serde_json::json!([{"task_id": {"value": id}, "state": "TASK_RUNNING", "timestamp": task.changed}]);
    }
    let mut described: Task = serde_json::from_value(json).expect("the task is one of Mesos");
    described.resources = vec![Resource::set("ebsvolumes", items)];
    described.labels = labels.into_iter().collect();
    described
}
