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
        let body = format!(r#"{{"Mountpoint":"{given}","Volume":{{"Name":"v","Mountpoint":"{given}"}}}}"#);
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

/// The outcome of a Get of the volume `data` that is answered so.
fn got(status: &str, body: &str) -> Result<String, ErrorKind> {
    let server = Scripted::sending(answer(status, body));
    let got = server.driver(PATIENT).get("data");
    got.map(|volume| volume.name).map_err(|error| error.kind())
}

#[test]
fn a_get_that_names_no_volume_says_that_there_is_none() {
    for (status, body) in [
        // HPE 3PAR and Primera; relatives of dory; Trident; docker-volume-plugin-dostorage.
        ("200 OK", r#"{"Err": ""}"#),
        ("200 OK", r#"{"Volume": {"Name": "", "Mountpoint": ""}, "Err": ""}"#),
        ("500 Oops", r#"{"Err": "volume data was not found"}"#),
        ("200 OK", r#"{"Err": "volume named 'data' not found"}"#),
        // NexentaStor and docker-cache-volume-plugin, written in Go: the driver returns no answer,
        // and its library encodes that.
        ("200 OK", "null\n"),
        // docker-volume-gce: the answer of the library's first version, as it is when no disk has
        // the name.
        (
            "200 OK",
            r#"{"Mountpoint":"","Err":"","Volumes":null,"Volume":null,"Capabilities":{"Scope":""}}"#,
        ),
        ("200 OK", r#"{}"#),
        ("200 OK", r#"{"Volume": null}"#),
        ("200 OK", r#"{"Volume": {}}"#),
        ("200 OK", r#"{"Volume": {"Name": null, "Mountpoint": "/mnt/data"}}"#),
        ("500 Oops", r#"{"Err": "Instance 42 Volume with name data not found"}"#),
        ("500 Oops", r#"{"Err": "unknown volume: data"}"#),
    ] {
        assert_eq!(got(status, body), Err(ErrorKind::NotFound), "{status} {body}");
    }
}

#[test]
fn an_answer_about_another_volume_is_no_answer() {
    for (name, about) in [
        ("data", true),
        ("data@datastore1", true),
        ("data@", false),
        ("Data", false),
        ("data2", false),
        ("other", false),
        ("other@data", false),
        ("../data", false),
    ] {
        let body = format!(r#"{{"Volume": {{"Name": "{name}", "Mountpoint": "/mnt/{name}"}}}}"#);
        let expected = if about {
            Ok(name.to_owned())
        } else {
            Err(ErrorKind::Protocol)
        };
        assert_eq!(got("200 OK", &body), expected, "{name}");
    }
}

#[test]
fn letter_case_of_the_answer_does_not_matter_where_the_driver_ignores_it() {
    let server = Scripted::sending(answer("200 OK", r#"{"Volume": {"Name": "Data"}}"#));
    let address = server.driver(PATIENT).endpoint().to_string();
    let explicit = ExplicitDriver {
        address,
        ..ExplicitDriver::default()
    };
    let discovery = Discovery {
        explicit: [("rexray".to_owned(), explicit)].into(),
        ..Discovery::default()
    };
    let driver = Drivers::new(discovery, Profiles::builtin()).driver("rexray").unwrap();
    assert_eq!(driver.get("data").unwrap().name, "Data");
}

/// The outcome of a Mount of the volume `data` that is answered so.
fn mounted(status: &str, body: &str) -> ErrorKind {
    let server = Scripted::sending(answer(status, body));
    let id = MountId::derive("host", "scripted", "data");
    server.driver(PATIENT).mount("data", &id).unwrap_err().kind()
}

#[test]
fn a_volume_that_another_linode_has_is_attached_elsewhere() {
    let body =
        r#"{"Err": "failed to attach volume: failed to attach volume: volume is currently attached to linode 42"}"#;
    assert_eq!(mounted("500 Oops", body), ErrorKind::AttachedElsewhere);
}

#[test]
fn a_gateways_error_settles_nothing_for_a_mount() {
    for status in ["502 Bad Gateway", "504 Gateway Timeout"] {
        for body in [
            "",
            "<html><h1>upstream timed out</h1></html>",
            r#"{"message": "upstream"}"#,
        ] {
            assert_eq!(mounted(status, body), ErrorKind::Uncertain, "{status} {body}");
            assert_eq!(got(status, body), Err(ErrorKind::Unreachable), "{status} {body}");
        }
        let said = r#"{"Err": "volume already attached to a host"}"#;
        assert_eq!(
            mounted(status, said),
            ErrorKind::AttachedElsewhere,
            "the driver itself said so"
        );
    }
}

#[test]
fn a_refusal_that_names_no_cause_settles_nothing() {
    for (status, body) in [
        ("500 Oops", r#"{"Err": "Mount: data: failed: "}"#),
        ("500 Oops", r#"{"Err": ""}"#),
        ("500 Oops", ""),
        ("200 OK", r#"{"Err": "failed:"}"#),
    ] {
        assert_eq!(mounted(status, body), ErrorKind::Uncertain, "{status} {body}");
    }
    assert_eq!(
        mounted("500 Oops", r#"{"Err": "failed: no space"}"#),
        ErrorKind::Rejected
    );
}

#[test]
fn a_list_of_six_thousand_volumes_is_read() {
    let mountpoint = "/var/lib/driver/volumes/".repeat(9);
    let volumes: Vec<String> = (0..6_000)
        .map(|number| format!(r#"{{"Name": "volume-{number}", "Mountpoint": "{mountpoint}"}}"#))
        .collect();
    let body = format!(r#"{{"Volumes": [{}]}}"#, volumes.join(","));
    assert!(body.len() > 1_400_000, "{}", body.len());
    let server = Scripted::sending(answer("200 OK", &body));
    assert_eq!(server.driver(PATIENT).list().unwrap().len(), 6_000);
}

/// A driver at the server's address that has a profile of the given name.
fn named(server: &Scripted, name: &str, profiles: Profiles) -> volume_driver_client::Driver {
    let explicit = ExplicitDriver {
        address: server.driver(PATIENT).endpoint().to_string(),
        ..ExplicitDriver::default()
    };
    let discovery = Discovery {
        explicit: [(name.to_owned(), explicit)].into(),
        ..Discovery::default()
    };
    Drivers::new(discovery, profiles).driver(name).unwrap()
}

#[test]
fn a_name_that_the_driver_cannot_handle_is_refused_before_anything_is_sent() {
    let server = Scripted::sending(answer("200 OK", "{}"));
    let driver = named(&server, "rexray", Profiles::builtin());
    for (name, shown) in [
        ("my data", "a space"),
        (r"my\data", "a backslash"),
        ("a/b", "'/'"),
        ("50%", "'%'"),
        ("a?", "'?'"),
        ("a#1", "'#'"),
    ] {
        let id = MountId::derive("host", "rexray", name);
        let mount = driver.mount(name, &id).unwrap_err();
        let create = driver.create(name, &Default::default()).unwrap_err();
        for error in [mount, create] {
            assert_eq!(error.kind(), ErrorKind::UnsupportedName, "{name}");
            let message = error.to_string();
            assert!(
                message.contains(shown) && message.contains("rename the volume"),
                "{message}"
            );
        }
    }
    assert_eq!(server.requests().len(), 0, "nothing was sent");
    let other = named(&server, "rclone", Profiles::builtin());
    other.create("my data", &Default::default()).unwrap();
}

#[test]
fn a_create_that_makes_nothing_is_told_at_once() {
    use volume_driver_client::{CreatePolicy, Ensured};
    let missing = answer("500 Oops", r#"{"Err": "resource not found"}"#);
    let done = answer("200 OK", r#"{"Err": ""}"#);
    let found = answer("200 OK", r#"{"Volume": {"Name": "data"}}"#);
    let policy = CreatePolicy::IfMissing(Default::default());

    let server = Scripted::in_turn(vec![missing.clone(), done.clone(), missing.clone()]);
    let error = server.driver(PATIENT).ensure("data", &policy).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("create.disable"), "{error}");

    let server = Scripted::in_turn(vec![missing.clone(), done.clone(), found]);
    assert_eq!(
        server.driver(PATIENT).ensure("data", &policy).unwrap(),
        Ensured::Created
    );

    let unknown = answer("500 Oops", r#"{"Err": "the storage is on fire"}"#);
    let server = Scripted::in_turn(vec![missing, done, unknown]);
    assert_eq!(
        server.driver(PATIENT).ensure("data", &policy).unwrap(),
        Ensured::Created,
        "a look that fails says nothing against the Create's answer"
    );
}

#[test]
fn the_operators_options_are_sent_with_a_create_and_those_of_the_request_win() {
    let server = Scripted::sending(answer("200 OK", "{}"));
    let profiles = Profiles::from_json(r#"{"rclone": {"options": {"type": "local", "path": "/srv"}}}"#).unwrap();
    let driver = named(&server, "rclone", profiles);
    let own = [("path".to_owned(), "/mine".to_owned())].into();
    driver.create("data", &own).unwrap();
    let sent = server.requests().pop().unwrap();
    for part in [r#""type":"local""#, r#""path":"/mine""#] {
        assert!(sent.contains(part), "{part} is not in: {sent}");
    }
    assert!(!sent.contains("/srv"), "{sent}");
}

#[test]
fn dockers_own_driver_is_told_from_one_that_is_missing() {
    let nowhere = Discovery {
        socket_dirs: vec!["/nonexistent".into()],
        spec_dirs: vec!["/nonexistent".into()],
        ..Discovery::default()
    };
    let drivers = Drivers::new(nowhere, Profiles::builtin());
    let message = drivers.driver("local").unwrap_err().to_string();
    assert!(
        message.contains("Docker's own driver") && message.contains("'addresses'"),
        "{message}"
    );
    let message = drivers.driver("rexray").unwrap_err().to_string();
    assert!(
        message.contains("/nonexistent") && !message.contains("Docker's own"),
        "{message}"
    );
}
