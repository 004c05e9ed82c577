//! The agents' `name_map` file: which name a driver has for an id.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use durable_files::Durability;
use serde::Serialize;
use thiserror::Error;

use crate::catalogue::{Catalogue, VolumeId, joined};

/// From the storage's id to the driver's name: one JSON object, id to name. The agents' `name_map` parameter names this
/// file; they take no label's word for which name belongs to which id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NameMap {
    names: BTreeMap<VolumeId, String>,
}

/// Why a catalogue gives no name map, or the file was not written.
#[derive(Debug, Error)]
pub enum NameMapError {
    /// Names that REX-Ray cannot tell apart.
    #[error(
        "volumes {} have Name tags that differ at most in case, '{name}'; REX-Ray would take either for the other, rename \
         all but one",
        joined(ids)
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// The volumes.
        ids: Vec<VolumeId>,
    },
    /// The file could not be replaced; the old one, if any, is untouched.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl NameMap {
    /// The names of all living volumes that have one.
    ///
    /// # Errors
    /// Names equal but for their case: REX-Ray's driver compares without case and takes the first match, so either
    /// could be mounted in the other's place.
    pub fn from_catalogue(catalogue: &Catalogue) -> Result<Self, NameMapError> {
        let mut names = BTreeMap::new();
        let mut by_folded: BTreeMap<String, (String, Vec<VolumeId>)> = BTreeMap::new();
        for volume in catalogue.volumes().filter(|volume| volume.state.is_alive()) {
            let Some(name) = &volume.name else { continue };
            by_folded
                .entry(name.to_lowercase())
                .or_insert_with(|| (name.clone(), Vec::new()))
                .1
                .push(volume.id.clone());
            names.insert(volume.id.clone(), name.clone());
        }
        match by_folded.into_values().find(|(_, ids)| ids.len() > 1) {
            Some((name, ids)) => Err(NameMapError::Ambiguous {
                name: volume_labels::cleaned(&name),
                ids,
            }),
            None => Ok(Self { names }),
        }
    }

    /// The driver's name for an id.
    pub fn get(&self, id: &VolumeId) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// How many ids have a name.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no id has a name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let entries: Vec<String> = self
            .names
            .iter()
            .map(|(id, name)| {
                format!(
                    "  {}: {}",
                    serde_json::Value::from(id.as_str()),
                    serde_json::Value::from(name.as_str())
                )
            })
            .collect();
        match entries.as_slice() {
            [] => "{}\n".to_owned(),
            entries => format!("{{\n{}\n}}\n", entries.join(",\n")),
        }
    }

    /// Replaces the file at once, so that an agent that rereads it sees the old one or the new one, whole. It is
    /// readable by everybody: agents need not run as its author.
    ///
    /// # Errors
    /// The file could not be written, synced or renamed; the old one is untouched.
    pub fn write(&self, path: &Path) -> Result<(), NameMapError> {
        durable_files::replace(path, 0o644, Durability::Synced, |file| {
            file.write_all(self.to_json().as_bytes())
        })
        .map_err(|source| NameMapError::Write {
            path: path.to_owned(),
            source,
        })
    }
}
