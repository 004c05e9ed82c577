//! Where in its sandbox a Docker container's volume goes, and what Docker would do to it there.
//!
//! The Docker daemon is told what to mount by Mesos alone: the sandbox at one place, and what
//! `ContainerInfo.volumes` says. So a volume is bound somewhere in the sandbox, and is seen
//! wherever Docker shows that folder.

use std::path::{Component, Path, PathBuf};

use volume_driver_client::Code;
use volume_labels::{ContainerPath, cleaned};

use crate::error::Refusal;
use crate::types::{ContainerLaunch, DockerHostPath, DockerLaunch};

/// Why a volume has no place in a Docker container's sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    /// The label names the place of the sandbox.
    #[error("path '{}' would hide the sandbox: use a path inside it", .path.display())]
    HidesSandbox { path: PathBuf },
    /// Docker shows nothing at the absolute path.
    #[error(
        "a Docker container sees a volume at the absolute path '{}' only when ContainerInfo.volumes shows a folder of the sandbox there: add \
         {}, or use a relative path",
        .path.display(), example(.path)
    )]
    NotShown { path: PathBuf },
    /// A deprecated field gives the entry another meaning.
    #[error(
        "with DockerInfo.volume_driver = '{}', Docker takes the host_path of ContainerInfo.volumes[{index}] for the name of a volume of that \
         driver: remove volume_driver",
        cleaned(.driver)
    )]
    VolumeDriver { driver: String, index: usize },
    /// The entry shows something of the host.
    #[error(
        "ContainerInfo.volumes[{index}] shows '{}' at '{}', which is no folder inside the sandbox: write {}",
        shown(.host_path), .path.display(), example(.path)
    )]
    NotInSandbox {
        path: PathBuf,
        index: usize,
        host_path: PathBuf,
    },
    /// Docker mounts something at, in or around the place.
    #[error(
        "its path and that of ContainerInfo.volumes[{index}], '{}', are the same or one lies inside the other; Docker would mount that one over \
         the volume or into it: use paths apart from each other",
        shown(.container_path)
    )]
    Overlap { index: usize, container_path: PathBuf },
    /// Docker would follow what the volume's content says.
    #[error(
        "ContainerInfo.volumes[{index}] shows '{}', which lies in the volume, where Docker would follow symlinks on the host: show the whole \
         volume, or use the label attribute 'subpath'",
        shown(.host_path)
    )]
    ShowsInside { index: usize, host_path: PathBuf },
}

/// The entry of `ContainerInfo.volumes` that shows a folder of the sandbox at this path.
fn example(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (path, name) = (shown(path), cleaned(&name));
    format!(r#"{{"container_path": "{path}", "host_path": "{name}", "mode": "RW"}}"#)
}

fn shown(path: &Path) -> String {
    cleaned(&path.display().to_string())
}

/// Parameters of `docker run` that take away what the module relies on, and why.
const REFUSED: [(&str, &str); 2] = [
    (
        "restart",
        "Docker could start the container again after its volumes were unmounted",
    ),
    (
        "name",
        "Docker would know the container by another name than Mesos does, and nobody could tell when it has ended",
    ),
];

/// Whether a container with volumes can be run as it is described.
///
/// # Errors
/// A parameter of it, the agent's release or the agent's work directory rules that out.
pub(crate) fn check(docker: &DockerLaunch, launch: &ContainerLaunch) -> Result<(), Refusal> {
    let refused = |(key, value): &(String, String)| {
        let (name, why) = REFUSED.iter().find(|(name, _)| name == key)?;
        // What Docker does when nobody says otherwise.
        (!(*name == "restart" && value == "no")).then(|| (cleaned(key), cleaned(value), *why))
    };
    if let Some((key, value, why)) = docker.parameters.iter().find_map(refused) {
        return Err(Refusal::new(
            Code::Invalid,
            format!(
                "the Docker parameter '{key}' = '{value}' is not accepted for a container with volumes: {why}; remove it"
            ),
        ));
    }
    if deletes_through_mounts(&docker.mesos) {
        return Err(Refusal::new(
            Code::Unsupported,
            format!(
                "Mesos {} deletes the content of whatever is still mounted in a sandbox, so that Docker containers get no volumes there: \
                 upgrade the agent to 1.4.2, 1.5.2, 1.6.1 or later",
                docker.mesos
            ),
        ));
    }
    match launch.directory.canonicalize() {
        Ok(real) if real == launch.directory => Ok(()),
        Ok(real) => Err(Refusal::new(
            Code::Unsupported,
            format!(
                "the agent's work_dir lies behind a symlink ({} is {}), and Mesos would not find the volumes that it has to unmount: start \
                 the agent with the real path as --work_dir",
                launch.directory.display(),
                real.display()
            ),
        )),
        Err(error) => Err(Refusal::new(
            Code::Unreachable,
            format!("the sandbox {} cannot be opened: {error}", launch.directory.display()),
        )),
    }
}

/// Releases whose garbage collector removes a sandbox without unmounting what is in it.
fn deletes_through_mounts(mesos: &str) -> bool {
    ["1.4.0", "1.4.1", "1.5.0", "1.5.1", "1.6.0"].contains(&mesos)
}

/// The folder of the sandbox, relative to it, that the container sees at `path`.
///
/// # Errors
/// One line that says what to write, or which entry of `ContainerInfo.volumes` is in the way.
pub(crate) fn in_sandbox(path: &ContainerPath, docker: &DockerLaunch) -> Result<PathBuf, PlaceError> {
    let place = match path {
        ContainerPath::Relative(path) => path.clone(),
        ContainerPath::Absolute(path) => match path.strip_prefix(&docker.mapped) {
            Ok(inside) if inside.as_os_str().is_empty() => {
                return Err(PlaceError::HidesSandbox { path: path.clone() });
            }
            Ok(inside) => inside.to_owned(),
            Err(_) => shown_at(path, docker)?,
        },
    };
    keep_apart(&place, docker)?;
    Ok(place)
}

/// The folder of the sandbox that `ContainerInfo.volumes` shows at an absolute path.
fn shown_at(path: &Path, docker: &DockerLaunch) -> Result<PathBuf, PlaceError> {
    let same = |volume: &&DockerHostPath| plain(&volume.container_path) == plain(path);
    let Some(volume) = docker.host_paths.iter().find(same) else {
        return Err(PlaceError::NotShown { path: path.to_owned() });
    };
    if let Some(driver) = &docker.volume_driver {
        return Err(PlaceError::VolumeDriver {
            driver: driver.clone(),
            index: volume.index,
        });
    }
    let inside = plain(&volume.host_path);
    if volume.host_path.is_absolute() || inside.as_os_str().is_empty() || climbs(&inside) {
        return Err(PlaceError::NotInSandbox {
            path: path.to_owned(),
            index: volume.index,
            host_path: volume.host_path.clone(),
        });
    }
    Ok(inside)
}

/// Whether what Docker mounts and a volume at `place` of the sandbox keep out of each other's way.
fn keep_apart(place: &Path, docker: &DockerLaunch) -> Result<(), PlaceError> {
    let seen = docker.mapped.join(place);
    for volume in &docker.host_paths {
        let at = plain(&docker.mapped.join(&volume.container_path));
        if at.starts_with(&seen) || seen.starts_with(&at) {
            return Err(PlaceError::Overlap {
                index: volume.index,
                container_path: volume.container_path.clone(),
            });
        }
        let source = plain(&volume.host_path);
        if volume.host_path.is_relative() && source != place && source.starts_with(place) {
            return Err(PlaceError::ShowsInside {
                index: volume.index,
                host_path: volume.host_path.clone(),
            });
        }
    }
    Ok(())
}

/// The path without `.` and doubled slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn docker(host_paths: &[(&str, &str)]) -> DockerLaunch {
        let host_paths = host_paths
            .iter()
            .enumerate()
            .map(|(index, (container_path, host_path))| DockerHostPath {
                index,
                container_path: container_path.into(),
                host_path: host_path.into(),
            });
        DockerLaunch {
            mapped: "/mnt/mesos/sandbox".into(),
            host_paths: host_paths.collect(),
            mesos: "1.11.0".into(),
            ..DockerLaunch::default()
        }
    }

    fn place(path: &str, docker: &DockerLaunch) -> Result<PathBuf, String> {
        in_sandbox(&ContainerPath::parse(path).unwrap(), docker).map_err(|error| error.to_string())
    }

    #[test]
    fn a_relative_path_is_in_the_sandbox_and_an_absolute_one_where_it_is_shown() {
        let docker = docker(&[("/srv//data", "./deep/v"), ("/etc/x", "/etc/x")]);
        assert_eq!(place("data", &docker), Ok("data".into()));
        assert_eq!(place("/mnt/mesos/sandbox/data", &docker), Ok("data".into()));
        assert_eq!(place("/srv/data", &docker), Ok("deep/v".into()));
    }

    #[test]
    fn an_absolute_path_that_nothing_shows_is_answered_with_what_to_write() {
        let missing = place("/srv/data", &docker(&[])).unwrap_err();
        let example = r#"{"container_path": "/srv/data", "host_path": "data", "mode": "RW"}"#;
        assert!(missing.contains(example), "{missing}");
        for host_path in ["/data", "../data", "."] {
            let error = place("/srv/data", &docker(&[("/srv/data", host_path)])).unwrap_err();
            assert!(
                error.contains("ContainerInfo.volumes[0]") && error.contains(example),
                "{error}"
            );
        }
        let driver = DockerLaunch {
            volume_driver: Some("rexray".into()),
            ..docker(&[("/srv/data", "data")])
        };
        let error = place("/srv/data", &driver).unwrap_err();
        assert!(error.contains("volume_driver = 'rexray'"), "{error}");
    }

    #[test]
    fn what_docker_would_mount_over_a_volume_or_show_of_its_inside_is_refused() {
        for (mount, host_path) in [
            ("data", "/h"),
            ("data/x", "/h"),
            ("/mnt/mesos", "/h"),
            ("/other", "data/x"),
        ] {
            let error = place("data", &docker(&[(mount, host_path)])).unwrap_err();
            assert!(error.contains("ContainerInfo.volumes[0]"), "{error}");
        }
        assert!(
            place(
                "data",
                &docker(&[("/other", "data"), ("/x", "elsewhere"), ("database", "/h")])
            )
            .is_ok()
        );
        assert!(
            place("/mnt/mesos/sandbox", &docker(&[]))
                .unwrap_err()
                .contains("hide the sandbox")
        );
    }

    #[test]
    fn a_container_that_could_not_be_told_to_have_ended_is_refused() {
        let sandbox = tempfile::tempdir().unwrap();
        let launch = ContainerLaunch {
            directory: sandbox.path().canonicalize().unwrap(),
            ..ContainerLaunch::default()
        };
        let with = |key: &str, value: &str| DockerLaunch {
            parameters: vec![(key.into(), value.into())],
            ..docker(&[])
        };
        assert_eq!(check(&docker(&[]), &launch), Ok(()));
        assert_eq!(check(&with("restart", "no"), &launch), Ok(()));
        assert_eq!(check(&with("memory-swap", "-1"), &launch), Ok(()));
        for (key, value) in [("restart", "always"), ("name", "mine")] {
            let refusal = check(&with(key, value), &launch).unwrap_err().to_string();
            assert!(refusal.contains(&format!("'{key}' = '{value}'")), "{refusal}");
        }
        let old = |mesos: &str| DockerLaunch {
            mesos: mesos.into(),
            ..docker(&[])
        };
        let refusal = check(&old("1.4.1"), &launch).unwrap_err().to_string();
        assert!(refusal.contains("[unsupported] Mesos 1.4.1 deletes"), "{refusal}");
        assert_eq!(check(&old("1.4.2"), &launch), Ok(()));
    }

    #[test]
    fn a_work_directory_behind_a_symlink_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        let launch = ContainerLaunch {
            directory: link,
            ..ContainerLaunch::default()
        };
        let refusal = check(&docker(&[]), &launch).unwrap_err().to_string();
        assert!(refusal.contains("lies behind a symlink"), "{refusal}");
    }
}
