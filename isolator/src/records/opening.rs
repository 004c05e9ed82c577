//! Taking a state folder into use: its folders, its lock, the id of the host.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tracing::{info, warn};

use super::disk::Disk;
use super::layout::Layout;
use super::schema;
use super::{LARGEST_RECORD, StoreError, at, write_new};
use crate::boot;

/// What the records know of the host they are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The kernel's boot id: a mount of an earlier boot is gone.
    pub boot_id: String,
    /// 64 hexadecimal digits that become the host's id when the state folder has none yet.
    pub fresh_id: String,
}

impl Host {
    /// This host, with a fresh id from the kernel's random numbers.
    ///
    /// # Errors
    /// When `/proc` or `/dev/urandom` cannot be read.
    pub fn this() -> Result<Self, StoreError> {
        let mut random = [0_u8; 32];
        let source = Path::new("/dev/urandom");
        File::open(source)
            .and_then(|mut file| file.read_exact(&mut random))
            .map_err(at("read", source))?;
        Ok(Self {
            boot_id: boot_id()?,
            fresh_id: hex::encode(random),
        })
    }
}

pub(super) fn boot_id() -> Result<String, StoreError> {
    boot::boot_id().map_err(at("read", Path::new(boot::BOOT_ID)))
}

/// How far the folder is in use. A full or a read-only disk does not keep the agent from starting:
/// what could not be done is done before the next record is written.
#[derive(Debug)]
pub(super) struct Opening<L> {
    lock: Option<L>,
    host_id_stands: bool,
    complete: bool,
}

impl<L> Opening<L> {
    pub(super) fn new() -> Self {
        Self {
            lock: None,
            host_id_stands: false,
            complete: false,
        }
    }

    /// Makes the folders and locks them.
    pub(super) fn take<D: Disk<Lock = L>>(&mut self, disk: &D, layout: &Layout) -> Result<(), StoreError> {
        if self.lock.is_some() {
            return Ok(());
        }
        make_folders(disk, layout.root())?;
        for folder in [layout.containers(), layout.quarantine()] {
            make_folder(disk, folder).map_err(at("create folder", folder))?;
        }
        let path = layout.lock();
        let locked = disk.lock(&path, &format!("process {}", std::process::id()));
        self.lock = locked.map_err(at("lock", &path))?;
        if self.lock.is_some() {
            return Ok(());
        }
        let holder = disk.read(&path, LARGEST_RECORD).unwrap_or_default();
        let holder = match String::from_utf8_lossy(&holder).trim() {
            "" => "another process".to_owned(),
            named => named.to_owned(),
        };
        Err(StoreError::Locked {
            path: layout.root().to_owned(),
            holder,
        })
    }

    /// The id that the folder gives its host, found or made up. It is not on disk before
    /// [`Self::complete`].
    pub(super) fn host_id<D: Disk>(&mut self, disk: &D, layout: &Layout, host: &Host) -> Result<String, StoreError> {
        let path = layout.host_id();
        match disk.read(&path, LARGEST_RECORD) {
            Ok(bytes) => {
                if let Some(id) = valid_host_id(&bytes) {
                    self.host_id_stands = true;
                    return Ok(id);
                }
                let kept = layout.quarantine().join("host-id");
                let moved = disk.rename(&path, &kept);
                warn!(file = %path.display(), kept = %kept.display(), kept_failed = moved.err().map(tracing::field::display),
                    "the host's id for mounts is damaged: it is taken from the records, or a new one is made when there are none");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at("read", &path)(error)),
        }
        // Drivers know their mounts by it: as long as there is a record, its id is the one to go on
        // with.
        let names = disk.list(layout.containers()).unwrap_or_default();
        let recorded = names.iter().find_map(|name| {
            let bytes = disk.read(&layout.containers().join(name), LARGEST_RECORD).ok()?;
            schema::parse(&bytes).ok()?.host_id
        });
        Ok(recorded.unwrap_or_else(|| host.fresh_id.clone()))
    }

    /// Does what is left to do before a record may be written: everything [`Self::take`] does, the
    /// host's id on disk, and all of that durable.
    pub(super) fn complete<D: Disk<Lock = L>>(
        &mut self,
        disk: &D,
        layout: &Layout,
        host_id: &str,
    ) -> Result<(), StoreError> {
        if self.complete {
            return Ok(());
        }
        self.take(disk, layout)?;
        if !self.host_id_stands {
            put_host_id(disk, layout, host_id)?;
            self.host_id_stands = true;
        }
        // The agent that made the folders may have been killed before they were durable, so this is
        // done at every start.
        for folder in [Some(layout.root()), layout.root().parent()].into_iter().flatten() {
            disk.sync_folder(folder).map_err(at("fsync", folder))?;
        }
        self.complete = true;
        Ok(())
    }
}

fn put_host_id<D: Disk>(disk: &D, layout: &Layout, host_id: &str) -> Result<(), StoreError> {
    let path = layout.host_id();
    // Another agent may have had the folder while we could not lock it.
    if let Ok(bytes) = disk.read(&path, LARGEST_RECORD)
        && valid_host_id(&bytes).is_some_and(|other| other != host_id)
    {
        return Err(StoreError::HostId { path });
    }
    let temporary = path.with_extension(super::layout::TEMPORARY);
    let file = write_new(disk, &temporary, host_id.as_bytes())?;
    for synced in disk.sync_all(&[&file]) {
        synced.map_err(at("fsync", &temporary))?;
    }
    disk.rename(&temporary, &path).map_err(at("rename", &temporary))?;
    info!(file = %path.display(), "wrote the host's id for mounts");
    Ok(())
}

/// Makes a folder and those around it that are missing; each of the latter is durable when this
/// returns.
fn make_folders<D: Disk>(disk: &D, folder: &Path) -> Result<(), StoreError> {
    match make_folder(disk, folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = folder.parent().filter(|parent| *parent != folder) else {
                return Err(at("create folder", folder)(error));
            };
            make_folders(disk, parent)?;
            if let Some(above) = parent.parent() {
                disk.sync_folder(above).map_err(at("fsync", above))?;
            }
            make_folder(disk, folder).map_err(at("create folder", folder))
        }
        made => made.map_err(at("create folder", folder)),
    }
}

fn make_folder<D: Disk>(disk: &D, folder: &Path) -> io::Result<()> {
    match disk.make_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn valid_host_id(bytes: &[u8]) -> Option<String> {
    let id = str::from_utf8(bytes).ok()?.trim();
    schema::is_host_id(id).then(|| id.to_owned())
}
