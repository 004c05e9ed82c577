//! buttervolume 3.13 from PyPI: a driver of another school, errors with status 200 and web pages.

use std::fs;

use volume_driver_client::{CreatePolicy, Ensured, ErrorKind, MountId};

use crate::fixture::{Buttervolume, file_system_at};

fn id(volume: &str) -> MountId {
    MountId::derive("test-host", "btrfs", volume)
}

#[test]
fn a_volume_lives_its_life_as_a_directory() {
    let buttervolume = Buttervolume::start();
    let driver = buttervolume.driver();
    assert_eq!(driver.activate().unwrap(), ["VolumeDriver"]);
    let policy = CreatePolicy::IfMissing(Default::default());
    assert_eq!(driver.ensure("v1", &policy).unwrap(), Ensured::Created);
    assert_eq!(driver.ensure("v1", &policy).unwrap(), Ensured::Existed);
    driver.create("v1", &Default::default()).unwrap();

    let path = driver.mount("v1", &id("v1")).unwrap();
    assert_eq!(driver.mount("v1", &id("v1")).unwrap(), path, "it does not count");
    assert!(driver.profile().directory_backed);
    assert_eq!(file_system_at(&path), None, "no mount of its own");
    fs::write(path.join("hello"), "volume").unwrap();
    assert_eq!(driver.get("v1").unwrap().mountpoint, Some(path));
    let listed = driver.list().unwrap();
    assert_eq!((listed[0].name.as_str(), &listed[0].mountpoint), ("v1", &None));

    driver.unmount("v1", &id("v1")).unwrap();
    driver.unmount("v1", &id("v1")).unwrap();
    driver.remove("v1").unwrap();
    assert_eq!(driver.list().unwrap(), []);
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let buttervolume = Buttervolume::start();
    let driver = buttervolume.driver();
    let kind = |result: Result<(), volume_driver_client::Error>| result.unwrap_err().kind();
    assert_eq!(kind(driver.get("v9").map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(driver.mount("v9", &id("v9")).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(driver.path("v9").map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(driver.remove("v9")), ErrorKind::NotFound);
    let error = driver.create("v@1", &Default::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("illegal in a volume name"), "{error}");
    let options = [("copyonwrite".to_owned(), "perhaps".to_owned())].into();
    assert_eq!(kind(driver.create("v1", &options)), ErrorKind::Rejected);
    assert_eq!(driver.list().unwrap(), []);
}

#[test]
fn a_crash_in_a_handler_is_a_web_page_and_no_proof_of_anything() {
    let buttervolume = Buttervolume::start();
    let driver = buttervolume.driver();
    driver.create("v1", &Default::default()).unwrap();
    buttervolume.btrfs.unmount();
    let error = driver.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("500"), "{error}");
    assert!(!error.to_string().contains('<'), "{error}");
}

#[test]
fn a_missing_call_means_local_scope() {
    let buttervolume = Buttervolume::start();
    assert!(buttervolume.driver().capabilities().is_ok());
}
