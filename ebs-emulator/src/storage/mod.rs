//! The storage: which volumes there are, who holds them, and every step between.
//!
//! Each volume has a *turn*: whoever changes it holds the turn from the first check to the last record, so slow steps
//! of one volume delay only itself. A record is written before the step it announces: after a kill the records say
//! at least what may have happened, and [`Storage::open`] asks the kernel what did.

mod attach;
mod force;
mod mount;
mod recover;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::device;
use crate::error::StorageError;
use crate::faults::{Faults, Operation, Point, When};
use crate::filesystem;
use crate::history::{Event, EventKind, History};
use crate::host::{Host, HostSpec};
use crate::store::Store;
use crate::volume::{Attachment, Content, MountRecord, Volume, VolumeId, check_name, check_size};

/// What is asked of a new volume.
#[derive(Debug, Clone)]
pub struct NewVolume {
    /// Its `Name` tag.
    pub name: Option<String>,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Its availability zone.
    pub zone: String,
    /// Its EBS type.
    pub volume_type: String,
    /// True when no other volume may have the name, as drivers have it; EC2 itself allows duplicates.
    pub unique_name: bool,
}

/// One volume, and the right to change it.
#[derive(Debug)]
struct Cell {
    turn: Arc<AsyncMutex<()>>,
    volume: Mutex<Volume>,
}

impl Cell {
    fn new(volume: Volume) -> Arc<Cell> {
        Arc::new(Cell {
            turn: Arc::default(),
            volume: Mutex::new(volume),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Volume> {
        // A volume is replaced whole, so a panic elsewhere leaves a sound one.
        self.volume.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn volume(&self) -> Volume {
        self.lock().clone()
    }
}

/// A volume whose turn we have.
struct Turn {
    cell: Arc<Cell>,
    _turn: OwnedMutexGuard<()>,
}

/// The storage behind all hosts.
#[derive(Debug)]
pub struct Storage {
    store: Arc<Store>,
    hosts: Vec<Host>,
    cells: RwLock<BTreeMap<VolumeId, Arc<Cell>>>,
    /// Held while device names and mount points are given out.
    places: Mutex<()>,
    pub(crate) faults: Faults,
    pub(crate) history: History,
}

impl Storage {
    /// Opens the state folder, locks it, and finds out what of earlier attachments and mounts is still real.
    ///
    /// # Errors
    /// [`StorageError`] when the folder is locked by another emulator or cannot be read, or a volume in it is held by
    /// a host that `hosts` does not name.
    pub fn open(root: &Path, hosts: &[HostSpec]) -> Result<Storage, StorageError> {
        let store = Store::open(root)?;
        let history = History::open(&store.root().join("events.jsonl"))?;
        let hosts: Vec<Host> = hosts.iter().map(|spec| Host::new(spec, store.root())).collect();
        store.save_hosts(&hosts)?;
        for host in hosts.iter().filter(|host| host.shared) {
            filesystem::make_shared(&host.volumes_dir())?;
        }
        let volumes = store.load()?;
        let mut storage = Storage {
            store: Arc::new(store),
            hosts,
            cells: RwLock::default(),
            places: Mutex::default(),
            faults: Faults::new(),
            history,
        };
        storage.history.record(Event::new(EventKind::Start));
        let mut cells = BTreeMap::new();
        for volume in volumes {
            let volume = storage.recovered(volume)?;
            cells.insert(volume.id.clone(), Cell::new(volume));
        }
        storage.cells = RwLock::new(cells);
        Ok(storage)
    }

    /// The hosts, as given at the start.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The state folder, resolved.
    pub fn root(&self) -> &Path {
        self.store.root()
    }

    /// All volumes, oldest first, as they are now; does not wait for steps under way.
    pub fn volumes(&self) -> Vec<Volume> {
        let mut volumes: Vec<Volume> = self.cells().values().map(|cell| cell.volume()).collect();
        volumes.sort_by_key(|volume| volume.create_time);
        volumes
    }

    /// The volume that `name` means, as it is now; does not wait for steps under way.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] and [`StorageError::Ambiguous`].
    pub fn find(&self, name: &str) -> Result<Volume, StorageError> {
        self.cell(name).map(|cell| cell.volume())
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// [`StorageError::InvalidParameter`], [`StorageError::NameExists`], or what the file system says.
    pub async fn create(&self, new: NewVolume) -> Result<Volume, StorageError> {
        if let Some(name) = &new.name {
            check_name(name)?;
        }
        check_size(new.size_gib)?;
        if new.zone.is_empty() {
            return Err(StorageError::InvalidParameter("the zone must not be empty".into()));
        }
        let volume = Volume {
            id: VolumeId::random(),
            name: new.name,
            size_gib: new.size_gib,
            zone: new.zone,
            volume_type: new.volume_type,
            create_time: Timestamp::now(),
            content: Content::Unformatted,
            attachment: None,
        };
        let cell = Cell::new(volume.clone());
        // Until it is on disk, nobody else gets its turn.
        let turn = cell.turn.clone().lock_owned().await;
        {
            let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(name) = volume.name.as_deref().filter(|_| new.unique_name)
                && cells.values().any(|other| other.lock().answers_to(name))
            {
                return Err(StorageError::NameExists(name.to_owned()));
            }
            cells.insert(volume.id.clone(), cell.clone());
        }
        let store = self.store.clone();
        let saving = volume.clone();
        if let Err(error) = blocking(move || store.create(&saving)).await {
            self.forget(&volume.id);
            return Err(error);
        }
        drop(turn);
        let detail = format!("{} GiB in {}", volume.size_gib, volume.zone);
        self.record(EventKind::Create, None, &volume, detail, None);
        Ok(volume)
    }

    /// Deletes a volume nobody holds, with its data.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::Ambiguous`], [`StorageError::InUse`].
    pub async fn delete(&self, name: &str) -> Result<(), StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        if let Some(attachment) = &volume.attachment {
            return Err(StorageError::InUse {
                volume: volume.id.to_string(),
                holder: attachment.holder().to_owned(),
                instance: attachment.instance.clone(),
            });
        }
        self.erase(&volume).await
    }

    /// The same for a driver that also removes what is mounted on its host: the mount stays, and its device is freed
    /// when the mount ends.
    ///
    /// # Errors
    /// As [`Storage::delete`], of a volume that is not mounted on this host.
    pub(crate) async fn delete_mounted(&self, host: &Host, name: &str) -> Result<(), StorageError> {
        let turn = self.turn(name).await?;
        let volume = turn.cell.volume();
        let here = volume
            .attachment
            .as_ref()
            .filter(|it| it.host.as_ref() == Some(&host.name) && it.mount.as_ref().is_some_and(MountRecord::in_use));
        let Some(device) = here.and_then(|it| it.loop_device.clone()) else {
            drop(turn);
            return self.delete(name).await;
        };
        blocking(move || device::free_after_last_use(&device)).await?;
        self.erase(&volume).await
    }

    /// Deletes the files of a volume, of which this caller has the turn, and forgets it.
    async fn erase(&self, volume: &Volume) -> Result<(), StorageError> {
        let store = self.store.clone();
        let id = volume.id.clone();
        blocking(move || store.delete(&id)).await?;
        self.forget(&volume.id);
        self.record(EventKind::Delete, None, volume, String::new(), None);
        Ok(())
    }

    fn cells(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<VolumeId, Arc<Cell>>> {
        // The map is changed by single inserts and removes.
        self.cells.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, ()> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, id: &VolumeId) {
        self.cells.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn cell(&self, name: &str) -> Result<Arc<Cell>, StorageError> {
        let cells = self.cells();
        let mut found: Vec<&Arc<Cell>> = cells.values().filter(|cell| cell.lock().answers_to(name)).collect();
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(StorageError::NotFound(name.to_owned())),
            (Some(cell), true) => Ok(cell.clone()),
            (Some(last), false) => {
                let all = found.into_iter().chain([last]);
                let ids = all.map(|cell| cell.lock().id.to_string()).collect();
                Err(StorageError::Ambiguous {
                    name: name.to_owned(),
                    ids,
                })
            }
        }
    }

    /// Waits for the turn of the volume that `name` means.
    async fn turn(&self, name: &str) -> Result<Turn, StorageError> {
        let cell = self.cell(name)?;
        let turn = cell.turn.clone().lock_owned().await;
        // It may have been deleted while we waited.
        if !self.cells().contains_key(&cell.lock().id) {
            return Err(StorageError::NotFound(name.to_owned()));
        }
        Ok(Turn { cell, _turn: turn })
    }

    /// Waits until no volume is in the middle of a step, at most `limit`; no step begins while the result lives.
    pub(crate) async fn come_to_rest(&self, limit: Duration) -> Vec<OwnedMutexGuard<()>> {
        let deadline = tokio::time::Instant::now() + limit;
        let cells: Vec<Arc<Cell>> = self.cells().values().cloned().collect();
        let mut turns = Vec::new();
        for cell in cells {
            match tokio::time::timeout_at(deadline, cell.turn.clone().lock_owned()).await {
                Ok(turn) => turns.push(turn),
                Err(_) => tracing::warn!(volume = %cell.lock().id, "ending in the middle of a step"),
            }
        }
        turns
    }

    /// Changes the volume whose turn we have: on disk first, then for all to see.
    async fn save(&self, turn: &Turn, change: impl FnOnce(&mut Volume)) -> Result<Volume, StorageError> {
        let mut volume = turn.cell.volume();
        change(&mut volume);
        let store = self.store.clone();
        let saving = volume.clone();
        blocking(move || store.save(&saving)).await?;
        *turn.cell.lock() = volume.clone();
        Ok(volume)
    }

    /// Like [`save`](Self::save), for a change of the attachment, if there still is one.
    async fn save_attachment(&self, turn: &Turn, change: impl FnOnce(&mut Attachment)) -> Result<Volume, StorageError> {
        self.save(turn, |volume| {
            if let Some(attachment) = &mut volume.attachment {
                change(attachment);
            }
        })
        .await
    }

    /// Lets the rules for a storage step strike.
    async fn step(&self, operation: Operation, host: &str, volume: &Volume) -> Result<(), StorageError> {
        let names = [Some(volume.id.to_string()), volume.name.clone()]
            .into_iter()
            .flatten()
            .collect();
        let point = Point {
            operation,
            when: When::Before,
            host: host.to_owned(),
            names,
        };
        self.faults.strike(&point).await
    }

    fn record(&self, kind: EventKind, host: Option<&str>, volume: &Volume, detail: String, took: Option<Duration>) {
        let mut event = Event::new(kind);
        event.host = host.map(str::to_owned);
        event.volume = Some(volume.id.to_string());
        event.name = volume.name.clone();
        event.detail = Some(detail).filter(|detail| !detail.is_empty());
        self.history.record(match took {
            Some(took) => event.took(took),
            None => event,
        });
    }
}

/// Runs work that blocks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(StorageError::io("run a storage step")(std::io::Error::other(error))),
        },
    }
}
