//! Reports volumes that a container requests in an origin that the operator has not turned on.
//! Otherwise the container runs without its volume, and nothing says why.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::info;

use crate::config::Config;
use crate::types::{ContainerId, ContainerLaunch};

/// Another isolator may well read an origin that is off here, so only the first container is
/// logged.
static DOCKER_VOLUMES_LOGGED: AtomicBool = AtomicBool::new(false);
static DVDI_LOGGED: AtomicBool = AtomicBool::new(false);

/// Logs the origins that are off and in which the container requests volumes.
pub(super) fn log(id: &ContainerId, launch: &ContainerLaunch, config: &Config) {
    if !config.docker_volume_source
        && !launch.docker_volumes.is_empty()
        && !DOCKER_VOLUMES_LOGGED.swap(true, Ordering::Relaxed)
    {
        off(id, "ContainerInfo.volumes", "docker_volume_source");
    }
    if !config.dvdi_source && !launch.dvdi_variables.is_empty() && !DVDI_LOGGED.swap(true, Ordering::Relaxed) {
        off(id, "DVDI_VOLUME_* variables", "dvdi_source");
    }
}

fn off(id: &ContainerId, what: &str, parameter: &str) {
    info!(
        container = %id,
        "{what} of a container are left to other isolators: the module parameter {parameter} is off (this is logged once)"
    );
}
