//! Records on disk: one JSON file a container, so that an agent that was killed knows what it had mounted.
//!
//! ```text
//! <state_dir>/                   0700, root
//!   lock                         held as long as an agent uses the folder
//!   host-id                      random, made once: the mount ids derive from it
//!   containers/<container>.json  one a container, see `schema.rs`
//!   quarantine/                  what could not be read, kept for a person to look at
//! ```
//!
//! Every change is durable before it is reported: written to a temporary file, fsynced, renamed, directory fsynced. A
//! record that is torn, empty, of a later version or not ours is moved to `quarantine/` with a line in the log, and no
//! other record suffers for it.

mod schema;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tracing::{info, warn};

use crate::ledger::Record;
use crate::types::ContainerId;
use schema::{AnyVersion, RecordV1, VERSION};

/// No record of ours comes near this; what is larger is not read into the agent's memory.
const LARGEST_RECORD: u64 = 4 << 20;

/// Why the state folder cannot be used. Each is for the operator: the agent must not start with such a folder.
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
    /// The host id was damaged. With another id the drivers would not know their mounts again.
    #[error("{} does not hold 64 hexadecimal digits: restore it, or remove it when nothing is mounted", path.display())]
    HostId {
        /// The file.
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

/// The records of one agent. The folder stays locked as long as this lives.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    boot_id: String,
    host_id: String,
    _lock: File,
}

impl Store {
    /// Opens the state folder, making it when it is not there.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing was changed but folders made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        for folder in [root.to_owned(), root.join("containers"), root.join("quarantine")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(at("create folder", &folder))?;
        }
        let lock = lock(root)?;
        let host_id = host_id(root)?;
        let boot_path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot_id = fs::read_to_string(boot_path)
            .map_err(at("read", boot_path))?
            .trim()
            .to_owned();
        Ok(Self {
            root: root.to_owned(),
            boot_id,
            host_id,
            _lock: lock,
        })
    }

    /// The id this host gives its mounts; it survives restarts of the agent and reboots.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// Every readable record. The others are in quarantine afterwards.
    ///
    /// # Errors
    /// When the folder itself cannot be listed.
    pub fn load(&self) -> Result<Vec<Found>, StoreError> {
        let folder = self.containers();
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
            let path = entry.map_err(at("list", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                // Left by a crash before the rename: its change was never reported as done.
                fs::remove_file(&path).map_err(at("remove", &path))?;
                continue;
            }
            match self.read(&path) {
                Ok(record) => found.push(record),
                Err(reason) => self.quarantine(&path, &reason),
            }
        }
        Ok(found)
    }

    fn read(&self, path: &Path) -> Result<Found, String> {
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(
                rustix::fs::OFlags::NOFOLLOW.bits().cast_signed() | rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
            )
            .open(path)
            .map_err(|error| error.to_string())?;
        if !file.metadata().map_err(|error| error.to_string())?.is_file() {
            return Err("it is not a file".into());
        }
        let mut text = String::new();
        file.take(LARGEST_RECORD)
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        let AnyVersion { version } = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if version != VERSION {
            return Err(format!("it has version {version}, this module reads version {VERSION}"));
        }
        let on_disk: RecordV1 = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let rebooted = on_disk.boot_id != self.boot_id;
        let record = on_disk.into_record()?;
        if path != self.path_of(&record.container) {
            return Err(format!(
                "it is about container {}, whose record has another name",
                record.container
            ));
        }
        Ok(Found { record, rebooted })
    }

    fn quarantine(&self, path: &Path, reason: &str) {
        let name = path.file_name().unwrap_or_default();
        let folder = self.root.join("quarantine");
        // An earlier file of that name is evidence as well: number this one.
        let free = (0..)
            .map(|n| {
                if n == 0 {
                    folder.join(name)
                } else {
                    folder.join(format!("{}.{n}", name.display()))
                }
            })
            .find(|candidate| candidate.symlink_metadata().is_err())
            .expect("there is always a higher number");
        match fs::rename(path, &free) {
            Ok(()) => {
                warn!(record = %path.display(), moved_to = %free.display(), reason, "unreadable record quarantined")
            }
            Err(error) => {
                warn!(record = %path.display(), reason, %error, "unreadable record ignored; it could not be moved to quarantine");
            }
        }
    }

    /// Carries out changes, the later of two about one container winning, and returns once they are durable. One fsync of
    /// the folder serves them all.
    ///
    /// The answer stands for each change in the same order. A change reported as failed may have happened all the same;
    /// what was on disk before is never torn.
    pub fn commit(&self, changes: &[Change]) -> Vec<Result<(), String>> {
        let last = |change: &Change| changes.iter().rev().find(|c| c.container() == change.container());
        let mut results: Vec<Result<(), String>> = changes
            .iter()
            .map(|change| {
                let superseded = last(change).is_some_and(|later| !std::ptr::eq(later, change));
                if superseded {
                    Ok(())
                } else {
                    self.apply(change).map_err(|error| error.to_string())
                }
            })
            .collect();
        // A superseded change is as durable as the one that replaced it.
        for (index, change) in changes.iter().enumerate() {
            let final_index = changes
                .iter()
                .rposition(|c| c.container() == change.container())
                .unwrap_or(index);
            results[index] = results[final_index].clone();
        }
        if let Err(error) = sync_folder(&self.containers()) {
            for result in &mut results {
                result.clone_from(&Err(error.to_string()));
            }
        }
        results
    }

    fn apply(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Write(record) => self.write(record),
            Change::Remove(container) => {
                let path = self.path_of(container);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", &path)(error)),
                    _ => Ok(()),
                }
            }
        }
    }

    fn write(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.path_of(&record.container);
        let temporary = path.with_extension("tmp");
        let text = serde_json::to_vec(&RecordV1::new(record, &self.boot_id))
            .map_err(|error| at("encode", &path)(io::Error::other(error)))?;
        let written =
            write_durably(&temporary, &text).and_then(|()| fs::rename(&temporary, &path).map_err(at("rename", &path)));
        if written.is_err() {
            // The error that counts is the first; a leftover is removed at the next start anyway.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    fn path_of(&self, container: &ContainerId) -> PathBuf {
        self.containers().join(file_name(container))
    }
}

/// A container's file: its ids, outermost first, with everything but letters, digits, `-` and `_` as `%xx`, joined by
/// dots; a hash when that is too long for a file name.
fn file_name(container: &ContainerId) -> String {
    let encode = |part: &String| -> String {
        part.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02x}"),
            })
            .collect()
    };
    let plain = container.path().iter().map(encode).collect::<Vec<_>>().join(".");
    if plain.len() <= 200 {
        format!("{plain}.json")
    } else {
        format!("long-{}.json", hex::encode(Sha256::digest(plain)))
    }
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(at("open", &path))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder).map_err(at("read", &path))?;
        let holder = if holder.trim().is_empty() {
            "another process".into()
        } else {
            holder.trim().to_owned()
        };
        return Err(StoreError::Locked {
            path: root.to_owned(),
            holder,
        });
    }
    file.set_len(0).map_err(at("truncate", &path))?;
    writeln!(file, "process {}", std::process::id()).map_err(at("write", &path))?;
    Ok(file)
}

fn host_id(root: &Path) -> Result<String, StoreError> {
    let path = root.join("host-id");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let id = text.trim();
            let valid = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if valid {
                Ok(id.to_owned())
            } else {
                Err(StoreError::HostId { path })
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = [0_u8; 32];
            let source = Path::new("/dev/urandom");
            File::open(source)
                .and_then(|mut file| file.read_exact(&mut random))
                .map_err(at("read", source))?;
            let id = hex::encode(random);
            let temporary = root.join("host-id.tmp");
            write_durably(&temporary, id.as_bytes())?;
            fs::rename(&temporary, &path).map_err(at("rename", &path))?;
            sync_folder(root)?;
            info!(file = %path.display(), "made a new host id for mounts");
            Ok(id)
        }
        Err(error) => Err(at("read", &path)(error)),
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(at("create", path))?;
    file.write_all(bytes).map_err(at("write", path))?;
    file.sync_all().map_err(at("fsync", path))
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(at("fsync", path))
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}
