//! The state folder: one image and one record per volume, written so that a kill never tears one.
//!
//! ```text
//! STATE/emulator.lock         held while an emulator runs
//! STATE/control.sock          the control API
//! STATE/events.jsonl          the history
//! STATE/hosts.json            the hosts of the last run
//! STATE/volumes/vol-….img     the blocks, sparse
//! STATE/volumes/vol-….json    the record
//! STATE/hosts/HOST/ebs.sock   the host's driver, unless elsewhere
//! STATE/hosts/HOST/volumes/   the host's mounts, unless elsewhere
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use durable_files::Durability;
use rustix::fs::FlockOperation;
use serde::Serialize;

use crate::error::StorageError;
use crate::host::Host;
use crate::volume::{Volume, VolumeId};

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;

/// The state folder, locked.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Holds the lock as long as it is open.
    _lock: File,
}

impl Store {
    /// Makes the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// [`StorageError::Io`]; also when another emulator runs on the folder.
    pub(crate) fn open(root: &Path) -> Result<Store, StorageError> {
        fs::create_dir_all(root.join("volumes"))
            .map_err(StorageError::io(format!("make the state folder {}", root.display())))?;
        // The kernel shows loop devices by the resolved path of their file.
        let root = root
            .canonicalize()
            .map_err(StorageError::io(format!("resolve the state folder {}", root.display())))?;
        let path = root.join("emulator.lock");
        let lock = File::create(&path).map_err(StorageError::io(format!("open {}", path.display())))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            let action = format!("lock {} (is another emulator running on this folder?)", path.display());
            StorageError::Io {
                action,
                source: errno.into(),
            }
        })?;
        Ok(Store { root, _lock: lock })
    }

    /// The folder, resolved.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file with the volume's blocks.
    pub(crate) fn image(&self, id: &VolumeId) -> PathBuf {
        self.root.join("volumes").join(format!("{id}.img"))
    }

    /// A new name for the file that a device keeps when its volume is detached by force.
    pub(crate) fn pulled(&self, id: &VolumeId) -> PathBuf {
        PathBuf::from(format!(
            "{}{}.img",
            self.pulled_prefix(id),
            uuid::Uuid::new_v4().simple()
        ))
    }

    /// How those names of a volume begin.
    pub(crate) fn pulled_prefix(&self, id: &VolumeId) -> String {
        self.root
            .join("volumes")
            .join(format!("{id}.pulled-"))
            .display()
            .to_string()
    }

    fn record(&self, id: &VolumeId) -> PathBuf {
        self.root.join("volumes").join(format!("{id}.json"))
    }

    /// Makes the blocks and the record of a new volume.
    ///
    /// # Errors
    /// [`StorageError::Io`]; then nothing is left.
    pub(crate) fn create(&self, volume: &Volume) -> Result<(), StorageError> {
        let image = self.image(&volume.id);
        let made = File::create_new(&image)
            .and_then(|file| file.set_len(volume.size_gib * GIB))
            .map_err(StorageError::io(format!("make {}", image.display())))
            .and_then(|()| self.save(volume));
        if made.is_err() {
            let _ = fs::remove_file(&image);
        }
        made
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// [`StorageError::Io`]; then the old record stands.
    pub(crate) fn save(&self, volume: &Volume) -> Result<(), StorageError> {
        replace(&self.record(&volume.id), volume)
    }

    /// Keeps the hosts for [`hosts`].
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) fn save_hosts(&self, hosts: &[Host]) -> Result<(), StorageError> {
        replace(&self.root.join("hosts.json"), hosts)
    }

    /// Removes record and blocks, in this order, so that a kill in between leaves no record of missing blocks.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) fn delete(&self, id: &VolumeId) -> Result<(), StorageError> {
        for path in [self.record(id), self.image(id)] {
            fs::remove_file(&path).map_err(StorageError::io(format!("remove {}", path.display())))?;
        }
        Ok(())
    }

    /// Reads every record. Images without one, which a kill in the middle of create or delete leaves, are removed.
    ///
    /// # Errors
    /// [`StorageError::Io`], with the file, when a record cannot be read.
    pub(crate) fn load(&self) -> Result<Vec<Volume>, StorageError> {
        let folder = self.root.join("volumes");
        let reading = || format!("read {}", folder.display());
        let mut volumes = Vec::new();
        let mut images = Vec::new();
        for entry in fs::read_dir(&folder).map_err(StorageError::io(reading()))? {
            let path = entry.map_err(StorageError::io(reading()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(durable_files::TEMPORARY) {
                fs::remove_file(&path).map_err(StorageError::io(format!("remove {}", path.display())))?;
            } else if name.ends_with(".img") {
                images.push(path);
            } else if name.ends_with(".json") {
                let reading = || format!("read the record {}", path.display());
                let bytes = fs::read(&path).map_err(StorageError::io(reading()))?;
                let volume: Volume =
                    serde_json::from_slice(&bytes).map_err(|e| StorageError::io(reading())(e.into()))?;
                volumes.push(volume);
            }
        }
        for image in images {
            if !volumes.iter().any(|volume| self.image(&volume.id) == image) {
                fs::remove_file(&image).map_err(StorageError::io(format!("remove {}", image.display())))?;
            }
        }
        Ok(volumes)
    }
}

/// The hosts of the last run on a state folder; none if there was none.
pub(crate) fn hosts(state: &Path) -> Vec<Host> {
    let text = fs::read(state.join("hosts.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes a file so that a kill or a crash of the machine leaves the old content or the new.
fn replace(path: &Path, content: &(impl Serialize + ?Sized)) -> Result<(), StorageError> {
    durable_files::replace(path, 0o600, Durability::Synced, |file| {
        serde_json::to_writer_pretty(file, content).map_err(io::Error::from)
    })
    .map_err(StorageError::io(format!("write {}", path.display())))
}
