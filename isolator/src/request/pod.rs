//! What of a pod's volumes its executor gets.

use tracing::debug;
use volume_labels::{Access, ContainerPath};

use super::Asked;
use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// Of the volumes asked for, those that this container is to have.
///
/// A pod's labels are its executor's and meant for its members. Mesos' default executor, which runs nothing of the pod's, gets
/// the same volumes, so that what cannot be had fails the pod at once and in plain words. But it never has an image, so it
/// has no place for what its members have at an absolute path of theirs, and it must not keep from them what only one container
/// may have.
pub(crate) fn of_this_container(
    mut volumes: Vec<Asked>,
    id: &ContainerId,
    launch: &ContainerLaunch,
    config: &Config,
) -> Vec<Asked> {
    if launch.default_executor && id.parent().is_none() && launch.rootfs.is_none() {
        volumes.retain(|asked| {
            let has_place = match &asked.labels.path {
                ContainerPath::Relative(_) => true,
                ContainerPath::Absolute(path) => config
                    .allowed_host_paths
                    .iter()
                    .any(|allowed| path.starts_with(allowed)),
            };
            let kept = has_place && asked.labels.access == Access::Shared;
            if !kept {
                debug!(container = %id, slot = %asked.labels.slot, "left to the members of the pod");
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
        let volumes = volumes.into_iter().map(Asked::by_labels).collect();
        let kept = of_this_container(volumes, id, launch, &config);
        kept.iter().map(|asked| asked.labels.slot.to_string()).collect()
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
