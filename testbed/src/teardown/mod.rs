//! Taking away whatever a cluster left on the machine: processes, mounts, loop devices, cgroups, its folder.
//!
//! It works from the outside, by names and paths alone, so it is the same for a cluster that ends, one that panicked
//! and one whose process was killed.

pub(crate) mod cgroups;
mod mounts;
mod registry;

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

pub use mounts::{Mount, loops_below, mounts, mounts_below};
pub(crate) use registry::{Registration, registry_folder};
pub use registry::{Swept, sweep};

use serde::{Deserialize, Serialize};

/// What belongs to a cluster, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// The folder everything of it is in.
    pub(crate) folder: PathBuf,
    /// The cgroups of its agents, at the top of every hierarchy.
    pub(crate) cgroups: Vec<String>,
}

impl Footprint {
    /// Ends and removes everything but the folder's files. Says what could not be done.
    ///
    /// The order matters: processes hold mounts, mounts hold loop devices.
    pub(crate) fn remove(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.end_containers(&mut problems);
        end_processes_in(&self.folder, &mut problems);
        mounts::unmount_below(&self.folder, &mut problems);
        mounts::detach_loops_below(&self.folder, &mut problems);
        remove_switchboard_sockets(&self.folder);
        remove_shim_sockets();
        problems
    }

    /// Ends every process in the agents' cgroups and removes those.
    pub(crate) fn end_containers(&self, problems: &mut Vec<String>) {
        for cgroup in &self.cgroups {
            cgroups::destroy(cgroup, problems);
        }
    }

    /// Removes the folder, unless something is still mounted in it: then its files may be those of a volume.
    pub(crate) fn remove_folder(&self) -> Result<(), String> {
        let left = mounts_below(&self.folder).map_err(|error| format!("cannot read the mount table: {error}"))?;
        if let Some(mount) = left.first() {
            return Err(format!(
                "{} is kept: {} is mounted in it",
                self.folder.display(),
                mount.target.display()
            ));
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("{} cannot be removed: {error}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The one thing a killed agent leaves outside its folders: the sockets of mesos-io-switchboard are in `/tmp`. The runtime
/// folder of a container says where.
fn remove_switchboard_sockets(folder: &Path) {
    for agent in folders_in(folder) {
        let mut containers = folders_in(&agent.join("runtime/containers"));
        while let Some(container) = containers.pop() {
            if let Ok(socket) = fs::read_to_string(container.join("io_switchboard/socket"))
                && socket.starts_with("/tmp/mesos-io-switchboard-")
            {
                let _ = fs::remove_file(socket);
            }
            containers.extend(folders_in(&container.join("containers")));
        }
    }
}

/// containerd names the sockets of its containers' shims by a hash, in one folder for the whole machine. Those of shims that
/// were killed are left, and nobody listens there.
fn remove_shim_sockets() {
    let entries = fs::read_dir("/run/containerd/s")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    for entry in entries {
        let path = entry.path();
        let refused = UnixStream::connect(&path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if refused {
            let _ = fs::remove_file(path);
        }
    }
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Ends processes that work in `folder`: drivers, and what an agent had started outside its cgroups.
fn end_processes_in(folder: &Path, problems: &mut Vec<String>) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = processes_in(folder);
        if left.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            return problems.push(format!("processes {left:?} in {} do not end", folder.display()));
        }
        left.into_iter().for_each(cgroups::kill);
        thread::sleep(Duration::from_millis(10));
    }
}

/// The processes, this one apart, whose working or root folder is at or below `folder`.
fn processes_in(folder: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(pid, _)| *pid != process::id())
        .filter(|(_, path)| {
            ["cwd", "root"]
                .iter()
                .any(|link| fs::read_link(path.join(link)).is_ok_and(|at| at.starts_with(folder)))
        })
        .map(|(pid, _)| pid)
        .collect()
}
