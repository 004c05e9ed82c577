//! From what Mesos says of a container to the volumes it gets: which labels count, whose volumes they are, and whether
//! the container may have them. Nothing here touches a file or a driver.

use volume_driver_client::MountId;
use volume_labels::{Create, Lifetime, Mode, VolumeLabels};

use crate::config::Config;
use crate::ledger::MountSpec;
use crate::types::{ContainerClass, ContainerId, ContainerLaunch, VolumeKey};

/// A volume a container asks for, before its target is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The labels it came from.
    pub(crate) labels: VolumeLabels,
    /// Driver and name.
    pub(crate) volume: VolumeKey,
    /// The id for the driver.
    pub(crate) mount_id: MountId,
    /// Create policy and owner.
    pub(crate) spec: MountSpec,
}

/// The volumes a container asks for; empty when it asks for none.
///
/// The first source that names a volume wins: the task's labels, then the executor's. A member of a pod carries its
/// executor's labels, never its own (a Mesos rule), so each non-DEBUG member sees the pod's volumes; when it holds
/// items of the claim resource itself, it gets just the volumes it holds.
///
/// # Errors
/// One line for the framework.
pub(crate) fn wishes(
    id: &ContainerId,
    launch: &ContainerLaunch,
    config: &Config,
    host_id: &str,
) -> Result<Vec<Wish>, String> {
    if launch.class == ContainerClass::Debug {
        return Ok(Vec::new());
    }
    let parse = |labels: &[(String, String)]| {
        volume_labels::parse(labels.iter().map(|(key, value)| (key, value))).map_err(|error| error.to_string())
    };
    let mut volumes = parse(&launch.task_labels)?;
    if volumes.is_empty() {
        volumes = parse(&launch.executor_labels)?;
        if id.parent().is_some() && holds_any(launch, config) {
            volumes.retain(|volume| holds(launch, config, volume.claim_id()));
        }
    }
    let wishes = volumes.into_iter().map(|labels| wish(labels, launch, config, host_id));
    let wishes = wishes.collect::<Result<Vec<Wish>, String>>()?;
    agree(&wishes)?;
    Ok(wishes)
}

fn wish(labels: VolumeLabels, launch: &ContainerLaunch, config: &Config, host_id: &str) -> Result<Wish, String> {
    let slot = &labels.slot;
    let Some(driver) = labels.driver.clone().or_else(|| config.default_driver.clone()) else {
        return Err(format!(
            "label 'volume.{slot}' = '{}' names no driver and this agent has no default: add the label \
             'volume.{slot}.driver' (or the module parameter default_driver)",
            labels.name
        ));
    };
    if config.require_claim && !holds(launch, config, labels.claim_id()) {
        return Err(format!(
            "label 'volume.{slot}' = '{}': the task does not hold '{}' of the agent's resource '{}', which this agent \
             demands (module parameter require_claim): launch it with that resource",
            labels.name,
            labels.claim_id(),
            config.claim_resource
        ));
    }
    if labels.lifetime == Lifetime::Container {
        return Err(format!(
            "label 'volume.{slot}.lifetime' = 'container': this version of the module keeps every volume; \
             remove the label and delete the volume after use"
        ));
    }
    let create = (labels.create == Create::IfMissing).then(|| labels.options.clone());
    let spec = MountSpec {
        create,
        owner: labels.owner.clone(),
    };
    let mount_id = MountId::derive(host_id, &driver, &labels.name);
    Ok(Wish {
        volume: VolumeKey::new(driver, labels.name.clone()),
        mount_id,
        spec,
        labels,
    })
}

/// Two slots may name one volume (at two paths), but then they must say the same of it.
fn agree(wishes: &[Wish]) -> Result<(), String> {
    for (index, wish) in wishes.iter().enumerate() {
        if let Some(other) = wishes[..index]
            .iter()
            .find(|other| other.volume == wish.volume && other.spec != wish.spec)
        {
            return Err(format!(
                "labels 'volume.{}' and 'volume.{}' name the same volume {} with different create, options or owner: \
                 make them agree",
                other.labels.slot, wish.labels.slot, wish.volume
            ));
        }
    }
    Ok(())
}

fn holds_any(launch: &ContainerLaunch, config: &Config) -> bool {
    launch
        .set_resources
        .iter()
        .any(|(name, items)| *name == config.claim_resource && !items.is_empty())
}

fn holds(launch: &ContainerLaunch, config: &Config, id: &str) -> bool {
    launch
        .set_resources
        .iter()
        .any(|(name, items)| *name == config.claim_resource && items.contains(id))
}

impl Wish {
    /// Whether the container may only read the volume.
    pub(crate) fn read_only(&self) -> bool {
        self.labels.mode == Mode::ReadOnly
    }
}
