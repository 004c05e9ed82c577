//! After a restart: what the records say is checked against the kernel.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Storage;
use crate::device;
use crate::error::StorageError;
use crate::filesystem;
use crate::history::EventKind;
use crate::volume::{Attachment, AttachmentState, MountRecord, Volume};

impl Storage {
    /// The volume as it really is. Each state on disk is what one kind of end of the emulator leaves:
    ///
    /// * attached, and a device is there: it ended while the volume was held. Kept, mounted or not as mountinfo says.
    /// * attached, and no device: it was killed before losetup or after `losetup -d`, or the machine was rebooted.
    ///   The attachment is over.
    /// * not attached, and a device is there: somebody made one by hand. It is freed if nobody uses it.
    pub(super) fn recovered(&self, mut volume: Volume) -> Result<Volume, StorageError> {
        let image = self.store.image(&volume.id);
        let device = device::attached()
            .into_iter()
            .find(|(_, file)| *file == image)
            .map(|(device, _)| device);
        let before = volume.attachment.clone();
        let said = match (before.clone(), device) {
            (None, None) => return Ok(volume),
            (Some(attachment), _) if attachment.host.is_none() => return Ok(volume),
            (None, Some(device)) => match device::detach(&device, &image)? {
                Ok(()) => format!("{} had the image without an attachment: freed", device.display()),
                Err(reason) => {
                    return Err(StorageError::DeviceBusy {
                        volume: volume.id.to_string(),
                        host: "no host".into(),
                        device,
                        reason,
                    });
                }
            },
            (Some(attachment), None) => {
                if let Some(mount) = &attachment.mount {
                    // The mount point is empty, or holds files of somebody else.
                    let _ = std::fs::remove_dir(&mount.path);
                }
                volume.attachment = None;
                "recorded as attached, but there is no device: available".to_owned()
            }
            (Some(attachment), Some(device)) => {
                let points = filesystem::mount_points(&device)?;
                let attachment = self.still_attached(&volume, attachment, device, &points)?;
                let said = match points.first() {
                    Some(path) => format!("still mounted at {}", path.display()),
                    None => "still attached, not mounted".to_owned(),
                };
                volume.attachment = Some(attachment);
                said
            }
        };
        if volume.attachment != before {
            self.store.save(&volume)?;
        }
        let host = before.and_then(|attachment| attachment.host);
        self.record(EventKind::Recover, host.as_deref(), &volume, said, None);
        Ok(volume)
    }

    fn still_attached(
        &self,
        volume: &Volume,
        mut attachment: Attachment,
        device: PathBuf,
        points: &[PathBuf],
    ) -> Result<Attachment, StorageError> {
        let name = attachment.holder();
        let host = self.hosts.iter().find(|host| host.name == name).ok_or_else(|| {
            StorageError::InvalidParameter(format!(
                "volume {} is attached to host '{name}', which is not among the hosts given",
                volume.id
            ))
        })?;
        let point = match &attachment.mount {
            Some(mount) if points.contains(&mount.path) => Some(mount.path.clone()),
            _ => points.iter().find(|path| path.starts_with(host.volumes_dir())).cloned(),
        };
        attachment.mount = match (attachment.mount, point) {
            (Some(mount), Some(point)) if mount.path == point => Some(mount),
            (_, Some(point)) => Some(MountRecord {
                path: point,
                ids: BTreeSet::new(),
            }),
            // Not mounted: nobody uses it, but the mount point is still to be removed.
            (Some(mount), None) => Some(MountRecord {
                path: mount.path,
                ids: BTreeSet::new(),
            }),
            (None, None) => None,
        };
        attachment.loop_device = Some(device);
        attachment.state = AttachmentState::Attached;
        Ok(attachment)
    }
}
