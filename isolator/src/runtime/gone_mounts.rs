//! Which of the mounts that the ledger knows are gone, when a new mount looks like one of them.

use std::io;

use tracing::info;

use crate::host::mount_table::MountTable;
use crate::ledger::{Event, Ledger, MountOutcome};
use crate::mountpoint::Mountpoint;
use crate::types::VolumeKey;

/// What the ledger has to hear before this event. The kernel uses the device number of a mount that
/// is gone for the next device, so the answer of a Mount may look like the mount of another volume,
/// which waits for its Unmount.
pub(super) fn gone_mounts(ledger: &Ledger, event: &Event) -> Vec<Event> {
    let Event::MountDone {
        op,
        outcome: MountOutcome::Mounted(at),
    } = event
    else {
        return Vec::new();
    };
    gone(ledger.seemingly_the_same(*op, at), MountTable::read)
        .into_iter()
        .map(|(volume, mountpoint)| {
            info!(%volume, mountpoint = %mountpoint.path.display(), "the mount of a volume that waits for its Unmount is gone");
            Event::MountGone { volume, mountpoint }
        })
        .collect()
}

/// A table that cannot be read is no proof that a mount is gone.
fn gone(
    mut known: Vec<(VolumeKey, Mountpoint)>,
    read: impl Fn() -> io::Result<MountTable>,
) -> Vec<(VolumeKey, Mountpoint)> {
    // A line can be missing while other mounts go (before Linux 5.8).
    for _ in 0..2 {
        if known.is_empty() {
            break;
        }
        let Ok(table) = read() else {
            return Vec::new();
        };
        known.retain(|(_, at)| at.mount.as_ref().is_some_and(|identity| table.find(identity).is_none()));
    }
    known
}

#[cfg(test)]
mod tests {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    use super::*;

    #[test]
    fn a_mount_is_gone_when_the_table_can_be_read_and_does_not_show_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        mount("volume", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        let identity = MountTable::read().unwrap().nearest(&path).unwrap().identity();
        let at = Mountpoint {
            mount: Some(identity),
            ..Mountpoint::from(path.clone())
        };
        let known = || vec![(VolumeKey::new("driver", "v"), at.clone())];
        assert_eq!(gone(known(), MountTable::read), []);
        unmount(&path, UnmountFlags::DETACH).unwrap();
        assert_eq!(gone(known(), || Err(io::Error::from_raw_os_error(24))), []);
        assert_eq!(gone(known(), MountTable::read), known());
        mount("another volume", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        assert_eq!(
            gone(known(), MountTable::read),
            known(),
            "another mount is in its place"
        );
        unmount(&path, UnmountFlags::DETACH).unwrap();
    }
}
