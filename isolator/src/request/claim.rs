//! Whether a container holds a volume's id in the agent's SET resource.

use std::collections::BTreeSet;

use volume_labels::{VolumeLabels, cleaned};

use crate::config::Config;
use crate::names::NameMap;
use crate::types::ContainerLaunch;

/// Whether the container holds the volume's id, and the id is that volume's in the operator's word, not the label's.
///
/// # Errors
/// What is missing, in words that can follow the label and a colon.
pub(crate) fn claimed(
    labels: &VolumeLabels,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
) -> Result<(), String> {
    let id = labels.claim_id();
    if !names.is_id_of(id, &labels.name) {
        return Err(format!(
            "the label claims '{id}' but names volume '{name}', and no name_map entry connects them. Name the volume '{id}', or \
             have the operator add the pair to name_map",
            id = cleaned(id),
            name = cleaned(&labels.name)
        ));
    }
    if !holds(launch, config, id) {
        return Err(format!(
            "this agent requires tasks to reserve their volumes: add '{id}' to the task's resource '{}' (require_claim)",
            config.claim_resource
        ));
    }
    Ok(())
}

/// Whether the container holds anything of the resource.
pub(super) fn holds_any(launch: &ContainerLaunch, config: &Config) -> bool {
    let held = |(name, items): &(String, BTreeSet<String>)| *name == config.claim_resource && !items.is_empty();
    launch.set_resources.iter().any(held)
}

/// Whether the container holds this item of it.
pub(super) fn holds(launch: &ContainerLaunch, config: &Config, id: &str) -> bool {
    launch
        .set_resources
        .iter()
        .any(|(name, items)| *name == config.claim_resource && items.contains(id))
}
