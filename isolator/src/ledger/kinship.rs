//! Which spellings are one volume.
//!
//! A volume is known by driver and name, and one volume can be spelled in several ways: in another
//! letter case, through a second driver name that leads to the same socket, by id and by name. Two
//! spellings are one volume when they share a [`Mark`]. Some marks are known before anything is
//! mounted ([`Identity`]); then both spellings use one entry of the ledger. The others show only in
//! the mount table, after a second Mount was sent; then both entries stay, and `ledger/shared.rs`
//! keeps them in step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::mountpoint::Mountpoint;
use crate::types::{Identity, VolumeKey};

/// File systems whose source names the whole place of the data, so that two mounts of one source
/// show the same files even where each has a device number of its own. The sources of others, such
/// as `JuiceFS:name`, leave out the folder.
const SOURCE_NAMES_THE_PLACE: [&str; 8] = ["nfs", "nfs4", "ceph", "cifs", "smb3", "9p", "fuse.rclone", "fuse.sshfs"];

/// Something that two different volumes never share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// Where the driver listens and the name as it compares names.
    Identity(Identity),
    /// The driver's path of the volume.
    Path(PathBuf),
    /// A folder of one file system: two volumes may be two folders of it.
    Folder { device: String, folder: PathBuf },
    /// A folder of a file system that has a device number for each mount.
    Source {
        kind: String,
        source: String,
        folder: PathBuf,
    },
}

/// The marks that a mounted volume has.
pub(super) fn marks_of(at: &Mountpoint) -> Vec<Mark> {
    let mut marks = vec![Mark::Path(at.path.clone())];
    if let Some(mount) = &at.mount {
        // REX-Ray answers `NAME/data` inside its mount at `NAME`.
        let below = at.path.strip_prefix(&mount.target).unwrap_or("".as_ref());
        let folder = PathBuf::from(&mount.root).join(below);
        marks.push(Mark::Folder {
            device: mount.device.clone(),
            folder: folder.clone(),
        });
        if SOURCE_NAMES_THE_PLACE.contains(&mount.kind.as_str()) {
            marks.push(Mark::Source {
                kind: mount.kind.clone(),
                source: mount.source.clone(),
                folder,
            });
        }
    }
    marks
}

/// The marks of every spelling.
#[derive(Debug, Default)]
pub(super) struct Kinship {
    spellings: BTreeMap<Mark, BTreeSet<VolumeKey>>,
    marks: BTreeMap<VolumeKey, BTreeSet<Mark>>,
}

impl Kinship {
    pub(super) fn add(&mut self, key: &VolumeKey, marks: impl IntoIterator<Item = Mark>) {
        for mark in marks {
            self.spellings.entry(mark.clone()).or_default().insert(key.clone());
            self.marks.entry(key.clone()).or_default().insert(mark);
        }
    }

    /// The volume is not mounted any more: what was seen of its mount holds no longer.
    pub(super) fn forget_mount(&mut self, key: &VolumeKey) {
        self.forget_where(key, |mark| !matches!(mark, Mark::Identity(_)));
    }

    /// The spelling is in use no longer.
    pub(super) fn forget(&mut self, key: &VolumeKey) {
        self.forget_where(key, |_| true);
    }

    fn forget_where(&mut self, key: &VolumeKey, gone: impl Fn(&Mark) -> bool) {
        let Some(marks) = self.marks.get_mut(key) else {
            return;
        };
        let (gone, kept): (BTreeSet<Mark>, BTreeSet<Mark>) = std::mem::take(marks).into_iter().partition(gone);
        for mark in gone {
            if let Some(spellings) = self.spellings.get_mut(&mark) {
                spellings.remove(key);
                if spellings.is_empty() {
                    self.spellings.remove(&mark);
                }
            }
        }
        if kept.is_empty() {
            self.marks.remove(key);
        } else {
            *marks = kept;
        }
    }

    /// Whether it is known where the volume is mounted, since the host booted.
    pub(super) fn knows_place(&self, key: &VolumeKey) -> bool {
        let marks = self.marks.get(key);
        marks.is_some_and(|marks| marks.iter().any(|mark| matches!(mark, Mark::Path(_))))
    }

    /// The other spellings of the volume, directly or through a third one.
    pub(super) fn others(&self, key: &VolumeKey) -> BTreeSet<VolumeKey> {
        self.others_by(key, |_| true)
    }

    /// As [`Self::others`], as far as the spellings alone tell. What the mount table shows is only
    /// good for caution, since the kernel uses device numbers again: no container is given one
    /// volume in place of another because of it.
    pub(super) fn others_by_name(&self, key: &VolumeKey) -> BTreeSet<VolumeKey> {
        self.others_by(key, |mark| matches!(mark, Mark::Identity(_)))
    }

    fn others_by(&self, key: &VolumeKey, counts: impl Fn(&Mark) -> bool) -> BTreeSet<VolumeKey> {
        let mut found = BTreeSet::new();
        let mut to_look_at = vec![key];
        while let Some(spelling) = to_look_at.pop() {
            let marks = self
                .marks
                .get(spelling)
                .into_iter()
                .flatten()
                .filter(|mark| counts(mark));
            for other in marks.filter_map(|mark| self.spellings.get(mark)).flatten() {
                if other != key && found.insert(other.clone()) {
                    to_look_at.push(other);
                }
            }
        }
        found
    }

    /// The spellings that have one of these marks.
    pub(super) fn having(&self, marks: impl IntoIterator<Item = Mark>) -> BTreeSet<&VolumeKey> {
        let spellings = marks.into_iter().filter_map(|mark| self.spellings.get(&mark));
        spellings.flatten().collect()
    }

    /// How many spellings have a mark.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn retain(&mut self, in_use: impl Fn(&VolumeKey) -> bool) {
        let unused: Vec<VolumeKey> = self.marks.keys().filter(|key| !in_use(key)).cloned().collect();
        for key in unused {
            self.forget(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountpoint::MountIdentity;

    fn at(path: &str, target: &str, device: &str, root: &str, kind: &str, source: &str) -> Mountpoint {
        Mountpoint {
            path: path.into(),
            mount: Some(MountIdentity {
                id: 1,
                namespace: None,
                device: device.into(),
                root: root.into(),
                kind: kind.into(),
                source: source.into(),
                target: target.into(),
            }),
        }
    }

    fn are_one(a: &Mountpoint, b: &Mountpoint) -> bool {
        let mut kinship = Kinship::default();
        let (first, second) = (VolumeKey::new("d", "a"), VolumeKey::new("d", "b"));
        kinship.add(&first, marks_of(a));
        kinship.add(&second, marks_of(b));
        assert_eq!(
            kinship.others(&first).contains(&second),
            kinship.others(&second).contains(&first)
        );
        kinship.others(&first).contains(&second)
    }

    #[test]
    fn one_device_at_two_places_is_one_volume() {
        let by_name = at("/vol/w/data", "/vol/w", "7:1", "/", "ext4", "/dev/loop1");
        let by_id = at("/vol/vol-1/data", "/vol/vol-1", "7:1", "/", "ext4", "/dev/loop1");
        assert!(are_one(&by_name, &by_id));
        let below = at("/vol/vol-1", "/vol/vol-1", "7:1", "/data", "ext4", "/dev/loop1");
        assert!(are_one(&by_name, &below), "the folder counts, however it is reached");
    }

    #[test]
    fn two_folders_of_one_file_system_are_two_volumes() {
        let a = at("/vol/a", "/vol/a", "0:50", "/exports/a", "nfs4", "server:/exports");
        let b = at("/vol/b", "/vol/b", "0:50", "/exports/b", "nfs4", "server:/exports");
        assert!(!are_one(&a, &b));
        let around = at("/vol/all", "/vol/all", "0:50", "/exports", "nfs4", "server:/exports");
        assert!(!are_one(&a, &around), "a volume inside another is a volume of its own");
        let folders = |name: &str| {
            at(
                &format!("/mnt/{name}"),
                "/mnt",
                "0:60",
                "/",
                "fuse.rclone",
                "remote:all",
            )
        };
        assert!(!are_one(&folders("a"), &folders("b")));
    }

    #[test]
    fn two_mounts_of_one_remote_are_one_volume_only_if_the_source_names_the_whole_place() {
        let mount = |device: &str, kind: &str, source: &str| {
            let path = format!("/vol/{device}");
            at(&path, &path, device, "/", kind, source)
        };
        assert!(are_one(
            &mount("0:51", "fuse.rclone", "s3:bucket/a"),
            &mount("0:52", "fuse.rclone", "s3:bucket/a")
        ));
        assert!(!are_one(
            &mount("0:51", "fuse.rclone", "s3:bucket/a"),
            &mount("0:52", "fuse.rclone", "s3:bucket/b")
        ));
        assert!(!are_one(
            &mount("0:51", "fuse.juicefs", "JuiceFS:all"),
            &mount("0:52", "fuse.juicefs", "JuiceFS:all")
        ));
        assert!(!are_one(
            &mount("0:51", "tmpfs", "tmpfs"),
            &mount("0:52", "tmpfs", "tmpfs")
        ));
    }

    #[test]
    fn a_plain_directory_is_known_by_its_path() {
        assert!(are_one(&"/data/a".into(), &"/data/a".into()));
        assert!(!are_one(&"/data/a".into(), &"/data/b".into()));
    }

    #[test]
    fn what_is_unmounted_keeps_only_what_was_known_before() {
        let (a, b) = (VolumeKey::new("d", "w"), VolumeKey::new("d", "W"));
        let identity = || Mark::Identity(Identity::new("driver d", "w"));
        let mut kinship = Kinship::default();
        kinship.add(&a, [identity()]);
        kinship.add(&b, marks_of(&"/vol/w".into()));
        kinship.add(&a, marks_of(&"/vol/w".into()));
        assert_eq!(kinship.others(&a), [b.clone()].into());
        kinship.forget_mount(&b);
        assert!(kinship.others(&a).is_empty());
        kinship.add(&b, [identity()]);
        assert_eq!(kinship.others(&b), [a.clone()].into());
        kinship.forget(&a);
        kinship.forget(&b);
        assert_eq!((kinship.len(), kinship.spellings.len()), (0, 0));
    }
}
