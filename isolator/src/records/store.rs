//! Writing records so that they are durable before they are reported, and finding them again.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::warn;

use super::disk::Disk;
use super::layout::{Layout, TEMPORARY};
use super::linux::LinuxDisk;
use super::opening::{Host, Opening};
use super::schema::{self, Parsed, RecordError};
use super::{Change, CommitError, Found, LARGEST_RECORD, StoreError, at, write_new};
use crate::types::ContainerId;

/// Files that one commit holds open at once.
const GROUP: usize = 64;

/// The records of one agent. The folder stays locked as long as this lives.
#[derive(Debug)]
pub struct Store<D: Disk = LinuxDisk> {
    disk: D,
    layout: Layout,
    boot_id: String,
    host_id: String,
    opening: Mutex<Opening<D::Lock>>,
}

impl Store {
    /// Opens the state folder, making it when it is not there.
    ///
    /// A full or a read-only disk is no error, since it must not keep an agent from starting: there
    /// is a line in the log, and no record can be written until that has changed.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing was changed but folders made and a damaged host id quarantined.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_on(LinuxDisk, root, Host::this()?)
    }
}

impl<D: Disk> Store<D> {
    /// As [`Store::open`], on a disk of the caller's.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: D, root: &Path, host: Host) -> Result<Self, StoreError> {
        let layout = Layout::new(root);
        let mut opening = Opening::new();
        let taken = opening.take(&disk, &layout);
        // With the lock, if it is to be had: two agents must not both find no id and make one each.
        if let Err(error) = taken
            && !error.may_pass()
        {
            return Err(error);
        }
        let host_id = opening.host_id(&disk, &layout, &host)?;
        match opening.complete(&disk, &layout, &host_id) {
            Err(error) if !error.may_pass() => return Err(error),
            Err(problem) => warn!(%problem, "no record can be written, so containers that ask for volumes are refused"),
            Ok(()) => {}
        }
        Ok(Self {
            disk,
            layout,
            boot_id: host.boot_id,
            host_id,
            opening: Mutex::new(opening),
        })
    }

    /// The id this host gives its mounts; it survives restarts of the agent and reboots.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// Every readable record, in the order of their files' names. The others are in quarantine
    /// afterwards, if they could be moved there, and a line in the log names each.
    ///
    /// What is returned is durable: the process that wrote it may have been killed before it was.
    ///
    /// # Errors
    /// When the folder itself cannot be listed.
    pub fn load(&self) -> Result<Vec<Found>, StoreError> {
        let folder = self.layout.containers();
        let mut names = match self.disk.list(folder) {
            // It could not be made yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(at("list", folder))?,
        };
        names.sort_unstable();
        if let Err(error) = self.disk.sync_folder(folder) {
            warn!(folder = %folder.display(), %error, "cannot fsync the folder of the records; a power cut may undo what is read from it");
        }
        let mut quarantine = Quarantine::default();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let path = folder.join(name);
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                // Left by a crash before the rename: its change was never reported as done.
                if let Err(error) = self.disk.remove(&path) {
                    self.quarantine(&mut quarantine, &path, &format!("it cannot be removed: {error}"));
                }
                continue;
            }
            match self.read(&path) {
                Ok(record) => found.extend(record),
                Err(reason) => self.quarantine(&mut quarantine, &path, &reason.to_string()),
            }
        }
        Ok(found)
    }

    /// `None` when it is gone meanwhile.
    fn read(&self, path: &Path) -> Result<Option<Found>, RecordError> {
        let bytes = match self.disk.read(path, LARGEST_RECORD + 1) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let Parsed { record, boot_id, .. } = parse(path, &bytes, &self.layout)?;
        let rebooted = boot_id != self.boot_id;
        Ok(Some(Found { record, rebooted }))
    }

    fn quarantine(&self, quarantine: &mut Quarantine, path: &Path, reason: &str) {
        let folder = self.layout.quarantine();
        let taken = quarantine
            .taken
            .get_or_insert_with(|| self.disk.list(folder).unwrap_or_default().into_iter().collect());
        let name = path.file_name().unwrap_or_default();
        // An earlier file of that name is evidence as well: number this one.
        let free = (0..)
            .map(|n| match n {
                0 => name.to_owned(),
                _ => OsString::from(format!("{}.{n}", name.display())),
            })
            .find(|candidate| !taken.contains(candidate))
            .expect("there is always a higher number");
        let free_path = folder.join(&free);
        // Not made durable: what a power cut brings back is quarantined again.
        match self.disk.rename(path, &free_path) {
            Ok(()) => {
                warn!(record = %path.display(), moved_to = %free_path.display(), reason, "unreadable record quarantined");
                taken.insert(free);
            }
            Err(error) => {
                warn!(record = %path.display(), reason, %error, "unreadable record ignored; it could not be moved to quarantine");
            }
        }
    }

    /// Carries out changes, the later of two about one container winning, and returns once they are
    /// durable: a driver is called on the strength of a record, and after a crash the record is the
    /// only trace of the call.
    ///
    /// The order is: every record written to a temporary file, each of these fsynced, then in the
    /// order of the changes each renamed over its record, or the record removed, then the folder
    /// fsynced. Cut off at any point, by the end of the process or of the machine, each record is
    /// as it was before or as it is after, and whole.
    ///
    /// The answer stands for each change in the same order; an error names the file and has the
    /// kernel's words. A change reported as failed may have happened all the same.
    pub fn commit(&self, changes: &[Change]) -> Vec<Result<(), CommitError>> {
        if let Err(error) = self.complete() {
            return vec![Err(CommitError::StateFolder(error.to_string())); changes.len()];
        }
        let mut last = HashMap::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            last.insert(change.container(), index);
        }
        let mut results: Vec<Result<(), CommitError>> = vec![Ok(()); changes.len()];
        let effective: Vec<usize> = (0..changes.len())
            .filter(|index| last[changes[*index].container()] == *index)
            .collect();
        for group in effective.chunks(GROUP) {
            let wanted: Vec<&Change> = group.iter().map(|index| &changes[*index]).collect();
            for (index, result) in group.iter().zip(self.apply(&wanted)) {
                results[*index] = result.map_err(CommitError::from);
            }
        }
        let folder = self.layout.containers();
        if let Err(error) = self.disk.sync_folder(folder).map_err(at("fsync", folder)) {
            results.fill(Err(error.into()));
        }
        // A superseded change is as durable as the one that replaced it.
        for (index, change) in changes.iter().enumerate() {
            if last[change.container()] != index {
                results[index] = results[last[change.container()]].clone();
            }
        }
        results
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn complete(&self) -> Result<(), StoreError> {
        // Every step can be taken again, so what a panic left is still in order.
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        opening.complete(&self.disk, &self.layout, &self.host_id)
    }

    /// Everything but the last fsync: a step for all changes, then the next for those that have not
    /// failed.
    fn apply(&self, changes: &[&Change]) -> Vec<Result<(), StoreError>> {
        let staged: Vec<Result<Option<D::File>, StoreError>> =
            changes.iter().map(|change| self.stage(change)).collect();
        let files: Vec<&D::File> = staged.iter().flatten().flatten().collect();
        let mut synced = self.disk.sync_all(&files).into_iter();
        let synced: Vec<Result<(), StoreError>> = changes
            .iter()
            .zip(staged)
            .map(|(change, staged)| match staged? {
                Some(_) => self.synced(change, synced.next().expect("there is an answer for each file")),
                None => Ok(()),
            })
            .collect();
        changes
            .iter()
            .zip(synced)
            .map(|(change, synced)| synced.and_then(|()| self.put(change)))
            .collect()
    }

    /// The temporary file, written; none for a removal.
    fn stage(&self, change: &Change) -> Result<Option<D::File>, StoreError> {
        let Change::Write(record) = change else {
            return Ok(None);
        };
        let temporary = self.temporary(&record.container);
        let written = schema::encode(record, &self.boot_id, &self.host_id)
            .map_err(|error| at("encode", &temporary)(io::Error::other(error)))
            .and_then(|bytes| match bytes.len() as u64 {
                // What is written is read back.
                size if size > LARGEST_RECORD => Err(at("write", &temporary)(io::Error::other(format!(
                    "the record would have {size} bytes and may have {LARGEST_RECORD}: ask for fewer volumes or shorter driver \
                     options"
                )))),
                _ => Ok(bytes),
            })
            .and_then(|bytes| write_new(&self.disk, &temporary, &bytes));
        written.map(Some).inspect_err(|_| self.discard(&temporary))
    }

    fn synced(&self, change: &Change, answer: io::Result<()>) -> Result<(), StoreError> {
        let temporary = self.temporary(change.container());
        let synced = answer.map_err(at("fsync", &temporary));
        synced.inspect_err(|_| self.discard(&temporary))
    }

    fn put(&self, change: &Change) -> Result<(), StoreError> {
        let path = self.layout.record(change.container());
        match change {
            Change::Remove(_) => match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", &path)(error)),
                _ => Ok(()),
            },
            Change::Write(_) => {
                let temporary = self.temporary(change.container());
                let renamed = self.disk.rename(&temporary, &path).map_err(at("rename", &temporary));
                renamed.inspect_err(|_| self.discard(&temporary))
            }
        }
    }

    fn temporary(&self, container: &ContainerId) -> PathBuf {
        self.layout.record(container).with_extension(TEMPORARY)
    }

    fn discard(&self, temporary: &Path) {
        // The error that is reported is the one that led here; a leftover is removed at the next
        // start anyway.
        let _ = self.disk.remove(temporary);
    }
}

/// Names taken in the quarantine folder, read when the first is needed.
#[derive(Default)]
struct Quarantine {
    taken: Option<BTreeSet<OsString>>,
}

/// A file of the folder of records as a record.
pub(super) fn parse(path: &Path, bytes: &[u8], layout: &Layout) -> Result<Parsed, RecordError> {
    if bytes.len() as u64 > LARGEST_RECORD {
        return Err(RecordError::TooLarge);
    }
    let parsed = schema::parse(bytes)?;
    if path == layout.record(&parsed.record.container) {
        Ok(parsed)
    } else {
        Err(RecordError::OtherName(parsed.record.container))
    }
}
