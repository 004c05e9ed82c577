//! Who owns the root folder of a volume, in the numbers of this host.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use rustix::fs::{AtFlags, Gid, Uid, chownat};
use rustix::io::Errno;
use volume_labels::Owner;

/// Why a volume does not get its owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OwnerError {
    /// The host's user database gives no answer.
    #[error("cannot look up user '{name}' on this agent: {cause}")]
    LookUp {
        /// The user's name.
        name: String,
        /// The answer of `getpwnam_r`.
        cause: nix::Error,
    },
    /// The host does not have the user.
    #[error("there is no user '{0}' on this agent (label attribute 'owner')")]
    NoSuchUser(String),
    /// The kernel refused to change the owner.
    #[error("cannot give {} to owner {owner}: {cause}", .path.display())]
    Refused {
        /// The volume's root folder.
        path: PathBuf,
        /// The owner.
        owner: Owner,
        /// The kernel's answer.
        cause: Errno,
    },
}

/// A user and a group of this host.
#[derive(Clone, Copy)]
struct Ids {
    uid: u32,
    gid: u32,
}

fn ids(owner: &Owner) -> Result<Ids, OwnerError> {
    let name = match owner {
        Owner::Ids { uid, gid } => return Ok(Ids { uid: *uid, gid: *gid }),
        Owner::User(name) => name,
    };
    let user = User::from_name(name).map_err(|cause| OwnerError::LookUp {
        name: name.clone(),
        cause,
    })?;
    let user = user.ok_or_else(|| OwnerError::NoSuchUser(name.clone()))?;
    Ok(Ids {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

/// The owner in the numbers of this host.
///
/// # Errors
/// When the host does not know the user.
pub(crate) fn resolved(owner: &Owner) -> Result<Owner, OwnerError> {
    let Ids { uid, gid } = ids(owner)?;
    Ok(Owner::Ids { uid, gid })
}

/// The name that this host has for a user.
pub fn name_of(uid: u32) -> Option<String> {
    User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten()
        .map(|user| user.name)
}

/// Makes `owner` the owner of the open folder `root`, which messages call `path`.
///
/// # Errors
/// When the host does not know the user, or the kernel refuses.
pub(crate) fn give(root: impl AsFd, path: &Path, owner: &Owner) -> Result<(), OwnerError> {
    let Ids { uid, gid } = ids(owner)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(root, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH).map_err(|cause| OwnerError::Refused {
        path: path.to_owned(),
        owner: owner.clone(),
        cause,
    })
}
