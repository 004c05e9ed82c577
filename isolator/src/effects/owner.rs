//! Giving a freshly mounted volume's root to its owner.

use std::os::fd::AsFd;
use std::path::Path;

use nix::unistd::User;
use rustix::fs::{AtFlags, Gid, Uid, chownat};
use volume_labels::Owner;

/// Makes `owner` the owner of the open folder `root`, which messages call `path`.
///
/// # Errors
/// One line that names the owner.
pub(super) fn give(root: impl AsFd, path: &Path, owner: &Owner) -> Result<(), String> {
    let (uid, gid) = match owner {
        Owner::Ids { uid, gid } => (*uid, *gid),
        Owner::User(name) => {
            let user = User::from_name(name)
                .map_err(|error| format!("cannot look up user '{name}' on this agent: {error}"))?;
            let user =
                user.ok_or_else(|| format!("there is no user '{name}' on this agent (label attribute 'owner')"))?;
            (user.uid.as_raw(), user.gid.as_raw())
        }
    };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(root, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
        .map_err(|error| format!("cannot give {} to owner {owner}: {error}", path.display()))
}
