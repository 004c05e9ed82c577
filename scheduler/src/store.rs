//! The folder a scheduler keeps its job in.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use durable_files::Durability;
use thiserror::Error;

use crate::plan::Plan;
use crate::state::{JobState, Millis, VERSION};

/// A folder that belongs to this process as long as it lives.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: File,
}

/// Why a folder cannot be used, or a state not be written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder cannot be made or opened.
    #[error("cannot use the state folder {}: {source}", path.display())]
    Folder {
        /// The state folder.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Another scheduler runs on it.
    #[error("the state folder {} is in use by another scheduler; end it first, or give another --state", path.display())]
    InUse {
        /// The state folder.
        path: PathBuf,
    },
    /// The state there cannot be read.
    #[error("cannot read {}: {reason}; tasks of its framework may still run", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause, in one line.
        reason: String,
    },
    /// It is the state of another job.
    #[error(
        "the state folder {} holds the job '{found}'{}; give another --state, or the job file it was begun with",
        path.display(),
        if found == given { ", begun with another job file or catalogue" } else { "" }
    )]
    AnotherJob {
        /// The state folder.
        path: PathBuf,
        /// The job in it.
        found: String,
        /// The job of the job file.
        given: String,
    },
    /// The state could not be made durable; the one before it is still there.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl Store {
    /// Makes the folder if need be and takes it for this process.
    ///
    /// # Errors
    /// The folder cannot be made or opened, or another scheduler has it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = || folder.to_owned();
        let open = || {
            // Job files may hold secrets; a folder that is there already keeps the mode its operator gave it.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            File::options().create(true).append(true).open(folder.join("lock"))
        };
        let lock = open().map_err(|source| StoreError::Folder { path: path(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: path(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path() }),
            Err(TryLockError::Error(source)) => Err(StoreError::Folder { path: path(), source }),
        }
    }

    /// The state of the job of `plan`: the one in the folder, or a new one when there is none. A new one is
    /// not yet written.
    ///
    /// # Errors
    /// The state is there and cannot be read, or it is that of another job.
    pub fn load(&self, plan: &Plan, now: Millis) -> Result<JobState, StoreError> {
        let path = self.file();
        let unreadable = |reason: String| StoreError::Unreadable {
            path: self.file(),
            reason,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(JobState::new(plan, now)),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        #[derive(serde::Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if version != VERSION {
            return Err(unreadable(format!(
                "its version is {version}, and this program knows {VERSION}"
            )));
        }
        let state: JobState = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if state.plan != plan.fingerprint() {
            let (found, given) = (state.job, plan.job.clone());
            return Err(StoreError::AnotherJob {
                path: self.folder.clone(),
                found,
                given,
            });
        }
        Ok(state)
    }

    /// Makes `state` durable: written next to the old one, synced, renamed over it, and the rename
    /// synced. The caller must not act on the state before this has returned: after a crash the
    /// state on disk is all that is known, and a launch that it does not have would be made again.
    ///
    /// # Errors
    /// The state is not on disk, or not certainly. The one before it is whole.
    pub fn save(&self, state: &JobState) -> Result<(), StoreError> {
        let path = self.file();
        replace(&path, |file| {
            serde_json::to_writer_pretty(file, state).map_err(io::Error::from)
        })
        .map_err(|source| StoreError::Write { path, source })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self) -> PathBuf {
        job_file(&self.folder)
    }
}

fn job_file(folder: &Path) -> PathBuf {
    folder.join("job.json")
}

/// The state of the job in a folder, even while a scheduler uses the folder; `None` when there is
/// none.
///
/// # Errors
/// It is there and cannot be read.
pub fn read_state(folder: &Path) -> Result<Option<JobState>, StoreError> {
    let path = job_file(folder);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|reason| StoreError::Unreadable { path, reason })
}

/// Replaces a file durably and at once; only its owner may read it.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    durable_files::replace(path, 0o600, Durability::Synced, |file| {
        write(file)?;
        file.write_all(b"\n")
    })
}

/// Replaces files of one folder durably, each at once.
pub(crate) fn replace_all<T: serde::Serialize>(files: &[(PathBuf, T)]) -> Result<(), StoreError> {
    durable_files::replace_all(files, 0o600, |value, file| {
        serde_json::to_writer(&mut *file, value)?;
        file.write_all(b"\n")
    })
    .map_err(|(path, source)| StoreError::Write {
        path: path.to_owned(),
        source,
    })
}
