//! The drop-in dvdcli: what Mesos' isolator `docker/volume` and people call.

use std::thread;

use crate::fixture::{Host, Ran};

/// The command line as Mesos writes it.
fn on(host: &Host, command: &str, volume: &str, more: &[&str]) -> Ran {
    let name = format!("--volumename={volume}");
    host.dvdcli(&[&[command, "--volumedriver=rclone", &name], more].concat())
}

/// Options for a volume over a folder, each its own word.
fn options(host: &Host, folder: &str) -> [String; 2] {
    [
        "--volumeopts=type=local".to_owned(),
        format!("--volumeopts={}", host.data(folder)),
    ]
}

fn mount(host: &Host, volume: &str) -> Ran {
    let options = options(host, volume);
    on(host, "mount", volume, &[&options[0], &options[1]])
}

#[test]
fn it_prints_what_dvdcli_prints() {
    let host = Host::with_rclone();
    let path = format!("{}\n", host.path("base/v1").display());
    assert_eq!(mount(&host, "v1").ok(), path);
    assert_eq!(on(&host, "path", "v1", &[]).ok(), path);
    assert_eq!(on(&host, "get", "v1", &[]).ok(), "v1\n");
    assert_eq!(host.dvdcli(&["list", "--volumedriver=rclone"]).ok(), "v1\n");
    assert_eq!(on(&host, "unmount", "v1", &[]).ok(), "");
    assert_eq!(on(&host, "remove", "v1", &[]).ok(), "");
    let options = options(&host, "v2");
    assert_eq!(on(&host, "create", "v2", &[&options[0], &options[1]]).ok(), "");
    assert_eq!(on(&host, "create", "v2", &[]).ok(), "", "it exists");
}

#[test]
fn many_mounts_are_one_mount_for_the_driver_and_one_unmount_ends_it() {
    let host = Host::with_rclone();
    let path = mount(&host, "v1").ok();
    for _ in 0..3 {
        assert_eq!(mount(&host, "v1").ok(), path);
    }
    assert_eq!(
        host.rclone_log().matches("Mount volume \"v1\"").count(),
        1,
        "{}",
        host.rclone_log()
    );
    assert_eq!(on(&host, "unmount", "v1", &[]).ok(), "");
    assert!(host.mounts().is_empty());
    let again = on(&host, "unmount", "v1", &[]);
    assert!(again.stderr.contains("not mounted"), "{again:?}");
    again.ok();
}

#[test]
fn a_mount_that_is_held_but_not_noted_is_adopted() {
    let host = Host::with_rclone();
    let path = mount(&host, "v1").ok();
    std::fs::remove_dir_all(host.path("notes/mounted")).unwrap();
    assert_eq!(mount(&host, "v1").ok(), path);
    on(&host, "unmount", "v1", &[]).ok();
    assert!(host.mounts().is_empty());
}

#[test]
fn a_note_on_a_dead_mount_is_not_believed() {
    let mut host = Host::with_rclone();
    mount(&host, "v1").ok();
    host.kill_rclone();
    let ran = mount(&host, "v1");
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{ran:?}");
}

#[test]
fn a_note_on_a_mount_that_is_gone_is_not_believed() {
    let host = Host::with_rclone();
    let path = mount(&host, "v1").ok();
    // Unmounted by somebody else, with the id that was used.
    let id = volume_driver_client::MountId::derive("test-host", "rclone", "v1").to_string();
    host.driver(&["unmount", "rclone", "v1", "--id", &id]).ok();
    assert!(host.mounts().is_empty());
    assert_eq!(mount(&host, "v1").ok(), path);
    assert_eq!(host.mounts().len(), 1);
    on(&host, "unmount", "v1", &[]).ok();
}

#[test]
fn explicit_create_does_not_create_in_either_spelling() {
    let host = Host::with_rclone();
    for flag in ["--explicitcreate", "--explicitcreate=true", "--explicitCreate=true"] {
        let options = options(&host, "v1");
        let ran = on(&host, "mount", "v1", &[&options[0], &options[1], flag]);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
    }
    assert_eq!(host.dvdcli(&["list", "--volumedriver=rclone"]).ok(), "");
}

#[test]
fn options_may_hold_equal_signs_and_commas() {
    let host = Host::with_rclone();
    std::fs::create_dir(host.path("a=b,c")).unwrap();
    let path = format!("--volumeopts=path={}", host.path("a=b,c").display());
    let mountpoint = on(&host, "mount", "v1", &["--volumeopts=type=local", &path]).ok();
    std::fs::write(format!("{}/hello", mountpoint.trim()), "").unwrap();
    on(&host, "unmount", "v1", &[]).ok();
    assert!(host.path("a=b,c/hello").exists());
}

#[test]
fn a_driver_that_cannot_answer_is_no_reason_to_create() {
    let host = Host::with_a_driver_that_breaks_off();
    let ran = host.dvdcli(&["mount", "--volumedriver=cut", "--volumename=v1"]);
    // The Get failed, and nothing that changes anything was sent.
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{ran:?}");
    let ran = host.dvdcli(&["unmount", "--volumedriver=cut", "--volumename=v1"]);
    assert_eq!(ran.code, 5, "{ran:?}");
}

#[test]
fn a_mistake_on_the_command_line_is_not_success() {
    let host = Host::new();
    for words in [&["mount", "--volumdriver=rclone"][..], &["mount"], &["frobnicate"]] {
        let ran = host.dvdcli(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    }
    assert!(host.dvdcli(&["help"]).ok().starts_with("Usage: dvdcli"));
    assert!(host.dvdcli(&["version"]).ok().starts_with("dvdcli 0.2"));
}

#[test]
fn twenty_processes_at_once_do_not_hang_a_driver_that_bears_one_call() {
    let host = Host::with_rclone();
    let volumes: Vec<String> = (0..20).map(|number| format!("v{number}")).collect();
    let each = |work: fn(&Host, &str)| {
        thread::scope(|threads| {
            for volume in &volumes {
                threads.spawn(|| work(&host, volume));
            }
        });
    };
    each(|host, volume| drop(mount(host, volume).ok()));
    assert_eq!(host.mounts().len(), 20);
    each(|host, volume| drop(on(host, "unmount", volume, &[]).ok()));
    assert!(host.mounts().is_empty());
}
