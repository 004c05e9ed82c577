//! Whether the Docker daemon sees what is mounted in a sandbox.
//!
//! The processes that make a container's mounts inherit the mount namespace of the daemon or of its
//! containerd. In a namespace of its own, which does not receive the host's mounts, Docker would
//! show the container the empty folder below the volume.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::stat;

use super::api::Daemon;

/// Whether the daemon and its containerd see the same folder at each of these places as this
/// process does.
///
/// # Errors
/// One of them does not, or nobody can tell; one line with the remedy.
pub(crate) fn daemon_sees(daemon: &Daemon, places: &[PathBuf]) -> Result<(), String> {
    let socket = daemon.socket().display();
    let listener = daemon.process().map_err(|error| {
        format!("the Docker daemon does not listen at {socket}: {error}; start it, or set the module parameter docker_socket")
    })?;
    let ours = fs::read_link("/proc/thread-self/ns/mnt")
        .map_err(|error| format!("cannot read the own mount namespace: {error}"))?;
    for process in mounting_processes(listener) {
        let folder = PathBuf::from(format!("/proc/{}", process.number));
        match fs::read_link(folder.join("ns/mnt")) {
            Ok(theirs) if theirs == ours => continue,
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            _ => {}
        }
        if let Some(place) = places.iter().find(|place| !sees(&folder, place)) {
            return Err(format!(
                "the {} process {} does not see the volume at {}, since it is in a mount namespace of its own: run it in the agent's \
                 (systemd: no MountFlags=, PrivateMounts= or the like in its unit), or let its mounts propagate (MountFlags=slave, with \
                 the work_dir on a shared mount)",
                process.name,
                process.number,
                place.display()
            ));
        }
    }
    Ok(())
}

struct Process {
    number: i32,
    parent: i32,
    name: String,
}

/// The daemon, and its containerd: a child of it, or else every one of this host.
fn mounting_processes(listener: i32) -> Vec<Process> {
    let all = processes();
    // systemd may have made the socket, and the daemon is another process then.
    let is_listener = |process: &&Process| process.number == listener && process.name == "dockerd";
    let daemons: Vec<i32> = match all.iter().find(is_listener) {
        Some(daemon) => vec![daemon.number],
        None => all
            .iter()
            .filter(|process| process.name == "dockerd")
            .map(|process| process.number)
            .collect(),
    };
    let is_containerd = |process: &Process| process.name == "containerd";
    let has_own = all
        .iter()
        .any(|process| is_containerd(process) && daemons.contains(&process.parent));
    let counts = |process: &Process| {
        daemons.contains(&process.number) || is_containerd(process) && (!has_own || daemons.contains(&process.parent))
    };
    all.into_iter().filter(counts).collect()
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let process = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        // `17 (containerd) S 1 ...`: the name may have blanks, and ends with the last parenthesis.
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let parent = rest.split(' ').nth(1)?.parse().ok()?;
        Some(Process {
            number,
            parent,
            name: name.to_owned(),
        })
    };
    entries.filter_map(process).collect()
}

/// Whether a process has the same folder at this place.
fn sees(process: &Path, place: &Path) -> bool {
    let identity = |path: &Path| stat(path).map(|found| (found.st_dev, found.st_ino));
    let theirs = process.join("root").join(place.strip_prefix("/").unwrap_or(place));
    identity(place).is_ok_and(|ours| identity(&theirs) == Ok(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_folders_of_its_own_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let own = PathBuf::from(format!("/proc/{}", std::process::id()));
        assert!(sees(&own, folder.path()));
        assert!(!sees(&own, Path::new("/nonexistent")));
    }
}
