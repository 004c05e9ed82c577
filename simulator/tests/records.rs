//! The order in which records are written, proved on a disk that loses, tears and fails.

use std::collections::BTreeSet;
use std::path::Path;

use fastrand::Rng;
use isolator::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use isolator::records::{Change, Host, Store};
use isolator::{ContainerId, Containerizer, VolumeKey};
use simulator::{Fault, MemoryDisk};
use volume_driver_client::MountId;
use volume_labels::Access;

const ROOT: &str = "/var/lib/state";
/// Power cuts tried for one state of the disk: each name and each file comes out of each in a way
/// of its own.
const POWER_CUTS: u64 = 32;

fn host() -> Host {
    Host {
        boot_id: "boot".into(),
        fresh_id: "a".repeat(64),
    }
}

/// What an agent does with the state folder at its start, and the records it finds.
fn start(disk: &MemoryDisk) -> (Store<MemoryDisk>, Vec<Record>) {
    let store = Store::open_on(disk.clone(), Path::new(ROOT), host()).expect("a disk without trouble");
    let found = store
        .load()
        .expect("a disk without trouble")
        .into_iter()
        .map(|found| found.record)
        .collect();
    (store, found)
}

/// A record that tells its container and how often it was written.
fn record(container: &str, written: u32) -> Record {
    let volume = format!("v{written}");
    let request = VolumeRequest {
        origin: "data".into(),
        mount_id: MountId::derive("host", "ebs", &volume),
        volume: VolumeKey::new("ebs", volume),
        target: "/sandbox/data".into(),
        read_only: false,
        access: Access::Shared,
        spec: MountSpec::default(),
    };
    Record {
        container: ContainerId::root(container),
        containerizer: Containerizer::Mesos,
        released: false,
        volumes: vec![RecordedVolume {
            request,
            state: RecordedState::Mounting,
        }],
    }
}

fn write(container: &str, written: u32) -> Change {
    Change::Write(record(container, written))
}

fn remove(container: &str) -> Change {
    Change::Remove(ContainerId::root(container))
}

/// Records before a commit, the commit, and records after it.
struct Case {
    before: Vec<Record>,
    changes: Vec<Change>,
    after: Vec<Record>,
}

fn cases() -> [Case; 4] {
    [
        Case {
            before: vec![],
            changes: vec![write("a", 1)],
            after: vec![record("a", 1)],
        },
        Case {
            before: vec![record("a", 1), record("b", 1)],
            changes: vec![write("a", 2)],
            after: vec![record("a", 2), record("b", 1)],
        },
        Case {
            before: vec![record("a", 1), record("b", 1)],
            changes: vec![remove("a")],
            after: vec![record("b", 1)],
        },
        Case {
            before: vec![record("a", 1), record("b", 1), record("c", 1)],
            changes: vec![
                write("a", 2),
                write("a", 3),
                write("d", 1),
                remove("b"),
                remove("c"),
                write("c", 2),
            ],
            after: vec![record("a", 3), record("c", 2), record("d", 1)],
        },
    ]
}

impl Case {
    /// A disk on which everything before the commit is durable.
    fn disk(&self) -> MemoryDisk {
        let disk = MemoryDisk::new();
        let (store, _) = start(&disk);
        let changes: Vec<Change> = self.before.iter().cloned().map(Change::Write).collect();
        assert!(store.commit(&changes).iter().all(Result::is_ok));
        disk
    }

    /// Operations on the disk that the commit takes.
    fn operations(&self) -> u64 {
        let disk = self.disk();
        let (store, _) = start(&disk);
        let before = disk.operations();
        store.commit(&self.changes);
        disk.operations() - before
    }

    /// Every container has the record of before or that of after, and none was torn.
    fn is_old_or_new(&self, disk: &MemoryDisk) -> Result<(), String> {
        let (_, found) = start(disk);
        let containers: BTreeSet<&ContainerId> = self
            .before
            .iter()
            .chain(&self.after)
            .chain(&found)
            .map(|record| &record.container)
            .collect();
        for container in containers {
            let of = |records: &[Record]| records.iter().find(|record| record.container == *container).cloned();
            let now = of(&found);
            if now != of(&self.before) && now != of(&self.after) {
                return Err(format!("{container} has {now:?}"));
            }
        }
        nothing_is_quarantined(disk)
    }

    fn is_new(&self, disk: &MemoryDisk) -> Result<(), String> {
        let (_, found) = start(disk);
        if found != self.after {
            return Err(format!("reported as durable, but found were {found:?}"));
        }
        nothing_is_quarantined(disk)
    }
}

fn nothing_is_quarantined(disk: &MemoryDisk) -> Result<(), String> {
    use isolator::records::Disk;
    let kept = disk.list(&Path::new(ROOT).join("quarantine")).unwrap_or_default();
    if kept.is_empty() {
        Ok(())
    } else {
        Err(format!("torn: {kept:?}"))
    }
}

/// What holds after the process ended holds as well after the machine did, however much of it was
/// still in memory.
fn after_any_power_cut(
    replay: impl Fn() -> MemoryDisk,
    holds: impl Fn(&MemoryDisk) -> Result<(), String>,
) -> Result<(), String> {
    (0..POWER_CUTS).try_for_each(|seed| {
        let disk = replay();
        disk.power_cut(&mut Rng::with_seed(seed));
        holds(&disk).map_err(|what| format!("power cut {seed}: {what}"))
    })
}

#[test]
fn cut_off_after_any_operation_a_commit_leaves_each_record_old_or_new_and_whole() {
    for case in cases() {
        let needed = case.operations();
        assert!(needed >= 2, "there is something to cut off: {needed}");
        for operations in 0..=needed {
            let cut = || {
                let disk = case.disk();
                let (store, _) = start(&disk);
                disk.fail(Fault::Killed, operations, u64::MAX);
                let results = store.commit(&case.changes);
                disk.repair();
                (disk, results)
            };
            let (disk, results) = cut();
            let context = |what| panic!("{:?} cut off after {operations} operations: {what}", case.changes);
            if operations == needed {
                assert!(results.iter().all(Result::is_ok), "{results:?}");
                case.is_new(&disk).unwrap_or_else(context);
                after_any_power_cut(|| cut().0, |disk| case.is_new(disk)).unwrap_or_else(context);
            } else {
                case.is_old_or_new(&disk).unwrap_or_else(context);
                after_any_power_cut(|| cut().0, |disk| case.is_old_or_new(disk)).unwrap_or_else(context);
            }
        }
    }
}

/// A killed agent's last record may not be durable yet. What the next one reads, it builds on.
#[test]
fn what_was_read_at_a_start_is_not_undone_by_a_power_cut() {
    for case in cases() {
        for operations in 0..case.operations() {
            let read = || {
                let disk = case.disk();
                let (store, _) = start(&disk);
                disk.fail(Fault::Killed, operations, u64::MAX);
                store.commit(&case.changes);
                disk.repair();
                let (_, found) = start(&disk);
                (disk, found)
            };
            let (_, found) = read();
            let still = |disk: &MemoryDisk| {
                let (_, again) = start(disk);
                if again == found {
                    Ok(())
                } else {
                    Err(format!("read {found:?}, then {again:?}"))
                }
            };
            after_any_power_cut(|| read().0, still).unwrap_or_else(|what| panic!("cut at {operations}: {what}"));
        }
    }
}

/// A life of a state folder, step by step; what each step promised stands whenever the power fails
/// after it.
const STEPS: usize = 5;

fn live(disk: &MemoryDisk, steps: usize) -> Vec<Record> {
    let (mut store, mut promised) = start(disk);
    for step in 1..steps {
        let (changes, records) = match step {
            1 => (vec![write("a", 1), write("b", 1)], vec![record("a", 1), record("b", 1)]),
            2 => (vec![write("a", 2)], vec![record("a", 2), record("b", 1)]),
            3 => (vec![remove("b")], vec![record("a", 2)]),
            _ => {
                // Killed between the rename and the fsync of the folder; the next agent reads what
                // is there.
                disk.fail(Fault::Killed, 4, u64::MAX);
                store.commit(&[write("a", 3)]);
                disk.repair();
                let found;
                (store, found) = start(disk);
                assert_eq!(found, [record("a", 3)]);
                (vec![], found)
            }
        };
        assert!(changes.is_empty() || store.commit(&changes).iter().all(Result::is_ok));
        promised = records;
    }
    promised
}

fn promises_stand(skipped: Option<u64>) -> Result<(), String> {
    (1..=STEPS).try_for_each(|steps| {
        let lived = || {
            let disk = MemoryDisk::new();
            if let Some(number) = skipped {
                disk.skip_sync(number);
            }
            let promised = live(&disk, steps);
            (disk, promised)
        };
        let stand = |disk: &MemoryDisk| {
            let other = Host {
                fresh_id: "b".repeat(64),
                ..host()
            };
            let store = Store::open_on(disk.clone(), Path::new(ROOT), other).expect("a disk without trouble");
            if store.host_id() != host().fresh_id {
                return Err("the host has another id".to_owned());
            }
            let found: Vec<Record> = store
                .load()
                .expect("a disk without trouble")
                .into_iter()
                .map(|found| found.record)
                .collect();
            if found == lived().1 {
                Ok(())
            } else {
                Err(format!("after step {steps} found {found:?}"))
            }
        };
        after_any_power_cut(|| lived().0, stand)
    })
}

/// Each fsync, of a file or of a folder, left out alone: some power cut then breaks what was
/// promised.
#[test]
fn no_fsync_can_be_left_out() {
    promises_stand(None).unwrap();
    let disk = MemoryDisk::new();
    live(&disk, STEPS);
    assert_eq!(
        disk.syncs(),
        5 + 3 + 2 + 1 + 2,
        "those of the start, of the commits, and of the start after the kill"
    );
    for number in 0..disk.syncs() {
        assert!(
            promises_stand(Some(number)).is_err(),
            "the sync of number {number} can be left out"
        );
    }
}

/// Each kind of trouble at each operation: the commit says so, and what was there before stays
/// whole.
#[test]
fn a_disk_in_trouble_fails_the_commit_with_the_file_and_the_cause_and_leaves_earlier_records_whole() {
    let words = [
        (Fault::Full, "disk for volume records is full"),
        (Fault::ReadOnly, "disk for volume records is read-only"),
        (Fault::Broken, "Input/output error"),
    ];
    for case in cases() {
        for (fault, cause) in words {
            for lasts in [1, u64::MAX] {
                for operations in 0..case.operations() {
                    let trouble = || {
                        let disk = case.disk();
                        let (store, _) = start(&disk);
                        disk.fail(fault, operations, lasts);
                        let results = store.commit(&case.changes);
                        disk.repair();
                        (disk, store, results)
                    };
                    let (disk, store, results) = trouble();
                    let context = |what| panic!("{fault:?} for {lasts} from {operations}: {:?}: {what}", case.changes);
                    for error in results.iter().filter_map(|result| result.as_ref().err()) {
                        let error = error.to_string();
                        assert!(error.contains(cause) && error.contains("/containers"), "{error}");
                    }
                    if results.iter().all(Result::is_ok) {
                        case.is_new(&disk).unwrap_or_else(context);
                        after_any_power_cut(|| trouble().0, |disk| case.is_new(disk)).unwrap_or_else(context);
                    } else {
                        case.is_old_or_new(&disk).unwrap_or_else(context);
                        after_any_power_cut(|| trouble().0, |disk| case.is_old_or_new(disk)).unwrap_or_else(context);
                        // And once the trouble is over, the same commit works.
                        assert!(store.commit(&case.changes).iter().all(Result::is_ok));
                        case.is_new(&disk).unwrap_or_else(context);
                    }
                }
            }
        }
    }
}

/// One change that fails takes no other with it.
#[test]
fn of_a_batch_only_what_could_not_be_written_fails() {
    let disk = MemoryDisk::new();
    let (store, _) = start(&disk);
    assert_eq!(store.commit(&[write("a", 1), write("b", 1)]), [Ok(()), Ok(())]);
    // The first of four operations to write two files.
    disk.fail(Fault::Full, 0, 1);
    let results = store.commit(&[write("a", 2), write("b", 2), remove("c")]);
    assert!(
        results[0].is_err() && results[1].is_ok() && results[2].is_ok(),
        "{results:?}"
    );
    let (_, found) = start(&disk);
    assert_eq!(found, [record("a", 1), record("b", 2)]);
}

/// An agent that cannot write its state folder starts, refuses volumes, and goes on as soon as it
/// can.
#[test]
fn a_full_or_read_only_disk_keeps_no_agent_from_starting() {
    for (fault, causes) in [
        (Fault::Full, ["no storage space", "disk for volume records is full"]),
        (
            Fault::ReadOnly,
            ["read-only filesystem", "disk for volume records is read-only"],
        ),
    ] {
        let operations = {
            let disk = MemoryDisk::new();
            start(&disk);
            disk.operations()
        };
        for after in 0..operations {
            let disk = MemoryDisk::new();
            disk.fail(fault, after, u64::MAX);
            let (store, found) = start(&disk);
            assert_eq!(found, []);
            let id = store.host_id().to_owned();
            let error = store.commit(&[write("a", 1)]).remove(0).unwrap_err().to_string();
            assert!(
                error.contains("/var") && causes.iter().any(|cause| error.contains(cause)) && !error.contains('\n'),
                "{error}"
            );
            disk.repair();
            assert_eq!(store.commit(&[write("a", 1), remove("b")]), [Ok(()), Ok(())]);
            drop(store);
            for seed in 0..POWER_CUTS {
                disk.power_cut(&mut Rng::with_seed(seed));
            }
            let (store, found) = start(&disk);
            assert_eq!((found, store.host_id()), (vec![record("a", 1)], id.as_str()));
        }
    }
}

/// A start reads what it can, whatever one operation of it meets.
#[test]
fn trouble_with_one_file_at_a_start_is_trouble_with_that_file_alone() {
    let with_leftover = || {
        let disk = MemoryDisk::new();
        let (store, _) = start(&disk);
        store.commit(&[write("a", 1), write("b", 1), write("c", 1)]);
        disk.fail(Fault::Killed, 1, u64::MAX);
        store.commit(&[write("d", 1)]);
        disk.repair();
        (disk, store)
    };
    let (disk, store) = with_leftover();
    let before = disk.operations();
    assert_eq!(store.load().unwrap().len(), 3);
    // The first operation is the list of the folder: without it there is nothing to read.
    for after in 1..disk.operations() - before {
        let (disk, store) = with_leftover();
        disk.fail(Fault::Broken, after, 1);
        let found = store.load().unwrap();
        assert!(found.len() >= 2, "operation {after}: {found:?}");
    }
    let (disk, store) = with_leftover();
    disk.fail(Fault::Broken, 0, 1);
    let error = store.load().unwrap_err().to_string();
    assert!(
        error.contains("list /var/lib/state/containers: Input/output error"),
        "{error}"
    );
}

#[test]
fn two_agents_that_start_on_a_full_disk_do_not_both_name_the_host() {
    let disk = MemoryDisk::new();
    disk.fail(Fault::Full, 0, u64::MAX);
    let (store, _) = start(&disk);
    disk.repair();
    let other = Host {
        fresh_id: "b".repeat(64),
        ..host()
    };
    Store::open_on(disk.clone(), Path::new(ROOT), other).unwrap();
    let results = store.commit(&[write("a", 1)]);
    assert!(
        results[0]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("restart the agent"),
        "{results:?}"
    );
}
