//! Volumes by label: the task's own, or its executor's.

use volume_labels::VolumeLabels;

use super::claim::{holds, holds_any};
use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// The volumes that labels give a container; `None` when no label asks for one.
///
/// The task's labels win over the executor's. A member of a pod carries its executor's labels, never its own (a Mesos
/// rule), so each non-DEBUG member sees the pod's volumes; when it holds items of the claim resource itself, it gets just
/// the volumes it holds.
///
/// # Errors
/// One line that names the label.
pub(super) fn asked(
    id: &ContainerId,
    launch: &ContainerLaunch,
    config: &Config,
) -> Result<Option<Vec<VolumeLabels>>, String> {
    let parse = |labels: &[(String, String)]| {
        volume_labels::parse(labels.iter().map(|(key, value)| (key, value))).map_err(|error| error.to_string())
    };
    let volumes = parse(&launch.task_labels)?;
    if !volumes.is_empty() {
        return Ok(Some(volumes));
    }
    let mut volumes = parse(&launch.executor_labels)?;
    if volumes.is_empty() {
        return Ok(None);
    }
    if id.parent().is_some() && holds_any(launch, config) {
        volumes.retain(|volume| holds(launch, config, volume.claim_id()));
    }
    Ok(Some(volumes))
}
