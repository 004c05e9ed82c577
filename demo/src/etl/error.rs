//! Why a step of the job failed, in one line.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::dataset::DatasetError;

/// Why a step failed.
#[derive(Debug, Error)]
pub enum EtlError {
    /// The original data cannot be had.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
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
    /// A program of PostgreSQL could not be run.
    #[error("cannot run {}: {source} (apt-get install postgresql-15, or give --postgres-bin)", program.display())]
    NoProgram {
        /// The program.
        program: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed ({status}): {words}")]
    Program {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        words: String,
    },
    /// There is no account to run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and there is no user '{0}': apt-get install postgresql-15 makes it")]
    NoAccount(&'static str),
    /// The database user cannot reach its files.
    #[error(
        "user '{user}' cannot reach {}: {} lets it not pass (chmod o+x {})",
        target.display(), at.display(), at.display()
    )]
    Unreachable {
        /// The user PostgreSQL runs as.
        user: &'static str,
        /// The folder it needs.
        target: PathBuf,
        /// The folder that stops it.
        at: PathBuf,
    },
    /// The database refused something.
    #[error("{action}: {}", database_words(source))]
    Database {
        /// What was being done.
        action: String,
        /// The cause.
        #[source]
        source: postgres::Error,
    },
    /// A file does not have the form it should have.
    #[error("{}, line {line}: {problem}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1 with the header.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The input of a step is missing, incomplete or damaged.
    #[error("{}: {problem}", path.display())]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and which step mends it.
        problem: String,
    },
    /// There is no such batch.
    #[error(
        "there is no batch {batch} of {of}: --of is 1, 2, 3, 4, 6 or 12 (a year has 12 months), --batch from 1 to that"
    )]
    Slice {
        /// The batch.
        batch: u32,
        /// Of so many.
        of: u32,
    },
    /// A figure is not what it should be.
    #[error("{0}")]
    Mismatch(String),
    /// SIGTERM or SIGINT came.
    #[error("interrupted by a signal; PostgreSQL was stopped, and the step can be run again")]
    Interrupted,
}

impl EtlError {
    /// An I/O error with what was being done to which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EtlError {
        let path = path.to_owned();
        move |source| EtlError::Io { action, path, source }
    }

    /// A database error with what was being done.
    pub(crate) fn database(action: impl Into<String>) -> impl FnOnce(postgres::Error) -> EtlError {
        let action = action.into();
        move |source| EtlError::Database { action, source }
    }
}

/// The server's own words, where they came from the server.
fn database_words(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => {
            let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{}{detail}", said.message())
        }
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}
