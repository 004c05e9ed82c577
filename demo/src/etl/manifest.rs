//! The manifest of a folder of CSV files: how many rows each has, and its digest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EtlError, Slice, durable};

const NAME: &str = "manifest.json";

/// Manifests of before there were several batches do not say of how many.
fn one() -> u32 {
    1
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Rows, the header not counted.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

/// What lies in a folder that one step hands to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The step that wrote it.
    pub step: String,
    /// The batch.
    pub batch: u32,
    /// Of how many.
    #[serde(default = "one")]
    pub of: u32,
    /// What it was made of: the snapshot of the database, or the digest of the manifest before.
    pub source: String,
    /// File name without `.csv` to its entry.
    pub files: BTreeMap<String, Entry>,
}

impl Manifest {
    /// Writes it into `folder`, synced.
    ///
    /// # Errors
    /// [`EtlError::Io`].
    pub fn write(&self, folder: &Path) -> Result<(), EtlError> {
        durable::write(&folder.join(NAME), &self.bytes())
    }

    /// Reads it from `folder` and checks every file against it.
    ///
    /// # Errors
    /// [`EtlError::Input`] when it is missing, or a file is not as it says.
    pub fn read(folder: &Path) -> Result<Manifest, EtlError> {
        let path = folder.join(NAME);
        let input = |path: &Path, problem: String| EtlError::Input {
            path: path.to_owned(),
            problem,
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(input(&path, "there is no manifest: run the step before first".into()));
            }
            Err(error) => return Err(EtlError::io("read", &path)(error)),
        };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| input(&path, format!("no manifest: {error}")))?;
        for (name, entry) in &manifest.files {
            let path = Manifest::file(folder, name);
            let found = digest(&path)?;
            if found != *entry {
                return Err(input(&path, format!("it has {found:?}, the manifest says {entry:?}")));
            }
        }
        Ok(manifest)
    }

    /// Reads it as [`Manifest::read`] does; it must be of this slice of the data.
    ///
    /// # Errors
    /// [`EtlError::Input`], also when it is of another slice.
    pub fn of_slice(folder: &Path, slice: Slice) -> Result<Manifest, EtlError> {
        let manifest = Manifest::read(folder)?;
        if (manifest.batch, manifest.of) == (slice.batch(), slice.of()) {
            return Ok(manifest);
        }
        let (batch, of) = (manifest.batch, manifest.of);
        Err(EtlError::Input {
            path: folder.join(NAME),
            problem: format!("it is of batch {batch} of {of}, not of {slice}: run the step before again"),
        })
    }

    /// The SHA-256 of the manifest itself, in hexadecimal: it stands for all the files.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.bytes()))
    }

    /// The rows of one file; 0 if there is no such file.
    pub fn rows(&self, name: &str) -> u64 {
        self.files.get(name).map_or(0, |entry| entry.rows)
    }

    /// The path of a file in a folder with a manifest.
    pub fn file(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.csv"))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        bytes.push(b'\n');
        bytes
    }
}

/// A CSV file being written, counted and digested on the way.
#[derive(Debug)]
pub struct CountedFile {
    path: PathBuf,
    file: BufWriter<File>,
    lines: u64,
    bytes: u64,
    digest: Sha256,
}

impl CountedFile {
    /// Makes the file.
    ///
    /// # Errors
    /// [`EtlError::Io`].
    pub fn create(path: &Path) -> Result<CountedFile, EtlError> {
        let file = File::create(path).map_err(EtlError::io("write", path))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(CountedFile {
            path: path.to_owned(),
            file,
            lines: 0,
            bytes: 0,
            digest: Sha256::new(),
        })
    }

    /// Syncs the file and returns its entry. The first line is the header.
    ///
    /// # Errors
    /// [`EtlError::Io`].
    pub fn finish(mut self) -> Result<Entry, EtlError> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(EtlError::io("write", &self.path))?;
        let rows = self.lines.saturating_sub(1);
        Ok(Entry {
            rows,
            bytes: self.bytes,
            sha256: hex::encode(self.digest.finalize()),
        })
    }
}

impl Write for CountedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        let bytes = &bytes[..written];
        self.digest.update(bytes);
        self.bytes += written as u64;
        // No field of these tables holds a line break, so lines are rows.
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn digest(path: &Path) -> Result<Entry, EtlError> {
    let mut file = File::open(path).map_err(EtlError::io("open", path))?;
    let mut entry = Entry {
        rows: 0,
        bytes: 0,
        sha256: String::new(),
    };
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let amount = file.read(&mut buffer).map_err(EtlError::io("read", path))?;
        if amount == 0 {
            break;
        }
        digest.update(&buffer[..amount]);
        entry.bytes += amount as u64;
        entry.rows += buffer[..amount].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    entry.rows = entry.rows.saturating_sub(1);
    entry.sha256 = hex::encode(digest.finalize());
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with_a_file() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut file = CountedFile::create(&Manifest::file(folder.path(), "t")).unwrap();
        file.write_all(b"a,b\n1,2\n3,4\n").unwrap();
        let files = BTreeMap::from([("t".to_owned(), file.finish().unwrap())]);
        let manifest = Manifest {
            step: "test".into(),
            batch: 1,
            of: 1,
            source: "none".into(),
            files,
        };
        manifest.write(folder.path()).unwrap();
        folder
    }

    #[test]
    fn a_manifest_counts_rows_without_the_header() {
        let folder = folder_with_a_file();
        assert_eq!(Manifest::read(folder.path()).unwrap().rows("t"), 2);
    }

    #[test]
    fn a_changed_file_is_found_out() {
        let folder = folder_with_a_file();
        fs::write(Manifest::file(folder.path(), "t"), "a,b\n1,2\n3,5\n").unwrap();
        let error = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("t.csv") && error.contains("the manifest says"),
            "{error}"
        );
    }
}
