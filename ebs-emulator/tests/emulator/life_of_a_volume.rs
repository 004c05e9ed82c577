//! Attach, format, mount, unmount, detach: in this order, for real, on one host at a time.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::rig::{self, Rig};
use rustix::mount::{UnmountFlags, unmount};
use serde_json::json;

#[test]
fn a_mount_attaches_formats_and_mounts_and_the_unmount_lets_go() {
    let rig = Rig::new();
    let volume = rig.client().create("data-1", 1, "z1").unwrap();
    let host = rig.driver("a");

    let folder = host.mount("data-1", "id-1").unwrap();
    assert!(folder.ends_with("hosts/a/volumes/data-1/data"), "{}", folder.display());
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(rig.mounts().len(), 1);
    assert_eq!(rig.loop_devices().len(), 1);
    fs::write(folder.join("file"), "kept").unwrap();

    host.unmount("data-1", "id-1").unwrap();
    assert!(!folder.parent().unwrap().exists());
    assert_eq!(
        rig.steps(),
        ["-:create", "a:attach", "a:format", "a:mount", "a:unmount", "a:detach"]
    );
    rig.assert_nothing_left();
    rig.client().delete(&volume.volume_id).unwrap();
    assert!(rig.client().describe().unwrap().volumes.is_empty());
}

#[test]
fn the_data_is_there_on_the_next_host() {
    let rig = Rig::new();
    rig.client().create("moving", 1, "z1").unwrap();
    let (a, b) = (rig.driver("a"), rig.driver("b"));
    fs::write(a.mount("moving", "x").unwrap().join("file"), "from a").unwrap();
    a.unmount("moving", "x").unwrap();

    let folder = b.mount("moving", "x").unwrap();
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "from a");
    b.unmount("moving", "x").unwrap();
    let steps = rig.steps();
    assert_eq!(
        steps[1..6],
        ["a:attach", "a:format", "a:mount", "a:unmount", "a:detach"]
    );
    assert_eq!(steps[6..], ["b:attach", "b:mount", "b:unmount", "b:detach"]);
    rig.assert_nothing_left();
}

#[test]
fn a_second_host_is_refused_and_told_who_has_the_volume() {
    let rig = Rig::new();
    let volume = rig.client().create("one", 1, "z1").unwrap();
    rig.driver("a").mount("one", "x").unwrap();
    let refusal = rig.driver("b").mount("one", "y").unwrap_err();
    let instance = &rig.client().describe().unwrap().volumes[0].attachments[0].instance_id;
    assert!(refusal.starts_with("VolumeInUse: "), "{refusal}");
    assert!(
        refusal.contains(&format!("already attached to an instance: a ({instance})")),
        "{refusal}"
    );
    assert!(refusal.contains(&volume.volume_id), "{refusal}");
    assert!(
        rig.driver("b")
            .unmount("one", "y")
            .unwrap_err()
            .contains("is not mounted on b")
    );
    rig.driver("a").unmount("one", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_host_of_another_zone_is_refused() {
    let rig = Rig::new();
    rig.client().create("far", 1, "z1").unwrap();
    let refusal = rig.driver("c").mount("far", "x").unwrap_err();
    assert!(refusal.starts_with("InvalidVolume.ZoneMismatch: "), "{refusal}");
    assert!(refusal.contains("the volume is in z1, c in z2"), "{refusal}");
    rig.assert_nothing_left();
}

#[test]
fn the_same_id_twice_is_one_use_and_two_ids_are_two() {
    let rig = Rig::new();
    rig.client().create("shared", 1, "z1").unwrap();
    let host = rig.driver("a");
    let folder = host.mount("shared", "one").unwrap();
    assert_eq!(host.mount("shared", "one").unwrap(), folder);
    assert_eq!(host.mount("shared", "two").unwrap(), folder);
    assert!(
        host.unmount("shared", "three")
            .unwrap_err()
            .contains("not mounted by this id")
    );
    host.unmount("shared", "one").unwrap();
    assert_eq!(rig.mounts().len(), 1);
    host.unmount("shared", "two").unwrap();
    rig.assert_nothing_left();
    assert!(
        host.unmount("shared", "two")
            .unwrap_err()
            .contains("is not mounted on a")
    );
    assert_eq!(rig.steps().iter().filter(|step| *step == "a:mount").count(), 1);
}

#[test]
fn a_volume_that_was_unmounted_by_hand_is_detached_for_an_id_that_never_mounted_it() {
    let rig = Rig::new();
    rig.client().create("forgotten", 1, "z1").unwrap();
    let host = rig.driver("a");
    host.mount("forgotten", "one").unwrap();
    let data = host.mount("forgotten", "two").unwrap();
    assert!(
        host.unmount("forgotten", "three")
            .unwrap_err()
            .contains("not mounted by this id"),
        "while it is mounted the ids count"
    );
    unmount(data.parent().unwrap(), UnmountFlags::empty()).unwrap();
    host.unmount("forgotten", "three").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_volume_answers_to_its_id_and_to_its_name() {
    let rig = Rig::new();
    let id = rig.client().create("by-name", 1, "z1").unwrap().volume_id;
    let host = rig.driver("a");
    let folder = host.mount(&id, "x").unwrap();
    assert_eq!(host.mount("by-name", "x").unwrap(), folder);
    let got = host.call("Get", json!({"Name": id})).unwrap();
    assert_eq!(got["Volume"]["Name"], json!(id));
    assert_eq!(got["Volume"]["Mountpoint"], json!(folder));
    assert_eq!(
        host.call("Path", json!({"Name": "by-name"})).unwrap()["Mountpoint"],
        json!(folder)
    );
    host.unmount("by-name", "x").unwrap();
    assert_eq!(
        host.call("Path", json!({"Name": "by-name"})).unwrap()["Mountpoint"],
        json!("")
    );
}

#[test]
fn a_name_two_volumes_have_is_refused_with_their_ids() {
    let rig = Rig::new();
    let ids = [(); 2].map(|()| rig.client().create("twin", 1, "z1").unwrap().volume_id);
    let refusal = rig.driver("a").mount("twin", "x").unwrap_err();
    assert!(ids.iter().all(|id| refusal.contains(id)), "{refusal}");
    let folders = ids.clone().map(|id| rig.driver("a").mount(&id, "x").unwrap());
    assert_ne!(folders[0], folders[1]);
    for id in ids {
        rig.driver("a").unmount(&id, "x").unwrap();
    }
    rig.assert_nothing_left();
}

#[test]
fn a_hostile_name_stays_below_the_base() {
    let rig = Rig::new();
    rig.client().create("../../../evil", 1, "z1").unwrap();
    let folder = rig.driver("a").mount("../../../evil", "x").unwrap();
    assert!(
        folder.to_string_lossy().contains("/hosts/a/volumes/vol-"),
        "{}",
        folder.display()
    );
    rig.driver("a").unmount("../../../evil", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_volume_with_data_of_no_known_form_is_never_formatted() {
    let rig = Rig::new();
    let id = rig.client().create("strange", 1, "z1").unwrap().volume_id;
    let image = rig.emulator.state().join(format!("volumes/{id}.img"));
    let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"somebody's bytes", 123 << 20).unwrap();
    let refusal = rig.driver("a").mount("strange", "x").unwrap_err();
    assert!(refusal.contains("was not formatted"), "{refusal}");
    rig.assert_nothing_left();
}

#[test]
fn a_device_in_use_elsewhere_is_not_called_detached() {
    // The base is not shared: a mount namespace made meanwhile keeps its copy of the mount.
    let rig = Rig::with_hosts(["a=z1", "b=z1"]);
    rig.client().create("pinned", 1, "z1").unwrap();
    let host = rig.driver("a");
    host.mount("pinned", "x").unwrap();
    let mut holder = rig::mount_namespace();
    let refusal = host.unmount("pinned", "x").unwrap_err();
    assert!(
        refusal.contains(": a mount in another mount namespace holds it"),
        "{refusal}"
    );
    assert_eq!(rig.client().describe().unwrap().volumes[0].attachments[0].state, "busy");
    assert!(
        rig.driver("b")
            .mount("pinned", "x")
            .unwrap_err()
            .starts_with("VolumeInUse")
    );

    holder.kill().unwrap();
    holder.wait().unwrap();
    rig::wait_until("the detach succeeds once the holder is gone", || {
        host.unmount("pinned", "x").is_ok()
    });
    rig.assert_nothing_left();
}

#[test]
fn twenty_volumes_at_once_and_one_volume_twenty_times() {
    let rig = Rig::new();
    let names: Vec<String> = (0..20).map(|n| format!("many-{n}")).collect();
    for name in &names {
        rig.client().create(name, 1, "z1").unwrap();
    }
    rig.client().create("popular", 1, "z1").unwrap();
    let host = rig.driver("a");
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| host.mount(name, "x").unwrap());
            scope.spawn(|| host.mount("popular", name).unwrap());
        }
    });
    assert_eq!(rig.mounts().len(), 21);
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| host.unmount(name, "x").unwrap());
            scope.spawn(|| host.unmount("popular", name).unwrap());
        }
    });
    rig.assert_nothing_left();
}

#[test]
fn a_shared_base_frees_the_device_while_another_mount_namespace_lives() {
    let rig = Rig::with_hosts(["a=z1,shared"]);
    rig.client().create("free", 1, "z1").unwrap();
    let host = rig.driver("a");
    host.mount("free", "x").unwrap();
    let mut holder = rig::mount_namespace();
    host.unmount("free", "x").unwrap();
    rig.assert_nothing_left();
    holder.kill().unwrap();
    holder.wait().unwrap();
}
