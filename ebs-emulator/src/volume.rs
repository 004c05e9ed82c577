//! What is known of a volume: its identity, its place and who holds it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;

/// The largest volume, in GiB, that EBS makes of the general purpose types.
pub const MAX_SIZE_GIB: u64 = 16_384;

/// The longest value of an EC2 tag, in characters.
const MAX_NAME: usize = 255;

/// An EBS volume id: `vol-` and 17 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeId(String);

impl VolumeId {
    /// A fresh, random id.
    pub fn random() -> VolumeId {
        let digits = uuid::Uuid::new_v4().simple().to_string();
        VolumeId(format!("vol-{}", &digits[..17]))
    }

    /// The id as EC2 writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the volume's blocks hold, as far as this emulator is answerable for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Never formatted here. Whether it is blank is asked of the device before it is formatted.
    Unformatted,
    /// mkfs was begun; if this is read from disk, mkfs was cut short and nothing was ever mounted.
    Formatting,
    /// It holds a file system and is never formatted again.
    Formatted,
}

/// Where an attachment stands, with the words of EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentState {
    /// The device is being made.
    Attaching,
    /// The host has the device.
    Attached,
    /// The device is being taken away.
    Detaching,
    /// A detach was refused because the device is in use.
    Busy,
}

impl AttachmentState {
    /// The word `describe-volumes` uses.
    pub fn as_str(self) -> &'static str {
        match self {
            AttachmentState::Attaching => "attaching",
            AttachmentState::Attached => "attached",
            AttachmentState::Detaching => "detaching",
            AttachmentState::Busy => "busy",
        }
    }
}

/// A mount of the volume's file system on the host it is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// Where the file system is mounted.
    pub path: PathBuf,
    /// The mount IDs of the driver calls that asked for it and have not yet let it go. Empty when the mount failed or is
    /// undone and the detach is still to come, or when the emulator found the mount and knows no more of it.
    pub ids: BTreeSet<String>,
}

impl MountRecord {
    /// True when somebody has mounted it and not let it go.
    pub fn in_use(&self) -> bool {
        !self.ids.is_empty()
    }
}

/// One host's hold on a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The emulated host, or none when an instance outside the emulator holds the volume.
    pub host: Option<String>,
    /// The EC2 instance id of the holder.
    pub instance: String,
    /// The device name of the EC2 API, such as `/dev/xvdba`.
    pub device_name: String,
    /// Where the attachment stands.
    pub state: AttachmentState,
    /// When it was begun.
    pub attach_time: Timestamp,
    /// The loop device, once there is one.
    pub loop_device: Option<PathBuf>,
    /// The mount, from the first time it was asked for until the detach.
    pub mount: Option<MountRecord>,
}

impl Attachment {
    /// The holder as a person knows it: the host's name, or the instance id of a stranger.
    pub fn holder(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.instance)
    }
}

/// All that is kept of one volume; `volumes/<id>.json` in the state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// Its `Name` tag; several volumes may have the same.
    pub name: Option<String>,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Its availability zone.
    pub zone: String,
    /// Its EBS type, such as `gp3`.
    pub volume_type: String,
    /// When it was created.
    pub create_time: Timestamp,
    /// What its blocks hold.
    pub content: Content,
    /// Who holds it.
    pub attachment: Option<Attachment>,
}

impl Volume {
    /// The name people and drivers use: the `Name` tag, or else the id.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.as_str())
    }

    /// True when `name` means this volume: its id or its `Name` tag, spelled exactly so.
    pub fn answers_to(&self, name: &str) -> bool {
        self.id.as_str() == name || self.name.as_deref() == Some(name)
    }
}

/// Checks a `Name` tag: 1 to 255 characters, none of them a control character, and not what an id looks like.
///
/// # Errors
/// [`StorageError::InvalidParameter`] with the rule that was broken.
pub fn check_name(name: &str) -> Result<(), StorageError> {
    let wrong = if name.is_empty() {
        "a volume's name must not be empty".to_owned()
    } else if name.chars().count() > MAX_NAME {
        format!("a volume's name has at most {MAX_NAME} characters")
    } else if name.chars().any(char::is_control) {
        "a volume's name must not contain control characters".to_owned()
    } else if name.starts_with("vol-") {
        format!("a volume's name must not look like an id: '{name}'")
    } else {
        return Ok(());
    };
    Err(StorageError::InvalidParameter(wrong))
}

/// Checks a size in GiB.
///
/// # Errors
/// [`StorageError::InvalidParameter`] with the accepted range.
pub fn check_size(size_gib: u64) -> Result<(), StorageError> {
    if (1..=MAX_SIZE_GIB).contains(&size_gib) {
        return Ok(());
    }
    Err(StorageError::InvalidParameter(format!(
        "volume size {size_gib} GiB is not between 1 and {MAX_SIZE_GIB}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_vol_and_seventeen_hex_digits() {
        let id = VolumeId::random();
        let digits = id.as_str().strip_prefix("vol-").unwrap();
        assert_eq!(digits.len(), 17);
        assert!(digits.chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(id, VolumeId::random());
    }

    #[test]
    fn a_name_that_looks_like_an_id_is_refused() {
        assert!(check_name("vol-0123456789abcdef0").is_err());
        assert!(check_name("").is_err());
        assert!(check_name("a\nb").is_err());
        assert!(check_name("../../evil name/with slashes").is_ok());
    }
}
