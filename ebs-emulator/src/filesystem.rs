//! File systems: looked for, made once, mounted and unmounted for real.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use procfs::process::{MountInfo, Process};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::device::run;
use crate::error::StorageError;

/// The folder of a volume that is handed out, below the root of its file system, as REX-Ray has it: so a task does
/// not see `lost+found`.
pub(crate) const DATA_DIR: &str = "data";

/// The mode of a new data folder.
///
/// REX-Ray makes it 0700 and sets that again at every mount, which locks out tasks that do not run as root and undoes
/// what an owner has set. Here it is made once, like the root of a fresh file system, and left alone.
const DATA_MODE: u32 = 0o755;

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: the image has no block with data.
    Blank,
    /// A file system of this type.
    FileSystem(String),
    /// Something else: an encrypted volume, a volume group member, a partition table, or bytes of no known form.
    Other(String),
}

/// Says what `device`, backed by `image`, holds. Reads only.
///
/// # Errors
/// [`StorageError`] when blkid or the image cannot be read.
pub(crate) fn probe(device: &Path, image: &Path) -> Result<Found, StorageError> {
    let file = File::open(image).map_err(StorageError::io(format!("open {}", image.display())))?;
    match rustix::fs::seek(&file, SeekFrom::Data(0)) {
        Err(Errno::NXIO) => return Ok(Found::Blank),
        Err(errno) => {
            return Err(StorageError::io(format!("look for data in {}", image.display()))(
                errno.into(),
            ));
        }
        Ok(_) => {}
    }
    let mut blkid = Command::new("blkid");
    blkid.args(["--probe", "--output", "export"]).arg(device);
    let output = blkid.output().map_err(|error| StorageError::Command {
        command: "blkid --probe".into(),
        reason: error.to_string(),
    })?;
    // blkid: exit code 2 when nothing was recognised, 8 when several things were.
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(match (value("USAGE"), value("TYPE")) {
        (Some("filesystem"), Some(kind)) => Found::FileSystem(kind.to_owned()),
        (_, Some(kind)) => Found::Other(kind.to_owned()),
        (_, None) => match value("PTTYPE") {
            Some(table) => Found::Other(format!("a {table} partition table")),
            None => Found::Other("data of no known form".into()),
        },
    })
}

/// Makes an ext4 file system, quickly: tables are zeroed later by the kernel, and the sparse image stays sparse.
///
/// # Errors
/// [`StorageError::Command`].
pub(crate) fn make_ext4(device: &Path) -> Result<(), StorageError> {
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-m", "0", "-J", "size=4"]);
    mkfs.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"])
        .arg(device);
    run(&mut mkfs).map(drop)
}

/// Mounts `device` at `folder`, which is made if missing, and makes the data folder in it. Returns the data folder.
///
/// # Errors
/// [`StorageError::Io`]; then nothing is mounted.
pub(crate) fn mount(device: &Path, folder: &Path, kind: &str) -> Result<PathBuf, StorageError> {
    fs::create_dir_all(folder).map_err(StorageError::io(format!("make {}", folder.display())))?;
    rustix::mount::mount(device, folder, kind, MountFlags::empty(), None).map_err(|errno| {
        let action = format!("mount {} ({kind}) at {}", device.display(), folder.display());
        StorageError::io(action)(errno.into())
    })?;
    let data = folder.join(DATA_DIR);
    let made = match fs::create_dir(&data) {
        Ok(()) => fs::set_permissions(&data, fs::Permissions::from_mode(DATA_MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    match made.map_err(StorageError::io(format!("make {}", data.display()))) {
        Ok(()) => Ok(data),
        Err(error) => Err(error.undone(unmount(folder))),
    }
}

/// Unmounts what is mounted at `folder`. Never lazily: that would leave the device busy behind a success.
///
/// # Errors
/// [`StorageError::Io`], such as `EBUSY` while a process works in it; then it is still mounted.
pub(crate) fn unmount(folder: &Path) -> Result<(), StorageError> {
    rustix::mount::unmount(folder, UnmountFlags::NOFOLLOW)
        .map_err(|errno| StorageError::io(format!("umount {}", folder.display()))(errno.into()))
}

/// Removes a mount point nothing is mounted at; one that holds files is left alone, as is one that is gone.
///
/// Not before the volume is detached: removing a folder makes Linux drop the mounts that other mount namespaces have on
/// it, which would hide that they kept the device busy.
///
/// # Errors
/// [`StorageError::Io`].
pub(crate) fn remove_mount_point(folder: &Path) -> Result<(), StorageError> {
    match fs::remove_dir(folder) {
        Err(error) if !matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => {
            Err(StorageError::io(format!("remove {}", folder.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Makes `folder`, as a shared mount of its own unless it is a mount already.
///
/// # Errors
/// [`StorageError::Io`].
pub(crate) fn make_shared(folder: &Path) -> Result<(), StorageError> {
    fs::create_dir_all(folder).map_err(StorageError::io(format!("make {}", folder.display())))?;
    let folder = folder
        .canonicalize()
        .map_err(StorageError::io(format!("resolve {}", folder.display())))?;
    let sharing = |errno: Errno| StorageError::io(format!("make {} a shared mount", folder.display()))(errno.into());
    if !is_mount_point(&folder)? {
        rustix::mount::mount_bind(&folder, &folder).map_err(sharing)?;
    }
    rustix::mount::mount_change(&folder, MountPropagationFlags::SHARED).map_err(sharing)
}

/// Undoes [`make_shared`], if it was done.
///
/// # Errors
/// [`StorageError::Io`], such as `EBUSY` while something is mounted below.
pub(crate) fn stop_sharing(folder: &Path) -> Result<(), StorageError> {
    let Ok(folder) = folder.canonicalize() else {
        return Ok(());
    };
    if is_mount_point(&folder)? {
        unmount(&folder)
    } else {
        Ok(())
    }
}

fn is_mount_point(folder: &Path) -> Result<bool, StorageError> {
    Ok(mount_table()?
        .iter()
        .any(|mount| unescape(&mount.mount_point) == folder))
}

/// Where `device` is mounted in this mount namespace, oldest first.
///
/// # Errors
/// [`StorageError::Io`] when `/proc/self/mountinfo` or the device's number cannot be read.
pub(crate) fn mount_points(device: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let number = device_number(device)?;
    let of_device = mount_table()?.into_iter().filter(|mount| mount.majmin == number);
    Ok(of_device.map(|mount| unescape(&mount.mount_point)).collect())
}

fn mount_table() -> Result<Vec<MountInfo>, StorageError> {
    let table = Process::myself().and_then(|process| process.mountinfo());
    let table = table.map_err(|error| StorageError::io("read /proc/self/mountinfo")(std::io::Error::other(error)))?;
    Ok(table.0)
}

/// The `major:minor` of a block device.
fn device_number(device: &Path) -> Result<String, StorageError> {
    let name = device.file_name().unwrap_or_default();
    let path = Path::new("/sys/block").join(name).join("dev");
    let text = fs::read_to_string(&path).map_err(StorageError::io(format!("read {}", path.display())))?;
    Ok(text.trim().to_owned())
}

/// The kernel writes blank, tab, newline and backslash in mountinfo as `\` and three octal digits.
fn unescape(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        };
        match tail.get(..3).and_then(octal) {
            Some(byte) if first == b'\\' => {
                plain.push(byte);
                rest = &tail[3..];
            }
            _ => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_escapes_are_undone() {
        assert_eq!(unescape(Path::new("/a\\040b\\134c/\\011")), Path::new("/a b\\c/\t"));
        assert_eq!(unescape(Path::new("/plain\\9/x\\04")), Path::new("/plain\\9/x\\04"));
    }
}
