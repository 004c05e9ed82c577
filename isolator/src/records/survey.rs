//! Looks into a state folder from outside: while an agent runs, without its lock, and without a
//! change.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::disk::Disk;
use super::layout::{Layout, TEMPORARY};
use super::linux::{LinuxDisk, is_locked};
use super::opening::boot_id;
use super::schema::{self, Parsed};
use super::store::parse;
use super::{CommitError, LARGEST_RECORD, RecordError, RestoreError, Store, StoreError, at};
use crate::ledger::{Record, RecordedState};
use crate::types::ContainerId;

/// What stands in a state folder.
#[derive(Debug)]
pub struct Survey {
    /// What the lock file says of the agent that has the folder; `None` when none has it.
    pub holder: Option<String>,
    /// Every readable record, in the order of their files' names.
    pub records: Vec<Surveyed>,
    /// The other files, which the next start of the agent quarantines.
    pub unreadable: Vec<Unreadable>,
}

/// A record as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// What it says.
    pub record: Record,
    /// Whether the host rebooted since it was written.
    pub rebooted: bool,
    /// When it was written: of a container that has its volumes when it got them, of one that left
    /// when it did.
    pub written: SystemTime,
}

/// A file that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// A file in quarantine.
#[derive(Debug)]
pub struct Quarantined {
    /// Its name there.
    pub name: OsString,
    /// When it was written.
    pub written: SystemTime,
    /// The record that it turns out to be after all, or why it is none.
    pub record: Result<Record, RecordError>,
}

impl Survey {
    /// Looks into the folder. An agent that writes meanwhile is not disturbed; each record is seen
    /// as it was before or after.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn take(root: &Path) -> Result<Self, StoreError> {
        look_for(root)?;
        let layout = Layout::new(root);
        let boot_id = boot_id()?;
        let mut survey = Self {
            holder: holder(&layout)?,
            records: Vec::new(),
            unreadable: Vec::new(),
        };
        for (path, read) in files(layout.containers())? {
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                continue;
            }
            let parsed = read
                .map_err(RecordError::from)
                .and_then(|(bytes, written)| Ok((parse(&path, &bytes, &layout)?, written)));
            match parsed {
                Ok((parsed, written)) => survey.records.push(Surveyed {
                    record: parsed.record,
                    rebooted: parsed.boot_id != boot_id,
                    written,
                }),
                Err(reason) => survey.unreadable.push(Unreadable {
                    file: path,
                    reason: reason.to_string(),
                }),
            }
        }
        Ok(survey)
    }
}

/// What is in quarantine, in order of name.
///
/// # Errors
/// When the folder cannot be read.
pub fn quarantined(root: &Path) -> Result<Vec<Quarantined>, StoreError> {
    look_for(root)?;
    let layout = Layout::new(root);
    let files = files(layout.quarantine())?.into_iter().map(|(path, read)| {
        let (bytes, written) = match read {
            Ok((bytes, written)) => (Ok(bytes), written),
            Err(reason) => {
                let written = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
                (Err(reason), written.unwrap_or(SystemTime::UNIX_EPOCH))
            }
        };
        Quarantined {
            name: path.file_name().unwrap_or_default().to_owned(),
            written,
            record: bytes
                .map_err(RecordError::from)
                .and_then(|bytes| schema::parse(&bytes))
                .map(|Parsed { record, .. }| record),
        }
    });
    Ok(files.collect())
}

/// The bytes of a file in quarantine, as many as a record may have.
///
/// # Errors
/// When there is none of that name, or it cannot be read.
pub fn quarantined_bytes(root: &Path, name: &OsStr) -> Result<Vec<u8>, StoreError> {
    let path = in_quarantine(&Layout::new(root), name)?;
    LinuxDisk.read(&path, LARGEST_RECORD).map_err(at("read", &path))
}

/// Removes a file from quarantine, or a folder with all that is in it. An agent that runs does not
/// mind.
///
/// # Errors
/// When there is none of that name, or it cannot be removed.
pub fn discard_quarantined(root: &Path, name: &OsStr) -> Result<(), StoreError> {
    let path = in_quarantine(&Layout::new(root), name)?;
    let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_folder {
        fs::remove_dir_all(&path)
    } else {
        fs::remove_file(&path)
    };
    removed.map_err(at("remove", &path))
}

impl Store {
    /// Marks a container as gone, so that the next start of an agent settles its volumes: it is
    /// asked to unmount each that no other container has. Nothing is unmounted now. The caller must
    /// know that the container does not run: the agent will believe it.
    ///
    /// # Errors
    /// As those of [`Self::commit`].
    pub fn release(&self, record: &Record) -> Result<(), CommitError> {
        let mut released = record.clone();
        released.released = true;
        for volume in &mut released.volumes {
            if let RecordedState::Mounted(mountpoint) = &volume.state {
                volume.state = RecordedState::Unmounting(Some(mountpoint.clone()));
            }
        }
        self.commit(&[super::Change::Write(released)])
            .pop()
            .expect("one answer for one change")
    }

    /// Takes a record out of quarantine, so that the next start of an agent finds it.
    ///
    /// # Errors
    /// When it is no record, when the container has another one by now, or when it cannot be moved.
    pub fn restore_quarantined(&self, name: &OsStr) -> Result<ContainerId, RestoreError> {
        let layout = self.layout();
        let from = in_quarantine(layout, name).map_err(CommitError::from)?;
        let bytes = LinuxDisk
            .read(&from, LARGEST_RECORD)
            .map_err(|error| CommitError::from(at("read", &from)(error)))?;
        let container = schema::parse(&bytes)?.record.container;
        let to = layout.record(&container);
        if to.symlink_metadata().is_ok() {
            return Err(RestoreError::HasRecord { container, path: to });
        }
        LinuxDisk
            .rename(&from, &to)
            .map_err(|error| CommitError::from(at("rename", &from)(error)))?;
        for folder in [layout.containers(), layout.quarantine()] {
            LinuxDisk
                .sync_folder(folder)
                .map_err(|error| CommitError::from(at("fsync", folder)(error)))?;
        }
        Ok(container)
    }
}

fn holder(layout: &Layout) -> Result<Option<String>, StoreError> {
    let path = layout.lock();
    if !is_locked(&path).map_err(at("look at the lock", &path))? {
        return Ok(None);
    }
    let text = LinuxDisk.read(&path, LARGEST_RECORD).map_err(at("read", &path))?;
    match String::from_utf8_lossy(&text).trim() {
        "" => Ok(Some("another process".to_owned())),
        named => Ok(Some(named.to_owned())),
    }
}

/// A command that looks at a state folder does not make it.
fn look_for(root: &Path) -> Result<(), StoreError> {
    match root.try_exists().map_err(at("look for", root))? {
        true => Ok(()),
        false => Err(StoreError::Missing { path: root.to_owned() }),
    }
}

type Read = io::Result<(Vec<u8>, SystemTime)>;

/// The files of a folder with what is in them, but for those that go away meanwhile.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Read)>, StoreError> {
    let mut names = match LinuxDisk.list(folder) {
        // Not made yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.parent().is_some_and(Path::exists) => {
            Vec::new()
        }
        listed => listed.map_err(at("list", folder))?,
    };
    names.sort_unstable();
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = folder.join(name);
        let read = LinuxDisk.read(&path, LARGEST_RECORD + 1).and_then(|bytes| {
            let written = fs::symlink_metadata(&path)?.modified()?;
            Ok((bytes, written))
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => files.push((path, read)),
        }
    }
    Ok(files)
}

/// Only names, never a way out of the folder.
fn in_quarantine(layout: &Layout, name: &OsStr) -> Result<PathBuf, StoreError> {
    let path = layout.quarantine().join(name);
    if path.parent() == Some(layout.quarantine()) && path.file_name() == Some(name) {
        Ok(path)
    } else {
        Err(at("find in quarantine", Path::new(name))(
            io::ErrorKind::InvalidFilename.into(),
        ))
    }
}
