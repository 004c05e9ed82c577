//! What the kernel says is mounted, in the agent's own mount namespace. Reading the table never touches a mountpoint, so
//! it cannot hang on a dead one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The mount table as it was when read.
pub(crate) struct MountTable {
    mounts: Vec<Mount>,
    /// By mountpoint, the last of several mounts there, which is on top: an agent looks up as many paths at once as it
    /// has volumes mounted.
    places: HashMap<PathBuf, usize>,
}

/// A line of the kernel's table, as far as it matters here. Every container of an agent waits for the table to be read
/// once, and it has a line for every volume: so no more than this is made of a line.
#[derive(Debug)]
pub(super) struct Mount {
    id: u64,
    parent: u64,
    /// Major and minor number.
    device: String,
    /// The folder of its file system that is mounted.
    root: PathBuf,
    pub(super) mountpoint: PathBuf,
    /// An unmount reaches the copies in other mount namespaces.
    pub(super) is_shared: bool,
    standing: Standing,
}

/// What the kernel still does with a file system, whatever one of its mounts allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Writable,
    ReadOnly,
    /// Read-only for good after an error. ext4 from Linux 6.15 on tells it apart, and does not set the flag that `statvfs`
    /// shows.
    ReadOnlyAfterError,
    /// Nothing but errors any more, reading included (ext4 from Linux 6.15 on).
    ShutDown,
}

impl Standing {
    /// From the options of the file system, the last field of its line.
    fn parse(options: &[u8]) -> Self {
        let has = |wanted: &[u8]| options.split(|byte| *byte == b',').any(|option| option == wanted);
        if has(b"shutdown") {
            Standing::ShutDown
        } else if has(b"emergency_ro") {
            Standing::ReadOnlyAfterError
        } else if has(b"ro") {
            Standing::ReadOnly
        } else {
            Standing::Writable
        }
    }
}

/// Which mount it is among those that there are. Both numbers may come back after an unmount, so that two that differ are two
/// mounts, and two that do not may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountIdentity {
    id: u64,
    device: String,
}

impl Mount {
    /// The whole table, oldest mount first.
    ///
    /// # Errors
    /// When `/proc/self/mountinfo` cannot be read or understood.
    pub(super) fn all() -> io::Result<Vec<Mount>> {
        Mount::parse_all(&read()?, |_| true)
    }

    /// Those lines of the table whose mountpoint, as the kernel writes it, is `wanted`.
    fn parse_all(table: &[u8], wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Mount>> {
        let lines = table.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.filter(|line| line.split(|byte| *byte == b' ').nth(4).is_none_or(&wanted));
        let parsed = lines.map(|line| {
            Mount::parse(line).ok_or_else(|| {
                let line = String::from_utf8_lossy(line).into_owned();
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("its line '{line}' is not understood"),
                )
            })
        });
        parsed.collect()
    }

    /// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG..] - TYPE SOURCE SUPER-OPTIONS`, see `proc_pid_mountinfo(5)`.
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|byte| *byte == b' ');
        let fields = &mut fields;
        let mut next = || fields.next();
        let number = |field: &[u8]| str::from_utf8(field).ok()?.parse().ok();
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        Some(Mount {
            id: number(next()?)?,
            parent: number(next()?)?,
            device: text(next()?),
            root: decoded(next()?),
            mountpoint: decoded(next()?),
            // The options of the mount, and then each tag to the end, so that the type and the source come next.
            is_shared: fields
                .skip(1)
                .take_while(|tag| *tag != b"-")
                .filter(|tag| tag.starts_with(b"shared:"))
                .count()
                > 0,
            standing: Standing::parse(fields.nth(2).unwrap_or_default()),
        })
    }

    /// Shows nothing but what lies there anyway.
    fn is_on_itself(&self, parent: &Mount) -> bool {
        let Ok(inside) = self.mountpoint.strip_prefix(&parent.mountpoint) else {
            return false;
        };
        self.device == parent.device && self.root == parent.root.join(inside)
    }
}

impl MountTable {
    /// Reads it.
    ///
    /// # Errors
    /// When `/proc/self/mountinfo` cannot be read or understood.
    pub(crate) fn read() -> io::Result<Self> {
        Mount::all().map(Self::new)
    }

    /// Reads of it only what `path` lies on: all that is needed to know what covers one path, and little on a host with
    /// very many mounts.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_for(path: &Path) -> io::Result<Self> {
        Self::parse_for(&read()?, path)
    }

    fn parse_for(table: &[u8], path: &Path) -> io::Result<Self> {
        let path = path.as_os_str().as_bytes();
        // What is escaped is decoded later; a mount too many does no harm.
        Mount::parse_all(table, |place| place.contains(&b'\\') || path.starts_with(place)).map(Self::new)
    }

    /// Without mounts that show nothing but what lies there anyway: a folder bound on itself, as the agent's work
    /// directory and a driver's base folder are for the sake of propagation, proves no volume.
    fn new(mut mounts: Vec<Mount>) -> Self {
        let by_id: HashMap<u64, &Mount> = mounts.iter().map(|mount| (mount.id, mount)).collect();
        let shows_something = |mount: &Mount| {
            by_id
                .get(&mount.parent)
                .is_none_or(|parent| !mount.is_on_itself(parent))
        };
        let mut kept = mounts.iter().map(shows_something).collect::<Vec<bool>>().into_iter();
        mounts.retain(|_| kept.next().expect("there is one for each mount"));
        let places = mounts.iter().enumerate();
        let places = places.map(|(index, mount)| (mount.mountpoint.clone(), index)).collect();
        Self { mounts, places }
    }

    /// The mountpoint that `path` lies on: the longest one that is the path or a parent of it, other than `/`. Drivers
    /// return a folder below their mount as well as the mount itself (REX-Ray: `NAME/data`).
    pub(crate) fn covering(&self, path: &Path) -> Option<&Path> {
        self.nearest(path).map(|mount| mount.mountpoint.as_path())
    }

    fn nearest(&self, path: &Path) -> Option<&Mount> {
        let mut parents = path.ancestors().filter(|parent| *parent != Path::new("/"));
        parents
            .find_map(|parent| self.places.get(parent))
            .map(|index| &self.mounts[*index])
    }

    /// Which mount it is that `path` lies on, and what its file system is good for.
    pub(super) fn seen(&self, path: &Path) -> Option<(MountIdentity, Standing)> {
        let mount = self.nearest(path)?;
        let (id, device) = (mount.id, mount.device.clone());
        Some((MountIdentity { id, device }, mount.standing))
    }

    /// As [`Self::seen`], of the file system alone, be it the host's own.
    pub(super) fn standing(&self, path: &Path) -> Option<Standing> {
        let place = path.ancestors().find_map(|parent| self.places.get(parent))?;
        Some(self.mounts[*place].standing)
    }

    /// Whether containers that start now will keep the mount that `path` lies on busy after its unmount.
    pub(super) fn is_private(&self, path: &Path) -> bool {
        self.nearest(path).is_some_and(|mount| !mount.is_shared)
    }
}

fn read() -> io::Result<Vec<u8>> {
    // Its length is not known before: room for a common one saves reading it in pieces.
    let mut table = Vec::with_capacity(16 * 1024);
    fs::File::open("/proc/self/mountinfo")?.read_to_end(&mut table)?;
    Ok(table)
}

/// A path as it is: the kernel writes space, tab, newline, backslash and `#` as `\ooo`.
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
    use super::*;

    fn table(text: &str) -> MountTable {
        MountTable::new(Mount::parse_all(text.as_bytes(), |_| true).unwrap())
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
    fn a_mount_without_a_shared_tag_of_its_own_is_private() {
        let table = table(
            "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n2 1 8:2 / /a rw shared:2 master:1 - ext4 /dev/b rw\n\
             3 1 8:3 / /b rw master:1 propagate_from:2 - ext4 shared:3 rw\n",
        );
        assert!(!table.is_private(Path::new("/a/data")));
        assert!(table.is_private(Path::new("/b/data")));
        assert!(
            !table.is_private(Path::new("/elsewhere")),
            "what is not there is not private"
        );
    }

    #[test]
    fn what_is_read_for_one_path_tells_of_it_what_the_whole_table_does() {
        let text = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:1 /base /base rw - ext4 /dev/a rw\n\
            3 2 8:2 / /base/v rw - ext4 /dev/b rw\n4 2 8:3 / /base/a\\040b rw - ext4 /dev/c rw\n\
            5 1 8:4 / /other rw - ext4 /dev/d rw\n";
        let whole = table(text);
        for path in [
            "/base/v/data",
            "/base/v",
            "/base/w",
            "/base/a b/data",
            "/other/x",
            "/elsewhere",
        ] {
            let part = MountTable::parse_for(text.as_bytes(), Path::new(path)).unwrap();
            assert_eq!(covering(&part, path), covering(&whole, path), "{path}");
            assert!(part.mounts.len() < whole.mounts.len(), "{path}");
        }
    }

    #[test]
    fn what_a_file_system_is_good_for_is_told_by_its_own_options_and_not_by_those_of_the_mount() {
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/root rw\n2 1 8:2 / /a ro,nosuid shared:1 - ext4 /dev/b rw,errors=remount-ro\n\
             3 1 8:3 / /b rw - ext4 /dev/c ro,relatime\n4 1 8:4 / /c rw - ext4 /dev/d rw,emergency_ro\n\
             5 1 8:5 / /d rw - ext4 /dev/e ro,emergency_ro,shutdown\n",
        );
        let standing = |path: &str| table.seen(Path::new(path)).map(|(_, standing)| standing);
        assert_eq!(standing("/a/data"), Some(Standing::Writable));
        assert_eq!(standing("/b"), Some(Standing::ReadOnly));
        assert_eq!(standing("/c"), Some(Standing::ReadOnlyAfterError));
        assert_eq!(standing("/d"), Some(Standing::ShutDown));
        assert_eq!(standing("/elsewhere"), None);
        assert_eq!(table.standing(Path::new("/elsewhere")), Some(Standing::Writable));
    }

    #[test]
    fn a_line_that_is_none_is_told() {
        let error = Mount::parse_all(b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 x 8:2 /\n", |_| true).unwrap_err();
        assert!(error.to_string().contains("'2 x 8:2 /'"), "{error}");
    }

    #[test]
    fn the_kernels_own_table_is_understood() {
        let table = MountTable::read().unwrap();
        assert_eq!(covering(&table, "/proc/self"), Some("/proc"));
    }
}
