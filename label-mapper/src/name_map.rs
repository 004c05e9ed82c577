//! The agents' `name_map` file: which name a driver has for an id.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use durable_files::Durability;
use serde::Serialize;
use thiserror::Error;

use crate::catalogue::{Catalogue, VolumeId, joined};

/// From the storage's id to the driver's name: one JSON object, id to name. The agents' `name_map`
/// parameter names this file; they take no label's word for which name belongs to which id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NameMap {
    names: BTreeMap<VolumeId, String>,
    #[serde(skip)]
    doubtful: Vec<Doubtful>,
}

/// Volumes whose names a driver cannot tell apart. They are not in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// The name of the first.
    pub name: String,
    /// All of them.
    pub ids: Vec<VolumeId>,
}

impl fmt::Display for Doubtful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let more = match self.ids.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        write!(
            f,
            "volumes {}{more} have Name tags that differ at most in case, '{}': REX-Ray would take either for the other, so the map \
             has none of them; to use one, rename all but one",
            joined(&self.ids[..self.ids.len().min(SHOWN)]),
            volume_labels::cleaned(&self.name)
        )
    }
}

/// Why the file was not written.
#[derive(Debug, Error)]
pub enum NameMapError {
    /// The file could not be replaced; the old one, if any, is untouched.
    #[error("cannot write {}: {problem}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        problem: io::Error,
    },
}

impl NameMap {
    /// The names of all living volumes that have one. Volumes whose names are equal but for their
    /// case are left out: REX-Ray's driver compares without case and takes the first match, so
    /// either could be mounted in the other's place.
    pub fn from_catalogue(catalogue: &Catalogue) -> Self {
        let mut by_folded: BTreeMap<String, Vec<(&VolumeId, &String)>> = BTreeMap::new();
        for volume in catalogue.volumes().filter(|volume| volume.state.is_alive()) {
            if let Some(name) = &volume.name {
                by_folded
                    .entry(name.to_lowercase())
                    .or_default()
                    .push((&volume.id, name));
            }
        }
        let mut map = Self::default();
        for same in by_folded.into_values() {
            match same.as_slice() {
                [(id, name)] => {
                    map.names.insert((*id).clone(), (*name).clone());
                }
                several => map.doubtful.push(Doubtful {
                    name: several[0].1.clone(),
                    ids: several.iter().map(|(id, _)| (*id).clone()).collect(),
                }),
            }
        }
        map
    }

    /// The volumes that are left out, by name.
    pub fn doubtful(&self) -> &[Doubtful] {
        &self.doubtful
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

    /// Replaces the file at once, so that an agent that rereads it sees the old one or the new one,
    /// whole. It is readable by everybody: agents need not run as its author.
    ///
    /// # Errors
    /// The file could not be written, synced or renamed; the old one is untouched.
    pub fn write(&self, path: &Path) -> Result<(), NameMapError> {
        durable_files::replace(path, 0o644, Durability::Synced, |file| {
            file.write_all(self.to_json().as_bytes())
        })
        .map_err(|problem| NameMapError::Write {
            path: path.to_owned(),
            problem,
        })
    }
}
