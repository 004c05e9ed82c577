//! Volumes by label: the task's own, and its executor's.

use volume_labels::VolumeLabels;

use super::claim::{holds, holds_any};
use super::source::Asked;
use super::sources;
use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// The volumes that labels give a container.
///
/// The labels of a task with a command are among its executor's too (a Mesos rule), and what both say in the same words counts
/// once. A member of a pod carries its executor's labels, never its own (a Mesos rule), so each non-DEBUG member sees the pod's
/// volumes; when it holds items of the claim resource itself, it gets just the volumes it holds.
///
/// # Errors
/// One line that names the label, or both labels that contradict each other.
pub(super) fn asked(id: &ContainerId, launch: &ContainerLaunch, config: &Config) -> Result<Vec<Asked>, String> {
    let parse = |labels: &[(String, String)]| {
        volume_labels::parse(labels.iter().map(|(key, value)| (key, value))).map_err(|error| error.to_string())
    };
    let tasks = parse(&launch.task_labels)?;
    let mut executors = parse(&launch.executor_labels)?;
    if id.parent().is_some() && holds_any(launch, config) {
        executors.retain(|volume| holds(launch, config, volume.claim_id()));
    }
    for volume in &executors {
        let of_one_slot = |other: &&VolumeLabels| other.slot == volume.slot;
        if let Some(tasks) = tasks.iter().find(of_one_slot).filter(|tasks| *tasks != volume) {
            return Err(format!(
                "label 'volume.{slot}': the task's labels of this slot ('{}') and those of its executor ('{}') differ: make them \
                 agree, or give one of them another slot",
                volume_labels::cleaned(&tasks.name),
                volume_labels::cleaned(&volume.name),
                slot = volume.slot
            ));
        }
    }
    let mut asked: Vec<Asked> = tasks.into_iter().map(Asked::by_labels).collect();
    sources::add(
        &mut asked,
        executors.into_iter().map(Asked::by_labels).collect(),
        config,
    )?;
    Ok(asked)
}
