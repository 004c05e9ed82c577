//! Under which id this host mounts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The isolator's file in its state folder: with the same host id a volume that the isolator
/// mounted can be unmounted here.
const ISOLATOR_ID: &str = "host-id";

/// The id of this host as the isolator has it, where there is one; else [`machine_id`].
pub(crate) fn isolator_id(state_dir: &Path) -> Result<String, Failure> {
    let path = state_dir.join(ISOLATOR_ID);
    if path.exists() {
        return read(&path);
    }
    machine_id()
}

/// The id of this host that does not depend on any other program: machine-id(5), else the host's
/// name.
pub(crate) fn machine_id() -> Result<String, Failure> {
    let files = ["/etc/machine-id", "/proc/sys/kernel/hostname"].map(PathBuf::from);
    for path in files {
        if path.exists() {
            let id = read(&path)?;
            // An image that was never booted has an empty machine-id.
            if !id.is_empty() {
                return Ok(id);
            }
        }
    }
    Err(Failure::Settings(
        "this host has neither a machine-id nor a name: give a host id".to_owned(),
    ))
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::Settings(format!("{}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}
