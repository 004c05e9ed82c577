//! The ledger's files in a scheduler's folder: `claims.json`, and a log of what has changed since that was written.
//!
//! The log has a line for each volume that changed, with all that is now known of it, so that the last line counts.
//! `claims.json` names its log by number, `claims.<number>.log`: a new one is there, empty, before the file that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Ledger, VERSION};
use crate::store::{StoreError, replace};

/// The oldest version that is read. It had no log.
const OLDEST: u32 = 1;
/// The log starts again when it is larger than this, in bytes, and than four times the ledger
/// itself.
const LOG: u64 = 1 << 20;
/// How often a reader begins again because the writer has begun a new log meanwhile.
const READS: u32 = 10;

/// `claims.json`.
#[derive(Deserialize)]
struct Whole {
    version: u32,
    volumes: BTreeMap<String, Entry>,
    #[serde(default)]
    log: Option<u64>,
}

/// The same to be written.
#[derive(Serialize)]
struct WholeRef<'a> {
    version: u32,
    volumes: &'a BTreeMap<String, Entry>,
    log: Option<u64>,
}

/// A line of the log.
#[derive(Deserialize)]
struct Line {
    volume: String,
    entry: Entry,
}

#[derive(Serialize)]
struct LineRef<'a> {
    volume: &'a str,
    entry: &'a Entry,
}

/// The file in `folder`.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("claims.json")
}

fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("claims.{number}.log"))
}

/// Reads the ledger of a folder, even while a scheduler uses the folder; `None` when there is none.
///
/// # Errors
/// It is there and cannot be read, or is of a version this program does not know.
pub fn load(folder: &Path) -> Result<Option<Ledger>, StoreError> {
    Ok(read(folder)?.map(|(ledger, _)| ledger))
}

fn read(folder: &Path) -> Result<Option<(Ledger, Option<u64>)>, StoreError> {
    let path = path(folder);
    let unreadable = |path: &Path, reason: String| StoreError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let mut reads = 0;
    loop {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, error.to_string())),
        };
        let whole: Whole = serde_json::from_str(&text).map_err(|error| unreadable(&path, error.to_string()))?;
        if !(OLDEST..=VERSION).contains(&whole.version) {
            let reason = format!("its version is {}, and this program knows {VERSION}", whole.version);
            return Err(unreadable(&path, reason));
        }
        let mut ledger = Ledger {
            volumes: whole.volumes,
            ..Ledger::default()
        };
        let Some(number) = whole.log else {
            return Ok(Some((ledger, None)));
        };
        let log = log_path(folder, number);
        match fs::read_to_string(&log) {
            Ok(text) => {
                replay(&mut ledger, &text).map_err(|reason| unreadable(&log, reason))?;
                return Ok(Some((ledger, Some(number))));
            }
            // The writer has begun a new log since, and the file names that one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && reads < READS => reads += 1,
            Err(error) => return Err(unreadable(&log, error.to_string())),
        }
    }
}

fn replay(ledger: &mut Ledger, text: &str) -> Result<(), String> {
    // What a crash has cut off was not durable, and nothing followed from it.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, line) in whole.lines().enumerate() {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        ledger.volumes.insert(line.volume, line.entry);
    }
    Ok(())
}

/// Makes the whole ledger durable, without a log.
///
/// # Errors
/// It is not on disk, or not certainly. The one before it is whole.
pub fn save(folder: &Path, ledger: &Ledger) -> Result<(), StoreError> {
    write(folder, ledger, None)
}

fn write(folder: &Path, ledger: &Ledger, log: Option<u64>) -> Result<(), StoreError> {
    let path = path(folder);
    let whole = WholeRef {
        version: VERSION,
        volumes: &ledger.volumes,
        log,
    };
    replace(&path, |file| {
        serde_json::to_writer(file, &whole).map_err(io::Error::from)
    })
    .map_err(|source| StoreError::Write { path, source })
}

/// The ledger's files with their one writer.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// The number of the log that `claims.json` names.
    number: u64,
    /// It, once this writer has begun one of its own: what a crash left is not written on.
    log: Option<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    written: u64,
    /// How large it may grow.
    limit: u64,
}

impl Journal {
    /// The files of a folder that belongs to this process, with what they say.
    ///
    /// # Errors
    /// As [`load`].
    pub fn open(folder: &Path) -> Result<(Self, Ledger), StoreError> {
        let (ledger, number) = read(folder)?.unwrap_or_default();
        let journal = Self {
            folder: folder.to_owned(),
            number: number.unwrap_or(0),
            log: None,
        };
        Ok((journal, ledger))
    }

    /// Makes durable what has `changed` of the ledger; no launch that it allowed may be made before this has returned.
    ///
    /// # Errors
    /// It is not on disk, or not certainly. What was there before is whole.
    pub fn save(&mut self, ledger: &Ledger, changed: &BTreeSet<String>) -> Result<(), StoreError> {
        match &mut self.log {
            Some(log) if log.written < log.limit => {
                let append = |log: &mut Log| {
                    let mut lines = Vec::new();
                    for volume in changed {
                        let Some(entry) = ledger.volumes.get(volume) else {
                            continue;
                        };
                        serde_json::to_writer(&mut lines, &LineRef { volume, entry })?;
                        lines.push(b'\n');
                    }
                    log.file.write_all(&lines)?;
                    log.written += lines.len() as u64;
                    log.file.sync_data()
                };
                let before = log.written;
                append(log).map_err(|source| {
                    // Nothing follows from what is not certainly on disk, so no reader may find it
                    // there either, nor half of it. When that fails too, the next reader leaves out
                    // what does not end with a line feed.
                    let _ = log.file.set_len(before).and_then(|()| log.file.sync_data());
                    StoreError::Write {
                        path: log_path(&self.folder, self.number),
                        source,
                    }
                })
            }
            _ => self.begin(ledger),
        }
    }

    fn begin(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        let (old, new) = (self.number, self.number + 1);
        let path = log_path(&self.folder, new);
        let file = File::create(&path).map_err(|source| StoreError::Write { path, source })?;
        // This syncs the folder, and so the new log's name with it.
        write(&self.folder, ledger, Some(new))?;
        // One that stays is never read again.
        let _ = fs::remove_file(log_path(&self.folder, old));
        let size = fs::metadata(self::path(&self.folder)).map_or(0, |metadata| metadata.len());
        self.number = new;
        self.log = Some(Log {
            file,
            written: 0,
            limit: LOG.max(4 * size),
        });
        Ok(())
    }
}
