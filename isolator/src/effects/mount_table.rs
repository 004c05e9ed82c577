//! What the kernel says is mounted, in the agent's own mount namespace. Reading the table never touches a mountpoint, so
//! it cannot hang on a dead one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use procfs::process::{MountInfo, Process};

use crate::types::Restrictions;

/// The mount table as it was when read.
pub(crate) struct MountTable {
    mounts: Vec<MountInfo>,
    /// By mountpoint, the last of several mounts there, which is on top: an agent looks up as many paths at once as it
    /// has volumes mounted.
    places: HashMap<PathBuf, usize>,
}

impl MountTable {
    /// Reads it.
    ///
    /// # Errors
    /// When `/proc/self/mountinfo` cannot be read or understood.
    pub(crate) fn read() -> io::Result<Self> {
        let mounts = Process::myself()
            .and_then(|process| process.mountinfo())
            .map_err(io::Error::other)?;
        Ok(Self::new(mounts.0))
    }

    /// Without mounts that show nothing but what lies there anyway: a folder bound on itself, as the agent's work
    /// directory and a driver's base folder are for the sake of propagation, proves no volume.
    fn new(mut mounts: Vec<MountInfo>) -> Self {
        for mount in &mut mounts {
            mount.mount_point = decoded(mount.mount_point.as_os_str().as_bytes());
            mount.root = decoded(mount.root.as_bytes()).to_string_lossy().into_owned();
        }
        let by_id: HashMap<i32, &MountInfo> = mounts.iter().map(|mount| (mount.mnt_id, mount)).collect();
        let shows_something = |mount: &MountInfo| by_id.get(&mount.pid).is_none_or(|parent| !on_itself(mount, parent));
        let mut kept = mounts.iter().map(shows_something).collect::<Vec<bool>>().into_iter();
        mounts.retain(|_| kept.next().expect("there is one for each mount"));
        let places = mounts.iter().enumerate();
        let places = places
            .map(|(index, mount)| (mount.mount_point.clone(), index))
            .collect();
        Self { mounts, places }
    }

    /// The mountpoint that `path` lies on: the longest one that is the path or a parent of it, other than `/`. Drivers
    /// return a folder below their mount as well as the mount itself (REX-Ray: `NAME/data`).
    pub(crate) fn covering(&self, path: &Path) -> Option<&Path> {
        self.nearest(path).map(|mount| mount.mount_point.as_path())
    }

    fn nearest(&self, path: &Path) -> Option<&MountInfo> {
        let mut parents = path.ancestors().filter(|parent| *parent != Path::new("/"));
        parents
            .find_map(|parent| self.places.get(parent))
            .map(|index| &self.mounts[*index])
    }
}

impl MountTable {
    /// What the mount that `path` lies on forbids.
    pub(crate) fn restrictions(&self, path: &Path) -> Restrictions {
        let mount = self.nearest(path);
        let has = |option: &str| mount.is_some_and(|mount| mount.mount_options.contains_key(option));
        Restrictions {
            nosuid: has("nosuid"),
            nodev: has("nodev"),
            noexec: has("noexec"),
        }
    }

    /// A mount inside `path`, if there is one.
    pub(crate) fn inside(&self, path: &Path) -> Option<&Path> {
        let mut mounts = self.mounts.iter().map(|mount| mount.mount_point.as_path());
        mounts.find(|mount| *mount != path && mount.starts_with(path))
    }
}

fn on_itself(mount: &MountInfo, parent: &MountInfo) -> bool {
    let Ok(inside) = mount.mount_point.strip_prefix(&parent.mount_point) else {
        return false;
    };
    mount.majmin == parent.majmin && Path::new(&mount.root) == Path::new(&parent.root).join(inside)
}

/// A path as it is: the kernel writes space, tab, newline, backslash and `#` as `\ooo`, which the parser leaves so.
fn decoded(escaped: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match octal
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use procfs::FromRead;
    use procfs::process::MountInfos;

    use super::*;

    fn table(text: &str) -> MountTable {
        MountTable::new(MountInfos::from_read(text.as_bytes()).unwrap().0)
    }

    fn covering<'a>(table: &'a MountTable, path: &str) -> Option<&'a str> {
        table.covering(Path::new(path)).and_then(Path::to_str)
    }

    #[test]
    fn a_path_is_covered_by_its_nearest_mount_and_never_by_the_root() {
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /a rw - ext4 /dev/b rw\n3 2 8:3 / /a/b rw - ext4 /dev/c rw\n\
             4 2 8:4 / /a/bc rw - ext4 /dev/d rw\n",
        );
        assert_eq!(covering(&table, "/a/b/data"), Some("/a/b"));
        assert_eq!(covering(&table, "/a/b"), Some("/a/b"));
        assert_eq!(covering(&table, "/a/x"), Some("/a"));
        assert_eq!(covering(&table, "/elsewhere"), None);
    }

    #[test]
    fn a_folder_bound_on_itself_covers_nothing() {
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:1 /var/base /var/base rw shared:1 - ext4 /dev/a rw\n\
             3 2 8:2 / /var/base/v rw shared:2 - ext4 /dev/b rw\n4 1 8:1 /other /bound rw - ext4 /dev/a rw\n",
        );
        assert_eq!(covering(&table, "/var/base/v/data"), Some("/var/base/v"));
        assert_eq!(covering(&table, "/var/base/w/data"), None);
        assert_eq!(
            covering(&table, "/bound/data"),
            Some("/bound"),
            "another folder's bind is a mount like any other"
        );
    }

    #[test]
    fn of_two_mounts_on_one_folder_the_one_that_shows_something_counts() {
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:1 /v /v rw - ext4 /dev/a rw\n3 2 8:2 / /v rw - ext4 /dev/b rw\n",
        );
        assert_eq!(covering(&table, "/v/data"), Some("/v"));
    }

    #[test]
    fn names_with_spaces_are_read_as_the_kernel_means_them() {
        let table = table("1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /a\\040b rw - ext4 /dev/b rw\n");
        assert_eq!(covering(&table, "/a b/data"), Some("/a b"));
    }

    #[test]
    fn what_a_mount_forbids_and_what_lies_in_it_is_seen() {
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /v rw,nosuid,nodev,relatime - fuse x rw\n\
             3 2 8:3 / /v/data/in rw - ext4 /dev/c rw\n",
        );
        let forbids = Restrictions {
            nosuid: true,
            nodev: true,
            noexec: false,
        };
        assert_eq!(table.restrictions(Path::new("/v/data")), forbids);
        assert_eq!(table.inside(Path::new("/v/data")), Some(Path::new("/v/data/in")));
        assert_eq!(table.inside(Path::new("/v/data/in")), None);
    }

    #[test]
    fn the_kernels_own_table_is_understood() {
        let table = MountTable::read().unwrap();
        assert_eq!(covering(&table, "/proc/self"), Some("/proc"));
    }
}
