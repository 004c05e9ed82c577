//! On real mounts: tmpfs for what the mount table shows, FUSE for what a mountpoint answers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::fuse::{Fuse, Manner};
use super::*;
use crate::config::Config;

struct Ward {
    monitor: Monitor,
    seen: Receiver<Seen>,
    reports: Arc<Reports>,
}

impl Ward {
    fn new() -> Self {
        let (tell, seen) = unbounded();
        let reports = Reports::new(&Config::default()).expect("no thread is needed");
        let monitor = Monitor {
            prober: Prober::new(tell, Duration::from_millis(300)),
            baselines: Baselines::default(),
            reports: Arc::clone(&reports),
            patients: BTreeMap::new(),
            warned: BTreeSet::new(),
        };
        Self { monitor, seen, reports }
    }

    /// What one round finds, with the looks it gives rise to: those that do not hang.
    fn round(&mut self, patients: &[Patient]) -> Vec<Finding> {
        let found = std::cell::RefCell::new(Vec::new());
        self.monitor
            .round(patients.to_vec(), |finding| found.borrow_mut().push(finding));
        let mut found = found.into_inner();
        let until = Instant::now() + Duration::from_millis(1500);
        while !self.monitor.prober.is_idle() && Instant::now() < until {
            self.monitor.staff();
            if let Ok(seen) = self.seen.recv_timeout(Duration::from_millis(20)) {
                found.extend(self.monitor.seen(seen));
            }
        }
        while let Ok(seen) = self.seen.try_recv() {
            found.extend(self.monitor.seen(seen));
        }
        found
    }

    fn warns(&self, cause: &str) -> bool {
        let line = format!("mesos_external_volumes_volume_warnings{{cause=\"{cause}\",driver=\"driver\"}} 1");
        self.reports.text().lines().any(|found| found == line)
    }
}

fn patient(name: &str, mountpoint: &Path) -> Patient {
    Patient {
        volume: VolumeKey::new("driver", name),
        mountpoint: mountpoint.to_owned(),
        directory_backed: false,
        holders: BTreeSet::from([ContainerId::root("c")]),
    }
}

/// The one finding, in words.
fn said(findings: Vec<Finding>) -> Option<(Cause, String)> {
    assert!(findings.len() < 2, "{findings:?}");
    findings
        .into_iter()
        .next()
        .map(|finding| (finding.cause, finding.problem))
}

/// A tmpfs of a test's own.
struct Memory(tempfile::TempDir);

impl Memory {
    fn mount() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.mount_again();
        folder
    }

    fn mount_again(&self) {
        mount("monitored", self.path(), "tmpfs", MountFlags::empty(), None).expect("root may mount");
    }

    fn unmount(&self) {
        unmount(self.path(), UnmountFlags::DETACH).expect("it is mounted");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        while unmount(self.path(), UnmountFlags::DETACH).is_ok() {}
    }
}

#[test]
fn a_mount_that_goes_and_one_that_hides_it_are_told_apart() {
    let (mut ward, volume) = (Ward::new(), Memory::mount());
    let round = [patient("v", volume.path())];
    assert_eq!(said(ward.round(&round)), None);
    // As a driver does that comes back and knows what it had mounted.
    volume.mount_again();
    let (cause, problem) = said(ward.round(&round)).unwrap();
    assert_eq!(cause, Cause::Replaced);
    assert!(problem.contains("replaced"), "{problem}");
    volume.unmount();
    assert_eq!(said(ward.round(&round)), None);
    volume.unmount();
    let (cause, problem) = said(ward.round(&round)).unwrap();
    assert_eq!(cause, Cause::Gone);
    assert!(problem.contains("disappeared"), "{problem}");
}

#[test]
fn a_mount_of_ours_in_place_of_an_earlier_one_is_the_new_measure() {
    let (mut ward, volume) = (Ward::new(), Memory::mount());
    let round = [patient("v", volume.path())];
    assert_eq!(said(ward.round(&round)), None);
    volume.unmount();
    volume.mount_again();
    let table = MountTable::read().unwrap();
    let baseline = Baseline::first(&table, volume.path(), false).unwrap();
    ward.monitor.baselines.set(&round[0].volume, baseline);
    assert_eq!(said(ward.round(&round)), None);
}

#[test]
fn what_was_writable_is_told_to_be_read_only_as_long_as_it_is() {
    let (mut ward, volume) = (Ward::new(), Memory::mount());
    let round = [patient("v", volume.path())];
    assert_eq!(said(ward.round(&round)), None);
    mount_remount(volume.path(), MountFlags::RDONLY, "").unwrap();
    for _ in 0..2 {
        let (cause, problem) = said(ward.round(&round)).unwrap();
        assert_eq!(cause, Cause::ReadOnly);
        assert!(problem.contains("turned read-only"), "{problem}");
    }
    mount_remount(volume.path(), MountFlags::empty(), "").unwrap();
    assert_eq!(said(ward.round(&round)), None);
}

#[test]
fn what_came_read_only_is_well_and_so_is_a_read_only_mount_of_what_can_be_written() {
    let (mut ward, volume) = (Ward::new(), Memory::mount());
    let round = [patient("v", volume.path())];
    mount_remount(volume.path(), MountFlags::RDONLY, "").unwrap();
    assert_eq!(said(ward.round(&round)), None);
    mount_remount(volume.path(), MountFlags::empty(), "").unwrap();
    // Of this mount alone: the containers' own are not touched by it.
    mount_remount(volume.path(), MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
    assert_eq!(said(ward.round(&round)), None);
}

#[test]
fn a_plain_directory_is_well_without_a_mount_until_it_is_removed() {
    let (mut ward, folder) = (Ward::new(), tempfile::tempdir().unwrap());
    let mut round = [patient("v", folder.path())];
    mount("monitored", folder.path(), "tmpfs", MountFlags::empty(), None).unwrap();
    assert_eq!(said(ward.round(&round)), None);
    unmount(folder.path(), UnmountFlags::DETACH).unwrap();
    assert_eq!(said(ward.round(&round)).unwrap().0, Cause::Gone);
    round[0].directory_backed = true;
    ward.monitor.baselines.forget(&round[0].volume);
    assert_eq!(said(ward.round(&round)), None);
    std::fs::remove_dir(folder.path()).unwrap();
    let (cause, problem) = said(ward.round(&round)).unwrap();
    assert_eq!(cause, Cause::Gone);
    assert!(problem.contains("No such file or directory"), "{problem}");
}

#[test]
fn what_the_kernel_answers_decides_who_is_dead_who_fails_and_who_is_left_alone() {
    for (manner, cause, words) in [
        (
            Manner::Error(Errno::STALE),
            Some(Cause::Dead),
            "is dead: Stale file handle",
        ),
        (Manner::Error(Errno::NOTCONN), Some(Cause::Dead), "is dead: "),
        (
            Manner::Error(Errno::IO),
            Some(Cause::Failing),
            "fails: Input/output error",
        ),
        (Manner::Error(Errno::UCLEAN), Some(Cause::Failing), "fails: "),
        (
            Manner::Dead,
            Some(Cause::Dead),
            "is dead: Transport endpoint is not connected",
        ),
        (Manner::Error(Errno::ACCESS), None, ""),
        (Manner::Error(Errno::TIMEDOUT), None, ""),
        (Manner::Well, None, ""),
    ] {
        let (mut ward, server) = (Ward::new(), Fuse::start());
        let round = [patient("v", &server.path())];
        assert_eq!(said(ward.round(&round)), None);
        server.answer(manner);
        let found = said(ward.round(&round));
        assert_eq!(found.as_ref().map(|(cause, _)| *cause), cause, "{manner:?}: {found:?}");
        assert!(found.is_none_or(|(_, problem)| problem.contains(words)), "{manner:?}");
        let unknown = cause.is_none() && manner != Manner::Well;
        assert_eq!(ward.warns("unknown"), unknown, "{manner:?}");
    }
}

#[test]
fn a_full_file_system_is_a_warning_until_there_is_room() {
    let (mut ward, server) = (Ward::new(), Fuse::start());
    let round = [patient("v", &server.path())];
    for (left, full) in [(500, false), (0, true), (0, true), (1, false), (0, true)] {
        server.answer(Manner::Left(left));
        assert_eq!(said(ward.round(&round)), None);
        assert_eq!(ward.warns("full"), full, "{left}");
    }
    assert_eq!(said(ward.round(&[])), None);
    assert!(!ward.warns("full"), "nobody uses it any more");
}

#[test]
fn volumes_that_hang_delay_no_other_and_alarm_nobody() {
    let mut ward = Ward::new();
    // More than may hang at a time.
    let hung: Vec<Fuse> = (0..10).map(|_| Fuse::start()).collect();
    let (dying, gone) = (Fuse::start(), Memory::mount());
    let mut round: Vec<Patient> = hung
        .iter()
        .enumerate()
        .map(|(n, fuse)| patient(&n.to_string(), &fuse.path()))
        .collect();
    round.insert(3, patient("dying", &dying.path()));
    round.push(patient("gone", gone.path()));
    assert_eq!(said(ward.round(&round)), None);
    hung.iter().for_each(|fuse| fuse.answer(Manner::Hang));
    gone.unmount();
    dying.answer(Manner::Error(Errno::STALE));
    let mut other = patient("other", &dying.path());
    other.volume.driver = "another".to_owned();
    round.push(other);
    let mut causes: Vec<String> = Vec::new();
    for _ in 0..3 {
        causes.extend(
            ward.round(&round)
                .into_iter()
                .map(|found| format!("{} {:?}", found.patient.volume.name, found.cause)),
        );
    }
    for found in ["gone Gone", "dying Dead", "other Dead"] {
        assert!(causes.iter().any(|cause| cause == found), "{found}: {causes:?}");
    }
    assert!(
        causes
            .iter()
            .all(|cause| cause.starts_with(|c: char| c.is_alphabetic())),
        "{causes:?}"
    );
    let metrics = ward.reports.text();
    let silent = metrics
        .lines()
        .find(|line| line.contains("cause=\"not_answering\""))
        .unwrap_or_default();
    assert!(silent.ends_with(" 8"), "{silent}\n{metrics}");
    hung.iter().for_each(|fuse| fuse.answer(Manner::Well));
    gone.mount_again();
    dying.answer(Manner::Well);
    ward.round(&round);
    ward.round(&round);
    assert!(!ward.reports.text().contains("not_answering\",driver=\"driver\"} 8"));
}

#[test]
fn mounts_that_come_and_go_beside_a_volume_raise_no_alarm() {
    let (mut ward, volume) = (Ward::new(), Memory::mount());
    let beside: Vec<tempfile::TempDir> = (0..40).map(|_| tempfile::tempdir().unwrap()).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for half in beside.chunks(20) {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for folder in half {
                        mount("beside", folder.path(), "tmpfs", MountFlags::empty(), None).unwrap();
                    }
                    for folder in half {
                        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
                    }
                }
            });
        }
        for _ in 0..100 {
            let found = ward.round(&[patient("v", volume.path())]);
            if !found.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(found, []);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
