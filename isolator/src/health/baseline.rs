//! What a volume's mount was like when it was made: what turned out otherwise since then went wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::mount_table::{Mount, MountTable, Standing};
use crate::mountpoint::MountIdentity;
use crate::types::VolumeKey;

/// By volume, its mount as first seen. Written by whoever mounts, before any container has the volume, and at a start of the
/// agent from its records; of a record that does not tell the mount by the monitor at its first look.
#[derive(Clone, Default)]
pub(crate) struct Baselines(Arc<Mutex<BTreeMap<VolumeKey, Baseline>>>);

/// A mount as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// The driver's path.
    pub(crate) mountpoint: PathBuf,
    /// None of a directory-backed volume.
    pub(crate) mount: Option<MountIdentity>,
    pub(crate) standing: Standing,
}

impl Baseline {
    /// Of a mount that shows the volume at the driver's path.
    pub(crate) fn of(mount: &Mount, mountpoint: &Path) -> Self {
        Self {
            mountpoint: mountpoint.to_owned(),
            mount: Some(mount.identity()),
            standing: mount.standing,
        }
    }

    /// The first look at a volume of which no record says what its mount was like; `None` when nothing is mounted there.
    pub(crate) fn first(table: &MountTable, mountpoint: &Path, directory_backed: bool) -> Option<Self> {
        if directory_backed {
            return Some(Self {
                mountpoint: mountpoint.to_owned(),
                mount: None,
                standing: table.standing(mountpoint)?,
            });
        }
        Some(Self::of(table.nearest(mountpoint)?, mountpoint))
    }
}

impl Baselines {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<VolumeKey, Baseline>> {
        // No invariant spans a panic here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume was mounted just now.
    pub(crate) fn set(&self, volume: &VolumeKey, baseline: Baseline) {
        self.lock().insert(volume.clone(), baseline);
    }

    /// As [`Self::set`], for a mount that came with the call and lies above the driver's path, if no other volume has
    /// another path on that mount.
    ///
    /// # Errors
    /// The other volume: then the mount is the driver's own, and each volume is a folder of it.
    pub(crate) fn set_if_its_own(&self, volume: &VolumeKey, baseline: Baseline) -> Result<(), VolumeKey> {
        let mut all = self.lock();
        let other = all.iter().find(|(key, known)| {
            *key != volume && known.mount == baseline.mount && known.mountpoint != baseline.mountpoint
        });
        if let Some((other, _)) = other {
            return Err(other.clone());
        }
        all.insert(volume.clone(), baseline);
        Ok(())
    }

    /// The other volumes that have this path, or that lie on this mount.
    pub(crate) fn others_at(&self, volume: &VolumeKey, path: &Path, mount: Option<&MountIdentity>) -> Vec<VolumeKey> {
        let is_there = |known: &Baseline| {
            let is_one_mount = known
                .mount
                .as_ref()
                .zip(mount)
                .is_some_and(|(one, other)| one.is_same(other));
            is_one_mount || known.mountpoint == path
        };
        let all = self.lock();
        let others = all.iter().filter(|(key, known)| *key != volume && is_there(known));
        others.map(|(key, _)| key.clone()).collect()
    }

    /// The volume is not mounted any more.
    pub(crate) fn forget(&self, volume: &VolumeKey) {
        self.lock().remove(volume);
    }

    /// Whether the volume's mount is the one that was noted for it, and nothing hides it. Of a volume that is not noted, as a
    /// plain directory is not, nobody can tell.
    ///
    /// # Errors
    /// What is the case instead, in words for the container's framework.
    pub(crate) fn is_there(&self, volume: &VolumeKey) -> Result<(), String> {
        let known = self.lock().get(volume).cloned();
        let Some(Baseline {
            mountpoint,
            mount: Some(mount),
            ..
        }) = known
        else {
            return Ok(());
        };
        for _ in 0..2 {
            let table =
                MountTable::read_for(&mount.target).map_err(|error| format!("cannot read the mount table: {error}"))?;
            if table.find(&mount).is_some() {
                return Ok(());
            }
            // A line can be missing while other mounts go (before Linux 5.8).
        }
        Err(format!(
            "its mount at {} disappeared while another container used it",
            mountpoint.display()
        ))
    }

    /// What the mount was like; of a volume that nobody has looked at yet what `first` sees, and `None` when that is nothing.
    pub(crate) fn of(&self, volume: &VolumeKey, first: impl FnOnce() -> Option<Baseline>) -> Option<Baseline> {
        let mut all = self.lock();
        match all.get(volume) {
            Some(known) => Some(known.clone()),
            None => {
                let seen = first()?;
                all.insert(volume.clone(), seen.clone());
                Some(seen)
            }
        }
    }
}
