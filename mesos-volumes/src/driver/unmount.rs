//! `driver unmount`: a volume off this host.

use std::io;
use std::path::Path;

use isolator::records::{Survey, Surveyed};
use isolator::{MountIdentity, VolumeKey, mounted_after_unmount, user_in_another_namespace, volume_mounted_at};
use rustix::mount::{UnmountFlags, unmount};
use serde_json::json;
use volume_driver_client::{Driver, ErrorKind, MountId, UnmountWhenNotMounted};

use crate::failure::Failure;
use crate::print::{Said, plain};
use crate::unrecorded::Known;

pub(super) fn run(driver: &Driver, name: &str, id: &MountId) -> Result<Said, Failure> {
    driver.unmount(name, id)?;
    Ok(said(name, id, String::new()))
}

/// A volume that was mounted under an id that is lost, as after the state folder was
/// lost.
///
/// Drivers that ignore the id (REX-Ray) unmount and detach it on the first call. Others (rclone)
/// refuse another id: then it is unmounted by hand, and the driver is called again, since it may
/// have to detach a device.
pub(super) fn unrecorded(driver: &Driver, name: &str, id: &MountId, state_dir: &Path) -> Result<Said, Failure> {
    let no_table = |error: io::Error| Failure::Refused(format!("cannot read the mount table: {error}"));
    let mountpoint = driver.path(name)?;
    let folder_in_mount = driver.profile().folder_in_mount.as_deref();
    let seen = match &mountpoint {
        Some(mountpoint) => volume_mounted_at(mountpoint, folder_in_mount).map_err(no_table)?,
        None => None,
    };
    let (Some(mountpoint), Some(mount)) = (mountpoint, seen) else {
        return Err(Failure::Unknown(format!(
            "volume '{name}' of driver '{}' is not mounted on this host",
            driver.name()
        )));
    };
    let volume = VolumeKey::new(driver.name(), name);
    refuse_recorded(&volume, &mountpoint, &mount, state_dir)?;
    if let Some(user) = user_in_another_namespace(&mount) {
        return Err(Failure::Refused(format!(
            "{user} uses volume '{name}' in a container: end the container first, or it would lose the volume while it runs"
        )));
    }
    let first = ask(driver, name, id)?;
    if !mounted_after_unmount(&mount).map_err(no_table)? {
        return Ok(said(name, id, String::new()));
    }
    // The unmount is not lazy: a mount that is busy is in use.
    unmount(&mount.target, UnmountFlags::NOFOLLOW).map_err(|error| {
        let target = mount.target.display();
        Failure::Refused(format!(
            "the driver does not unmount volume '{name}' ({}), and {mount} cannot be unmounted directly: {error}; see which process uses it \
             with 'fuser -vm {target}'",
            first.as_deref().unwrap_or("though it says that it did")
        ))
    })?;
    let mut text = format!(
        "the driver keeps the volume mounted ({}), so {} was unmounted by hand; a driver that counts its users may need a restart \
         before it mounts the volume again",
        first.as_deref().unwrap_or("though it says that it did"),
        mount.target.display()
    );
    let breaks_its_count = driver.profile().unmount_when_not_mounted == UnmountWhenNotMounted::Poisons;
    if !breaks_its_count
        && let Some(refusal) = ask(driver, name, id)?
        && mount.has_block_device()
    {
        text += &format!(", and {} may still be attached: {refusal}", mount.source);
    }
    if mounted_after_unmount(&mount).map_err(no_table)? {
        return Err(Failure::Refused(format!(
            "{text}; {mount} is mounted once more at the same place: repeat the command"
        )));
    }
    Ok(said(name, id, plain(&text) + "\n"))
}

/// Sends an Unmount, and returns the words of a driver that refuses it.
fn ask(driver: &Driver, name: &str, id: &MountId) -> Result<Option<String>, Failure> {
    match driver.unmount(name, id) {
        Ok(()) => Ok(None),
        Err(error) => match error.kind() {
            ErrorKind::NotMounted | ErrorKind::NotFound | ErrorKind::Rejected => Ok(Some(error.to_string())),
            _ => Err(error.into()),
        },
    }
}

/// The agent unmounts what its records name.
fn refuse_recorded(volume: &VolumeKey, at: &Path, mount: &MountIdentity, state_dir: &Path) -> Result<(), Failure> {
    let survey = Survey::take(state_dir)?;
    if let Some(unreadable) = survey.unreadable.first() {
        return Err(Failure::Refused(format!(
            "{} cannot be read ({}), and may be the record of the volume: start the agent, which moves it to the quarantine",
            unreadable.file.display(),
            unreadable.reason
        )));
    }
    let names_it = |surveyed: &&Surveyed| {
        let known = Known::in_records(std::slice::from_ref(*surveyed));
        known.iter().any(|known| known.is_at(volume, at, mount))
    };
    match survey.records.iter().find(names_it) {
        Some(surveyed) => Err(Failure::Refused(format!(
            "the record of container {} names {volume}: the agent unmounts the volume when the container has ended",
            surveyed.record.container
        ))),
        None => Ok(()),
    }
}

fn said(name: &str, id: &MountId, text: String) -> Said {
    Said {
        json: json!({ "name": name, "id": id.as_str(), "unmounted": true }),
        text,
    }
}
