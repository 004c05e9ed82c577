//! What keeps the service's state.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{Effects, JobRecord, RunEntry, RunId, RunRecord, Service, ServiceRecord, VERSION};
use crate::declared;
use crate::ledger::file::Journal;
use crate::ledger::{self, Ledger};
use crate::store::{Store, StoreError, replace_all};

/// Everything that was kept.
#[derive(Debug, Default)]
pub struct Saved {
    /// The jobs and the framework's id.
    pub service: ServiceRecord,
    /// The claim ledger.
    pub ledger: Ledger,
    /// The runs.
    pub runs: Vec<RunRecord>,
}

/// Keeps the state of one service. What a `save` has returned from must be there after a crash; the
/// service launches nothing before that.
pub trait Storage: Send {
    /// Keeps the framework's id.
    ///
    /// # Errors
    /// It is not certainly kept; what was kept before is whole.
    fn save_service(&mut self, record: &ServiceRecord) -> Result<(), StoreError>;
    /// Keeps a job; forgets it when there is none of this name any more.
    ///
    /// # Errors
    /// It is not certainly kept; what was kept before is whole.
    fn save_job(&mut self, name: &str, job: Option<&JobRecord>) -> Result<(), StoreError>;
    /// Keeps what has `changed` of the claims.
    ///
    /// # Errors
    /// It is not certainly kept; what was kept before is whole.
    fn save_claims(&mut self, ledger: &Ledger, changed: &BTreeSet<String>) -> Result<(), StoreError>;
    /// Keeps these runs.
    ///
    /// # Errors
    /// They are not certainly kept, or not all; what was kept of each before is whole.
    fn save_runs(&mut self, runs: Vec<RunRecord>) -> Result<(), StoreError>;
    /// Forgets a run. One that is not there is no error.
    ///
    /// # Errors
    /// It may still be there.
    fn remove_run(&mut self, id: &RunId) -> Result<(), StoreError>;
    /// The ids of the tasks that an operator has declared dead since they were last forgotten.
    ///
    /// # Errors
    /// A declaration is there and cannot be read.
    fn declared_dead(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
    /// Forgets declarations that were taken up.
    ///
    /// # Errors
    /// They may still be there.
    fn forget_declared(&mut self, _tasks: &[String]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Saves what the effects of an event changed, in an order in which a crash between any two of its
/// parts is harmless:
///
/// 1. the service, whose counters outlive a job that is deleted;
/// 2. the jobs, so that the number of a run is taken before the run exists;
/// 3. the claims, which count for nothing until a run knows of their launch;
/// 4. the runs; 5. the removal of old ones.
///
/// # Errors
/// Not everything is certainly kept; what was kept before each part is whole.
pub fn save(storage: &mut dyn Storage, service: &Service, effects: &Effects) -> Result<(), StoreError> {
    if effects.save_service {
        storage.save_service(service.record())?;
    }
    for name in &effects.save_jobs {
        storage.save_job(name, service.jobs().get(name))?;
    }
    if !effects.save_claims.is_empty() {
        storage.save_claims(service.ledger(), &effects.save_claims)?;
    }
    let runs = effects.save_runs.iter().filter_map(|id| service.runs().get(id));
    let runs: Vec<_> = runs.map(RunEntry::record).collect();
    if !runs.is_empty() {
        storage.save_runs(runs)?;
    }
    effects.forget.iter().try_for_each(|id| storage.remove_run(id))
}

/// A folder: `service.json`, `jobs/<name>.json`, `runs/<job>.<number>.json`, `claims.json` with its
/// log.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    claims: Option<Journal>,
    _store: Store,
}

impl Folder {
    /// Makes the folder if need be and takes it for this process.
    ///
    /// # Errors
    /// The folder cannot be made or opened, or another scheduler has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        for name in ["jobs", "runs"] {
            let path = path.join(name);
            fs::create_dir_all(&path).map_err(|source| StoreError::Folder { path, source })?;
        }
        Ok(Self {
            path: path.to_owned(),
            claims: None,
            _store: store,
        })
    }

    /// Everything that was kept.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(&mut self) -> Result<Saved, StoreError> {
        let path = self.path.join("service.json");
        let mut service: ServiceRecord = read(&path)?.unwrap_or_default();
        if service.version > VERSION {
            return Err(StoreError::Unreadable {
                path,
                reason: format!("its version is {}, and this program knows {VERSION}", service.version),
            });
        }
        if !service.jobs.is_empty() {
            // Version 1. Until the last line a crash leaves it as it was.
            let jobs = service.jobs.iter().map(|(name, job)| (self.job(name), job));
            replace_all(&jobs.collect::<Vec<_>>())?;
            service.version = VERSION;
            self.save_service(&service)?;
        }
        service.jobs.extend(all(&self.path.join("jobs"))?);
        let (_, ledger) = self.claims()?;
        let ledger = match ledger {
            Some(ledger) => ledger,
            None => ledger::file::load(&self.path)?.unwrap_or_default(),
        };
        let runs = read_runs(&self.path)?;
        Ok(Saved { service, ledger, runs })
    }

    fn job(&self, name: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{name}.json"))
    }

    fn run(&self, id: &str) -> PathBuf {
        self.path.join("runs").join(format!("{id}.json"))
    }

    fn claims(&mut self) -> Result<(&mut Journal, Option<Ledger>), StoreError> {
        match &mut self.claims {
            Some(journal) => Ok((journal, None)),
            none => {
                let (journal, ledger) = Journal::open(&self.path)?;
                Ok((none.insert(journal), Some(ledger)))
            }
        }
    }
}

/// The values of all files `*.json` of a folder, by the first part of their names. What a crash
/// left of a file that was being written has another ending.
fn all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<(String, T)>, StoreError> {
    let unreadable = |error: io::Error| StoreError::Unreadable {
        path: folder.to_owned(),
        reason: error.to_string(),
    };
    let mut values = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if let Some(stem) = stem.filter(|_| path.extension().is_some_and(|extension| extension == "json")) {
            values.extend(read(&path)?.map(|value| (stem, value)));
        }
    }
    Ok(values)
}

/// The runs in a service's folder, even while a scheduler uses the folder.
///
/// # Errors
/// One is there and cannot be read.
pub fn read_runs(folder: &Path) -> Result<Vec<RunRecord>, StoreError> {
    let folder = folder.join("runs");
    match folder.is_dir() {
        true => Ok(all(&folder)?.into_iter().map(|(_, run)| run).collect()),
        false => Ok(Vec::new()),
    }
}

/// The framework's id in a folder, even while a scheduler uses the folder.
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

fn remove(path: PathBuf) -> Result<(), StoreError> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Write { path, source: error }),
        _ => Ok(()),
    }
}

impl Storage for Folder {
    fn save_service(&mut self, record: &ServiceRecord) -> Result<(), StoreError> {
        replace_all(&[(self.path.join("service.json"), record)])
    }

    fn save_job(&mut self, name: &str, job: Option<&JobRecord>) -> Result<(), StoreError> {
        match job {
            Some(job) => replace_all(&[(self.job(name), job)]),
            None => remove(self.job(name)),
        }
    }

    fn save_claims(&mut self, ledger: &Ledger, changed: &BTreeSet<String>) -> Result<(), StoreError> {
        self.claims()?.0.save(ledger, changed)
    }

    fn save_runs(&mut self, runs: Vec<RunRecord>) -> Result<(), StoreError> {
        let file = |run: RunRecord| (self.run(&format!("{}.{}", run.job, run.number)), run);
        replace_all(&runs.into_iter().map(file).collect::<Vec<_>>())
    }

    fn remove_run(&mut self, id: &RunId) -> Result<(), StoreError> {
        remove(self.run(id))
    }

    fn declared_dead(&self) -> Result<Vec<String>, StoreError> {
        declared::declared_dead(&self.path)
    }

    fn forget_declared(&mut self, tasks: &[String]) -> Result<(), StoreError> {
        tasks.iter().try_for_each(|task| declared::forget(&self.path, task))
    }
}

/// The folder of `scheduler run`: the state of the only run is all that is kept, as `job.json`. It
/// has the framework's id, and the claims follow from it.
impl Storage for Store {
    fn save_service(&mut self, _: &ServiceRecord) -> Result<(), StoreError> {
        Ok(())
    }

    fn save_job(&mut self, _: &str, _: Option<&JobRecord>) -> Result<(), StoreError> {
        Ok(())
    }

    fn save_claims(&mut self, _: &Ledger, _: &BTreeSet<String>) -> Result<(), StoreError> {
        Ok(())
    }

    fn save_runs(&mut self, runs: Vec<RunRecord>) -> Result<(), StoreError> {
        runs.iter().try_for_each(|run| self.save(&run.state))
    }

    fn remove_run(&mut self, _: &RunId) -> Result<(), StoreError> {
        Ok(())
    }

    fn declared_dead(&self) -> Result<Vec<String>, StoreError> {
        declared::declared_dead(self.folder())
    }

    fn forget_declared(&mut self, tasks: &[String]) -> Result<(), StoreError> {
        tasks.iter().try_for_each(|task| declared::forget(self.folder(), task))
    }
}
