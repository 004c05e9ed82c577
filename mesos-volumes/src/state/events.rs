//! The events of a volume or a container, from the audit log of the module.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{Mode, OFlags, open};
use serde_json::Value;

use crate::failure::Failure;
use crate::print::plain;

/// At most so many bytes at the end of the log are read: about 40,000 lines.
const MAX_BYTES: u64 = 16 << 20;

/// Where events come from, and how many are shown.
#[derive(Args)]
pub(super) struct Source {
    /// The file of the module's parameter audit_log, where events are read [default: the one that
    /// the running agent names in the state folder]
    #[arg(long, value_name = "FILE", env = "MESOS_VOLUMES_AUDIT_LOG")]
    audit_log: Option<PathBuf>,
    /// How many events are shown at most, those that came last
    #[arg(long, value_name = "N", default_value_t = 20)]
    events: usize,
}

/// The events that were found.
pub(super) struct Events {
    /// The file that they are from; `None` when no audit log is known.
    pub(super) file: Option<PathBuf>,
    /// The lines of the log, those that came last at the end.
    pub(super) lines: Vec<Value>,
    /// So many came before these and are not shown.
    pub(super) older: usize,
    /// The log is longer than what was read of it.
    cut: bool,
}

impl Source {
    /// The events for which this holds. `named` is the log that the agent names in its status.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn events(&self, named: Option<&Path>, is_wanted: impl Fn(&Value) -> bool) -> Result<Events, Failure> {
        let Some(file) = self.audit_log.as_deref().or(named) else {
            return Ok(Events {
                file: None,
                lines: Vec::new(),
                older: 0,
                cut: false,
            });
        };
        let (bytes, cut) = match tail(file) {
            Ok(read) => read,
            // The agent makes the file when it has something to write.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.audit_log.is_none() => (Vec::new(), false),
            Err(error) => {
                return Err(Failure::Settings(format!(
                    "the audit log {} cannot be read: {error}; name the file of the module's parameter audit_log in --audit-log",
                    file.display()
                )));
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        // The first line may be cut, and the agent may be writing the last one.
        let parsed = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines: Vec<Value> = parsed.filter(is_wanted).collect();
        let older = lines.len().saturating_sub(self.events);
        lines.drain(..older);
        Ok(Events {
            file: Some(file.to_owned()),
            lines,
            older,
            cut,
        })
    }
}

/// The end of a file, and whether there is more before it. What is no regular file is refused and
/// not waited for.
fn tail(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let mut file = File::from(open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let start = metadata.len().saturating_sub(MAX_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok((bytes, start > 0))
}

impl Events {
    /// Sets `events` and `events_from`.
    pub(super) fn add_to(&self, json: &mut Value) {
        json["events"] = self.lines.clone().into();
        json["events_from"] = match &self.file {
            Some(file) => file.display().to_string().into(),
            None => Value::Null,
        };
    }

    /// A section for people.
    pub(super) fn text(&self) -> String {
        let Some(file) = &self.file else {
            return "events: none are kept: set the module's parameter audit_log, or name its file in --audit-log\n"
                .to_owned();
        };
        let from = if self.cut {
            format!("the last {} MiB of {}", MAX_BYTES >> 20, file.display())
        } else {
            file.display().to_string()
        };
        let mut text = format!("events, newest last (from {}", plain(&from));
        if self.older > 0 {
            text += &format!("; older and not shown: {}, see --events", self.older);
        }
        text += ")\n";
        if self.lines.is_empty() {
            text += "  none\n";
        }
        for line in &self.lines {
            text += &format!("  {}\n", plain(&sentence(line)));
        }
        text
    }
}

/// `2024-05-04T03:02:01.234Z  mount ok, 0.4 s, container 5b1c, task extract.1: the driver's words`.
fn sentence(line: &Value) -> String {
    let word = |key: &str| line[key].as_str();
    let mut words = vec![word("event").unwrap_or("?").to_owned()];
    if let Some(outcome) = word("outcome") {
        words[0] += &format!(" {outcome}");
    }
    words.extend(line["seconds"].as_f64().map(|seconds| format!("{seconds:.1} s")));
    let containers = line["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    words.extend(containers.map(|container| format!("container {container}")));
    for (key, name) in [("task", "task"), ("slot", "slot"), ("mode", "mode"), ("code", "code")] {
        words.extend(word(key).map(|value| format!("{name} {value}")));
    }
    let problem = word("problem")
        .map(|problem| format!(": {problem}"))
        .unwrap_or_default();
    format!("{}  {}{problem}", word("time").unwrap_or("?"), words.join(", "))
}
