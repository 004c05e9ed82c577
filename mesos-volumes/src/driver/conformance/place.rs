//! Where a mountpoint lies in the mount table, and whether the driver's mounts can be seen here at
//! all.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use procfs::process::{MountInfo, Process};
use volume_driver_client::Endpoint;

use crate::failure::Failure;

/// The mounts that there are at one moment, by their ids.
pub(super) struct MountTable(Vec<MountInfo>);

/// What a mountpoint turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A mount that came with the call, at the mountpoint itself.
    Mount,
    /// A mount that came with the call; the mountpoint is a folder inside of it.
    FolderInMount(PathBuf),
    /// No mount of the volume's own came: a folder of a file system that was there before, or of a
    /// mount that the driver's volumes share.
    Directory,
    /// Nothing is there.
    Nothing,
}

impl MountTable {
    /// Reads the table of this process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn read() -> Result<MountTable, Failure> {
        let table = Process::myself().and_then(|process| process.mountinfo());
        let table = table.map_err(|error| Failure::Refused(format!("cannot read the mount table: {error}")))?;
        let mut mounts = table.0;
        for mount in &mut mounts {
            mount.mount_point = unescaped(&mount.mount_point);
        }
        Ok(MountTable(mounts))
    }

    fn ids(&self) -> BTreeSet<i32> {
        self.0.iter().map(|mount| mount.mnt_id).collect()
    }

    /// The deepest mount at or above the path that `before` does not have.
    pub(super) fn came_since(&self, before: &MountTable, path: &Path) -> Option<PathBuf> {
        let old = before.ids();
        let new = self.0.iter().filter(|mount| !old.contains(&mount.mnt_id));
        new.map(|mount| mount.mount_point.clone())
            .filter(|at| path.starts_with(at))
            .max_by_key(|at| at.components().count())
    }

    /// Whether something is mounted exactly there.
    pub(super) fn has(&self, at: &Path) -> bool {
        self.0.iter().any(|mount| mount.mount_point == at)
    }

    /// Where something is mounted whose path names the volume, the deepest first.
    pub(super) fn naming(&self, volume: &str) -> Vec<PathBuf> {
        let mounts = self.0.iter().rev().map(|mount| &mount.mount_point);
        mounts.filter(|at| names(at, volume)).cloned().collect()
    }
}

/// Whether a path has the volume's name in it, in any letter case.
pub(super) fn names(path: &Path, volume: &str) -> bool {
    path.to_string_lossy().to_lowercase().contains(&volume.to_lowercase())
}

/// A path of the mount table, in which the kernel writes blanks and backslashes as `\040`.
fn unescaped(path: &Path) -> PathBuf {
    let mut rest = path.as_os_str().as_bytes();
    let mut written = Vec::with_capacity(rest.len());
    while let [first, behind @ ..] = rest {
        let code = behind.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        written.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    OsString::from_vec(written).into()
}

/// What the mountpoint of a volume is, and the volume's own mount, seen after the Mount that
/// returned it. A mount is shared when its path does not name the volume and the folder in it does:
/// it came with the first volume of the driver, and others may be in it.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn place_of(path: &Path, volume: &str, before: &MountTable) -> Result<(Place, Option<PathBuf>), Failure> {
    let mount = MountTable::read()?.came_since(before, path);
    let is_own = |at: &PathBuf| at == path || names(at, volume) || !names(path, volume);
    let mount = mount.filter(is_own);
    let place = match &mount {
        Some(at) if at == path => Place::Mount,
        Some(at) => Place::FolderInMount(path.strip_prefix(at).unwrap_or(path).to_owned()),
        None if path.is_dir() => Place::Directory,
        None => Place::Nothing,
    };
    Ok((place, mount))
}

/// The id of a process that serves this socket in a mount namespace other than ours: what it mounts
/// may not be seen here.
pub(super) fn in_another_namespace(endpoint: &Endpoint) -> Option<i32> {
    let socket = endpoint.socket()?.canonicalize().ok()?;
    let own = mount_namespace(&Process::myself().ok()?)?;
    let sockets = procfs::net::unix().ok()?;
    let inodes: BTreeSet<u64> = sockets
        .into_iter()
        .filter(|entry| entry.path.as_deref().is_some_and(|path| is_the_same(path, &socket)))
        .map(|entry| entry.inode)
        .collect();
    let processes = procfs::process::all_processes().ok()?.filter_map(Result::ok);
    let mut serving = processes.filter(|process| holds_one_of(process, &inodes));
    serving
        .find(|process| mount_namespace(process).is_some_and(|other| other != own))
        .map(|process| process.pid)
}

fn is_the_same(path: &Path, socket: &Path) -> bool {
    path == socket || path.canonicalize().is_ok_and(|path| path == socket)
}

fn holds_one_of(process: &Process, inodes: &BTreeSet<u64>) -> bool {
    use procfs::process::FDTarget;
    let Ok(descriptors) = process.fd() else { return false };
    descriptors
        .filter_map(Result::ok)
        .any(|descriptor| matches!(descriptor.target, FDTarget::Socket(inode) if inodes.contains(&inode)))
}

fn mount_namespace(process: &Process) -> Option<u64> {
    let spaces = process.namespaces().ok()?;
    spaces.0.get(std::ffi::OsStr::new("mnt")).map(|space| space.identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_mount_table_is_read_as_the_path_that_it_is() {
        assert_eq!(unescaped(Path::new("/a\\040b\\134c/\\011")), Path::new("/a b\\c/\t"));
        assert_eq!(unescaped(Path::new("/plain\\9/x\\04")), Path::new("/plain\\9/x\\04"));
    }
}
