//! One call for a volume, from the ledger's wish to an outcome it can act on. Runs on a driver's own worker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tracing::warn;
use volume_driver_client::{Code, CreatePolicy, Driver, Drivers, Error, ErrorKind, MountId, UnmountWhenNotMounted};
use volume_labels::Lifetime;

use super::baseline::{Baseline, Baselines};
use super::binding::Source;
use super::crash_point::crash_point;
use super::dead_mount;
use super::mount_bases;
use super::mount_table::MountTable;
use super::owner;
use crate::error::Problem;
use crate::ledger::{CreateOutcome, MountOutcome, MountSpec, RemoveOutcome, UnmountOutcome};
use crate::made_for;
use crate::mountpoint::Mountpoint;
use crate::types::VolumeKey;

/// What a call needs to know of the volume.
pub(super) struct Call<'a> {
    pub(super) drivers: &'a Drivers,
    pub(super) volume: &'a VolumeKey,
    /// The operator says that this driver's volumes are plain directories.
    pub(super) directory_backed: bool,
    pub(super) baselines: &'a Baselines,
    /// The agent's own folders, which no volume is in.
    pub(super) agents_folders: &'a [PathBuf],
}

impl Call<'_> {
    /// Mounts, or adopts what is still mounted at `adopt`.
    pub(super) fn mount(&self, mount_id: &MountId, spec: &MountSpec, adopt: Option<&Mountpoint>) -> MountOutcome {
        if let Some(Mountpoint { path: mountpoint, .. }) = adopt {
            // A dead mount is nothing to take over, and would be in the way of a new one.
            if !self.directory_backed {
                dead_mount::take_away(mountpoint);
            }
            if let Ok(baseline) = self.check(mountpoint) {
                return self.mounted(mountpoint.to_owned(), baseline);
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
        crash_point("mount-begin");
        let answer = driver.mount(&self.volume.name, mount_id);
        crash_point("mount-end");
        match answer {
            Ok(mountpoint) => self.accept(mountpoint, spec),
            Err(error) => self.refused(&driver, &error, spec),
        }
    }

    /// Creates a volume for a container, whose name only we make up ([`made_for`]). What is there already is not touched.
    pub(super) fn create(&self, options: &BTreeMap<String, String>) -> CreateOutcome {
        let driver = match self.drivers.driver(&self.volume.driver) {
            Ok(driver) => driver,
            Err(error) => return CreateOutcome::Failed(error.into()),
        };
        let name = self.volume.name.as_str();
        for name in made_for::spelled(name).into_iter().chain([name]) {
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

    /// Removes a volume that was made for a container, once. The driver's word is not enough either way: REX-Ray with
    /// `remove.disable` says that it did and did not, and finds nothing to remove while another host holds the volume.
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

    /// Get first, Create only when allowed and on a positive not-found. A driver without Get is simply asked to mount.
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

    fn refused(&self, driver: &Driver, error: &Error, spec: &MountSpec) -> MountOutcome {
        match error.kind() {
            // Our constant id holds it already: an earlier life of this agent mounted it.
            ErrorKind::AlreadyMounted => match driver.path(&self.volume.name) {
                Ok(Some(mountpoint)) => self.accept(mountpoint, spec),
                Ok(None) => MountOutcome::Uncertain(format!("{error}, but the driver tells no path").into()),
                Err(path_error) => MountOutcome::Uncertain(format!("{error}; then {path_error}").into()),
            },
            ErrorKind::Uncertain => MountOutcome::Uncertain(error.into()),
            ErrorKind::AttachedElsewhere => MountOutcome::Elsewhere(error.into()),
            // A driver that shows the volume and then does not find it cannot attach it here (REX-Ray filters out
            // volumes that another host holds, or that lie in another zone).
            ErrorKind::NotFound if spec.lifetime == Lifetime::Persistent => MountOutcome::Elsewhere(
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
            // REX-Ray attaches a volume, finds that its file system is broken, and refuses: the attachment stays.
            _ if driver.profile().unmount_after_failed_mount_is_safe => MountOutcome::Refused(error.into()),
            _ => MountOutcome::Failed(error.into()),
        }
    }

    /// A Mount that answered well still has to be seen in the agent's own mount table: a driver in a mount namespace of
    /// its own reports success while the agent sees an empty folder.
    fn accept(&self, mountpoint: PathBuf, spec: &MountSpec) -> MountOutcome {
        let checked = self.check(&mountpoint).and_then(|baseline| {
            let source = Source::of(&mountpoint, self.directory_backed, self.agents_folders);
            let folder = source
                .and_then(|source| source.open())
                .map_err(|problem| problem.to_string())?;
            if let Some(owner) = &spec.owner {
                owner::give(&folder, &mountpoint, owner)?;
            }
            Ok(baseline)
        });
        match checked {
            Ok(baseline) => self.mounted(mountpoint, baseline),
            Err(problem) => MountOutcome::Uncertain(problem.into()),
        }
    }

    fn mounted(&self, mountpoint: PathBuf, baseline: Option<Baseline>) -> MountOutcome {
        match baseline {
            Some(baseline) => self.baselines.set(self.volume, baseline),
            None => self.baselines.forget(self.volume),
        }
        MountOutcome::Mounted(mountpoint.into())
    }

    /// What the mount is like; nothing of a plain directory.
    fn check(&self, mountpoint: &Path) -> Result<Option<Baseline>, String> {
        if self.directory_backed {
            return Ok(None);
        }
        let table =
            MountTable::read_for(mountpoint).map_err(|error| format!("cannot read the mount table: {error}"))?;
        match table.covering(mountpoint) {
            Some(mount) => {
                if table.is_private(mount) {
                    mount_bases::warn_of_private(mount);
                }
                Ok(Baseline::of(&table, mountpoint, false))
            }
            None => Err(format!(
                "the driver says that it is mounted at {}, where this agent sees no mount: let the driver mount in the \
                 host's mount namespace (or name it in the module parameter directory_backed_drivers)",
                mountpoint.display()
            )),
        }
    }

    /// Whether the agent's mount table shows no mount where the volume was, or where the driver says that it would be. Says
    /// nothing of plain directories, nor when the table cannot be read.
    fn is_certainly_not_mounted(&self, driver: &Driver, mountpoint: Option<&Path>) -> bool {
        let place = match mountpoint {
            Some(mountpoint) => Some(mountpoint.to_owned()),
            None => match driver.path(&self.volume.name) {
                Ok(place) => place,
                Err(_) => return false,
            },
        };
        !self.directory_backed
            && place
                .is_none_or(|place| MountTable::read_for(&place).is_ok_and(|table| table.covering(&place).is_none()))
    }

    /// Unmounts, once.
    pub(super) fn unmount(
        &self,
        mount_id: &MountId,
        mountpoint: Option<&Mountpoint>,
        is_place_known: bool,
    ) -> UnmountOutcome {
        let outcome = self.ask_to_unmount(mount_id, mountpoint.map(AsRef::as_ref), is_place_known);
        if matches!(outcome, UnmountOutcome::Unmounted) {
            self.baselines.forget(self.volume);
        }
        outcome
    }

    fn ask_to_unmount(&self, mount_id: &MountId, mountpoint: Option<&Path>, is_place_known: bool) -> UnmountOutcome {
        let driver = match self.drivers.driver(&self.volume.driver) {
            Ok(driver) => driver,
            Err(error) => return UnmountOutcome::NotSent(error.into()),
        };
        // The Mount had no usable answer, or was before the host booted. What is mounted at the volume's place may have been
        // mounted under another of its names, for containers that rely on it.
        if !is_place_known
            && let Ok(Some(place)) = driver.path(&self.volume.name)
            && (self.directory_backed || self.check(&place).is_ok())
        {
            return UnmountOutcome::Found(place.into());
        }
        let poisons = driver.profile().unmount_when_not_mounted == UnmountWhenNotMounted::Poisons;
        if poisons && !self.directory_backed && mountpoint.is_some_and(|mountpoint| self.check(mountpoint).is_err()) {
            return UnmountOutcome::Unmounted;
        }
        crash_point("unmount-begin");
        let answer = driver.unmount(&self.volume.name, mount_id);
        crash_point("unmount-end");
        match answer {
            Ok(()) => UnmountOutcome::Unmounted,
            Err(error) => match error.kind() {
                ErrorKind::NotMounted | ErrorKind::NotFound => {
                    warn!(volume = %self.volume, %error, "nothing was mounted any more");
                    if let Some(mountpoint) = mountpoint
                        && !self.directory_backed
                    {
                        dead_mount::take_away(mountpoint);
                    }
                    UnmountOutcome::Unmounted
                }
                ErrorKind::Unreachable | ErrorKind::NotInstalled | ErrorKind::Misconfigured => {
                    UnmountOutcome::NotSent(error.into())
                }
                ErrorKind::Uncertain => UnmountOutcome::Uncertain(error.into()),
                // A device that is busy is attached, and a later Unmount detaches it.
                kind if kind != ErrorKind::Busy && self.is_certainly_not_mounted(&driver, mountpoint) => {
                    UnmountOutcome::NothingMounted(error.into())
                }
                _ => UnmountOutcome::Failed(
                    Problem::from(&error).reworded(|words| format!("{words}{}", private_hint(mountpoint))),
                ),
            },
        }
    }
}

/// What an operator can do about a device that stays busy after its last container.
fn private_hint(mountpoint: Option<&Path>) -> &'static str {
    // A driver that unmounts and then cannot detach leaves no mount to look at: the copies that keep it busy are elsewhere.
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
