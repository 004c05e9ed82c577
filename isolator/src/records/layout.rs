//! Which file is where in the state folder.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::types::ContainerId;

/// What a record's temporary file ends in.
pub(super) const TEMPORARY: &str = "tmp";

#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
    containers: PathBuf,
    quarantine: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            containers: root.join("containers"),
            quarantine: root.join("quarantine"),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn containers(&self) -> &Path {
        &self.containers
    }

    pub(super) fn quarantine(&self) -> &Path {
        &self.quarantine
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(super) fn host_id(&self) -> PathBuf {
        self.root.join("host-id")
    }

    pub(super) fn record(&self, container: &ContainerId) -> PathBuf {
        self.containers.join(file_name(container))
    }
}

/// A container's file: its ids, outermost first, with everything but letters, digits, `-` and `_`
/// as `%xx`, joined by dots; a hash when that is too long for a file name.
pub(super) fn file_name(container: &ContainerId) -> String {
    use std::fmt::Write;
    let mut plain = String::new();
    for (nth, part) in container.path().iter().enumerate() {
        if nth > 0 {
            plain.push('.');
        }
        for byte in part.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => plain.push(char::from(byte)),
                other => {
                    let _ = write!(plain, "%{other:02x}");
                }
            }
        }
    }
    if plain.len() <= 200 {
        format!("{plain}.json")
    } else {
        format!("long-{}.json", hex::encode(Sha256::digest(plain)))
    }
}
