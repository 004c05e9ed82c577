//! Whether a volume is mounted: what a driver says is held against the agent's own mount table.
//!
//! | when | a volume counts as mounted if the mount that shows it |
//! |---|---|
//! | after a Mount | was not there before the call, or lies at or below the driver's place for this volume |
//! | later, and after a restart of the agent | is the one that was seen after the Mount, and nothing hides it |
//!
//! The driver's place for a volume is the path that the driver answers, without the folder that its
//! profile says it has inside its mounts (REX-Ray: `NAME/data`). What lies above that place, as a
//! separate `/var` or a tmpfs on `/run` does, proves nothing: a driver that mounts in a namespace
//! of its own leaves an empty folder of that file system to the agent.
//!
//! A driver may have a volume mounted already: for Docker on the same host, or from before its own
//! restart. Then no mount appears, and the one that is there lies at the driver's place.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::mount_table::{Mount, MountTable};
use crate::mountpoint::{MountIdentity, Mountpoint};

/// Some drivers answer an Unmount a moment before the kernel has taken the mount away.
const TAKEN_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks at what is about to go.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why a Mount that the driver reports as successful is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproven {
    /// A table that cannot be read proves nothing, neither that the volume is mounted nor that it
    /// is not.
    #[error("cannot read the mount table: {0}")]
    Table(#[from] io::Error),
    /// The agent does not even see the folder.
    #[error(
        "the driver says that it is mounted at {}, where this agent sees no mount ({cause}): let the driver mount in the host's \
         mount namespace",
        .path.display()
    )]
    Unseen {
        /// The path that the driver answered.
        path: PathBuf,
        /// The kernel's words.
        cause: Errno,
    },
    /// The path belongs to a file system that was there before, and that holds more than this
    /// volume.
    #[error(
        "the driver says that it is mounted at {}, where this agent sees no mount but {what}: let the driver mount in the host's \
         mount namespace (or name it in the module parameter directory_backed_drivers, if its volumes are plain folders there)",
        .path.display()
    )]
    Around {
        /// The path that the driver answered.
        path: PathBuf,
        /// What is seen there instead.
        what: String,
    },
}

/// Where a driver keeps one volume.
pub(crate) struct Place<'a> {
    /// What the driver answers to Mount.
    pub(crate) mountpoint: &'a Path,
    /// The folder inside its mount that the driver answers, from its profile.
    pub(crate) folder_in_mount: Option<&'a str>,
}

impl Place<'_> {
    /// Whether a mount lies there, and thus holds nothing but this volume.
    fn is_of(&self, mount: &Mount) -> bool {
        mount.mountpoint.starts_with(self.without_inner_folder(self.mountpoint))
    }

    fn without_inner_folder<'a>(&self, path: &'a Path) -> &'a Path {
        self.folder_in_mount
            .filter(|folder| path.ends_with(folder) && !folder.is_empty())
            .and_then(|_| path.parent())
            .unwrap_or(path)
    }

    /// The mount that shows the volume, of which the driver says that it has mounted it.
    ///
    /// # Errors
    /// When there is none: the volume is not to be used.
    pub(crate) fn proof_of_mount(&self, before: &MountTable) -> Result<Proof, Unproven> {
        let unseen = |cause| Unproven::Unseen {
            path: self.mountpoint.to_owned(),
            cause,
        };
        // The driver's path may have symlinks in it (`/var/run`), which the kernel's table never
        // has. Opening a folder in this way asks no server behind the mount, so that a dead one
        // cannot keep this waiting.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(self.mountpoint, flags, Mode::empty()).map_err(unseen)?;
        let link = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let path = fs::read_link(link)?;
        let mount = match mount_shown_at(&folder, &path)? {
            Some(mount) => mount,
            // A line can be missing while other mounts go (before Linux 5.8).
            None => mount_shown_at(&folder, &path)?.ok_or_else(|| unseen(Errno::NOENT))?,
        };
        let real = Place {
            mountpoint: &path,
            folder_in_mount: self.folder_in_mount,
        };
        if mount.mountpoint != Path::new("/") {
            let is_at_its_place = real.is_of(&mount);
            if is_at_its_place || !before.has(&mount) {
                return Ok(Proof {
                    mount,
                    path,
                    is_at_its_place,
                });
            }
        }
        Err(Unproven::Around {
            path: self.mountpoint.to_owned(),
            what: match mount.mountpoint.as_path() {
                root if root == Path::new("/") => "the host's root file system".to_owned(),
                _ => format!("{}, which was there before", mount.identity()),
            },
        })
    }

    /// The mount by which the volume is still mounted, whatever hides it; `None` when it is
    /// certainly not mounted.
    ///
    /// # Errors
    /// When the table cannot be read, which proves nothing.
    pub(crate) fn mounted_still(&self, at: &Mountpoint) -> io::Result<Option<Mount>> {
        match self.mounted_in(&MountTable::read()?, at) {
            // A line can be missing while other mounts go (before Linux 5.8).
            None => Ok(self.mounted_in(&MountTable::read()?, at)),
            mounted => Ok(mounted),
        }
    }

    /// As [`Self::mounted_still`], for a volume that the driver says it has just unmounted: waits a
    /// moment for it to go.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn mounted_after_unmount(&self, at: &Mountpoint) -> io::Result<Option<Mount>> {
        let deadline = Instant::now() + TAKEN_AWAY_WITHIN;
        loop {
            match self.mounted_still(at)? {
                Some(_) if Instant::now() < deadline => thread::sleep(LOOK_AGAIN),
                seen => return Ok(seen),
            }
        }
    }

    fn mounted_in(&self, table: &MountTable, at: &Mountpoint) -> Option<Mount> {
        match &at.mount {
            Some(identity) => table.any_like(identity),
            // A record of an earlier build does not say which mount it was.
            None => table.nearest(&at.path).filter(|mount| self.is_of(mount)),
        }
        .cloned()
    }

    /// The mount that a new user of the volume can take over: the one that was seen after the
    /// Mount, and nothing hides it.
    pub(crate) fn usable_still(&self, at: &Mountpoint) -> Option<Mount> {
        let table = MountTable::read_for(&at.path).ok()?;
        match &at.mount {
            Some(identity) => MountTable::read_for(&identity.target).ok()?.find(identity).cloned(),
            None => table.nearest(&at.path).filter(|mount| self.is_of(mount)).cloned(),
        }
    }
}

/// By what a Mount is proven.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) mount: Mount,
    /// The driver's path without symlinks.
    pub(crate) path: PathBuf,
    /// The mount lies at the driver's place for this volume. Otherwise it lies above it and came
    /// with the call, and may hold more than this volume: some drivers mount once, and give each
    /// volume a folder there.
    pub(crate) is_at_its_place: bool,
}

/// The mount that the kernel shows at an open folder.
fn mount_shown_at(folder: &OwnedFd, path: &Path) -> io::Result<Option<Mount>> {
    let table = MountTable::read()?;
    let mount = match mount_id(folder) {
        Some(id) => table.shown_by(id),
        None => table.shown_at(path),
    };
    Ok(mount.cloned())
}

/// The id of the mount that an open folder lies on; `None` before Linux 3.15.
fn mount_id(folder: &OwnedFd) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", folder.as_raw_fd())).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    id.trim().parse().ok()
}

/// A process in another mount namespace that has the file system of `mount` at a place where this
/// namespace does not have it: another container uses the volume. A namespace that is a mere copy
/// of this one has it at the same place.
pub fn user_in_another_namespace(mount: &MountIdentity) -> Option<String> {
    let own_namespace = fs::read_link("/proc/self/ns/mnt").ok()?;
    let own: Vec<PathBuf> = MountTable::read().ok()?.places_of(&mount.device);
    let mut seen = vec![own_namespace];
    for entry in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let Some(namespace) = is_process
            .then(|| fs::read_link(entry.path().join("ns/mnt")).ok())
            .flatten()
        else {
            continue;
        };
        if seen.contains(&namespace) {
            continue;
        }
        seen.push(namespace);
        let Ok(table) = MountTable::read_of(&entry.path()) else {
            continue;
        };
        if table.places_of(&mount.device).iter().any(|place| !own.contains(place)) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(format!("process {} ({})", entry.file_name().display(), name.trim()));
        }
    }
    None
}
