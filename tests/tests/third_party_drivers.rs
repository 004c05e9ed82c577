//! Drivers that others wrote. `mesos-volumes driver test` runs against each, and what it finds is what the built-in profile
//! says: a profile that is wrong, or a test that sees less than there is, fails here.

use std::path::Path;

use ebs_emulator::{Emulator, EmulatorOptions, HostSpec};
use serde_json::{Value, json};
use testbed::{AgentSpec, Cluster, Job, mounts_below};
use tests::third_party::{PythonDriver, driver_test};
use tests::{Rclone, Tasks, eventually, module};

/// Nothing may be left, and the profile in force says what was seen.
fn agrees(result: &Value) {
    assert_eq!(result["differs"], json!([]), "{result:#}");
    assert_eq!(result["left_behind"], json!([]), "{result:#}");
}

fn kinds(result: &Value, calls: &[&str]) -> Vec<String> {
    let unknown = &result["observed"]["unknown_volume"];
    calls
        .iter()
        .map(|call| unknown[call]["kind"].as_str().unwrap_or("done").to_owned())
        .collect()
}

fn nothing_is_mounted_below(folder: &Path) {
    let left = mounts_below(folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn third_party_rclone_refuses_the_same_id_counts_others_and_keeps_what_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().join("run");
    std::fs::create_dir(&sockets).unwrap();
    let rclone = Rclone::start(&folder.path().join("rclone"), &sockets);
    let path = format!("path={}", rclone.data("test").display());
    let result = driver_test(&sockets, &["rclone", "-o", "type=local", "-o", &path]);
    agrees(&result);
    let seen = &result["observed"];
    assert_eq!(seen["mount_under_the_same_id"]["answer"]["kind"], "already_mounted");
    assert_eq!(seen["mount_under_a_second_id"]["unmounts_needed"], 2);
    assert_eq!(seen["unmount_of_what_is_not_mounted"]["answer"]["kind"], "not_mounted");
    assert_eq!(seen["mountpoint"]["is"], "mount");
    assert_eq!(seen["data_survives_remove"], true);
    assert_eq!(result["problems"], json!([]));
    assert!(rclone.mounts().is_empty());
}

#[test]
fn third_party_manners_of_rexray_are_what_the_test_of_drivers_finds() {
    let folder = tempfile::tempdir().unwrap();
    let host = |name: &str, manners: &str| {
        let host = HostSpec::new(name, "zone-a").socket(folder.path().join(format!("{name}.sock")));
        host.manners(manners.parse().unwrap()).shared()
    };
    let _emulator = Emulator::start(EmulatorOptions {
        program: None,
        state: folder.path().join("ebs"),
        hosts: vec![
            host("ebs", "rexray"),
            host("polite", "ignores-case"),
            host("forgetful", "removes-mounted"),
        ],
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let result = driver_test(folder.path(), &["ebs", "-o", "size=1", "--names"]);
    agrees(&result);
    let seen = &result["observed"];
    assert_eq!(
        seen["mount_under_the_same_id"]["unmounts_needed"], 2,
        "calls are counted"
    );
    assert_eq!(
        seen["unmount_under_a_foreign_id"]["stays_mounted"], false,
        "ids are ignored"
    );
    assert_eq!(seen["ignores_case"], true);
    assert_eq!(seen["mountpoint"], json!({ "is": "folder_in_mount", "folder": "data" }));
    // A driver that nobody knows: the profile is written, and is what has to be pasted.
    let result = driver_test(folder.path(), &["polite", "-o", "size=1", "--names", "--concurrent"]);
    assert_eq!(
        result["differs"],
        json!(["folder_in_mount", "names_ignore_case"]),
        "{result:#}"
    );
    let file = folder.path().join("drivers.json");
    std::fs::write(&file, result["profile"].to_string()).unwrap();
    let file = file.display().to_string();
    agrees(&driver_test(
        folder.path(),
        &["polite", "-o", "size=1", "--drivers", &file],
    ));
    let result = driver_test(folder.path(), &["forgetful", "-o", "size=1"]);
    assert_eq!(result["left_behind"], json!([]), "{result:#}");
    let problems = result["problems"].to_string();
    for problem in [
        "Remove of a mounted volume reports success",
        "a volume that was removed while mounted stays mounted",
    ] {
        assert!(problems.contains(problem), "{problems}");
    }
    let volumes = folder.path().join("ebs/hosts/forgetful/volumes");
    let left = mounts_below(&volumes).unwrap_or_else(|error| panic!("{error}"));
    assert!(left.iter().all(|mount| mount.target == volumes), "{left:?}");
}

#[test]
fn third_party_easyfuse_says_unknown_in_words_of_its_own_and_survives_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().join("run");
    std::fs::create_dir(&sockets).unwrap();
    let driver = PythonDriver::easyfuse(&folder.path().join("easyfuse"), &sockets);
    let device = format!("device=bindfs#{}", driver.path("base").display());
    let restart = driver.restart();
    let arguments = [
        "easyfuse",
        "-o",
        &device,
        "--names",
        "--concurrent",
        "--restart",
        &restart,
    ];
    let result = driver_test(&sockets, &arguments);
    agrees(&result);
    assert_eq!(kinds(&result, &["get", "mount", "remove"]), ["not_found"; 3]);
    assert_eq!(result["observed"]["create_of_what_exists"]["kind"], "already_exists");
    assert_eq!(result["observed"]["mount_under_the_same_id"]["unmounts_needed"], 1);
    let problems = result["problems"].to_string();
    assert!(
        problems.contains("Remove of a mounted volume reports success"),
        "{problems}"
    );
    nothing_is_mounted_below(&driver.path("mounts"));
}

#[test]
fn third_party_wolphin_driver_has_folders_instead_of_mounts() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().join("run");
    std::fs::create_dir(&sockets).unwrap();
    let driver = PythonDriver::wolphin(&folder.path().join("wolphin"), &sockets);
    let restart = driver.restart();
    let result = driver_test(&sockets, &["wolphin-driver", "--names", "--restart", &restart]);
    agrees(&result);
    assert_eq!(kinds(&result, &["get", "mount", "remove"]), ["not_found"; 3]);
    assert_eq!(result["observed"]["mountpoint"]["is"], "directory");
    assert_eq!(
        result["observed"]["mount_under_the_same_id"]["answer"]["kind"],
        "already_mounted"
    );
}

#[test]
fn third_party_buttervolume_does_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().join("run");
    std::fs::create_dir(&sockets).unwrap();
    let driver = PythonDriver::buttervolume(&folder.path().join("buttervolume"), &sockets);
    let result = driver_test(&sockets, &["btrfs"]);
    agrees(&result);
    assert_eq!(kinds(&result, &["get", "mount"]), ["not_found"; 2]);
    assert_eq!(result["observed"]["create_of_what_exists"]["done"], true);
    assert_eq!(
        result["observed"]["unmount_of_what_is_not_mounted"]["answer"]["done"],
        true
    );
    drop(driver);
    nothing_is_mounted_below(folder.path());
}

/// The agent's own mount table is what proves easyfuse's volume; wolphin-driver's is a folder by its profile.
#[test]
fn third_party_drivers_from_pypi_serve_tasks_on_a_real_agent() {
    let cluster = Cluster::builder().agent(AgentSpec::default().module(module())).create();
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let sockets = cluster.agent(0).drivers().to_owned();
    let easyfuse = PythonDriver::easyfuse(&cluster.folder().join("easyfuse"), &sockets);
    let wolphin = PythonDriver::wolphin(&cluster.folder().join("wolphin"), &sockets);
    cluster
        .start()
        .unwrap_or_else(|error| panic!("{error}\n{}", cluster.report()));
    let tasks = Tasks::connect(&cluster);
    let task = |driver: &str, command: &str| {
        Job::shell(command)
            .label("volume.data", "orders")
            .label("volume.data.driver", driver)
            .label("volume.data.create", "if-missing")
    };
    let device = format!("bindfs#{}", easyfuse.path("base").display());
    let fuse = |command: &str| task("easyfuse", command).label("volume.data.options.device", device.clone());
    for job in [
        fuse("mountpoint data && echo first > data/file"),
        fuse("grep first data/file"),
        task("wolphin-driver", "echo second > data/file"),
        task("wolphin-driver", "grep second data/file"),
    ] {
        tasks.finish(cluster.agent(0), job);
    }
    assert!(wolphin.path("base/orders/file").exists());
    let unknown = Job::shell("true")
        .label("volume.data", "nobody")
        .label("volume.data.driver", "easyfuse");
    let message = tasks.fail(cluster.agent(0), unknown);
    assert!(message.contains("does not know this volume"), "{message}");
    eventually("nothing is mounted", || match mounts_below(&easyfuse.path("mounts")) {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
