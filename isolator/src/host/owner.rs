//! Giving a freshly mounted volume's root to its owner.

use std::os::fd::AsFd;
use std::path::Path;

use nix::unistd::User;
use rustix::fs::{AtFlags, Gid, Uid, chownat};
use volume_labels::Owner;

/// The owner in numbers, as this host knows them.
///
/// # Errors
/// One line that names a user who is not there.
pub(crate) fn resolved(owner: &Owner) -> Result<Owner, String> {
    let Owner::User(name) = owner else {
        return Ok(owner.clone());
    };
    let user = User::from_name(name).map_err(|error| format!("cannot look up user '{name}' on this agent: {error}"))?;
    let user = user.ok_or_else(|| format!("there is no user '{name}' on this agent (label attribute 'owner')"))?;
    Ok(Owner::Ids {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    })
}

/// The name that this host has for a user.
pub(crate) fn name_of(uid: u32) -> Option<String> {
    User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten()
        .map(|user| user.name)
}

/// Makes `owner` the owner of the open folder `root`, which messages call `path`.
///
/// # Errors
/// One line that names the owner.
pub(crate) fn give(root: impl AsFd, path: &Path, owner: &Owner) -> Result<(), String> {
    let Owner::Ids { uid, gid } = resolved(owner)? else {
        return Err(format!("owner {owner} has no numbers"));
    };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(root, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
        .map_err(|error| format!("cannot give {} to owner {owner}: {error}", path.display()))
}
