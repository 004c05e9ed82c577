//! What a volume's mount was like when it was made. A difference since then is a fault.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::mount_table::{Mount, MountTable, Standing};
use crate::mountpoint::MountIdentity;
use crate::types::VolumeKey;

/// Why a volume that another container holds is not given to a second one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LostMount {
    #[error("cannot read the mount table: {0}")]
    Table(#[from] io::Error),
    #[error("its mount at {} disappeared while another container used it", .0.display())]
    Disappeared(PathBuf),
}

/// The mount of each volume as it was first seen. The thread that mounts a volume writes its
/// baseline before any container has the volume; at a start of the agent it comes from the records.
/// When a record does not describe the mount, the monitor writes the baseline in its first round.
#[derive(Clone, Default)]
pub(crate) struct Baselines(Arc<Mutex<BTreeMap<VolumeKey, Baseline>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// The driver's path.
    pub(crate) mountpoint: PathBuf,
    /// `None` for a directory-backed volume.
    pub(crate) mount: Option<MountIdentity>,
    pub(crate) standing: Standing,
}

impl Baseline {
    /// The baseline of a mount that shows the volume at the driver's path.
    pub(crate) fn of(mount: &Mount, mountpoint: &Path) -> Self {
        Self {
            mountpoint: mountpoint.to_owned(),
            mount: Some(mount.identity()),
            standing: mount.standing,
        }
    }

    /// The baseline of a volume whose record does not describe the mount; `None` when nothing is
    /// mounted there.
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

    /// Replaces the baseline, since the volume was mounted just now.
    pub(crate) fn set(&self, volume: &VolumeKey, baseline: Baseline) {
        self.lock().insert(volume.clone(), baseline);
    }

    /// As [`Self::set`], for a mount that came with the call and lies above the driver's path, if
    /// no other volume has another path on that mount.
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

    /// Checks that the volume's mount is the one of its baseline, and that nothing hides it. A
    /// volume without a described mount, as a plain directory is, passes.
    ///
    /// # Errors
    /// When the mount is gone or hidden.
    pub(crate) fn check_mounted(&self, volume: &VolumeKey) -> Result<(), LostMount> {
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
            let table = MountTable::read_for(&mount.target)?;
            if table.find(&mount).is_some() {
                return Ok(());
            }
            // A line can be missing while other mounts go (before Linux 5.8).
        }
        Err(LostMount::Disappeared(mountpoint))
    }

    /// The baseline; when there is none, it becomes what `first` returns.
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
