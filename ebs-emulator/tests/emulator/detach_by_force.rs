//! A volume is taken from a host that does not let go of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;

use ebs_emulator::EventKind;

use crate::rig::Rig;

/// EIO.
const IO_ERROR: Option<i32> = Some(5);

#[test]
fn a_volume_detached_by_force_keeps_what_was_written_and_gives_its_old_host_errors() {
    let rig = Rig::new();
    rig.client().create("torn", 1, "z1").unwrap();
    let here = rig.driver("a").mount("torn", "x").unwrap();
    let mut open = File::create(here.join("kept")).unwrap();
    open.write_all(b"before").unwrap();
    open.sync_all().unwrap();
    assert!(rig.client().detach("torn").is_err(), "it is mounted");
    rig.client().force_detach("torn").unwrap();

    let there = rig.driver("b").mount("torn", "y").unwrap();
    assert_eq!(fs::read_to_string(there.join("kept")).unwrap(), "before");
    let lost = open.write_all(b"after").and_then(|()| open.sync_all());
    assert_eq!(lost.unwrap_err().raw_os_error(), IO_ERROR);
    let fresh = OpenOptions::new().create(true).append(true).open(here.join("new"));
    assert_eq!(fresh.unwrap_err().raw_os_error(), IO_ERROR);
    assert_eq!(fs::read_to_string(there.join("kept")).unwrap(), "before");
    drop(open);

    fs::write(there.join("kept"), "second").unwrap();
    rig.driver("b").unmount("torn", "y").unwrap();
    rig.driver("a").unmount("torn", "x").unwrap();
    rig.assert_nothing_left();
    let again = rig.driver("a").mount("torn", "x").unwrap();
    assert_eq!(fs::read_to_string(again.join("kept")).unwrap(), "second");
    rig.driver("a").unmount("torn", "x").unwrap();
    rig.assert_nothing_left();
    let forced = rig.client().log().unwrap();
    let forced = forced
        .iter()
        .find(|event| event.kind == EventKind::ForceDetach)
        .unwrap();
    assert_eq!(forced.host.as_deref(), Some("a"));
}

#[test]
fn a_host_that_gets_its_volume_back_unmounts_the_dead_mount_first() {
    let rig = Rig::new();
    rig.client().create("back", 1, "z1").unwrap();
    let driver = rig.driver("a");
    let here = driver.mount("back", "x").unwrap();
    let busy = File::open(&here).unwrap();
    rig.client().force_detach("back").unwrap();
    let refused = driver.mount("back", "x").unwrap_err();
    assert!(refused.contains("umount"), "{refused}");
    drop(busy);
    let again = driver.mount("back", "x").unwrap();
    fs::write(again.join("file"), "data").unwrap();
    driver.unmount("back", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_dead_mount_is_known_after_a_restart() {
    let mut rig = Rig::new();
    rig.client().create("torn", 1, "z1").unwrap();
    rig.driver("a").mount("torn", "x").unwrap();
    rig.client().force_detach("torn").unwrap();
    rig.emulator.kill().unwrap();
    rig.emulator.restart().unwrap();
    assert_eq!(rig.mounts().len(), 1);
    rig.driver("b").mount("torn", "y").unwrap();
    rig.driver("a").unmount("torn", "x").unwrap();
    rig.driver("b").unmount("torn", "y").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn force_takes_what_nobody_mounted_too() {
    let rig = Rig::new();
    rig.client().create("far", 1, "z1").unwrap();
    assert!(
        rig.client()
            .force_detach("far")
            .unwrap_err()
            .to_string()
            .contains("available")
    );
    rig.client().attach_foreign("far", "i-1").unwrap();
    rig.client().force_detach("far").unwrap();
    rig.assert_nothing_left();
}
