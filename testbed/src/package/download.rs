//! The download: a Python script, because the library that reads PyPI's project pages is one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::command::{last_line, run};
use super::{Cache, Package, PackageError};

const SCRIPT: &str = include_str!("../../fetch/fetch.py");
const REQUIREMENTS: &str = include_str!("../../fetch/requirements.txt");

/// The download script with what it imports.
pub(super) struct Downloader {
    environment: PathBuf,
}

impl Downloader {
    /// Makes the script's Python environment in the cache when it is not there yet.
    ///
    /// # Errors
    /// Python or its venv module is missing, or the registry does not answer.
    pub(super) fn prepare(cache: &Cache) -> Result<Downloader, PackageError> {
        Ok(Downloader {
            environment: environment(cache)?,
        })
    }

    /// Downloads `package` to `destination`, unchecked. Progress goes to stderr.
    ///
    /// # Errors
    /// The registry does not answer, or does not have the file.
    pub(super) fn download(&self, package: &Package, destination: &Path) -> Result<(), PackageError> {
        let megabytes = package.size as f64 / 1e6;
        eprintln!(
            "downloading {} of the PyPI project {} ({megabytes:.1} MB)",
            package.file, package.project
        );
        let python = self.environment.join("bin/python");
        let mut script = Command::new(&python)
            .arg(self.environment.join("fetch.py"))
            .args([&package.project, &package.file])
            .arg(destination)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(PackageError::io("run", &python))?;
        let mut said = String::from("it said nothing");
        let words = script.stderr.take().expect("stderr is piped");
        for line in BufReader::new(words)
            .lines()
            .map_while(Result::ok)
            .filter(|line| !line.trim().is_empty())
        {
            eprintln!("{line}");
            said = line;
        }
        let status = script.wait().map_err(PackageError::io("wait for", &python))?;
        if !status.success() {
            let (project, file) = (package.project.clone(), package.file.clone());
            return Err(PackageError::Unreachable {
                project,
                file,
                said: said.trim().to_owned(),
            });
        }
        Ok(())
    }
}

/// A virtual environment with the script and what it imports. A virtual environment has its own path in its files,
/// so it is the one thing that cannot be made aside and renamed: a marker inside says that it is complete.
fn environment(cache: &Cache) -> Result<PathBuf, PackageError> {
    let key = hex::encode(&Sha256::digest([SCRIPT, REQUIREMENTS].concat())[..6]);
    cache.folder_in_place(&format!("download-{key}"), |folder| {
        eprintln!("making a Python environment for the download");
        let made = run(Command::new("python3").args(["-m", "venv"]).arg(folder), "python3", "python3 python3-venv")?;
        if !made.status.success() {
            return Err(PackageError::Venv {
                program: "python3 -m venv".to_owned(),
                said: last_line(&[made.stdout, made.stderr].concat()),
                remedy: "apt-get install python3-venv",
            });
        }
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, REQUIREMENTS).map_err(PackageError::io("write", &requirements))?;
        let installed = run(
            Command::new(folder.join("bin/python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements),
            "pip",
            "python3-venv",
        )?;
        if !installed.status.success() {
            return Err(PackageError::Venv {
                program: "pip install".to_owned(),
                said: last_line(&installed.stderr),
                remedy: "once the package registry can be reached (PIP_INDEX_URL names another one), run `testbed fetch`",
            });
        }
        let script = folder.join("fetch.py");
        fs::write(&script, SCRIPT).map_err(PackageError::io("write", &script))
    })
}
