//! The storage's listing of its volumes, which is read at regular intervals.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use label_mapper::{Catalogue, lists_volumes};
use sha2::{Digest, Sha256};

use crate::bounded::Commands;
use crate::clock::Clock;
use crate::state::Millis;

/// Longest listing that is read: it has about 1 KB for each volume.
const MAX_BYTES: u64 = 256 << 20;

/// Where the storage's listing comes from: files, a command, or both.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Catalogue files, and listings that another program updates.
    pub files: Vec<PathBuf>,
    /// A command that prints one, run by `sh -c`.
    pub command: Option<String>,
    /// How the command is run, and how long it may take.
    pub commands: Commands,
}

impl Listing {
    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.command.is_none()
    }

    /// A fingerprint of the files and the command: listings of one source name the same volumes, as long as those exist.
    pub fn source(&self) -> String {
        hex::encode(&Sha256::digest(format!("{:?} {:?}", self.files, self.command))[..8])
    }

    /// The volumes with their aliases, and when what is said of them was true at the latest known moment: when the command was
    /// run, and when the oldest file that says something of volumes was written.
    ///
    /// # Errors
    /// One line: what cannot be read, and why.
    pub fn ask(&self, clock: &Clock) -> Result<(Catalogue, Millis), String> {
        let mut asked_ms = clock.now();
        let mut texts = Vec::new();
        for path in &self.files {
            let failed = |error: String| format!("catalogue {}: {error}", path.display());
            let written = written(path);
            let bytes = operator_files::read_bytes(path, MAX_BYTES).map_err(|error| format!("catalogue {error}"))?;
            let text = label_mapper::decoded(bytes).map_err(|error| failed(error.to_string()))?;
            if lists_volumes(&text).map_err(|error| failed(error.to_string()))? {
                asked_ms = asked_ms.min(written);
            }
            texts.push((format!("catalogue {}", path.display()), text));
        }
        if let Some(line) = &self.command {
            texts.push((format!("catalogue of '{line}'"), self.output_of(line)?));
        }
        let catalogue = Catalogue::from_sources(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        Ok((catalogue.map_err(|error| format!("catalogue: {error}"))?, asked_ms))
    }

    fn output_of(&self, line: &str) -> Result<String, String> {
        let argv = ["sh", "-c", line].map(str::to_owned);
        let output = self.commands.run(&argv, &[], &[]);
        let output = output.map_err(|error| format!("catalogue: the command '{line}' failed: {error}"))?;
        label_mapper::decoded(output).map_err(|error| format!("catalogue: the output of '{line}': {error}"))
    }
}

/// When a file was written, in milliseconds since the epoch; 0 when this is not known.
fn written(path: &Path) -> Millis {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since_epoch = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(0))
}
