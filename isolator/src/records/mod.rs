//! Records on disk: one JSON file a container, so that an agent that was killed knows what it had
//! mounted.
//!
//! ```text
//! <state_dir>/                   0700, root
//!   lock                         held as long as an agent uses the folder
//!   host-id                      random, made once: the mount ids derive from it
//!   containers/<container>.json  one a container, see `docs/record.schema.json`
//!   quarantine/                  what could not be read, kept for a person to look at
//! ```
//!
//! Every change is durable before it is reported; [`Store::commit`] says in which order. A record
//! that is torn, empty, of a later version or not ours is moved to `quarantine/` with a line in the
//! log, and no other record suffers for it.
//!
//! The file system is a [`Disk`], so that one which loses, tears and fails can prove that order.

mod disk;
mod layout;
mod linux;
mod opening;
mod recorded_mount;
mod schema;
mod store;
mod survey;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use disk::Disk;
pub use linux::LinuxDisk;
pub use opening::Host;
pub use schema::RecordError;
pub use store::Store;
pub use survey::{Quarantined, Survey, Surveyed, Unreadable, discard_quarantined, quarantined, quarantined_bytes};

use crate::ledger::Record;
use crate::types::ContainerId;

/// No record of ours comes near this; what is larger is not read into the agent's memory.
const LARGEST_RECORD: u64 = 4 << 20;

/// Why the state folder cannot be used. Each is for the operator: the agent must not start with
/// such a folder.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder, or a file that must be there, cannot be made or opened.
    #[error("cannot use the state folder (module parameter state_dir): {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's words.
        source: io::Error,
    },
    /// A command looks for the folder, and it is not there.
    #[error(
        "no state folder at {}: either the agent uses another state_dir (pass --state-dir; see 'mesos-volumes doctor'), or it \
         has never started with the module",
        path.display()
    )]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// Another agent holds the lock. Two agents in one folder would release each other's volumes.
    #[error(
        "the state folder {} is in use by {holder}: give each agent its own (module parameter state_dir)",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// What the lock file says of the holder.
        holder: String,
    },
    /// While the folder could not be written, another process gave it a host id.
    #[error("{} appeared while this agent could not write the folder: restart the agent", path.display())]
    HostId {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether it is a matter of a disk that is full or read-only, which an operator can change
    /// while the agent runs.
    fn may_pass(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull))
    }
}

/// Why a change of a record is not certain to be on disk. It may have happened all the same.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// The disk has no room, or the quota is used up.
    #[error("the disk for volume records is full ({action} {})", path.display())]
    Full {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("the disk for volume records is read-only ({action} {})", path.display())]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Any other answer of the kernel.
    #[error("{action} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's words.
        cause: String,
    },
    /// The state folder as a whole cannot be used, in the words of [`StoreError`].
    #[error("{0}")]
    StateFolder(String),
    /// A bug; the agent's log says where.
    #[error("the module failed while it wrote the record")]
    Panic,
}

/// For a message that names the state folder already.
impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { action, path, source } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { action, path },
                io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action, path },
                _ => Self::Io {
                    action,
                    path,
                    cause: source.to_string(),
                },
            },
            other => Self::StateFolder(other.to_string()),
        }
    }
}

/// Why a record is not taken out of quarantine.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The file cannot be read or moved.
    #[error(transparent)]
    Io(#[from] CommitError),
    /// The file is no record.
    #[error(transparent)]
    NoRecord(#[from] RecordError),
    /// The container has another record by now.
    #[error("container {container} has a record already: {}", path.display())]
    HasRecord {
        /// The container.
        container: ContainerId,
        /// Its record.
        path: PathBuf,
    },
}

/// One change to the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This record replaces the container's earlier one.
    Write(Record),
    /// The container's record goes.
    Remove(ContainerId),
}

impl Change {
    fn container(&self) -> &ContainerId {
        match self {
            Self::Write(record) => &record.container,
            Self::Remove(container) => container,
        }
    }
}

/// A record as found at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub record: Record,
    /// Whether the host rebooted since it was written.
    pub rebooted: bool,
}

fn write_new<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<D::File, StoreError> {
    let mut file = disk.create(path).map_err(at("create", path))?;
    disk.write(&mut file, bytes).map_err(at("write", path))?;
    Ok(file)
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}
