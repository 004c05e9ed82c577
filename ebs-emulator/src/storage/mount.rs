//! Mount and unmount: what the driver of a host does with a volume.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::attach::attached_elsewhere;
use super::{Storage, Turn, blocking};
use crate::error::StorageError;
use crate::faults::Operation;
use crate::filesystem::{self, DATA_DIR, Found};
use crate::history::EventKind;
use crate::host::Host;
use crate::manners::Manner;
use crate::volume::{Attachment, Content, MountRecord, Volume};

impl Storage {
    /// Mounts a volume on `host` for `id`, attaching and formatting it first where needed, and returns the folder to
    /// use. The same ID again changes nothing and succeeds; another ID shares the mount.
    ///
    /// # Errors
    /// [`StorageError`]. A volume that this call attached is detached again, unless the host's driver leaves it attached.
    pub async fn mount(&self, host: &Host, name: &str, id: &str) -> Result<PathBuf, StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        self.drop_dead_mounts(host, &volume).await?;
        let fresh = match &volume.attachment {
            None => {
                self.attach(&turn, host).await?;
                true
            }
            Some(attachment) if attachment.host.as_ref() == Some(&host.name) => false,
            Some(attachment) => return Err(attached_elsewhere(&volume, attachment)),
        };
        let mounted = self.mount_attached(&turn, host, id).await;
        match mounted {
            Err(error) if fresh && !host.manners.has(Manner::RefusedMountStays) => {
                Err(error.undone(self.let_go(&turn, host).await))
            }
            other => other,
        }
    }

    /// Attaches a volume that nobody holds to `host`, and does nothing to one that is held.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn attach_to(&self, host: &Host, name: &str) -> Result<(), StorageError> {
        let turn = self.turn(name).await?;
        match turn.cell.volume().attachment {
            None => self.attach(&turn, host).await,
            Some(_) => Ok(()),
        }
    }

    async fn mount_attached(&self, turn: &Turn, host: &Host, id: &str) -> Result<PathBuf, StorageError> {
        let volume = turn.cell.volume();
        let (attachment, device) = attached(&volume, host)?;
        if let Some(mount) = &attachment.mount
            && is_mounted(&device, &mount.path).await?
        {
            // A driver that ignores ids counts its calls.
            let again = format!("{id}+{}", mount.ids.len());
            match (mount.ids.contains(id), host.manners.has(Manner::IgnoresIds)) {
                (false, _) => self.save_attachment(turn, |it| add_id(it, id)).await.map(drop)?,
                (true, true) => self.save_attachment(turn, |it| add_id(it, &again)).await.map(drop)?,
                (true, false) => {}
            }
            return Ok(mount.path.join(DATA_DIR));
        }
        let kind = self.file_system(turn, host, &volume, &device).await?;
        let started = Instant::now();
        let folder = self.reserve_mount_point(turn, host, id);
        let mounted = match self.save(turn, |_| ()).await {
            Ok(_) => {
                let folder = folder.clone();
                blocking(move || filesystem::mount(&device, &folder, &kind)).await
            }
            Err(error) => Err(error),
        };
        match mounted {
            Ok(data) => {
                let detail = folder.display().to_string();
                self.record(
                    EventKind::Mount,
                    Some(&host.name),
                    &volume,
                    detail,
                    Some(started.elapsed()),
                );
                Ok(data)
            }
            Err(error) => {
                let forgotten = self.save_attachment(turn, |it| remove_id(it, id)).await;
                Err(error.undone(forgotten.map(drop)))
            }
        }
    }

    /// The type of the volume's file system, which is made if the volume is blank.
    async fn file_system(
        &self,
        turn: &Turn,
        host: &Host,
        volume: &Volume,
        device: &Path,
    ) -> Result<String, StorageError> {
        let (image, probed) = (self.store.image(&volume.id), device.to_owned());
        let found = blocking(move || filesystem::probe(&probed, &image)).await?;
        let refuse = |found: String| {
            Err(StorageError::NotBlank {
                volume: volume.id.to_string(),
                found,
            })
        };
        match (volume.content, found) {
            // mkfs was cut short and nothing was ever mounted: whatever it wrote is worth nothing.
            (Content::Formatting, _) | (Content::Unformatted, Found::Blank) => {}
            (_, Found::FileSystem(kind)) => return Ok(kind),
            (Content::Formatted, Found::Blank) => return refuse("its file system is gone".into()),
            (_, Found::Other(what)) => return refuse(what),
        }
        let started = Instant::now();
        self.save(turn, |volume| volume.content = Content::Formatting).await?;
        self.step(Operation::Format, &host.name, volume).await?;
        let formatted = device.to_owned();
        blocking(move || filesystem::make_ext4(&formatted)).await?;
        self.save(turn, |volume| volume.content = Content::Formatted).await?;
        self.record(
            EventKind::Format,
            Some(&host.name),
            volume,
            "ext4".into(),
            Some(started.elapsed()),
        );
        Ok("ext4".into())
    }

    /// Lets `id` go; when it was the last, unmounts the volume and detaches it.
    ///
    /// A volume that is attached but not mounted is detached, whatever the ID: that is what a mount or unmount that
    /// was cut short leaves, or an unmount by hand, and nobody uses it.
    ///
    /// # Errors
    /// [`StorageError::NotMounted`], [`StorageError::NotMountedByThisId`]; [`StorageError::Io`] with `EBUSY` while a
    /// process works in the mount, which then stays; [`StorageError::DeviceBusy`] when it is unmounted here but
    /// still in use elsewhere: it stays attached, and the call may be repeated.
    pub async fn unmount(&self, host: &Host, name: &str, id: &str) -> Result<(), StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        let Ok((attachment, device)) = attached(&volume, host) else {
            return match self.drop_dead_mounts(host, &volume).await? {
                true => Ok(()),
                false => Err(StorageError::NotMounted {
                    volume: name.to_owned(),
                    host: host.name.clone(),
                }),
            };
        };
        if let Some(mount) = &attachment.mount {
            // The ids that are recorded for a mount that somebody unmounted by hand keep nobody
            // from detaching the volume.
            if is_mounted(&device, &mount.path).await? {
                let id = match mount.ids.first() {
                    Some(first) if host.manners.has(Manner::IgnoresIds) && !mount.ids.contains(id) => first,
                    _ => id,
                };
                if !mount.ids.is_empty() && !mount.ids.contains(id) {
                    let (volume, host) = (name.to_owned(), host.name.clone());
                    return Err(StorageError::NotMountedByThisId {
                        volume,
                        host,
                        id: id.to_owned(),
                    });
                }
                if mount.ids.len() > 1 {
                    return self.save_attachment(&turn, |it| remove_id(it, id)).await.map(drop);
                }
                let started = Instant::now();
                let folder = mount.path.clone();
                blocking(move || filesystem::unmount(&folder)).await?;
                let detail = mount.path.display().to_string();
                self.record(
                    EventKind::Unmount,
                    Some(&host.name),
                    &volume,
                    detail,
                    Some(started.elapsed()),
                );
            }
            self.save_attachment(&turn, remove_every_id).await?;
        }
        self.let_go(&turn, host).await
    }

    /// Detaches a volume that is no longer mounted, then removes its mount point.
    async fn let_go(&self, turn: &Turn, host: &Host) -> Result<(), StorageError> {
        let mount = turn.cell.volume().attachment.and_then(|attachment| attachment.mount);
        self.detach(turn, host).await?;
        match mount {
            Some(mount) => blocking(move || filesystem::remove_mount_point(&mount.path)).await,
            None => Ok(()),
        }
    }

    /// The folder to use of a volume that is mounted on `host`, as far as recorded; none if it is not.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Ambiguous`].
    pub fn mountpoint(&self, host: &Host, name: &str) -> Result<Option<PathBuf>, StorageError> {
        let attachment = self
            .find(name)?
            .attachment
            .filter(|it| it.host.as_ref() == Some(&host.name));
        Ok(attachment
            .and_then(|it| it.mount)
            .filter(|mount| mount.in_use())
            .map(|mount| mount.path.join(DATA_DIR)))
    }

    /// Unmounts and detaches everything on every host, whoever uses it; logs what resists.
    pub(crate) async fn let_everything_go(&self) {
        for volume in self.volumes() {
            let Some(attachment) = volume.attachment else { continue };
            let Some(host) = self
                .hosts
                .iter()
                .find(|host| attachment.host.as_ref() == Some(&host.name))
            else {
                continue;
            };
            let mut ids = attachment.mount.map(|mount| mount.ids).unwrap_or_default();
            if ids.is_empty() {
                ids.insert(String::new());
            }
            for id in ids {
                if let Err(error) = self.unmount(host, volume.id.as_str(), &id).await {
                    tracing::error!(volume = %volume.id, host = host.name, %error, "cannot let the volume go");
                }
            }
        }
    }

    /// Gives the volume a mount point, before the record is written: they are given out under one lock.
    ///
    /// It is named after the volume's name, if that is a plain word and free; else after its id. A name is anybody's
    /// choice (`../../etc` is one), and two volumes may have the same.
    fn reserve_mount_point(&self, turn: &Turn, host: &Host, id: &str) -> PathBuf {
        let _places = self.places();
        let used: BTreeSet<PathBuf> = self
            .held_by(host)
            .into_iter()
            .filter_map(|it| it.mount)
            .map(|mount| mount.path)
            .collect();
        let mut volume = turn.cell.lock();
        let plain = |name: &&str| {
            !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let by_name = volume
            .name
            .as_deref()
            .filter(plain)
            .map(|name| host.volumes_dir().join(name));
        let by_id = host.volumes_dir().join(volume.id.as_str());
        let attachment = volume
            .attachment
            .as_mut()
            .expect("only an attached volume is mounted, and we have its turn");
        let mount = attachment.mount.get_or_insert_with(|| MountRecord {
            path: by_name.filter(|path| !used.contains(path)).unwrap_or(by_id),
            ids: BTreeSet::new(),
        });
        mount.ids.insert(id.to_owned());
        mount.path.clone()
    }
}

/// The attachment to `host` and its device.
fn attached<'a>(volume: &'a Volume, host: &Host) -> Result<(&'a Attachment, PathBuf), StorageError> {
    let here = volume
        .attachment
        .as_ref()
        .filter(|it| it.host.as_ref() == Some(&host.name));
    here.and_then(|it| Some((it, it.loop_device.clone()?)))
        .ok_or_else(|| StorageError::NotAttached(volume.id.to_string()))
}

async fn is_mounted(device: &Path, folder: &Path) -> Result<bool, StorageError> {
    let (device, folder) = (device.to_owned(), folder.to_owned());
    blocking(move || Ok(filesystem::mount_points(&device)?.contains(&folder))).await
}

fn add_id(attachment: &mut Attachment, id: &str) {
    if let Some(mount) = &mut attachment.mount {
        mount.ids.insert(id.to_owned());
    }
}

fn remove_id(attachment: &mut Attachment, id: &str) {
    if let Some(mount) = &mut attachment.mount {
        mount.ids.remove(id);
    }
}

fn remove_every_id(attachment: &mut Attachment) {
    if let Some(mount) = &mut attachment.mount {
        mount.ids.clear();
    }
}
