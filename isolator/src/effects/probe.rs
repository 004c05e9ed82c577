//! One look at a mounted volume: touches its mountpoint and its device, so it may hang for as long as they do.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Advice, OFlags, StatVfs, fadvise, fstat, fstatvfs, major, minor};
use rustix::io::Errno;

use super::binding::Source;

/// An error has to show twice, this far apart: a path that fails over answers wrongly once.
const AGAIN: Duration = Duration::from_millis(200);
/// What is read of a device.
const BLOCK: u64 = 4096;
/// A file system is full when less than one part in so many is left of it.
const LEFT: u64 = 1000;

/// What was seen of a volume that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vitals {
    Well,
    /// What it is out of: `space` or `inodes`.
    Full(&'static str),
}

/// Asks the file system, and reads a block of the device that it lies on, if there is one.
///
/// # Errors
/// The kernel's answer to the second attempt, when both fail.
pub(super) fn examine(mountpoint: &Path, directory_backed: bool) -> Result<Vitals, Errno> {
    match look(mountpoint, directory_backed) {
        // Another process was in the way; that says nothing of the volume.
        Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => Ok(Vitals::Well),
        Err(_) => {
            thread::sleep(AGAIN);
            look(mountpoint, directory_backed)
        }
        well => well,
    }
}

/// Opens the folder as a mount for a container does, so that nothing in the volume's content leads to another folder.
fn look(mountpoint: &Path, directory_backed: bool) -> Result<Vitals, Errno> {
    let opened = Source::named(mountpoint, directory_backed).and_then(|source| source.open());
    // Where the mount table cannot be read the descriptors have run out, which says nothing of the volume.
    let folder = opened.map_err(|problem| problem.cause().unwrap_or(Errno::MFILE))?;
    let room = fstatvfs(&folder)?;
    // A file system that was shut down may still count its blocks, and does not know its root any more (XFS).
    let root = fstat(&folder)?;
    if !directory_backed {
        read_device(root.st_dev)?;
    }
    Ok(vitals(&room, major(root.st_dev) != 0))
}

fn vitals(room: &StatVfs, on_device: bool) -> Vitals {
    // Where nothing is counted nothing is full: drivers that do not know say 0.
    let spent = |left: u64, all: u64| all > 0 && left < all.div_ceil(LEFT);
    if spent(room.f_bavail, room.f_blocks) {
        Vitals::Full("space")
    } else if on_device && spent(room.f_favail, room.f_files) {
        // Others make the number up: rclone never has an inode left.
        Vitals::Full("inodes")
    } else {
        Vitals::Well
    }
}

/// Reads the last block of a device: what a file system has in memory shows no failing disk, and a device that was cut short
/// lacks its end. Not `O_DIRECT`: a process that waits for such a read cannot be killed, and the agent must be.
///
/// A device that cannot be found or opened is no news, except one that is gone from the host.
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
    let is_it = file
        .metadata()
        .is_ok_and(|found| found.file_type().is_block_device() && found.rdev() == device);
    let Some(last) = known.bytes.checked_sub(BLOCK).filter(|_| is_it) else {
        return Ok(());
    };
    let last = last / BLOCK * BLOCK;
    // A block from memory proves nothing. Failing to forget it costs one look.
    let forget = || fadvise(&file, last, NonZeroU64::new(BLOCK), Advice::DontNeed).is_ok();
    let alone = fadvise(&file, 0, None, Advice::Random).is_ok() && forget();
    let read = file.read_exact_at(&mut [0; BLOCK as usize], last);
    let forgotten = forget();
    tracing::trace!(device = %known.node.display(), alone, forgotten, "a block read");
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
                // Pulled out: the file system that was on it lives on in memory.
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
    fn a_mount_without_a_device_is_well() {
        assert_eq!(examine(Path::new("/dev/shm"), false), Ok(Vitals::Well));
    }

    /// A task can put a symlink in the place of the folder that the driver names inside its mount.
    #[test]
    fn a_symlink_in_a_volume_does_not_lead_the_look_to_a_folder_of_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        mount("volume", &at, "tmpfs", MountFlags::empty(), None).unwrap();
        symlink("/dev/shm", at.join("data")).unwrap();
        let seen = examine(&at.join("data"), false);
        unmount(&at, UnmountFlags::DETACH).unwrap();
        assert_eq!(seen, Err(Errno::LOOP));
    }

    #[test]
    fn the_disk_that_this_runs_from_is_well() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(examine(here, false).is_ok());
    }

    #[test]
    fn a_missing_folder_is_told_in_the_kernels_words() {
        assert_eq!(examine(Path::new("/nonexistent/volume"), false), Err(Errno::NOENT));
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
            vitals(&room, true)
        };
        assert_eq!(counted((2, 2000), (2, 2000)), Vitals::Well);
        assert_eq!(counted((1, 2000), (2, 2000)), Vitals::Full("space"));
        assert_eq!(counted((2, 2000), (1, 2000)), Vitals::Full("inodes"));
        assert_eq!(counted((0, 10), (0, 0)), Vitals::Full("space"));
        assert_eq!(counted((0, 0), (0, 0)), Vitals::Well);
    }
}
