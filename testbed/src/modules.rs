//! An isolator module, as an operator configures it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cluster::Places;

/// A module's library, its name in that library, and its parameters.
#[derive(Debug, Clone)]
pub struct Module {
    /// The shared library.
    pub library: PathBuf,
    /// The module's name: the symbol in the library and the word in `--isolation`.
    pub name: String,
    /// The parameters, in order. A value may use the places of [`AgentSpec`](crate::AgentSpec).
    pub parameters: Vec<(String, String)>,
    /// Files by name, written into the agent's folder before each start; a parameter names one as `{agent}/<name>`.
    pub files: BTreeMap<String, String>,
}

impl Module {
    /// A module without parameters.
    pub fn new(library: impl Into<PathBuf>, name: impl Into<String>) -> Module {
        Module {
            library: library.into(),
            name: name.into(),
            parameters: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, key: impl Into<String>, value: impl Into<String>) -> Module {
        self.parameters.push((key.into(), value.into()));
        self
    }

    /// Adds a file to the agent's folder, and a parameter that names it.
    #[must_use]
    pub fn parameter_file(mut self, key: impl Into<String>, name: &str, text: impl Into<String>) -> Module {
        self.files.insert(name.to_owned(), text.into());
        self.parameter(key, format!("{{agent}}/{name}"))
    }

    /// What `--modules` takes.
    pub(crate) fn manifest(&self, places: &Places<'_>) -> String {
        let parameters: Vec<_> = self
            .parameters
            .iter()
            .map(|(key, value)| json!({"key": key, "value": places.fill(value)}))
            .collect();
        let module = json!({"name": self.name, "parameters": parameters});
        // The agent runs in a folder of its own; what cannot be made absolute it refuses by name.
        let library = std::path::absolute(&self.library).unwrap_or_else(|_| self.library.clone());
        let manifest = json!({"libraries": [{"file": library, "modules": [module]}]});
        serde_json::to_string_pretty(&manifest).expect("a JSON value can be written") + "\n"
    }
}

/// Flags of a Mesos program by name; a later value of the same name wins.
#[derive(Debug, Default)]
pub(crate) struct Flags(BTreeMap<String, String>);

impl Flags {
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Flags {
        // `--no-x` and `--x=false` are one flag.
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn path(&mut self, name: &str, path: &Path) -> &mut Flags {
        self.set(name, path.display().to_string())
    }

    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(name, value)| format!("--{name}={value}"))
    }
}
