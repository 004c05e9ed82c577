//! Which address a name leads to, and which are refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use volume_driver_client::{Candidate, Discovery, Drivers, Endpoint, ErrorKind, ExplicitDriver, Profiles, WaitsFor};

/// Docker's three folders, empty.
struct Host {
    dir: tempfile::TempDir,
    wait: Duration,
}

impl Host {
    fn new() -> Host {
        let host = Host {
            dir: tempfile::tempdir().unwrap(),
            wait: Duration::ZERO,
        };
        for folder in ["run", "etc", "usr"] {
            fs::create_dir(host.path(folder)).unwrap();
        }
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// A socket with a listener. The file stays when the listener is dropped.
    fn socket(&self, path: &str) -> UnixListener {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        UnixListener::bind(path).unwrap()
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn discovery(&self) -> Discovery {
        Discovery {
            socket_dirs: vec![self.path("run")],
            spec_dirs: vec![self.path("etc"), self.path("usr")],
            wait: self.wait,
            ..Discovery::default()
        }
    }

    fn drivers(&self) -> Drivers {
        Drivers::new(self.discovery(), Profiles::builtin())
    }

    /// Where the name leads to, or the kind and message of the refusal.
    fn look_up(&self, name: &str) -> Result<Endpoint, (ErrorKind, String)> {
        match self.drivers().driver(name) {
            Ok(driver) => Ok(driver.endpoint().clone()),
            Err(error) => Err((error.kind(), error.to_string())),
        }
    }

    fn refusal(&self, name: &str) -> String {
        match self.look_up(name) {
            Err((ErrorKind::Misconfigured, message)) => message,
            other => panic!("{name} should be refused, not {other:?}"),
        }
    }
}

fn tcp(authority: &str) -> Result<Endpoint, (ErrorKind, String)> {
    Ok(Endpoint::Tcp {
        authority: authority.to_owned(),
    })
}

#[test]
fn a_socket_beats_a_spec_beats_json_and_the_first_folder_wins() {
    let host = Host::new();
    host.file("usr/d/d.json", r#"{"Addr":"tcp://five:1"}"#);
    assert_eq!(host.look_up("d"), tcp("five:1"));
    host.file("usr/d.spec", "tcp://four:1");
    assert_eq!(host.look_up("d"), tcp("four:1"));
    host.file("etc/d.json", r#"{"Addr":"tcp://three:1"}"#);
    assert_eq!(host.look_up("d"), tcp("three:1"));
    host.file("etc/d/d.spec", "tcp://two:1\n");
    assert_eq!(host.look_up("d"), tcp("two:1"));
    host.file("etc/d.spec", "tcp://one:1");
    assert_eq!(host.look_up("d"), tcp("one:1"));
    let _inner = host.socket("run/d/d.sock");
    assert_eq!(host.look_up("d"), Ok(Endpoint::Unix(host.path("run/d/d.sock"))));
    let _outer = host.socket("run/d.sock");
    assert_eq!(host.look_up("d"), Ok(Endpoint::Unix(host.path("run/d.sock"))));
}

#[test]
fn every_lookup_looks_afresh() {
    let host = Host::new();
    let drivers = host.drivers();
    assert_eq!(drivers.driver("d").unwrap_err().kind(), ErrorKind::NotInstalled);
    host.file("etc/d.spec", "tcp://one:1");
    assert_eq!(drivers.driver("d").unwrap().endpoint().to_string(), "tcp://one:1");
    host.file("etc/d.spec", "tcp://two:1");
    assert_eq!(drivers.driver("d").unwrap().endpoint().to_string(), "tcp://two:1");
}

#[test]
fn a_driver_that_is_nowhere_is_missed_at_once_with_what_was_searched() {
    let host = Host::new();
    let start = Instant::now();
    let (kind, message) = host.look_up("nowhere").unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1), "Docker waits 15 s here");
    assert_eq!(kind, ErrorKind::NotInstalled);
    let folders = ["run", "etc", "usr"].map(|folder| host.path(folder).display().to_string());
    assert_eq!(
        message,
        format!(
            "driver 'nowhere' is not installed on this host; no driver is found in {}",
            folders.join(", ")
        )
    );

    let _two = (host.socket("run/ebs.sock"), host.socket("run/rclone.sock"));
    let (_, message) = host.look_up("nowhere").unwrap_err();
    assert_eq!(
        message,
        "driver 'nowhere' is not installed on this host; found here: ebs, rclone"
    );
}

#[test]
fn only_drivers_that_are_known_are_waited_for_where_the_caller_wants_it_so() {
    let host = Host::new();
    let drivers = Drivers::new(
        Discovery {
            // Longer than any test may take: a lookup that waits for a name that nobody knows does not end.
            wait: Duration::from_secs(3600),
            waits_for: WaitsFor::Known(BTreeSet::from(["expected".to_owned()])),
            ..host.discovery()
        },
        Profiles::builtin(),
    );
    assert_eq!(drivers.driver("nowhere").unwrap_err().kind(), ErrorKind::NotInstalled);

    drop(host.socket("run/seen.sock"));
    drivers.driver("seen").unwrap();
    fs::remove_file(host.path("run/seen.sock")).unwrap();
    for name in ["expected", "seen"] {
        let path = host.path(&format!("run/{name}.sock"));
        let returning = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            UnixListener::bind(path).unwrap()
        });
        drivers.driver(name).unwrap();
        returning.join().unwrap();
    }
}

#[test]
fn a_stale_socket_is_found_and_unreachable_at_once() {
    let host = Host::new();
    drop(host.socket("run/stale.sock"));
    let driver = host.drivers().driver("stale").unwrap();
    let start = Instant::now();
    let error = driver.create("v", &Default::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("not running"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1), "Docker waits 15 s here");
}

#[test]
fn a_driver_that_is_starting_is_waited_for() {
    let mut host = Host::new();
    host.wait = Duration::from_secs(30);
    let drivers = host.drivers();
    let path = host.path("run/late.sock");
    let starting = std::thread::spawn(move || {
        let listener = UnixListener::bind(&path).unwrap();
        // What the last run left behind: refused at first, then served.
        drop(listener);
        std::thread::sleep(Duration::from_millis(200));
        fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        use std::io::{Read, Write};
        connection.read_exact(&mut [0; 10]).unwrap();
        connection
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .unwrap();
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).ok();
    });
    let driver = drivers.driver("late").unwrap();
    driver.create("v", &Default::default()).unwrap();
    starting.join().unwrap();
}

#[test]
fn names_from_labels_are_never_paths() {
    let host = Host::new();
    let _outside = host.socket("outside.sock");
    for name in [
        "../outside",
        "..",
        ".",
        "",
        "a/b",
        "rexray/ebs:latest",
        "a\0b",
        &"x".repeat(300),
    ] {
        let (kind, _) = host.look_up(name).unwrap_err();
        assert_eq!(kind, ErrorKind::NotInstalled, "{name:?}");
    }
}

#[test]
fn what_is_not_a_socket_is_passed_over() {
    let host = Host::new();
    host.file("run/d.sock", "not a socket");
    host.file("etc/d.spec", "tcp://spec:1");
    assert_eq!(host.look_up("d"), tcp("spec:1"));
}

#[test]
fn an_explicit_address_wins_and_may_have_any_name() {
    let host = Host::new();
    let _socket = host.socket("run/d.sock");
    let mut discovery = host.discovery();
    for (name, address) in [
        ("d", "tcp://given:1"),
        ("rexray/ebs:latest", "unix:///run/x.sock"),
        ("bad", "nonsense"),
    ] {
        let given = ExplicitDriver {
            address: address.to_owned(),
            ..ExplicitDriver::default()
        };
        discovery.explicit.insert(name.to_owned(), given);
    }
    let drivers = Drivers::new(discovery, Profiles::builtin());
    assert_eq!(drivers.driver("d").unwrap().endpoint().to_string(), "tcp://given:1");
    let managed = drivers.driver("rexray/ebs:latest").unwrap();
    assert_eq!(managed.endpoint().to_string(), "unix:///run/x.sock");
    assert_eq!(drivers.driver("bad").unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[test]
fn sockets_that_others_can_write_are_refused() {
    let host = Host::new();
    let _socket = host.socket("run/d.sock");
    for (mode, accepted) in [(0o755, true), (0o660, true), (0o777, false), (0o666, false)] {
        host.chmod("run/d.sock", mode);
        assert_eq!(host.look_up("d").is_ok(), accepted, "{mode:o}");
    }
    assert!(host.refusal("d").contains("chmod o-w"));
}

#[test]
fn folders_that_others_can_write_are_refused_whatever_they_hold() {
    for (file, folder) in [
        ("run/d.sock", "run"),
        ("run/d/d.sock", "run/d"),
        ("etc/d.spec", "etc"),
        ("etc/d/d.json", "etc"),
    ] {
        let host = Host::new();
        let _socket;
        if file.ends_with("sock") {
            _socket = host.socket(file);
        } else {
            host.file(file, "tcp://one:1");
        }
        for mode in [0o777, 0o757] {
            host.chmod(folder, mode);
            assert!(
                host.refusal("d").contains("can be written by others"),
                "{folder} {mode:o}"
            );
        }
    }
}

#[test]
fn a_sticky_folder_further_up_is_no_danger_but_as_the_folder_itself_it_is() {
    let host = Host::new();
    host.file("etc/d/d.spec", "tcp://one:1");
    host.chmod("etc", 0o1777);
    assert_eq!(host.look_up("d"), tcp("one:1"));
    host.chmod("etc/d", 0o1777);
    host.refusal("d");
}

#[test]
fn a_link_is_judged_by_where_it_points() {
    let host = Host::new();
    host.file("open/d.spec", "tcp://one:1");
    host.chmod("open", 0o777);
    symlink(host.path("open/d.spec"), host.path("etc/d.spec")).unwrap();
    assert!(host.refusal("d").contains("/open"));
}

#[test]
fn files_of_other_users_are_refused() {
    let host = Host::new();
    host.file("etc/d.spec", "tcp://one:1");
    let chown = |path: &str, uid: u32| {
        std::os::unix::fs::chown(host.path(path), Some(uid), Some(uid))
            .expect("this test needs root: it changes owners");
    };
    chown("etc/d.spec", 12345);
    assert!(host.refusal("d").contains("belongs to user 12345"));
    chown("etc/d.spec", 0);
    chown("etc", 12345);
    assert!(host.refusal("d").contains("belongs to user 12345"));
}

#[test]
fn a_mistaken_spec_ends_the_search_and_is_named() {
    let host = Host::new();
    host.file("usr/d.spec", "tcp://other:1");
    for (file, text) in [
        ("etc/d.json", "{"),
        ("etc/d.json", r#"{"Addr":"tcp://x:1","TLSConfig":{"CAFile":"/ca.pem"}}"#),
        ("etc/d.spec", "localhost:1"),
        ("etc/d.spec", ""),
    ] {
        host.file(file, text);
        assert!(
            host.refusal("d").contains(&host.path(file).display().to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_missing_certificate_file_is_named_and_nothing_is_sent() {
    let host = Host::new();
    host.file(
        "etc/d.json",
        r#"{"Addr":"https://127.0.0.1:1","TLSConfig":{"CAFile":"/nowhere/ca.pem"}}"#,
    );
    let error = host
        .drivers()
        .driver("d")
        .unwrap()
        .create("v", &Default::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn the_list_says_what_is_there_and_why_some_is_skipped() {
    let host = Host::new();
    let _a = host.socket("run/a.sock");
    let _b = host.socket("run/b/b.sock");
    let _managed = host.socket("run/0123abcd/ebs.sock");
    host.file("run/c.sock", "");
    host.file("etc/a.spec", "tcp://shadowed:1");
    host.file("etc/e.json", "{}");
    host.file("usr/f.x.spec", "tcp://f:1");
    host.file("usr/README", "");
    let listed: Vec<(String, Result<String, String>)> = host
        .drivers()
        .list()
        .into_iter()
        .map(|Candidate { name, outcome, .. }| (name, outcome.map(|endpoint| endpoint.to_string())))
        .collect();
    let unix = |path: &str| Ok(format!("unix://{}", host.path(path).display()));
    let skipped = |name: &str| {
        let found: Vec<_> = listed
            .iter()
            .filter(|(it, outcome)| it == name && outcome.is_err())
            .collect();
        assert_eq!(found.len(), 1, "{name} in {listed:#?}");
        found[0].1.clone().unwrap_err()
    };
    assert!(listed.contains(&("a".to_owned(), unix("run/a.sock"))), "{listed:#?}");
    assert!(listed.contains(&("b".to_owned(), unix("run/b/b.sock"))), "{listed:#?}");
    assert!(
        listed.contains(&("f.x".to_owned(), Ok("tcp://f:1".to_owned()))),
        "{listed:#?}"
    );
    assert!(skipped("a").contains("found first"));
    assert!(skipped("c").contains("not a socket"));
    assert!(skipped("ebs").contains("explicit address"));
    assert!(skipped("e").contains("no Addr"));
    assert_eq!(listed.len(), 7, "{listed:#?}");
}

#[test]
fn folders_that_do_not_exist_hold_no_drivers() {
    let discovery = Discovery {
        socket_dirs: vec![Path::new("/nonexistent/run").into()],
        spec_dirs: vec![],
        ..Discovery::default()
    };
    let drivers = Drivers::new(discovery, Profiles::builtin());
    assert_eq!(drivers.list(), []);
    assert_eq!(drivers.driver("d").unwrap_err().kind(), ErrorKind::NotInstalled);
}
