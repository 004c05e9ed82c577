//! The peer: Mesos' own docker/volume isolator, with this workspace's drop-in for dvdcli.

use std::env;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use mesos_http::types::{ContainerInfo, DockerVolume, Volume, VolumeMode};
use testbed::{AgentSpec, Job, built};

/// A folder for `PATH` that has the drop-in under dvdcli's name.
pub(crate) fn link_dvdcli(folder: &Path) -> Result<()> {
    symlink(built("mesos-volumes", "mesos-volumes")?, folder.join("dvdcli"))?;
    Ok(())
}

/// An agent on which dvdcli is found in `programs`, and the agent's drivers by it. The isolator is another matter: agents
/// that are compared all have this.
pub(crate) fn with_dvdcli(spec: AgentSpec, programs: &Path) -> AgentSpec {
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default());
    spec.env("PATH", path)
        .env("MESOS_VOLUMES_DRIVER_SOCKETS", "{drivers}")
        .env("MESOS_VOLUMES_DRIVER_SPECS", "{drivers}")
}

/// A task with volumes `(path, name)` of a driver, as docker/volume wants them.
pub(crate) fn with_volumes(job: Job, driver: &str, volumes: impl IntoIterator<Item = (String, String)>) -> Job {
    let container = volumes
        .into_iter()
        .fold(ContainerInfo::mesos(), |container, (path, name)| {
            let volume = DockerVolume {
                driver: Some(driver.to_owned()),
                name,
                driver_options: None,
            };
            container.with_volume(Volume::docker(path, volume, VolumeMode::ReadWrite))
        });
    job.with(|task| task.container = Some(container))
}
