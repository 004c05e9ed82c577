//! What the records ask of a file system, and what they count on.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

/// The file system under the records. [`super::LinuxDisk`] is the real one; a simulator may have
/// one that loses, tears and fails.
///
/// # What is counted on
/// * After the end of the process, everything it did is there; only a power cut (a reboot, a kernel
///   that panics) loses.
/// * What was written to a file survives a power cut once [`Self::sync_all`] returned. Until then a
///   power cut leaves all of it, some of it, zeros, or nothing.
/// * What was done to a name (made, renamed onto, removed) survives a power cut once
///   [`Self::sync_folder`] of its folder returned. Until then each name is as it was before or
///   after any of the changes, whatever became of other names.
/// * A rename within a folder replaces the old file by the new one at once: a reader always sees
///   one of the two.
/// * A sync that failed says nothing, and a second one of the same file proves nothing (Linux
///   reports a lost write once): the records never sync a file again, they write another one.
pub trait Disk: fmt::Debug {
    /// A file being written; it is closed when dropped.
    type File;
    /// A lock on a file; it is released when dropped.
    type Lock: fmt::Debug;

    /// Makes a folder that only its owner can enter.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, `NotFound` when the folder around it is not there.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file against other processes, making it when it is not there; `None` when another
    /// process holds it. `holder` is written into it for people, when that can be done.
    ///
    /// # Errors
    /// When it can neither be opened nor made.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Option<Self::Lock>>;

    /// The names in a folder.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// The bytes of a file, at most `limit` of them. What is no plain file is refused: a symbolic
    /// link is not followed, a pipe is not waited for.
    ///
    /// # Errors
    /// `NotFound` when it is not there; any other when it cannot be read.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Opens a file for writing that only its owner can read, empty, whether or not it was there.
    ///
    /// # Errors
    /// When it cannot be made.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// When some of it could not be written.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written to each file survive a power cut; the answers are in the order of the
    /// files. Several at once cost little more than one.
    ///
    /// # Errors
    /// For each file for which that is not certain.
    fn sync_all(&self, files: &[&Self::File]) -> Vec<io::Result<()>>;

    /// Gives a file another name, in place of the file that had it.
    ///
    /// # Errors
    /// When nothing was renamed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` when it is not there; any other when it could not be removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes what was done to the names in a folder survive a power cut.
    ///
    /// # Errors
    /// When that is not certain.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}
