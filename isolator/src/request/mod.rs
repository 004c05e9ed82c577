//! From what Mesos says of a container to the volumes it gets: which source counts, whose volumes they are, and whether
//! the container may have them.

mod claim;
mod default_owner;
mod docker_volume;
mod dvdi;
mod foreign;
mod labels;
mod pod;
mod source;
mod sources;
mod unread;

use volume_driver_client::{Code, MountId};
use volume_labels::{Create, Lifetime, Mode, VolumeLabels};

use crate::config::Config;
use crate::ephemeral;
use crate::error::Refusal;
use crate::host::resolved_owner;
use crate::ledger::MountSpec;
use crate::names::NameMap;
use crate::types::{ContainerClass, ContainerId, ContainerLaunch, VolumeKey};

pub(crate) use claim::claimed;
pub use default_owner::DefaultOwner;
pub use dvdi::PREFIX as DVDI_PREFIX;
pub(crate) use pod::of_this_container;
pub(crate) use source::{Asked, spoken};
use source::{Part, Source};

/// A volume a container asks for and may have, before its target is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// What was asked for.
    pub(crate) asked: Asked,
    /// Driver and name.
    pub(crate) volume: VolumeKey,
    /// The id for the driver.
    pub(crate) mount_id: MountId,
    /// Create policy and owner.
    pub(crate) spec: MountSpec,
}

/// The volumes that a container asks for, none when it asks for none. Touches no file and no driver, so it may run on the
/// agent's own thread.
///
/// Sources add up: the labels of the task and of its executor; then, where the operator has turned them on, the Docker volumes
/// of the container's own `ContainerInfo`, and the `DVDI_VOLUME_*` variables of its own command. A pod's members do not take
/// over the latter two from their executor: neither does Mesos.
///
/// # Errors
/// One line for the framework. Where two sources contradict each other it names both.
pub(crate) fn wanted(id: &ContainerId, launch: &ContainerLaunch, config: &Config) -> Result<Vec<Asked>, Refusal> {
    if launch.class == ContainerClass::Debug {
        return Ok(Vec::new());
    }
    unread::tell(id, launch, config);
    let mut asked = labels::asked(id, launch, config)?;
    if config.docker_volume_source {
        sources::add(&mut asked, docker_volume::asked(&launch.docker_volumes)?, config)?;
    }
    if config.dvdi_source {
        sources::add(&mut asked, dvdi::asked(&launch.dvdi_variables)?, config)?;
    }
    Ok(asked)
}

/// The volumes asked for, as this agent and its drivers know them.
///
/// # Errors
/// One line for the framework that names what asked.
pub(crate) fn wishes(
    id: &ContainerId,
    volumes: Vec<Asked>,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
    host_id: &str,
) -> Result<Vec<Wish>, Refusal> {
    let wishes = volumes
        .into_iter()
        .map(|asked| wish(id, asked, launch, config, names, host_id));
    let mut wishes = wishes.collect::<Result<Vec<Wish>, Refusal>>()?;
    take_over_from_labels(&mut wishes);
    agree(&wishes)?;
    default_owner::apply(&mut wishes, launch, &config.default_owner)?;
    Ok(wishes)
}

fn wish(
    id: &ContainerId,
    asked: Asked,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
    host_id: &str,
) -> Result<Wish, Refusal> {
    let said = asked.said();
    let labels = &asked.labels;
    let Some(driver) = asked.driver(config).map(str::to_owned) else {
        let message = format!(
            "{said}: it names no driver, and this agent has no default driver: name one with {} (or have the operator set \
             the module parameter default_driver)",
            asked.part(Part::Driver)
        );
        return Err(message.into());
    };
    if config.require_claim {
        claimed(labels, launch, config, names)
            .map_err(|problem| Refusal::new(Code::Denied, format!("{said}: {problem}")))?;
    }
    // A driver that does not find a volume whose id is known has it in another zone: a second volume of its name, empty, is
    // not what anybody asked for.
    let may_be_missing = labels.create == Create::IfMissing && !is_known_by_id(labels, names);
    let creates = may_be_missing || labels.lifetime == Lifetime::Container;
    // Whatever a user is called, the numbers count: for the policy, and for whether two containers want the same.
    let owner = labels.owner.as_ref().map(resolved_owner).transpose();
    let owner = owner.map_err(|problem| format!("{said}: {problem}"))?;
    let spec = MountSpec {
        create: creates.then(|| labels.options.clone()),
        lifetime: labels.lifetime,
        is_owner_named: owner.is_some(),
        owner,
        creation_denied: None,
    };
    let mut volume = VolumeKey::new(driver, names.driver_name(&labels.name));
    if ephemeral::spelled(&volume.name).is_some() {
        let message = format!(
            "{said}: that is the name of a volume that was made for one container (lifetime=container) and is removed with it: \
             name another"
        );
        return Err(message.into());
    }
    if labels.lifetime == Lifetime::Container {
        volume.name =
            ephemeral::name(&volume, id, labels.access, host_id).map_err(|problem| format!("{said}: {problem}"))?;
    }
    let mount_id = MountId::derive(host_id, &volume.driver, &volume.name);
    Ok(Wish {
        asked,
        volume,
        mount_id,
        spec,
    })
}

/// Whether somebody knows the volume by its id: the operator's name map, the label `claim`, or a name that is itself an id of
/// EBS.
fn is_known_by_id(labels: &VolumeLabels, names: &NameMap) -> bool {
    let is_hexadecimal = |digits: &str| matches!(digits.len(), 8 | 17) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    names.knows(&labels.name)
        || labels.claim.as_ref().is_some_and(|claim| *claim != labels.name)
        || labels.name.strip_prefix("vol-").is_some_and(is_hexadecimal)
}

/// Of a volume that labels name too, another source that gives no options has nothing of its own to say about how it is made.
fn take_over_from_labels(wishes: &mut [Wish]) {
    for index in 0..wishes.len() {
        let wish = &wishes[index];
        if wish.asked.source == Source::Labels || !wish.asked.labels.options.is_empty() {
            continue;
        }
        let by_label = |other: &&Wish| other.asked.source == Source::Labels && other.volume == wish.volume;
        if let Some(labelled) = wishes.iter().find(by_label) {
            let (spec, create) = (labelled.spec.clone(), labelled.asked.labels.create);
            wishes[index].spec = spec;
            wishes[index].asked.labels.create = create;
        }
    }
}

/// One volume may be asked for twice (at two paths), but then the same must be said of it.
fn agree(wishes: &[Wish]) -> Result<(), String> {
    for (index, wish) in wishes.iter().enumerate() {
        let others = &mut wishes[..index].iter();
        if let Some(other) = others.find(|other| other.volume == wish.volume && other.spec != wish.spec) {
            return Err(format!(
                "{}: {} names the same volume {} with different create, options or owner: make them agree",
                wish.asked.part(Part::Name),
                other.asked.part(Part::Name),
                wish.volume
            ));
        }
    }
    Ok(())
}

impl Wish {
    /// The volume is used if it exists and not created otherwise, for this reason.
    pub(crate) fn deny_creation(&mut self, reason: String) {
        self.asked.labels.create = Create::Never;
        self.spec.create = None;
        self.spec.creation_denied = Some(reason);
    }

    /// Whether the container may only read the volume.
    pub(crate) fn read_only(&self) -> bool {
        self.asked.labels.mode == Mode::ReadOnly
    }
}

#[cfg(test)]
mod tests;
