//! The operator's policy: which container may have which volume, and how.
//!
//! The first rule whose conditions all hold decides about a volume; without one the file's
//! `default` does. What a rule allows is then held against limits and, where it says so, against
//! the ids that the container holds. `docs/policy.md` describes this for operators.
//!
//! Roles come from what the container's resources are allocated to. The framework's principal is in
//! no message that an isolator gets: it is read from the agent's own checkpoint of the framework,
//! when a rule is about it.

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
use crate::request::{ResolvedRequest, claimed};
use crate::types::ContainerLaunch;

pub(crate) use file::Policy;
pub(crate) use verdict::Denied;
use verdict::{Facts, OwnerSpellings};
pub(crate) use watched::InForce;
pub use watched::PolicyError;

/// Whether the container may have all of its volumes, and what the mount of each one forbids: what
/// the policy does, and what the label adds. Where a source implies that a missing volume is
/// created (see
/// [`RequestedVolume::implies_creation`](crate::request::RequestedVolume::implies_creation)) and
/// only that is denied, the volume is allowed without being created.
///
/// # Errors
/// The first that it may not, with the rule that says so, the label and the value.
pub(crate) fn check(
    policy: &Policy,
    resolved: &mut [ResolvedRequest],
    launch: &ContainerLaunch,
    config: &Config,
    names: &NameMap,
) -> Result<Vec<MountFlags>, Denied> {
    let principal = match &launch.workload.framework_info {
        Some(file) if policy.asks_for_principal() => (config.principal_of)(file).map_err(|problem| Denied {
            by: "an unreadable principal".to_owned(),
            message: format!(
                "{}: this agent's policy is about principals, and the framework's cannot be read: {problem}",
                first_volume(resolved)
            ),
        })?,
        _ => None,
    };
    let principal = policy
        .asks_for_principal()
        .then(|| principal.as_deref().unwrap_or_default());
    let mut forbidden = Vec::new();
    let count = resolved.len();
    for request in resolved {
        let facts = Facts {
            principal,
            ..facts(request, count, launch, config, names)
        };
        let (allowed, denied) = match policy.judge(&facts) {
            Err(denied) if request.requested.implies_creation() => {
                let existing = Facts { create: false, ..facts };
                let allowed = policy.judge(&existing).map_err(|_| denied.clone())?;
                (allowed, Some(denied))
            }
            judged => (judged?, None),
        };
        // With the parameter of this name the claim is looked at before any policy.
        if allowed.require_claim && !config.require_claim {
            claimed(&request.requested.labels, launch, config, names).map_err(|problem| Denied {
                message: format!(
                    "{}: {problem} ({} of {})",
                    request.requested.display_origin(),
                    allowed.by,
                    policy.whose
                ),
                by: "require_claim".to_owned(),
            })?;
        }
        forbidden.push(allowed.forbidden.and(request.requested.labels.flags));
        if let Some(denied) = denied {
            let reason = format!("{} of {} denies that it is created", denied.by, policy.whose);
            request.deny_creation(reason);
        }
    }
    Ok(forbidden)
}

/// Origin and name of the first volume, for a problem of them all.
fn first_volume(resolved: &[ResolvedRequest]) -> String {
    resolved
        .iter()
        .take(1)
        .map(|request| request.requested.display_origin())
        .collect()
}

fn facts<'a>(
    request: &'a ResolvedRequest,
    count: usize,
    launch: &'a ContainerLaunch,
    config: &Config,
    names: &'a NameMap,
) -> Facts<'a> {
    let labels = &request.requested.labels;
    // Of a volume that is made for the container rules know the name that it is called after.
    let name = ephemeral::spelled(&request.volume.name).unwrap_or(&request.volume.name);
    let mut spellings = vec![labels.name.as_str(), name];
    spellings.extend(names.ids_of(name));
    let path = labels.path.as_path();
    let mut paths = vec![path.display().to_string()];
    if let Ok(inside) = path.strip_prefix(&config.sandbox_directory) {
        paths.push(inside.display().to_string());
    }
    Facts {
        requested: &request.requested,
        driver: &request.volume.driver,
        names: spellings,
        options: &labels.options,
        create: labels.create == Create::IfMissing || labels.lifetime == Lifetime::Container,
        paths,
        mode: labels.mode,
        // Without a label the owner is the operator's own default.
        owner: labels
            .owner
            .as_ref()
            .and(request.spec.owner.as_ref())
            .map(|owner| spelled(owner, labels.owner.as_ref())),
        user: launch.user.as_deref().unwrap_or_default(),
        role: launch.workload.role.as_deref().unwrap_or_default(),
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
