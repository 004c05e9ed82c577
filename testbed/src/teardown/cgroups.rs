//! Control groups of an agent: every process in them, then the groups.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};

use super::mounts::{Mount, mounts};
use super::registry::registry_folder;
use crate::error::ClusterError;

/// How long processes get to be gone once they were killed.
const GONE: Duration = Duration::from_secs(10);

/// The folders of the cgroup hierarchies, as `/sys/fs/cgroup/freezer` of version 1. Mesos uses version 1 alone, Docker both.
///
/// # Errors
/// The mount table cannot be read.
pub(crate) fn hierarchies() -> io::Result<Vec<PathBuf>> {
    Ok(mounts()?
        .into_iter()
        .filter(|mount| mount.kind == "cgroup" || mount.kind == "cgroup2")
        .map(|mount| mount.target)
        .collect())
}

/// Mesos' linux launcher wants the freezer of cgroup version 1. On a machine with version 2 alone nobody has mounted it:
/// this mounts it in the testbed's folder in `/run`, where Mesos finds it in the mount table. It stays there.
///
/// # Errors
/// The kernel has no such controller.
pub(crate) fn ensure_freezer() -> Result<(), ClusterError> {
    let is_freezer = |mount: &Mount| mount.kind == "cgroup" && mount.options.split(',').any(|word| word == "freezer");
    let mounted = || mounts().map(|table| table.iter().any(is_freezer));
    let table = Path::new("/proc/self/mountinfo");
    if mounted().map_err(ClusterError::io("read", table))? {
        return Ok(());
    }
    let folder = registry_folder()?.join("freezer");
    fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))?;
    // Only one of several processes mounts it; the others see it when they get the lock.
    let lock = File::open(&folder).map_err(ClusterError::io("open", &folder))?;
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| ClusterError::io("lock", &folder)(io::Error::from(errno)))?;
    if mounted().map_err(ClusterError::io("read", table))? {
        return Ok(());
    }
    mount("freezer", &folder, "cgroup", MountFlags::empty(), Some(c"freezer"))
        .map_err(|errno| ClusterError::io("mount the freezer cgroup at", &folder)(io::Error::from(errno)))
}

/// The groups called `name` at the top of a hierarchy, with every group below them, deepest first.
pub(crate) fn groups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in hierarchies().unwrap_or_default() {
        collect(&hierarchy.join(name), &mut found);
    }
    found
}

fn collect(group: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        collect(&entry.path(), found);
    }
    found.push(group.to_owned());
}

/// The processes in the groups called `name`, each once.
pub(crate) fn processes(name: &str) -> Vec<u32> {
    let mut all: Vec<u32> = groups(name)
        .iter()
        .filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<u32>>())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Kills every process in the groups called `name` and removes the groups.
pub(super) fn destroy(name: &str, problems: &mut Vec<String>) {
    let deadline = Instant::now() + GONE;
    loop {
        let left = processes(name);
        if left.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            problems.push(format!("processes {left:?} in the cgroup {name} do not end"));
            return;
        }
        left.iter().for_each(|&pid| kill(pid));
        // A frozen process takes the signal only once it is thawed.
        for group in groups(name) {
            let state = group.join("freezer.state");
            if state.exists() {
                let _ = fs::write(state, "THAWED");
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    for group in groups(name) {
        // A process that has just ended may still be counted for a moment.
        while let Err(error) = fs::remove_dir(&group) {
            if error.kind() == io::ErrorKind::NotFound {
                break;
            }
            if Instant::now() >= deadline {
                problems.push(format!("the cgroup {} cannot be removed: {error}", group.display()));
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Kills a process; one that is already gone is as good.
pub(super) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
