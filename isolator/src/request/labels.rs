//! Volumes by label: the task's own, and its executor's.

use volume_labels::VolumeLabels;

use super::claim::{holds, holds_any};
use super::error::ParseError;
use super::requested_volume::RequestedVolume;
use super::sources;
use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// The volumes that labels give a container.
///
/// The labels of a task with a command are among its executor's too (a Mesos rule), and what both
/// say in the same words counts once. A member of a pod carries its executor's labels, never its
/// own (a Mesos rule), so each non-DEBUG member sees the pod's volumes. A member that holds items
/// of the claim resource itself gets only the volumes that it holds.
///
/// # Errors
/// When a label is not understood, or the task's and the executor's labels contradict each other.
pub(super) fn requested(
    id: &ContainerId,
    launch: &ContainerLaunch,
    config: &Config,
) -> Result<Vec<RequestedVolume>, ParseError> {
    let parse = |labels: &[(String, String)]| volume_labels::parse(labels.iter().map(|(key, value)| (key, value)));
    let tasks = parse(&launch.task_labels)?;
    let mut executors = parse(&launch.executor_labels)?;
    if id.parent().is_some() && holds_any(launch, config) {
        executors.retain(|volume| holds(launch, config, volume.claim_id()));
    }
    for volume in &executors {
        let of_one_slot = |other: &&VolumeLabels| other.slot == volume.slot;
        if let Some(tasks) = tasks.iter().find(of_one_slot).filter(|tasks| *tasks != volume) {
            return Err(ParseError::TaskAndExecutorDiffer {
                slot: volume.slot.clone(),
                task: tasks.name.clone(),
                executor: volume.name.clone(),
            });
        }
    }
    let mut requested: Vec<RequestedVolume> = tasks.into_iter().map(RequestedVolume::by_labels).collect();
    sources::add(
        &mut requested,
        executors.into_iter().map(RequestedVolume::by_labels).collect(),
        config,
    )?;
    Ok(requested)
}
