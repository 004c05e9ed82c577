//! On real mounts, in a folder whose mount is shared as systemd makes `/`.

use rustix::mount::{MountFlags, mount};

use super::*;

/// A shared tmpfs with a folder for a driver, and a state folder beside it.
struct Host {
    around: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            around: tempfile::tempdir().expect("a folder"),
            state: tempfile::tempdir().expect("a folder"),
        };
        let around = host.around.path();
        mount("around", around, "tmpfs", MountFlags::empty(), None).expect("root may mount");
        // Its own group, whatever lies around it.
        in_a_group_of_its_own(around).expect("it is a mount");
        fs::create_dir(host.base()).expect("a folder for the driver");
        host
    }

    fn base(&self) -> PathBuf {
        self.around.path().canonicalize().expect("it is there").join("base")
    }

    /// What a driver does: a volume with a file in it.
    fn mount_volume(&self) -> PathBuf {
        let volume = self.base().join("v");
        fs::create_dir_all(&volume).expect("a mountpoint");
        mount("volume", &volume, "tmpfs", MountFlags::empty(), None).expect("root may mount");
        fs::write(volume.join("data"), "").expect("it is writable");
        volume
    }

    fn share(&self, bases: &[PathBuf]) {
        share(bases, self.state.path());
    }

    /// How many lines of the mount table are at just this path.
    fn entries(path: &Path) -> usize {
        let table = MountTable::read().expect("the kernel's table");
        table.mounts().iter().filter(|mount| mount.mountpoint == path).count()
    }

    fn is_shared(path: &Path) -> bool {
        let table = MountTable::read().expect("the kernel's table");
        mounted_on(&table, path).is_some_and(|mount| mount.peer_group.is_some())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // With all that is below.
        while unmount(self.around.path(), UnmountFlags::DETACH).is_ok() {}
    }
}

#[test]
fn below_a_base_on_a_shared_file_system_each_mount_is_in_the_table_once() {
    let host = Host::new();
    host.share(&[host.base()]);
    assert!(Host::is_shared(&host.base()));
    let volume = host.mount_volume();
    assert_eq!(Host::entries(&volume), 1);
    unmount(&volume, UnmountFlags::empty()).expect("nothing keeps it busy");
    assert_eq!(Host::entries(&volume), 0);
    host.share(&[host.base()]);
    assert_eq!(Host::entries(&host.base()), 1, "a second start binds nothing again");
}

#[test]
fn the_bind_of_an_earlier_build_leaves_the_group_of_the_file_system_around_it() {
    let host = Host::new();
    mount_bind(host.base(), host.base()).unwrap();
    let volume = host.mount_volume();
    assert_eq!(Host::entries(&volume), 2, "that was the fault");
    host.share(&[host.base()]);
    unmount(&volume, UnmountFlags::empty()).unwrap();
    let again = host.mount_volume();
    assert_eq!(Host::entries(&again), 2, "what is mounted below is left alone");
    unmount(&again, UnmountFlags::empty()).unwrap();
    host.share(&[host.base()]);
    assert_eq!(Host::entries(&host.mount_volume()), 1);
}

#[test]
fn a_base_with_a_mounted_volume_is_not_bound_over_it() {
    let host = Host::new();
    let volume = host.mount_volume();
    host.share(&[host.base()]);
    assert!(volume.join("data").exists(), "the volume is still seen at its path");
    assert_eq!(Host::entries(&host.base()), 0);
    unmount(&volume, UnmountFlags::empty()).unwrap();
    host.share(&[host.base()]);
    assert!(Host::is_shared(&host.base()), "the next start makes up for it");
}

#[test]
fn the_bind_of_a_base_that_is_no_longer_named_is_taken_away_when_nothing_is_mounted_below() {
    let host = Host::new();
    host.share(&[host.base()]);
    let volume = host.mount_volume();
    host.share(&[]);
    assert!(volume.join("data").exists());
    assert_eq!(Host::entries(&host.base()), 1, "a volume is mounted below");
    unmount(&volume, UnmountFlags::empty()).unwrap();
    host.share(&[]);
    assert_eq!(Host::entries(&host.base()), 0);
}

#[test]
fn a_bind_that_somebody_else_made_is_never_taken_away() {
    let host = Host::new();
    mount_bind(host.base(), host.base()).unwrap();
    in_a_group_of_its_own(&host.base()).unwrap();
    host.share(&[host.base()]);
    host.share(&[]);
    assert_eq!(Host::entries(&host.base()), 1);
}
