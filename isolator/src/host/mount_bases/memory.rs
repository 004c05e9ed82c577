//! Which folders this module has bound on themselves, kept in the state folder across starts of the
//! agent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use durable_files::Durability;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::boot::boot_id;
use crate::host::namespace;

const FILE: &str = "mount-bases.json";
const VERSION: u32 = 1;

/// The file, version 1.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    version: u32,
    pub(super) binds: Vec<OwnBind>,
}

/// A folder that was bound on itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnBind {
    pub(super) folder: PathBuf,
    /// The kernel's id of the bind, which holds for one boot and one mount namespace.
    id: u64,
    boot_id: String,
    #[serde(default)]
    namespace: Option<String>,
}

impl OwnBind {
    pub(super) fn new(folder: &Path, id: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            id,
            boot_id: boot_id().unwrap_or_default(),
            namespace: namespace::words().map(str::to_owned),
        }
    }

    /// Whether the mount of this id, in this namespace and boot, is the bind. When in doubt, it is
    /// not.
    pub(super) fn is(&self, id: u64) -> bool {
        self.id == id
            && self.boot_id == boot_id().unwrap_or_default()
            && self.namespace.is_some()
            && self.namespace.as_deref() == namespace::words()
    }
}

impl Memory {
    /// A file that does not exist remembers nothing. Neither does one that cannot be read, which is
    /// logged.
    pub(super) fn read(state_dir: &Path) -> Self {
        let nothing = || Self {
            version: VERSION,
            binds: Vec::new(),
        };
        let path = state_dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing(),
            Err(error) => {
                warn!(file = %path.display(), %error, "cannot read which folders were made shared mounts");
                return nothing();
            }
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(memory) if memory.version == VERSION => memory,
            Ok(memory) => {
                warn!(file = %path.display(), version = memory.version, "the file has another version and is written again");
                nothing()
            }
            Err(error) => {
                warn!(file = %path.display(), %error, "the file is damaged and is written again");
                nothing()
            }
        }
    }

    /// Replaces the file in one step. Where nothing was ever bound no file is made.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub(super) fn write(&self, state_dir: &Path) -> io::Result<()> {
        let path = state_dir.join(FILE);
        if self.binds.is_empty() && !path.exists() {
            return Ok(());
        }
        durable_files::replace(&path, 0o600, Durability::Synced, |file| {
            Ok(serde_json::to_writer(file, self)?)
        })
    }
}
