//! From what Mesos says about a container to the volumes that it gets: which origins count, whose
//! volumes they are, and whether the container may have them.

mod claim;
mod default_owner;
mod docker_volume;
mod dvdi;
mod error;
mod labels;
mod mesos_mounts;
mod pod;
mod requested_volume;
mod sources;
mod target;
mod unchecked;
mod unread;

use volume_driver_client::MountId;
use volume_labels::{Create, Lifetime, Mode, VolumeLabels};

use crate::config::Config;
use crate::ephemeral;
use crate::host::resolved_owner;
use crate::ledger::MountSpec;
use crate::names::NameMap;
use crate::types::{ContainerClass, ContainerId, ContainerLaunch, VolumeKey};

pub(crate) use claim::claimed;
pub use default_owner::DefaultOwner;
pub(crate) use error::{ParseError, ResolveError};
pub(crate) use pod::of_this_container;
pub(crate) use requested_volume::RequestedVolume;
pub(crate) use target::targets;

/// A volume that a container requests and may have. Its target is not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedRequest {
    pub(crate) requested: RequestedVolume,
    pub(crate) volume: VolumeKey,
    /// The id that the driver gets with Mount and Unmount.
    pub(crate) mount_id: MountId,
    pub(crate) spec: MountSpec,
}

/// The volumes that a container requests; none when it requests none. Touches no file and no
/// driver, so it may run on the agent's own thread.
///
/// Origins add up: the labels of the task and of its executor; then, where the operator has turned
/// them on, the Docker volumes of the container's own `ContainerInfo`, and the `DVDI_VOLUME_*`
/// variables of its own command. Members of a pod do not inherit the latter two from their
/// executor, as in Mesos.
///
/// # Errors
/// When an origin is not understood, or two origins contradict each other.
pub(crate) fn parse_request(
    id: &ContainerId,
    launch: &ContainerLaunch,
    config: &Config,
) -> Result<Vec<RequestedVolume>, ParseError> {
    if launch.class == ContainerClass::Debug {
        return Ok(Vec::new());
    }
    unread::log(id, launch, config);
    let mut requested = labels::requested(id, launch, config)?;
    if config.docker_volume_source {
        sources::add(
            &mut requested,
            docker_volume::requested(&launch.docker_volumes)?,
            config,
        )?;
    }
    if config.dvdi_source {
        sources::add(&mut requested, dvdi::requested(&launch.dvdi_variables)?, config)?;
    }
    Ok(requested)
}

/// The requested volumes as this agent and its drivers know them.
///
/// # Errors
/// When the container may not have one of them, or contradicts itself.
pub(crate) fn resolve(
    id: &ContainerId,
    volumes: Vec<RequestedVolume>,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
    host_id: &str,
) -> Result<Vec<ResolvedRequest>, ResolveError> {
    let resolved = volumes
        .into_iter()
        .map(|requested| resolve_one(id, requested, launch, config, names, host_id));
    let mut resolved = resolved.collect::<Result<Vec<ResolvedRequest>, ResolveError>>()?;
    take_over_from_labels(&mut resolved);
    agree(&resolved)?;
    default_owner::apply(&mut resolved, launch, &config.default_owner)?;
    Ok(resolved)
}

fn resolve_one(
    id: &ContainerId,
    requested: RequestedVolume,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
    host_id: &str,
) -> Result<ResolvedRequest, ResolveError> {
    let volume = requested.display_origin();
    let labels = &requested.labels;
    let Some(driver) = requested.driver(config).map(str::to_owned) else {
        return Err(ResolveError::NoDriver {
            volume,
            origin: requested.origin,
        });
    };
    if config.require_claim
        && let Err(cause) = claimed(labels, launch, config, names)
    {
        return Err(ResolveError::Claim { volume, cause });
    }
    // A driver that does not find a volume whose id is known has it in another zone. Creating a
    // second volume with its name, which would be empty, is not what the author means.
    let may_be_missing = labels.create == Create::IfMissing && !is_known_by_id(labels, names);
    let creates = may_be_missing || labels.lifetime == Lifetime::Container;
    // The owner's numbers count, not the name: for the policy, and to find out whether two
    // containers want the same.
    let owner = match labels.owner.as_ref().map(resolved_owner).transpose() {
        Ok(owner) => owner,
        Err(cause) => return Err(ResolveError::Owner { volume, cause }),
    };
    let spec = MountSpec {
        create: creates.then(|| labels.options.clone()),
        lifetime: labels.lifetime,
        is_owner_named: owner.is_some(),
        owner,
        creation_denied: None,
    };
    let mut key = VolumeKey::new(driver, names.driver_name(&labels.name));
    if ephemeral::spelled(&key.name).is_some() {
        return Err(ResolveError::EphemeralName { volume });
    }
    if labels.lifetime == Lifetime::Container {
        key.name = match ephemeral::name(&key, id, labels.access, host_id) {
            Ok(name) => name,
            Err(cause) => return Err(ResolveError::NameTooLong { volume, cause }),
        };
    }
    let mount_id = MountId::derive(host_id, &key.driver, &key.name);
    Ok(ResolvedRequest {
        requested,
        volume: key,
        mount_id,
        spec,
    })
}

/// Whether the volume's id is known: from the operator's name map, from the label `claim`, or
/// because the name is itself an id of EBS.
fn is_known_by_id(labels: &VolumeLabels, names: &NameMap) -> bool {
    let is_hexadecimal = |digits: &str| matches!(digits.len(), 8 | 17) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    names.knows(&labels.name)
        || labels.claim.as_ref().is_some_and(|claim| *claim != labels.name)
        || labels.name.strip_prefix("vol-").is_some_and(is_hexadecimal)
}

/// Where labels name a volume too, their options and owner also count for another origin that gives
/// none.
fn take_over_from_labels(resolved: &mut [ResolvedRequest]) {
    for index in 0..resolved.len() {
        let request = &resolved[index];
        if request.requested.is_by_labels() || !request.requested.labels.options.is_empty() {
            continue;
        }
        let by_label = |other: &&ResolvedRequest| other.requested.is_by_labels() && other.volume == request.volume;
        if let Some(labelled) = resolved.iter().find(by_label) {
            let (spec, create) = (labelled.spec.clone(), labelled.requested.labels.create);
            resolved[index].spec = spec;
            resolved[index].requested.labels.create = create;
        }
    }
}

/// One container may request a volume twice (at two paths), and must then say the same about it
/// both times.
fn agree(resolved: &[ResolvedRequest]) -> Result<(), ResolveError> {
    for (index, request) in resolved.iter().enumerate() {
        let others = &mut resolved[..index].iter();
        if let Some(other) = others.find(|other| other.volume == request.volume && other.spec != request.spec) {
            return Err(ResolveError::Disagree {
                first: other.requested.origin.clone(),
                second: request.requested.origin.clone(),
                volume: request.volume.to_string(),
            });
        }
    }
    Ok(())
}

impl ResolvedRequest {
    /// Has the volume used if it exists, and not created otherwise.
    pub(crate) fn deny_creation(&mut self, reason: String) {
        self.requested.labels.create = Create::Never;
        self.spec.create = None;
        self.spec.creation_denied = Some(reason);
    }

    /// Whether the container may only read the volume.
    pub(crate) fn read_only(&self) -> bool {
        self.requested.labels.mode == Mode::ReadOnly
    }
}

#[cfg(test)]
mod tests;
