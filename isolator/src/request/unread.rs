//! What a container asks for in words that are not read, told in the log: otherwise it runs without its volume, and nobody
//! learns why.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::info;

use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// Sources whose volumes a container gets, when it gets any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Labels,
    DockerVolumes,
    Dvdi,
    Nothing,
}

/// With a source off, another isolator may well read it, for every container: told of the first one only.
static DOCKER_VOLUMES_TOLD: AtomicBool = AtomicBool::new(false);
static DVDI_TOLD: AtomicBool = AtomicBool::new(false);

/// Tells of the sources that were not read, if they have anything.
pub(super) fn tell(id: &ContainerId, launch: &ContainerLaunch, config: &Config, read: Read) {
    if read != Read::DockerVolumes && !launch.docker_volumes.is_empty() {
        if config.docker_volume_source {
            lost(id, "ContainerInfo.volumes", read);
        } else if !DOCKER_VOLUMES_TOLD.swap(true, Ordering::Relaxed) {
            off(id, "ContainerInfo.volumes", "docker_volume_source");
        }
    }
    if read != Read::Dvdi && !launch.dvdi_variables.is_empty() {
        if config.dvdi_source {
            lost(id, "DVDI_VOLUME_* variables", read);
        } else if !DVDI_TOLD.swap(true, Ordering::Relaxed) {
            off(id, "DVDI_VOLUME_* variables", "dvdi_source");
        }
    }
}

fn lost(id: &ContainerId, what: &str, read: Read) {
    let winner = match read {
        Read::Labels => "its labels",
        Read::DockerVolumes => "its ContainerInfo.volumes",
        // Variables come last, and where nothing was read all of them were looked at.
        Read::Dvdi | Read::Nothing => return,
    };
    info!(container = %id, "{what} of a container are not mounted: {winner} name volumes, and win");
}

fn off(id: &ContainerId, what: &str, parameter: &str) {
    info!(
        container = %id,
        "{what} of a container are left to other isolators: the module parameter {parameter} is off (told once)"
    );
}
