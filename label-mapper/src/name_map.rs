//! The agents' `name_map` file: which name a driver has for an id.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use durable_files::Durability;
use serde::Serialize;
use thiserror::Error;
use volume_driver_client::UnsupportedName;

use crate::catalogue::{Catalogue, VolumeId, joined};
use crate::driver_names::{EBS_DRIVER, check_characters};

/// From the storage's id to the driver's name: one JSON object, id to name. The agents' `name_map`
/// parameter names this file; they take no label's word for which name belongs to which id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NameMap {
    names: BTreeMap<VolumeId, String>,
    #[serde(skip)]
    doubtful: Vec<Doubtful>,
}

/// Volumes of one name that is not in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    /// The name of the first.
    pub name: String,
    /// All of them.
    pub ids: Vec<VolumeId>,
    /// What is wrong with the name; otherwise a driver cannot distinguish the volumes.
    pub problem: Option<UnsupportedName>,
}

impl fmt::Display for Doubtful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let more = match self.ids.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let ids = joined(&self.ids[..self.ids.len().min(SHOWN)]);
        let name = volume_labels::cleaned(&self.name);
        match self.problem {
            Some(problem) => write!(
                f,
                "volume {ids}{more} has the Name tag '{name}' and is not in the map: {problem}"
            ),
            None => write!(
                f,
                "volumes {ids}{more} have Name tags that differ at most in case, '{name}': REX-Ray would take either for the other, so \
                 the map has none of them; to use one, rename all but one"
            ),
        }
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
    /// The names of all living volumes that have one. Names that REX-Ray cannot handle are left
    /// out, and volumes whose names are equal but for their case are left out: REX-Ray's driver
    /// compares without case and takes the first match, so either could be mounted in the other's
    /// place.
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
            let name = same[0].1;
            let problem = check_characters(name, EBS_DRIVER).err();
            match same.as_slice() {
                [(id, name)] if problem.is_none() => {
                    map.names.insert((*id).clone(), (*name).clone());
                }
                several => map.doubtful.push(Doubtful {
                    name: name.clone(),
                    ids: several.iter().map(|(id, _)| (*id).clone()).collect(),
                    problem: problem.filter(|_| several.len() == 1),
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
    /// whole. Every user can read it, since agents may run as another user than its author.
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
