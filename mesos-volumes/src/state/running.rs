//! Whether a container still runs, as far as the kernel shows it: its agent is down and cannot be
//! asked.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use isolator::ledger::Record;
use isolator::{ContainerId, VolumeFolder};
use procfs::process::all_processes;

use crate::failure::Failure;

/// Proof that it does: a process in its cgroup, or one that sees its volumes where the container
/// has them.
pub(super) fn running(record: &Record) -> Result<Option<String>, Failure> {
    let cannot = |error: procfs::ProcError| Failure::Settings(format!("cannot look at the host's processes: {error}"));
    let own_space = mount_space("self");
    let volumes = volumes_of(record)?;
    let mut seen: BTreeSet<OsString> = own_space.into_iter().collect();
    for process in all_processes().map_err(cannot)? {
        // A process may end at any moment, and then it proves nothing.
        let Ok(process) = process else { continue };
        let pid = process.pid;
        if let Some(cgroup) = cgroup_of(pid, &record.container) {
            return Ok(Some(format!("process {pid} is in its cgroup {cgroup}")));
        }
        let Some(space) = mount_space(&pid.to_string()) else {
            continue;
        };
        if seen.insert(space)
            && let Some(place) = seen_by(pid, &volumes)
        {
            return Ok(Some(format!("process {pid} has a volume of it at {}", place.display())));
        }
    }
    Ok(None)
}

/// Mesos names cgroups by the ids, each container's within its parent's.
fn cgroup_of(pid: i32, container: &ContainerId) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let mut parts = path.split('/');
        let names_all = container.path().iter().all(|id| parts.any(|part| part == id));
        names_all.then(|| path.to_owned())
    })
}

fn mount_space(pid: &str) -> Option<OsString> {
    Some(fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()?.into_os_string())
}

/// Each mounted volume of a record, with its target in the container.
fn volumes_of(record: &Record) -> Result<Vec<(VolumeFolder, &Path)>, Failure> {
    let mut volumes = Vec::new();
    for volume in &record.volumes {
        let Some(mountpoint) = volume.state.mountpoint() else {
            continue;
        };
        let folder = VolumeFolder::of(mountpoint)
            .map_err(|error| Failure::Settings(format!("cannot read the mount table: {error}")))?;
        if let Some(folder) = folder {
            volumes.push((folder, volume.request.target.as_path()));
        }
    }
    Ok(volumes)
}

/// Where a process has one of the volumes.
fn seen_by(pid: i32, volumes: &[(VolumeFolder, &Path)]) -> Option<PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let mut places = volumes
        .iter()
        // A process that has ended proves nothing.
        .filter_map(|(folder, target)| folder.seen_by(&process, target).ok().flatten());
    places.next()
}
