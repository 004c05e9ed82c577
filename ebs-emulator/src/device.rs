//! Loop devices: made with losetup, believed only when the kernel shows them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use crate::error::StorageError;

/// How often a free device is looked for: another process may take it between the look and the grasp.
const ATTEMPTS: u32 = 10;

/// How long the kernel may take to show that a device is free after the last close.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// What `/sys/block/*/loop/backing_file` ends in when the file is gone.
const DELETED: &[u8] = b" (deleted)";

/// Runs a program and returns its standard output.
///
/// # Errors
/// [`StorageError::Command`] with the command line and the program's last words.
pub(crate) fn run(command: &mut Command) -> Result<String, StorageError> {
    let line = format!("{command:?}").replace('"', "");
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            return Err(StorageError::Command {
                command: line,
                reason: error.to_string(),
            });
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message");
    Err(StorageError::Command {
        command: line,
        reason: format!("{last} ({})", output.status),
    })
}

/// Makes a loop device of `image` and returns it. A device that has the file already is returned as it is.
///
/// # Errors
/// [`StorageError::Command`] when losetup fails repeatedly.
pub(crate) fn attach(image: &Path) -> Result<PathBuf, StorageError> {
    let mut attempt = 1;
    loop {
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--nooverlap"]).arg(image);
        match run(&mut losetup) {
            Ok(device) => return Ok(PathBuf::from(device)),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(10 * u64::from(attempt))),
        }
        attempt += 1;
    }
}

/// Frees the device of `image`, and returns once the kernel shows that it is free.
///
/// `losetup -d` on a device that is in use succeeds and frees it at some later time; that is no detach, so a
/// device that somebody holds (a mount in another mount namespace, a process that has it open) is left alone.
///
/// # Errors
/// `Ok(Err(reason))` when the device is in use; it stays attached. [`StorageError`] when the system refuses.
pub(crate) fn detach(device: &Path, image: &Path) -> Result<Result<(), String>, StorageError> {
    if attached().get(device).is_none_or(|file| file != image) {
        return Ok(Ok(()));
    }
    // Linux: O_EXCL without O_CREAT on a block device fails with EBUSY while anyone has it mounted or claimed.
    match rustix::fs::open(device, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
        Ok(descriptor) => drop(descriptor),
        Err(rustix::io::Errno::BUSY) => return Ok(Err("a mount in another mount namespace holds it".into())),
        Err(errno) => return Err(StorageError::io(format!("open {}", device.display()))(errno.into())),
    }
    run(Command::new("losetup").arg("--detach").arg(device))?;
    let limit = Instant::now() + RELEASE_LIMIT;
    while attached().get(device).is_some_and(|file| file == image) {
        if Instant::now() >= limit {
            return Ok(Err("a process has it open".into()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Ok(()))
}

/// Lets the kernel free a device that is in use when it is closed for the last time.
///
/// # Errors
/// [`StorageError::Command`] when losetup fails.
pub(crate) fn free_after_last_use(device: &Path) -> Result<(), StorageError> {
    run(Command::new("losetup").arg("--detach").arg(device)).map(drop)
}

/// Every loop device in use, with the file behind it.
pub(crate) fn attached() -> BTreeMap<PathBuf, PathBuf> {
    let mut devices = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return devices;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b"loop") {
            continue;
        }
        // A free device has no `loop` folder; it may also become free while we look.
        let Ok(mut file) = fs::read(entry.path().join("loop/backing_file")) else {
            continue;
        };
        while file.last() == Some(&b'\n') {
            file.pop();
        }
        if file.ends_with(DELETED) {
            file.truncate(file.len() - DELETED.len());
        }
        devices.insert(
            Path::new("/dev").join(name),
            PathBuf::from(std::ffi::OsString::from_vec(file)),
        );
    }
    devices
}
