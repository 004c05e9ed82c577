//! TLS to masters and agents: always verified.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

/// The files that TLS needs, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate authorities to believe; without it those this host trusts.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to a peer that asks for one, with its chain.
    pub cert_file: Option<PathBuf>,
    /// The certificate's key.
    pub key_file: Option<PathBuf>,
}

/// Why TLS cannot be set up: the file, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl TlsError {
    /// A certificate and a key that do not go together.
    pub fn pair(cert: &Path, key: &Path, error: &rustls::Error) -> TlsError {
        let (cert, key) = (cert.display(), key.display());
        TlsError(format!("the certificate {cert} with the key {key}: {error}"))
    }
}

/// How to speak TLS: whom to believe, and what to show. Cheap to clone.
///
/// A peer's certificate has to be signed by an authority that is believed, to be for the host name in the address, and to
/// be valid now. There is no way around that.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("client_certificate", &self.0.client_auth_cert_resolver.has_certs())
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be read or used.
    pub fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?
            .with_root_certificates(roots(files.ca_file.as_deref())?);
        let mut config = match (&files.cert_file, &files.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let failed = |error| TlsError::pair(cert, key, &error);
                builder
                    .with_client_auth_cert(chain, private_key(key)?)
                    .map_err(failed)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => {
                return Err(TlsError(
                    "certificate and key belong together; one is missing".to_owned(),
                ));
            }
        };
        // OpenSSL servers that want client certificates break off when a session is resumed without a context id, which
        // some of them do not set.
        config.resumption = Resumption::disabled();
        Ok(Tls(Arc::new(config)))
    }

    /// Believes the certificate authorities that this host trusts, read once for the process.
    ///
    /// # Errors
    /// [`TlsError`] when the host trusts none.
    pub fn of_host() -> Result<Tls, TlsError> {
        static OF_HOST: OnceLock<Result<Tls, TlsError>> = OnceLock::new();
        OF_HOST.get_or_init(|| Tls::load(&TlsFiles::default())).clone()
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

/// The certificate authorities of a PEM file; without a file those this host trusts.
///
/// # Errors
/// [`TlsError`] names the file that cannot be read or used.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca_file else {
        // Single certificates that cannot be read are no reason to refuse the others; having none is.
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            return Err(TlsError(
                "this host trusts no certificate authority: name a CA file, or install ca-certificates".to_owned(),
            ));
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| TlsError(format!("the CA file {}: {error}", path.display())))?;
    }
    Ok(store)
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// [`TlsError`] names the file that cannot be read or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why: &dyn fmt::Display| TlsError(format!("the certificate file {}: {why}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(&error))?;
    if certificates.is_empty() {
        return Err(failed(&"there is none in it (PEM is expected)"));
    }
    Ok(certificates)
}

/// The private key of a PEM file.
///
/// # Errors
/// [`TlsError`] names the file that cannot be read or has none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError(format!("the key {}: {error}", path.display())))
}

/// What went wrong between two TLS peers, in words that say what to look at.
pub(crate) fn explained(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by no authority that is believed here; name the CA file it belongs to".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            format!("its certificate is for another host: {error}")
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!("its certificate has expired: {error}")
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS; is it an http:// address?".to_owned(),
        other => refused_certificate(other).unwrap_or_else(|| other.to_string()),
    }
}

/// When the error is the peer's refusal of our certificate. With TLS 1.3 it comes after the request was written, but a peer
/// that refuses the certificate has not read the request.
pub(crate) fn refused_certificate(error: &rustls::Error) -> Option<String> {
    let rustls::Error::AlertReceived(alert) = error else {
        return None;
    };
    match alert {
        AlertDescription::CertificateRequired => {
            Some("it wants a client certificate: name a certificate and its key".to_owned())
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::HandshakeFailure => Some(format!("it refuses the client certificate ({alert:?})")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(files: TlsFiles) -> String {
        Tls::load(&files).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
        let error = load(TlsFiles {
            ca_file,
            ..TlsFiles::default()
        });
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let files = TlsFiles {
            ca_file: None,
            cert_file: Some("/nowhere/cert.pem".into()),
            key_file: None,
        };
        // The host's own authorities come first, and a host may have none.
        let error = load(files);
        assert!(
            error.contains("belong together") || error.contains("ca-certificates"),
            "{error}"
        );
    }
}
