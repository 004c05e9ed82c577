//! How long a call may take: as long as the driver's profile says, each operation by its own limit.

use std::time::Duration;

use volume_driver_client::{Discovery, Driver, Drivers, ErrorKind, ExplicitDriver, Operation, Profiles};

use crate::scripted::{Scripted, Step, answer};

/// The driver of this name, at an address where nothing has to listen.
fn driver(name: &str, address: &str, profiles: Profiles) -> Driver {
    let explicit = ExplicitDriver {
        address: address.to_owned(),
        ..ExplicitDriver::default()
    };
    let discovery = Discovery {
        explicit: [(name.to_owned(), explicit)].into(),
        ..Discovery::default()
    };
    Drivers::new(discovery, profiles)
        .driver(name)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// REX-Ray asks its cloud for every volume before it answers a Get: 33 s were seen (rexray issue
/// 1292).
#[test]
fn a_get_of_a_driver_that_asks_a_cloud_may_take_longer_than_that_of_any_other() {
    let limits = |name: &str| {
        driver(name, "/run/nothing.sock", Profiles::builtin())
            .profile()
            .timeouts
            .clone()
    };
    for name in [
        "rexray",
        "rexray/ebs:latest",
        "ebs",
        "efs",
        "gcepd",
        "cinder",
        "pxd",
        "netapp",
        "vsphere",
    ] {
        for operation in [Operation::Get, Operation::List, Operation::Path] {
            let limit = limits(name).of(operation);
            assert_eq!(limit, Duration::from_secs(120), "{name}, {operation}");
        }
        assert_eq!(limits(name).of(Operation::Mount), Duration::from_secs(300), "{name}");
    }
    assert_eq!(limits("another").of(Operation::Get), Duration::from_secs(30));
}

/// The answers take about three seconds. Only the operations whose limit is shorter give up.
#[test]
fn a_call_is_waited_for_as_long_as_the_profile_of_its_driver_says_for_its_operation() {
    let body = r#"{"Volume": {"Name": "data"}, "Volumes": [], "Mountpoint": "/mnt/data"}"#;
    let answer = answer("200 OK", body);
    let pause = Duration::from_secs(3) / u32::try_from(answer.len()).unwrap();
    let server = Scripted::doing(vec![Step::Drip(answer, pause)]);
    let address = server.socket().unwrap().to_str().unwrap();
    let overridden = |limits: &str| {
        let text = format!(r#"{{"rexray": {{"timeouts": {{{limits}}}}}}}"#);
        driver("rexray", address, Profiles::from_json(&text).unwrap())
    };
    let patient_in_get = overridden(r#""list": 0.5, "path": 0.5"#);
    assert_eq!(patient_in_get.get("data").unwrap().name, "data");
    for late in [patient_in_get.list().map(drop), patient_in_get.path("data").map(drop)] {
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Unreachable);
    }
    let impatient_in_get = overridden(r#""get": 0.5"#);
    assert_eq!(impatient_in_get.get("data").unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(impatient_in_get.list().unwrap().is_empty());
}
