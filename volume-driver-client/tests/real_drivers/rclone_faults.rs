//! rclone 1.60 killed, restarted and stopped under its users.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use volume_driver_client::{CreatePolicy, ErrorKind};

use crate::fixture::{Listens, Rclone, run, wait_until};
use crate::fixture::{rclone_id as id, rclone_is_mounted as is_mounted};

/// Docker waits 15 s for a driver that is not there.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn killed_it_leaves_a_stale_socket_and_a_dead_mount_and_every_call_fails_at_once() {
    for listens in [Listens::Unix, Listens::Tcp] {
        let mut rclone = Rclone::start(listens);
        let driver = rclone.driver();
        driver.create("v1", &rclone.options("data")).unwrap();
        let path = driver.mount("v1", &id("v1")).unwrap();
        rclone.kill();

        let start = Instant::now();
        for error in [
            driver.mount("v1", &id("v1")).unwrap_err(),
            driver.unmount("v1", &id("v1")).unwrap_err(),
            driver.create("v2", &rclone.options("data")).unwrap_err(),
            driver.get("v1").unwrap_err(),
            driver
                .ensure("v1", &CreatePolicy::IfMissing(rclone.options("data")))
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
            assert!(error.to_string().contains("not running"), "{error}");
        }
        assert!(start.elapsed() < AT_ONCE, "took {:?}", start.elapsed());
        // The mount table still lists it, but a look into the folder fails.
        assert!(is_mounted(&path));
        let error = fs::read_dir(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NOTCONN.raw_os_error()), "{error}");
    }
}

#[test]
fn restarted_over_a_dead_mount_it_has_forgotten_the_volume_and_says_so() {
    let mut rclone = Rclone::start(Listens::Unix);
    let driver = rclone.driver();
    driver.create("v1", &rclone.lasting_options("data")).unwrap();
    let path = driver.mount("v1", &id("v1")).unwrap();
    rclone.kill();
    rclone.restart();
    wait_until("rclone serves", || driver.list().is_ok());

    assert!(rclone.log().contains("Failed to restore volume"));
    for error in [
        driver.get("v1").unwrap_err(),
        driver.mount("v1", &id("v1")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    assert_eq!(driver.unmount("v1", &id("v1")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(is_mounted(&path), "the dead mount is left to us");

    // With the dead mount out of the way the volume can be made and mounted again.
    run("umount", &["-l", path.to_str().unwrap()]);
    driver.create("v1", &rclone.lasting_options("data")).unwrap();
    assert_eq!(driver.mount("v1", &id("v1")).unwrap(), path);
    driver.unmount("v1", &id("v1")).unwrap();
}

#[test]
fn restarted_with_a_mount_to_restore_it_never_answers_and_every_call_fails_at_once() {
    let mut rclone = Rclone::start(Listens::Unix);
    let driver = rclone.driver();
    driver.create("v1", &rclone.lasting_options("data")).unwrap();
    let path = driver.mount("v1", &id("v1")).unwrap();
    rclone.kill();
    run("umount", &["-l", path.to_str().unwrap()]);
    rclone.launch();
    // It restores the mount and then waits for itself.
    wait_until("rclone restores its mount", || is_mounted(&path));

    let start = Instant::now();
    let error = driver.unmount("v1", &id("v1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(start.elapsed() < AT_ONCE, "took {:?}", start.elapsed());
    assert!(rclone.runs(), "it is not that it ended");
}

#[test]
fn stopped_it_unmounts_under_its_users_and_remembers_only_what_it_can_restore() {
    let mut rclone = Rclone::start(Listens::Unix);
    let driver = rclone.driver();
    driver.create("fleeting", &rclone.options("data")).unwrap();
    driver.create("lasting", &rclone.lasting_options("data")).unwrap();
    let path = driver.mount("fleeting", &id("fleeting")).unwrap();
    rclone.terminate();
    assert!(!is_mounted(&path));
    assert_eq!(driver.get("lasting").unwrap_err().kind(), ErrorKind::Unreachable);

    rclone.restart();
    wait_until("rclone serves", || driver.list().is_ok());
    assert_eq!(driver.get("lasting").unwrap().name, "lasting");
    assert_eq!(driver.get("fleeting").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(rclone.socket().exists());
}
