//! What the kernel says is mounted, in the agent's own mount namespace. Reading the table never
//! touches a mountpoint, so it cannot hang on a dead one.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::namespace;
use crate::mountpoint::MountIdentity;

/// The mount table as it was when read.
pub(crate) struct MountTable {
    mounts: Vec<Mount>,
    by_id: HashMap<u64, usize>,
    /// By the mount that it lies on, and then by mountpoint: an agent looks up as many paths at
    /// once as it has volumes mounted.
    children: HashMap<u64, HashMap<PathBuf, usize>>,
    /// The mount of the agent's root folder.
    root: Option<usize>,
}

/// A line of the kernel's table, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) id: u64,
    parent: u64,
    /// Major and minor number.
    pub(crate) device: String,
    /// The folder of its file system that is mounted.
    pub(crate) root: PathBuf,
    pub(crate) mountpoint: PathBuf,
    /// Mounts of one peer group get each other's mounts and unmounts, also across mount namespaces;
    /// a private mount has no group.
    pub(crate) peer_group: Option<u64>,
    /// The type of the file system.
    kind: String,
    /// What is mounted, as the program that mounted it names it.
    source: String,
    pub(crate) standing: Standing,
}

/// What the kernel still does with a file system, whatever one of its mounts allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Writable,
    ReadOnly,
    /// Read-only after an error, until it is mounted again. ext4 reports this from Linux 6.15 on,
    /// and does not set the flag that `statvfs` shows.
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

impl Mount {
    /// The whole table, oldest mount first.
    ///
    /// # Errors
    /// When `/proc/self/mountinfo` cannot be read or understood.
    fn all() -> io::Result<Vec<Mount>> {
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

    /// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG..] - TYPE SOURCE SUPER-OPTIONS`, see
    /// `proc_pid_mountinfo(5)`.
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut next = || fields.next();
        let number = |field: &[u8]| str::from_utf8(field).ok()?.parse().ok();
        let text = |field: &[u8]| decoded(field).to_string_lossy().into_owned();
        let (id, parent) = (number(next()?)?, number(next()?)?);
        let (device, root, mountpoint) = (text(next()?), decoded(next()?), decoded(next()?));
        next()?; // The options of the mount.
        let mut peer_group = None;
        // The tags go to the end, so that the type and the source come next.
        for tag in fields.by_ref().take_while(|tag| *tag != b"-") {
            if let Some(group) = tag.strip_prefix(b"shared:") {
                peer_group = Some(number(group)?);
            }
        }
        Some(Mount {
            id,
            parent,
            device,
            root,
            mountpoint,
            peer_group,
            kind: text(fields.next().unwrap_or_default()),
            source: text(fields.next().unwrap_or_default()),
            standing: Standing::parse(fields.next().unwrap_or_default()),
        })
    }

    /// Shows nothing but what lies there anyway, as a folder bound on itself does for the sake of
    /// propagation.
    pub(crate) fn is_on_itself(&self, parent: &Mount) -> bool {
        let Ok(inside) = self.mountpoint.strip_prefix(&parent.mountpoint) else {
            return false;
        };
        self.device == parent.device && self.root == parent.root.join(inside)
    }

    /// Which mount it is.
    pub(crate) fn identity(&self) -> MountIdentity {
        MountIdentity {
            id: self.id,
            namespace: namespace::words().map(str::to_owned),
            device: self.device.clone(),
            root: self.root.to_string_lossy().into_owned(),
            kind: self.kind.clone(),
            source: self.source.clone(),
            target: self.mountpoint.clone(),
        }
    }

    /// Whether it is this mount, without regard to its id: the same folder of the same file system
    /// at the same place.
    fn shows_the_same(&self, identity: &MountIdentity) -> bool {
        self.mountpoint == identity.target
            && self.device == identity.device
            && self.root.to_string_lossy() == identity.root
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

    /// Reads of it only what `path` lies on: all that is needed to know what covers one path, and
    /// little on a host with very many mounts.
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

    fn new(mounts: Vec<Mount>) -> Self {
        let mut by_id = HashMap::with_capacity(mounts.len());
        let mut children: HashMap<u64, HashMap<PathBuf, usize>> = HashMap::new();
        for (index, mount) in mounts.iter().enumerate() {
            by_id.insert(mount.id, index);
            let siblings = children.entry(mount.parent).or_default();
            siblings.insert(mount.mountpoint.clone(), index);
        }
        let is_root = |mount: &Mount| mount.mountpoint == Path::new("/") && !by_id.contains_key(&mount.parent);
        let root = mounts
            .iter()
            .position(is_root)
            // A process whose root is a mount on top of another one.
            .or_else(|| mounts.iter().position(|mount| mount.mountpoint == Path::new("/")));
        Self {
            mounts,
            by_id,
            children,
            root,
        }
    }

    /// The table of another process, whose folder in `/proc` this is.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_of(process: &Path) -> io::Result<Self> {
        Mount::parse_all(&fs::read(process.join("mountinfo"))?, |_| true).map(Self::new)
    }

    /// Everywhere that the file system on a device is mounted.
    pub(crate) fn places_of(&self, device: &str) -> Vec<PathBuf> {
        let same = self.mounts.iter().filter(|mount| mount.device == device);
        same.map(|mount| mount.mountpoint.clone()).collect()
    }

    /// Every mount, oldest first.
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The mount that lies on top at `path`, found as the kernel finds it, step by step from the
    /// root folder: a mount that another one hides is in the table as well.
    pub(crate) fn on_top(&self, path: &Path) -> Option<&Mount> {
        let mut current = self.root?;
        let mut steps: Vec<&Path> = path.ancestors().filter(|step| *step != Path::new("/")).collect();
        steps.reverse();
        for step in steps {
            // One mountpoint can carry several mounts, each on the one before.
            while let Some(next) = self
                .children
                .get(&self.mounts[current].id)
                .and_then(|children| children.get(step))
            {
                if *next == current {
                    break;
                }
                current = *next;
            }
        }
        Some(&self.mounts[current])
    }

    /// As [`Self::on_top`], without mounts that show nothing but what lies there anyway: a folder
    /// bound on itself, as the agent's work directory and a driver's base folder are for the sake
    /// of propagation, proves no volume.
    pub(crate) fn shown_at(&self, path: &Path) -> Option<&Mount> {
        self.on_top(path).map(|mount| self.beneath_self_binds(mount))
    }

    fn beneath_self_binds<'a>(&'a self, mut mount: &'a Mount) -> &'a Mount {
        while let Some(parent) = self.parent_of(mount).filter(|parent| mount.is_on_itself(parent)) {
            mount = parent;
        }
        mount
    }

    fn by_id(&self, id: u64) -> Option<&Mount> {
        self.by_id.get(&id).map(|index| &self.mounts[*index])
    }

    /// The mount with this id, or what it is a mere bind on itself of.
    pub(crate) fn shown_by(&self, id: u64) -> Option<&Mount> {
        self.by_id(id).map(|mount| self.beneath_self_binds(mount))
    }

    /// What a mount lies on; nothing of the root folder's.
    pub(crate) fn parent_of(&self, mount: &Mount) -> Option<&Mount> {
        self.by_id(mount.parent).filter(|parent| parent.id != mount.id)
    }

    /// Whether the table has this mount, by id and by all that it shows.
    pub(crate) fn has(&self, mount: &Mount) -> bool {
        let same = |known: &Mount| {
            known.device == mount.device
                && known.root == mount.root
                && known.kind == mount.kind
                && known.source == mount.source
                && known.mountpoint == mount.mountpoint
        };
        self.by_id(mount.id).is_some_and(same)
    }

    /// The mount of this description, if it is there and nothing hides it but what shows the same.
    pub(crate) fn find(&self, identity: &MountIdentity) -> Option<&Mount> {
        let mut mount = self.on_top(&identity.target)?;
        while !mount.identity().is_same(identity) {
            mount = self.parent_of(mount).filter(|parent| mount.is_on_itself(parent))?;
        }
        Some(mount)
    }

    /// A mount that shows what the description says, hidden or not, and whatever its id: as long as
    /// there is one, the volume is mounted.
    pub(crate) fn any_like(&self, identity: &MountIdentity) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.shows_the_same(identity))
    }

    /// The mountpoint that `path` lies on: the longest one that is the path or a parent of it,
    /// other than `/`. Drivers return a folder below their mount as well as the mount itself
    /// (REX-Ray: `NAME/data`).
    pub(crate) fn covering(&self, path: &Path) -> Option<&Path> {
        self.nearest(path).map(|mount| mount.mountpoint.as_path())
    }

    /// The mount whose mountpoint [`Self::covering`] returns.
    pub(crate) fn nearest(&self, path: &Path) -> Option<&Mount> {
        self.shown_at(path).filter(|mount| mount.mountpoint != Path::new("/"))
    }

    /// What the file system that `path` lies on is good for, be it the host's own.
    pub(crate) fn standing(&self, path: &Path) -> Option<Standing> {
        self.shown_at(path).map(|mount| mount.standing)
    }

    /// Whether containers that start now will keep the mount that `path` lies on busy after its
    /// unmount.
    pub(crate) fn is_private(&self, path: &Path) -> bool {
        self.nearest(path).is_some_and(|mount| mount.peer_group.is_none())
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
        let standing = |path: &str| table.nearest(Path::new(path)).map(|mount| mount.standing);
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
    fn a_mount_that_another_one_hides_is_not_what_a_path_shows() {
        // A base was bound on itself when a volume was mounted below already, and a file system was
        // mounted over all of it.
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /base/v rw - ext4 /dev/b rw\n\
             3 1 8:1 /base /base rw shared:1 - ext4 /dev/a rw\n4 1 8:3 / /mnt/v rw - ext4 /dev/c rw\n\
             5 1 0:9 / /mnt rw - tmpfs tmpfs rw\n",
        );
        assert_eq!(covering(&table, "/base/v"), None);
        assert_eq!(covering(&table, "/mnt/v"), Some("/mnt"));
        for hidden in [2, 4] {
            let hidden = table.by_id(hidden).unwrap().identity();
            assert_eq!(table.find(&hidden), None, "{hidden}");
            assert!(table.any_like(&hidden).is_some(), "{hidden} keeps its device busy");
        }
    }

    #[test]
    fn of_several_mounts_on_one_folder_the_last_is_on_top() {
        let table = table(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /v rw - ext4 /dev/b rw\n3 2 8:2 / /v rw - ext4 /dev/b rw\n\
             4 1 8:2 / /w rw - ext4 /dev/b rw\n5 4 8:3 / /w rw - ext4 /dev/c rw\n",
        );
        let found = |id: u64| table.find(&table.by_id(id).unwrap().identity()).map(|mount| mount.id);
        assert_eq!(table.on_top(Path::new("/v/data")).map(|mount| mount.id), Some(3));
        assert_eq!((found(2), found(3)), (Some(2), Some(3)), "both show the same");
        assert_eq!((found(4), found(5)), (None, Some(5)), "another file system hides it");
    }

    #[test]
    fn the_same_file_system_mounted_again_is_another_mount() {
        let text = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /v rw - ext4 /dev/b rw\n";
        let before = table(text).nearest(Path::new("/v")).unwrap().identity();
        let again = table(&text.replace("2 1", "9 1"));
        assert_eq!(again.find(&before), None);
        let other_namespace = MountIdentity {
            namespace: None,
            ..before
        };
        assert!(
            again.find(&other_namespace).is_some(),
            "ids of two namespaces are not compared"
        );
    }

    /// What the kernel escapes, and what it leaves as it is.
    #[test]
    fn every_byte_that_a_name_can_have_is_read_as_the_kernel_means_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let names: [&[u8]; 9] = [
            b"a space",
            b"a\ttab",
            b"a\nnewline",
            b"back\\slash",
            b"looks\\040escaped",
            b"#hash",
            b"not \xff\xfe UTF-8",
            b"-",
            b"quote'\"$(id)`",
        ];
        for name in names {
            let path = folder.join(OsString::from_vec(name.to_owned()));
            fs::create_dir(&path).unwrap();
            // Of the names only the source is text, and an empty one is a field without a
            // character.
            let source = std::ffi::CString::new(name).unwrap();
            rustix::mount::mount(&*source, &path, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
            let table = MountTable::read();
            let part = MountTable::read_for(&path.join("data"));
            rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).unwrap();
            let table = table.unwrap();
            let mount = table.nearest(&path.join("data")).unwrap();
            assert_eq!(mount.mountpoint, path);
            assert_eq!(mount.source, String::from_utf8_lossy(name));
            assert_eq!((mount.kind.as_str(), mount.root.to_str()), ("tmpfs", Some("/")));
            assert_eq!(part.unwrap().nearest(&path).map(|part| part.id), Some(mount.id));
            assert!(table.find(&mount.identity()).is_some());
        }
    }

    #[test]
    fn an_empty_source_is_read_as_one() {
        let folder = tempfile::tempdir().unwrap();
        rustix::mount::mount("", folder.path(), "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        let table = MountTable::read();
        rustix::mount::unmount(folder.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
        let table = table.unwrap();
        let mount = table.nearest(&folder.path().canonicalize().unwrap()).unwrap();
        assert_eq!((mount.source.as_str(), mount.standing), ("", Standing::Writable));
    }

    #[test]
    fn the_kernels_own_table_is_understood() {
        let table = MountTable::read().unwrap();
        assert_eq!(covering(&table, "/proc/self"), Some("/proc"));
    }
}
