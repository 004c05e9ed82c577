//! Declarations of operators that no scheduler has read yet: one file for each task, in the folder
//! `declared-dead` of the state folder. The command therefore works while a scheduler runs, whose
//! other files it may not change, and while none runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{StoreError, replace};

/// The version of the files.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Declaration {
    version: u32,
    task: String,
}

/// Writes durably that the task with this id does not run.
///
/// # Errors
/// It is not on disk, or not certainly.
pub fn declare_dead(state: &Path, task: &str) -> Result<(), StoreError> {
    let folder = folder(state);
    fs::create_dir_all(&folder).map_err(|source| StoreError::Folder { path: folder, source })?;
    let path = file(state, task);
    let declaration = Declaration {
        version: VERSION,
        task: task.to_owned(),
    };
    let write = |file: &mut dyn io::Write| serde_json::to_writer(file, &declaration).map_err(io::Error::from);
    replace(&path, write).map_err(|source| StoreError::Write { path, source })
}

/// The ids of the tasks that were declared dead.
///
/// # Errors
/// The folder or one of its files is there and cannot be read.
pub fn declared_dead(state: &Path) -> Result<Vec<String>, StoreError> {
    let folder = folder(state);
    let unreadable = |path: &Path, reason: String| StoreError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, error.to_string())),
    };
    let mut tasks = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&folder, error.to_string()))?.path();
        // What a crash left of a file that was being written has another ending.
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error.to_string()))?;
        let declaration: Declaration =
            serde_json::from_str(&text).map_err(|error| unreadable(&path, error.to_string()))?;
        if declaration.version != VERSION {
            let reason = format!(
                "its version is {}, and this program knows {VERSION}",
                declaration.version
            );
            return Err(unreadable(&path, reason));
        }
        tasks.push(declaration.task);
    }
    tasks.sort();
    Ok(tasks)
}

/// Removes a declaration that was carried out or refused.
///
/// # Errors
/// It may still be there.
pub fn forget(state: &Path, task: &str) -> Result<(), StoreError> {
    let path = file(state, task);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Write { path, source: error }),
        _ => Ok(()),
    }
}

fn folder(state: &Path) -> PathBuf {
    state.join("declared-dead")
}

/// Ids of other frameworks' tasks may have any characters and any length.
fn file(state: &Path, task: &str) -> PathBuf {
    folder(state).join(format!("{}.json", hex::encode(&Sha256::digest(task)[..16])))
}
