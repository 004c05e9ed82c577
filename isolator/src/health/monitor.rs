//! The thread that watches mounted volumes. A volume can disappear from the mount table or be
//! replaced there, its server can die (FUSE, NFS), its device can give errors, and the kernel can
//! turn its file system read-only. A file system that is full is only reported.
//!
//! The thread itself reads the mount table, which cannot hang. Everything that can hang is left to
//! the threads of [`super::prober`].
//!
//! A volume that is being mounted or unmounted raises no alarm: a report counts only for containers
//! that held the volume when the round began and still hold it when the report arrives, and the
//! module never unmounts a volume that a container holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select, unbounded};
use rustix::io::Errno;
use tracing::warn;

use super::baseline::{Baseline, Baselines};
use super::probe::Health;
use super::prober::{PROBE_LIMIT, ProbeResult, Prober};
use super::watched_volume::{HealthReport, WatchedVolume};
use crate::host::mount_table::{MountTable, Standing};
use crate::reports::{Reports, Warning};
use crate::types::{VolumeFault, VolumeKey};

/// How often the monitor looks for probes that hang, as long as any probe is under way.
const TICK: Duration = Duration::from_millis(500);
/// A mount table that lacks a volume's mount is read again after this: before Linux 5.8 a line can
/// be missing while other mounts go.
const READ_AGAIN: Duration = Duration::from_millis(50);

/// Runs a round for each list of volumes that arrives, until all senders are gone.
pub(crate) fn run(
    rounds: &Receiver<Vec<WatchedVolume>>,
    report: impl Fn(HealthReport),
    baselines: Baselines,
    reports: Arc<Reports>,
) {
    let (tx, probed) = unbounded();
    let mut monitor = Monitor {
        prober: Prober::new(tx, PROBE_LIMIT),
        baselines,
        reports,
        watched: BTreeMap::new(),
        warned: BTreeSet::new(),
    };
    loop {
        let tick = if monitor.prober.is_idle() {
            never()
        } else {
            crossbeam_channel::after(TICK)
        };
        select! {
            recv(rounds) -> round => match round {
                Ok(watched) => monitor.round(watched, &report),
                Err(_) => return,
            },
            recv(probed) -> result => if let Ok(result) = result {
                monitor.probe_ended(result).into_iter().for_each(&report);
            },
            recv(tick) -> _ => {}
        }
        monitor.start_probes();
    }
}

struct Monitor {
    prober: Prober,
    baselines: Baselines,
    reports: Arc<Reports>,
    /// The volumes of the last round.
    watched: BTreeMap<VolumeKey, WatchedVolume>,
    /// The warnings that were given and are not over.
    warned: BTreeSet<(VolumeKey, Warning)>,
}

impl Monitor {
    fn round(&mut self, volumes: Vec<WatchedVolume>, report: impl Fn(HealthReport)) {
        self.watched = volumes
            .iter()
            .map(|watched| (watched.volume.clone(), watched.clone()))
            .collect();
        let left: Vec<(VolumeKey, Warning)> = self.warned.iter().cloned().collect();
        for (volume, warning) in left {
            if !self.watched.contains_key(&volume) {
                self.clear_warning(&volume, warning);
            }
        }
        if volumes.is_empty() {
            return;
        }
        let Ok(table) = MountTable::read() else {
            // Without the table there is no news; the next round tries again.
            return;
        };
        let mut missing = Vec::new();
        for watched in volumes {
            match self.fault_in(&table, &watched) {
                None => self.prober.enqueue(watched),
                Some((VolumeFault::Gone | VolumeFault::Replaced, _)) => missing.push(watched),
                Some((fault, problem)) => {
                    if fault == VolumeFault::ReadOnly {
                        // Containers that only read go on, so the volume is probed for other
                        // faults.
                        self.prober.enqueue(watched.clone());
                    }
                    report(HealthReport {
                        watched,
                        fault,
                        problem,
                    });
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        thread::sleep(READ_AGAIN);
        let Ok(table) = MountTable::read() else { return };
        for watched in missing {
            if let Some((fault, problem)) = self.fault_in(&table, &watched) {
                report(HealthReport {
                    watched,
                    fault,
                    problem,
                });
            }
        }
    }

    /// The fault that the mount table alone shows.
    fn fault_in(&self, table: &MountTable, watched: &WatchedVolume) -> Option<(VolumeFault, String)> {
        let path = watched.mountpoint.display();
        let first = || Baseline::first(table, &watched.mountpoint, watched.directory_backed);
        let before = self.baselines.of(&watched.volume, first);
        let gone = || Some((VolumeFault::Gone, format!("its mount at {path} disappeared")));
        let Some(before) = before else { return gone() };
        let standing = match &before.mount {
            None => table.standing(&watched.mountpoint),
            Some(identity) => match table.find(identity) {
                Some(mount) => Some(mount.standing),
                None if table
                    .on_top(&identity.target)
                    .is_some_and(|mount| mount.mountpoint == identity.target) =>
                {
                    let problem =
                        format!("its mount at {path} was replaced by another one, which running containers do not see");
                    return Some((VolumeFault::Replaced, problem));
                }
                None => return gone(),
            },
        };
        let Some(standing) = standing else { return gone() };
        match standing {
            Standing::ShutDown => Some((
                VolumeFault::Failing,
                format!("its file system at {path} was shut down by the kernel after an error"),
            )),
            Standing::ReadOnlyAfterError => Some((
                VolumeFault::ReadOnly,
                format!("its file system at {path} turned read-only after an error"),
            )),
            Standing::ReadOnly if before.standing == Standing::Writable => Some((
                VolumeFault::ReadOnly,
                format!("its file system at {path} turned read-only"),
            )),
            Standing::ReadOnly | Standing::Writable => None,
        }
    }

    fn probe_ended(&mut self, ProbeResult { watched, result }: ProbeResult) -> Option<HealthReport> {
        let volume = watched.volume.clone();
        let path = watched.mountpoint.display();
        let full = match &result {
            Ok(Health::Full(what)) => Some(*what),
            _ => None,
        };
        self.clear_warning(&volume, Warning::NotAnswering);
        self.set_warning(
            &watched,
            Warning::Full,
            full.map(|what| format!("its file system at {path} is out of {what}")),
        );
        let (fault, problem) = match result {
            Ok(_) => {
                self.set_warning(&watched, Warning::Unknown, None);
                return None;
            }
            Err(error) => match error {
                Errno::NOTCONN | Errno::CONNABORTED | Errno::STALE => {
                    (VolumeFault::Dead, format!("its mount at {path} is dead: {error}"))
                }
                Errno::NOENT | Errno::NOTDIR => (VolumeFault::Gone, format!("its folder {path} disappeared: {error}")),
                Errno::IO
                | Errno::NXIO
                | Errno::NODEV
                | Errno::NOMEDIUM
                | Errno::REMOTEIO
                | Errno::NOLINK
                | Errno::UCLEAN => (VolumeFault::Failing, format!("its mount at {path} fails: {error}")),
                // A refusal (a FUSE mount that belongs to another user) or a limit of the host says
                // nothing about the volume's health.
                other => {
                    let problem = format!("its mount at {path} cannot be probed: {other}");
                    self.set_warning(&watched, Warning::Unknown, Some(problem));
                    return None;
                }
            },
        };
        Some(HealthReport {
            watched,
            fault,
            problem,
        })
    }

    /// Gives waiting volumes to threads, and warns of the probes that hang.
    fn start_probes(&mut self) {
        let hanging = self.prober.spawn_workers().unwrap_or_else(|error| {
            warn!(%error, "cannot start a thread that probes mounted volumes; the next round tries again");
            Vec::new()
        });
        for volume in hanging {
            if let Some(watched) = self.watched.get(&volume).cloned() {
                let problem = format!("its mount at {} does not answer", watched.mountpoint.display());
                self.set_warning(&watched, Warning::NotAnswering, Some(problem));
            }
        }
    }

    /// Warns once when a problem begins; without a problem the warning is over.
    fn set_warning(&mut self, watched: &WatchedVolume, warning: Warning, problem: Option<String>) {
        let Some(problem) = problem else {
            return self.clear_warning(&watched.volume, warning);
        };
        let is_known = self.watched.contains_key(&watched.volume);
        if is_known && self.warned.insert((watched.volume.clone(), warning)) {
            self.reports
                .warned(&watched.volume, &watched.holders, warning, &problem);
        }
    }

    fn clear_warning(&mut self, volume: &VolumeKey, warning: Warning) {
        if self.warned.remove(&(volume.clone(), warning)) {
            self.reports
                .unwarned(volume, warning, self.watched.contains_key(volume));
        }
    }
}

#[cfg(test)]
mod fuse;
#[cfg(test)]
mod tests;
