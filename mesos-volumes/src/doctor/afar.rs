//! What can be seen of an agent from another host: its flags, and the module's parameters among
//! them.

use std::time::Duration;

use super::agent::{Agent, AskError, Asking};
use super::finding::{Finding, State};
use super::modules::{self, Entry, MODULE};
use super::settings;
use crate::reach::Reach;

/// What was seen.
pub(crate) struct Seen {
    /// Of Mesos.
    pub(crate) version: String,
    /// Whether the agent has the module at all.
    pub(crate) has_module: bool,
    /// What keeps containers from their volumes, one line each.
    pub(crate) failures: Vec<String>,
}

/// Asks the agent at this address.
///
/// # Errors
/// Why it does not answer.
pub(crate) fn from_afar(url: &str, reach: &Reach, patience: Duration) -> Result<Seen, AskError> {
    let agent = Agent::ask(&Asking { url, reach, patience })?;
    let isolation = agent.flag("isolation");
    let is_used = isolation.split(',').any(|name| name.trim() == MODULE);
    let entry = entry(&agent);
    if !is_used && entry.is_none() {
        return Ok(Seen {
            version: agent.version,
            has_module: false,
            failures: Vec::new(),
        });
    }
    let mut findings = settings::isolation(&agent, true);
    if let Some(entry) = entry {
        let (parameters, config) = settings::parameters(&entry);
        findings.push(parameters);
        if let Some(config) = config {
            findings.push(settings::sources(&agent, &config));
            findings.push(settings::deadline(&agent, &config));
            findings.push(settings::sandbox(&agent, &config));
        }
    }
    let failed = findings.into_iter().filter(|finding| finding.state == State::Fail);
    Ok(Seen {
        version: agent.version,
        has_module: true,
        failures: failed
            .map(|Finding { found, remedy, .. }| format!("{found} -> {remedy}"))
            .collect(),
    })
}

/// The module's entry in `--modules`. What is in the folder of `--modules_dir` is known on the
/// agent's own host only.
fn entry(agent: &Agent) -> Option<Entry> {
    modules::ours(agent.flag("modules")).ok()?.into_iter().next()
}
