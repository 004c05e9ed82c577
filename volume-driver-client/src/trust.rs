//! Whose files are trusted. A driver mounts as root, so only root and the user of this process may
//! choose the address to connect to.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Refuses a socket or spec file that another user could have put there or can change.
///
/// The file must belong to root or to us, and only its owner and group may write it: a group of a socket, such as `docker`, is the
/// administrator's choice. Its folder must belong to root or to us and be writable by no other user and no group but root's
/// and ours; a folder further up may be if it is sticky, as `/tmp` is.
///
/// # Errors
/// Which file or folder is writable by whom, and what to do.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    check_file(path)?;
    // A symbolic link moves the question to where it points.
    let resolved = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let ways: &[&Path] = if resolved == path { &[path] } else { &[path, &resolved] };
    for file in ways {
        for (depth, folder) in file.ancestors().skip(1).enumerate() {
            check_folder(folder, depth == 0)?;
        }
    }
    Ok(())
}

fn check_file(path: &Path) -> Result<(), String> {
    let meta = stat(path)?;
    check_owner(path, &meta)?;
    if meta.mode() & OTHERS_WRITE != 0 {
        return Err(format!(
            "{} can be written by every user (mode {:03o}): chmod o-w it",
            path.display(),
            meta.mode() & 0o7777
        ));
    }
    Ok(())
}

fn check_folder(path: &Path, is_parent: bool) -> Result<(), String> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let meta = stat(path)?;
    check_owner(path, &meta)?;
    if !is_parent && meta.mode() & STICKY != 0 {
        return Ok(());
    }
    let our_group = rustix::process::getegid().as_raw();
    let foreign_group = meta.gid() != 0 && meta.gid() != our_group;
    if meta.mode() & OTHERS_WRITE != 0 || (foreign_group && meta.mode() & GROUP_WRITE != 0) {
        return Err(format!(
            "the folder {} can be written by others (mode {:03o}, group {}), who could put a driver of their own there: \
             chmod go-w it",
            path.display(),
            meta.mode() & 0o7777,
            meta.gid()
        ));
    }
    Ok(())
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), String> {
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() == 0 || meta.uid() == us {
        return Ok(());
    }
    Err(format!(
        "{} belongs to user {}, neither to root nor to user {us}, who uses it",
        path.display(),
        meta.uid()
    ))
}

fn stat(path: &Path) -> Result<Metadata, String> {
    fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))
}
