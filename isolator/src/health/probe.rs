//! One probe of a mounted volume. It touches the mountpoint and the device, so it may hang for as
//! long as they do.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, OFlags, StatVfs, fadvise, fstat, fstatvfs, major, minor};
use rustix::io::Errno;

use crate::host::binding::Source;

/// An error counts when the kernel gives it twice, this far apart: during a failover of a storage
/// path one wrong answer is normal.
const PROBE_AGAIN: Duration = Duration::from_millis(200);
/// The bytes that are read from a device.
const BLOCK: u64 = 4096;
/// A file system is full when less than one part in this many is left.
const FULL: u64 = 1000;

/// The health of a volume that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// The file system is out of this: `space` or `inodes`.
    Full(&'static str),
}

/// Asks the file system for its state, and reads a block of its device if it has one.
///
/// # Errors
/// The kernel's answer to the second attempt, when both fail.
pub(super) fn probe(mountpoint: &Path, directory_backed: bool) -> Result<Health, Errno> {
    match probe_once(mountpoint, directory_backed) {
        // The host was short of something; that says nothing about the volume.
        Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => Ok(Health::Good),
        Err(_) => {
            thread::sleep(PROBE_AGAIN);
            probe_once(mountpoint, directory_backed)
        }
        healthy => healthy,
    }
}

/// Opens the folder as a mount for a container does, so that nothing in the volume's content leads
/// to another folder.
fn probe_once(mountpoint: &Path, directory_backed: bool) -> Result<Health, Errno> {
    let opened = Source::named(mountpoint, directory_backed).and_then(|source| source.open());
    // When the mount table cannot be read, the process has no descriptor left, which says nothing
    // about the volume.
    let folder = opened.map_err(|problem| problem.cause().unwrap_or(Errno::MFILE))?;
    let room = fstatvfs(&folder)?;
    // A file system that was shut down may still count its blocks, but no longer knows its root
    // (XFS).
    let root = fstat(&folder)?;
    if !directory_backed {
        read_device(root.st_dev)?;
    }
    Ok(health_of(&room, major(root.st_dev) != 0))
}

fn health_of(room: &StatVfs, on_device: bool) -> Health {
    // A driver that does not know the size says 0, which does not mean full.
    let spent = |left: u64, all: u64| all > 0 && left < all.div_ceil(FULL);
    if spent(room.f_bavail, room.f_blocks) {
        Health::Full("space")
    } else if on_device && spent(room.f_favail, room.f_files) {
        // Without a device the number is made up: rclone always reports that no inode is left.
        Health::Full("inodes")
    } else {
        Health::Good
    }
}

/// Reads the last block of a device: blocks in the page cache do not show that a disk fails, and a
/// device that was cut short lacks its end. The read is not `O_DIRECT`, because a process that
/// waits for such a read cannot be killed, and it must be possible to kill the agent.
///
/// A device that cannot be found or opened is no error, unless the host has lost it.
fn read_device(device: u64) -> Result<(), Errno> {
    if major(device) == 0 {
        // FUSE, NFS, Btrfs and the like have no device of their own.
        return Ok(());
    }
    let Some(known) = Device::of(device)? else {
        return Ok(());
    };
    let Ok(file) = fs::File::options()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed())
        .open(&known.node)
    else {
        return Ok(());
    };
    let is_same_device = file
        .metadata()
        .is_ok_and(|found| found.file_type().is_block_device() && found.rdev() == device);
    let Some(last) = known.bytes.checked_sub(BLOCK).filter(|_| is_same_device) else {
        return Ok(());
    };
    let last = last / BLOCK * BLOCK;
    // A cached block proves nothing. If the cache keeps it, this probe proves nothing, and no more.
    let forget = || fadvise(&file, last, NonZeroU64::new(BLOCK), Advice::DontNeed).is_ok();
    let alone = fadvise(&file, 0, None, Advice::Random).is_ok() && forget();
    let read = file.read_exact_at(&mut [0; BLOCK as usize], last);
    let forgotten = forget();
    tracing::trace!(device = %known.node.display(), alone, forgotten, "probed a device");
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Errno::IO),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        Ok(()) => Ok(()),
    }
}

/// A block device as sysfs shows it.
struct Device {
    node: PathBuf,
    bytes: u64,
}

impl Device {
    fn of(device: u64) -> Result<Option<Self>, Errno> {
        let all = Path::new("/sys/dev/block");
        let folder = all.join(format!("{}:{}", major(device), minor(device)));
        let Ok(event) = fs::read_to_string(folder.join("uevent")) else {
            return match (folder.try_exists(), all.try_exists()) {
                // The device was removed: the file system that was on it lives on in memory.
                (Ok(false), Ok(true)) => Err(Errno::NODEV),
                _ => Ok(None),
            };
        };
        let sectors = fs::read_to_string(folder.join("size")).ok();
        let sectors: Option<u64> = sectors.and_then(|text| text.trim().parse().ok());
        let name = event.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        Ok(name.zip(sectors).map(|(name, sectors)| Self {
            node: Path::new("/dev").join(name),
            bytes: sectors.saturating_mul(512),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::statvfs;
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    #[test]
    fn a_mount_without_a_device_is_healthy() {
        assert_eq!(probe(Path::new("/dev/shm"), false), Ok(Health::Good));
    }

    /// A task can put a symlink in the place of the folder that the driver names inside its mount.
    #[test]
    fn a_symlink_in_a_volume_does_not_lead_the_probe_to_a_folder_of_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        mount("volume", &at, "tmpfs", MountFlags::empty(), None).unwrap();
        symlink("/dev/shm", at.join("data")).unwrap();
        let seen = probe(&at.join("data"), false);
        unmount(&at, UnmountFlags::DETACH).unwrap();
        assert_eq!(seen, Err(Errno::LOOP));
    }

    #[test]
    fn the_disk_that_this_test_runs_from_is_healthy() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(probe(here, false).is_ok());
    }

    #[test]
    fn a_missing_folder_is_reported_in_the_kernels_words() {
        assert_eq!(probe(Path::new("/nonexistent/volume"), false), Err(Errno::NOENT));
    }

    #[test]
    fn a_device_that_the_host_does_not_have_is_gone() {
        assert_eq!(read_device(rustix::fs::makedev(4095, 1)), Err(Errno::NODEV));
    }

    #[test]
    fn a_file_system_is_full_when_it_counts_and_next_to_nothing_is_left() {
        let counted = |blocks: (u64, u64), files: (u64, u64)| {
            let mut room = statvfs("/").unwrap();
            (room.f_bavail, room.f_blocks) = blocks;
            (room.f_favail, room.f_files) = files;
            health_of(&room, true)
        };
        assert_eq!(counted((2, 2000), (2, 2000)), Health::Good);
        assert_eq!(counted((1, 2000), (2, 2000)), Health::Full("space"));
        assert_eq!(counted((2, 2000), (1, 2000)), Health::Full("inodes"));
        assert_eq!(counted((0, 10), (0, 0)), Health::Full("space"));
        assert_eq!(counted((0, 0), (0, 0)), Health::Good);
    }
}
