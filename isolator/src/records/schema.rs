//! A record as it stands on disk, version 1. Apart from the live types on purpose: those may change, this may only grow
//! a new version beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use volume_driver_client::MountId;
use volume_labels::{Access, Mode, Owner};

use crate::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use crate::types::{ContainerId, VolumeKey};

/// The version this build writes.
pub(super) const VERSION: u32 = 1;

/// The one field every version has.
#[derive(Deserialize)]
pub(super) struct AnyVersion {
    pub(super) version: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RecordV1 {
    version: u32,
    /// The kernel's boot id when the record was written: with another one, every mount in it is gone.
    pub(super) boot_id: String,
    container: ContainerId,
    /// The container has left; what follows still needs work.
    released: bool,
    volumes: Vec<VolumeV1>,
}

#[derive(Serialize, Deserialize)]
struct VolumeV1 {
    slot: String,
    driver: String,
    name: String,
    mount_id: String,
    target: PathBuf,
    mode: Mode,
    access: Access,
    /// Options for Create; absent when the volume may not be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    state: StateV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mountpoint: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateV1 {
    Mounting,
    Mounted,
    Unmounting,
}

impl RecordV1 {
    pub(super) fn new(record: &Record, boot_id: &str) -> Self {
        Self {
            version: VERSION,
            boot_id: boot_id.to_owned(),
            container: record.container.clone(),
            released: record.released,
            volumes: record.volumes.iter().map(VolumeV1::new).collect(),
        }
    }

    pub(super) fn into_record(self) -> Result<Record, String> {
        if self.container.path().iter().any(String::is_empty) || self.container.path().is_empty() {
            return Err("its container has an empty id".into());
        }
        if self.volumes.is_empty() {
            return Err("it names no volume".into());
        }
        let volumes = self
            .volumes
            .into_iter()
            .map(VolumeV1::into_volume)
            .collect::<Result<_, _>>()?;
        Ok(Record {
            container: self.container,
            released: self.released,
            volumes,
        })
    }
}

impl VolumeV1 {
    fn new(volume: &RecordedVolume) -> Self {
        let request = &volume.request;
        Self {
            slot: request.slot.clone(),
            driver: request.volume.driver.clone(),
            name: request.volume.name.clone(),
            mount_id: request.mount_id.to_string(),
            target: request.target.clone(),
            mode: if request.read_only {
                Mode::ReadOnly
            } else {
                Mode::ReadWrite
            },
            access: request.access,
            create: request.spec.create.clone(),
            owner: request.spec.owner.clone(),
            state: match volume.state {
                RecordedState::Mounting => StateV1::Mounting,
                RecordedState::Mounted(_) => StateV1::Mounted,
                RecordedState::Unmounting(_) => StateV1::Unmounting,
            },
            mountpoint: volume.state.mountpoint().cloned(),
        }
    }

    fn into_volume(self) -> Result<RecordedVolume, String> {
        let state = match (self.state, self.mountpoint) {
            (StateV1::Mounting, _) => RecordedState::Mounting,
            (StateV1::Mounted, Some(mountpoint)) => RecordedState::Mounted(mountpoint),
            (StateV1::Mounted, None) => return Err(format!("its volume '{}' is mounted nowhere", self.name)),
            (StateV1::Unmounting, mountpoint) => RecordedState::Unmounting(mountpoint),
        };
        let mount_id: MountId = self
            .mount_id
            .parse()
            .map_err(|error| format!("its volume '{}': {error}", self.name))?;
        let request = VolumeRequest {
            slot: self.slot,
            volume: VolumeKey::new(self.driver, self.name),
            mount_id,
            target: self.target,
            read_only: self.mode == Mode::ReadOnly,
            access: self.access,
            spec: MountSpec {
                create: self.create,
                owner: self.owner,
            },
        };
        Ok(RecordedVolume { request, state })
    }
}
