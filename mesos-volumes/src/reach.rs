//! How masters and agents are reached: as whom, and by which certificates.

use std::path::{Path, PathBuf};

use clap::Args;
use mesos_http::tls::{Tls, TlsError, TlsFiles};
use volume_labels::counted;

/// Longest file of a credential or a secret that is read.
const MAX_BYTES: u64 = 64 << 10;

/// The same options in each command that asks a master or an agent.
#[derive(Args, Debug, Default)]
pub(crate) struct Reach {
    /// A file with a principal and its secret, separated by a space, for a master or an agent that
    /// authenticates readers
    #[arg(long, value_name = "FILE", env = "MESOS_VOLUMES_CREDENTIAL")]
    pub(crate) credential: Option<PathBuf>,
    /// The principal to authenticate as, instead of --credential; its secret is read from the file
    /// of --secret-file
    #[arg(long, requires = "secret_file", env = "MESOS_VOLUMES_PRINCIPAL")]
    pub(crate) principal: Option<String>,
    /// A file with the principal's secret
    #[arg(long, value_name = "FILE", requires = "principal", env = "MESOS_VOLUMES_SECRET_FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The certificate authorities that https:// addresses have to be certified by, in PEM
    /// [default: those that this host trusts]
    #[arg(long, visible_alias = "ca", value_name = "FILE", env = "MESOS_VOLUMES_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The certificate to show to a master or an agent that asks for one, with its chain, in PEM
    #[arg(long, value_name = "FILE", requires = "key", env = "MESOS_VOLUMES_CERT")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert", env = "MESOS_VOLUMES_KEY")]
    pub(crate) key: Option<PathBuf>,
}

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] operator_files::FileError),
    /// The file of `--credential` does not have two words.
    #[error("{}: expected one line 'PRINCIPAL SECRET'; found {}", file.display(), counted(*words, "word"))]
    Form {
        /// The file.
        file: PathBuf,
        /// How many words it has.
        words: usize,
    },
}

impl Reach {
    /// The principal and its secret, when there are any.
    pub(crate) fn credential(&self) -> Result<Option<(String, String)>, CredentialError> {
        if let (Some(principal), Some(file)) = (&self.principal, &self.secret_file) {
            let secret = operator_files::read(file, MAX_BYTES)?;
            return Ok(Some((
                principal.clone(),
                secret.trim_end_matches(['\r', '\n']).to_owned(),
            )));
        }
        self.credential.as_deref().map(read_credential).transpose()
    }

    /// For an `https://` address.
    pub(crate) fn tls(&self) -> Result<Tls, TlsError> {
        Tls::load(&TlsFiles {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert.clone(),
            key_file: self.key.clone(),
        })
    }
}

fn read_credential(file: &Path) -> Result<(String, String), CredentialError> {
    let text = operator_files::read(file, MAX_BYTES)?;
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [principal, secret] => Ok(((*principal).to_owned(), (*secret).to_owned())),
        words => Err(CredentialError::Form {
            file: file.to_owned(),
            words: words.len(),
        }),
    }
}
