//! Attach and detach: a volume becomes a loop device of a host, and stops being one.

use std::time::Instant;

use jiff::Timestamp;

use super::{Storage, Turn, blocking};
use crate::device;
use crate::error::StorageError;
use crate::faults::Operation;
use crate::filesystem;
use crate::history::EventKind;
use crate::host::{Host, device_names};
use crate::volume::{Attachment, AttachmentState, Volume};

impl Storage {
    /// Attaches a volume nobody holds to `host`.
    pub(super) async fn attach(&self, turn: &Turn, host: &Host) -> Result<(), StorageError> {
        let volume = turn.cell.volume();
        if volume.zone != host.zone {
            return Err(StorageError::WrongZone {
                volume: volume.id.to_string(),
                volume_zone: volume.zone,
                host: host.name.clone(),
                instance: host.instance.clone(),
                host_zone: host.zone.clone(),
            });
        }
        let started = Instant::now();
        self.reserve_device_name(turn, host)?;
        match self.make_device(turn, host, &volume).await {
            Ok(detail) => {
                self.record(
                    EventKind::Attach,
                    Some(&host.name),
                    &volume,
                    detail,
                    Some(started.elapsed()),
                );
                Ok(())
            }
            Err(error) => Err(error.undone(self.drop_device(turn, host).await)),
        }
    }

    async fn make_device(&self, turn: &Turn, host: &Host, volume: &Volume) -> Result<String, StorageError> {
        self.save(turn, |_| ()).await?;
        self.step(Operation::Attach, &host.name, volume).await?;
        let image = self.store.image(&volume.id);
        let device = blocking(move || device::attach(&image)).await?;
        let detail = device.display().to_string();
        self.save_attachment(turn, |attachment| {
            attachment.state = AttachmentState::Attached;
            attachment.loop_device = Some(device);
        })
        .await?;
        Ok(detail)
    }

    /// Takes the device of a volume that is not mounted away from `host`, and returns when the kernel shows it free.
    pub(super) async fn detach(&self, turn: &Turn, host: &Host) -> Result<(), StorageError> {
        let started = Instant::now();
        let volume = self
            .save_attachment(turn, |it| it.state = AttachmentState::Detaching)
            .await?;
        let detached = match self.step(Operation::Detach, &host.name, &volume).await {
            Ok(()) => self.drop_device(turn, host).await,
            Err(error) => Err(error),
        };
        if let Err(error) = detached {
            let state = match error {
                StorageError::DeviceBusy { .. } => AttachmentState::Busy,
                _ => AttachmentState::Attached,
            };
            let kept = self.save_attachment(turn, |it| it.state = state).await;
            return Err(error.undone(kept.map(drop)));
        }
        self.record(
            EventKind::Detach,
            Some(&host.name),
            &volume,
            String::new(),
            Some(started.elapsed()),
        );
        Ok(())
    }

    /// Frees whatever loop device has the volume's image, and forgets the attachment.
    async fn drop_device(&self, turn: &Turn, host: &Host) -> Result<(), StorageError> {
        let volume = turn.cell.volume();
        let image = self.store.image(&volume.id);
        let found = blocking(move || {
            let Some((device, _)) = device::attached().into_iter().find(|(_, file)| *file == image) else {
                return Ok(None);
            };
            let refused = device::detach(&device, &image)?.err();
            let here = filesystem::mount_points(&device).unwrap_or_default();
            Ok(refused.map(|reason| match here.first() {
                Some(path) => (device, format!("it is mounted at {}", path.display())),
                None => (device, reason),
            }))
        })
        .await?;
        if let Some((device, reason)) = found {
            let (volume, host) = (volume.id.to_string(), host.name.clone());
            return Err(StorageError::DeviceBusy {
                volume,
                host,
                device,
                reason,
            });
        }
        self.save(turn, |volume| volume.attachment = None).await.map(drop)
    }

    /// Gives the volume a device name of the host, before the record is written: names are given out under one lock.
    fn reserve_device_name(&self, turn: &Turn, host: &Host) -> Result<(), StorageError> {
        let _places = self.places();
        let used: Vec<String> = self
            .held_by(host)
            .into_iter()
            .map(|attachment| attachment.device_name)
            .collect();
        if used.len() >= host.limit {
            return Err(StorageError::AttachmentLimit {
                host: host.name.clone(),
                limit: host.limit,
            });
        }
        let free = device_names().find(|name| !used.contains(name));
        turn.cell.lock().attachment = Some(Attachment {
            host: Some(host.name.clone()),
            instance: host.instance.clone(),
            device_name: free.expect("a host's limit is at most the number of device names"),
            state: AttachmentState::Attaching,
            attach_time: Timestamp::now(),
            loop_device: None,
            mount: None,
        });
        Ok(())
    }

    /// The attachments of one host.
    pub(super) fn held_by(&self, host: &Host) -> Vec<Attachment> {
        let of_host = |volume: Volume| volume.attachment.filter(|it| it.host.as_ref() == Some(&host.name));
        self.cells()
            .values()
            .filter_map(|cell| of_host(cell.volume()))
            .collect()
    }

    /// Lets an instance outside the emulator take a volume nobody holds.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Ambiguous`], [`StorageError::AttachedElsewhere`].
    pub async fn attach_foreign(&self, name: &str, instance: &str) -> Result<Volume, StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        if let Some(attachment) = &volume.attachment {
            return Err(attached_elsewhere(&volume, attachment));
        }
        let volume = self
            .save(&turn, |volume| {
                volume.attachment = Some(Attachment {
                    host: None,
                    instance: instance.to_owned(),
                    device_name: "/dev/xvdf".into(),
                    state: AttachmentState::Attached,
                    attach_time: Timestamp::now(),
                    loop_device: None,
                    mount: None,
                });
            })
            .await?;
        self.record(
            EventKind::Attach,
            Some(instance),
            &volume,
            "outside the emulator".into(),
            None,
        );
        Ok(volume)
    }

    /// Detaches a volume through the control API: from an instance outside, or from a host that has not mounted it.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Ambiguous`], [`StorageError::NotAttached`], and
    /// [`StorageError::DeviceBusy`] while it is mounted.
    pub async fn detach_by_operator(&self, name: &str) -> Result<(), StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        let Some(attachment) = &volume.attachment else {
            return Err(StorageError::NotAttached(volume.id.to_string()));
        };
        match self
            .hosts
            .iter()
            .find(|host| attachment.host.as_ref() == Some(&host.name))
        {
            Some(host) => self.detach(&turn, host).await,
            None => {
                self.save(&turn, |volume| volume.attachment = None).await?;
                self.record(
                    EventKind::Detach,
                    Some(&attachment.instance),
                    &volume,
                    String::new(),
                    None,
                );
                Ok(())
            }
        }
    }
}

/// The refusal that names the holder.
pub(super) fn attached_elsewhere(volume: &Volume, attachment: &Attachment) -> StorageError {
    StorageError::AttachedElsewhere {
        volume: volume.id.to_string(),
        holder: attachment.holder().to_owned(),
        instance: attachment.instance.clone(),
        device: attachment.device_name.clone(),
    }
}
