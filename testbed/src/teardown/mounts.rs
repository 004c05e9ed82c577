//! Mounts and loop devices below a folder.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};

/// One line of a mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub target: PathBuf,
    /// The part of the filesystem that is mounted there.
    pub root: PathBuf,
    /// The filesystem's type.
    pub kind: String,
    /// The device or whatever the filesystem calls its source.
    pub source: PathBuf,
    /// The options of the filesystem, comma separated.
    pub options: String,
}

/// The mount table of this process' mount namespace, oldest mount first.
///
/// # Errors
/// `/proc` is not mounted.
pub fn mounts() -> io::Result<Vec<Mount>> {
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(table.split(|&byte| byte == b'\n').filter_map(parse).collect())
}

/// The mounts at or below `folder`, oldest first.
///
/// # Errors
/// As [`mounts`].
pub fn mounts_below(folder: &Path) -> io::Result<Vec<Mount>> {
    Ok(mounts()?
        .into_iter()
        .filter(|mount| mount.target.starts_with(folder))
        .collect())
}

/// `id parent dev root target options [optional]... - type source options`, blanks inside a field as `\040`.
fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let dash = fields.iter().position(|field| field == b"-")?;
    let text = |index: usize| fields.get(index).map(|field| unescape(field));
    Some(Mount {
        root: text(3)?.into(),
        target: text(4)?.into(),
        kind: text(dash + 1)?.to_string_lossy().into_owned(),
        source: text(dash + 2)?.into(),
        options: text(dash + 3)?.to_string_lossy().into_owned(),
    })
}

fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal {
            Some(digits) => {
                bytes.push(
                    digits
                        .iter()
                        .fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')),
                );
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// Unmounts everything at or below `folder`, newest first. A mount that is still busy is taken out of the tree
/// (MNT_DETACH) and named: what kept it busy should have been ended before.
pub(super) fn unmount_below(folder: &Path, problems: &mut Vec<String>) {
    unmount_where(|mount| mount.target.starts_with(folder), problems);
}

/// How long a loop device may stay attached after it was unmounted here.
const RELEASED: Duration = Duration::from_secs(20);

/// Detaches every loop device whose backing file is below `folder`, after unmounting it wherever it is mounted.
///
/// A container of another agent that was started meanwhile has copies of this namespace's private mounts, and keeps
/// the device attached until it ends: this waits for that.
pub(super) fn detach_loops_below(folder: &Path, problems: &mut Vec<String>) {
    let deadline = Instant::now() + RELEASED;
    let mut said = String::new();
    loop {
        let left = loops_below(folder);
        if left.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            return problems.push(format!("loop devices {left:?} are still attached{said}"));
        }
        for device in left {
            unmount_where(|mount| mount.source == device, problems);
            // It may be gone by itself before this comes: then losetup fails, and the next look finds none.
            said = match Command::new("losetup").arg("--detach").arg(&device).output() {
                Ok(output) if output.status.success() => String::new(),
                Ok(output) => format!(": {}", String::from_utf8_lossy(&output.stderr).trim()),
                Err(error) => format!(": cannot run losetup: {error}"),
            };
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The loop devices whose backing file is at or below `folder`.
pub fn loops_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            // Ends in " (deleted)" when the file is gone; then too it begins with the folder.
            fs::read_to_string(entry.path().join("loop/backing_file"))
                .is_ok_and(|file| Path::new(file.trim_end()).starts_with(folder))
        })
        .map(|entry| Path::new("/dev").join(entry.file_name()))
        .collect()
}

fn unmount_where(mut wanted: impl FnMut(&Mount) -> bool, problems: &mut Vec<String>) {
    let table = match mounts() {
        Ok(table) => table,
        Err(error) => return problems.push(format!("cannot read the mount table: {error}")),
    };
    for mount in table.iter().rev().filter(|mount| wanted(mount)) {
        let target = &mount.target;
        let Err(errno) = unmount(target, UnmountFlags::NOFOLLOW) else {
            continue;
        };
        // Unmounting a shared mount takes its peers along, so a later line may be gone already.
        if errno == rustix::io::Errno::INVAL || errno == rustix::io::Errno::NOENT {
            continue;
        }
        match unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH) {
            Ok(()) => problems.push(format!("{} was busy ({errno}) and is detached", target.display())),
            Err(errno) => problems.push(format!("{} is still mounted: {errno}", target.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_blank_in_its_path_is_read() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402/x rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.target, Path::new("/mnt 2/x"));
        assert_eq!((mount.kind.as_str(), mount.root.to_str().unwrap()), ("ext3", "/mnt1"));
        assert_eq!(mount.source, Path::new("/dev/root"));
    }

    #[test]
    fn a_backslash_that_is_no_escape_stays() {
        assert_eq!(unescape(br"a\b\134c"), OsString::from(r"a\b\c"));
    }
}
