//! Volumes that a driver has mounted on this host and that no record of the agent names. After the
//! state folder was lost or replaced, nothing unmounts them, and no other host can attach them.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use isolator::records::Surveyed;
use isolator::{MountIdentity, VolumeKey, volume_mounted_at};
use serde_json::{Value, json};
use volume_driver_client::{Discovery, Drivers};

/// What a record, or the agent that runs, says of a volume.
pub(crate) struct Known {
    pub(crate) volume: VolumeKey,
    pub(crate) mountpoint: Option<PathBuf>,
}

impl Known {
    pub(crate) fn in_records(records: &[Surveyed]) -> Vec<Known> {
        let volumes = records.iter().flat_map(|surveyed| &surveyed.record.volumes);
        let known = volumes.map(|volume| Known {
            volume: volume.request.volume.clone(),
            mountpoint: volume.state.mountpoint().map(|at| at.path.clone()),
        });
        known.collect()
    }

    /// By name, or by place: one driver can have two names, and some drivers ignore the case of a
    /// volume's name.
    pub(crate) fn is_at(&self, volume: &VolumeKey, mountpoint: &Path, mount: &MountIdentity) -> bool {
        let is_place = |at: &PathBuf| at == mountpoint || at.starts_with(&mount.target);
        self.volume == *volume || self.mountpoint.as_ref().is_some_and(is_place)
    }
}

/// A volume that is mounted.
#[derive(Clone)]
pub(crate) struct Mounted {
    pub(crate) volume: VolumeKey,
    /// The path that the driver answers.
    pub(crate) mountpoint: PathBuf,
    mount: MountIdentity,
    folder_in_mount: Option<String>,
}

/// What the drivers of this host say.
pub(crate) struct Looked {
    mounted: Vec<Mounted>,
    /// Drivers that could not be asked, each with the reason.
    pub(crate) unanswered: Vec<(String, String)>,
}

/// Asks every driver for its volumes, all at the same time and no longer than `limit`, and looks
/// which are mounted. Drivers whose volumes are plain directories are left out, since the mount
/// table says nothing of them.
pub(crate) fn look(drivers: &Drivers, limit: Duration) -> Looked {
    let candidates = drivers.list().into_iter().filter(|candidate| candidate.outcome.is_ok());
    let names: Vec<String> = candidates.map(|candidate| candidate.name).collect();
    let (sender, receiver) = channel();
    for name in &names {
        let (drivers, name, sender) = (drivers.clone(), name.clone(), sender.clone());
        // The thread of a driver that hangs is not waited for, and ends with the process.
        thread::spawn(move || drop(sender.send((name.clone(), mounted_of(&drivers, &name)))));
    }
    drop(sender);
    let deadline = Instant::now() + limit;
    let mut waiting = names;
    let mut mounted = Vec::new();
    let mut unanswered = Vec::new();
    while let Ok((name, answer)) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        waiting.retain(|waiting| *waiting != name);
        match answer {
            Ok(volumes) => mounted.extend(volumes),
            Err(reason) => unanswered.push((name, reason)),
        }
    }
    let silent = waiting.into_iter();
    unanswered.extend(silent.map(|name| (name, format!("no answer within {limit:?}"))));
    Looked { mounted, unanswered }
}

fn mounted_of(drivers: &Drivers, name: &str) -> Result<Vec<Mounted>, String> {
    // The check of drivers, or the first call to it, says why a driver does not answer.
    let Ok(driver) = drivers.driver(name) else {
        return Ok(Vec::new());
    };
    let profile = driver.profile();
    if profile.directory_backed {
        return Ok(Vec::new());
    }
    let is_volume_driver = |kinds: Vec<String>| kinds.iter().any(|kind| kind == "VolumeDriver");
    if !driver.activate().is_ok_and(is_volume_driver) {
        return Ok(Vec::new());
    }
    let mut mounted = Vec::new();
    for volume in driver.list().map_err(|error| error.to_string())? {
        let Some(mountpoint) = volume.mountpoint else { continue };
        let folder_in_mount = profile.folder_in_mount.clone();
        let seen = volume_mounted_at(&mountpoint, folder_in_mount.as_deref());
        if let Some(mount) = seen.map_err(|error| format!("cannot read the mount table: {error}"))? {
            mounted.push(Mounted {
                volume: VolumeKey::new(name, volume.name),
                mountpoint,
                mount,
                folder_in_mount,
            });
        }
    }
    Ok(mounted)
}

impl Looked {
    /// The mounted volumes that no record names. `known` has to be read after the look: a record is
    /// written before its volume is mounted, and removed after the volume is unmounted.
    pub(crate) fn unrecorded(&self, known: &[Known]) -> Vec<Mounted> {
        let is_known = |it: &Mounted| {
            known
                .iter()
                .any(|known| known.is_at(&it.volume, &it.mountpoint, &it.mount))
        };
        let mut unrecorded: Vec<Mounted> = self.mounted.iter().filter(|it| !is_known(it)).cloned().collect();
        unrecorded.retain(Mounted::is_still_mounted);
        // Two names can lead to one driver.
        unrecorded.sort_by(|a, b| (&a.mountpoint, &a.volume).cmp(&(&b.mountpoint, &b.volume)));
        unrecorded.dedup_by(|a, b| a.mountpoint == b.mountpoint);
        unrecorded
    }
}

impl Mounted {
    /// Also when the table cannot be read any more: it could when the volume was seen.
    fn is_still_mounted(&self) -> bool {
        volume_mounted_at(&self.mountpoint, self.folder_in_mount.as_deref()).map_or(true, |mount| mount.is_some())
    }

    /// The command that releases it, as a shell takes it.
    pub(crate) fn command(&self, discovery: &Discovery, state_dir: &Path, drivers_file: Option<&Path>) -> String {
        let mut words = vec!["mesos-volumes".to_owned(), "driver".to_owned(), "unmount".to_owned()];
        let usual = Discovery::default();
        let joined = |folders: &[PathBuf]| {
            let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            folders.join(":")
        };
        if discovery.socket_dirs != usual.socket_dirs {
            words.extend(["--driver-sockets".to_owned(), joined(&discovery.socket_dirs)]);
        }
        if discovery.spec_dirs != usual.spec_dirs {
            words.extend(["--driver-specs".to_owned(), joined(&discovery.spec_dirs)]);
        }
        if let Some(file) = drivers_file {
            words.extend(["--drivers".to_owned(), file.display().to_string()]);
        }
        words.extend(["--state-dir".to_owned(), state_dir.display().to_string()]);
        words.extend(["--unrecorded".to_owned(), "--".to_owned()]);
        words.extend([self.volume.driver.clone(), self.volume.name.clone()]);
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }

    pub(crate) fn to_json(&self, command: &str) -> Value {
        json!({
            "driver": self.volume.driver,
            "name": self.volume.name,
            "mountpoint": self.mountpoint.to_string_lossy(),
            "source": self.mount.source,
            "type": self.mount.kind,
            "command": command,
        })
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_a_shell_takes_for_the_same_words() {
        for (word, shown) in [
            ("vol-7bca078f", "vol-7bca078f"),
            ("month end", "'month end'"),
            ("it's $(id)", r"'it'\''s $(id)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
