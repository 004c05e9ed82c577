//! The mount of a volume as it stands in a record.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::mountpoint::MountIdentity;

/// The mount that shows the volume, as a line of `/proc/self/mountinfo`. After a restart of the
/// agent another mount at the same place is not taken for it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Mount"))]
pub(super) struct MountV1 {
    /// The kernel's id of the mount, not to be confused with the `mount_id` that the driver gets.
    id: u64,
    /// The mount namespace that the id belongs to, in words that no other namespace of this boot
    /// has; absent when the kernel offers none, and then the id is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// Major and minor number of the file system's device, as in `8:16`.
    device: String,
    /// The folder of that file system which is mounted.
    root: String,
    /// The type of the file system, as in `ext4`.
    #[serde(rename = "type")]
    kind: String,
    /// What is mounted, as in `/dev/xvdf`.
    source: String,
    /// The folder that it is mounted on: the mountpoint, or a folder above it.
    #[cfg_attr(test, schemars(with = "String"))]
    target: PathBuf,
}

impl MountV1 {
    pub(super) fn new(mount: &MountIdentity) -> Self {
        let mount = mount.clone();
        Self {
            id: mount.id,
            namespace: mount.namespace,
            device: mount.device,
            root: mount.root,
            kind: mount.kind,
            source: mount.source,
            target: mount.target,
        }
    }

    pub(super) fn into_identity(self) -> MountIdentity {
        MountIdentity {
            id: self.id,
            namespace: self.namespace,
            device: self.device,
            root: self.root,
            kind: self.kind,
            source: self.source,
            target: self.target,
        }
    }
}
