//! The thread that looks after mounted volumes: gone from the mount table or replaced there, dead (a FUSE or NFS server that went
//! away), failing (a device with errors), turned read-only by the kernel; or full, which is only said.
//!
//! It reads the mount table, which cannot hang, and leaves what can to the threads of [`super::prober`].
//!
//! No alarm is false because something is just being mounted or unmounted: a finding counts only for containers that held the
//! volume when the round began and still hold it when the finding arrives, and what a container holds nothing of ours unmounts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};
use rustix::io::Errno;
use tracing::warn;

use super::baseline::{Baseline, Baselines};
use super::engine::Message;
use super::mount_table::{MountTable, Standing};
use super::probe::Vitals;
use super::prober::{PATIENCE, Prober, Seen};
use crate::reports::{Reports, Warning};
use crate::types::{ContainerId, VolumeKey};

/// Between two looks at what hangs.
const TICK: Duration = Duration::from_millis(500);
/// A table without a volume's mount is read again after this: before Linux 5.8 a line can be missing while others go.
const AGAIN: Duration = Duration::from_millis(50);

/// A mounted volume to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patient {
    pub(crate) volume: VolumeKey,
    pub(crate) mountpoint: PathBuf,
    /// Its mountpoint is a plain directory that no mount table shows.
    pub(crate) directory_backed: bool,
    /// Those whose containers have it.
    pub(crate) holders: BTreeSet<ContainerId>,
}

/// Why a container cannot go on with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing is mounted there any more.
    Gone,
    /// Something else is.
    Replaced,
    /// Its server is.
    Dead,
    /// Its device or its file system gives errors.
    Failing,
    /// It was writable. Nothing to one who only reads.
    ReadOnly,
}

impl Cause {
    /// In metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Cause::Gone => "gone",
            Cause::Replaced => "replaced",
            Cause::Dead => "dead",
            Cause::Failing => "io_error",
            Cause::ReadOnly => "read_only",
        }
    }
}

/// What is wrong with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) patient: Patient,
    pub(crate) cause: Cause,
    /// The end of a line that begins with the volume.
    pub(crate) problem: String,
}

/// Makes its round whenever it is given patients, all there are at a time, until nobody can give it any more.
pub(crate) fn run(
    rounds: &Receiver<Vec<Patient>>,
    outbox: &Sender<Message>,
    baselines: Baselines,
    reports: Arc<Reports>,
) {
    let (tell, seen) = unbounded();
    let mut monitor = Monitor {
        prober: Prober::new(tell, PATIENCE),
        baselines,
        reports,
        patients: BTreeMap::new(),
        warned: BTreeSet::new(),
    };
    let found = |finding: Finding| {
        // The engine stops listening only when the agent goes away.
        let _ = outbox.send(Message::Finding(finding));
    };
    loop {
        let tick = if monitor.prober.is_idle() {
            never()
        } else {
            crossbeam_channel::after(TICK)
        };
        select! {
            recv(rounds) -> round => match round {
                Ok(patients) => monitor.round(patients, found),
                Err(_) => return,
            },
            recv(seen) -> seen => if let Ok(seen) = seen {
                monitor.seen(seen).into_iter().for_each(found);
            },
            recv(tick) -> _ => {}
        }
        monitor.staff();
    }
}

struct Monitor {
    prober: Prober,
    baselines: Baselines,
    reports: Arc<Reports>,
    /// Those of the last round.
    patients: BTreeMap<VolumeKey, Patient>,
    /// What is said already.
    warned: BTreeSet<(VolumeKey, Warning)>,
}

impl Monitor {
    fn round(&mut self, patients: Vec<Patient>, found: impl Fn(Finding)) {
        self.patients = patients
            .iter()
            .map(|patient| (patient.volume.clone(), patient.clone()))
            .collect();
        let left: Vec<(VolumeKey, Warning)> = self.warned.iter().cloned().collect();
        for (volume, warning) in left {
            if !self.patients.contains_key(&volume) {
                self.unwarn(&volume, warning);
            }
        }
        if patients.is_empty() {
            return;
        }
        let Ok(table) = MountTable::read() else {
            // Without the table there is no news; the next round tries again.
            return;
        };
        let mut missing = Vec::new();
        for patient in patients {
            match self.glance(&patient, &table) {
                None => self.prober.look(patient),
                Some((Cause::Gone | Cause::Replaced, _)) => missing.push(patient),
                Some((cause, problem)) => {
                    if cause == Cause::ReadOnly {
                        // Those who only read go on, and what else may befall them is looked for.
                        self.prober.look(patient.clone());
                    }
                    found(Finding {
                        patient,
                        cause,
                        problem,
                    });
                }
            }
        }
        if missing.is_empty() {
            return;
        }
        thread::sleep(AGAIN);
        let Ok(table) = MountTable::read() else { return };
        for patient in missing {
            if let Some((cause, problem)) = self.glance(&patient, &table) {
                found(Finding {
                    patient,
                    cause,
                    problem,
                });
            }
        }
    }

    /// What the mount table alone says is wrong.
    fn glance(&self, patient: &Patient, table: &MountTable) -> Option<(Cause, String)> {
        let path = patient.mountpoint.display();
        let first = || Baseline::first(table, &patient.mountpoint, patient.directory_backed);
        let before = self.baselines.of(&patient.volume, first);
        let gone = || Some((Cause::Gone, format!("its mount at {path} disappeared")));
        let Some(before) = before else { return gone() };
        let standing = match &before.mount {
            None => table.standing(&patient.mountpoint),
            Some(identity) => match table.find(identity) {
                Some(mount) => Some(mount.standing),
                None if table
                    .on_top(&identity.target)
                    .is_some_and(|mount| mount.mountpoint == identity.target) =>
                {
                    let problem = format!(
                        "its mount at {path} was replaced by another one, which containers that run do not see"
                    );
                    return Some((Cause::Replaced, problem));
                }
                None => return gone(),
            },
        };
        let Some(standing) = standing else { return gone() };
        match standing {
            Standing::ShutDown => Some((
                Cause::Failing,
                format!("its file system at {path} was shut down by the kernel after an error"),
            )),
            Standing::ReadOnlyAfterError => Some((
                Cause::ReadOnly,
                format!("its file system at {path} turned read-only after an error"),
            )),
            Standing::ReadOnly if before.standing == Standing::Writable => {
                Some((Cause::ReadOnly, format!("its file system at {path} turned read-only")))
            }
            Standing::ReadOnly | Standing::Writable => None,
        }
    }

    /// A look is over.
    fn seen(&mut self, Seen { patient, result }: Seen) -> Option<Finding> {
        let volume = patient.volume.clone();
        let path = patient.mountpoint.display();
        let full = match &result {
            Ok(Vitals::Full(what)) => Some(*what),
            _ => None,
        };
        self.unwarn(&volume, Warning::Silent);
        self.note(
            &patient,
            Warning::Full,
            full.map(|what| format!("its file system at {path} is out of {what}")),
        );
        let (cause, problem) = match result {
            Ok(_) => {
                self.note(&patient, Warning::Unknown, None);
                return None;
            }
            Err(error) => match error {
                Errno::NOTCONN | Errno::CONNABORTED | Errno::STALE => {
                    (Cause::Dead, format!("its mount at {path} is dead: {error}"))
                }
                Errno::NOENT | Errno::NOTDIR => (Cause::Gone, format!("its folder {path} disappeared: {error}")),
                Errno::IO
                | Errno::NXIO
                | Errno::NODEV
                | Errno::NOMEDIUM
                | Errno::REMOTEIO
                | Errno::NOLINK
                | Errno::UCLEAN => (Cause::Failing, format!("its mount at {path} fails: {error}")),
                // A refusal (a FUSE mount that is another user's) or a limit of the host: no word about the volume's health.
                other => {
                    let problem = format!("its mount at {path} cannot be looked at: {other}");
                    self.note(&patient, Warning::Unknown, Some(problem));
                    return None;
                }
            },
        };
        Some(Finding {
            patient,
            cause,
            problem,
        })
    }

    /// Sees to those that hang.
    fn staff(&mut self) {
        let stuck = self.prober.staff().unwrap_or_else(|error| {
            warn!(%error, "cannot start a thread to look at mounted volumes");
            Vec::new()
        });
        for volume in stuck {
            if let Some(patient) = self.patients.get(&volume).cloned() {
                let problem = format!("its mount at {} does not answer", patient.mountpoint.display());
                self.note(&patient, Warning::Silent, Some(problem));
            }
        }
    }

    /// Says once that something begins, and when it is over.
    fn note(&mut self, patient: &Patient, warning: Warning, problem: Option<String>) {
        let Some(problem) = problem else {
            return self.unwarn(&patient.volume, warning);
        };
        let is_known = self.patients.contains_key(&patient.volume);
        if is_known && self.warned.insert((patient.volume.clone(), warning)) {
            self.reports
                .warned(&patient.volume, &patient.holders, warning, &problem);
        }
    }

    fn unwarn(&mut self, volume: &VolumeKey, warning: Warning) {
        if self.warned.remove(&(volume.clone(), warning)) {
            self.reports
                .unwarned(volume, warning, self.patients.contains_key(volume));
        }
    }
}

#[cfg(test)]
mod fuse;
#[cfg(test)]
mod tests;
