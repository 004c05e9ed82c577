//! The volumes that the health monitor probes, and what it reports about them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::types::{ContainerId, VolumeFault, VolumeKey};

/// A mounted volume that at least one container holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchedVolume {
    pub(crate) volume: VolumeKey,
    pub(crate) mountpoint: PathBuf,
    /// The driver has plain directories instead of mounts, so that no mount table shows the volume.
    pub(crate) directory_backed: bool,
    pub(crate) holders: BTreeSet<ContainerId>,
}

/// A fault of one watched volume. It counts for the holders that had the volume when the round
/// began and still have it when the report arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthReport {
    pub(crate) watched: WatchedVolume,
    pub(crate) fault: VolumeFault,
    /// The end of a sentence that begins with the volume.
    pub(crate) problem: String,
}
