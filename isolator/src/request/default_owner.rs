//! Who owns a volume for which nothing names an owner: the module parameter `default_owner`.

use volume_labels::{Lifetime, Mode, Owner};

use super::{ResolveError, ResolvedRequest};
use crate::host::resolved_owner;
use crate::types::ContainerLaunch;

/// The module parameter `default_owner`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DefaultOwner {
    /// The volume keeps its owner.
    #[default]
    Unchanged,
    /// The user that the container runs as, with that user's group.
    TaskUser,
    /// Always the same one.
    Fixed(Owner),
}

impl DefaultOwner {
    /// What the parameter may be, for messages.
    pub(crate) const ACCEPTED: &'static str =
        "'unchanged' (the default), 'task-user' for the user that a container runs as, 'uid:gid' or a user's name";

    /// From the parameter's value.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value {
            "unchanged" => Some(Self::Unchanged),
            "task-user" => Some(Self::TaskUser),
            other => Owner::parse(other).map(Self::Fixed),
        }
    }

    /// The owner of what this container writes to. The root user needs no volume of its own to
    /// write to it.
    fn of(&self, launch: &ContainerLaunch) -> Option<Owner> {
        match self {
            Self::Unchanged => None,
            Self::Fixed(owner) => Some(owner.clone()),
            Self::TaskUser => {
                let user = launch.user.as_deref().filter(|user| *user != "root")?;
                Owner::parse(user)
            }
        }
    }
}

/// Gives each volume that the container may write to, and for which no label names an owner, the
/// operator's default. A volume that is only read keeps its owner.
///
/// # Errors
/// When the host has no such user.
pub(super) fn apply(
    resolved: &mut [ResolvedRequest],
    launch: &ContainerLaunch,
    default: &DefaultOwner,
) -> Result<(), ResolveError> {
    let (Some(owner), false) = (default.of(launch), resolved.is_empty()) else {
        return Ok(());
    };
    let owner = resolved_owner(&owner).map_err(ResolveError::DefaultOwner)?;
    for index in 0..resolved.len() {
        let volume = resolved[index].volume.clone();
        let mut same = resolved.iter().filter(|request| request.volume == volume);
        let is_named = same.clone().any(|request| request.requested.labels.owner.is_some());
        let is_written = same.any(|request| request.requested.labels.mode == Mode::ReadWrite);
        let is_made = resolved[index].spec.lifetime == Lifetime::Container;
        if !is_named && (is_written || is_made) {
            resolved[index].spec.owner = Some(owner.clone());
        }
    }
    Ok(())
}
