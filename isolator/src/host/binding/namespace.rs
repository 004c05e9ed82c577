//! Entering a container's mount namespace.

use std::os::fd::AsFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use volume_driver_client::Code;

use crate::host::descriptor::Identity;

/// Why a thread is not in the container's namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// The process has ended, or the kernel does not let the agent in.
    #[error("cannot enter the mount namespace of the container's process {pid}: {cause}")]
    Refused {
        /// The container's first process.
        pid: i32,
        /// The kernel's words.
        cause: Errno,
    },
    /// What is mounted there would be mounted on the host.
    #[error(
        "the container's process {0} has no mount namespace of its own, which volumes need: run the agent with --launcher=linux"
    )]
    Shared(i32),
}

impl NamespaceError {
    /// What programs decide by.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Refused { .. } => Code::Unreachable,
            Self::Shared(_) => Code::Unsupported,
        }
    }
}

/// Moves the calling thread into the mount namespace of process `pid`. It stays there: the thread
/// sees the container's mounts from now on and is of no use for anything else.
///
/// # Errors
/// When it stays where it is.
pub(super) fn enter(pid: i32) -> Result<(), NamespaceError> {
    let refused = |cause| NamespaceError::Refused { pid, cause };
    let open = |path: &str| openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let identity = |namespace: &_| Identity::of(namespace).map_err(refused);
    let theirs = open(&format!("/proc/{pid}/ns/mnt")).map_err(refused)?;
    let ours = open("/proc/thread-self/ns/mnt").map_err(refused)?;
    if identity(&theirs)? == identity(&ours)? {
        return Err(NamespaceError::Shared(pid));
    }
    leave_the_shared_root().map_err(refused)?;
    move_into_link_name_space(theirs.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(refused)
}

/// Gives the calling thread a root and a working directory of its own; the kernel changes no mount
/// namespace without.
#[allow(unsafe_code, reason = "unshare can part a thread from its descriptors")]
fn leave_the_shared_root() -> Result<(), Errno> {
    // SAFETY: The table of descriptors stays shared (no `UnshareFlags::FILES`), so every descriptor
    // keeps its meaning.
    unsafe { unshare_unsafe(UnshareFlags::FS) }
}
