//! The thread that keeps `status.json`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded, never};
use durable_files::Durability;
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use tracing::error;

use super::{Status, VERSION, VolumeStatus};
use crate::boot::boot_id;
use crate::ledger::Ledger;
use crate::ledger_reader::LedgerReader;
use crate::types::VolumeKey;

/// The file is not written more often than this.
const PAUSE: Duration = Duration::from_secs(1);
/// A file that could not be written is tried again after this, though nothing changes.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// Changes that the ledger's thread reports to the keeper, without waiting.
#[derive(Clone, Debug)]
pub(crate) struct StatusChanges {
    changed: Sender<()>,
    retries: Arc<Mutex<BTreeMap<VolumeKey, Timestamp>>>,
}

impl StatusChanges {
    /// Something may have changed.
    pub(crate) fn change(&self) {
        // When the keeper has not seen the last change yet, it will see both at once.
        let _ = self.changed.try_send(());
    }

    /// A volume is tried again after a delay.
    pub(crate) fn retry(&self, volume: &VolumeKey, delay: Duration) {
        let due = SignedDuration::try_from(delay)
            .ok()
            .and_then(|delay| Timestamp::now().checked_add(delay).ok());
        if let Some(due) = due {
            self.retries().insert(volume.clone(), due);
        }
    }

    fn retries(&self) -> MutexGuard<'_, BTreeMap<VolumeKey, Timestamp>> {
        // Nothing but whole insertions happens under the lock.
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the file as long as it lives.
pub(crate) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread; [`StatusChanges`] is for the one of the ledger, to which `ledger` leads.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(
        state_dir: &Path,
        audit_log: Option<PathBuf>,
        status_changes: StatusChanges,
        changes: Receiver<()>,
        ledger: LedgerReader,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let file = File {
            path: Status::path(state_dir),
            audit_log,
            started: now(),
            boot_id: boot_id()?,
            status_changes,
            ledger,
        };
        let thread = thread::Builder::new()
            .name("mev-status".into())
            .spawn(move || file.keep(&changes, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What connects the two threads.
    pub(crate) fn channel() -> (StatusChanges, Receiver<()>) {
        let (changed, changes) = bounded(1);
        let retries = Arc::default();
        (StatusChanges { changed, retries }, changes)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the thread that keeps the status file had failed");
        }
    }
}

struct File {
    path: PathBuf,
    audit_log: Option<PathBuf>,
    started: Timestamp,
    boot_id: String,
    status_changes: StatusChanges,
    ledger: LedgerReader,
}

impl File {
    fn keep(&self, changes: &Receiver<()>, stopped: &Receiver<()>) {
        let mut last = self.of_before();
        let mut failing = false;
        // Once at the start, so that the file is this agent's.
        let mut changed = true;
        loop {
            let begun = Instant::now();
            if changed && let Some(volumes) = self.volumes(last.as_ref()) {
                let unchanged = last
                    .as_ref()
                    .is_some_and(|last| last.volumes == volumes && last.pid == std::process::id());
                let status = self.status(volumes);
                match if unchanged {
                    Ok(())
                } else {
                    replace(&self.path, &status)
                } {
                    Ok(()) => failing = false,
                    Err(error) if !std::mem::replace(&mut failing, true) => {
                        error!(file = %self.path.display(), %error, "cannot write the status file; it is tried again, and this is logged once");
                    }
                    Err(_) => {}
                }
                if !failing {
                    last = Some(status);
                }
            }
            match stopped.recv_deadline(begun + PAUSE) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return,
            }
            let again = if failing { after(WRITE_AGAIN) } else { never() };
            changed = crossbeam_channel::select! {
                recv(changes) -> change => change.is_ok(),
                recv(again) -> _ => true,
                recv(stopped) -> _ => return,
            };
            if !changed {
                // The ledger's thread has ended, so that nothing changes any more.
                let _ = stopped.recv();
                return;
            }
        }
    }

    /// What an earlier agent wrote since the host booted: a volume that is in the same state still
    /// has been so since then.
    fn of_before(&self) -> Option<Status> {
        let state_dir = self.path.parent()?;
        Status::read(state_dir)
            .ok()
            .flatten()
            .filter(|status| status.boot_id == self.boot_id)
    }

    /// From the ledger; `None` when it does not answer any more.
    fn volumes(&self, last: Option<&Status>) -> Option<Vec<VolumeStatus>> {
        let now = now();
        let volumes_of = move |ledger: &Ledger| -> Vec<VolumeStatus> {
            ledger.overview().map(|seen| VolumeStatus::new(&seen, now)).collect()
        };
        let mut volumes = self.ledger.read(volumes_of)?;
        let before: BTreeMap<(&str, &str), &VolumeStatus> = last
            .iter()
            .flat_map(|last| &last.volumes)
            .map(|volume| ((volume.driver.as_str(), volume.name.as_str()), volume))
            .collect();
        let mut retries = self.status_changes.retries();
        for volume in &mut volumes {
            if let Some(before) = before.get(&(volume.driver.as_str(), volume.name.as_str()))
                && before.mountpoint == volume.mountpoint
                && (before.state == volume.state
                    || before.retries_unmount() && volume.retries_unmount()
                    || before.retries_remove() && volume.retries_remove())
            {
                volume.since = before.since;
            }
            if volume.next_retry.take().is_some() {
                let key = VolumeKey::new(&*volume.driver, &*volume.name);
                volume.next_retry = retries.get(&key).map(|due| seconds(*due, RoundMode::Ceil));
            }
        }
        // What is over is of no more interest, unless it is just about to be tried.
        retries.retain(|_, due| *due >= now);
        Some(volumes)
    }

    fn status(&self, volumes: Vec<VolumeStatus>) -> Status {
        Status {
            version: VERSION,
            pid: std::process::id(),
            boot_id: self.boot_id.clone(),
            started: self.started,
            written: now(),
            audit_log: self.audit_log.clone(),
            volumes,
        }
    }
}

/// Whole seconds: no more is promised.
fn now() -> Timestamp {
    seconds(Timestamp::now(), RoundMode::Trunc)
}

fn seconds(time: Timestamp, mode: RoundMode) -> Timestamp {
    let rounded = time.round(TimestampRound::new().smallest(Unit::Second).mode(mode));
    rounded.unwrap_or(time)
}

/// A reader sees the old file or the new one.
fn replace(path: &Path, status: &Status) -> io::Result<()> {
    let json = serde_json::to_vec(status)?;
    durable_files::replace(path, 0o600, Durability::Unsynced, |file| file.write_all(&json))
}
