//! Whether a container still runs, as far as the kernel tells: its agent is down, so nobody can be asked.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use isolator::ContainerId;
use isolator::ledger::Record;
use procfs::process::{MountInfo, Process, all_processes};

use crate::failure::Failure;

/// Proof that it does: a process in its cgroup, or one that sees its volumes where the container has them.
pub(super) fn running(record: &Record) -> Result<Option<String>, Failure> {
    let cannot = |error: procfs::ProcError| Failure::Settings(format!("cannot look at the host's processes: {error}"));
    let own_space = mount_space("self");
    let own_mounts = Process::myself()
        .and_then(|process| process.mountinfo())
        .map_err(cannot)?
        .0;
    let mounts = Mounts::of(record, &own_mounts);
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
            && let Ok(table) = process.mountinfo()
            && let Some(place) = mounts.in_container(&table.0)
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

/// What a record's volumes look like in a container: the same device and folder, at the target or, when the container has
/// a root of its own, at the end of the target.
struct Mounts(Vec<(String, PathBuf, PathBuf)>);

impl Mounts {
    fn of(record: &Record, own: &[MountInfo]) -> Self {
        let looks = record.volumes.iter().filter_map(|volume| {
            let mountpoint = volume.state.mountpoint()?;
            let mount = own
                .iter()
                .filter(|mount| mount.mount_point != Path::new("/") && mountpoint.path.starts_with(&mount.mount_point))
                .max_by_key(|mount| mount.mount_point.components().count())?;
            let below = mountpoint.path.strip_prefix(&mount.mount_point).ok()?;
            let root = Path::new(&mount.root).join(below);
            Some((mount.majmin.clone(), root, escaped(&volume.request.target)))
        });
        Self(looks.collect())
    }

    fn in_container(&self, table: &[MountInfo]) -> Option<PathBuf> {
        let found = table.iter().find(|mount| {
            self.0.iter().any(|(device, root, target)| {
                let within = mount.mount_point.strip_prefix("/").unwrap_or(&mount.mount_point);
                mount.majmin == *device
                    && Path::new(&mount.root) == root
                    && within != Path::new("")
                    && target.ends_with(within)
            })
        })?;
        Some(found.mount_point.clone())
    }
}

/// As the kernel writes paths in its mount tables.
fn escaped(path: &Path) -> PathBuf {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        match c {
            ' ' => text.push_str("\\040"),
            '\t' => text.push_str("\\011"),
            '\n' => text.push_str("\\012"),
            '#' => text.push_str("\\043"),
            '\\' => text.push_str("\\134"),
            other => text.push(other),
        }
    }
    text.into()
}
