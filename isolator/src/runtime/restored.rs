//! What the agent finds when it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::health::baseline::{Baseline, Baselines};
use crate::host::mount_table::{MountTable, Standing};
use crate::ledger::{Presence, RecordedVolume, Restored};
use crate::mountpoint::Mountpoint;
use crate::records::{Found, Store};
use crate::types::{ContainerId, RecoveredContainer, VolumeKey};

/// A table without a recorded mount is read again after this: before Linux 5.8 a line can be
/// missing while other mounts go, and a healthy task would be ended for it.
const AGAIN: Duration = Duration::from_millis(50);

/// What the records say about the past, with what Mesos and the kernel say about the present. A
/// folder that cannot be read is logged, and the agent starts all the same. Of drivers whose
/// volumes are plain directories the mount table says nothing.
///
/// What a recorded mount was like becomes the measure for the monitor.
pub(super) fn restored(
    store: &Store,
    running: &[RecoveredContainer],
    orphans: &[ContainerId],
    baselines: &Baselines,
    directory_backed: impl Fn(&str) -> bool,
) -> Vec<Restored> {
    let records = store.load().unwrap_or_else(|problem| {
        error!(%problem, "cannot read the records; what they name stays as it is until the next start");
        Vec::new()
    });
    let running: BTreeSet<&ContainerId> = running.iter().map(|container| &container.id).collect();
    let orphans: BTreeSet<&ContainerId> = orphans.iter().collect();
    let recorded = records
        .iter()
        .filter(|found| !found.rebooted)
        .flat_map(|found| &found.record.volumes)
        .filter(|volume| !directory_backed(&volume.request.volume.driver))
        .filter_map(|volume| Some((&volume.request.volume, volume.state.mountpoint()?)));
    let recorded: BTreeMap<(&VolumeKey, &Mountpoint), ()> = recorded.map(|it| (it, ())).collect();
    let lost = lost(recorded.into_keys().collect(), baselines, MountTable::read);
    let restored = records.into_iter().map(|Found { record, rebooted }| {
        let presence = match &record.container {
            id if running.contains(id) => Presence::Running,
            id if orphans.contains(id) => Presence::Orphan,
            // The Mesos containerizer knows nothing of it, and Docker has to say whether it runs.
            _ if record.containerizer.is_docker() => Presence::Orphan,
            _ => Presence::Gone,
        };
        let is_lost = |volume: &RecordedVolume| {
            let path = volume.state.mountpoint()?.path.clone();
            lost.contains(&(volume.request.volume.clone(), path.clone()))
                .then_some(path)
        };
        let lost = record.volumes.iter().filter_map(is_lost).collect();
        Restored {
            record,
            presence,
            rebooted,
            lost,
        }
    });
    let restored: Vec<Restored> = restored.collect();
    info!(
        records = restored.len(),
        running = running.len(),
        orphans = orphans.len(),
        "recovered"
    );
    restored
}

/// Those whose mount is gone, or is another one by now. A table that cannot be read is no proof
/// that any is.
fn lost(
    mut recorded: Vec<(&VolumeKey, &Mountpoint)>,
    baselines: &Baselines,
    read: impl Fn() -> io::Result<MountTable>,
) -> BTreeSet<(VolumeKey, PathBuf)> {
    for look in 0..2 {
        if recorded.is_empty() {
            break;
        }
        if look > 0 {
            thread::sleep(AGAIN);
        }
        let table = match read() {
            Ok(table) => table,
            Err(problem) => {
                error!(%problem, "cannot read the mount table; recorded mounts are taken as they are, until the monitor sees them");
                for (volume, at) in recorded {
                    if at.mount.is_some() {
                        baselines.set(volume, unseen(at));
                    }
                }
                return BTreeSet::new();
            }
        };
        recorded.retain(|(volume, at)| match &at.mount {
            Some(identity) => match table.find(identity) {
                Some(mount) => {
                    baselines.set(volume, Baseline::of(mount, &at.path));
                    false
                }
                None => true,
            },
            // The record of an earlier build does not say which mount it was.
            None => table.nearest(&at.path).is_none(),
        });
    }
    for (volume, at) in &recorded {
        warn!(%volume, mountpoint = %at.path.display(), "the mount that a record describes is gone, or another one is in its place");
    }
    let lost = recorded.into_iter();
    lost.map(|(volume, at)| (volume.clone(), at.path.clone())).collect()
}

/// The baseline of a recorded mount that could not be looked at yet.
fn unseen(at: &Mountpoint) -> Baseline {
    Baseline {
        mountpoint: at.path.clone(),
        mount: at.mount.clone(),
        // What may have been read-only from the start did not turn read-only.
        standing: Standing::ReadOnly,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    /// A mount, recorded with its identity and by a build that did not know it.
    fn recorded(folder: &tempfile::TempDir) -> [Mountpoint; 2] {
        let path = folder.path().canonicalize().unwrap();
        mount("recorded", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        let table = MountTable::read().unwrap();
        let identity = table.nearest(&path).unwrap().identity();
        let old = Mountpoint::from(path);
        [
            Mountpoint {
                mount: Some(identity),
                ..old.clone()
            },
            old,
        ]
    }

    fn volume() -> VolumeKey {
        VolumeKey::new("driver", "v")
    }

    fn is_lost(at: &Mountpoint, read: impl Fn() -> io::Result<MountTable>) -> bool {
        !lost(vec![(&volume(), at)], &Baselines::default(), read).is_empty()
    }

    #[test]
    fn a_recorded_mount_is_lost_when_it_is_gone_or_when_another_one_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let [at, old] = recorded(&folder);
        assert!(!is_lost(&at, MountTable::read));
        assert!(!is_lost(&old, MountTable::read), "old records stay readable");
        mount("another", folder.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        assert!(is_lost(&at, MountTable::read), "it is hidden");
        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
        assert!(is_lost(&at, MountTable::read));
    }

    /// The file system around the folder is not taken for the volume.
    #[test]
    fn a_recorded_mount_is_lost_on_whatever_file_system_its_folder_lies() {
        let around = tempfile::tempdir().unwrap();
        mount("around", around.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        let folder = tempfile::tempdir_in(around.path()).unwrap();
        let [at, _] = recorded(&folder);
        assert!(!is_lost(&at, MountTable::read));
        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
        assert!(is_lost(&at, MountTable::read));
        unmount(around.path(), UnmountFlags::DETACH).unwrap();
    }

    #[test]
    fn a_table_that_cannot_be_read_is_no_proof_that_a_mount_is_gone() {
        let at = Mountpoint::from("/nonexistent/v");
        assert!(is_lost(&at, MountTable::read));
        assert!(!is_lost(&at, || Err(io::Error::from_raw_os_error(24))));
    }

    /// Before Linux 5.8 a line can be missing while other mounts go.
    #[test]
    fn a_mount_that_one_of_two_looks_shows_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let [at, _] = recorded(&folder);
        let looks = Cell::new(0);
        let read = || {
            looks.set(looks.get() + 1);
            match looks.get() {
                1 => MountTable::read_for(std::path::Path::new("/")),
                _ => MountTable::read(),
            }
        };
        assert!(!is_lost(&at, read));
        assert_eq!(looks.get(), 2);
        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
    }
}
