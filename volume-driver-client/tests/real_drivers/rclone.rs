//! rclone 1.60 from Debian: what goes right, and its own words for what does not.

use std::fs;

use volume_driver_client::{CreatePolicy, Ensured, ErrorKind, Scope};

use crate::fixture::{Listens, Rclone};
use crate::fixture::{rclone_id as id, rclone_is_mounted as is_mounted};

fn a_whole_life(listens: Listens) {
    let rclone = Rclone::start(listens);
    let driver = rclone.driver();
    assert_eq!(driver.activate().unwrap(), ["VolumeDriver"]);
    assert_eq!(driver.capabilities().unwrap(), Scope::Local);
    assert_eq!(driver.list().unwrap(), []);

    let policy = CreatePolicy::IfMissing(rclone.options("data"));
    assert_eq!(
        driver.ensure("v1", &CreatePolicy::Never).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(driver.ensure("v1", &policy).unwrap(), Ensured::Created);
    assert_eq!(driver.ensure("v1", &policy).unwrap(), Ensured::Existed);
    assert_eq!(driver.list().unwrap()[0].name, "v1");

    let path = driver.mount("v1", &id("v1")).unwrap();
    assert!(is_mounted(&path), "{path:?}");
    assert_eq!(driver.path("v1").unwrap(), Some(path.clone()));
    fs::write(path.join("hello"), "volume").unwrap();
    driver.unmount("v1", &id("v1")).unwrap();
    assert!(!is_mounted(&path));
    assert_eq!(fs::read_to_string(rclone.path("data/hello")).unwrap(), "volume");

    driver.remove("v1").unwrap();
    assert_eq!(driver.get("v1").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rclone.mounts(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_volume_lives_its_life_over_a_unix_socket() {
    a_whole_life(Listens::Unix);
}

#[test]
fn a_volume_lives_its_life_over_tcp_found_by_a_spec() {
    a_whole_life(Listens::Tcp);
}

#[test]
fn its_refusals_are_told_apart() {
    let rclone = Rclone::start(Listens::Unix);
    let driver = rclone.driver();
    let kind = |result: Result<(), volume_driver_client::Error>| result.unwrap_err().kind();
    driver.create("v1", &rclone.options("data")).unwrap();

    assert_eq!(
        kind(driver.create("v1", &rclone.options("data"))),
        ErrorKind::AlreadyExists
    );
    assert_eq!(kind(driver.create("v2", &Default::default())), ErrorKind::Rejected);
    assert_eq!(kind(driver.unmount("v1", &id("v1"))), ErrorKind::NotMounted);
    assert_eq!(kind(driver.mount("v9", &id("v9")).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(driver.path("v9").map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(driver.remove("v9")), ErrorKind::NotFound);

    driver.mount("v1", &id("v1")).unwrap();
    assert_eq!(kind(driver.mount("v1", &id("v1")).map(drop)), ErrorKind::AlreadyMounted);
    assert_eq!(kind(driver.unmount("v1", &id("another"))), ErrorKind::NotMounted);
    assert_eq!(kind(driver.remove("v1")), ErrorKind::Busy);
    driver.unmount("v1", &id("v1")).unwrap();
}

#[test]
fn a_second_id_keeps_the_volume_mounted_until_it_leaves_too() {
    let rclone = Rclone::start(Listens::Unix);
    let driver = rclone.driver();
    driver.create("v1", &rclone.options("data")).unwrap();
    let path = driver.mount("v1", &id("v1")).unwrap();
    assert_eq!(driver.mount("v1", &id("other")).unwrap(), path);
    driver.unmount("v1", &id("v1")).unwrap();
    assert!(is_mounted(&path));
    driver.unmount("v1", &id("other")).unwrap();
    assert!(!is_mounted(&path));
}

#[test]
fn it_bears_twenty_users_at_once_because_it_is_given_one_call_after_the_other() {
    let rclone = Rclone::start(Listens::Unix);
    let driver = rclone.driver();
    assert_eq!(driver.profile().max_in_flight, 1);
    std::thread::scope(|threads| {
        for number in 0..20 {
            let (driver, rclone) = (&driver, &rclone);
            threads.spawn(move || {
                let name = format!("v{number}");
                driver.create(&name, &rclone.options(&name)).unwrap();
                for _ in 0..3 {
                    driver.mount(&name, &id(&name)).unwrap();
                    driver.unmount(&name, &id(&name)).unwrap();
                }
            });
        }
    });
    assert_eq!(rclone.mounts(), Vec::<std::path::PathBuf>::new());
}
