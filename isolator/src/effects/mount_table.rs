//! What the kernel says is mounted, in the agent's own mount namespace. Reading the table never touches a mountpoint, so
//! it cannot hang on a dead one.

use std::io;
use std::path::{Path, PathBuf};

use procfs::process::Process;

/// The mount table as it was when read.
pub(crate) struct MountTable(Vec<PathBuf>);

impl MountTable {
    /// Reads it.
    ///
    /// # Errors
    /// When `/proc/self/mountinfo` cannot be read or understood.
    pub(crate) fn read() -> io::Result<Self> {
        let mounts = Process::myself()
            .and_then(|process| process.mountinfo())
            .map_err(io::Error::other)?;
        Ok(Self(mounts.0.into_iter().map(|mount| mount.mount_point).collect()))
    }

    /// The mountpoint that `path` lies on: the longest one that is the path or a parent of it, other than `/`. Drivers
    /// return a folder below their mount as well as the mount itself (REX-Ray: `NAME/data`).
    pub(crate) fn covering(&self, path: &Path) -> Option<&Path> {
        self.0
            .iter()
            .map(PathBuf::as_path)
            .filter(|mount| *mount != Path::new("/") && path.starts_with(mount))
            .max_by_key(|mount| mount.components().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_covered_by_its_nearest_mount_and_never_by_the_root() {
        let table = MountTable(["/", "/a", "/a/b", "/a/bc"].map(PathBuf::from).to_vec());
        assert_eq!(table.covering(Path::new("/a/b/data")), Some(Path::new("/a/b")));
        assert_eq!(table.covering(Path::new("/a/b")), Some(Path::new("/a/b")));
        assert_eq!(table.covering(Path::new("/a/x")), Some(Path::new("/a")));
        assert_eq!(table.covering(Path::new("/elsewhere")), None);
    }

    #[test]
    fn the_kernels_own_table_is_understood() {
        let table = MountTable::read().unwrap();
        assert_eq!(table.covering(Path::new("/proc/self")), Some(Path::new("/proc")));
    }
}
