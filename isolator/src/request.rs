//! From what Mesos says of a container to the volumes it gets: which labels count, whose volumes they are, and whether
//! the container may have them.

use volume_driver_client::MountId;
use volume_labels::{Create, Lifetime, Mode, VolumeLabels};

use crate::config::Config;
use crate::ledger::MountSpec;
use crate::names::NameMap;
use crate::types::{ContainerClass, ContainerId, ContainerLaunch, VolumeKey};

/// A volume a container asks for and may have, before its target is resolved.
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

/// The labels that count for a container, parsed; none when it asks for no volume. Touches no file and no driver, so
/// it may run on the agent's own thread.
///
/// The first source that names a volume wins: the task's labels, then the executor's. A member of a pod carries its
/// executor's labels, never its own (a Mesos rule), so each non-DEBUG member sees the pod's volumes; when it holds
/// items of the claim resource itself, it gets just the volumes it holds.
///
/// # Errors
/// One line for the framework.
pub(crate) fn wanted(id: &ContainerId, launch: &ContainerLaunch, config: &Config) -> Result<Vec<VolumeLabels>, String> {
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
    Ok(volumes)
}

/// The volumes behind the labels, as this agent and its drivers know them.
///
/// # Errors
/// One line for the framework that names the label.
pub(crate) fn wishes(
    volumes: Vec<VolumeLabels>,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
    host_id: &str,
) -> Result<Vec<Wish>, String> {
    let wishes = volumes
        .into_iter()
        .map(|labels| wish(labels, launch, config, names, host_id));
    let wishes = wishes.collect::<Result<Vec<Wish>, String>>()?;
    agree(&wishes)?;
    Ok(wishes)
}

fn wish(
    labels: VolumeLabels,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
    host_id: &str,
) -> Result<Wish, String> {
    let label = format!("label 'volume.{}' = '{}'", labels.slot, labels.name);
    let Some(driver) = labels.driver.clone().or_else(|| config.default_driver.clone()) else {
        return Err(format!(
            "{label} names no driver and this agent has no default: add the label 'volume.{}.driver' (or the module \
             parameter default_driver)",
            labels.slot
        ));
    };
    if config.require_claim {
        claimed(&labels, launch, config, names).map_err(|problem| format!("{label}: {problem}"))?;
    }
    if labels.lifetime == Lifetime::Container {
        return Err(format!(
            "label 'volume.{}.lifetime' = 'container': this version of the module keeps every volume; remove the label \
             and delete the volume after use",
            labels.slot
        ));
    }
    let create = (labels.create == Create::IfMissing).then(|| labels.options.clone());
    let spec = MountSpec {
        create,
        owner: labels.owner.clone(),
    };
    let volume = VolumeKey::new(driver, names.driver_name(&labels.name));
    let mount_id = MountId::derive(host_id, &volume.driver, &volume.name);
    Ok(Wish {
        labels,
        volume,
        mount_id,
        spec,
    })
}

/// Whether the container holds the volume's id, and the id is that volume's in the operator's word, not the label's.
pub(crate) fn claimed(
    labels: &VolumeLabels,
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
) -> Result<(), String> {
    let id = labels.claim_id();
    if !names.is_id_of(id, &labels.name) {
        return Err(format!(
            "this agent does not know '{id}' as the id of that volume: name the volume by its id (or have the operator's \
             name map say so, module parameter name_map)"
        ));
    }
    if !holds(launch, config, id) {
        return Err(format!(
            "the task does not hold '{id}' of the agent's resource '{}', which this agent demands (require_claim): launch it \
             with that resource",
            config.claim_resource
        ));
    }
    Ok(())
}

/// Two slots may name one volume (at two paths), but then they must say the same of it.
fn agree(wishes: &[Wish]) -> Result<(), String> {
    for (index, wish) in wishes.iter().enumerate() {
        let others = &mut wishes[..index].iter();
        if let Some(other) = others.find(|other| other.volume == wish.volume && other.spec != wish.spec) {
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
    let held = |(name, items): &(String, std::collections::BTreeSet<String>)| {
        *name == config.claim_resource && !items.is_empty()
    };
    launch.set_resources.iter().any(held)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn holding(items: &[&str]) -> Vec<(String, std::collections::BTreeSet<String>)> {
        vec![(
            "ebsvolumes".to_owned(),
            items.iter().map(|item| (*item).to_owned()).collect(),
        )]
    }

    fn names_of(id: &ContainerId, launch: &ContainerLaunch) -> Vec<String> {
        wanted(id, launch, &Config::default())
            .unwrap()
            .into_iter()
            .map(|volume| volume.name)
            .collect()
    }

    fn member() -> ContainerId {
        ContainerId::from_path(vec!["pod".into(), "member".into()]).unwrap()
    }

    #[test]
    fn the_tasks_labels_win_over_the_executors() {
        let launch = ContainerLaunch {
            task_labels: labels(&[("volume.a", "task")]),
            executor_labels: labels(&[("volume.a", "executor")]),
            ..ContainerLaunch::default()
        };
        assert_eq!(names_of(&ContainerId::root("c"), &launch), ["task"]);
    }

    #[test]
    fn a_member_of_a_pod_gets_the_pods_volumes_or_just_those_it_holds() {
        let pod = |items: &[&str]| ContainerLaunch {
            executor_labels: labels(&[("volume.a", "vol-1"), ("volume.b", "vol-2")]),
            set_resources: holding(items),
            ..ContainerLaunch::default()
        };
        assert_eq!(names_of(&member(), &pod(&[])), ["vol-1", "vol-2"]);
        assert_eq!(names_of(&member(), &pod(&["vol-2"])), ["vol-2"]);
        assert_eq!(
            names_of(&ContainerId::root("pod"), &pod(&["vol-2"])),
            ["vol-1", "vol-2"],
            "the executor itself sees all"
        );
    }

    #[test]
    fn a_debug_container_gets_nothing() {
        let launch = ContainerLaunch {
            class: ContainerClass::Debug,
            executor_labels: labels(&[("volume.a", "v"), ("volume.a.bad", "x")]),
            ..ContainerLaunch::default()
        };
        assert!(names_of(&member(), &launch).is_empty());
    }

    fn wish_of(pairs: &[(&str, &str)], held: &[&str], config: &Config) -> Result<Wish, String> {
        let launch = ContainerLaunch {
            task_labels: labels(pairs),
            set_resources: holding(held),
            ..ContainerLaunch::default()
        };
        let volumes = wanted(&ContainerId::root("c"), &launch, config)?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.json");
        std::fs::write(&path, r#"{"vol-1": "flights"}"#).unwrap();
        let names = NameMap::read(Some(&path)).unwrap();
        Ok(wishes(volumes, &launch, config, &names, "host")?.remove(0))
    }

    fn strict() -> Config {
        Config {
            default_driver: Some("ebs".into()),
            require_claim: true,
            ..Config::default()
        }
    }

    #[test]
    fn a_label_with_the_id_gets_the_drivers_name() {
        let wish = wish_of(&[("volume.a", "vol-1")], &["vol-1"], &strict()).unwrap();
        assert_eq!(wish.volume, VolumeKey::new("ebs", "flights"));
    }

    #[test]
    fn a_claim_is_good_for_the_volume_the_operator_ties_it_to_and_no_other() {
        let flights = [("volume.a", "flights"), ("volume.a.claim", "vol-1")];
        assert!(wish_of(&flights, &["vol-1"], &strict()).is_ok());
        let others = [("volume.a", "payroll"), ("volume.a.claim", "vol-1")];
        let problem = wish_of(&others, &["vol-1"], &strict()).unwrap_err();
        assert!(problem.contains("'vol-1'") && problem.contains("name_map"), "{problem}");
        let problem = wish_of(&flights, &["vol-2"], &strict()).unwrap_err();
        assert!(problem.contains("does not hold 'vol-1'"), "{problem}");
    }

    #[test]
    fn without_a_driver_the_message_says_where_to_name_one() {
        let problem = wish_of(&[("volume.a", "v")], &[], &Config::default()).unwrap_err();
        assert!(
            problem.contains("'volume.a.driver'") && problem.contains("default_driver"),
            "{problem}"
        );
    }

    #[test]
    fn two_slots_of_one_volume_must_agree() {
        let pairs = [("volume.a", "v"), ("volume.b", "v"), ("volume.b.owner", "1:1")];
        let config = Config {
            require_claim: false,
            ..strict()
        };
        let problem = wish_of(&pairs, &[], &config).unwrap_err();
        assert!(problem.contains("'volume.a' and 'volume.b'"), "{problem}");
    }
}
