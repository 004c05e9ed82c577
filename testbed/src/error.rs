//! What can go wrong with a cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use crate::package::PackageError;

/// Why a cluster, or a part of it, did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no Mesos to run.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Agents put processes into cgroups and mount.
    #[error("a Mesos agent needs root: run as root")]
    NotRoot,
    /// The command executor is a program of this workspace that nobody built.
    #[error("{} is not there: build it (cargo build -p {package}){}", path.display(), if *.release { " with --release" } else { "" })]
    NotBuilt {
        /// Where it was looked for.
        path: PathBuf,
        /// The package that makes it.
        package: &'static str,
        /// Whether this is a release build, which looks for a release build.
        release: bool,
    },
    /// A file or folder could not be read, written or made.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start {name} (with setpriv of util-linux): {source}")]
    Spawn {
        /// The process.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A process could not be signalled or waited for.
    #[error("cannot signal {name}: {source}")]
    Signal {
        /// The process.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A process ended that should run.
    #[error("{name} ended with {status}; the end of its log {}:\n{tail}", log.display())]
    Exited {
        /// The process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A state was not reached in time.
    #[error("waited {limit:?} for {what}; the end of its log:\n{tail}")]
    TimedOut {
        /// Who and for what.
        what: String,
        /// How long.
        limit: Duration,
        /// The last lines of the log.
        tail: String,
    },
    /// A master or an agent did not answer, or not with what was expected.
    #[error("{url}: {said}")]
    Http {
        /// What was asked for.
        url: String,
        /// What came.
        said: String,
    },
    /// The Docker client failed.
    #[error("docker {arguments}: {said}")]
    Docker {
        /// What was asked for.
        arguments: String,
        /// What it wrote to stderr.
        said: String,
    },
    /// No port could be had.
    #[error("no free port between {first} and {last} on 127.0.0.1")]
    NoPort {
        /// The first that was tried.
        first: u16,
        /// The last that was tried.
        last: u16,
    },
    /// The cluster could not be cleaned away.
    #[error("left over after the cluster was torn down: {}", .0.join("; "))]
    LeftOver(Vec<String>),
}

impl ClusterError {
    /// For `map_err`: an I/O error with what was tried on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
        let path = path.to_owned();
        move |source| ClusterError::Io { action, path, source }
    }
}
