//! Where a volume is mounted, and which mount it is there.

use std::fmt;
use std::path::{Path, PathBuf};

/// The path that a driver answered to Mount, with the mount that was seen there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mountpoint {
    /// The driver's path of the volume. It is the mountpoint itself, or a folder below it (REX-Ray:
    /// `NAME/data`).
    pub path: PathBuf,
    /// The mount that shows the volume there. Records of earlier builds do not have it, and a plain
    /// directory has none.
    pub mount: Option<MountIdentity>,
}

/// One mount of the agent's mount table, described so that another mount at the same place is not
/// taken for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountIdentity {
    /// The kernel's id of the mount, as `/proc/self/mountinfo` shows it. The kernel reuses it after
    /// an unmount, and it holds in one mount namespace only.
    pub id: u64,
    /// The mount namespace that the id belongs to, in words that no other namespace of this boot
    /// has; `None` when the kernel offers no such words, and then the id is not compared after a
    /// restart of the agent.
    pub namespace: Option<String>,
    /// Major and minor number of the file system's device, as in `8:16`. Major 0 means that there
    /// is no block device.
    pub device: String,
    /// The folder of that file system which is mounted, mostly `/`.
    pub root: String,
    /// The type of the file system, as in `ext4`.
    pub kind: String,
    /// What is mounted, as the program that mounted it names it, as in `/dev/xvdf`.
    pub source: String,
    /// The folder that it is mounted on: the driver's path, or a folder above it.
    pub target: PathBuf,
}

impl MountIdentity {
    /// Whether both describe one mount of this boot. Ids are compared only when both were read in
    /// one mount namespace: an agent that runs in a container of its own sees the same mounts under
    /// other ids after each of its starts.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_one_namespace = self.namespace.is_some() && self.namespace == other.namespace;
        self.device == other.device
            && self.root == other.root
            && self.kind == other.kind
            && self.source == other.source
            && self.target == other.target
            && (!is_one_namespace || self.id == other.id)
    }

    /// Whether the file system lies on a block device, which can stay attached when nothing is
    /// mounted.
    pub fn has_block_device(&self) -> bool {
        !self.device.starts_with("0:")
    }
}

/// As operators know it from the kernel's table.
impl fmt::Display for MountIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, kind, target) = (&self.source, &self.kind, self.target.display());
        write!(f, "{source} ({kind}) on {target}")
    }
}

impl From<PathBuf> for Mountpoint {
    fn from(path: PathBuf) -> Self {
        Self { path, mount: None }
    }
}

impl From<&str> for Mountpoint {
    fn from(path: &str) -> Self {
        Self::from(PathBuf::from(path))
    }
}

impl From<String> for Mountpoint {
    fn from(path: String) -> Self {
        Self::from(PathBuf::from(path))
    }
}

impl AsRef<Path> for Mountpoint {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}
