//! Signals for everything a task has started.

use std::collections::HashMap;

use procfs::process::{Stat, all_processes};
use rustix::process::{Pid, Signal, kill_process};

/// So often a SIGKILL is repeated, for children that were born between the look and the kill.
const KILL_ROUNDS: usize = 10;

/// SIGTERM to every process of the task.
pub(crate) fn terminate(root: i32) {
    let members = members(root);
    tracing::info!(pid = root, processes = members.len(), "SIGTERM to the task");
    send(&members, Signal::TERM);
}

/// SIGKILL to every process of the task. What still escapes ends with the container.
pub(crate) fn kill(root: i32) {
    for _ in 0..KILL_ROUNDS {
        let members = members(root);
        if members.is_empty() {
            return;
        }
        tracing::info!(pid = root, processes = members.len(), "SIGKILL to the task");
        send(&members, Signal::KILL);
    }
}

fn send(pids: &[i32], signal: Signal) {
    for pid in pids {
        // A process that ended meanwhile is no error.
        let Some(pid) = Pid::from_raw(*pid) else { continue };
        if let Err(error) = kill_process(pid, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = pid.as_raw_nonzero(), %error, "the process cannot be signalled");
        }
    }
}

/// The living processes of the task: its session and its process group, which outlive their
/// parents, and all descendants, which may have left both.
fn members(root: i32) -> Vec<i32> {
    let processes = match all_processes() {
        Ok(processes) => processes,
        Err(error) => {
            tracing::warn!(%error, "/proc cannot be read, only the first process is signalled");
            return vec![root];
        }
    };
    let stats: Vec<Stat> = processes.filter_map(|process| process.ok()?.stat().ok()).collect();
    let parents: HashMap<i32, i32> = stats.iter().map(|stat| (stat.pid, stat.ppid)).collect();
    let descends = |mut pid: i32| {
        // Bounded, should the table contradict itself because it was read while it changed.
        for _ in 0..parents.len() {
            if pid == root {
                return true;
            }
            match parents.get(&pid) {
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    stats
        .iter()
        .filter(|stat| !matches!(stat.state, 'Z' | 'X'))
        .filter(|stat| stat.session == root || stat.pgrp == root || descends(stat.pid))
        .map(|stat| stat.pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn descendants_in_sessions_of_their_own_are_killed_too() {
        let mut child = Command::new("sh")
            .args(["-c", "setsid sh -c 'sleep 1000 & echo up; wait' & wait"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let before = members(root);
        assert!(before.len() >= 3, "{before:?}");
        kill(root);
        let after: Vec<i32> = members(root).into_iter().filter(|pid| before.contains(pid)).collect();
        assert!(after.is_empty(), "{after:?}");
        child.wait().unwrap();
    }
}
