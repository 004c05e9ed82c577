//! The audit log: who had which volume, when and for how long; one JSON object a line, only ever
//! appended.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use jiff::{Timestamp, Unit};
use operator_files::FileError;
use prometheus::IntCounter;
use serde::Serialize;
use tracing::{error, info};
use volume_driver_client::Code;

use super::usage::{LaunchedBy, VolumeUse};
use crate::error::Problem;
use crate::origin::Origin;
use crate::types::{ContainerId, VolumeKey};

/// Lines that may wait for a slow disk. A line beyond these is lost, counted, and reported in the
/// agent's log.
const WAITING: usize = 8192;

/// Permissions of a file that this code makes: its group may read it.
const MODE: u32 = 0o640;

/// One line. Fields that say nothing are left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Entry {
    time: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    framework: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mountpoint: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Entry {
    fn now(event: &'static str) -> Self {
        let now = Timestamp::now();
        Self {
            // Rounding fails at the end of time only.
            time: now.round(Unit::Millisecond).unwrap_or(now).to_string(),
            event,
            ..Self::default()
        }
    }

    fn of_container(event: &'static str, id: &ContainerId, who: &LaunchedBy) -> Self {
        let LaunchedBy { workload, user } = who.clone();
        Self {
            containers: vec![id.to_string()],
            framework: workload.framework,
            executor: workload.executor,
            task: workload.task,
            role: workload.role,
            user,
            ..Self::now(event)
        }
    }

    /// A container got a volume, or left it.
    pub(super) fn of_use(
        event: &'static str,
        id: &ContainerId,
        who: &LaunchedBy,
        used: &VolumeUse,
        took: Option<Duration>,
    ) -> Self {
        Self {
            slot: Some(used.origin.recorded()),
            driver: Some(used.volume.driver.clone()),
            volume: Some(used.volume.name.clone()),
            mode: Some(used.mode()),
            target: Some(used.target.clone()),
            seconds: took.map(seconds),
            ..Self::of_container(event, id, who)
        }
    }

    /// Where the volume is mounted.
    pub(super) fn at(self, mountpoint: Option<&PathBuf>) -> Self {
        let mountpoint = mountpoint.cloned();
        Self { mountpoint, ..self }
    }

    /// What programs decide by.
    pub(super) fn coded(self, code: Option<Code>) -> Self {
        let code = code.map(Code::as_str);
        Self { code, ..self }
    }

    /// A container did not get its volumes.
    pub(super) fn of_refusal(id: &ContainerId, who: &LaunchedBy, problem: String, took: Option<Duration>) -> Self {
        Self {
            problem: Some(problem),
            seconds: took.map(seconds),
            ..Self::of_container("refused", id, who)
        }
    }

    /// A container is ended because of a volume.
    pub(super) fn of_limitation(
        id: &ContainerId,
        who: &LaunchedBy,
        origin: &Origin,
        volume: &VolumeKey,
        problem: &str,
    ) -> Self {
        Self {
            slot: Some(origin.recorded()),
            driver: Some(volume.driver.clone()),
            volume: Some(volume.name.clone()),
            problem: Some(problem.to_owned()),
            ..Self::of_container("limited", id, who)
        }
    }

    /// A driver mounted or unmounted, or did not.
    pub(super) fn of_call(
        operation: &'static str,
        outcome: &'static str,
        volume: &VolumeKey,
        users: &[ContainerId],
        mountpoint: Option<&PathBuf>,
        problem: Option<&Problem>,
        took: Duration,
    ) -> Self {
        Self {
            containers: users.iter().map(ToString::to_string).collect(),
            driver: Some(volume.driver.clone()),
            volume: Some(volume.name.clone()),
            mountpoint: mountpoint.cloned(),
            outcome: Some(outcome),
            problem: problem.map(ToString::to_string),
            seconds: Some(seconds(took)),
            ..Self::now(operation)
        }
    }
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

/// The thread that writes, and the way to it.
pub(super) struct Audit {
    lines: Sender<Option<Entry>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    losses: Losses,
}

/// Lines that are in no file.
#[derive(Clone)]
struct Losses {
    /// The metric `audit_lost_total`.
    count: IntCounter,
    /// The agent's log has a line about an overflow, and none about its end.
    overflowing: Arc<AtomicBool>,
}

impl Audit {
    /// # Errors
    /// No thread can be started. The file is opened when there is something to write.
    pub(super) fn start(path: &Path, lost: IntCounter) -> io::Result<Self> {
        let (lines, waiting) = bounded(WAITING);
        let losses = Losses {
            count: lost,
            overflowing: Arc::default(),
        };
        let mut log = Log::new(path, losses.clone());
        let thread = thread::Builder::new().name("mev-audit".into()).spawn(move || {
            while let Ok(Some(entry)) = waiting.recv() {
                log.append(&entry);
            }
        })?;
        Ok(Self {
            lines,
            thread: Mutex::new(Some(thread)),
            losses,
        })
    }

    /// Hands a line to the thread that writes. Never waits: when too many lines wait already, this
    /// one is lost.
    pub(super) fn write(&self, entry: Entry) {
        if self.lines.try_send(Some(entry)).is_ok() {
            return;
        }
        self.losses.count.inc();
        if !self.losses.overflowing.swap(true, Ordering::Relaxed) {
            error!(
                "the audit log is written too slowly, and lines are lost until it is faster: look at the disk that it is on \
                 (the metric audit_lost_total counts the lines)"
            );
        }
    }

    /// Returns when all lines so far are written, or cannot be.
    pub(super) fn finish(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.lines.send(None).is_ok()
            && thread.join().is_err()
        {
            error!("the audit log's thread had failed");
        }
    }
}

/// Why a line is not in the file.
#[derive(Debug, thiserror::Error)]
enum AppendError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Says which file and why.
    #[error(transparent)]
    Open(#[from] FileError),
    #[error("{}: {cause}", .path.display())]
    Write { path: PathBuf, cause: io::Error },
}

struct Log {
    path: PathBuf,
    open: Option<File>,
    losses: Losses,
    /// Lines lost since the file was last written. The first of them is reported at once, the
    /// number at the end.
    lost: u64,
}

impl Log {
    fn new(path: &Path, losses: Losses) -> Self {
        Self {
            path: path.to_owned(),
            open: None,
            losses,
            lost: 0,
        }
    }

    fn append(&mut self, entry: &Entry) {
        match self.write(entry) {
            Ok(()) => {
                if self.lost > 0 {
                    info!(file = %self.path.display(), lost = self.lost, "the audit log can be written again");
                    self.lost = 0;
                }
                if self.losses.overflowing.swap(false, Ordering::Relaxed) {
                    let lost = self.losses.count.get();
                    info!(
                        lost,
                        "the audit log is written fast enough again; 'lost' counts the lines lost since the start"
                    );
                }
            }
            Err(problem) => {
                self.open = None;
                self.losses.count.inc();
                if self.lost == 0 {
                    error!(
                        %problem,
                        "the audit log cannot be written, and its lines are lost until the cause is removed"
                    );
                }
                self.lost += 1;
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<(), AppendError> {
        let line = serde_json::to_string(entry)?;
        let line = foreign_text::json(&line) + "\n";
        let path = self.path.clone();
        // One write a line, at the end of the file wherever that is by then.
        self.file()?
            .write_all(line.as_bytes())
            .map_err(|cause| AppendError::Write { path, cause })
    }

    /// The file at the path as it is now: a program that rotates logs moves the file away, and a
    /// new one begins. What is not a regular file of our own, a symlink included, is refused
    /// without waiting for anybody.
    fn file(&mut self) -> Result<&mut File, FileError> {
        let in_place = |open: &File| -> io::Result<bool> {
            let (open, there) = (open.metadata()?, fs::symlink_metadata(&self.path)?);
            Ok(open.dev() == there.dev() && open.ino() == there.ino())
        };
        let open = match self.open.take() {
            Some(open) if in_place(&open).unwrap_or(false) => open,
            _ => operator_files::append(&self.path, MODE)?,
        };
        Ok(self.open.insert(open))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn entry(problem: &str) -> Entry {
        Entry::of_refusal(
            &ContainerId::root("c"),
            &LaunchedBy::default(),
            problem.to_owned(),
            None,
        )
    }

    fn problems(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["problem"].as_str().unwrap().to_owned()).collect()
    }

    fn counter() -> IntCounter {
        IntCounter::new("lost", "lost").unwrap()
    }

    fn losses() -> Losses {
        Losses {
            count: counter(),
            overflowing: Arc::default(),
        }
    }

    #[test]
    fn attack_a_fifo_in_the_place_of_the_log_blocks_nobody_and_each_lost_line_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let lost = counter();
        let audit = Audit::start(&path, lost.clone()).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for number in 0..2 * WAITING {
            audit.write(entry(&number.to_string()));
        }
        audit.finish();
        assert_eq!(lost.get(), 2 * WAITING as u64);
        fs::remove_file(&path).unwrap();
        let audit = Audit::start(&path, lost.clone()).unwrap();
        audit.write(entry("kept"));
        audit.finish();
        assert_eq!(problems(&path), ["kept"]);
        assert_eq!(lost.get(), 2 * WAITING as u64);
    }

    #[test]
    fn attack_a_symlink_in_the_place_of_the_log_is_not_followed_also_while_the_log_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let target = folder.path().join("passwd");
        fs::write(&target, "root:x:0:0\n").unwrap();
        let mut log = Log::new(&path, losses());
        std::os::unix::fs::symlink(&target, &path).unwrap();
        log.append(&entry("lost"));
        fs::remove_file(&path).unwrap();
        log.append(&entry("kept"));
        fs::rename(&path, folder.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("moved"), &path).unwrap();
        log.append(&entry("lost too"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "root:x:0:0\n");
        assert_eq!(problems(&folder.path().join("moved")), ["kept"]);
        assert_eq!(log.losses.count.get(), 2);
    }

    #[test]
    fn a_moved_log_is_followed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let moved = folder.path().join("audit.jsonl.1");
        let mut log = Log::new(&path, losses());
        log.append(&entry("one\ntwo"));
        fs::rename(&path, &moved).unwrap();
        log.append(&entry("three"));
        fs::remove_file(&path).unwrap();
        log.append(&entry("four"));
        assert_eq!(problems(&moved), ["one\ntwo"]);
        assert_eq!(problems(&path), ["four"]);
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_the_next_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/audit.jsonl");
        let mut log = Log::new(&path, losses());
        log.append(&entry("lost"));
        log.append(&entry("lost too"));
        assert_eq!(log.lost, 2);
        fs::create_dir(path.parent().unwrap()).unwrap();
        log.append(&entry("kept"));
        assert_eq!((log.lost, log.losses.count.get()), (0, 2));
        assert_eq!(problems(&path), ["kept"]);
    }

    #[test]
    fn the_end_waits_for_the_lines_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::start(&path, counter()).unwrap();
        for number in 0..100 {
            audit.write(entry(&number.to_string()));
        }
        audit.finish();
        assert_eq!(problems(&path).len(), 100);
        audit.finish();
    }
}
