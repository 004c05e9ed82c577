//! Which of a pod's volumes its executor gets.

use tracing::debug;
use volume_labels::{Access, ContainerPath};

use super::requested_volume::RequestedVolume;
use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// The requested volumes that this container gets.
///
/// A pod's labels are its executor's, and meant for its members. Mesos' default executor runs
/// nothing of the pod, but gets the same volumes, so that a volume which cannot be mounted fails
/// the pod at once and with a clear message. It never has an image, so it has no place for a volume
/// at an absolute path of its members, and it must not take an exclusive volume away from them.
pub(crate) fn of_this_container(
    mut volumes: Vec<RequestedVolume>,
    id: &ContainerId,
    launch: &ContainerLaunch,
    config: &Config,
) -> Vec<RequestedVolume> {
    if launch.default_executor && id.parent().is_none() && launch.rootfs.is_none() {
        volumes.retain(|requested| {
            let has_place = match &requested.labels.path {
                ContainerPath::Relative(_) => true,
                ContainerPath::Absolute(path) => config
                    .allowed_host_paths
                    .iter()
                    .any(|allowed| path.starts_with(allowed)),
            };
            let kept = has_place && requested.labels.access == Access::Shared;
            if !kept {
                debug!(container = %id, slot = %requested.labels.slot, "left to the members of the pod");
            }
            kept
        });
    }
    volumes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(launch: &ContainerLaunch, id: &ContainerId) -> Vec<String> {
        let labels = [
            ("volume.a", "v"),
            ("volume.b", "v"),
            ("volume.b.path", "/srv/b"),
            ("volume.c", "v"),
            ("volume.c.path", "/data/c"),
            ("volume.d", "w"),
            ("volume.d.access", "exclusive"),
            ("volume.e", "x"),
            ("volume.e.lifetime", "container"),
            ("volume.e.access", "exclusive"),
            ("volume.f", "x"),
            ("volume.f.lifetime", "container"),
        ];
        let volumes = volume_labels::parse(labels).unwrap();
        let config = Config {
            allowed_host_paths: vec!["/data".into()],
            ..Config::default()
        };
        let volumes = volumes.into_iter().map(RequestedVolume::by_labels).collect();
        let kept = of_this_container(volumes, id, launch, &config);
        kept.iter().map(|requested| requested.labels.slot.to_string()).collect()
    }

    #[test]
    fn a_pods_executor_leaves_to_the_members_what_it_has_no_place_for_and_what_one_alone_may_have() {
        let pod = ContainerLaunch {
            default_executor: true,
            ..ContainerLaunch::default()
        };
        let member = ContainerId::from_path(vec!["pod".into(), "member".into()]).unwrap();
        assert_eq!(slots(&pod, &ContainerId::root("pod")), ["a", "c", "f"]);
        assert_eq!(slots(&pod, &member), ["a", "b", "c", "d", "e", "f"]);
        let other = ContainerLaunch::default();
        assert_eq!(
            slots(&other, &ContainerId::root("task")),
            ["a", "b", "c", "d", "e", "f"]
        );
    }
}
