//! What the client reads out of answers that are not broken, only different from each other.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use volume_driver_client::{Discovery, Drivers, ErrorKind, ExplicitDriver, MountId, PathRewrite, Profiles, Scope};

use crate::scripted::{Scripted, Step, answer};

const PATIENT: Duration = Duration::from_secs(20);

#[test]
fn a_missing_capabilities_call_means_local() {
    for (status, body, scope) in [
        ("200 OK", r#"{"Capabilities":{"Scope":"global"}}"#, Scope::Global),
        ("200 OK", r#"{"Capabilities":{"Scope":"local"}}"#, Scope::Local),
        ("404 Not Found", "404 page not found\n", Scope::Local),
        (
            "500 Oops",
            "Handler not found: POST /VolumeDriver.Capabilities",
            Scope::Local,
        ),
    ] {
        let server = Scripted::sending(answer(status, body));
        assert_eq!(server.driver(PATIENT).capabilities().unwrap(), scope, "{body}");
    }
}

#[test]
fn a_mount_of_a_volume_that_get_finds_is_attached_elsewhere() {
    // Status 500 for the Mount, then a Get that finds it, as REX-Ray does for a volume held by another host.
    let refused = answer("500 Oops", r#"{"Err":"resource not found"}"#);
    let found = answer("200 OK", r#"{"Volume":{"Name":"v"}}"#);
    let server = Scripted::in_turn(vec![refused.clone(), found, refused.clone(), refused]);
    let driver = server.driver(PATIENT);
    let id = MountId::derive("host", "scripted", "v");
    assert_eq!(driver.mount("v", &id).unwrap_err().kind(), ErrorKind::AttachedElsewhere);
    assert_eq!(driver.mount("v", &id).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn paths_of_a_managed_plugin_are_found_on_the_host() {
    let rewrite = |from: &str, to: &str| PathRewrite {
        from: from.into(),
        to: to.into(),
    };
    for (given, on_host) in [
        ("/mnt/volumes/db/data", "/plugins/ID/propagated-mount/db/data"),
        ("/mnt/volumes", "/plugins/ID/propagated-mount"),
        ("/mnt/volumes2/db", "/plugins/ID/rootfs/mnt/volumes2/db"),
        ("/other", "/plugins/ID/rootfs/other"),
    ] {
        let body = format!(r#"{{"Mountpoint":"{given}","Volume":{{"Mountpoint":"{given}"}}}}"#);
        let server = Scripted::sending(answer("200 OK", &body));
        let explicit = ExplicitDriver {
            address: server.driver(PATIENT).endpoint().to_string(),
            rewrites: vec![
                rewrite("/", "/plugins/ID/rootfs"),
                rewrite("/mnt/volumes", "/plugins/ID/propagated-mount"),
            ],
            ..ExplicitDriver::default()
        };
        let discovery = Discovery {
            explicit: [("rexray/ebs:latest".to_owned(), explicit)].into(),
            ..Discovery::default()
        };
        let driver = Drivers::new(discovery, Profiles::builtin())
            .driver("rexray/ebs:latest")
            .unwrap();
        let on_host = PathBuf::from(on_host);
        assert_eq!(driver.path("v").unwrap(), Some(on_host.clone()));
        assert_eq!(driver.get("v").unwrap().mountpoint, Some(on_host.clone()));
        let id = MountId::derive("host", "rexray/ebs:latest", "v");
        assert_eq!(driver.mount("v", &id).unwrap(), on_host);
    }
}

/// Any JSON, a few levels deep, with the protocol's keys among the others.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from("/mnt/v")),
        Just(Value::from("volume not found")),
    ];
    let key = prop_oneof![
        ".{0,8}".prop_map(String::from),
        prop::sample::select(vec![
            "Err",
            "err",
            "Volume",
            "Volumes",
            "Mountpoint",
            "Name",
            "Status",
            "CreatedAt",
            "Implements",
            "Capabilities",
            "Scope",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every call against one server; none may panic, take long, or break the rules of its answer.
fn check_all_calls(server: &Scripted) -> Result<(), TestCaseError> {
    let driver = server.driver(PATIENT);
    let id = MountId::derive("host", "scripted", "v");
    let mut errors = Vec::new();
    match driver.mount("v", &id) {
        Ok(path) => prop_assert!(path.is_absolute(), "{path:?}"),
        Err(error) => errors.push(error),
    }
    match driver.path("v") {
        Ok(path) => prop_assert!(path.is_none_or(|path| path.is_absolute())),
        Err(error) => errors.push(error),
    }
    errors.extend(driver.get("v").err());
    errors.extend(driver.list().err());
    errors.extend(driver.activate().err());
    errors.extend(driver.capabilities().err());
    errors.extend(driver.create("v", &Default::default()).err());
    errors.extend(driver.unmount("v", &id).err());
    errors.extend(driver.remove("v").err());
    for error in errors {
        let message = error.to_string();
        prop_assert!(!message.chars().any(char::is_control), "{message:?}");
        prop_assert!(message.chars().count() < 800, "{message:?}");
        prop_assert!(error.kind() != ErrorKind::Unreachable, "an answer was given: {message}");
        prop_assert!(
            !error.may_have_happened() || error.operation().is_mutating(),
            "{message}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_read_or_refused_by_the_rules(body in any_json(), status in 200u16..600) {
        let status = if status % 2 == 0 { "200 OK".to_owned() } else { format!("{status} Some") };
        let server = Scripted::doing(vec![Step::Send(answer(&status, &body.to_string()))]);
        check_all_calls(&server)?;
    }

    #[test]
    fn any_bytes_as_a_body_are_read_or_refused_by_the_rules(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend(&body);
        let server = Scripted::sending(bytes);
        check_all_calls(&server)?;
    }
}
