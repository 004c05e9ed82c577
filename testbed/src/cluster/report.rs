//! What a cluster looks like, for a person who wants to know why a test failed.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::Cluster;
use crate::teardown::{cgroups, loops_below, mounts_below};

/// How much of each log is shown.
const LOG_LINES: usize = 40;

/// How much of the folders is shown.
const DEPTH: usize = 5;

pub(super) fn of(cluster: &Cluster) -> String {
    let mut text = format!(
        "==== cluster {} (Mesos {})\n",
        cluster.folder().display(),
        cluster.install().version()
    );
    let companions = cluster
        .companions
        .lock()
        .map(|companions| companions.clone())
        .unwrap_or_default();
    let processes: Vec<_> = cluster
        .processes()
        .chain(companions.iter().map(|companion| &**companion))
        .collect();

    text += "---- processes\n";
    for process in &processes {
        let state = match (process.pid(), process.exit_status()) {
            (Some(pid), _) => format!("runs as {pid}"),
            (None, Some(status)) => format!("ended with {status}"),
            (None, None) => "was not started".to_owned(),
        };
        let _ = writeln!(text, "{} {state}\n  {}", process.name(), process.command_line());
    }

    text += "---- folders\n";
    tree(cluster.folder(), 1, &mut text);

    text += "---- mounts and loop devices\n";
    match mounts_below(cluster.folder()) {
        Ok(mounts) => {
            for mount in mounts {
                let _ = writeln!(
                    text,
                    "{} {} {} (from {})",
                    mount.target.display(),
                    mount.kind,
                    mount.source.display(),
                    mount.root.display()
                );
            }
        }
        Err(error) => text += &format!("cannot be read: {error}\n"),
    }
    for device in loops_below(cluster.folder()) {
        let _ = writeln!(text, "{}", device.display());
    }

    text += "---- cgroups and their processes\n";
    for agent in cluster.agents() {
        for group in cgroups::groups(agent.cgroups_root()) {
            let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            let _ = writeln!(
                text,
                "{} {}",
                group.display(),
                processes.split_whitespace().collect::<Vec<_>>().join(" ")
            );
        }
    }

    for process in &processes {
        let _ = writeln!(
            text,
            "---- the end of {}\n{}",
            process.log_path().display(),
            process.tail(LOG_LINES)
        );
    }
    text + "====\n"
}

fn tree(folder: &Path, depth: usize, text: &mut String) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.filter_map(Result::ok).collect())
        .unwrap_or_default();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = writeln!(
            text,
            "{:indent$}{}{}",
            "",
            entry.file_name().to_string_lossy(),
            if is_folder { "/" } else { "" },
            indent = 2 * depth
        );
        if is_folder && depth < DEPTH {
            tree(&entry.path(), depth + 1, text);
        }
    }
}
