//! Binding one open folder on another one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount_bind_recursive,
    mount_change, mount_remount, move_mount, open_tree,
};

use crate::host::descriptor::{DIRECTORY, Identity, entry};
use volume_labels::MountFlags as Forbidden;

/// A mount is not deeper than this below its root; a walk that takes longer is being led in
/// circles.
const DEEPEST: usize = 4096;

/// What a bind forbids beyond what the volume's own mount does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) read_only: bool,
    pub(super) forbidden: Forbidden,
}

/// Who sees what is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The mount namespace of the calling thread alone, which is a container's.
    Namespace,
    /// Every namespace that receives the mounts of the place: a sandbox on the host, for the Docker
    /// daemon.
    Host,
}

/// Why a folder was not bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The kernel's answer.
    #[error("the kernel refuses to {what}: {cause}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// The kernel's words.
        cause: Errno,
    },
    /// Before Linux 5.12 a mount inside keeps its own flags.
    #[error(
        "it has a mount inside, which this kernel (before Linux 5.12) cannot restrict together with it: unmount that"
    )]
    MountInside,
    /// What lies at the target's path after the bind is something else.
    #[error("something else was moved to its place meanwhile")]
    Moved,
}

fn refused(what: &'static str) -> impl Fn(Errno) -> AttachError {
    move |cause| AttachError::Refused { what, cause }
}

/// Binds the folder `source` with all mounts inside it on the folder `target`, which lies at
/// `path`, and returns the root of what is mounted there. With [`Reach::Namespace`] nothing of it
/// is seen in another mount namespace.
///
/// # Errors
/// When it is not bound, or not as restricted as it has to be.
pub(super) fn attach(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    path: &Path,
    limits: Limits,
    reach: Reach,
) -> Result<OwnedFd, AttachError> {
    if reach == Reach::Namespace {
        keep_to_ourselves(target)?;
    }
    match attach_whole(source, target, limits) {
        Err(AttachError::Refused {
            cause: Errno::NOSYS, ..
        }) => attach_step_by_step(source, target, path, limits),
        answer => answer,
    }
}

/// As [`attach`] does it on a kernel without `mount_setattr`.
#[cfg(test)]
pub(super) fn older_kernels_attach(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    path: &Path,
    limits: Limits,
) -> Result<OwnedFd, AttachError> {
    keep_to_ourselves(target)?;
    attach_step_by_step(source, target, path, limits)
}

/// Cuts the mount that `folder` lies on off from its copies in other namespaces. The other mounts
/// of this namespace stay as they are: some may have to propagate.
fn keep_to_ourselves(folder: BorrowedFd<'_>) -> Result<(), AttachError> {
    let root = mount_root(folder).map_err(refused("find the mount of the target"))?;
    mount_change(entry(&root), MountPropagationFlags::DOWNSTREAM)
        .map_err(refused("keep the mount inside the container (MS_SLAVE)"))
}

/// The topmost folder of the mount that `folder` lies on, even when that is covered by another
/// mount.
fn mount_root(folder: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let above = |folder: &OwnedFd| openat(folder, "..", DIRECTORY, Mode::empty());
    let mount = mount_id(folder)?;
    let mut root = openat(folder, ".", DIRECTORY, Mode::empty())?;
    for _ in 0..DEEPEST {
        let next = above(&root)?;
        if mount_id(next.as_fd())? != mount || Identity::of(&next)? == Identity::of(&root)? {
            return Ok(root);
        }
        root = next;
    }
    Err(Errno::LOOP)
}

/// The kernel's number of the mount that an open file lies on.
fn mount_id(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    let lines = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let number = lines.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    number.and_then(|number| number.trim().parse().ok()).ok_or(Errno::IO)
}

/// A copy of the mounts is restricted before it can be seen anywhere (Linux 5.12).
fn attach_whole(source: BorrowedFd<'_>, target: BorrowedFd<'_>, limits: Limits) -> Result<OwnedFd, AttachError> {
    let copy = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, "", copy).map_err(refused("copy the volume's mounts (open_tree)"))?;
    set_attributes(&tree, limits).map_err(refused("restrict the volume's mounts (mount_setattr)"))?;
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", target, "", both).map_err(refused("mount the volume (move_mount)"))?;
    Ok(tree)
}

/// What `mount_setattr(2)` is to change, as the kernel lays it out.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// `mount_setattr(2)` on every mount of the tree: what is forbidden, and that mounts come in but do
/// not go out.
#[allow(unsafe_code, reason = "no crate in use here wraps this call")]
fn set_attributes(tree: &OwnedFd, limits: Limits) -> Result<(), Errno> {
    let Forbidden { nosuid, nodev, noexec } = limits.forbidden;
    let mut set = MountAttrFlags::empty();
    set.set(MountAttrFlags::MOUNT_ATTR_RDONLY, limits.read_only);
    set.set(MountAttrFlags::MOUNT_ATTR_NOSUID, nosuid);
    set.set(MountAttrFlags::MOUNT_ATTR_NODEV, nodev);
    set.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, noexec);
    let attributes = MountAttributes {
        set: set.bits().into(),
        clear: 0,
        propagation: MountPropagationFlags::DOWNSTREAM.bits().into(),
        user_namespace: 0,
    };
    // SAFETY: The descriptor is open, the path is an empty C string, and the structure lives until
    // the call returns and has the size that is handed over.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if answer == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// The same with `mount(2)`, for older kernels. Before it is restricted, only the agent can see the
/// volume: the container's process has not begun.
fn attach_step_by_step(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    path: &Path,
    limits: Limits,
) -> Result<OwnedFd, AttachError> {
    let parent =
        openat(target, "..", DIRECTORY, Mode::empty()).map_err(refused("open the folder around the target"))?;
    mount_bind_recursive(entry(source), entry(target)).map_err(refused("mount the volume"))?;
    let name = path.file_name().unwrap_or(OsStr::new("."));
    let mounted = openat(&parent, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(|_| AttachError::Moved)?;
    let same = |found: Result<Identity, Errno>| found.is_ok_and(|found| Identity::of(source) == Ok(found));
    let number = mount_id(mounted.as_fd()).map_err(refused("tell which mount it is"))?;
    if !same(Identity::of(&mounted)) || Ok(number) == mount_id(parent.as_fd()) {
        return Err(AttachError::Moved);
    }
    let place = entry(&mounted);
    let slaves = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(&place, slaves).map_err(refused("keep the volume's mounts inside the container"))?;
    if limits == Limits::default() {
        return Ok(mounted);
    }
    if has_mount_inside(number).map_err(refused("read the container's mount table"))? {
        return Err(AttachError::MountInside);
    }
    // A remount sets all flags, so those that the volume's own mount has are named again.
    let before = fstatvfs(&mounted).map_err(refused("read the volume's flags"))?.f_flag;
    let Forbidden { nosuid, nodev, noexec } = limits.forbidden;
    let mut flags = MountFlags::BIND;
    for (wanted, had, flag) in [
        (limits.read_only, StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (nosuid, StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (nodev, StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (noexec, StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        flags.set(flag, wanted || before.contains(had));
    }
    mount_remount(&place, flags, "").map_err(refused("restrict the volume's mount"))?;
    Ok(mounted)
}

/// Whether the mount with this number has another one on it.
fn has_mount_inside(number: u64) -> Result<bool, Errno> {
    let table =
        fs::read("/proc/thread-self/mountinfo").map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let number = number.to_string();
    let mut lines = table.split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.split(|byte| *byte == b' ').nth(1) == Some(number.as_bytes())))
}
