//! Reads a file as a whole, bounded in size and without waiting for anybody.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use thiserror::Error;

use crate::open::{Purpose, check_file, kind, place};

/// The permission of every user of the host to read a file.
const OTHERS_READ: u32 = 0o004;

/// A file that cannot be used. The text is one line that names the file, the cause and the remedy.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// The file, as the caller names it.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// The kernel's own words.
    #[error("{0}")]
    System(String),
    /// A device, FIFO, socket or folder, which may block or never end.
    #[error("it is {0}, not a regular file: put a regular file in its place")]
    NotRegular(&'static str),
    /// Another user owns the file, or a folder or symlink on the way to it.
    #[error(
        "{} belongs to user {owner}, neither to root nor to user {us}, who reads it: chown it, or copy the file to a folder of \
         your own",
        path.display()
    )]
    Owner {
        /// What belongs to the other user.
        path: PathBuf,
        /// The other user's id.
        owner: u32,
        /// The id of this process's user.
        us: u32,
    },
    /// The file's mode lets others than its owner write to it.
    #[error("its mode {mode:o} lets others than its owner write to it: chmod go-w it")]
    Writable {
        /// The permission bits.
        mode: u32,
    },
    /// The mode of a file with a secret lets every user of this host read it.
    #[error("its mode {mode:o} lets every user of this host read it: chmod o-rwx it")]
    Readable {
        /// The permission bits.
        mode: u32,
    },
    /// The mode of a folder on the way lets others replace what is in it.
    #[error(
        "the folder {} has mode {mode:o} and group {group}, which lets others replace the file: chmod go-w it",
        folder.display()
    )]
    FolderWritable {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its group's id.
        group: u32,
    },
    /// The file is longer than its kind ever is.
    #[error("it has more than {0} bytes: name the right file")]
    TooLong(u64),
    /// The file is not text.
    #[error("it is not UTF-8 text: name the right file")]
    NotText,
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        // `Errno` prints as the kernel's words with the number, as `std::io::Error` does.
        Problem::System(std::io::Error::from(error).to_string())
    }
}

impl Problem {
    /// The problem with the file that has it.
    pub(crate) fn of(self, path: &Path) -> FileError {
        FileError {
            path: path.to_owned(),
            problem: self,
        }
    }
}

/// Reads a file that must be in the hands of root and of this process's user alone: a regular file of one of these two, to which
/// nobody else can write, reached through folders in which nobody else can replace it. Symlinks are followed as long as they
/// belong to one of the two.
///
/// Nothing that stands at the path blocks this call: a FIFO or device is opened without waiting and refused.
///
/// # Errors
/// One line that names the file, what is wrong with it, and the remedy.
pub fn read(path: &Path, max_bytes: u64) -> Result<String, FileError> {
    text(read_bytes(path, max_bytes)?, path)
}

/// As [`read`], for a secret: users other than the owner and the members of the file's group must
/// not be able to read the file.
///
/// # Errors
/// One line that names the file, what is wrong with it, and the remedy.
pub fn read_secret(path: &Path, max_bytes: u64) -> Result<String, FileError> {
    let bytes = open_checked(path).and_then(|file| {
        let mode = fstat(&file)?.st_mode & 0o7777;
        match mode & OTHERS_READ {
            0 => whole(file, max_bytes),
            _ => Err(Problem::Readable { mode }),
        }
    });
    text(bytes.map_err(|problem| problem.of(path))?, path)
}

/// As [`read`], for a file that may not be UTF-8.
///
/// # Errors
/// One line that names the file, what is wrong with it, and the remedy.
pub fn read_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    open_checked(path)
        .and_then(|file| whole(file, max_bytes))
        .map_err(|problem| problem.of(path))
}

/// Reads a file that the caller of a command line names and whose author does not matter: a job file, a definition. It must be
/// a regular file of at most `max_bytes` bytes.
///
/// # Errors
/// One line that names the file, what is wrong with it, and the remedy.
pub fn read_given(path: &Path, max_bytes: u64) -> Result<String, FileError> {
    text(read_given_bytes(path, max_bytes)?, path)
}

/// As [`read_given`], for a file that may not be UTF-8.
///
/// # Errors
/// One line that names the file, what is wrong with it, and the remedy.
pub fn read_given_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let open = || {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        regular(&file)?;
        whole(File::from(file), max_bytes)
    };
    open().map_err(|problem: Problem| problem.of(path))
}

/// The file's metadata as [`read`] finds the file, without reading it.
pub(crate) fn metadata(path: &Path) -> Result<Metadata, Problem> {
    let place = place(path, Purpose::Read)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(&place.folder, &*place.name, flags, Mode::empty())?);
    file.metadata().map_err(|error| Problem::System(error.to_string()))
}

fn open_checked(path: &Path) -> Result<File, Problem> {
    let place = place(path, Purpose::Read)?;
    // Whatever stands there now is looked at before it is opened for reading: to open a device can have effects.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(&place.folder, &*place.name, flags, Mode::empty())?;
    regular(&found)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(&place.folder, &*place.name, flags, Mode::empty())?;
    regular(&file)?;
    check_file(&fstat(&file)?, &place.path)?;
    Ok(File::from(file))
}

fn regular(file: &impl std::os::fd::AsFd) -> Result<(), Problem> {
    let stat = fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Problem::NotRegular(kind(&stat))),
    }
}

/// What is in a file. The size that the kernel reports is not believed: files of `/proc` report none.
fn whole(file: File, max_bytes: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    file.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Problem::System(error.to_string()))?;
    if bytes.len() as u64 > max_bytes {
        return Err(Problem::TooLong(max_bytes));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|_| Problem::NotText.of(path))
}
