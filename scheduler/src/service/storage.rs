//! What keeps the service's state.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{RunId, RunRecord, ServiceRecord, VERSION};
use crate::ledger::{self, Ledger};
use crate::store::{Store, StoreError, replace};

/// Everything that was kept.
#[derive(Debug, Default)]
pub struct Saved {
    /// The jobs and the framework's id.
    pub service: ServiceRecord,
    /// The claims.
    pub ledger: Ledger,
    /// The runs.
    pub runs: Vec<RunRecord>,
}

/// Keeps the state of one service. What a `save` has returned from must be there after a crash; the service launches
/// nothing before that.
pub trait Storage: Send {
    /// Everything that was kept.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn load(&self) -> Result<Saved, StoreError>;
    /// Keeps the jobs and the framework's id.
    ///
    /// # Errors
    /// It is not certainly kept; what was kept before is whole.
    fn save_service(&self, record: &ServiceRecord) -> Result<(), StoreError>;
    /// Keeps the claims.
    ///
    /// # Errors
    /// They are not certainly kept; those kept before are whole.
    fn save_claims(&self, ledger: &Ledger) -> Result<(), StoreError>;
    /// Keeps a run.
    ///
    /// # Errors
    /// It is not certainly kept; what was kept of it before is whole.
    fn save_run(&self, run: &RunRecord) -> Result<(), StoreError>;
    /// Forgets a run. One that is not there is no error.
    ///
    /// # Errors
    /// It may still be there.
    fn remove_run(&self, id: &RunId) -> Result<(), StoreError>;
}

/// A folder: `service.json`, `claims.json`, `runs/<job>.<number>.json`.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _store: Store,
}

impl Folder {
    /// Makes the folder if need be and takes it for this process.
    ///
    /// # Errors
    /// The folder cannot be made or opened, or another scheduler has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        let runs = path.join("runs");
        fs::create_dir_all(&runs).map_err(|source| StoreError::Folder { path: runs, source })?;
        Ok(Self {
            path: path.to_owned(),
            _store: store,
        })
    }

    fn run(&self, id: &str) -> PathBuf {
        self.path.join("runs").join(format!("{id}.json"))
    }
}

/// The framework's id that a folder keeps, whoever has the folder.
///
/// # Errors
/// The record is there and cannot be read.
pub fn framework_id(folder: &Path) -> Result<Option<String>, StoreError> {
    let record: Option<ServiceRecord> = read(&folder.join("service.json"))?;
    Ok(record.and_then(|record| record.framework_id))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let unreadable = |reason: String| StoreError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| unreadable(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn write<T: serde::Serialize>(path: PathBuf, value: &T) -> Result<(), StoreError> {
    replace(&path, |file| {
        serde_json::to_writer(file, value).map_err(io::Error::from)
    })
    .map_err(|source| StoreError::Write { path, source })
}

impl Storage for Folder {
    fn load(&self) -> Result<Saved, StoreError> {
        let path = self.path.join("service.json");
        let service: ServiceRecord = read(&path)?.unwrap_or_default();
        if service.version > VERSION {
            return Err(StoreError::Unreadable {
                path,
                reason: format!("its version is {}, and this program knows {VERSION}", service.version),
            });
        }
        let folder = self.path.join("runs");
        let unreadable = |error: io::Error| StoreError::Unreadable {
            path: folder.clone(),
            reason: error.to_string(),
        };
        let mut runs = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            // What a crash left of a file that was being written has another ending.
            if path.extension().is_some_and(|extension| extension == "json") {
                runs.extend(read(&path)?);
            }
        }
        Ok(Saved {
            service,
            ledger: ledger::file::load(&self.path)?.unwrap_or_default(),
            runs,
        })
    }

    fn save_service(&self, record: &ServiceRecord) -> Result<(), StoreError> {
        write(self.path.join("service.json"), record)
    }

    fn save_claims(&self, ledger: &Ledger) -> Result<(), StoreError> {
        ledger::file::save(&self.path, ledger)
    }

    fn save_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        write(self.run(&format!("{}.{}", run.job, run.number)), run)
    }

    fn remove_run(&self, id: &RunId) -> Result<(), StoreError> {
        let path = self.run(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Write { path, source: error }),
            _ => Ok(()),
        }
    }
}
