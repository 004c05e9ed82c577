//! The operator's word on which id is which driver's name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// From the storage's id to the driver's name, as the file of the parameter `name_map` has it: one JSON object. Without
/// a file every name is its own id.
///
/// Drivers such as REX-Ray find an EBS volume by its Name tag only. The map lets a label carry the id from end to end,
/// and with `require_claim` it is what ties the id that a container holds to the name that the driver is given: no label
/// is believed about that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameMap(BTreeMap<String, String>);

impl NameMap {
    /// Reads the file as it is now; label-mapper replaces it as a whole when it changes.
    ///
    /// # Errors
    /// One line that names the file.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let read = fs::read_to_string(path).map_err(|error| error.to_string());
        let names = read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        names.map(Self).map_err(|problem| {
            format!(
                "this agent cannot read its name map {} (module parameter name_map): {problem}",
                path.display()
            )
        })
    }

    /// What the driver calls the volume that a label names: by id where the map knows it, as spelled otherwise.
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
        assert!(NameMap::read(Some(&path)).unwrap_err().contains("names.json"));
        fs::write(&path, "[1]").unwrap();
        assert!(NameMap::read(Some(&path)).unwrap_err().contains("name_map"));
    }
}
