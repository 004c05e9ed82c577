//! Giving a freshly mounted volume's root to its owner.

use std::io;
use std::path::Path;

use nix::unistd::User;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, openat};
use volume_labels::Owner;

/// Makes `owner` the owner of the directory `root`; a symlink there is refused, not followed.
///
/// # Errors
/// One line that names the owner.
pub(super) fn give(root: &Path, owner: &Owner) -> Result<(), String> {
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
    let change = || -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(CWD, root, flags, Mode::empty())?;
        Ok(chownat(
            &directory,
            "",
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::EMPTY_PATH,
        )?)
    };
    change().map_err(|error| format!("cannot give {} to owner {owner}: {error}", root.display()))
}
