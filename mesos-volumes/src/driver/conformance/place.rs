//! Where a mountpoint lies in the mount table, and whether the driver's mounts can be seen here at
//! all.

use std::collections::BTreeSet;
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
    /// No mount came: a folder of a file system that was there before.
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
        Ok(MountTable(table.0))
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
}

/// What the mountpoint is, seen after the Mount that returned it.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn place_of(path: &Path, before: &MountTable) -> Result<(Place, Option<PathBuf>), Failure> {
    let mount = MountTable::read()?.came_since(before, path);
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
