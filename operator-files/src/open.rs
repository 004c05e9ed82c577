//! Opens a path step by step, so that each folder and each symlink on the way is checked before it is used.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::read::Problem;

/// The kernel follows as many symlinks on one path.
const MAX_SYMLINKS: usize = 40;

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The folder that holds the last component of a path, the component itself, and where both are without symlinks.
pub(crate) struct Place {
    pub(crate) folder: OwnedFd,
    pub(crate) name: OsString,
    pub(crate) path: PathBuf,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What is in it is believed. A symlink at its path is followed.
    Read,
    /// Lines are added to it. A symlink at its path is refused.
    Append,
}

/// Finds the place of a file.
///
/// Each folder and each symlink on the way must belong to root or to the user of this process. A folder on the way to a file
/// that is read must not be writable by another user or by a group other than root's and this process's own, unless it is
/// sticky, as `/tmp` is: there only the owner of a file can replace it, and the owner of the file is checked as well. A folder on
/// the way to a file that is appended to may be writable by a group, as Ubuntu's `/var/log` is: what a member of the group puts
/// there is the member's own, which is refused.
pub(crate) fn place(path: &Path, purpose: Purpose) -> Result<Place, Problem> {
    let mut folder = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut at = PathBuf::from("/");
    check_folder(&fstat(&folder)?, &at, purpose)?;
    let mut steps: VecDeque<OsString> = VecDeque::new();
    if !path.is_absolute() {
        let here = std::env::current_dir().map_err(|error| Problem::System(error.to_string()))?;
        steps.extend(names(&here));
    }
    steps.extend(names(path));
    let mut symlinks = 0;
    while let Some(step) = steps.pop_front() {
        let stat = match statat(&folder, &*step, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) if steps.is_empty() => {
                return Ok(Place {
                    folder,
                    path: at.join(&step),
                    name: step,
                });
            }
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink if !steps.is_empty() || purpose == Purpose::Read => {
                symlinks += 1;
                if symlinks > MAX_SYMLINKS {
                    return Err(Errno::LOOP.into());
                }
                let link = at.join(&step);
                check_owner(&stat, &link)?;
                let target = readlinkat(&folder, &*step, Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    folder = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                    at = PathBuf::from("/");
                }
                for name in names(&target).into_iter().rev() {
                    steps.push_front(name);
                }
            }
            FileType::Directory if !steps.is_empty() => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                folder = openat(&folder, &*step, flags, Mode::empty())?;
                match step.as_bytes() {
                    b".." => drop(at.pop()),
                    _ => at.push(&step),
                }
                check_folder(&fstat(&folder)?, &at, purpose)?;
            }
            _ if steps.is_empty() => {
                return Ok(Place {
                    folder,
                    path: at.join(&step),
                    name: step,
                });
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    // The path is `/`, or ends in a folder that a symlink names as `.`.
    Err(Problem::NotRegular("a folder"))
}

/// Who may write to a file, and who owns it.
pub(crate) fn check_file(stat: &Stat, path: &Path) -> Result<(), Problem> {
    check_owner(stat, path)?;
    // An ordinary user's own group holds, by the custom of most distributions, nobody else.
    let own_group = !rustix::process::geteuid().is_root() && stat.st_gid == rustix::process::getegid().as_raw();
    if stat.st_mode & OTHERS_WRITE != 0 || (stat.st_mode & GROUP_WRITE != 0 && !own_group) {
        return Err(Problem::Writable {
            mode: stat.st_mode & 0o7777,
        });
    }
    Ok(())
}

fn check_folder(stat: &Stat, path: &Path, purpose: Purpose) -> Result<(), Problem> {
    check_owner(stat, path)?;
    if stat.st_mode & STICKY != 0 {
        return Ok(());
    }
    let foreign_group =
        purpose == Purpose::Read && stat.st_gid != 0 && stat.st_gid != rustix::process::getegid().as_raw();
    if stat.st_mode & OTHERS_WRITE != 0 || (foreign_group && stat.st_mode & GROUP_WRITE != 0) {
        return Err(Problem::FolderWritable {
            folder: path.to_owned(),
            mode: stat.st_mode & 0o7777,
            group: stat.st_gid,
        });
    }
    Ok(())
}

fn check_owner(stat: &Stat, path: &Path) -> Result<(), Problem> {
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid == 0 || stat.st_uid == us {
        return Ok(());
    }
    Err(Problem::Owner {
        path: path.to_owned(),
        owner: stat.st_uid,
        us,
    })
}

/// The components of a path that are to be walked; `.` and the root have none.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.map(OsStr::to_owned).collect()
}

/// What stands at a path, for a message.
pub(crate) fn kind(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symlink",
        _ => "of an unknown type",
    }
}
