//! `mesos-volumes driver`: its output and its exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::fixture::Host;

#[test]
fn a_volume_lives_its_life_in_json() {
    let host = Host::with_rclone();
    let data = host.data("data");
    let driver = |arguments: &[&str]| {
        let ran = host.driver(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    };
    let created = driver(&["create", "rclone", "v1", "-o", "type=local", "-o", &data]);
    assert_eq!(created, json!({ "name": "v1", "created": true }));
    let again = driver(&["create", "rclone", "v1", "--if-missing"]);
    assert_eq!(again["created"], json!(false));
    assert_eq!(driver(&["ls", "rclone"])["volumes"][0]["name"], "v1");
    assert_eq!(driver(&["get", "rclone", "v1"])["name"], "v1");
    assert_eq!(driver(&["capabilities", "rclone"])["scope"], "local");

    let path = host.path("base/v1");
    let mounted = driver(&["mount", "rclone", "v1"]);
    assert_eq!(mounted["mountpoint"], path.display().to_string());
    assert_eq!(host.mounts(), std::slice::from_ref(&path));
    assert_eq!(driver(&["path", "rclone", "v1"])["mountpoint"], mounted["mountpoint"]);
    let unmounted = driver(&["unmount", "rclone", "v1"]);
    assert_eq!(unmounted["id"], mounted["id"]);
    assert!(host.mounts().is_empty());
    assert_eq!(driver(&["rm", "rclone", "v1"])["removed"], json!(true));
    assert_eq!(driver(&["ls", "rclone"])["volumes"], json!([]));
}

#[test]
fn for_people_it_prints_plain_lines() {
    let host = Host::with_rclone();
    let data = host.data("data");
    assert_eq!(
        host.driver(&["create", "rclone", "v1", "-o", "type=local", "-o", &data])
            .ok(),
        ""
    );
    let path = host.path("base/v1").display().to_string();
    assert_eq!(host.driver(&["mount", "rclone", "v1"]).ok(), format!("{path}\n"));
    assert_eq!(host.driver(&["path", "rclone", "v1"]).ok(), format!("{path}\n"));
    assert!(
        host.driver(&["get", "rclone", "v1"])
            .ok()
            .starts_with("name: v1\nmountpoint: ")
    );
    let listed = host.driver(&["ls", "rclone"]).ok();
    assert!(listed.starts_with("VOLUME  MOUNTPOINT\nv1      /"), "{listed}");
    assert_eq!(host.driver(&["unmount", "rclone", "v1"]).ok(), "");
}

#[test]
fn a_mount_of_the_isolator_can_be_undone_with_its_host_id() {
    let host = Host::with_rclone();
    let data = host.data("data");
    host.driver(&["create", "rclone", "v1", "-o", "type=local", "-o", &data])
        .ok();
    fs::create_dir(host.path("state")).unwrap();
    fs::write(host.path("state/host-id"), "a".repeat(64)).unwrap();
    let id = volume_driver_client::MountId::derive(&"a".repeat(64), "rclone", "v1").to_string();
    host.driver(&["mount", "rclone", "v1", "--id", &id]).ok();
    host.driver(&["unmount", "rclone", "v1"]).ok();
    assert!(host.mounts().is_empty());
}

#[test]
fn exit_codes_tell_the_failures_apart() {
    let mut host = Host::with_rclone();
    let data = host.data("data");
    let code = |host: &Host, arguments: &[&str]| host.driver(arguments).code;
    host.driver(&["create", "rclone", "v1", "-o", "type=local", "-o", &data])
        .ok();
    host.driver(&["mount", "rclone", "v1"]).ok();
    assert_eq!(code(&host, &["rm", "rclone", "v1"]), 1, "in use");
    assert_eq!(code(&host, &["create", "rclone", "v1", "-o", &data]), 1, "exists");
    assert_eq!(code(&host, &["get"]), 2);
    assert_eq!(code(&host, &["create", "rclone", "v2", "-o", "size"]), 2);
    assert_eq!(code(&host, &["get", "rclone", "v9"]), 3);
    assert_eq!(code(&host, &["get", "nobody", "v1"]), 4);
    host.driver(&["unmount", "rclone", "v1"]).ok();
    host.kill_rclone();
    assert_eq!(code(&host, &["mount", "rclone", "v1"]), 4, "killed");
    fs::set_permissions(host.path("run/rclone.sock"), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(code(&host, &["mount", "rclone", "v1"]), 6, "open to everybody");

    let host = Host::with_a_driver_that_breaks_off();
    assert_eq!(code(&host, &["mount", "cut", "v1"]), 5);
    assert_eq!(code(&host, &["get", "cut", "v1"]), 4, "nothing can have happened");
    fs::write(host.path("settings.json"), "{").unwrap();
    let settings = host.path("settings.json").display().to_string();
    assert_eq!(code(&host, &["ls", "--drivers", &settings]), 6);
}

#[test]
fn a_failure_in_json_names_its_kind_and_what_it_is_about() {
    let host = Host::with_a_driver_that_breaks_off();
    let ran = host.driver(&["create", "cut", "v1", "--json"]);
    assert_eq!(ran.code, 4, "asked first: {ran:?}");
    let ran = host.driver(&["mount", "cut", "v1", "--json"]);
    let error = &ran.json()["error"];
    assert_eq!(
        (&error["kind"], &error["code"]),
        (&json!("uncertain"), &json!("uncertain"))
    );
    assert_eq!(error["may_have_happened"], json!(true));
    assert_eq!(
        (error["driver"].as_str(), error["volume"].as_str()),
        (Some("cut"), Some("v1"))
    );
    assert!(ran.stderr.contains("it may or may not have happened"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn every_failure_in_json_has_an_error_code() {
    let host = Host::with_a_driver_that_breaks_off();
    fs::write(host.path("settings.json"), "{").unwrap();
    let settings = host.path("settings.json").display().to_string();
    for (arguments, code) in [
        (vec!["get", "nobody", "v1"], "unreachable"),
        (vec!["get", "cut", "v1"], "unreachable"),
        (vec!["unmount", "cut", "v1"], "uncertain"),
        (vec!["ls", "--drivers", &settings], "invalid"),
    ] {
        let ran = host.driver(&[arguments.clone(), vec!["--json"]].concat());
        assert_eq!(ran.json()["error"]["code"], code, "{arguments:?}: {ran:?}");
    }
    let ran = host.driver(&["get", "local", "v1", "--json"]);
    let message = ran.json()["error"]["message"].to_string();
    assert!(message.contains("Docker's own driver"), "{message}");
}

#[test]
fn ls_shows_which_drivers_answer_and_why_the_others_do_not() {
    let host = Host::with_rclone();
    drop(UnixListener::bind(host.path("run/stale.sock")).unwrap());
    fs::write(host.path("etc/broken.json"), "{").unwrap();
    let listed = host.driver(&["ls", "--json"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let listed = listed.json();
    let state = |name: &str| {
        let drivers = listed["drivers"].as_array().unwrap();
        let driver = drivers.iter().find(|driver| driver["name"] == name).unwrap();
        (driver["usable"] == true, driver["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(state("rclone"), (true, "answers".to_owned()));
    for (name, said) in [("stale", "not running"), ("broken", "not JSON")] {
        let (usable, why) = state(name);
        assert!(!usable && why.contains(said), "{name}: {why}");
    }
    let text = host.driver(&["ls"]).ok();
    assert!(text.lines().next().unwrap().starts_with("DRIVER"), "{text}");
}

#[test]
fn a_driver_is_never_reached_through_a_proxy() {
    let host = Host::new();
    host.add_tcp_driver("direct");
    // The environment of these tests names a proxy that does not exist.
    let ran = host.driver(&["capabilities", "direct"]);
    assert!(ran.stdout.contains("VolumeDriver"), "{ran:?}");
}

#[test]
fn settings_give_addresses_and_profiles() {
    let host = Host::with_rclone();
    let settings = json!({
        "addresses": { "rexray/ebs:latest": { "address": host.path("run/rclone.sock"), "rewrites": [{ "from": "/", "to": "/inside" }] } },
        "profiles": { "rexray/ebs:latest": { "max_in_flight": 1 } },
    });
    fs::write(host.path("settings.json"), settings.to_string()).unwrap();
    let file = host.path("settings.json").display().to_string();
    let data = host.data("data");
    host.driver(&[
        "create",
        "rexray/ebs:latest",
        "v1",
        "-o",
        "type=local",
        "-o",
        &data,
        "--drivers",
        &file,
    ])
    .ok();
    let path = host
        .driver(&["path", "rexray/ebs:latest", "v1", "--drivers", &file])
        .ok();
    assert_eq!(path, format!("/inside{}\n", host.path("base/v1").display()));
}

#[test]
fn the_help_explains_the_exit_codes() {
    let host = Host::new();
    let help = host.driver(&["--help"]).ok();
    assert!(help.contains("5  no trustworthy answer came"), "{help}");
}
