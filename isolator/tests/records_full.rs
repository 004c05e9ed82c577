//! Full and read-only state folders on a real file system: the container is refused, the agent goes
//! on.

use std::fs;
use std::path::{Path, PathBuf};

use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Store};
use isolator::{ContainerId, Containerizer, VolumeKey};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount};
use tempfile::TempDir;
use volume_driver_client::MountId;
use volume_labels::Access;

/// A file system of a few pages; it goes away with this.
struct Small(TempDir);

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let size = c"size=64k,nr_inodes=32";
        mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), Some(size)).expect("a small file system");
        // No other mount namespace keeps it.
        mount_change(folder.path(), MountPropagationFlags::PRIVATE).expect("it was just mounted");
        Self(folder)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        // As much as there is room for.
        fs::write(&path, vec![1; 1 << 20]).expect_err("there is not so much room");
        path
    }

    fn read_only(&self, read_only: bool) {
        let flags = if read_only {
            MountFlags::RDONLY
        } else {
            MountFlags::empty()
        };
        mount_remount(self.0.path(), flags, c"").expect("it is mounted");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::DETACH).expect("it was mounted");
    }
}

/// A record that does not fit into what a full file system may have left of its last page.
fn record(container: &str) -> Record {
    let request = VolumeRequest {
        origin: "data".into(),
        volume: VolumeKey::new("ebs", "v".repeat(8000)),
        mount_id: MountId::derive("host", "ebs", "v"),
        target: "/sandbox/data".into(),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec::default(),
    };
    Record {
        container: ContainerId::root(container),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes: vec![RecordedVolume {
            request,
            state: RecordedState::Mounting,
        }],
    }
}

fn write(store: &Store, container: &str) -> Result<(), String> {
    let result = store.commit(&[Change::Write(record(container))]).remove(0);
    result.map_err(|error| error.to_string())
}

fn containers(store: &Store) -> Vec<String> {
    let found = store.load().expect("a small file system");
    found
        .into_iter()
        .map(|found| found.record.container.to_string())
        .collect()
}

fn no_temporary_is_left(root: &Path) {
    for entry in fs::read_dir(root.join("containers")).expect("a small file system") {
        let path = entry.expect("a small file system").path();
        assert_eq!(
            path.extension().expect("a small file system"),
            "json",
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_full_disk_fails_the_record_and_leaves_the_others_whole() {
    let disk = Small::new();
    let store = Store::open(&disk.root()).unwrap();
    write(&store, "early").unwrap();
    let filler = disk.fill();
    let error = write(&store, "late").unwrap_err();
    let named = disk.root().join("containers/late.tmp").display().to_string();
    assert!(
        error.contains(&named) && error.contains("the disk for volume records is full"),
        "{error}"
    );
    write(&store, "early").unwrap_err();
    no_temporary_is_left(&disk.root());
    assert_eq!(containers(&store), ["early"]);
    let removed = store.commit(&[Change::Remove(ContainerId::root("early"))]);
    assert_eq!(removed, [Ok(())], "what is removed needs no space");
    fs::remove_file(filler).unwrap();
    write(&store, "late").unwrap();
    assert_eq!(containers(&store), ["late"]);
}

#[test]
fn a_disk_that_turns_read_only_fails_the_record_and_nothing_else() {
    let disk = Small::new();
    let store = Store::open(&disk.root()).unwrap();
    write(&store, "early").unwrap();
    drop(store);
    disk.read_only(true);
    let store = Store::open(&disk.root()).unwrap();
    let other = Store::open(&disk.root()).unwrap_err().to_string();
    assert!(other.contains("in use by"), "the lock is held all the same: {other}");
    let error = write(&store, "late").unwrap_err();
    assert!(
        error.contains("the disk for volume records is read-only (") && error.contains("containers/late.tmp)"),
        "{error}"
    );
    assert_eq!(containers(&store), ["early"]);
    disk.read_only(false);
    write(&store, "late").unwrap();
    assert_eq!(containers(&store), ["early", "late"]);
}

#[test]
fn an_agent_that_cannot_even_make_its_state_folder_starts_and_uses_it_once_it_can() {
    let full = |disk: &Small| {
        let filler = disk.fill();
        // Folders need no block here, but a place in the table of files.
        let used: Vec<PathBuf> = (0..40).map(|n| disk.0.path().join(n.to_string())).collect();
        let used: Vec<PathBuf> = used.into_iter().filter(|path| fs::write(path, "").is_ok()).collect();
        (filler, used)
    };
    let disk = Small::new();
    let (filler, used) = full(&disk);
    let store = Store::open(&disk.root()).unwrap();
    let id = store.host_id().to_owned();
    assert!(containers(&store).is_empty());
    let error = write(&store, "c").unwrap_err();
    assert!(
        error.contains("state_dir") && error.contains("No space left on device"),
        "{error}"
    );
    fs::remove_file(filler).unwrap();
    used.iter().for_each(|path| fs::remove_file(path).unwrap());
    write(&store, "c").unwrap();
    drop(store);
    let again = Store::open(&disk.root()).unwrap();
    assert_eq!(
        (containers(&again), again.host_id()),
        (vec!["c".to_owned()], id.as_str())
    );
}
