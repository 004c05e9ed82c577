//! Whether a container holds a volume's id in the agent's SET resource.

use std::collections::BTreeSet;

use volume_labels::VolumeLabels;

use super::error::ClaimError;
use crate::config::Config;
use crate::names::NameMap;
use crate::types::ContainerLaunch;

/// Whether the container holds the volume's id. It is the operator's name map, and not the label,
/// that says which id belongs to the volume.
///
/// # Errors
/// When it does not hold the id, or the name map does not connect the id and the name.
pub(crate) fn claimed(
    labels: &VolumeLabels,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
) -> Result<(), ClaimError> {
    let id = labels.claim_id();
    if !names.is_id_of(id, &labels.name) {
        return Err(ClaimError::NotConnected {
            id: id.to_owned(),
            name: labels.name.clone(),
        });
    }
    if !holds(launch, config, id) {
        return Err(ClaimError::NotHeld {
            id: id.to_owned(),
            resource: config.claim_resource.clone(),
        });
    }
    Ok(())
}

/// Whether the container holds any item of the claim resource.
pub(super) fn holds_any(launch: &ContainerLaunch, config: &Config) -> bool {
    let held = |(name, items): &(String, BTreeSet<String>)| *name == config.claim_resource && !items.is_empty();
    launch.set_resources.iter().any(held)
}

/// Whether the container holds this item of the claim resource.
pub(super) fn holds(launch: &ContainerLaunch, config: &Config, id: &str) -> bool {
    launch
        .set_resources
        .iter()
        .any(|(name, items)| *name == config.claim_resource && items.contains(id))
}
