//! On real mounts: tmpfs for what the mount table shows, FUSE for what a mountpoint answers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::fuse::{Behaviour, Fuse};
use super::*;
use crate::config::Config;
use crate::types::ContainerId;

/// The monitor, without its thread.
struct Fixture {
    monitor: Monitor,
    probed: Receiver<ProbeResult>,
    reports: Arc<Reports>,
}

impl Fixture {
    fn new() -> Self {
        let (tx, probed) = unbounded();
        let reports = Reports::new(&Config::default()).expect("no thread is needed");
        let monitor = Monitor {
            prober: Prober::new(tx, Duration::from_millis(300)),
            baselines: Baselines::default(),
            reports: Arc::clone(&reports),
            watched: BTreeMap::new(),
            warned: BTreeSet::new(),
        };
        Self {
            monitor,
            probed,
            reports,
        }
    }

    /// The reports of one round, with those of its probes that do not hang.
    fn round(&mut self, volumes: &[WatchedVolume]) -> Vec<HealthReport> {
        let found = std::cell::RefCell::new(Vec::new());
        self.monitor
            .round(volumes.to_vec(), |report| found.borrow_mut().push(report));
        let mut found = found.into_inner();
        let until = Instant::now() + Duration::from_millis(1500);
        while !self.monitor.prober.is_idle() && Instant::now() < until {
            self.monitor.start_probes();
            if let Ok(result) = self.probed.recv_timeout(Duration::from_millis(20)) {
                found.extend(self.monitor.probe_ended(result));
            }
        }
        while let Ok(result) = self.probed.try_recv() {
            found.extend(self.monitor.probe_ended(result));
        }
        found
    }

    fn warns(&self, cause: &str) -> bool {
        let line = format!("mesos_external_volumes_volume_warnings{{cause=\"{cause}\",driver=\"driver\"}} 1");
        self.reports.text().lines().any(|found| found == line)
    }
}

fn watched(name: &str, mountpoint: &Path) -> WatchedVolume {
    WatchedVolume {
        volume: VolumeKey::new("driver", name),
        mountpoint: mountpoint.to_owned(),
        directory_backed: false,
        holders: BTreeSet::from([ContainerId::root("c")]),
    }
}

/// The fault and the problem of the only report.
fn fault(reports: Vec<HealthReport>) -> Option<(VolumeFault, String)> {
    assert!(reports.len() < 2, "{reports:?}");
    reports.into_iter().next().map(|report| (report.fault, report.problem))
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
    let (mut fixture, volume) = (Fixture::new(), Memory::mount());
    let round = [watched("v", volume.path())];
    assert_eq!(fault(fixture.round(&round)), None);
    // As a driver does that comes back and knows what it had mounted.
    volume.mount_again();
    let (cause, problem) = fault(fixture.round(&round)).unwrap();
    assert_eq!(cause, VolumeFault::Replaced);
    assert!(problem.contains("replaced"), "{problem}");
    volume.unmount();
    assert_eq!(fault(fixture.round(&round)), None);
    volume.unmount();
    let (cause, problem) = fault(fixture.round(&round)).unwrap();
    assert_eq!(cause, VolumeFault::Gone);
    assert!(problem.contains("disappeared"), "{problem}");
}

#[test]
fn a_mount_of_ours_in_place_of_an_earlier_one_is_the_new_measure() {
    let (mut fixture, volume) = (Fixture::new(), Memory::mount());
    let round = [watched("v", volume.path())];
    assert_eq!(fault(fixture.round(&round)), None);
    volume.unmount();
    volume.mount_again();
    let table = MountTable::read().unwrap();
    let baseline = Baseline::first(&table, volume.path(), false).unwrap();
    fixture.monitor.baselines.set(&round[0].volume, baseline);
    assert_eq!(fault(fixture.round(&round)), None);
}

#[test]
fn a_volume_that_turned_read_only_is_reported_as_long_as_it_is_read_only() {
    let (mut fixture, volume) = (Fixture::new(), Memory::mount());
    let round = [watched("v", volume.path())];
    assert_eq!(fault(fixture.round(&round)), None);
    mount_remount(volume.path(), MountFlags::RDONLY, "").unwrap();
    for _ in 0..2 {
        let (cause, problem) = fault(fixture.round(&round)).unwrap();
        assert_eq!(cause, VolumeFault::ReadOnly);
        assert!(problem.contains("turned read-only"), "{problem}");
    }
    mount_remount(volume.path(), MountFlags::empty(), "").unwrap();
    assert_eq!(fault(fixture.round(&round)), None);
}

#[test]
fn a_volume_that_was_read_only_from_the_start_is_healthy_and_so_is_a_read_only_mount_of_a_writable_one() {
    let (mut fixture, volume) = (Fixture::new(), Memory::mount());
    let round = [watched("v", volume.path())];
    mount_remount(volume.path(), MountFlags::RDONLY, "").unwrap();
    assert_eq!(fault(fixture.round(&round)), None);
    mount_remount(volume.path(), MountFlags::empty(), "").unwrap();
    // Only this mount becomes read-only; the mounts in containers do not change.
    mount_remount(volume.path(), MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
    assert_eq!(fault(fixture.round(&round)), None);
}

#[test]
fn a_plain_directory_is_healthy_without_a_mount_until_it_is_removed() {
    let (mut fixture, folder) = (Fixture::new(), tempfile::tempdir().unwrap());
    let mut round = [watched("v", folder.path())];
    mount("monitored", folder.path(), "tmpfs", MountFlags::empty(), None).unwrap();
    assert_eq!(fault(fixture.round(&round)), None);
    unmount(folder.path(), UnmountFlags::DETACH).unwrap();
    assert_eq!(fault(fixture.round(&round)).unwrap().0, VolumeFault::Gone);
    round[0].directory_backed = true;
    fixture.monitor.baselines.forget(&round[0].volume);
    assert_eq!(fault(fixture.round(&round)), None);
    std::fs::remove_dir(folder.path()).unwrap();
    let (cause, problem) = fault(fixture.round(&round)).unwrap();
    assert_eq!(cause, VolumeFault::Gone);
    assert!(problem.contains("No such file or directory"), "{problem}");
}

#[test]
fn the_kernels_answer_decides_whether_a_volume_is_dead_or_fails_or_is_left_alone() {
    for (behaviour, cause, words) in [
        (
            Behaviour::Error(Errno::STALE),
            Some(VolumeFault::Dead),
            "is dead: Stale file handle",
        ),
        (Behaviour::Error(Errno::NOTCONN), Some(VolumeFault::Dead), "is dead: "),
        (
            Behaviour::Error(Errno::IO),
            Some(VolumeFault::Failing),
            "fails: Input/output error",
        ),
        (Behaviour::Error(Errno::UCLEAN), Some(VolumeFault::Failing), "fails: "),
        (
            Behaviour::Dead,
            Some(VolumeFault::Dead),
            "is dead: Transport endpoint is not connected",
        ),
        (Behaviour::Error(Errno::ACCESS), None, ""),
        (Behaviour::Error(Errno::TIMEDOUT), None, ""),
        (Behaviour::Good, None, ""),
    ] {
        let (mut fixture, server) = (Fixture::new(), Fuse::start());
        let round = [watched("v", &server.path())];
        assert_eq!(fault(fixture.round(&round)), None);
        server.answer(behaviour);
        let found = fault(fixture.round(&round));
        assert_eq!(
            found.as_ref().map(|(cause, _)| *cause),
            cause,
            "{behaviour:?}: {found:?}"
        );
        assert!(
            found.is_none_or(|(_, problem)| problem.contains(words)),
            "{behaviour:?}"
        );
        let unknown = cause.is_none() && behaviour != Behaviour::Good;
        assert_eq!(fixture.warns("unknown"), unknown, "{behaviour:?}");
    }
}

#[test]
fn a_full_file_system_is_a_warning_until_there_is_room() {
    let (mut fixture, server) = (Fixture::new(), Fuse::start());
    let round = [watched("v", &server.path())];
    for (left, full) in [(500, false), (0, true), (0, true), (1, false), (0, true)] {
        server.answer(Behaviour::Left(left));
        assert_eq!(fault(fixture.round(&round)), None);
        assert_eq!(fixture.warns("full"), full, "{left}");
    }
    assert_eq!(fault(fixture.round(&[])), None);
    assert!(!fixture.warns("full"), "no container uses it");
}

#[test]
fn volumes_that_hang_delay_no_others_and_end_no_container() {
    let mut fixture = Fixture::new();
    // More than may hang at a time.
    let hung: Vec<Fuse> = (0..10).map(|_| Fuse::start()).collect();
    let (dying, gone) = (Fuse::start(), Memory::mount());
    let mut round: Vec<WatchedVolume> = hung
        .iter()
        .enumerate()
        .map(|(n, fuse)| watched(&n.to_string(), &fuse.path()))
        .collect();
    round.insert(3, watched("dying", &dying.path()));
    round.push(watched("gone", gone.path()));
    assert_eq!(fault(fixture.round(&round)), None);
    hung.iter().for_each(|fuse| fuse.answer(Behaviour::Hang));
    gone.unmount();
    dying.answer(Behaviour::Error(Errno::STALE));
    let mut other = watched("other", &dying.path());
    other.volume.driver = "another".to_owned();
    round.push(other);
    let mut causes: Vec<String> = Vec::new();
    for _ in 0..3 {
        causes.extend(
            fixture
                .round(&round)
                .into_iter()
                .map(|found| format!("{} {:?}", found.watched.volume.name, found.fault)),
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
    let metrics = fixture.reports.text();
    let silent = metrics
        .lines()
        .find(|line| line.contains("cause=\"not_answering\""))
        .unwrap_or_default();
    assert!(silent.ends_with(" 8"), "{silent}\n{metrics}");
    hung.iter().for_each(|fuse| fuse.answer(Behaviour::Good));
    gone.mount_again();
    dying.answer(Behaviour::Good);
    fixture.round(&round);
    fixture.round(&round);
    assert!(!fixture.reports.text().contains("not_answering\",driver=\"driver\"} 8"));
}

#[test]
fn other_mounts_that_come_and_go_raise_no_alarm() {
    let (mut fixture, volume) = (Fixture::new(), Memory::mount());
    let others: Vec<tempfile::TempDir> = (0..40).map(|_| tempfile::tempdir().unwrap()).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for half in others.chunks(20) {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for folder in half {
                        mount("other", folder.path(), "tmpfs", MountFlags::empty(), None).unwrap();
                    }
                    for folder in half {
                        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
                    }
                }
            });
        }
        for _ in 0..100 {
            let found = fixture.round(&[watched("v", volume.path())]);
            if !found.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(found, []);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
