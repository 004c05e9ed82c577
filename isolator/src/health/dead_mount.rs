//! Detaches the mount of a driver whose process died: no process serves it any more.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use rustix::fs::statvfs;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use tracing::warn;

use crate::host::proof::Place;
use crate::mountpoint::Mountpoint;

/// A mount that does not answer within this is not called dead: it may be slow.
const PATIENCE: Duration = Duration::from_secs(2);

/// Detaches the mount of a volume, if the kernel says that its server is gone. Any other mount is
/// left alone, since it may belong to another program. Only for a volume that no container holds.
pub(crate) fn take_away(place: &Place<'_>, at: &Mountpoint) {
    let Ok(Some(mount)) = place.mounted_still(at) else {
        return;
    };
    let mount = mount.mountpoint.as_path();
    if !is_dead(mount.to_owned()) {
        return;
    }
    match unmount(mount, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => warn!(mount = %mount.display(), "detached a mount whose driver had died"),
        Err(error) => {
            warn!(mount = %mount.display(), %error, "cannot detach a mount whose driver had died")
        }
    }
}

/// Asks on a thread of its own, which is left behind when the mount hangs.
fn is_dead(mount: PathBuf) -> bool {
    let (answer, answered) = bounded(1);
    let probe = move || {
        // The receiver is gone when the answer took too long.
        let _ = answer.send(statvfs(&mount).err());
    };
    let started = thread::Builder::new().name("mev-probe".into()).spawn(probe).is_ok();
    let error = if started {
        answered.recv_timeout(PATIENCE).ok().flatten()
    } else {
        None
    };
    matches!(error, Some(Errno::NOTCONN | Errno::STALE))
}
