//! The audit log: who had which volume, when and for how long; one JSON object a line, only ever appended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::{Timestamp, Unit};
use serde::Serialize;
use tracing::{error, info};
use volume_driver_client::Code;

use super::followed::{Use, Who};
use crate::error::Problem;
use crate::types::{ContainerId, VolumeKey};

/// Lines that may wait for a slow disk; what comes on top is lost, and counted.
const WAITING: usize = 8192;

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

    fn of_container(event: &'static str, id: &ContainerId, who: &Who) -> Self {
        let Who { origin, user } = who.clone();
        Self {
            containers: vec![id.to_string()],
            framework: origin.framework,
            executor: origin.executor,
            task: origin.task,
            role: origin.role,
            user,
            ..Self::now(event)
        }
    }

    /// A container got a volume, or left it.
    pub(super) fn of_use(event: &'static str, id: &ContainerId, who: &Who, used: &Use, took: Option<Duration>) -> Self {
        Self {
            slot: Some(used.slot.clone()),
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
    pub(super) fn of_refusal(id: &ContainerId, who: &Who, problem: String, took: Option<Duration>) -> Self {
        Self {
            problem: Some(problem),
            seconds: took.map(seconds),
            ..Self::of_container("refused", id, who)
        }
    }

    /// A container is ended because of a volume.
    pub(super) fn of_limitation(id: &ContainerId, who: &Who, slot: &str, volume: &VolumeKey, problem: &str) -> Self {
        Self {
            slot: Some(slot.to_owned()),
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
}

impl Audit {
    /// # Errors
    /// When no thread can be started. The file is opened when there is something to write.
    pub(super) fn start(path: &Path) -> io::Result<Self> {
        let (lines, waiting) = bounded(WAITING);
        let path = path.to_owned();
        let thread = thread::Builder::new()
            .name("mev-audit".into())
            .spawn(move || write_all(&path, &waiting))?;
        Ok(Self {
            lines,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// False when the line is lost, since too many wait already.
    pub(super) fn write(&self, entry: Entry) -> bool {
        self.lines.try_send(Some(entry)).is_ok()
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

fn write_all(path: &Path, lines: &Receiver<Option<Entry>>) {
    let mut log = Log {
        path: path.to_owned(),
        open: None,
        failing: false,
    };
    while let Ok(Some(entry)) = lines.recv() {
        log.append(&entry);
    }
}

struct Log {
    path: PathBuf,
    open: Option<File>,
    /// Said once, until it goes again.
    failing: bool,
}

impl Log {
    fn append(&mut self, entry: &Entry) {
        match self.write(entry) {
            Ok(()) if self.failing => {
                info!(file = %self.path.display(), "the audit log can be written again");
                self.failing = false;
            }
            Ok(()) => {}
            Err(error) => {
                self.open = None;
                if !std::mem::replace(&mut self.failing, true) {
                    error!(file = %self.path.display(), %error, "cannot write the audit log; its lines are lost until this is mended");
                }
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // One write a line, at the end of the file wherever that is by then.
        self.file()?.write_all(&line)
    }

    /// The file at the path as it is now: whoever rotates logs moves it away, and a new one begins.
    fn file(&mut self) -> io::Result<&mut File> {
        let in_place = |open: &File| -> io::Result<bool> {
            let (open, there) = (open.metadata()?, fs::metadata(&self.path)?);
            Ok(open.dev() == there.dev() && open.ino() == there.ino())
        };
        match &self.open {
            Some(open) if in_place(open).unwrap_or(false) => {}
            _ => {
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o640)
                    .open(&self.path)?;
                self.open = Some(file);
            }
        }
        self.open.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn entry(problem: &str) -> Entry {
        Entry::of_refusal(&ContainerId::root("c"), &Who::default(), problem.to_owned(), None)
    }

    fn problems(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["problem"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_moved_log_is_followed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let moved = folder.path().join("audit.jsonl.1");
        let mut log = Log {
            path: path.clone(),
            open: None,
            failing: false,
        };
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
        let mut log = Log {
            path: path.clone(),
            open: None,
            failing: false,
        };
        log.append(&entry("lost"));
        assert!(log.failing);
        fs::create_dir(path.parent().unwrap()).unwrap();
        log.append(&entry("kept"));
        assert!(!log.failing);
        assert_eq!(problems(&path), ["kept"]);
    }

    #[test]
    fn the_end_waits_for_the_lines_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::start(&path).unwrap();
        for number in 0..100 {
            assert!(audit.write(entry(&number.to_string())));
        }
        audit.finish();
        assert_eq!(problems(&path).len(), 100);
        audit.finish();
    }
}
