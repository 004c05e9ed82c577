//! What survives the agent, and what a damaged state folder does to it: nothing beyond the damaged
//! record.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Store};
use isolator::{ContainerId, Containerizer, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::{Access, Owner};

fn volume(name: &str, state: RecordedState) -> RecordedVolume {
    let spec = MountSpec {
        create: Some([("size".to_owned(), "1=2,3".to_owned())].into()),
        owner: Some(Owner::Ids { uid: 7, gid: 8 }),
        ..MountSpec::default()
    };
    let request = VolumeRequest {
        origin: "data".into(),
        volume: VolumeKey::new("ebs", name),
        mount_id: MountId::derive("host", "ebs", name),
        target: "/sandbox/data".into(),
        read_only: true,
        access: Access::Exclusive,
        spec,
    };
    RecordedVolume { request, state }
}

fn record(container: ContainerId) -> Record {
    let volumes = vec![
        volume("../../etc/passwd", RecordedState::Mounted("/volumes/a/data".into())),
        volume("b", RecordedState::Mounting),
        volume("c", RecordedState::Unmounting(None)),
        volume("d", RecordedState::Unmounting(Some("/volumes/d".into()))),
    ];
    Record {
        containerizer: Containerizer::Mesos,
        container,
        released: false,
        volumes,
    }
}

fn write(store: &Store, record: &Record) {
    assert_eq!(store.commit(&[Change::Write(record.clone())]), [Ok(())]);
}

fn loaded(store: &Store) -> Vec<Record> {
    let mut records: Vec<Record> = store
        .load()
        .expect("the test's own file system works")
        .into_iter()
        .map(|found| found.record)
        .collect();
    records.sort_by(|a, b| a.container.cmp(&b.container));
    records
}

/// What `work` returns, and the log it wrote.
fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Sink(Arc::clone(&into)))
        .finish();
    let result = tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(log.lock().expect("nobody panicked with it").clone()).expect("the log is text");
    (result, text)
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn quarantined(root: &Path) -> usize {
    fs::read_dir(root.join("quarantine"))
        .expect("the test's own file system works")
        .count()
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let nested = ContainerId::from_path(vec!["root".into(), "..".into(), "with/slash and ünïcode".into()]).unwrap();
    let records = [
        record(ContainerId::root("a.b")),
        record(nested),
        record(ContainerId::root("x".repeat(300))),
    ];
    {
        let store = Store::open(root.path()).unwrap();
        records.iter().for_each(|record| write(&store, record));
    }
    let mut expected = records.to_vec();
    expected.sort_by(|a, b| a.container.cmp(&b.container));
    assert_eq!(loaded(&Store::open(root.path()).unwrap()), expected);
}

/// As the first build of the module wrote it, byte for byte but for the ids.
#[test]
fn a_record_of_the_first_build_is_read() {
    let root = tempfile::tempdir().unwrap();
    drop(Store::open(root.path()).unwrap());
    let text = format!(
        "{{\"version\":1,\"boot_id\":\"b\",\"container\":[\"a\",\"nested\"],\"released\":false,\"volumes\":[{{\"slot\":\"data\",\
         \"driver\":\"ebs\",\"name\":\"v\",\"mount_id\":\"{}\",\"target\":\"/sandbox/data\",\"mode\":\"rw\",\"access\":\"shared\",\
         \"state\":\"mounted\",\"mountpoint\":\"/volumes/v/data\"}}]}}",
        "0".repeat(64)
    );
    fs::write(root.path().join("containers/a.nested.json"), text).unwrap();
    let found = loaded(&Store::open(root.path()).unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].container,
        ContainerId::from_path(vec!["a".into(), "nested".into()]).unwrap()
    );
    assert_eq!(
        found[0].volumes[0].state,
        RecordedState::Mounted("/volumes/v/data".into())
    );
}

#[test]
fn ids_that_print_alike_have_records_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    write(&store, &record(ContainerId::root("a.b")));
    write(
        &store,
        &record(ContainerId::from_path(vec!["a".into(), "b".into()]).unwrap()),
    );
    assert_eq!(loaded(&store).len(), 2);
}

#[test]
fn of_two_changes_to_one_container_the_later_wins() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let (kept, gone) = (record(ContainerId::root("kept")), record(ContainerId::root("gone")));
    let changes = [
        Change::Write(gone.clone()),
        Change::Remove(kept.container.clone()),
        Change::Write(kept.clone()),
        Change::Remove(gone.container),
    ];
    assert_eq!(store.commit(&changes), [Ok(()), Ok(()), Ok(()), Ok(())]);
    assert_eq!(loaded(&store), [kept]);
}

#[test]
fn removing_what_is_not_there_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    assert_eq!(store.commit(&[Change::Remove(ContainerId::root("never"))]), [Ok(())]);
}

#[test]
fn whatever_cannot_be_read_is_quarantined_with_a_line_in_the_log_and_no_other_record_suffers() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let good = record(ContainerId::root("good"));
    write(&store, &good);
    let folder = root.path().join("containers");
    let text = fs::read_to_string(folder.join("good.json")).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    put("torn.json", &text.as_bytes()[..text.len() / 2]);
    put("empty.json", b"");
    put("zeros.json", &vec![0; text.len()]);
    put("later.json", br#"{"version": 4, "anything": []}"#);
    put("no-version.json", b"{}");
    put("list.json", b"[1]");
    put("foreign.txt", b"hello");
    put("binary.json", &[0xff, 0xfe, 0]);
    put("copy.json", text.as_bytes());
    put("nameless.json", text.replace("\"good\"", "\"\"").as_bytes());
    put("large.json", text.replace("good", &"x".repeat(5 << 20)).as_bytes());
    fs::create_dir(folder.join("folder.json")).unwrap();
    fs::create_dir(folder.join("folder.tmp")).unwrap();
    symlink("/etc/passwd", folder.join("link.json")).unwrap();
    symlink("loop.json", folder.join("loop.json")).unwrap();
    let pipe = rustix::fs::CWD;
    rustix::fs::mkfifoat(pipe, folder.join("pipe.json"), 0o600.into()).unwrap();
    let _socket = UnixListener::bind(folder.join("socket.json")).unwrap();

    let reasons = [
        ("torn.json", "EOF while parsing"),
        ("empty.json", "it is empty"),
        ("zeros.json", "it is not a JSON object"),
        ("later.json", "it has version 4, this module reads versions 1 to 3"),
        ("no-version.json", "missing field `version`"),
        ("list.json", "it is not a JSON object"),
        ("foreign.txt", "it is not a JSON object"),
        ("binary.json", "it is not a JSON object"),
        ("copy.json", "it is about container good, whose record has another name"),
        ("nameless.json", "an empty id"),
        ("large.json", "larger than any record"),
        ("folder.json", "it is not a file"),
        ("folder.tmp", "it cannot be removed"),
        ("link.json", "it is a symbolic link"),
        ("loop.json", "it is a symbolic link"),
        ("pipe.json", "it is not a file"),
        ("socket.json", "it is not a file"),
    ];
    let (found, log) = logged(|| loaded(&store));
    assert_eq!(found, std::slice::from_ref(&good));
    assert_eq!(quarantined(root.path()), reasons.len());
    for (name, reason) in reasons {
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(&format!("containers/{name} ")))
            .collect();
        assert_eq!(lines.len(), 1, "one line about {name}:\n{log}");
        assert!(
            lines[0].contains("WARN") && lines[0].contains("quarantined"),
            "{}",
            lines[0]
        );
        assert!(lines[0].contains(reason), "{reason}: {}", lines[0]);
    }
    assert_eq!(loaded(&store), [good], "a second look finds the same");
}

#[test]
fn a_second_file_of_one_name_is_quarantined_beside_the_first() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    for _ in 0..3 {
        fs::write(root.path().join("containers/bad.json"), "{").unwrap();
        assert_eq!(loaded(&store), []);
    }
    assert_eq!(quarantined(root.path()), 3);
}

#[test]
fn a_write_cut_short_by_a_crash_leaves_the_record_of_before() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let before = record(ContainerId::root("c"));
    write(&store, &before);
    fs::write(root.path().join("containers/c.tmp"), "{\"version\":1,").unwrap();
    assert_eq!(loaded(&store), [before]);
    assert_eq!(quarantined(root.path()), 0);
}

#[test]
fn a_second_agent_is_refused_the_folder_and_told_who_has_it() {
    let root = tempfile::tempdir().unwrap();
    let first = Store::open(root.path()).unwrap();
    let error = Store::open(root.path()).unwrap_err().to_string();
    assert!(
        error.contains("in use by process") && error.contains("state_dir"),
        "{error}"
    );
    drop(first);
    Store::open(root.path()).unwrap();
}

#[test]
fn the_host_id_outlives_the_agent() {
    let root = tempfile::tempdir().unwrap();
    let id = Store::open(root.path()).unwrap().host_id().to_owned();
    assert_eq!(id.len(), 64);
    assert_eq!(Store::open(root.path()).unwrap().host_id(), id);
}

/// Drivers know their mounts by an id made from the host's.
#[test]
fn a_damaged_or_missing_host_id_comes_back_from_the_records() {
    let root = tempfile::tempdir().unwrap();
    let id = {
        let store = Store::open(root.path()).unwrap();
        write(&store, &record(ContainerId::root("c")));
        store.host_id().to_owned()
    };
    let path = root.path().join("host-id");
    fs::write(&path, "short").unwrap();
    let (store, log) = logged(|| Store::open(root.path()).unwrap());
    assert_eq!(store.host_id(), id);
    assert!(
        log.contains("WARN") && log.contains("host's id for mounts is damaged"),
        "{log}"
    );
    assert_eq!(
        fs::read_to_string(root.path().join("quarantine/host-id")).unwrap(),
        "short"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), id);
    drop(store);
    fs::remove_file(&path).unwrap();
    assert_eq!(Store::open(root.path()).unwrap().host_id(), id);
}

#[test]
fn without_a_record_a_damaged_host_id_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let id = Store::open(root.path()).unwrap().host_id().to_owned();
    fs::write(root.path().join("host-id"), "").unwrap();
    assert_ne!(Store::open(root.path()).unwrap().host_id(), id);
}

/// The agent of a moment ago may be on its way out; an operator's command holds the lock for a
/// moment.
#[test]
fn a_lock_that_is_let_go_within_a_moment_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let first = Store::open(root.path()).unwrap();
    let asked = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            asked.wait();
            Store::open(root.path()).map(drop)
        });
        asked.wait();
        drop(first);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn a_state_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let error = Store::open(&root.path().join("file/state")).unwrap_err().to_string();
    assert!(error.contains("file/state") && error.contains("state_dir"), "{error}");
}

#[test]
fn records_are_for_root_alone() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(&root.path().join("state")).unwrap();
    write(&store, &record(ContainerId::root("c")));
    let mode = |path: &str| {
        fs::metadata(root.path().join("state").join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode(""), mode("containers"), mode("containers/c.json")),
        (0o700, 0o700, 0o600)
    );
}

#[test]
fn a_record_that_is_too_large_to_be_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let options = |count: usize| -> std::collections::BTreeMap<String, String> {
        (0..count).map(|n| (format!("o{n}"), "x".repeat(4096))).collect()
    };
    let with = |id: &str, count: usize| {
        let mut one = volume("v", RecordedState::Mounting);
        one.request.spec.create = Some(options(count));
        Record {
            containerizer: Containerizer::Mesos,
            container: ContainerId::root(id),
            released: false,
            volumes: vec![one],
        }
    };
    write(&store, &with("fits", 900));
    let refused = &store.commit(&[Change::Write(with("too-large", 1100))])[0];
    let words = refused.as_ref().unwrap_err().to_string();
    assert!(words.contains("4194304") && words.contains("fewer volumes"), "{words}");
    let found = loaded(&store);
    assert_eq!(found, [with("fits", 900)]);
}
