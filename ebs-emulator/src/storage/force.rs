//! Detach by force: the volume goes although its host still has it mounted, as EC2 lets an operator do with an instance
//! that does not answer.
//!
//! What the host had not yet written is lost; whoever still works in its mount gets EIO, and whatever its device is still
//! told reaches no volume: the volume's blocks lie in another file by then. The dead mount stays on the host until its
//! driver is asked to unmount or mount the volume, or the emulator's state is released.

use std::path::Path;
use std::process::Command;

use super::{Storage, blocking};
use crate::device;
use crate::error::StorageError;
use crate::faults::Operation;
use crate::filesystem;
use crate::history::EventKind;
use crate::host::Host;
use crate::pull;
use crate::volume::Volume;

impl Storage {
    /// Takes a volume away from whoever has it, also where it is mounted.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Ambiguous`], [`StorageError::NotAttached`]; [`StorageError::DeviceBusy`]
    /// when it is used by mounts this process does not see; other [`StorageError`] when the system refuses, and then it may
    /// be of no more use to its host though it is still attached: the call may be repeated.
    pub async fn force_detach(&self, name: &str) -> Result<(), StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        let Some(attachment) = &volume.attachment else {
            return Err(StorageError::NotAttached(volume.id.to_string()));
        };
        let (host, device) = (attachment.holder().to_owned(), attachment.loop_device.clone());
        let points = match device.clone() {
            Some(device) => blocking(move || filesystem::mount_points(&device)).await?,
            None => Vec::new(),
        };
        let (Some(device), Some(point)) = (device, points.into_iter().next()) else {
            drop(turn);
            return self.detach_by_operator(name).await;
        };
        self.step(Operation::Detach, &host, &volume).await?;
        let (image, aside) = (self.store.image(&volume.id), self.store.pulled(&volume.id));
        let detail = format!("by force, mounted at {}", point.display());
        blocking(move || part(&point, &device, &image, &aside)).await?;
        self.save(&turn, |volume| volume.attachment = None).await?;
        self.record(EventKind::ForceDetach, Some(&host), &volume, detail, None);
        Ok(())
    }

    /// Takes away the dead mounts that `host` has of a volume since it was detached by force. Returns whether there were any.
    ///
    /// # Errors
    /// [`StorageError::Io`] with `EBUSY` while a process works in one.
    pub(super) async fn drop_dead_mounts(&self, host: &Host, volume: &Volume) -> Result<bool, StorageError> {
        let prefix = self.store.pulled_prefix(&volume.id);
        let folder = host.volumes_dir();
        blocking(move || {
            let mut found = false;
            for (device, image) in device::attached() {
                if !image.to_string_lossy().starts_with(&prefix) {
                    continue;
                }
                let points = filesystem::mount_points(&device)?;
                for point in points.iter().filter(|point| point.starts_with(&folder)) {
                    filesystem::unmount(point)?;
                    filesystem::remove_mount_point(point)?;
                    found = true;
                }
                if found {
                    // The kernel frees it once its last user is gone.
                    device::run(Command::new("losetup").arg("--detach").arg(&device))?;
                }
            }
            Ok(found)
        })
        .await
    }
}

/// Parts a mounted device from its volume: ends the file system, and gives the volume's blocks a file of their own. The
/// device keeps the old file, which nobody else knows.
fn part(point: &Path, device: &Path, image: &Path, aside: &Path) -> Result<(), StorageError> {
    pull::pull(point).map_err(StorageError::io(format!("end the file system at {}", point.display())))?;
    // Nothing is added any more; what is on its way arrives before the copy is made.
    std::fs::File::open(device)
        .and_then(|device| device.sync_all())
        .map_err(StorageError::io(format!("sync {}", device.display())))?;
    device::run(
        Command::new("cp")
            .arg("--sparse=always")
            .arg("--")
            .arg(image)
            .arg(aside),
    )?;
    let exchanging = format!("exchange {} and {}", image.display(), aside.display());
    let here = rustix::fs::CWD;
    rustix::fs::renameat_with(here, image, here, aside, rustix::fs::RenameFlags::EXCHANGE)
        .map_err(|errno| StorageError::io(exchanging)(errno.into()))?;
    // The device has it open; the name is not needed.
    std::fs::remove_file(aside).map_err(StorageError::io(format!("remove {}", aside.display())))
}
