//! The folders below which drivers mount, made shared mounts of their own.
//!
//! A container without an image starts with a copy of every mount of the host. Where the driver's
//! mount is private, that copy outlives the driver's own unmount, and the device stays busy until
//! the last such container ends, whether it has anything to do with the volume or not. Mounts below
//! a shared mount are shared themselves: an unmount then reaches every copy.
//!
//! A folder is bound on itself for that. The bind begins in the peer group of the file system
//! around it: as long as it stays there, every mount below is made twice, once out of sight beneath
//! the bind. So it is made private first, and then shared. What is mounted below already would be
//! out of sight too, and so would its data: then nothing is bound.
//!
//! The state folder remembers the binds, so that those of folders that are no longer named are
//! taken away.

mod memory;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use tracing::{error, info, warn};

use super::mount_table::{Mount, MountTable};
use memory::{Memory, OwnBind};

/// Why a folder is not made a shared mount.
#[derive(Debug, thiserror::Error)]
enum BaseError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Errno(#[from] rustix::io::Errno),
    /// A bind would hide it, and containers that start later would write to the folder beneath.
    #[error(
        "{} is mounted below it, which a bind would hide: start the agent again when nothing is mounted there, after its tasks \
         with volumes have ended",
        .0.display()
    )]
    MountedBelow(PathBuf),
}

/// Makes each folder a shared mount, unless it is one, and takes away the binds of earlier starts
/// whose folder is no longer named. What cannot be done is in the log: the agent is of use without.
pub(crate) fn share(bases: &[PathBuf], state_dir: &Path) {
    let mut memory = Memory::read(state_dir);
    let named: BTreeSet<PathBuf> = bases.iter().filter_map(|base| base.canonicalize().ok()).collect();
    memory.binds.retain(|bind| {
        named.contains(&bind.folder)
            || take_away(bind).unwrap_or_else(|problem| {
                let folder = bind.folder.display();
                warn!(%folder, %problem, "cannot take away the shared mount of a folder that mount_bases no longer names; the next start tries again");
                true
            })
    });
    for base in bases {
        match share_one(base) {
            Ok(Done::Bound(bind)) => {
                info!(folder = %base.display(), "made a shared mount for drivers to mount below");
                memory.binds.retain(|known| known.folder != bind.folder);
                memory.binds.push(bind);
            }
            Ok(Done::Changed) => info!(folder = %base.display(), "made the mount there a shared one of its own"),
            Ok(Done::Nothing) => {}
            Err(problem) => {
                error!(folder = %base.display(), %problem, "cannot make a shared mount (module parameter mount_bases)");
            }
        }
    }
    if let Err(error) = memory.write(state_dir) {
        warn!(%error, "cannot write down which folders were made shared mounts: their binds stay when mount_bases no longer names them");
    }
}

enum Done {
    Bound(OwnBind),
    /// A mount that was there got another propagation.
    Changed,
    Nothing,
}

fn share_one(base: &Path) -> Result<Done, BaseError> {
    fs::create_dir_all(base)?;
    let base = base.canonicalize()?;
    let table = MountTable::read()?;
    let Some(mount) = mounted_on(&table, &base) else {
        if let Some(below) = below(&table, &base) {
            return Err(BaseError::MountedBelow(below));
        }
        return bind(&base).map(Done::Bound);
    };
    if mount.peer_group.is_none() {
        mount_change(&base, MountPropagationFlags::SHARED)?;
        return Ok(Done::Changed);
    }
    // A bind of an earlier build.
    let is_twice = table
        .parent_of(mount)
        .is_some_and(|parent| mount.is_on_itself(parent) && mount.peer_group == parent.peer_group);
    if !is_twice {
        return Ok(Done::Nothing);
    }
    match below(&table, &base) {
        Some(below) => Err(BaseError::MountedBelow(below)),
        None => {
            in_a_group_of_its_own(&base)?;
            Ok(Done::Changed)
        }
    }
}

fn bind(base: &Path) -> Result<OwnBind, BaseError> {
    mount_bind(base, base)?;
    in_a_group_of_its_own(base)?;
    let table = MountTable::read()?;
    let own = mounted_on(&table, base).ok_or_else(|| io::Error::other("the bind is not in the mount table"))?;
    // A driver may have mounted since the first look, beneath the bind.
    let is_beneath = |mount: &&Mount| {
        mount.mountpoint != *base
            && mount.mountpoint.starts_with(base)
            && table.on_top(&mount.mountpoint).is_none_or(|top| top.id != mount.id)
    };
    if let Some(hidden) = table.mounts().iter().find(is_beneath) {
        let hidden = hidden.mountpoint.clone();
        unmount(base, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
        return Err(BaseError::MountedBelow(hidden));
    }
    Ok(OwnBind::new(base, own.id))
}

/// Private first, so that it leaves the peer group of the file system around it.
fn in_a_group_of_its_own(base: &Path) -> rustix::io::Result<()> {
    mount_change(base, MountPropagationFlags::PRIVATE)?;
    mount_change(base, MountPropagationFlags::SHARED)
}

/// What is mounted at just this path, on top.
fn mounted_on<'a>(table: &'a MountTable, path: &Path) -> Option<&'a Mount> {
    table.on_top(path).filter(|mount| mount.mountpoint == path)
}

fn below(table: &MountTable, base: &Path) -> Option<PathBuf> {
    let mut mounts = table.mounts().iter().map(|mount| &mount.mountpoint);
    mounts.find(|mount| *mount != base && mount.starts_with(base)).cloned()
}

/// Takes away a bind of an earlier start. Returns whether it stays, since something is mounted
/// below.
fn take_away(bind: &OwnBind) -> Result<bool, BaseError> {
    let table = MountTable::read()?;
    let is_there = mounted_on(&table, &bind.folder).is_some_and(|mount| {
        bind.is(mount.id) && table.parent_of(mount).is_some_and(|parent| mount.is_on_itself(parent))
    });
    if !is_there {
        return Ok(false);
    }
    if let Some(below) = below(&table, &bind.folder) {
        return Err(BaseError::MountedBelow(below));
    }
    unmount(&bind.folder, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    info!(folder = %bind.folder.display(), "took away the shared mount of a folder that mount_bases no longer names");
    Ok(false)
}

/// Says once that volumes of this agent lie on private mounts, as `mount` does.
pub(crate) fn warn_of_private(mount: &Path) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        warn!(mount = %mount.display(), "volumes lie on private mounts: after a volume's last container, any other \
            container that started meanwhile keeps its device busy; name the folder that the driver mounts below in \
            the module parameter mount_bases");
    });
}

#[cfg(test)]
mod tests;
