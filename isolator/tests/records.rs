//! What survives the agent, and what a damaged state folder does to it: nothing beyond the damaged record.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Store};
use isolator::{ContainerId, VolumeKey};
use volume_driver_client::MountId;
use volume_labels::{Access, Owner};

fn volume(name: &str, state: RecordedState) -> RecordedVolume {
    let spec = MountSpec {
        create: Some([("size".to_owned(), "1=2,3".to_owned())].into()),
        owner: Some(Owner::Ids { uid: 7, gid: 8 }),
    };
    let request = VolumeRequest {
        slot: "data".into(),
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
        container,
        released: false,
        volumes,
    }
}

fn write(store: &Store, record: &Record) {
    assert_eq!(store.commit(&[Change::Write(record.clone())]), [Ok(())]);
}

fn loaded(store: &Store) -> Vec<Record> {
    let mut records: Vec<Record> = store.load().unwrap().into_iter().map(|found| found.record).collect();
    records.sort_by(|a, b| a.container.cmp(&b.container));
    records
}

fn quarantined(root: &Path) -> usize {
    fs::read_dir(root.join("quarantine")).unwrap().count()
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
fn whatever_cannot_be_read_is_quarantined_and_no_other_record_suffers() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let good = record(ContainerId::root("good"));
    write(&store, &good);
    write(&store, &record(ContainerId::root("torn")));
    let folder = root.path().join("containers");
    let torn = folder.join("torn.json");
    let text = fs::read(&torn).unwrap();
    fs::write(&torn, &text[..text.len() / 2]).unwrap();
    fs::write(folder.join("empty.json"), "").unwrap();
    fs::write(folder.join("later.json"), r#"{"version": 2, "anything": []}"#).unwrap();
    fs::write(folder.join("foreign.txt"), "hello").unwrap();
    fs::write(folder.join("binary.json"), [0xff, 0xfe, 0]).unwrap();
    fs::copy(folder.join("good.json"), folder.join("copy.json")).unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    symlink("/etc/passwd", folder.join("link.json")).unwrap();
    assert_eq!(loaded(&store), [good.clone()]);
    assert_eq!(quarantined(root.path()), 8);
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
fn the_host_id_outlives_the_agent_and_a_damaged_one_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let id = Store::open(root.path()).unwrap().host_id().to_owned();
    assert_eq!(Store::open(root.path()).unwrap().host_id(), id);
    fs::write(root.path().join("host-id"), "short").unwrap();
    let error = Store::open(root.path()).unwrap_err().to_string();
    assert!(
        error.contains("host-id") && error.contains("64 hexadecimal digits"),
        "{error}"
    );
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
