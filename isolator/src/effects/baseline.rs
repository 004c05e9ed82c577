//! What a volume's mount was like when it was made: what turned out otherwise since then went wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mount_table::{MountIdentity, MountTable, Standing};
use crate::types::VolumeKey;

/// By volume, its mount as first seen. Written by whoever mounts, before any container has the volume; of one from before
/// the agent's restart by the monitor at its first look.
#[derive(Clone, Default)]
pub(crate) struct Baselines(Arc<Mutex<BTreeMap<VolumeKey, Baseline>>>);

/// A mount as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Baseline {
    /// None of a directory-backed volume.
    pub(super) mount: Option<MountIdentity>,
    pub(super) standing: Standing,
}

impl Baseline {
    /// The mount that `mountpoint` lies on now; `None` when there is none.
    pub(super) fn of(table: &MountTable, mountpoint: &Path, directory_backed: bool) -> Option<Self> {
        if directory_backed {
            let standing = table.standing(mountpoint)?;
            return Some(Self { mount: None, standing });
        }
        let (mount, standing) = table.seen(mountpoint)?;
        Some(Self {
            mount: Some(mount),
            standing,
        })
    }
}

impl Baselines {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<VolumeKey, Baseline>> {
        // No invariant spans a panic here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volume was mounted just now.
    pub(super) fn set(&self, volume: &VolumeKey, baseline: Baseline) {
        self.lock().insert(volume.clone(), baseline);
    }

    /// The volume is not mounted any more.
    pub(super) fn forget(&self, volume: &VolumeKey) {
        self.lock().remove(volume);
    }

    /// What the mount was like; `now`, if nobody knows.
    pub(super) fn of(&self, volume: &VolumeKey, now: &Baseline) -> Baseline {
        self.lock().entry(volume.clone()).or_insert_with(|| now.clone()).clone()
    }
}
