//! Where a volume goes in its container.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::MAX_PATH_BYTES;
use crate::value::has_control;

/// What `Slot::path` accepts, for messages.
pub(crate) const ACCEPTED: &str =
    "a path in the container, absolute or relative to the sandbox, without '..', for example 'data' or '/var/lib/app'";

/// The kernel's limit for one component of a path.
const MAX_COMPONENT_BYTES: usize = 255;

/// A path in the container, normalised: no `.`, no `..`, no `//`, no `/` at the end, never the sandbox itself and
/// never the root. Nothing has been resolved: a component may still be a symbolic link in there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ContainerPath {
    /// Below the sandbox; no leading `/`.
    Relative(PathBuf),
    /// From the container's root; a leading `/`.
    Absolute(PathBuf),
}

impl ContainerPath {
    /// Parses and normalises.
    ///
    /// # Errors
    /// What is wrong, in a few words that can follow the path and a colon.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the path is empty");
        }
        if text.len() > MAX_PATH_BYTES {
            return Err("the path is longer than 1024 bytes");
        }
        if has_control(text) {
            return Err("the path has control characters");
        }
        let mut path = String::new();
        for component in text.split('/').filter(|c| !c.is_empty() && *c != ".") {
            if component == ".." {
                return Err("the path has a '..'");
            }
            if component.len() > MAX_COMPONENT_BYTES {
                return Err("a component of the path is longer than 255 bytes");
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(component);
        }
        match (text.starts_with('/'), path.is_empty()) {
            (true, true) => Err("the path is the container's root"),
            (false, true) => Err("the path is the sandbox itself"),
            (true, false) => Ok(Self::Absolute(PathBuf::from(format!("/{path}")))),
            (false, false) => Ok(Self::Relative(PathBuf::from(path))),
        }
    }

    /// The path, with a leading `/` when absolute.
    pub fn as_path(&self) -> &Path {
        match self {
            Self::Relative(path) | Self::Absolute(path) => path,
        }
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().display().fmt(f)
    }
}

impl TryFrom<String> for ContainerPath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ContainerPath> for String {
    fn from(path: ContainerPath) -> Self {
        path.to_string()
    }
}
