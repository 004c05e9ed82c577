//! No agent has the folder.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use isolator::ledger::RecordedState;
use isolator::{ContainerId, Mountpoint, VolumeKey};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;
use volume_labels::Lifetime;

use crate::site::{Site, mounted, record, write};

/// Kills and reaps on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn two_containers_share_one_of_two_volumes() -> Site {
    let site = Site::new();
    let store = site.store();
    write(
        &store,
        record(
            "c-1",
            [
                ("vol-1", mounted("/volumes/vol-1/data")),
                ("vol-2", RecordedState::Mounting),
            ],
        ),
    );
    write(&store, record("c-2", [("vol-1", mounted("/volumes/vol-1/data"))]));
    site
}

#[test]
fn ls_tells_of_each_volume_who_has_it_from_the_records() {
    let site = two_containers_share_one_of_two_volumes();
    let seen = site.ls();
    assert_eq!((&seen["agent"], &seen["quarantined"]), (&json!(null), &json!(0)));
    let volumes = seen["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 2, "{seen:#}");
    let first = &volumes[0];
    assert_eq!(
        (&first["name"], &first["driver"], &first["state"], &first["mountpoint"]),
        (
            &json!("vol-1"),
            &json!("ebs"),
            &json!("mounted"),
            &json!("/volumes/vol-1/data")
        )
    );
    let users: Vec<_> = first["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| (&user["container"], &user["does"]))
        .collect();
    assert_eq!(
        users,
        [(&json!("c-1"), &json!("holds")), (&json!("c-2"), &json!("holds"))]
    );
    assert!(first["users"][0]["since"].as_str().unwrap().ends_with('Z'), "{first:#}");
    assert_eq!(
        (&volumes[1]["state"], &volumes[1]["users"][0]["does"]),
        (&json!("mounting"), &json!("preparing"))
    );

    let table = site.run(&["ls"]).ok();
    let mut lines = table.lines();
    assert_eq!(
        lines.next(),
        Some("agent: not running; states are those of its records")
    );
    assert!(lines.next().unwrap().starts_with("VOLUME  DRIVER  STATE"), "{table}");
    let words: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(words[..5], ["vol-1", "ebs", "mounted", "c-1", "holds"]);
    assert_eq!(lines.count(), 2, "{table}");
}

#[test]
fn inspect_and_release_know_a_volume_that_was_made_for_a_container() {
    let name = "scratch-mev-0123456789abcdef";
    let site = Site::new();
    let mut made = record("c-1", [(name, mounted("/volumes/scratch"))]);
    made.volumes[0].request.spec.lifetime = Lifetime::Container;
    write(&site.store(), made);
    assert!(site.run(&["inspect", name]).ok().contains("removed after it"));
    let seen = site.run(&["inspect", "c-1", "--json"]).json();
    assert_eq!(seen["record"]["volumes"][0]["lifetime"], "container", "{seen:#}");

    site.run(&["release", "c-1"]).ok();
    let records = site.store().load().unwrap();
    assert!(records[0].record.released);
    assert_eq!(
        records[0].record.volumes[0].request.spec.lifetime,
        Lifetime::Container,
        "the next start of the agent removes it"
    );
}

#[test]
fn ls_shows_what_it_was_asked_for() {
    let site = two_containers_share_one_of_two_volumes();
    let names = |arguments: &[&str]| -> Vec<String> {
        let seen = site.run(&[&["ls", "--json"], arguments].concat()).json();
        let volumes = seen["volumes"].as_array().unwrap().iter();
        volumes
            .map(|volume| volume["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&["--state", "mounting"]), ["vol-2"]);
    assert_eq!(names(&["--driver", "ebs"]), ["vol-1", "vol-2"]);
    assert!(names(&["--driver", "rexray"]).is_empty());
}

#[test]
fn a_state_folder_that_is_not_there_is_a_wrong_setting_and_none_is_made() {
    let site = Site::new();
    for command in [&["ls"][..], &["inspect", "x"], &["release", "x"], &["quarantine", "ls"]] {
        let ran = site.run(command);
        assert_eq!(ran.code, 6, "{ran:?}");
        let expected = format!(
            "mesos-volumes: no state folder at {}: either the agent uses another state_dir (pass --state-dir; see 'mesos-volumes \
             doctor'), or it has never started with the module\n",
            site.state().display()
        );
        assert_eq!(ran.stderr, expected, "{command:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    assert!(!site.state().exists());
    let ran = site.run(&["ls", "--json"]);
    assert_eq!(ran.json()["error"]["kind"], "settings");
}

#[test]
fn looking_changes_nothing_be_there_what_may() {
    let site = two_containers_share_one_of_two_volumes();
    let bad = site.state().join("containers/bad.json");
    fs::write(&bad, "{").unwrap();
    fs::write(site.state().join("containers/c-3.tmp"), "{").unwrap();
    let before = tree(&site.state());
    let seen = site.ls();
    assert_eq!(seen["unreadable"][0]["file"], json!(bad));
    assert!(
        seen["unreadable"][0]["reason"].as_str().unwrap().contains("EOF"),
        "{seen:#}"
    );
    assert_eq!(
        seen["unreadable"].as_array().unwrap().len(),
        1,
        "what an agent is just writing is left alone"
    );
    assert!(site.run(&["ls"]).ok().contains("bad.json is no record: EOF"));
    site.run(&["inspect", "c-1"]).ok();
    site.run(&["quarantine", "ls"]).ok();
    assert_eq!(tree(&site.state()), before);
}

fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn inspect_takes_a_container_its_beginning_or_a_volume() {
    let site = two_containers_share_one_of_two_volumes();
    let container = site.run(&["inspect", "c-1", "--json"]).json();
    assert_eq!(container["container"], "c-1");
    assert_eq!(container["record"]["released"], false);
    assert_eq!(container["record"]["volumes"][0]["mountpoint"], "/volumes/vol-1/data");
    assert_eq!(container["volumes"].as_array().unwrap().len(), 2);
    let volume = site.run(&["inspect", "vol-1", "--json"]).json();
    assert_eq!(volume["volumes"][0]["users"].as_array().unwrap().len(), 2);
    let text = site.run(&["inspect", "vol-1"]).ok();
    assert!(
        text.contains("volume 'vol-1' of driver 'ebs'") && text.contains("c-2 holds, since"),
        "{text}"
    );
    let text = site.run(&["inspect", "c-2"]).ok();
    assert!(
        text.contains("container c-2") && text.contains("at /sandboxes/c-2/data"),
        "{text}"
    );

    let many = site.run(&["inspect", "c-"]);
    assert_eq!(many.code, 1);
    assert!(
        many.stderr.contains("'c-' may be any of: container c-1, container c-2"),
        "{many:?}"
    );
    let none = site.run(&["inspect", "vol-9", "--json"]);
    assert_eq!((none.code, &none.json()["error"]["kind"]), (3, &json!("not_found")));
}

#[test]
fn release_marks_the_record_and_the_next_agent_finds_it_so() {
    let site = two_containers_share_one_of_two_volumes();
    let said = site.run(&["release", "c-1", "--json"]).json();
    assert_eq!(said["released"][0]["container"], "c-1");
    assert_eq!(said["released"][0]["volumes"].as_array().unwrap().len(), 2);
    let volume = &site.ls()["volumes"][0];
    assert_eq!(volume["users"][0]["does"], "leaving");
    assert_eq!(
        (&volume["state"], &volume["users"][1]["does"]),
        (&json!("mounted"), &json!("holds"))
    );

    let found = site.store().load().unwrap();
    let released: Vec<bool> = found.iter().map(|found| found.record.released).collect();
    assert_eq!(released, [true, false]);
    let states: Vec<&RecordedState> = found[0].record.volumes.iter().map(|volume| &volume.state).collect();
    let at = "/volumes/vol-1/data".into();
    assert_eq!(states, [&RecordedState::Unmounting(Some(at)), &RecordedState::Mounting]);

    let again = site.run(&["release", "c-1"]).ok();
    assert!(again.contains("was released before"), "{again}");
}

#[test]
fn release_of_a_volume_is_release_of_all_that_have_it() {
    let site = two_containers_share_one_of_two_volumes();
    write(&site.store(), record("c-3", [("vol-3", mounted("/volumes/vol-3"))]));
    let mut other = record("c-4", [("vol-3", mounted("/other"))]);
    other.volumes[0].request.volume = VolumeKey::new("nfs", "vol-3");
    write(&site.store(), other);
    let said = site.run(&["release", "--volume", "vol-1"]).ok();
    assert!(
        said.contains("container c-1 is released") && said.contains("container c-2 is released"),
        "{said}"
    );
    let either = site.run(&["release", "--volume", "vol-3"]);
    assert_eq!(either.code, 1);
    assert!(
        either.stderr.contains("drivers ebs, nfs each have a volume 'vol-3'"),
        "{either:?}"
    );
    site.run(&["release", "--volume", "vol-3", "--driver", "nfs"]).ok();
    let found = site.store().load().unwrap();
    let kept = found
        .iter()
        .filter(|found| !found.record.released)
        .map(|found| &found.record.container);
    assert_eq!(kept.collect::<Vec<_>>(), [&ContainerId::root("c-3")]);
}

#[test]
fn release_of_what_is_not_there_changes_nothing() {
    let site = two_containers_share_one_of_two_volumes();
    let before = tree(&site.state());
    for arguments in [
        &["release", "c-9"][..],
        &["release", "c-1", "c-9"],
        &["release", "--volume", "vol-9"],
    ] {
        let ran = site.run(arguments);
        assert_eq!(ran.code, 3, "{ran:?}");
    }
    for arguments in [
        &["release"][..],
        &["release", "c-1", "--volume", "vol-1"],
        &["release", "c-1", "--driver", "ebs"],
    ] {
        assert_eq!(site.run(arguments).code, 2, "{arguments:?}");
    }
    assert_eq!(tree(&site.state()), before);
}

/// The agent is down, but Mesos' containers outlive it.
#[test]
fn a_container_with_a_process_in_its_cgroup_is_not_released() {
    let site = two_containers_share_one_of_two_volumes();
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    let base = if freezer.exists() {
        freezer
    } else {
        Path::new("/sys/fs/cgroup")
    };
    let outer = base.join(format!("mesos-volumes-test-{}", std::process::id()));
    let cgroup = outer.join("c-1");
    fs::create_dir(&outer).unwrap();
    fs::create_dir(&cgroup).unwrap();
    let sleeper = Running(Command::new("sleep").arg("600").spawn().unwrap());
    let pid = sleeper.0.id();
    fs::write(cgroup.join("cgroup.procs"), pid.to_string()).unwrap();
    let refused = site.run(&["release", "c-1"]);
    let other = site.run(&["release", "c-2"]);
    drop(sleeper);
    fs::remove_dir(&cgroup).unwrap();
    fs::remove_dir(&outer).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains(&format!("container c-1 still runs: process {pid} is in its cgroup")),
        "{refused:?}"
    );
    other.ok();
    site.run(&["release", "c-1"]).ok();
}

#[test]
fn a_container_that_sees_its_volume_is_not_released() {
    let site = Site::new();
    let (volume, target) = (site.path("volume"), site.path("sandboxes/c 1/data"));
    fs::create_dir(&volume).unwrap();
    fs::create_dir_all(&target).unwrap();
    mount("tmpfs", &volume, "tmpfs", MountFlags::empty(), None).unwrap();
    let at = volume.display().to_string();
    for container in ["c 1", "c 2"] {
        let mut record = record(container, [("vol-1", mounted(&at))]);
        record.volumes[0].request.target = site.path("sandboxes").join(container).join("data");
        write(&site.store(), record);
    }
    let script = "mount --make-rprivate / && mount --bind \"$0\" \"$1\" && echo && exec sleep 600";
    let mut container = Running(
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .args([&volume, &target])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    container.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let refused = site.run(&["release", "c 1"]);
    let other = site.run(&["release", "c 2"]);
    drop(container);
    unmount(&volume, UnmountFlags::DETACH).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("container c 1 still runs: process"),
        "{refused:?}"
    );
    other.ok();
}

#[test]
fn a_container_that_alone_still_sees_its_volume_is_not_released() {
    let site = Site::new();
    let (volume, target) = (site.path("volume #1"), site.path("sandboxes/c#1/data"));
    fs::create_dir(&volume).unwrap();
    fs::create_dir_all(&target).unwrap();
    mount("tmpfs", &volume, "tmpfs", MountFlags::empty(), None).unwrap();
    fs::create_dir(volume.join("data")).unwrap();
    let seen = isolator::volume_mounted_at(&volume.join("data"), Some("data")).unwrap();
    for container in ["c#1", "c#2"] {
        let at = Mountpoint {
            path: volume.join("data"),
            mount: seen.clone(),
        };
        let mut record = record(container, [("vol-1", RecordedState::Mounted(at))]);
        record.volumes[0].request.target = site.path("sandboxes").join(container).join("data");
        write(&site.store(), record);
    }
    let script = "mount --make-rprivate / && mount --bind \"$0/data\" \"$1\" && echo && exec sleep 600";
    let mut container = Running(
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .args([&volume, &target])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    container.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    unmount(&volume, UnmountFlags::DETACH).unwrap();
    let refused = site.run(&["release", "c#1"]);
    let other = site.run(&["release", "c#2"]);
    drop(container);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("container c#1 still runs: process"),
        "{refused:?}"
    );
    other.ok();
    site.run(&["release", "c#1"]).ok();
}

#[test]
fn a_state_that_there_is_not_is_refused_with_those_that_there_are() {
    let site = two_containers_share_one_of_two_volumes();
    let ran = site.run(&["ls", "--state", "stuk"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for words in ["'stuk'", "stuck", "mounted", "unremoved", "elsewhere"] {
        assert!(ran.stderr.contains(words), "'{words}' is not in: {ran:?}");
    }
    let listed = site.run(&["ls", "--state", "mounted"]).ok();
    assert!(listed.contains("vol-1") && !listed.contains("vol-2"), "{listed}");
}

#[test]
fn ls_prints_names_or_a_template_for_scripts() {
    let site = two_containers_share_one_of_two_volumes();
    let lines = |arguments: &[&str]| site.run(&[&["ls"], arguments].concat()).ok();
    assert_eq!(lines(&["-q"]), "vol-1\nvol-2\n");
    assert_eq!(lines(&["-q", "--filter", "state=mounting"]), "vol-2\n");
    assert_eq!(
        lines(&["--format", r"{volume}\t{state} {{{driver}}}"]),
        "vol-1\tmounted {ebs}\nvol-2\tmounting {ebs}\n"
    );
    assert_eq!(
        lines(&["--format", "{volume} {container} {does}"]),
        "vol-1 c-1 holds\nvol-1 c-2 holds\nvol-2 c-1 preparing\n"
    );
    let wrong = site.run(&["ls", "--format", "{volum}"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.stderr.contains("unknown field '{volum}', did you mean 'volume'?"),
        "{wrong:?}"
    );
}

#[test]
fn filters_of_one_key_are_alternatives_and_different_keys_must_all_hold() {
    let site = two_containers_share_one_of_two_volumes();
    let names = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
        let arguments: Vec<&str> = ["ls", "-q"].into_iter().chain(filters).collect();
        site.run(&arguments).ok()
    };
    assert_eq!(names(&["state=mounted", "state=mounting"]), "vol-1\nvol-2\n");
    assert_eq!(names(&["state=mounted", "user=c-2"]), "vol-1\n");
    assert_eq!(names(&["container=c-2", "volume=vol-2"]), "");
    assert_eq!(names(&["driver=ebs", "container=c-"]), "vol-1\nvol-2\n");
    for (filter, words) in [
        (
            "state=stuk",
            "unknown state 'stuk', did you mean 'stuck'?; the states are: absent, creating",
        ),
        (
            "drivr=ebs",
            "unknown key 'drivr', did you mean 'driver'?; the keys are: state, driver, volume",
        ),
        ("stuck", "'stuck' has no '='; write KEY=VALUE"),
    ] {
        let ran = site.run(&["ls", "--filter", filter]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(words), "'{words}' is not in: {ran:?}");
    }
}

#[test]
fn inspect_shows_the_events_of_a_volume_with_the_newest_last_and_says_where_they_are_from() {
    let site = two_containers_share_one_of_two_volumes();
    let said = site.run(&["inspect", "vol-1"]).ok();
    assert!(
        said.contains("events: none are kept: set the module's parameter audit_log"),
        "{said}"
    );
    let log = site.path("audit.jsonl");
    fs::write(
        &log,
        concat!(
            r#"{"time":"2024-05-04T03:02:01.234Z","event":"mount","containers":["c-1"],"driver":"ebs","volume":"vol-1","outcome":"ok","seconds":0.413}"#,
            "\n",
            r#"{"time":"2024-05-04T03:02:02.000Z","event":"mount","containers":["c-9"],"driver":"ebs","volume":"vol-9","outcome":"failed","problem":"no such volume"}"#,
            "\n",
            r#"{"time":"2024-05-04T03:02:03.000Z","event":"granted","containers":["c-1"],"task":"extract.1","slot":"data","driver":"ebs","volume":"vol-1","mode":"rw"}"#,
            "\n",
            r#"{"time":"2024-05-04T03:0"#
        ),
    )
    .unwrap();
    let log = log.display().to_string();
    let inspect = |what: &str, more: &[&str]| site.run(&[&["inspect", what, "--audit-log", &log], more].concat());
    let text = inspect("vol-1", &[]).ok();
    let expected = format!(
        "events, newest last (from {log})\n  2024-05-04T03:02:01.234Z  mount ok, 0.4 s, container c-1\n  \
         2024-05-04T03:02:03.000Z  granted, container c-1, task extract.1, slot data, mode rw\n"
    );
    assert!(text.ends_with(&expected), "{text}");
    let last = inspect("vol-1", &["--events", "1"]).ok();
    assert!(
        last.contains("older and not shown: 1") && !last.contains("mount ok"),
        "{last}"
    );
    let container = inspect("c-1", &["--json"]).json();
    assert_eq!(container["events"].as_array().unwrap().len(), 2, "{container:#}");
    assert_eq!(container["events_from"], json!(log));

    let gone = inspect("vol-9", &[]).ok();
    assert!(
        gone.starts_with("volume 'vol-9' is not in use on this host\n")
            && gone.ends_with("container c-9: no such volume\n"),
        "{gone}"
    );
    let missing = site.run(&["inspect", "vol-1", "--audit-log", "/nonexistent/audit.jsonl"]);
    assert_eq!(missing.code, 6, "{missing:?}");
    assert!(
        missing
            .stderr
            .contains("the audit log /nonexistent/audit.jsonl cannot be read: "),
        "{missing:?}"
    );
}
