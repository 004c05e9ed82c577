//! What the client sends, and on which connections.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use volume_driver_client::{CreatePolicy, Discovery, Drivers, Ensured, ErrorKind, MountId, Profiles};

use crate::scripted::{Scripted, Step, answer};

const PATIENT: Duration = Duration::from_secs(20);

fn id() -> MountId {
    MountId::derive("host", "scripted", "v")
}

#[test]
fn requests_have_the_headers_that_go_python_and_rust_servers_want() {
    let server = Scripted::sending(answer("200 OK", "{}"));
    server.driver(PATIENT).list().unwrap();
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = head.lines().map(str::to_lowercase).collect();
    assert_eq!(lines.remove(0), "post /volumedriver.list http/1.1");
    lines.sort();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        "accept-encoding: identity".to_owned(),
        "accept: application/vnd.docker.plugins.v1.2+json".to_owned(),
        "content-length: 2".to_owned(),
        "content-type: application/vnd.docker.plugins.v1.1+json".to_owned(),
        "host: plugin.moby.localhost".to_owned(),
        format!("user-agent: volume-driver-client/{version}"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, "{}");
}

#[test]
fn bodies_hold_the_documented_keys_and_no_others() {
    let server = Scripted::sending(answer(
        "200 OK",
        r#"{"Mountpoint":"/m","Volume":{"Name":"v"},"Implements":[]}"#,
    ));
    let driver = server.driver(PATIENT);
    let options = BTreeMap::from([("size".to_owned(), "10=GB, or \"more\"".to_owned())]);
    driver.activate().unwrap();
    driver.capabilities().unwrap();
    driver.get("v").unwrap();
    driver.list().unwrap();
    driver.path("v").unwrap();
    driver.create("v", &options).unwrap();
    driver.create("v", &BTreeMap::new()).unwrap();
    driver.remove("v").unwrap();
    driver.mount("v", &id()).unwrap();
    driver.unmount("v", &id()).unwrap();
    let sent: Vec<(String, String)> = server
        .requests()
        .iter()
        .map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
        })
        .collect();
    let id = id();
    let expected = [
        ("/Plugin.Activate", String::new()),
        ("/VolumeDriver.Capabilities", "{}".to_owned()),
        ("/VolumeDriver.Get", r#"{"Name":"v"}"#.to_owned()),
        ("/VolumeDriver.List", "{}".to_owned()),
        ("/VolumeDriver.Path", r#"{"Name":"v"}"#.to_owned()),
        (
            "/VolumeDriver.Create",
            r#"{"Name":"v","Opts":{"size":"10=GB, or \"more\""}}"#.to_owned(),
        ),
        ("/VolumeDriver.Create", r#"{"Name":"v","Opts":{}}"#.to_owned()),
        ("/VolumeDriver.Remove", r#"{"Name":"v"}"#.to_owned()),
        ("/VolumeDriver.Mount", format!(r#"{{"ID":"{id}","Name":"v"}}"#)),
        ("/VolumeDriver.Unmount", format!(r#"{{"ID":"{id}","Name":"v"}}"#)),
    ];
    assert_eq!(sent, expected.map(|(path, body)| (path.to_owned(), body)));
    let activate = &server.requests()[0];
    assert!(activate.to_lowercase().contains("content-length: 0\r\n"), "{activate}");
}

#[test]
fn reading_calls_share_a_connection_and_changing_calls_have_their_own() {
    let answer = answer("200 OK", r#"{"Mountpoint":"/m","Volume":{"Name":"v"}}"#);
    let server = Scripted::doing(vec![Step::Send(answer), Step::Again]);
    let driver = server.driver(PATIENT);
    for _ in 0..5 {
        driver.get("v").unwrap();
    }
    assert_eq!(server.connections(), 1);
    driver.mount("v", &id()).unwrap();
    driver.unmount("v", &id()).unwrap();
    assert_eq!(server.connections(), 3);
    driver.path("v").unwrap();
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_driver_that_is_looked_up_again_keeps_its_connection_until_its_socket_is_another() {
    let steps = || vec![Step::Send(answer("200 OK", r#"{"Volume":{"Name":"v"}}"#)), Step::Again];
    let (old, new) = (Scripted::doing(steps()), Scripted::doing(steps()));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("scripted.sock");
    let point_to = |server: &Scripted| symlink(server.socket().unwrap(), &socket).unwrap();
    let discovery = Discovery {
        socket_dirs: vec![folder.path().to_owned()],
        ..Discovery::default()
    };
    let drivers = Drivers::new(discovery, Profiles::builtin());
    let get = || drivers.driver("scripted").unwrap().get("v").unwrap();
    point_to(&old);
    get();
    get();
    assert_eq!((old.connections(), old.requests().len()), (1, 2));
    fs::remove_file(&socket).unwrap();
    point_to(&new);
    get();
    assert_eq!((old.requests().len(), new.requests().len()), (2, 1));
}

#[test]
fn a_reading_call_survives_the_close_of_the_idle_connection_it_found() {
    // The server closes after every answer, before or after the client has found the connection idle.
    let server = Scripted::sending(answer("200 OK", r#"{"Volume":{"Name":"v"}}"#));
    let driver = server.driver(PATIENT);
    for _ in 0..300 {
        driver.get("v").unwrap();
    }
}

#[test]
fn nothing_is_created_when_the_driver_cannot_say_that_the_volume_is_missing() {
    for (status, body) in [
        ("500 Oops", r#"{"Err":"backend timeout talking to AWS"}"#),
        ("404 Not Found", "404 page not found"),
        ("200 OK", ""),
        ("200 OK", r#"{"Volume":{"Name":"another"}}"#),
        ("502 Bad Gateway", "no such volume"),
        ("200 OK", r#"{"Err":"the plugin's backend was not found"}"#),
    ] {
        let server = Scripted::sending(answer(status, body));
        let policy = CreatePolicy::IfMissing(BTreeMap::new());
        server.driver(PATIENT).ensure("v", &policy).unwrap_err();
        assert_eq!(server.requests().len(), 1, "{body}");
    }
}

#[test]
fn a_missing_volume_is_created_only_where_that_is_allowed() {
    let missing = answer("200 OK", r#"{"Volume":null}"#);
    let found = answer("200 OK", r#"{"Volume":{"Name":"v"}}"#);
    let server = Scripted::in_turn(vec![missing.clone(), missing, answer("200 OK", "{}"), found]);
    let driver = server.driver(PATIENT);
    let error = driver.ensure("v", &CreatePolicy::Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(server.requests().len(), 1);
    let policy = CreatePolicy::IfMissing(BTreeMap::from([("size".to_owned(), "1".to_owned())]));
    assert_eq!(driver.ensure("v", &policy).unwrap(), Ensured::Created);
    let created = server.requests().remove(2);
    assert!(created.ends_with(r#"{"Name":"v","Opts":{"size":"1"}}"#), "{created}");
}
