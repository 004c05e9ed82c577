//! What a running agent says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// An agent that is well answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Its version and the flags it runs with, those left at their defaults included.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) version: String,
    flags: BTreeMap<String, String>,
}

/// How to ask it.
pub(super) struct Asking<'a> {
    pub(super) url: &'a str,
    /// A file with a principal and its secret, separated by a space.
    pub(super) credential: Option<&'a Path>,
}

impl Agent {
    /// # Errors
    /// Why it does not say.
    pub(super) fn ask(asking: &Asking<'_>) -> Result<Agent, String> {
        let credential = asking.credential.map(read_credential).transpose()?;
        let version = get(asking.url, "/version", credential.as_deref())?;
        let flags = get(asking.url, "/flags", credential.as_deref())?;
        let flags = flags["flags"].as_object().ok_or("its /flags has no flags")?;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(Agent {
            version: version["version"].as_str().unwrap_or_default().to_owned(),
            flags: flags.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        })
    }

    /// A flag's value; empty when it is not set.
    pub(super) fn flag(&self, name: &str) -> &str {
        self.flags.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What `--modules` says, or the files of `--modules_dir` in the order in which the agent reads them.
    ///
    /// # Errors
    /// One line about the folder or the file.
    pub(super) fn modules(&self) -> Result<Vec<String>, String> {
        let folder = self.flag("modules_dir");
        if folder.is_empty() {
            return Ok(vec![self.flag("modules").to_owned()]);
        }
        let folder = Path::new(folder.strip_prefix("file://").unwrap_or(folder));
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|error| failed(folder, error))?;
        files.sort();
        files
            .iter()
            .map(|file| fs::read_to_string(file).map_err(|error| failed(file, error)))
            .collect()
    }
}

fn read_credential(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [principal, secret] => Ok(format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("{principal}:{secret}"))
        )),
        _ => Err(format!(
            "{}: it is not a principal and a secret, separated by a space",
            file.display()
        )),
    }
}

fn get(url: &str, path: &str, credential: Option<&str>) -> Result<Value, String> {
    let url = format!("{}{path}", url.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        // An agent is asked directly, whatever the environment says.
        .proxy(None)
        .build()
        .into();
    let mut request = agent.get(&url);
    if let Some(credential) = credential {
        request = request.header("Authorization", credential);
    }
    let failed = |problem: String| format!("{url}: {problem}");
    let mut response = request.call().map_err(|error| failed(error.to_string()))?;
    match response.status().as_u16() {
        200 => {}
        status @ (401 | 403) => return Err(failed(format!("HTTP {status}: it wants a credential (--credential)"))),
        status => return Err(failed(format!("HTTP {status}"))),
    }
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(format!("not JSON: {error}")))
}
