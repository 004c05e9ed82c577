//! The operator's policy: which container may have which volume, and how.
//!
//! The first rule whose conditions all hold decides about a volume; without one the file's `default` does. What a rule
//! allows is then held against limits and, where it says so, against the ids that the container holds. `docs/policy.md`
//! tells operators the same.
//!
//! Roles come from what the container's resources are allocated to. The framework's principal is in no message that an isolator
//! gets: it is read from the agent's own checkpoint of the framework, when a rule is about it.

mod file;
mod pattern;
mod size;
mod verdict;
mod watched;

use volume_labels::{Create, Lifetime, MountFlags, Owner};

use crate::config::Config;
use crate::ephemeral;
use crate::host::name_of;
use crate::names::NameMap;
use crate::request::{Wish, claimed};
use crate::types::ContainerLaunch;

pub(crate) use file::Policy;
pub(crate) use verdict::Denied;
use verdict::{Facts, OwnerSpellings};
pub(crate) use watched::InForce;

/// Whether the container may have all of its volumes, and what the mount of each one forbids: what the policy does, and what
/// the label adds. Where a source implies that a missing volume is created (see
/// [`Asked::implies_creation`](crate::request::Asked::implies_creation)) and only that is denied, the volume is allowed without being
/// created.
///
/// # Errors
/// The first that it may not, with the rule that says so, the label and the value.
pub(crate) fn check(
    policy: &Policy,
    wishes: &mut [Wish],
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
) -> Result<Vec<MountFlags>, Denied> {
    let principal = match &launch.origin.framework_info {
        Some(file) if policy.asks_for_principal() => (config.principal_of)(file).map_err(|problem| Denied {
            by: "an unreadable principal".to_owned(),
            message: format!(
                "{}: this agent's policy is about principals, and the framework's cannot be read: {problem}",
                said(wishes)
            ),
        })?,
        _ => None,
    };
    let principal = policy
        .asks_for_principal()
        .then(|| principal.as_deref().unwrap_or_default());
    let mut forbidden = Vec::new();
    let count = wishes.len();
    for wish in wishes {
        let facts = Facts {
            principal,
            ..facts(wish, count, launch, config, names)
        };
        let (allowed, denied) = match policy.judge(&facts) {
            Err(denied) if wish.asked.implies_creation() => {
                let existing = Facts { create: false, ..facts };
                let allowed = policy.judge(&existing).map_err(|_| denied.clone())?;
                (allowed, Some(denied))
            }
            judged => (judged?, None),
        };
        // With the parameter of this name the claim is looked at before any policy.
        if allowed.require_claim && !config.require_claim {
            claimed(&wish.asked.labels, launch, config, names).map_err(|problem| Denied {
                message: format!("{}: {problem} ({} of {})", wish.asked.said(), allowed.by, policy.whose),
                by: "require_claim".to_owned(),
            })?;
        }
        forbidden.push(allowed.forbidden.and(wish.asked.labels.flags));
        if let Some(denied) = denied {
            let reason = format!("{} of {} denies that it is created", denied.by, policy.whose);
            wish.deny_creation(reason);
        }
    }
    Ok(forbidden)
}

/// The first volume, for a problem of all.
fn said(wishes: &[Wish]) -> String {
    wishes.iter().take(1).map(|wish| wish.asked.said()).collect()
}

fn facts<'a>(
    wish: &'a Wish,
    count: usize,
    launch: &'a ContainerLaunch,
    config: &Config,
    names: &'a NameMap,
) -> Facts<'a> {
    let labels = &wish.asked.labels;
    // Of a volume that is made for the container rules know the name that it is called after.
    let name = ephemeral::spelled(&wish.volume.name).unwrap_or(&wish.volume.name);
    let mut spellings = vec![labels.name.as_str(), name];
    spellings.extend(names.ids_of(name));
    let path = labels.path.as_path();
    let mut paths = vec![path.display().to_string()];
    if let Ok(inside) = path.strip_prefix(&config.sandbox_directory) {
        paths.push(inside.display().to_string());
    }
    Facts {
        asked: &wish.asked,
        driver: &wish.volume.driver,
        names: spellings,
        options: &labels.options,
        create: labels.create == Create::IfMissing || labels.lifetime == Lifetime::Container,
        paths,
        mode: labels.mode,
        // Without a label the owner is the operator's own default.
        owner: labels
            .owner
            .as_ref()
            .and(wish.spec.owner.as_ref())
            .map(|owner| spelled(owner, labels.owner.as_ref())),
        user: launch.user.as_deref().unwrap_or_default(),
        role: launch.origin.role.as_deref().unwrap_or_default(),
        principal: None,
        count,
    }
}

fn spelled(owner: &Owner, written: Option<&Owner>) -> OwnerSpellings {
    let numbers = owner.to_string();
    let written = written.map_or_else(|| numbers.clone(), ToString::to_string);
    let known = match owner {
        Owner::Ids { uid, .. } => name_of(*uid),
        Owner::User(_) => None,
    };
    OwnerSpellings {
        written,
        numbers,
        known,
    }
}

#[cfg(test)]
mod tests;
