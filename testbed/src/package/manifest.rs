//! Which file of which PyPI project is which Mesos release.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::PackageError;

/// One official build of the Mesos library.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// The Mesos release, as in `1.11.0`.
    pub version: String,
    /// The project on PyPI.
    pub project: String,
    /// The file of that project.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The shared library in it.
    pub library: String,
}

impl Package {
    /// The packages the testbed knows, oldest release first.
    pub fn all() -> Vec<Package> {
        serde_json::from_str(include_str!("../../packages.json")).expect("packages.json is part of the program")
    }

    /// The package of a release.
    ///
    /// # Errors
    /// The manifest does not have it; the message lists what it has.
    pub fn find(version: &str) -> Result<Package, PackageError> {
        let all = Package::all();
        let known = all
            .iter()
            .map(|package| package.version.clone())
            .collect::<Vec<_>>()
            .join(", ");
        all.into_iter()
            .find(|package| package.version == version)
            .ok_or_else(|| PackageError::UnknownVersion {
                version: version.to_owned(),
                known,
            })
    }

    /// Checks that the file at `path` is this package, byte for byte.
    ///
    /// # Errors
    /// Size or digest differ, or the file cannot be read.
    pub fn verify(&self, path: &Path) -> Result<(), PackageError> {
        let file = File::open(path).map_err(PackageError::io("open", path))?;
        let size = file.metadata().map_err(PackageError::io("read", path))?.len();
        if size != self.size {
            return Err(self.altered("size", self.size.to_string(), size.to_string()));
        }
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut digest = Sha256::new();
        let mut block = vec![0; 1 << 20];
        loop {
            let count = reader.read(&mut block).map_err(PackageError::io("read", path))?;
            if count == 0 {
                break;
            }
            digest.update(&block[..count]);
        }
        let found = hex::encode(digest.finalize());
        if found != self.sha256 {
            return Err(self.altered("sha256", self.sha256.clone(), found));
        }
        Ok(())
    }

    fn altered(&self, what: &'static str, expected: String, found: String) -> PackageError {
        PackageError::Altered {
            file: self.file.clone(),
            what,
            expected,
            found,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::package::DEFAULT_VERSION;

    fn versions() -> Vec<String> {
        Package::all().into_iter().map(|package| package.version).collect()
    }

    fn repository(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("it is in the repository");
        fs::read_to_string(root.join(path)).expect("the file is there")
    }

    /// `packages.json` is the list of releases; the others follow it.
    #[test]
    fn the_module_knows_the_releases_of_the_manifest_and_no_others() {
        let header = repository("mesos-module/abi/releases.hpp");
        let entries = header.lines().filter_map(|line| line.trim().strip_prefix('{'));
        let known: Vec<String> = entries
            .filter_map(|entry| entry.split_once(", Shape::").map(|(minor, _)| format!("1.{minor}.")))
            .collect();
        let versions = versions();
        assert_eq!(known.len(), versions.len(), "{known:?}");
        assert!(
            known
                .iter()
                .zip(&versions)
                .all(|(line, version)| version.starts_with(line)),
            "{known:?}, {versions:?}"
        );
        for (constant, value) in [
            ("OLDEST_KNOWN", known[0].trim_end_matches('.')),
            ("NEWEST_KNOWN", known[known.len() - 1].trim_end_matches('.')),
            ("NEWEST_TESTED", DEFAULT_VERSION),
        ] {
            assert!(header.contains(&format!("{constant} = \"{value}\";")), "{constant}");
        }
        assert_eq!(versions.last().map(String::as_str), Some(DEFAULT_VERSION));
    }

    #[test]
    fn every_release_of_the_manifest_has_its_test() {
        let tests = repository("tests/tests/releases.rs");
        for version in versions() {
            let name = format!("mesos_{}: \"{version}\",", version.replace('.', "_"));
            assert!(tests.contains(&name), "{name}");
        }
    }
}
