//! The ledger's file in a scheduler's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Ledger, VERSION};
use crate::store::{StoreError, replace};

/// The file in `folder`.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("claims.json")
}

/// Reads the ledger of a folder; `None` when there is none.
///
/// # Errors
/// It is there and cannot be read, or is of a version this program does not know.
pub fn load(folder: &Path) -> Result<Option<Ledger>, StoreError> {
    let path = path(folder);
    let unreadable = |reason: String| StoreError::Unreadable {
        path: path.clone(),
        reason,
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let ledger: Ledger = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    match ledger.version {
        VERSION => Ok(Some(ledger)),
        version => Err(unreadable(format!(
            "its version is {version}, and this program knows {VERSION}"
        ))),
    }
}

/// Makes the ledger durable; no launch that it allowed may be made before this has returned.
///
/// # Errors
/// It is not on disk, or not certainly. The one before it is whole.
pub fn save(folder: &Path, ledger: &Ledger) -> Result<(), StoreError> {
    let path = path(folder);
    replace(&path, |file| {
        serde_json::to_writer(file, ledger).map_err(io::Error::from)
    })
    .map_err(|source| StoreError::Write { path, source })
}
