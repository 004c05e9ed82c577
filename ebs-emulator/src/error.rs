//! What the storage refuses, in the words a driver on EC2 would pass on.

use std::path::PathBuf;

use thiserror::Error;

/// Why the storage did not do what was asked.
///
/// The texts begin with the error code of the EC2 API where it has one (`InvalidVolume.NotFound`, `VolumeInUse`, ...),
/// since that is what drivers such as REX-Ray hand to their clients.
#[derive(Debug, Error)]
pub enum StorageError {
    /// No volume has this id or name.
    #[error("InvalidVolume.NotFound: The volume '{0}' does not exist.")]
    NotFound(String),
    /// Several volumes have this name.
    #[error("the name '{name}' is ambiguous: volumes {} have it; use the id", ids.join(", "))]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// The volumes that have it.
        ids: Vec<String>,
    },
    /// The driver was asked to create a name that exists.
    #[error("volume name already exists: '{0}'")]
    NameExists(String),
    /// Another host, or an instance outside the emulator, holds the volume.
    #[error("VolumeInUse: {volume} is already attached to an instance: {holder} ({instance}) as {device}")]
    AttachedElsewhere {
        /// The volume's id.
        volume: String,
        /// The holder's name.
        holder: String,
        /// The holder's instance id.
        instance: String,
        /// The device name there.
        device: String,
    },
    /// The volume cannot be deleted while somebody holds it.
    #[error("VolumeInUse: Volume {volume} is currently attached to {holder} ({instance})")]
    InUse {
        /// The volume's id.
        volume: String,
        /// The holder's name.
        holder: String,
        /// The holder's instance id.
        instance: String,
    },
    /// The volume lies in another zone than the host.
    #[error(
        "InvalidVolume.ZoneMismatch: The volume '{volume}' is not in the same availability zone as instance \
         '{instance}': the volume is in {volume_zone}, {host} in {host_zone}"
    )]
    WrongZone {
        /// The volume's id.
        volume: String,
        /// The volume's zone.
        volume_zone: String,
        /// The host's name.
        host: String,
        /// The host's instance id.
        instance: String,
        /// The host's zone.
        host_zone: String,
    },
    /// The host has as many volumes as it bears.
    #[error("AttachmentLimitExceeded: host {host} has reached its limit of attached volumes, {limit}")]
    AttachmentLimit {
        /// The host's name.
        host: String,
        /// How many it bears.
        limit: usize,
    },
    /// Unmount of a volume that is not here.
    #[error("volume '{volume}' is not mounted on {host}")]
    NotMounted {
        /// The volume as asked for.
        volume: String,
        /// The host asked.
        host: String,
    },
    /// Unmount with an ID that never mounted it, while others use it.
    #[error("volume '{volume}' is not mounted by this id on {host}: '{id}'")]
    NotMountedByThisId {
        /// The volume as asked for.
        volume: String,
        /// The host asked.
        host: String,
        /// The mount ID of the call.
        id: String,
    },
    /// Detach of a volume nobody holds.
    #[error("IncorrectState: Volume '{0}' is in the 'available' state.")]
    NotAttached(String),
    /// The device cannot be taken away.
    #[error("volume {volume} cannot be detached from {host}: device is busy: {}: {reason}", device.display())]
    DeviceBusy {
        /// The volume's id.
        volume: String,
        /// The host.
        host: String,
        /// The loop device.
        device: PathBuf,
        /// Who may hold it.
        reason: String,
    },
    /// The blocks hold something that must not be overwritten.
    #[error("volume {volume} is not blank and holds no file system to mount ({found}); it was not formatted")]
    NotBlank {
        /// The volume's id.
        volume: String,
        /// What was found.
        found: String,
    },
    /// A parameter out of range or of the wrong form.
    #[error("InvalidParameterValue: {0}")]
    InvalidParameter(String),
    /// A fault that was asked for.
    #[error("{0}")]
    Injected(String),
    /// The driver cannot tell why it finds nothing: REX-Ray's words for a volume that does not exist, lies in another zone, or is
    /// attached to another host.
    #[error("resource not found")]
    ResourceNotFound,
    /// Two attaches chose the same device.
    #[error("volume {0} did not attach: device in use")]
    DeviceCollision(String),
    /// The driver's own time limit passed. It names no cause.
    #[error("Mount: {0}: failed: ")]
    OwnTimeLimit(String),
    /// The driver looks for its mount under another spelling of the path.
    #[error("Unmount: {0}: failed: error unmounting directory: invalid argument")]
    CannotUnmount(String),
    /// A fault reports success although nothing is done.
    #[error("success is reported and nothing is done, as a fault demands")]
    Pretended,
    /// A fault answers a Mount with this path although nothing is done.
    #[error("a Mount is answered with {} and nothing is done, as a fault demands", .0.display())]
    Misled(PathBuf),
    /// A fault closes the connection instead of answering.
    #[error("the connection is closed without an answer, as a fault demands")]
    NoAnswer,
    /// A program (losetup, mkfs.ext4, blkid) failed or could not be run.
    #[error("{command}: {reason}")]
    Command {
        /// The command line.
        command: String,
        /// Its last words, or why it did not start.
        reason: String,
    },
    /// A system call failed.
    #[error("{action}: {source}")]
    Io {
        /// What was being done, with the file it was done to.
        action: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The step failed, and so did undoing what was done before it.
    #[error("{error}; undoing it failed too: {undo}")]
    UndoFailed {
        /// The first failure.
        error: Box<StorageError>,
        /// The second.
        undo: Box<StorageError>,
    },
}

impl StorageError {
    /// This error, joined by the failure of undoing what led to it, if there was one.
    pub(crate) fn undone(self, undone: Result<(), StorageError>) -> StorageError {
        match undone {
            Ok(()) => self,
            Err(undo) => StorageError::UndoFailed {
                error: self.into(),
                undo: undo.into(),
            },
        }
    }

    /// An I/O error with what was being done.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> StorageError {
        let action = action.into();
        move |source| StorageError::Io { action, source }
    }
}
