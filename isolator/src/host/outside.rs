//! What programs other than the agent ask the mount table: `mesos-volumes` looks at a host whose
//! agent is down, or whose records are lost.

use std::io;
use std::path::{Path, PathBuf};

use super::mount_table::{Mount, MountTable};
use super::proof::{Place, Unproven};
use crate::mountpoint::{MountIdentity, Mountpoint};

/// The mount by which a volume is mounted at the path that its driver names; `None` when no mount
/// lies at the driver's place for this volume. `folder_in_mount` is the field of the driver's
/// profile.
///
/// # Errors
/// When the mount table cannot be read.
pub fn volume_mounted_at(mountpoint: &Path, folder_in_mount: Option<&str>) -> io::Result<Option<MountIdentity>> {
    let place = Place {
        mountpoint,
        folder_in_mount,
    };
    match place.proof_of_mount(&MountTable::read()?) {
        Ok(proof) => Ok(proof.is_at_its_place.then(|| proof.mount.identity())),
        Err(Unproven::Table(error)) => Err(error),
        Err(Unproven::Around { .. }) => Ok(None),
        // A device or a server that fails does not let the folder be opened, and is mounted
        // nevertheless.
        Err(Unproven::Unseen { .. }) => {
            let mounted = place.mounted_still(&Mountpoint::from(mountpoint.to_owned()))?;
            Ok(mounted.map(|mount| mount.identity()))
        }
    }
}

/// Whether a mount remains in the table, hidden or not, after an Unmount that the driver confirmed.
/// Waits one second for it to go.
///
/// # Errors
/// When the mount table cannot be read.
pub fn mounted_after_unmount(mount: &MountIdentity) -> io::Result<bool> {
    let at = Mountpoint {
        path: mount.target.clone(),
        mount: Some(mount.clone()),
    };
    let place = Place {
        mountpoint: &mount.target,
        folder_in_mount: None,
    };
    Ok(place.mounted_after_unmount(&at)?.is_some())
}

/// Whether the mount at just this path is a shared one, so that an unmount below reaches the copies
/// that containers hold; `None` when nothing is mounted at the path itself.
///
/// # Errors
/// When the mount table cannot be read.
pub fn is_shared_mount(path: &Path) -> io::Result<Option<bool>> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let table = MountTable::read()?;
    let mount = table.on_top(&path).filter(|mount| mount.mountpoint == path);
    Ok(mount.map(|mount| mount.peer_group.is_some()))
}

/// Whether the mount that holds this path is a shared one.
///
/// # Errors
/// When the mount table cannot be read.
pub fn is_on_shared_mount(path: &Path) -> io::Result<bool> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let table = MountTable::read()?;
    Ok(table.on_top(&path).is_some_and(|mount| mount.peer_group.is_some()))
}

/// The folder that holds a volume, as every mount namespace shows it: by the device and the path on
/// its file system.
#[derive(Debug)]
pub struct VolumeFolder {
    /// Major and minor number, as in `8:16`.
    device: String,
    /// From the root of the file system.
    folder: PathBuf,
}

impl VolumeFolder {
    /// The folder of a volume that is, or was, mounted. Where the record does not say which mount
    /// it was, the folder lies on whatever file system the path lies on: a plain directory, or a
    /// record of an earlier build.
    ///
    /// # Errors
    /// When the mount table cannot be read.
    pub fn of(at: &Mountpoint) -> io::Result<Option<Self>> {
        let path = at.path.canonicalize().unwrap_or_else(|_| at.path.clone());
        if let Some(mount) = &at.mount {
            // The mount may be gone from this namespace, and then nothing resolves the symlinks of
            // the driver's path.
            let within = path.strip_prefix(&mount.target).unwrap_or(Path::new(""));
            return Ok(Some(Self {
                device: mount.device.clone(),
                folder: Path::new(&mount.root).join(within),
            }));
        }
        let table = MountTable::read()?;
        Ok(table.shown_at(&path).and_then(|mount| {
            Some(Self {
                device: mount.device.clone(),
                folder: mount.root.join(path.strip_prefix(&mount.mountpoint).ok()?),
            })
        }))
    }

    /// Where a process has the folder, or a folder inside it, as the target of a container: at the
    /// target itself, or at its end when the container has a root of its own. `process` is the
    /// folder of the process in `/proc`.
    ///
    /// # Errors
    /// When the mount table of the process cannot be read, as when the process has ended.
    pub fn seen_by(&self, process: &Path, target: &Path) -> io::Result<Option<PathBuf>> {
        let table = MountTable::read_of(process)?;
        let found = table.mounts().iter().find(|mount| self.is_shown_by(mount, target));
        Ok(found.map(|mount| mount.mountpoint.clone()))
    }

    fn is_shown_by(&self, mount: &Mount, target: &Path) -> bool {
        let place = mount.mountpoint.strip_prefix("/").unwrap_or(&mount.mountpoint);
        // Records keep names of other bytes than UTF-8 with replacement characters.
        let root = mount.root.to_string_lossy();
        mount.device == self.device
            && Path::new(&*root).starts_with(&*self.folder.to_string_lossy())
            && place != Path::new("")
            && target.ends_with(place)
    }
}
