//! Taking volumes out of a sandbox on the host, where Docker was shown them.

use std::io;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::host::descriptor::{DIRECTORY, NO_LINKS, entry, open};
use crate::host::mount_table::MountTable;

/// Mounts one upon the other at one place. There is one; an agent that was killed while it bound
/// may have left another.
const MOST: usize = 16;

/// Unmounts whatever is mounted at this path, and nothing else: the way to it is followed without
/// symlinks.
///
/// It is taken out of sight at once; a process that still has a file of it open keeps the file
/// system busy.
///
/// # Errors
/// The kernel's answer, or that something is still mounted there.
pub(crate) fn unbind(target: &Path) -> io::Result<()> {
    for _ in 0..MOST {
        if !MountTable::read()?
            .mounts()
            .iter()
            .any(|mount| mount.mountpoint == target)
        {
            return Ok(());
        }
        let (Some(around), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Errno::INVAL.into());
        };
        let around = open(CWD, around, DIRECTORY, NO_LINKS)?;
        match unmount(entry(&around).join(name), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Mesos may have done it meanwhile.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("something is still mounted there"))
}

#[cfg(test)]
mod tests {
    use rustix::mount::{MountFlags, mount};

    use super::*;

    #[test]
    fn everything_at_the_path_is_unmounted_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder_path = folder.path().canonicalize().unwrap();
        let (target, beside) = (folder_path.join("data"), folder_path.join("other"));
        for path in [&target, &target, &beside] {
            std::fs::create_dir_all(path).unwrap();
            mount("unbind", path, "tmpfs", MountFlags::empty(), None).unwrap();
        }
        unbind(&target).unwrap();
        let table = MountTable::read().unwrap();
        let mounted = |path: &Path| table.mounts().iter().any(|mount| mount.mountpoint == path);
        assert!(!mounted(&target) && mounted(&beside));
        unbind(&target).unwrap();
        unmount(&beside, UnmountFlags::DETACH).unwrap();
    }
}
