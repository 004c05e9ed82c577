//! What a container asks for in a source that the operator has not turned on, told in the log: otherwise the container runs
//! without its volume, and nobody learns why.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::info;

use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// With a source off, another isolator may well read it, for every container: the log has the first one only.
static DOCKER_VOLUMES_TOLD: AtomicBool = AtomicBool::new(false);
static DVDI_TOLD: AtomicBool = AtomicBool::new(false);

/// Names the sources that are off, if the container has anything in them.
pub(super) fn tell(id: &ContainerId, launch: &ContainerLaunch, config: &Config) {
    if !config.docker_volume_source
        && !launch.docker_volumes.is_empty()
        && !DOCKER_VOLUMES_TOLD.swap(true, Ordering::Relaxed)
    {
        off(id, "ContainerInfo.volumes", "docker_volume_source");
    }
    if !config.dvdi_source && !launch.dvdi_variables.is_empty() && !DVDI_TOLD.swap(true, Ordering::Relaxed) {
        off(id, "DVDI_VOLUME_* variables", "dvdi_source");
    }
}

fn off(id: &ContainerId, what: &str, parameter: &str) {
    info!(
        container = %id,
        "{what} of a container are left to other isolators: the module parameter {parameter} is off (told once)"
    );
}
