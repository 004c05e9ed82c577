//! What no history may break.

use std::collections::{BTreeMap, BTreeSet};

use mesos_http::types::TaskState;
use scheduler::state::JobState;

use crate::world::{READ, Real, VOLUMES};

/// Two that may write are two writers, whichever agents they are on.
pub(crate) fn invariant_no_volume_has_two_tasks(tasks: &BTreeMap<String, Real>) {
    for volume in VOLUMES {
        let users: Vec<&String> = tasks
            .iter()
            .filter(|(_, task)| task.runs() && task.claims.contains(volume))
            .map(|(id, _)| id)
            .collect();
        assert!(users.len() <= 1, "{volume} is used by {users:?}");
    }
}

/// The volume that is read can be attached to one host.
pub(crate) fn invariant_readers_share_an_agent(tasks: &BTreeMap<String, Real>) {
    let readers = tasks.values().filter(|task| task.runs() && task.reads);
    let agents: BTreeSet<&String> = readers.map(|task| &task.agent).collect();
    assert!(agents.len() <= 1, "{READ} is read on {agents:?}");
}

/// A task that has finished must not run again, nor twice at the same time.
pub(crate) fn invariant_no_task_runs_twice_or_again(tasks: &BTreeMap<String, Real>) {
    let mut by_name: BTreeMap<&String, Vec<&TaskState>> = BTreeMap::new();
    for task in tasks.values() {
        by_name.entry(&task.name).or_default().push(&task.state);
    }
    for (name, states) in by_name {
        assert!(states.len() <= 1, "{name} was launched several times: {states:?}");
    }
}

/// A scheduler that starts from the disk has to know of everything that runs.
pub(crate) fn invariant_what_runs_is_on_disk(tasks: &BTreeMap<String, Real>, disk: &JobState) {
    let known: BTreeSet<&String> = disk
        .tasks
        .values()
        .flat_map(|record| &record.attempts)
        .map(|attempt| &attempt.task_id)
        .collect();
    for id in tasks.keys() {
        assert!(known.contains(id), "{id} runs and is not on disk");
    }
}
