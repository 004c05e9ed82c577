//! Opens a file to which lines are appended, such as an audit log.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, openat};

use crate::open::{Place, Purpose, check_file, kind, place};
use crate::read::{FileError, Problem};

/// Opens a file for appending, and makes it with `mode` when it is missing. It must be a regular file of root or of this
/// process's user that nobody else can write to, and it must not be a symlink. What stands there instead neither blocks the call
/// nor is changed.
///
/// # Errors
/// One line that names the file, what is wrong with it, and the remedy.
pub fn append(path: &Path, mode: u32) -> Result<File, FileError> {
    open(path, mode).map_err(|problem| problem.of(path))
}

fn open(path: &Path, mode: u32) -> Result<File, Problem> {
    let place = place(path, Purpose::Append)?;
    if let Some(problem) = not_regular(&place) {
        return Err(problem);
    }
    // Something else may stand there by now. Without NONBLOCK the open of a FIFO waits for a reader. With it, the open fails when there is none.
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = openat(&place.folder, &*place.name, flags, Mode::from_raw_mode(mode))?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Problem::NotRegular(kind(&stat)));
    }
    check_file(&stat, &place.path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(File::from(file))
}

/// What stands at the place and is not a regular file.
fn not_regular(place: &Place) -> Option<Problem> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(&place.folder, &*place.name, flags, Mode::empty()).ok()?;
    let stat = fstat(&found).ok()?;
    (FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile).then(|| Problem::NotRegular(kind(&stat)))
}
