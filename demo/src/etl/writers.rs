//! Who has written to a volume, in the volume's own words.
//!
//! Each step that may write to a volume signs it: a line in `writers.jsonl` at the volume's root when it begins, and one
//! when it ends, each on disk before the step goes on. No lock and no lease stand behind it: two writers at the same time
//! would leave their lines in each other's way, and that is what [`audit`] looks for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outcome::progress;
use super::{EtlError, Hold, Outcome, durable};

/// The file on each volume.
const NAME: &str = "writers.jsonl";

/// The variable in which the scheduler tells a command which attempt it is.
const TASK_ID: &str = "SCHEDULER_TASK_ID";

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Begins,
    Ends,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    at: Timestamp,
    /// The attempt, by its task id; outside Mesos the process.
    writer: String,
    step: String,
    what: What,
}

/// A step that has signed the volumes it writes to.
#[derive(Debug)]
pub struct Writer {
    name: String,
    step: &'static str,
    volumes: Vec<PathBuf>,
}

impl Writer {
    /// Signs every one of `volumes` before `step` writes to any.
    ///
    /// # Errors
    /// [`EtlError::Io`].
    pub fn begin(step: &'static str, volumes: &[&Path]) -> Result<Writer, EtlError> {
        let own = || format!("process {}", std::process::id());
        let writer = Writer {
            name: std::env::var(TASK_ID).unwrap_or_else(|_| own()),
            step,
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
        };
        writer.sign(What::Begins)?;
        Ok(writer)
    }

    /// Signs once more: from here on the step writes no more.
    ///
    /// # Errors
    /// [`EtlError::Io`], as when the volume was taken away meanwhile.
    pub fn end(self) -> Result<(), EtlError> {
        self.sign(What::Ends)
    }

    fn sign(&self, what: What) -> Result<(), EtlError> {
        for volume in &self.volumes {
            let path = volume.join(NAME);
            let signature = Signature {
                at: Timestamp::now(),
                writer: self.name.clone(),
                step: self.step.to_owned(),
                what,
            };
            append(&path, &signature).map_err(EtlError::io("sign", &path))?;
            durable::sync_folder(volume)?;
        }
        Ok(())
    }
}

fn append(path: &Path, signature: &Signature) -> io::Result<()> {
    let mut line = serde_json::to_vec(signature)?;
    line.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // One write: a kill leaves the line whole or not at all.
    file.write_all(&line)?;
    File::sync_all(&file)
}

/// The work of a step that only signs: it holds if told so.
///
/// # Errors
/// [`EtlError::Interrupted`].
pub fn sign(hold: &Hold) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    hold.wait("sign")?;
    Ok(Outcome::of("sign", 0, began))
}

/// Looks at the signatures of each volume: whether any two writers were there at the same time.
///
/// # Errors
/// [`EtlError::Mismatch`] when they were; [`EtlError::Input`] for a volume nobody has signed.
pub fn audit(volumes: &[PathBuf]) -> Result<Outcome, EtlError> {
    let began = Instant::now();
    let mut problems = Vec::new();
    let mut writers = 0;
    for volume in volumes {
        let path = volume.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let problem = "nobody has signed this volume".into();
                return Err(EtlError::Input { path, problem });
            }
            Err(error) => return Err(EtlError::io("read", &path)(error)),
        };
        let signatures = read(&path, &text)?;
        let (count, found) = overlaps(&signatures);
        progress("audit", format_args!("{}: {count} writers", volume.display()));
        writers += count;
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{}: {problem}", path.display())),
        );
    }
    if !problems.is_empty() {
        return Err(EtlError::Mismatch(problems.join("; ")));
    }
    let mut outcome = Outcome::of("audit", 0, began);
    outcome.writers = Some(writers);
    Ok(outcome)
}

fn read(path: &Path, text: &str) -> Result<Vec<Signature>, EtlError> {
    let line = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| EtlError::Record {
            path: path.to_owned(),
            line: index as u64 + 1,
            problem: error.to_string(),
        })
    };
    text.lines().enumerate().map(line).collect()
}

/// How many writers there were, and each line that stands where another writer had begun. A writer that was killed has no
/// last line, so the next one may begin after the first line of the one before; but then that one must be heard of no more.
fn overlaps(signatures: &[Signature]) -> (u64, Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    let mut problems = Vec::new();
    for signature in signatures {
        let writer = signature.writer.as_str();
        match signature.what {
            What::Begins if seen.contains(&writer) => problems.push(format!("{writer} began twice")),
            What::Begins => seen.push(writer),
            What::Ends if seen.last() == Some(&writer) => {}
            What::Ends => {
                let last = seen.last().copied().unwrap_or("nobody");
                problems.push(format!("{writer} still wrote when {last} had begun"));
            }
        }
    }
    (seen.len() as u64, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(lines: &[(&str, What)]) -> Vec<Signature> {
        let line = |(writer, what): &(&str, What)| Signature {
            at: Timestamp::UNIX_EPOCH,
            writer: (*writer).to_owned(),
            step: "load".to_owned(),
            what: *what,
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn writers_one_after_the_other_are_fine_also_after_a_kill() {
        use What::{Begins, Ends};
        let lines = [("a", Begins), ("a", Ends), ("b", Begins), ("c", Begins), ("c", Ends)];
        assert_eq!(overlaps(&signed(&lines)), (3, Vec::new()));
    }

    #[test]
    fn a_second_writer_is_found() {
        use What::{Begins, Ends};
        let lines = [("a", Begins), ("b", Begins), ("a", Ends), ("b", Ends)];
        assert_eq!(overlaps(&signed(&lines)).1, ["a still wrote when b had begun"]);
    }

    #[test]
    fn a_task_that_is_launched_twice_is_found() {
        use What::{Begins, Ends};
        let lines = [("a", Begins), ("a", Ends), ("a", Begins)];
        assert_eq!(overlaps(&signed(&lines)).1, ["a began twice"]);
    }

    #[test]
    fn a_volume_tells_who_signed_it() {
        let volume = tempfile::tempdir().unwrap();
        let volumes = [volume.path().to_owned()];
        assert!(audit(&volumes).is_err());
        Writer::begin("load", &[volume.path()]).unwrap().end().unwrap();
        assert_eq!(audit(&volumes).unwrap().writers, Some(1));
    }
}
