//! How to speak TLS: which authorities to believe, and which certificate to show.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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

/// Why TLS cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("the {what} {}: {reason}", file.display())]
    File {
        /// What the file is to hold: `CA file`, `certificate file` or `key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The certificate and the key do not belong together.
    #[error("the certificate {} with the key {}: {reason}", cert.display(), key.display())]
    Pair {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The cause.
        reason: String,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("certificate and key belong together; one is missing")]
    HalfPair,
    /// No CA file is named, and the host has no authorities.
    #[error("this host trusts no certificate authority ({0}): name a CA file, or install ca-certificates")]
    NoAuthorities(
        /// Which files were looked at, and what was wrong with them.
        String,
    ),
    /// The peer's address has no host name or IP address.
    #[error("'{0}' is no name that a certificate can be for")]
    ServerName(
        /// The host in the address.
        String,
    ),
    /// The TLS library refuses to start.
    #[error("TLS cannot be set up: {0}")]
    Library(
        /// The cause.
        String,
    ),
}

impl TlsError {
    /// A certificate and a key that do not belong together.
    pub fn pair(cert: &Path, key: &Path, error: &rustls::Error) -> TlsError {
        TlsError::Pair {
            cert: cert.to_owned(),
            key: key.to_owned(),
            reason: error.to_string(),
        }
    }

    fn file(what: &'static str, file: &Path, reason: impl fmt::Display) -> TlsError {
        TlsError::File {
            what,
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// How to speak TLS: which authorities to believe, and which certificate to show. Cheap to clone.
///
/// A peer's certificate has to be signed by an authority that is believed, to be for the host name
/// in the address, and to be valid now. Only [`Tls::load_unverified`] turns that off.
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
        Tls::build(files, |builder, _| {
            Ok(builder.with_root_certificates(roots(files.ca_file.as_deref())?))
        })
    }

    /// Reads the certificate to show, and believes every peer, because the operator says so.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be read or used.
    pub fn load_unverified(files: &TlsFiles) -> Result<Tls, TlsError> {
        Tls::build(files, |builder, provider| {
            Ok(builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(provider))))
        })
    }

    fn build(
        files: &TlsFiles,
        verified: impl FnOnce(Unverified, Arc<CryptoProvider>) -> Result<Verified, TlsError>,
    ) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Library(error.to_string()))?;
        let builder = verified(builder, provider)?;
        let mut config = match (&files.cert_file, &files.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let failed = |error| TlsError::pair(cert, key, &error);
                builder
                    .with_client_auth_cert(chain, private_key(key)?)
                    .map_err(failed)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::HalfPair),
        };
        // Docker does not resume sessions, either: OpenSSL servers that want client certificates
        // break off when a session is resumed without a context id, which socat and others do not
        // set.
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

type Unverified = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;
type Verified = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// The name that the certificate of a peer at `host` has to be for. An IPv6 address may have its
/// brackets.
///
/// # Errors
/// [`TlsError::ServerName`] when no certificate can be for it.
pub fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName(host.to_owned()))
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
            let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::NoAuthorities(if reasons.is_empty() {
                "none is installed".to_owned()
            } else {
                reasons.join("; ")
            }));
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| TlsError::file("CA file", path, error))?;
    }
    Ok(store)
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// [`TlsError`] names the file that cannot be read or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::file("certificate file", path, error))?;
    if certificates.is_empty() {
        let reason = "there is none in it (PEM is expected)";
        return Err(TlsError::file("certificate file", path, reason));
    }
    Ok(certificates)
}

/// The private key of a PEM file.
///
/// # Errors
/// [`TlsError`] names the file that cannot be read or has none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::file("key", path, error))
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

/// When the error is the peer's refusal of our certificate. With TLS 1.3 it comes after the request
/// was written, but a peer that refuses the certificate has not read the request.
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

/// Believes any server, on the operator's word (`InsecureSkipVerify`).
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
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
