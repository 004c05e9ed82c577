//! The folders below which drivers mount, made shared mounts of their own.
//!
//! A container without an image starts with a copy of every mount of the host. Where the driver's mount is private, that
//! copy outlives the driver's own unmount, and the device stays busy until the last such container ends, whether it has
//! anything to do with the volume or not. Mounts below a shared mount are shared themselves: an unmount then reaches every
//! copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use tracing::{error, info, warn};

use super::mount_table::Mount;

/// Makes each folder a shared mount, unless it is one. What cannot be done is in the log: the agent is of use without.
pub(crate) fn share(bases: &[PathBuf]) {
    for base in bases {
        match share_one(base) {
            Ok(true) => info!(folder = %base.display(), "made a shared mount for drivers to mount below"),
            Ok(false) => {}
            Err(problem) => {
                error!(folder = %base.display(), %problem, "cannot make a shared mount (module parameter mount_bases)");
            }
        }
    }
}

fn share_one(base: &Path) -> io::Result<bool> {
    fs::create_dir_all(base)?;
    let base = base.canonicalize()?;
    if shared(&base)? == Some(true) {
        return Ok(false);
    }
    if shared(&base)?.is_none() {
        mount_bind(&base, &base)?;
    }
    mount_change(&base, MountPropagationFlags::SHARED)?;
    Ok(true)
}

/// Whether what is mounted at just this path is shared; `None` when nothing is.
fn shared(path: &Path) -> io::Result<Option<bool>> {
    // Of several mounts on one folder the last one is on top.
    let mount = Mount::all()?.into_iter().rfind(|mount| mount.mountpoint == path);
    Ok(mount.map(|mount| mount.is_shared))
}

/// Says once that volumes of this agent lie on private mounts, as `mount` does.
pub(super) fn warn_of_private(mount: &Path) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        warn!(mount = %mount.display(), "volumes lie on private mounts: after a volume's last container, any other \
            container that started meanwhile keeps its device busy; name the folder that the driver mounts below in \
            the module parameter mount_bases");
    });
}
