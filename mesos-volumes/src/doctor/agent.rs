//! What a running agent says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesos_http::Endpoint;
use mesos_http::endpoint::EndpointError;
use mesos_http::operator;
use mesos_http::tls::TlsError;

use crate::reach::{CredentialError, Reach};

/// An agent that is well answers at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The port of an agent's API unless `--port` sets another one (Mesos' documentation of agents).
const AGENTS_PORT: u16 = 5051;

/// Its version and the flags it runs with, those left at their defaults included.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) version: String,
    flags: BTreeMap<String, String>,
}

/// How to ask it.
pub(super) struct Asking<'a> {
    pub(super) url: &'a str,
    /// As whom, and by which certificates.
    pub(super) reach: &'a Reach,
    /// How long each answer may take.
    pub(super) patience: Duration,
}

/// Why an agent does not answer, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// The credential cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A master answers at the address.
    #[error("{url} is a Mesos master, not an agent")]
    Master {
        /// The address as it was given.
        url: String,
        /// The address that an agent on the same host usually has.
        usual: String,
    },
    /// TLS cannot be set up with the files given.
    #[error(transparent)]
    TlsFiles(#[from] TlsError),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] mesos_http::Error),
}

impl AskError {
    /// The check that failed.
    pub(super) fn check(&self) -> &'static str {
        match self {
            Self::Credential(_) => "credential",
            _ => "agent",
        }
    }

    /// The remedy.
    pub(super) fn remedy(&self) -> String {
        let remedy = match self {
            Self::Address(_) => {
                "correct --agent-url: it is like http://10.0.0.7:5051, or https:// for an agent with TLS"
            }
            Self::Credential(CredentialError::File(_)) => {
                "name a file in --credential or --secret-file that this user can read"
            }
            Self::Credential(CredentialError::Form { .. }) => "correct the file",
            Self::Master { usual, .. } => return format!("give the agent's address, usually {usual}"),
            Self::Call(mesos_http::Error::HostNotFound { .. }) => {
                "correct the host in --agent-url, or the name resolution of this host"
            }
            Self::TlsFiles(_) => "correct --ca-file, --cert or --key: files in PEM",
            Self::Call(mesos_http::Error::Tls { .. }) => {
                "name the file of the authority that signed the agent's certificate (--ca-file), and a certificate with its key if \
                 the agent wants one (--cert, --key); for an agent without TLS write http:// in --agent-url"
            }
            Self::Call(mesos_http::Error::Unauthenticated { .. } | mesos_http::Error::Forbidden { .. }) => {
                "name a file with a principal that may read the agent's flags, and its secret (--credential)"
            }
            Self::Call(mesos_http::Error::Uncertain { .. }) => {
                "if the agent has TLS, write https:// in --agent-url; otherwise look at the last lines of its log"
            }
            Self::Call(_) => "start the agent (see the end of its log), or correct --agent-url",
        };
        remedy.to_owned()
    }
}

impl Agent {
    /// # Errors
    /// Why it does not say.
    pub(super) fn ask(asking: &Asking<'_>) -> Result<Agent, AskError> {
        let endpoint: Endpoint = asking.url.trim_end_matches('/').parse()?;
        let host = endpoint.authority().rsplit_once(':').map_or("", |(host, _)| host);
        let scheme = if asking.url.starts_with("https://") {
            "https"
        } else {
            "http"
        };
        let usual = format!("{scheme}://{host}:{AGENTS_PORT}");
        let mut agent = operator::Agent::new(endpoint, asking.patience);
        if asking.url.starts_with("https://") {
            agent = agent.with_tls(asking.reach.tls()?);
        }
        if let Some((principal, secret)) = asking.reach.credential()? {
            agent = agent.with_credential(&principal, &secret);
        }
        let found = Agent {
            version: agent.version()?.version,
            flags: agent.flags()?,
        };
        if found.is_master() {
            return Err(AskError::Master {
                url: asking.url.to_owned(),
                usual,
            });
        }
        Ok(found)
    }

    /// Masters answer the same calls. Every master has the flag `registry`, which no agent has.
    fn is_master(&self) -> bool {
        self.flags.contains_key("registry")
    }

    /// A flag's value; empty when it is not set.
    pub(super) fn flag(&self, name: &str) -> &str {
        self.flags.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What `--modules` says, or the files of `--modules_dir` in the order in which the agent reads
    /// them.
    ///
    /// # Errors
    /// One line about the folder or the file.
    pub(super) fn modules(&self) -> Result<Vec<String>, String> {
        let folder = self.flag("modules_dir");
        if folder.is_empty() {
            return Ok(vec![self.flag("modules").to_owned()]);
        }
        let folder = Path::new(folder.strip_prefix("file://").unwrap_or(folder));
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(|error| failed(folder, error))?;
        files.sort();
        files
            .iter()
            .map(|file| fs::read_to_string(file).map_err(|error| failed(file, error)))
            .collect()
    }
}
