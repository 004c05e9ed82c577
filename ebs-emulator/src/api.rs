//! The words of the control API: POST of JSON to `/<Action>` on the control socket.
//!
//! | action | request | answer |
//! |---|---|---|
//! | `CreateVolume` | [`CreateVolume`] | [`VolumeDescription`] |
//! | `DescribeVolumes` | `{}` | [`DescribeVolumes`] |
//! | `DeleteVolume` | [`VolumeName`] | `{}` |
//! | `AttachVolume` | [`AttachVolume`]: an instance outside the emulator takes the volume | [`VolumeDescription`] |
//! | `DetachVolume` | [`DetachVolume`] | `{}` |
//! | `Hosts` | `{}` | list of [`Host`](crate::host::Host) |
//! | `Events` | [`EventsAfter`] | list of [`Event`](crate::history::Event) |
//! | `SetFault` | [`FaultRule`](crate::faults::FaultRule) | [`FaultId`] |
//! | `ListFaults` | `{}` | list of [`Fault`](crate::faults::Fault) |
//! | `ClearFaults` | [`ClearFaults`] | [`Cleared`] |
//!
//! An error is status 400 with [`ApiError`].

use serde::{Deserialize, Serialize};

use crate::volume::Volume;

/// Request for a new volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateVolume {
    /// Its `Name` tag.
    pub name: Option<String>,
    /// Its size in GiB.
    pub size: u64,
    /// Its availability zone.
    pub zone: String,
    /// Its EBS type; `gp3` if absent.
    #[serde(default)]
    pub volume_type: Option<String>,
}

/// Request about one volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeName {
    /// Its id or `Name` tag.
    pub volume: String,
}

/// Request to detach a volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DetachVolume {
    /// Its id or `Name` tag.
    pub volume: String,
    /// Also when it is mounted: whoever works in it gets EIO, and what was not yet written is lost.
    #[serde(default)]
    pub force: bool,
}

/// Request of an instance outside the emulator to take a volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachVolume {
    /// The volume's id or `Name` tag.
    pub volume: String,
    /// The instance id.
    pub instance: String,
}

/// Request for the events after one number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct EventsAfter {
    /// The number of the last event known; 0 for all.
    #[serde(default)]
    pub after: u64,
}

/// The number of a fault rule.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FaultId {
    /// The number.
    pub id: u64,
}

/// Request to take rules out of force.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ClearFaults {
    /// One rule; all, if absent.
    pub id: Option<u64>,
}

/// How many rules were taken out of force.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cleared {
    /// The number of them.
    pub cleared: usize,
}

/// Why an action failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiError {
    /// One line.
    pub error: String,
}

/// All volumes, in the shape of `aws ec2 describe-volumes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVolumes {
    /// The volumes, oldest first.
    pub volumes: Vec<VolumeDescription>,
}

/// One volume, in the shape of `aws ec2 describe-volumes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeDescription {
    /// Its availability zone.
    pub availability_zone: String,
    /// Who holds it: none or one.
    pub attachments: Vec<AttachmentDescription>,
    /// RFC 3339, to the millisecond.
    pub create_time: String,
    /// Always false.
    pub encrypted: bool,
    /// Always false.
    pub multi_attach_enabled: bool,
    /// In GiB.
    pub size: u64,
    /// Always empty.
    pub snapshot_id: String,
    /// `available` or `in-use`.
    pub state: String,
    /// The `Name` tag, if it has one; the key is absent otherwise, as with EC2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// `vol-` and 17 hexadecimal digits.
    pub volume_id: String,
    /// Such as `gp3`.
    pub volume_type: String,
}

/// One holder of a volume, in the shape of `aws ec2 describe-volumes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachmentDescription {
    /// RFC 3339, to the millisecond.
    pub attach_time: String,
    /// Always false.
    pub delete_on_termination: bool,
    /// The device name of the EC2 API, such as `/dev/xvdba`.
    pub device: String,
    /// The holder.
    pub instance_id: String,
    /// `attaching`, `attached`, `detaching` or `busy`.
    pub state: String,
    /// The volume's id.
    pub volume_id: String,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl VolumeDescription {
    /// The value of the `Name` tag.
    pub fn name(&self) -> Option<&str> {
        self.tags
            .iter()
            .find(|tag| tag.key == "Name")
            .map(|tag| tag.value.as_str())
    }
}

impl From<&Volume> for VolumeDescription {
    fn from(volume: &Volume) -> VolumeDescription {
        let time = |time: jiff::Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let attachments = volume.attachment.iter().map(|it| AttachmentDescription {
            attach_time: time(it.attach_time),
            delete_on_termination: false,
            device: it.device_name.clone(),
            instance_id: it.instance.clone(),
            state: it.state.as_str().to_owned(),
            volume_id: volume.id.to_string(),
        });
        VolumeDescription {
            availability_zone: volume.zone.clone(),
            attachments: attachments.collect(),
            create_time: time(volume.create_time),
            encrypted: false,
            multi_attach_enabled: false,
            size: volume.size_gib,
            snapshot_id: String::new(),
            state: if volume.attachment.is_some() {
                "in-use"
            } else {
                "available"
            }
            .to_owned(),
            tags: volume
                .name
                .iter()
                .map(|name| Tag {
                    key: "Name".into(),
                    value: name.clone(),
                })
                .collect(),
            volume_id: volume.id.to_string(),
            volume_type: volume.volume_type.clone(),
        }
    }
}
