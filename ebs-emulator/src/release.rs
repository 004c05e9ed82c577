//! Letting go of what an emulator that is no more has left: mounts and loop devices of its images.

use std::path::{Path, PathBuf};

use crate::device;
use crate::error::StorageError;
use crate::filesystem;
use crate::store;

/// What was let go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// The mount points unmounted.
    pub mounts: Vec<PathBuf>,
    /// The loop devices freed.
    pub devices: Vec<PathBuf>,
}

/// Unmounts and frees every loop device whose file lies in `state/volumes`, and unmounts the shared bases of the hosts. Only mounts of this mount namespace are
/// seen. The records are left alone: the next start of an emulator corrects them.
///
/// # Errors
/// The first [`StorageError`]; everything else is let go all the same.
pub fn release(state: &Path) -> Result<Released, StorageError> {
    let mut released = Released::default();
    let mut first_error = None;
    let Ok(state) = state.canonicalize() else {
        return Ok(released);
    };
    let folder = state.join("volumes");
    for (device, image) in device::attached() {
        if !image.starts_with(&folder) {
            continue;
        }
        match release_device(&device, &image, &mut released) {
            Ok(()) => released.devices.push(device),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    for host in store::hosts(&state).into_iter().filter(|host| host.shared) {
        first_error = first_error.or(filesystem::stop_sharing(&host.volumes_dir()).err());
    }
    first_error.map_or(Ok(released), Err)
}

fn release_device(device: &Path, image: &Path, released: &mut Released) -> Result<(), StorageError> {
    // The newest first: mounts may be stacked.
    for point in filesystem::mount_points(device)?.into_iter().rev() {
        filesystem::unmount(&point)?;
        // Here the folder goes first, on purpose: copies of the mount in other mount namespaces go with it.
        filesystem::remove_mount_point(&point)?;
        released.mounts.push(point);
    }
    device::detach(device, image)?.map_err(|reason| StorageError::DeviceBusy {
        volume: image.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        host: "this host".into(),
        device: device.to_owned(),
        reason,
    })
}
