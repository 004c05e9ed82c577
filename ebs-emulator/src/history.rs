//! What happened, in order: every driver call, every step of the storage, with the time.
//!
//! The history is `events.jsonl` in the state folder, one JSON object a line. It goes on over restarts.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::StorageError;
use crate::faults::Operation;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The emulator started.
    Start,
    /// The emulator stopped in good order.
    Stop,
    /// A volume was created.
    Create,
    /// A volume was deleted.
    Delete,
    /// A volume became a loop device of a host, or was taken by an instance outside.
    Attach,
    /// mkfs made its file system.
    Format,
    /// Its file system was mounted.
    Mount,
    /// Its file system was unmounted.
    Unmount,
    /// Its loop device is gone, seen in the kernel.
    Detach,
    /// It was taken from its host while it was mounted there.
    ForceDetach,
    /// After a restart: what the kernel says differs from what was recorded, or confirms it.
    Recover,
    /// A driver call arrived.
    Request,
    /// A driver call was answered, or its connection closed.
    Answer,
}

impl EventKind {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Start => "start",
            EventKind::Stop => "stop",
            EventKind::Create => "create",
            EventKind::Delete => "delete",
            EventKind::Attach => "attach",
            EventKind::Format => "format",
            EventKind::Mount => "mount",
            EventKind::Unmount => "unmount",
            EventKind::Detach => "detach",
            EventKind::ForceDetach => "force-detach",
            EventKind::Recover => "recover",
            EventKind::Request => "request",
            EventKind::Answer => "answer",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, counted from 1 over all runs of the emulator.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(rename = "event")]
    pub kind: EventKind,
    /// On which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The volume's id; in a request, the name as the caller spelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// The volume's `Name` tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The driver call, of requests and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The mount ID the caller gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_id: Option<String>,
    /// How long the step or the call took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Why the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The device, the mount point, or what else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Event {
    /// An event of this kind with nothing else said; number and time are given when it is recorded.
    pub(crate) fn new(kind: EventKind) -> Event {
        Event {
            seq: 0,
            time: Timestamp::UNIX_EPOCH,
            kind,
            host: None,
            volume: None,
            name: None,
            operation: None,
            mount_id: None,
            took_ms: None,
            error: None,
            detail: None,
        }
    }

    pub(crate) fn took(mut self, took: Duration) -> Event {
        self.took_ms = Some((took.as_secs_f64() * 1e6).round() / 1e3);
        self
    }

    /// One line for a person.
    pub fn human(&self) -> String {
        let clock = self.time.strftime("%H:%M:%S%.3f");
        let host = self.host.as_deref().unwrap_or("-");
        let mut line = format!("{clock}  {host:<12} {:<8}", self.kind.as_str());
        let mut add = |text: &str| {
            line.push(' ');
            line.push_str(text);
        };
        if let Some(operation) = self.operation {
            add(&operation.to_string());
        }
        match (&self.volume, &self.name) {
            (Some(volume), Some(name)) => add(&format!("{name} ({volume})")),
            (Some(one), None) | (None, Some(one)) => add(one),
            (None, None) => {}
        }
        if let Some(id) = &self.mount_id {
            add(&format!("id {}", id.get(..12).unwrap_or(id)));
        }
        if let Some(detail) = &self.detail {
            add(detail);
        }
        if let Some(took) = self.took_ms {
            add(&format!("in {took:.1} ms"));
        }
        if let Some(error) = &self.error {
            add(&format!("FAILED: {error}"));
        }
        line
    }
}

/// The record of what happened.
#[derive(Debug)]
pub(crate) struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: Vec<Event>,
    file: File,
}

impl History {
    /// Opens the history and reads what earlier runs left in it.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the file cannot be opened or read.
    pub(crate) fn open(path: &Path) -> Result<History, StorageError> {
        let action = || format!("open the history {}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(StorageError::io(action()))?;
        let mut events = Vec::new();
        let mut whole = true;
        for line in BufReader::new(&file).split(b'\n') {
            let line = line.map_err(StorageError::io(action()))?;
            // A crash tears at most the line being written.
            whole = match serde_json::from_slice(&line) {
                Ok(event) => {
                    events.push(event);
                    true
                }
                Err(_) => false,
            };
        }
        if !whole {
            file.write_all(b"\n").map_err(StorageError::io(action()))?;
        }
        Ok(History {
            inner: Mutex::new(Inner { events, file }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is a push: a panic in between leaves a usable list.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers the event, gives it the time and keeps it.
    pub(crate) fn record(&self, mut event: Event) {
        let mut inner = self.inner();
        event.seq = inner.events.last().map_or(0, |last| last.seq) + 1;
        event.time = Timestamp::now();
        tracing::info!("{}", event.human());
        let mut line = serde_json::to_vec(&event).expect("an event is plain data");
        line.push(b'\n');
        if let Err(error) = inner.file.write_all(&line) {
            tracing::error!("write the history: {error}");
        }
        inner.events.push(event);
    }

    /// The events with a number above `after`.
    pub(crate) fn since(&self, after: u64) -> Vec<Event> {
        let inner = self.inner();
        let start = inner.events.partition_point(|event| event.seq <= after);
        inner.events[start..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_goes_on_after_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let history = History::open(&path).unwrap();
        history.record(Event::new(EventKind::Start));
        drop(history);
        std::fs::write(
            &path,
            [std::fs::read(&path).unwrap(), b"{\"seq\":2,\"ti".to_vec()].concat(),
        )
        .unwrap();

        let history = History::open(&path).unwrap();
        history.record(Event::new(EventKind::Stop));
        drop(history);
        let events = History::open(&path).unwrap().since(0);
        let kinds: Vec<_> = events.iter().map(|event| (event.seq, event.kind)).collect();
        assert_eq!(kinds, [(1, EventKind::Start), (2, EventKind::Stop)]);
    }
}
