//! The list of clusters on this machine, so that one whose process was killed can be cleaned away by another.
//!
//! `/run/mesos-external-volumes-testbed/<name>.json` says what a cluster consists of. Its process holds a lock on that
//! file for as long as it lives; the kernel lets go of the lock when the process ends, however it ends. Who can take
//! the lock may clean up.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Footprint;
use crate::error::ClusterError;

/// The folder of the list.
pub(crate) fn registry_folder() -> Result<PathBuf, ClusterError> {
    let folder = PathBuf::from("/run/mesos-external-volumes-testbed");
    fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
    Ok(folder)
}

/// A living cluster's line in the list. Dropping it gives up the lock but leaves the line.
#[derive(Debug)]
pub(crate) struct Registration {
    path: PathBuf,
    _locked: File,
}

impl Registration {
    /// Adds a cluster to the list. Must come before anything of the cluster exists.
    pub(crate) fn add(name: &str, footprint: &Footprint) -> Result<Registration, ClusterError> {
        let path = registry_folder()?.join(format!("{name}.json"));
        // Locked before it has its name: nobody may find it without its lock.
        let unnamed = path.with_extension("new");
        let mut file = File::create(&unnamed).map_err(ClusterError::io("create", &unnamed))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| ClusterError::io("lock", &unnamed)(io::Error::from(errno)))?;
        serde_json::to_vec(footprint)
            .map_err(io::Error::from)
            .and_then(|json| file.write_all(&json))
            .and_then(|()| fs::rename(&unnamed, &path))
            .map_err(ClusterError::io("write", &path))?;
        Ok(Registration { path, _locked: file })
    }

    /// Takes the cluster off the list: nothing of it is left.
    pub(crate) fn remove(self) -> Result<(), ClusterError> {
        fs::remove_file(&self.path).map_err(ClusterError::io("remove", &self.path))
    }
}

/// A dead cluster that was cleaned away.
#[derive(Debug)]
pub struct Swept {
    /// Its folder, with only the logs left in it; the file of the list when that cannot be read.
    pub folder: PathBuf,
    /// What could not be cleaned away. The cluster stays on the list then.
    pub problems: Vec<String>,
}

/// Cleans away the clusters whose processes ended without doing it: killed, or ended by a signal. Their logs stay.
///
/// # Errors
/// The list cannot be read.
pub fn sweep() -> Result<Vec<Swept>, ClusterError> {
    let folder = registry_folder()?;
    let mut swept = Vec::new();
    for entry in fs::read_dir(&folder).map_err(ClusterError::io("list", &folder))? {
        let path = entry.map_err(ClusterError::io("list", &folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(dead) = sweep_one(&path)?
        {
            swept.push(dead);
        }
    }
    Ok(swept)
}

fn sweep_one(path: &Path) -> Result<Option<Swept>, ClusterError> {
    let Ok(mut file) = File::open(path) else {
        return Ok(None);
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    // Someone else may have swept it between the opening and the lock.
    if !path.exists() {
        return Ok(None);
    }
    let mut json = String::new();
    file.read_to_string(&mut json).map_err(ClusterError::io("read", path))?;
    let footprint: Footprint = match serde_json::from_str(&json) {
        Ok(footprint) => footprint,
        // Of another version of the testbed: nobody else's cluster has to wait for it.
        Err(error) => {
            let problems = vec![format!("{} cannot be read, remove it: {error}", path.display())];
            return Ok(Some(Swept {
                folder: path.to_owned(),
                problems,
            }));
        }
    };
    let mut problems = footprint.remove();
    if problems.is_empty()
        && let Err(problem) = keep_only_logs(&footprint)
    {
        problems.push(problem);
    }
    if problems.is_empty() {
        fs::remove_file(path).map_err(ClusterError::io("remove", path))?;
    }
    Ok(Some(Swept {
        folder: footprint.folder,
        problems,
    }))
}

/// Leaves `<process>/log` of every process and removes the rest, once nothing is mounted there.
fn keep_only_logs(footprint: &Footprint) -> Result<(), String> {
    let left = super::mounts_below(&footprint.folder).map_err(|error| error.to_string())?;
    if let Some(mount) = left.first() {
        return Err(format!("{} is still mounted", mount.target.display()));
    }
    let remove = |path: &Path| {
        let result = if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        result.map_err(|error| format!("{} cannot be removed: {error}", path.display()))
    };
    for entry in entries(&footprint.folder) {
        if !entry.join("log").is_file() {
            remove(&entry)?;
            continue;
        }
        for part in entries(&entry)
            .into_iter()
            .filter(|part| part.file_name().is_some_and(|name| name != "log"))
        {
            remove(&part)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
        .unwrap_or_default()
}
