//! Volumes as Mesos itself describes them, and Mesos' own isolator for them.

use std::env;
use std::os::unix::fs::symlink;
use std::path::Path;

use mesos_http::types::{ContainerInfo, DockerVolume, Parameter, Parameters, Volume, VolumeMode};
use testbed::{AgentSpec, Job, built};

/// A `DOCKER_VOLUME` at this path of the container, writable, without options.
pub fn docker_volume(path: &str, driver: &str, name: &str) -> Volume {
    docker_volume_with(path, driver, name, &[])
}

/// A `DOCKER_VOLUME` with these driver options.
pub fn docker_volume_with(path: &str, driver: &str, name: &str, options: &[(&str, &str)]) -> Volume {
    let parameter = |(key, value): &(&str, &str)| Parameter {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    let volume = DockerVolume {
        driver: Some(driver.to_owned()),
        name: name.to_owned(),
        driver_options: (!options.is_empty()).then(|| Parameters {
            parameter: options.iter().map(parameter).collect(),
        }),
    };
    Volume::docker(path, volume, VolumeMode::ReadWrite)
}

/// The same, for reading only.
pub fn read_only(mut volume: Volume) -> Volume {
    volume.mode = VolumeMode::ReadOnly;
    volume
}

/// The job in a container with these volumes, and with its image if it has one.
pub fn with_volumes(job: Job, volumes: impl IntoIterator<Item = Volume>) -> Job {
    job.with(|task| {
        let container = task.container.take().unwrap_or_else(ContainerInfo::mesos);
        let container = volumes.into_iter().fold(container, ContainerInfo::with_volume);
        task.container = Some(container);
    })
}

/// An agent with Mesos' isolator docker/volume and, for it, this workspace's drop-in for dvdcli in `programs`.
///
/// # Panics
/// When the drop-in is not built or cannot be put there.
pub fn with_docker_volume_isolator(spec: AgentSpec, programs: &Path) -> AgentSpec {
    let dvdcli = built("mesos-volumes", "mesos-volumes").unwrap_or_else(|error| panic!("{error}"));
    symlink(dvdcli, programs.join("dvdcli")).expect("the test's own file system works");
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default());
    spec.isolator("docker/volume")
        .flag("docker_volume_checkpoint_dir", "{agent}/docker-volume")
        .env("PATH", path)
        .env("MESOS_VOLUMES_DRIVER_SOCKETS", "{drivers}")
        .env("MESOS_VOLUMES_DRIVER_SPECS", "{drivers}")
        .env("MESOS_VOLUMES_RUN_DIR", "{agent}/dvdcli")
}
