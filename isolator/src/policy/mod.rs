//! The operator's policy: which container may have which volume, and how.
//!
//! The first rule whose conditions all hold decides about a volume; without one the file's `default` does. What a rule
//! allows is then held against limits and, where it says so, against the ids that the container holds. `docs/policy.md`
//! tells operators the same.
//!
//! What Mesos does not tell an isolator cannot be a condition: the principal of the framework is not in any message that
//! `prepare` gets. Roles are, as what the container's resources are allocated to, and the master's ACLs tie principals to roles.

mod file;
mod pattern;
mod size;
mod verdict;
mod watched;

use volume_labels::{Create, Lifetime};

use crate::config::Config;
use crate::names::NameMap;
use crate::request::{Wish, claimed};
use crate::types::ContainerLaunch;

pub(crate) use file::Policy;
pub(crate) use verdict::Denied;
use verdict::Facts;
pub(crate) use watched::PolicyFile;

/// Whether the container may have all of its volumes.
///
/// # Errors
/// The first that it may not, with the rule that says so, the label and the value.
pub(crate) fn check(
    policy: &Policy,
    wishes: &[Wish],
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
) -> Result<(), Denied> {
    for wish in wishes {
        let facts = facts(wish, wishes.len(), launch, config, names);
        let allowed = policy.judge(&facts)?;
        // With the parameter of this name the claim is looked at before any policy.
        if allowed.require_claim && !config.require_claim {
            claimed(&wish.labels, launch, config, names).map_err(|problem| Denied {
                message: format!("{}: {problem} ({} of this agent's policy)", facts.label(), allowed.by),
                by: "require_claim".to_owned(),
            })?;
        }
    }
    Ok(())
}

fn facts<'a>(
    wish: &'a Wish,
    count: usize,
    launch: &'a ContainerLaunch,
    config: &Config,
    names: &'a NameMap,
) -> Facts<'a> {
    let labels = &wish.labels;
    let mut spellings = vec![labels.name.as_str(), wish.volume.name.as_str()];
    spellings.extend(names.ids_of(&wish.volume.name));
    let path = labels.path.as_path();
    let mut paths = vec![path.display().to_string()];
    if let Ok(inside) = path.strip_prefix(&config.sandbox_directory) {
        paths.push(inside.display().to_string());
    }
    Facts {
        slot: labels.slot.as_str(),
        driver: &wish.volume.driver,
        names: spellings,
        options: &labels.options,
        create: labels.create == Create::IfMissing || labels.lifetime == Lifetime::Container,
        paths,
        mode: labels.mode,
        owner: labels.owner.as_ref().map(ToString::to_string),
        user: launch.user.as_deref().unwrap_or_default(),
        role: launch.origin.role.as_deref().unwrap_or_default(),
        count,
    }
}

#[cfg(test)]
mod tests;
