//! One call for a volume, from what the ledger asks for to an outcome that it can act on. It runs
//! on one of the driver's own workers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tracing::warn;
use volume_driver_client::{Code, CreatePolicy, Driver, Drivers, Error, ErrorKind, MountId, UnmountWhenNotMounted};
use volume_labels::Lifetime;

use super::crash_point::crash_point;
use crate::ephemeral;
use crate::error::Problem;
use crate::health::baseline::{Baseline, Baselines};
use crate::health::dead_mount;
use crate::host::binding::{Source, SourceError};
use crate::host::mount_bases;
use crate::host::mount_table::{Mount, MountTable};
use crate::host::owner::{self, OwnerError};
use crate::host::proof::{Place, Proof, Unproven, user_in_another_namespace};
use crate::ledger::{CreateOutcome, MountOutcome, MountSpec, RemoveOutcome, UnmountOutcome};
use crate::mountpoint::{MountIdentity, Mountpoint};
use crate::types::VolumeKey;

/// Why a Mount that the driver reports as successful is not accepted. An Unmount follows.
#[derive(Debug, thiserror::Error)]
enum NotAccepted {
    #[error(transparent)]
    Unproven(#[from] Unproven),
    #[error(
        "the driver says that it is mounted at {}, where volume {other} of another driver is mounted: let each driver have a folder of \
         its own, or name the volume by one driver everywhere",
        .path.display()
    )]
    OtherDriversVolume { path: PathBuf, other: VolumeKey },
    /// The driver mounts once, and every volume is a folder of that mount.
    #[error(
        "the driver says that it is mounted at {}, where this agent sees no mount but {mount}, which volume {other} lies on as well: \
         name the driver in the module parameter directory_backed_drivers, if its volumes are folders of one mount",
        .mountpoint.display()
    )]
    OneMountForAll {
        mountpoint: PathBuf,
        mount: Box<MountIdentity>,
        other: VolumeKey,
    },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

/// What a call needs to know about the volume.
pub(super) struct Call<'a> {
    pub(super) drivers: &'a Drivers,
    pub(super) volume: &'a VolumeKey,
    /// The operator says that this driver's volumes are plain directories.
    pub(super) directory_backed: bool,
    pub(super) baselines: &'a Baselines,
    /// The agent's own folders, which no volume is in.
    pub(super) agents_folders: &'a [PathBuf],
    /// The folder inside its mounts that the driver answers to Mount, from its profile.
    pub(super) folder_in_mount: Option<&'a str>,
}

impl Call<'_> {
    /// Mounts, or adopts what is still mounted at `adopt`.
    pub(super) fn mount(&self, mount_id: &MountId, spec: &MountSpec, adopt: Option<&Mountpoint>) -> MountOutcome {
        if let Some(at) = adopt {
            if self.directory_backed {
                return self.mounted_folder(at.path.clone());
            }
            // A dead mount is nothing to take over, and would be in the way of a new one.
            dead_mount::take_away(&self.place(&at.path), at);
            if let Some(mount) = self.place(&at.path).usable_still(at) {
                self.baselines.set(self.volume, Baseline::of(&mount, &at.path));
                return mounted(&at.path, &mount);
            }
        }
        let driver = match self.drivers.driver(&self.volume.driver) {
            Ok(driver) => driver,
            Err(error) => return MountOutcome::Failed(error.into()),
        };
        // What was made for the container is there, and is not made a second time.
        if spec.lifetime == Lifetime::Persistent
            && let Err(error) = self.ensure(&driver, spec)
        {
            let is_missing = error.kind() == ErrorKind::NotFound;
            let problem = Problem::from(error);
            return MountOutcome::Failed(match &spec.creation_denied {
                Some(reason) if is_missing => problem.reworded(|words| format!("{words}, and {reason}")),
                _ => problem,
            });
        }
        // Mounts that exist before the call are not taken for the one that the call makes.
        let before = match MountTable::read() {
            Ok(table) => table,
            Err(error) => {
                let words = format!(
                    "cannot read the mount table, so that the module could not see whether the volume is mounted: {error}"
                );
                return MountOutcome::Failed(words.into());
            }
        };
        crash_point("mount-begin");
        let answer = driver.mount(&self.volume.name, mount_id);
        crash_point("mount-end");
        match answer {
            Ok(mountpoint) => self.accept(mountpoint, spec, &before),
            Err(error) => self.refused(&driver, &error, spec, &before),
        }
    }

    /// Creates a volume for a container, whose name only we make up ([`ephemeral`]). What is there
    /// already is not touched.
    pub(super) fn create(&self, options: &BTreeMap<String, String>) -> CreateOutcome {
        let driver = match self.drivers.driver(&self.volume.driver) {
            Ok(driver) => driver,
            Err(error) => return CreateOutcome::Failed(error.into()),
        };
        let name = self.volume.name.as_str();
        for name in ephemeral::spelled(name).into_iter().chain([name]) {
            match driver.get(name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return CreateOutcome::Failed(
                        Problem::from(&error).reworded(|words| format!("cannot tell whether it exists: {words}")),
                    );
                }
                Ok(_) => {
                    let words = format!(
                        "volume '{name}' exists, and lifetime=container is for volumes that do not: name another one, or remove \
                         the label 'lifetime' to have the volume that exists"
                    );
                    return CreateOutcome::Failed(Problem::new(Code::Invalid, words));
                }
            }
        }
        crash_point("create-begin");
        let answer = driver.create(name, options);
        crash_point("create-end");
        match answer {
            Ok(()) => match driver.created(name) {
                Ok(()) => CreateOutcome::Created,
                Err(error) => CreateOutcome::Refused(error.into()),
            },
            Err(error) => match error.kind() {
                ErrorKind::Uncertain => CreateOutcome::Uncertain(error.into()),
                ErrorKind::AlreadyExists
                | ErrorKind::Unreachable
                | ErrorKind::NotInstalled
                | ErrorKind::Misconfigured
                | ErrorKind::UnsupportedName
                | ErrorKind::Unsupported => CreateOutcome::Failed(error.into()),
                _ => CreateOutcome::Refused(error.into()),
            },
        }
    }

    /// Removes a volume that was made for a container, once. The driver's word is not enough either
    /// way: REX-Ray with `remove.disable` says that it did and did not, and finds nothing to remove
    /// while another host holds the volume.
    pub(super) fn remove(&self) -> RemoveOutcome {
        let driver = match self.drivers.driver(&self.volume.driver) {
            Ok(driver) => driver,
            Err(error) => return RemoveOutcome::NotSent(error.into()),
        };
        let name = &self.volume.name;
        crash_point("remove-begin");
        let answer = driver.remove(name);
        crash_point("remove-end");
        match answer {
            Ok(()) if driver.get(name).is_ok() => {
                RemoveOutcome::Failed(format!("the driver says that it removed '{name}', and still has it").into())
            }
            Ok(()) => RemoveOutcome::Removed,
            Err(error) => match error.kind() {
                ErrorKind::NotFound => match driver.get(name) {
                    Err(missing) if missing.kind() == ErrorKind::NotFound => RemoveOutcome::Missing,
                    Err(unknown) => RemoveOutcome::Failed(
                        Problem::from(&unknown).reworded(|unknown| format!("{error}; then {unknown}")),
                    ),
                    Ok(_) => RemoveOutcome::Failed(format!("{error}, and yet the driver knows the volume").into()),
                },
                ErrorKind::Unreachable | ErrorKind::NotInstalled | ErrorKind::Misconfigured => {
                    RemoveOutcome::NotSent(error.into())
                }
                ErrorKind::Uncertain => RemoveOutcome::Uncertain(error.into()),
                ErrorKind::Busy if driver.profile().unmount_after_failed_mount_is_safe => {
                    RemoveOutcome::InUse(error.into())
                }
                _ => RemoveOutcome::Failed(error.into()),
            },
        }
    }

    /// Get first, Create only when allowed and on a positive not-found. A driver without Get is
    /// simply asked to mount.
    fn ensure(&self, driver: &Driver, spec: &MountSpec) -> Result<(), Error> {
        let policy = match &spec.create {
            Some(options) => CreatePolicy::IfMissing(options.clone()),
            None => CreatePolicy::Never,
        };
        match driver.ensure(&self.volume.name, &policy) {
            Err(error) if error.kind() == ErrorKind::Unsupported && spec.create.is_none() => Ok(()),
            other => other.map(drop),
        }
    }

    fn refused(&self, driver: &Driver, error: &Error, spec: &MountSpec, before: &MountTable) -> MountOutcome {
        match error.kind() {
            // Our constant id holds it already: an earlier life of this agent mounted it.
            ErrorKind::AlreadyMounted => match driver.path(&self.volume.name) {
                Ok(Some(mountpoint)) => self.accept(mountpoint, spec, before),
                Ok(None) => MountOutcome::Uncertain(format!("{error}, but the driver gives no path").into()),
                Err(path_error) => MountOutcome::Uncertain(format!("{error}; then {path_error}").into()),
            },
            ErrorKind::Uncertain => MountOutcome::Uncertain(error.into()),
            ErrorKind::AttachedElsewhere => MountOutcome::AttachedElsewhere(error.into()),
            // A driver that shows the volume and then does not find it cannot attach it here
            // (REX-Ray filters out volumes that another host holds, or that lie in another zone).
            ErrorKind::NotFound if spec.lifetime == Lifetime::Persistent => MountOutcome::AttachedElsewhere(
                format!(
                    "{error} (the driver knows the volume, so it is likely attached to another host or in another zone)"
                )
                .into(),
            ),
            ErrorKind::Unreachable
            | ErrorKind::NotInstalled
            | ErrorKind::Misconfigured
            | ErrorKind::UnsupportedName
            | ErrorKind::Unsupported => MountOutcome::Failed(error.into()),
            // REX-Ray attaches a volume, finds that its file system is broken, and refuses: the
            // attachment stays.
            _ if driver.profile().unmount_after_failed_mount_is_safe => MountOutcome::Refused(error.into()),
            _ => MountOutcome::Failed(error.into()),
        }
    }

    /// A Mount that answered well still has to be seen in the agent's own mount table: a driver in
    /// a mount namespace of its own reports success while the agent sees an empty folder.
    fn accept(&self, mountpoint: PathBuf, spec: &MountSpec, before: &MountTable) -> MountOutcome {
        let proven = if self.directory_backed {
            self.check_is_no_other_volumes(&mountpoint, around(&mountpoint).as_ref())
                .map(|()| (mountpoint, None))
        } else {
            self.proven(&mountpoint, before)
                .map(|proof| (proof.path, Some(proof.mount)))
        };
        let owned = proven.and_then(|(path, mount)| -> Result<_, NotAccepted> {
            let folder =
                Source::of(&path, self.directory_backed, self.agents_folders).and_then(|source| source.open())?;
            if let Some(owner) = &spec.owner {
                owner::give(&folder, &path, owner)?;
            }
            Ok((path, mount))
        });
        match owned {
            Ok((path, Some(mount))) => mounted(&path, &mount),
            Ok((path, None)) => self.mounted_folder(path),
            Err(error) => MountOutcome::Uncertain(error.to_string().into()),
        }
    }

    /// The mount that shows the volume. It becomes the volume's baseline.
    fn proven(&self, mountpoint: &Path, before: &MountTable) -> Result<Proof, NotAccepted> {
        let proof = self.place(mountpoint).proof_of_mount(before)?;
        let mount = &proof.mount;
        self.check_is_no_other_volumes(&proof.path, Some(&mount.identity()))?;
        let baseline = Baseline::of(mount, &proof.path);
        if proof.is_at_its_place {
            self.baselines.set(self.volume, baseline);
        } else {
            let set = self.baselines.set_if_its_own(self.volume, baseline);
            set.map_err(|other| NotAccepted::OneMountForAll {
                mountpoint: mountpoint.to_owned(),
                mount: Box::new(mount.identity()),
                other,
            })?;
        }
        if mount.peer_group.is_none() {
            mount_bases::warn_of_private(&mount.mountpoint);
        }
        Ok(proof)
    }

    /// Checks that no volume of another driver is mounted there. The driver of a volume may show it
    /// under other names as well. If another driver did, containers that may have that driver's
    /// volumes would get this one.
    ///
    /// # Errors
    /// When another driver's volume is mounted there.
    fn check_is_no_other_volumes(&self, path: &Path, mount: Option<&MountIdentity>) -> Result<(), NotAccepted> {
        let others = self.baselines.others_at(self.volume, path, mount);
        match others.into_iter().find(|other| self.is_of_another_driver(other)) {
            None => Ok(()),
            Some(other) => Err(NotAccepted::OtherDriversVolume {
                path: path.to_owned(),
                other,
            }),
        }
    }

    fn is_of_another_driver(&self, other: &VolumeKey) -> bool {
        let listener = |name: &str| {
            self.drivers
                .driver(name)
                .ok()
                .map(|driver| driver.endpoint().listener())
        };
        other.driver != self.volume.driver
            && match (listener(&other.driver), listener(&self.volume.driver)) {
                (Some(one), Some(another)) => one != another,
                // A driver that is not there now is not known to be this one.
                _ => true,
            }
    }

    fn mounted_folder(&self, mountpoint: PathBuf) -> MountOutcome {
        self.baselines.forget(self.volume);
        MountOutcome::Mounted(mountpoint.into())
    }

    fn place<'a>(&'a self, mountpoint: &'a Path) -> Place<'a> {
        Place {
            mountpoint,
            folder_in_mount: self.folder_in_mount,
        }
    }

    /// Unmounts, once, and looks whether the volume is unmounted then. When the driver
    /// `was_confirmed` to have unmounted it, the look comes first.
    pub(super) fn unmount(
        &self,
        mount_id: &MountId,
        mountpoint: Option<&Mountpoint>,
        was_confirmed: bool,
        is_place_known: bool,
        is_last: bool,
    ) -> UnmountOutcome {
        let outcome = self.ask_to_unmount(mount_id, mountpoint, was_confirmed, is_place_known, is_last);
        if matches!(outcome, UnmountOutcome::Unmounted) {
            self.baselines.forget(self.volume);
        }
        outcome
    }

    fn ask_to_unmount(
        &self,
        mount_id: &MountId,
        at: Option<&Mountpoint>,
        was_confirmed: bool,
        is_place_known: bool,
        is_last: bool,
    ) -> UnmountOutcome {
        let driver = match self.drivers.driver(&self.volume.driver) {
            Ok(driver) => driver,
            Err(error) => return UnmountOutcome::NotSent(error.into()),
        };
        // The Mount had no usable answer, or was before the host booted. What is mounted at the
        // volume's place may have been mounted under another of its names, for containers that rely
        // on it.
        if !is_place_known
            && let Ok(Some(place)) = driver.path(&self.volume.name)
            && (self.directory_backed
                || self
                    .place(&place)
                    .mounted_still(&Mountpoint::from(place.clone()))
                    .is_ok_and(|mount| mount.is_some()))
        {
            return UnmountOutcome::Found(place.into());
        }
        // The mount table does not show a plain directory.
        let at = at.filter(|_| !self.directory_backed);
        let poisons = driver.profile().unmount_when_not_mounted == UnmountWhenNotMounted::Poisons;
        if let Some(at) = at
            && (poisons || was_confirmed)
        {
            match self.place(&at.path).mounted_still(at) {
                Ok(None) => return UnmountOutcome::Unmounted,
                Ok(Some(mount)) if was_confirmed => {
                    if let Some(user) = user_in_another_namespace(&mount.identity()) {
                        return UnmountOutcome::Unproven(format!(
                            "the driver says that it is unmounted, and {} is still mounted, because {user} uses it: it is \
                             looked at again, and settled when that has ended",
                            mount.identity()
                        ).into());
                    }
                    // The first Unmount was counted, so another one counts for whoever else has the volume.
                    if poisons {
                        return UnmountOutcome::Unproven(format!(
                            "the driver says that it is unmounted, and {} is still mounted: no other Unmount is sent, because \
                             the driver counts its users and another client (Docker, another agent) may have the volume; it is \
                             looked at again, and settled when that client unmounts it or somebody unmounts it by hand",
                            mount.identity()
                        ).into());
                    }
                }
                Ok(Some(_)) => {}
                // It is not known whether there is anything to unmount.
                Err(error) => return UnmountOutcome::NotSent(format!("cannot read the mount table: {error}").into()),
            }
        }
        crash_point("unmount-begin");
        let answer = driver.unmount(&self.volume.name, mount_id);
        crash_point("unmount-end");
        match answer {
            Ok(()) => self.confirmed(at.filter(|_| is_last), "the driver says that it is unmounted"),
            Err(error) => match error.kind() {
                ErrorKind::NotMounted | ErrorKind::NotFound => {
                    warn!(volume = %self.volume, %error, "nothing was mounted any more");
                    if let Some(at) = at {
                        dead_mount::take_away(&self.place(&at.path), at);
                    }
                    self.confirmed(at.filter(|_| is_last), &error.to_string())
                }
                ErrorKind::Unreachable | ErrorKind::NotInstalled | ErrorKind::Misconfigured => {
                    UnmountOutcome::NotSent(error.into())
                }
                ErrorKind::Uncertain => UnmountOutcome::Uncertain(error.into()),
                // A device that is busy is attached, and a later Unmount detaches it.
                kind if kind != ErrorKind::Busy && self.is_certainly_not_mounted(&driver, at) => {
                    UnmountOutcome::NothingMounted(error.into())
                }
                _ => UnmountOutcome::Failed(
                    Problem::from(&error).reworded(|words| format!("{words}{}", private_hint(at.map(AsRef::as_ref)))),
                ),
            },
        }
    }

    /// The driver says that nothing is mounted any more; the mount table has the last word, if it
    /// is known what to look for, and the volume is not mounted under another of its names as well.
    fn confirmed(&self, at: Option<&Mountpoint>, reason: &str) -> UnmountOutcome {
        let Some(at) = at else {
            return UnmountOutcome::Unmounted;
        };
        match self.place(&at.path).mounted_after_unmount(at) {
            Ok(None) => UnmountOutcome::Unmounted,
            Ok(Some(mount)) => UnmountOutcome::Unproven(format!(
                "{reason}, and {} is still mounted: see which other client of the driver uses the volume (Docker, another agent), \
                 or unmount it by hand",
                mount.identity()
            ).into()),
            Err(error) => UnmountOutcome::Unproven(format!(
                "{reason}, but whether it is cannot be seen, because the mount table cannot be read: {error}"
            ).into()),
        }
    }

    /// Whether nothing of the volume is left: no mount where it was, or where the driver says that
    /// it would be, and no block device that it was on. Says nothing of plain directories, nor when
    /// the table cannot be read.
    fn is_certainly_not_mounted(&self, driver: &Driver, at: Option<&Mountpoint>) -> bool {
        if self.directory_backed {
            return false;
        }
        let asked;
        let at = match at {
            Some(at) => at,
            None => match driver.path(&self.volume.name) {
                Ok(Some(path)) => {
                    asked = Mountpoint::from(path);
                    &asked
                }
                Ok(None) => return true,
                Err(_) => return false,
            },
        };
        // What is attached stays attached when it is forgotten.
        let is_attached = |mount: &MountIdentity| mount.has_block_device() && has_device(&mount.device);
        !at.mount.as_ref().is_some_and(is_attached) && matches!(self.place(&at.path).mounted_still(at), Ok(None))
    }
}

/// Whether the host has a block device of these numbers, as in `8:16`, with something on it: a loop
/// device without a file stays, and has no size.
fn has_device(numbers: &str) -> bool {
    let size = fs::read_to_string(Path::new("/sys/dev/block").join(numbers).join("size"));
    size.is_ok_and(|sectors| sectors.trim() != "0")
}

fn mounted(path: &Path, mount: &Mount) -> MountOutcome {
    MountOutcome::Mounted(Mountpoint {
        path: path.to_owned(),
        mount: Some(mount.identity()),
    })
}

/// The mount that a folder lies on, other than the host's root file system.
fn around(folder: &Path) -> Option<MountIdentity> {
    let folder = folder.canonicalize().ok()?;
    MountTable::read_for(&folder)
        .ok()?
        .nearest(&folder)
        .map(Mount::identity)
}

/// What an operator can do about a device that stays busy after its last container.
fn private_hint(mountpoint: Option<&Path>) -> &'static str {
    // A driver that unmounts and then cannot detach leaves no mount to look at: the copies that
    // keep it busy are elsewhere.
    let may_be_copied = |path: &Path| {
        MountTable::read_for(path).map_or(true, |table| table.covering(path).is_none() || table.is_private(path))
    };
    match mountpoint.map(may_be_copied) {
        Some(true) => {
            " (if the device is busy: another container may keep a copy of its mount, see the module parameter mount_bases)"
        }
        _ => "",
    }
}
