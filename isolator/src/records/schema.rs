//! A record as it stands on disk, version 1, 2 or 3. Apart from the live types on purpose: those
//! may change, this may only grow a new version beside it. `docs/record.schema.json` tells the same
//! to others, and a test keeps the two equal.
//!
//! Version 2 is version 1 with the field `lifetime`. It is written only for a container with a volume that was made for it: a
//! build that knows version 1 only would let such a volume go and leave it behind, so it shall not read the record. It reads all
//! others.
//!
//! Version 3 is version 2 with the field `containerizer`. It is written only for a Docker
//! container: Mesos names none of those when it recovers, and a build that knows version 2 only
//! would let their volumes go while they run.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use volume_driver_client::{InvalidMountId, MountId};
use volume_labels::{Access, Lifetime, Owner};

use thiserror::Error;

use super::LARGEST_RECORD;
use super::recorded_mount::MountV1;
use crate::ephemeral;
use crate::ledger::{MountSpec, Record, RecordedState, RecordedVolume, VolumeRequest};
use crate::mountpoint::Mountpoint;
use crate::types::{ContainerId, Containerizer, VolumeKey};

/// The version of a record whose volumes all outlive their containers.
const VERSION: u32 = 1;
/// The version of one with a volume that was made for its container.
const VERSION_WITH_LIFETIME: u32 = 2;
/// The version of one of a Docker container.
const VERSION_WITH_CONTAINERIZER: u32 = 3;

/// The one field every version has.
#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

/// What one container holds, as the external volumes module of a Mesos agent keeps it on disk: one
/// file a container in `containers/` of the state folder. Readers ignore what they do not know;
/// what changes the meaning of a field changes the version.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Record"))]
pub(super) struct RecordV1 {
    /// The version of this layout: 3 of a Docker container, 2 when a volume has a `lifetime`, which
    /// version 1 does not know, and 1 otherwise.
    #[cfg_attr(test, schemars(extend("enum" = [1, 2, 3])))]
    version: u32,
    /// The kernel's boot id when the record was written: with another one, every mount in it is
    /// gone.
    boot_id: String,
    /// The id of the host that the mount ids derive from, 64 hexadecimal digits. Records of the
    /// first builds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(regex(pattern = "^[0-9A-Fa-f]{64}$")))]
    host_id: Option<String>,
    /// The container's id with its parents, outermost first.
    #[cfg_attr(test, schemars(with = "Vec<String>", length(min = 1), inner(length(min = 1))))]
    container: ContainerId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    containerizer: Option<ContainerizerV3>,
    /// Whether the container has left: what follows still needs work then.
    released: bool,
    /// Its volumes; of a container that has left those that still need work.
    #[cfg_attr(test, schemars(length(min = 1)))]
    volumes: Vec<VolumeV1>,
}

/// One volume of a container.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Volume"))]
#[cfg_attr(test, schemars(extend(
    "if" = { "properties": { "state": { "const": "mounted" } } },
    "then" = { "required": ["mountpoint"], "properties": { "mountpoint": { "type": "string" } } }
)))]
struct VolumeV1 {
    /// The slot of its labels, or what else named the volume: `ContainerInfo.volumes[0]`,
    /// `DVDI_VOLUME_NAME1`.
    slot: String,
    /// The driver's name.
    driver: String,
    /// The volume's name, as the driver spells it.
    name: String,
    /// The id the driver gets with Mount and Unmount.
    #[cfg_attr(test, schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    mount_id: String,
    /// Where it goes in the container, as an absolute path in the agent's file system.
    #[cfg_attr(test, schemars(with = "String"))]
    target: PathBuf,
    mode: ModeV1,
    access: AccessV1,
    /// Options for Create; absent when the volume may not be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<BTreeMap<String, String>>,
    /// Who is to own the volume's root, as `uid:gid` or a user's name; absent when it stays as it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime: Option<LifetimeV2>,
    state: StateV1,
    /// Where the driver has mounted it; known as soon as it is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    mountpoint: Option<PathBuf>,
    /// Which mount the mount table showed there; absent of a plain directory, and in records of
    /// earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mount: Option<MountV1>,
}

/// Which part of Mesos runs the container; absent when it is the Mesos containerizer.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Containerizer"))]
#[serde(rename_all = "snake_case")]
enum ContainerizerV3 {
    /// The Docker containerizer, for a task with a command.
    Docker,
    /// The Docker containerizer, for an executor.
    DockerExecutor,
}

/// Whether the container may write.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Mode"))]
enum ModeV1 {
    /// It may.
    #[serde(rename = "rw")]
    ReadWrite,
    /// It may not.
    #[serde(rename = "ro")]
    ReadOnly,
}

/// Who else may use the volume on this agent.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Access"))]
#[serde(rename_all = "snake_case")]
enum AccessV1 {
    /// Any container.
    Shared,
    /// No other, as long as this one lives.
    Exclusive,
}

/// What becomes of the volume when its last container has left; absent when it stays.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Lifetime"))]
#[serde(rename_all = "snake_case")]
enum LifetimeV2 {
    /// It was made for the container, or is about to be, and is removed after it.
    Container,
}

/// How far the volume came.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "State"))]
#[serde(rename_all = "snake_case")]
enum StateV1 {
    /// A Mount may have been sent.
    Mounting,
    /// It is mounted.
    Mounted,
    /// An Unmount may have been sent.
    Unmounting,
}

/// A record with what it says of the host.
pub(super) struct Parsed {
    pub(super) record: Record,
    pub(super) boot_id: String,
    pub(super) host_id: Option<String>,
}

/// The bytes of a record.
///
/// # Errors
/// Why it cannot be written: a path that is no UTF-8.
pub(super) fn encode(record: &Record, boot_id: &str, host_id: &str) -> serde_json::Result<Vec<u8>> {
    let volumes: Vec<VolumeV1> = record.volumes.iter().map(VolumeV1::new).collect();
    let has_lifetime = volumes.iter().any(|volume| volume.lifetime.is_some());
    let on_disk = RecordV1 {
        version: match record.containerizer {
            Containerizer::Docker | Containerizer::DockerExecutor => VERSION_WITH_CONTAINERIZER,
            Containerizer::Mesos if has_lifetime => VERSION_WITH_LIFETIME,
            Containerizer::Mesos => VERSION,
        },
        boot_id: boot_id.to_owned(),
        host_id: Some(host_id.to_owned()),
        container: record.container.clone(),
        containerizer: match record.containerizer {
            Containerizer::Mesos => None,
            Containerizer::Docker => Some(ContainerizerV3::Docker),
            Containerizer::DockerExecutor => Some(ContainerizerV3::DockerExecutor),
        },
        released: record.released,
        volumes,
    };
    serde_json::to_vec(&on_disk)
}

/// Why a file is no record that this build understands. The message follows the file's name.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// The file is larger than the module writes.
    #[error("it is larger than any record, {LARGEST_RECORD} bytes")]
    TooLarge,
    /// The file has no content, as after a power cut.
    #[error("it is empty")]
    Empty,
    /// The file has another form.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// The file has other fields, or is torn.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Another build wrote the file.
    #[error("it has version {got}, this module reads versions {VERSION} to {VERSION_WITH_CONTAINERIZER}")]
    Version {
        /// The file's version.
        got: u32,
    },
    /// A part of the container's id is empty.
    #[error("its container has an empty id")]
    EmptyContainerId,
    /// A record of no volume is never written.
    #[error("it names no volume")]
    NoVolume,
    /// The id of the host has another form.
    #[error("its host_id is not 64 hexadecimal digits")]
    HostId,
    /// A mounted volume has no mountpoint.
    #[error("its volume '{0}' is mounted nowhere")]
    MountedNowhere(String),
    /// The id for Mount and Unmount has another form.
    #[error("its volume '{volume}': {cause}")]
    MountId {
        /// The volume's name.
        volume: String,
        /// What is wrong with the id.
        cause: InvalidMountId,
    },
    /// The record would have a volume removed that the module did not create.
    #[error(
        "its volume '{0}' has lifetime=container, but not a name that the module gives to volumes that it creates for one container"
    )]
    NotEphemeral(String),
    /// The file's name is that of another container's record.
    #[error("it is about container {0}, whose record has another name")]
    OtherName(ContainerId),
}

/// Reads the bytes of a file.
///
/// # Errors
/// When it is no record that this build understands.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, RecordError> {
    if bytes.is_empty() {
        return Err(RecordError::Empty);
    }
    // A list of the fields' values would do for serde.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(RecordError::NotAnObject);
    }
    let AnyVersion { version } = serde_json::from_slice(bytes)?;
    if !(VERSION..=VERSION_WITH_CONTAINERIZER).contains(&version) {
        return Err(RecordError::Version { got: version });
    }
    let mut on_disk: RecordV1 = serde_json::from_slice(bytes)?;
    if version == VERSION {
        // A field that its writer did not know says nothing, and least of all that something may be
        // removed.
        on_disk.volumes.iter_mut().for_each(|volume| volume.lifetime = None);
    }
    if version < VERSION_WITH_CONTAINERIZER {
        on_disk.containerizer = None;
    }
    on_disk.into_parsed()
}

/// Whether a text can be the id of a host.
pub(super) fn is_host_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl RecordV1 {
    fn into_parsed(self) -> Result<Parsed, RecordError> {
        if self.container.path().iter().any(String::is_empty) || self.container.path().is_empty() {
            return Err(RecordError::EmptyContainerId);
        }
        if self.volumes.is_empty() {
            return Err(RecordError::NoVolume);
        }
        if self.host_id.as_deref().is_some_and(|id| !is_host_id(id)) {
            return Err(RecordError::HostId);
        }
        let volumes = self
            .volumes
            .into_iter()
            .map(VolumeV1::into_volume)
            .collect::<Result<_, _>>()?;
        Ok(Parsed {
            record: Record {
                container: self.container,
                containerizer: match self.containerizer {
                    None => Containerizer::Mesos,
                    Some(ContainerizerV3::Docker) => Containerizer::Docker,
                    Some(ContainerizerV3::DockerExecutor) => Containerizer::DockerExecutor,
                },
                released: self.released,
                volumes,
            },
            boot_id: self.boot_id,
            host_id: self.host_id,
        })
    }
}

impl VolumeV1 {
    fn new(volume: &RecordedVolume) -> Self {
        let request = &volume.request;
        Self {
            slot: request.origin.recorded(),
            driver: request.volume.driver.clone(),
            name: request.volume.name.clone(),
            mount_id: request.mount_id.to_string(),
            target: request.target.clone(),
            mode: if request.read_only {
                ModeV1::ReadOnly
            } else {
                ModeV1::ReadWrite
            },
            access: match request.access {
                Access::Shared => AccessV1::Shared,
                Access::Exclusive => AccessV1::Exclusive,
            },
            create: request.spec.create.clone(),
            owner: request.spec.owner.clone(),
            lifetime: match request.spec.lifetime {
                Lifetime::Persistent => None,
                Lifetime::Container => Some(LifetimeV2::Container),
            },
            state: match volume.state {
                RecordedState::Mounting => StateV1::Mounting,
                RecordedState::Mounted(_) => StateV1::Mounted,
                RecordedState::Unmounting(_) => StateV1::Unmounting,
            },
            mountpoint: volume.state.mountpoint().map(|at| at.path.clone()),
            mount: volume
                .state
                .mountpoint()
                .and_then(|at| at.mount.as_ref())
                .map(MountV1::new),
        }
    }

    fn into_volume(self) -> Result<RecordedVolume, RecordError> {
        let mount = self.mount.map(MountV1::into_identity);
        let mountpoint = self.mountpoint.map(|path| Mountpoint { path, mount });
        let state = match (self.state, mountpoint) {
            (StateV1::Mounting, _) => RecordedState::Mounting,
            (StateV1::Mounted, Some(mountpoint)) => RecordedState::Mounted(mountpoint),
            (StateV1::Mounted, None) => return Err(RecordError::MountedNowhere(self.name)),
            (StateV1::Unmounting, mountpoint) => RecordedState::Unmounting(mountpoint),
        };
        let mount_id: MountId = self.mount_id.parse().map_err(|cause| RecordError::MountId {
            volume: self.name.clone(),
            cause,
        })?;
        if self.lifetime.is_some() && ephemeral::spelled(&self.name).is_none() {
            return Err(RecordError::NotEphemeral(self.name));
        }
        let request = VolumeRequest {
            origin: self.slot.as_str().into(),
            volume: VolumeKey::new(self.driver, self.name),
            mount_id,
            target: self.target,
            read_only: matches!(self.mode, ModeV1::ReadOnly),
            access: match self.access {
                AccessV1::Shared => Access::Shared,
                AccessV1::Exclusive => Access::Exclusive,
            },
            spec: MountSpec {
                creation_denied: None,
                is_owner_named: false,
                create: self.create,
                owner: self.owner,
                lifetime: match self.lifetime {
                    None => Lifetime::Persistent,
                    Some(LifetimeV2::Container) => Lifetime::Container,
                },
            },
        };
        Ok(RecordedVolume { request, state })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/record.schema.json");

    fn published() -> Value {
        serde_json::from_slice(&fs::read(PUBLISHED).unwrap()).unwrap()
    }

    /// A record with every field that a record can have.
    fn full() -> Value {
        json!({
            "version": 3,
            "boot_id": "b",
            "host_id": "f".repeat(64),
            "container": ["pod", "task"],
            "containerizer": "docker",
            "released": false,
            "volumes": [{
                "slot": "data",
                "driver": "ebs",
                "name": "vol-1-mev-0123456789abcdef",
                "mount_id": "0".repeat(64),
                "target": "/sandbox/data",
                "mode": "rw",
                "access": "shared",
                "create": { "size": "1" },
                "owner": "1000:1000",
                "lifetime": "container",
                "state": "mounted",
                "mountpoint": "/volumes/vol-1/data",
                "mount": {
                    "id": 42,
                    "namespace": "4026531841",
                    "device": "8:16",
                    "root": "/",
                    "type": "ext4",
                    "source": "/dev/xvdf",
                    "target": "/volumes/vol-1",
                },
            }],
        })
    }

    fn parsed(record: &Value) -> Result<Parsed, RecordError> {
        parse(record.to_string().as_bytes())
    }

    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let mut schema = serde_json::to_value(schemars::schema_for!(RecordV1)).unwrap();
        schema["$id"] = json!("record.schema.json");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::create_dir_all(Path::new(PUBLISHED).parent().unwrap()).unwrap();
            fs::write(PUBLISHED, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(PUBLISHED).unwrap_or_default(),
            text,
            "{PUBLISHED} is stale: UPDATE_SCHEMAS=1 cargo test -p isolator --lib schema"
        );
    }

    /// The published list of fields holds for what is written, and what it calls required is
    /// required.
    #[test]
    fn written_records_have_the_published_fields_and_no_others() {
        let written = |record: &Value| -> Value {
            let parsed = parsed(record).unwrap_or_else(|reason| panic!("{record}: {reason}"));
            serde_json::from_slice(
                &encode(&parsed.record, &parsed.boot_id, parsed.host_id.as_deref().unwrap()).unwrap(),
            )
            .unwrap()
        };
        assert_eq!(written(&full()), full(), "reading and writing loses nothing");
        let schema = published();
        let objects = [
            (&schema, ""),
            (&schema["$defs"]["Volume"], "/volumes/0"),
            (&schema["$defs"]["Mount"], "/volumes/0/mount"),
        ];
        for (object, place) in objects {
            let mut fields: Vec<&String> = object["properties"].as_object().unwrap().keys().collect();
            fields.sort();
            let whole = full();
            let mut has: Vec<&String> = whole.pointer(place).unwrap().as_object().unwrap().keys().collect();
            has.sort();
            assert_eq!(has, fields);
            for field in fields {
                let mut without = full();
                without
                    .pointer_mut(place)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove(field);
                let required = object["required"].as_array().unwrap().contains(&json!(field));
                // Said apart from the list, with `if` and `then`.
                let required = required || field == "mountpoint";
                assert_eq!(parsed(&without).is_err(), required, "without {field}");
            }
        }
    }

    #[test]
    fn what_the_schema_rules_out_is_no_record() {
        let wrong: [(&str, Value); 19] = [
            ("/version", json!(4)),
            ("/containerizer", json!("mesos")),
            ("/version", json!("1")),
            ("/host_id", json!("f".repeat(63))),
            ("/host_id", json!("g".repeat(64))),
            ("/container", json!([])),
            ("/container", json!(["a", ""])),
            ("/container", json!("a")),
            ("/released", json!("no")),
            ("/volumes", json!([])),
            ("/volumes/0/mount_id", json!("F".repeat(64))),
            ("/volumes/0/mode", json!("read-only")),
            ("/volumes/0/access", json!("Shared")),
            ("/volumes/0/state", json!("stuck")),
            ("/volumes/0/lifetime", json!("persistent")),
            // A record that another program wrote must not remove a volume.
            ("/volumes/0/name", json!("vol-1")),
            ("/volumes/0/create", json!({ "size": 1 })),
            ("/volumes/0/target", json!(null)),
            ("/volumes/0/mountpoint", json!(null)),
        ];
        for (place, value) in wrong {
            let mut record = full();
            *record.pointer_mut(place).unwrap() = value.clone();
            assert!(parsed(&record).is_err(), "{place} = {value}");
        }
    }

    #[test]
    fn a_record_has_the_oldest_version_that_says_all_of_it() {
        let version = |record: &Record| -> Value {
            let bytes = encode(record, "b", &"f".repeat(64)).unwrap();
            serde_json::from_slice::<Value>(&bytes).unwrap()["version"].clone()
        };
        let mut record = parsed(&full()).unwrap().record;
        assert_eq!(version(&record), json!(3));
        record.containerizer = Containerizer::Mesos;
        assert_eq!(version(&record), json!(2));
        record.volumes[0].request.spec.lifetime = Lifetime::Persistent;
        assert_eq!(version(&record), json!(1));
    }

    #[test]
    fn a_record_of_version_1_removes_nothing() {
        let mut old = full();
        old["version"] = json!(1);
        let volume = &parsed(&old).unwrap().record.volumes[0];
        assert_eq!(volume.request.spec.lifetime, Lifetime::Persistent);
    }

    #[test]
    fn a_record_of_version_2_is_of_a_mesos_container() {
        let mut old = full();
        old["version"] = json!(2);
        assert_eq!(parsed(&old).unwrap().record.containerizer, Containerizer::Mesos);
    }

    #[test]
    fn what_a_reader_does_not_know_it_ignores() {
        let mut record = full();
        record["note"] = json!("by hand");
        record["volumes"][0]["note"] = json!(7);
        assert!(parsed(&record).is_ok());
    }
}
