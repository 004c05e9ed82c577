//! The thread that looks after mounted volumes: gone from the mount table, dead (a FUSE or NFS server that went away, a
//! device with errors), or turned read-only by the kernel.
//!
//! Asking a dead mountpoint can hang for good, so one thread does nothing else; while it hangs there is no news, and
//! nobody waits for any.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use super::engine::Message;
use super::mount_table::MountTable;
use crate::types::VolumeKey;

/// A mounted volume to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patient {
    pub(crate) volume: VolumeKey,
    pub(crate) mountpoint: PathBuf,
    /// Its mountpoint is a plain directory that no mount table shows.
    pub(crate) directory_backed: bool,
}

/// What is wrong with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) volume: VolumeKey,
    pub(crate) mountpoint: PathBuf,
    pub(crate) problem: String,
}

/// Makes its round whenever it is given patients, until nobody can give it any more.
pub(crate) fn run(rounds: &Receiver<Vec<Patient>>, outbox: &Sender<Message>) {
    // Whether a volume could be written when it was first seen: one that came read-only did not turn so.
    let mut writable: BTreeMap<(VolumeKey, PathBuf), bool> = BTreeMap::new();
    for patients in rounds {
        writable.retain(|(volume, path), _| patients.iter().any(|p| p.volume == *volume && p.mountpoint == *path));
        let Ok(table) = MountTable::read() else {
            // Without the table there is no news; the next round tries again.
            continue;
        };
        for patient in patients {
            let known = writable
                .entry((patient.volume.clone(), patient.mountpoint.clone()))
                .or_default();
            if let Err(problem) = examine(&patient, &table, known) {
                let Patient { volume, mountpoint, .. } = patient;
                let finding = Finding {
                    volume,
                    mountpoint,
                    problem,
                };
                // The engine stops listening only when the agent goes away.
                let _ = outbox.send(Message::Finding(finding));
            }
        }
    }
}

fn examine(patient: &Patient, table: &MountTable, was_writable: &mut bool) -> Result<(), String> {
    let path = patient.mountpoint.display();
    if !patient.directory_backed && table.covering(&patient.mountpoint).is_none() {
        return Err(format!("its mount at {path} disappeared"));
    }
    let writable = read_write(&patient.mountpoint).map_err(|error| match error {
        Errno::NOTCONN | Errno::STALE => format!("its mount at {path} is dead: {error}"),
        _ => format!("its mount at {path} fails: {error}"),
    })?;
    if std::mem::replace(was_writable, writable) && !writable {
        return Err(format!("its file system at {path} turned read-only"));
    }
    Ok(())
}

fn read_write(mountpoint: &Path) -> Result<bool, Errno> {
    match statvfs(mountpoint) {
        Ok(file_system) => Ok(!file_system.f_flag.contains(StatVfsMountFlags::RDONLY)),
        // Another process was in the way; that says nothing of the volume.
        Err(Errno::INTR | Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(mountpoint: &str, directory_backed: bool) -> Patient {
        Patient {
            volume: VolumeKey::new("driver", "v"),
            mountpoint: mountpoint.into(),
            directory_backed,
        }
    }

    #[test]
    fn a_mounted_folder_is_healthy() {
        let table = MountTable::read().unwrap();
        assert_eq!(examine(&patient("/proc", false), &table, &mut true), Ok(()));
    }

    #[test]
    fn a_folder_without_a_mount_has_lost_its_volume() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let table = MountTable::read().unwrap();
        let path = folder.path().to_str().unwrap();
        assert!(
            examine(&patient(path, false), &table, &mut true)
                .unwrap_err()
                .contains("disappeared")
        );
        assert_eq!(examine(&patient(path, true), &table, &mut true), Ok(()));
    }

    #[test]
    fn a_missing_folder_is_told_in_the_kernels_words() {
        let table = MountTable::read().unwrap();
        let problem = examine(&patient("/nonexistent/volume", true), &table, &mut true).unwrap_err();
        assert!(problem.contains("No such file or directory"), "{problem}");
    }

    #[test]
    fn only_what_was_writable_can_turn_read_only() {
        let table = MountTable::read().unwrap();
        let sysfs = patient("/sys", false);
        let mut known = read_write(Path::new("/sys")).unwrap();
        assert_eq!(examine(&sysfs, &table, &mut known), Ok(()));
    }
}
