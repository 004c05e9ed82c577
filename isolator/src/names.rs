//! The operator's name map: which id belongs to which driver's name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use operator_files::{FileError, JsonError, Kept, json};

/// Room for some 100,000 ids. A wrong path may lead to a file that never ends.
const MAX_BYTES: u64 = 16 << 20;

/// The beginning of messages about the file.
const WHAT: &str = "name map (module parameter name_map)";

/// From the storage's id to the driver's name, as the file of the parameter `name_map` has it: one
/// JSON object. Without a file every name is its own id.
///
/// Drivers such as REX-Ray find an EBS volume by its Name tag only. The map lets a label carry the
/// id from end to end, and with `require_claim` it is what ties the id that a container holds to
/// the name that the driver is given: no label is believed about that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameMap(BTreeMap<String, String>);

/// Why there is no name map. Every message is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameMapError {
    /// Says which file and why.
    #[error("{WHAT} {0}")]
    File(#[from] FileError),
    #[error("{WHAT} {}: {cause}", path.display())]
    Json { path: PathBuf, cause: JsonError },
    /// In the words of the thread that keeps the file.
    #[error("{0}")]
    NotRead(String),
}

/// The name map that is in force: the last good version of the operator's file, which label-mapper
/// replaces as a whole when a name changes.
#[derive(Debug)]
pub(crate) enum Names {
    /// The operator has named no file.
    None(Arc<NameMap>),
    File(Kept<NameMap>),
}

impl Names {
    /// Reads the file for the first time. It may be missing yet: the agent starts without it.
    ///
    /// # Errors
    /// The thread that reads cannot be started.
    pub(crate) fn of(path: Option<&Path>) -> io::Result<Self> {
        Ok(match path {
            None => Self::None(Arc::default()),
            Some(path) => Self::File(Kept::open(WHAT, path, MAX_BYTES, NameMap::parse)?),
        })
    }

    /// The last good version. Looks at the file, and reads it when it has changed; not for a thread
    /// that must not wait for a disk.
    ///
    /// # Errors
    /// When there has been no good version yet.
    pub(crate) fn current(&self) -> Result<Arc<NameMap>, NameMapError> {
        match self {
            Self::None(empty) => Ok(Arc::clone(empty)),
            Self::File(kept) => {
                let content = kept.current();
                content
                    .value
                    .ok_or_else(|| NameMapError::NotRead(content.problem.unwrap_or_default()))
            }
        }
    }
}

impl NameMap {
    /// Reads the file as it is now.
    ///
    /// # Errors
    /// When the file cannot be read, or is no name map.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, NameMapError> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = operator_files::read(path, MAX_BYTES)?;
        Self::parse(&text).map_err(|cause| NameMapError::Json {
            path: path.to_owned(),
            cause,
        })
    }

    fn parse(text: &str) -> Result<Self, JsonError> {
        json(text).map(Self)
    }

    /// What the driver calls the volume that a label names: by id where the map knows it, as
    /// spelled otherwise.
    pub(crate) fn driver_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }

    /// Whether the map has the volume, by its id or by the driver's name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name) || self.ids_of(name).next().is_some()
    }

    /// Every id whose volume the driver calls so.
    pub(crate) fn ids_of<'a>(&'a self, driver_name: &str) -> impl Iterator<Item = &'a str> {
        let tied = self.0.iter().filter(move |(_, name)| *name == driver_name);
        tied.map(|(id, _)| id.as_str())
    }

    /// Whether `id` is the volume that a label names, in the operator's word.
    pub(crate) fn is_id_of(&self, id: &str, name: &str) -> bool {
        id == name || self.0.get(id).is_some_and(|known| known == self.driver_name(name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn map() -> NameMap {
        NameMap(
            [
                ("vol-1".to_owned(), "flights".to_owned()),
                ("vol-2".to_owned(), "other".to_owned()),
            ]
            .into(),
        )
    }

    #[test]
    fn an_id_becomes_the_drivers_name_and_anything_else_stays_as_spelled() {
        assert_eq!(map().driver_name("vol-1"), "flights");
        assert_eq!(map().driver_name("flights"), "flights");
        assert_eq!(NameMap::default().driver_name("vol-1"), "vol-1");
    }

    #[test]
    fn only_the_map_ties_an_id_to_another_name() {
        for (id, name, tied) in [
            ("vol-1", "flights", true),
            ("vol-1", "vol-1", true),
            ("vol-2", "flights", false),
            ("vol-2", "vol-1", false),
            ("vol-9", "flights", false),
        ] {
            assert_eq!(map().is_id_of(id, name), tied, "{id} {name}");
        }
    }

    #[test]
    fn a_map_that_cannot_be_read_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.json");
        let missing = NameMap::read(Some(&path)).unwrap_err().to_string();
        assert!(missing.contains("names.json"), "{missing}");
        fs::write(&path, "[1]").unwrap();
        let list = NameMap::read(Some(&path)).unwrap_err().to_string();
        assert!(list.contains("name_map"), "{list}");
    }

    #[test]
    fn attack_an_id_that_is_given_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.json");
        fs::write(&path, r#"{"vol-1": "payroll", "vol-1": "scratch"}"#).unwrap();
        let problem = NameMap::read(Some(&path)).unwrap_err().to_string();
        assert!(problem.contains("'vol-1' is given twice"), "{problem}");
    }

    #[test]
    fn attack_a_name_map_that_is_replaced_by_an_endless_device_leaves_the_last_good_one_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.json");
        let names = Names::of(Some(&path)).unwrap();
        let missing = names.current().unwrap_err().to_string();
        assert!(missing.contains("names.json"), "there is none yet: {missing}");
        fs::write(&path, r#"{"vol-1": "one"}"#).unwrap();
        assert_eq!(names.current().unwrap().driver_name("vol-1"), "one");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(names.current().unwrap().driver_name("vol-1"), "one");
        fs::remove_file(&path).unwrap();
        fs::write(&path, r#"{"vol-1": "two"}"#).unwrap();
        assert_eq!(names.current().unwrap().driver_name("vol-1"), "two");
    }
}
