//! Mounts that Mesos makes itself must keep apart from volumes.
//!
//! Volumes are bound before the container's launcher makes the mounts of Mesos: those of
//! `ContainerInfo.volumes`, and persistent volumes. The launcher mounts by path and as root. A
//! mount at the path of a volume, or around it, would hide the volume. A mount inside a volume
//! would follow the volume's content, which a task can choose, to any folder of the host; so would
//! a mount that shows a folder inside a volume elsewhere.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::types::{ContainerLaunch, MesosMount};

/// A mount of Mesos that meets a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OverlapError {
    /// One of the two paths lies inside the other, or they are the same.
    #[error(
        "its path and that of {requested_by}, '{}', are the same or one lies inside the other; Mesos would mount that one over the \
         volume or into it: use paths apart from each other",
        .path.display()
    )]
    Target {
        /// What requests the mount of Mesos.
        requested_by: String,
        /// Its path in the container.
        path: PathBuf,
    },
    /// Mesos would show a folder of the volume.
    #[error(
        "{requested_by} shows {}, which lies in the volume, where Mesos would follow symlinks on the host: show a folder outside of \
         the volume, or give the volume a second path",
        .source_folder.display()
    )]
    Source {
        /// What requests the mount of Mesos.
        requested_by: String,
        /// The folder that it shows.
        source_folder: PathBuf,
    },
}

/// Checks that a volume at `target` and the mounts of Mesos keep apart.
///
/// # Errors
/// The first mount that meets the volume.
pub(super) fn keep_away(target: &Path, launch: &ContainerLaunch, config: &Config) -> Result<(), OverlapError> {
    // The module mounts Docker volumes itself. Where labels name volumes, nothing mounts them.
    let ours = |mount: &MesosMount| mount.docker && config.docker_volume_source;
    for mount in launch.mesos_mounts.iter().filter(|mount| !ours(mount)) {
        let places = places(&mount.path, launch, config);
        if places
            .iter()
            .any(|place| place.starts_with(target) || target.starts_with(place))
        {
            return Err(OverlapError::Target {
                requested_by: mount.requested_by.clone(),
                path: mount.path.clone(),
            });
        }
        let shown = mount.source.iter().flat_map(|source| [source.clone(), real(source)]);
        if let Some(source_folder) = shown.into_iter().find(|source| source.starts_with(target)) {
            return Err(OverlapError::Source {
                requested_by: mount.requested_by.clone(),
                source_folder,
            });
        }
    }
    Ok(())
}

/// The paths in the agent's file system to which Mesos goes for a path in the container: the path
/// as written, and the path to which symlinks lead.
fn places(path: &Path, launch: &ContainerLaunch, config: &Config) -> Vec<PathBuf> {
    let mut places = Vec::new();
    match (&launch.rootfs, path.strip_prefix("/")) {
        (_, Err(_)) => places.push(launch.directory.join(path)),
        (None, Ok(_)) => places.push(path.to_owned()),
        (Some(rootfs), Ok(inside)) => {
            places.push(rootfs.join(inside));
            if let Ok(inside) = path.strip_prefix(&config.sandbox_directory) {
                places.push(launch.directory.join(inside));
            }
        }
    }
    let followed: Vec<PathBuf> = places.iter().map(|place| real(place)).collect();
    places.extend(followed);
    places
}

/// The path with its symlinks followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let found = path
        .ancestors()
        .find_map(|part| Some((part, part.canonicalize().ok()?)));
    found.map_or_else(
        || path.to_owned(),
        |(part, real)| match path.strip_prefix(part) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mount(path: &str, source: Option<PathBuf>) -> MesosMount {
        MesosMount {
            requested_by: "ContainerInfo.volumes[0]".to_owned(),
            path: path.into(),
            source,
            docker: false,
        }
    }

    #[test]
    fn mounts_of_mesos_at_around_and_inside_a_volume_are_refused_and_others_are_not() {
        let (sandbox, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (directory, rootfs) = (
            sandbox.path().canonicalize().unwrap(),
            image.path().canonicalize().unwrap(),
        );
        fs::create_dir_all(rootfs.join("srv/app/data")).unwrap();
        symlink("app", rootfs.join("srv/alias")).unwrap();
        let verdict = |target: &Path, rootfs: Option<&Path>, mount: MesosMount| {
            let launch = ContainerLaunch {
                directory: directory.clone(),
                rootfs: rootfs.map(Into::into),
                mesos_mounts: vec![mount],
                ..Default::default()
            };
            keep_away(target, &launch, &Config::default())
        };
        let data = directory.join("a/data");
        for taken in ["a/data", "a", "a/data/deep", "a/./data"] {
            let problem = verdict(&data, None, mount(taken, None)).unwrap_err().to_string();
            assert!(
                problem.contains("ContainerInfo.volumes[0]") && problem.contains(taken),
                "{problem}"
            );
        }
        for apart in ["b", "a/database", "/elsewhere"] {
            assert_eq!(verdict(&data, None, mount(apart, None)), Ok(()), "{apart}");
        }
        let app = rootfs.join("srv/app/data");
        for taken in ["/srv/app/data", "/srv", "/srv/app/data/x", "/srv/alias/data"] {
            assert!(verdict(&app, Some(&rootfs), mount(taken, None)).is_err(), "{taken}");
        }
        assert!(verdict(&data, Some(&rootfs), mount("/mnt/mesos/sandbox/a", None)).is_err());
        assert_eq!(verdict(&app, Some(&rootfs), mount("/srv/other", None)), Ok(()));

        let inside = verdict(&data, None, mount("/elsewhere", Some(data.join("way"))))
            .unwrap_err()
            .to_string();
        assert!(inside.contains("lies in the volume"), "{inside}");
        assert_eq!(
            verdict(&data, None, mount("/elsewhere", Some(directory.join("b")))),
            Ok(())
        );
    }
}
