//! A library of modules, as an operator configures it: an isolator, a hook, or both.

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
    /// Whether the isolator is loaded and used.
    pub is_isolator: bool,
    /// The name of a hook of the same library, which gets the same parameters unless it has its own.
    pub hook: Option<String>,
    /// The hook's own parameters.
    pub hook_parameters: Option<Vec<(String, String)>>,
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
            is_isolator: true,
            hook: None,
            hook_parameters: None,
            files: BTreeMap::new(),
        }
    }

    /// Adds a hook of the same library.
    #[must_use]
    pub fn hook(mut self, name: impl Into<String>) -> Module {
        self.hook = Some(name.into());
        self
    }

    /// Leaves the isolator out, so that the hook is alone.
    #[must_use]
    pub fn without_isolator(mut self) -> Module {
        self.is_isolator = false;
        self
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
        let module = |name: &str, parameters: &[(String, String)]| {
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(key, value)| json!({"key": key, "value": places.fill(value)}))
                .collect();
            json!({"name": name, "parameters": parameters})
        };
        let isolator = self.is_isolator.then(|| module(&self.name, &self.parameters));
        let own = self.hook_parameters.as_ref().unwrap_or(&self.parameters);
        let hook = self.hook.as_ref().map(|name| module(name, own));
        let modules: Vec<_> = isolator.into_iter().chain(hook).collect();
        // The agent runs in a folder of its own; what cannot be made absolute it refuses by name.
        let library = std::path::absolute(&self.library).unwrap_or_else(|_| self.library.clone());
        let manifest = json!({"libraries": [{"file": library, "modules": modules}]});
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
