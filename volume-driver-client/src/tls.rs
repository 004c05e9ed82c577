//! TLS to a driver: verified unless the operator says otherwise.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};

use crate::endpoint::TlsSettings;
use crate::socket::Socket;

/// What is needed to speak TLS with one driver.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsClient({:?})", self.server)
    }
}

impl TlsClient {
    /// Reads the certificates and the key.
    ///
    /// # Errors
    /// The file that cannot be read or used and why.
    pub(crate) fn new(authority: &str, settings: &TlsSettings) -> Result<TlsClient, String> {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let server = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("'{host}' is no name that a certificate can be for"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if settings.insecure_skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        } else {
            builder.with_root_certificates(roots(settings.ca_file.as_deref())?)
        };
        let mut config = match (&settings.cert_file, &settings.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let key_der =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| format!("KeyFile {}: {error}", key.display()))?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|error| format!("CertFile {} with KeyFile {}: {error}", cert.display(), key.display()))?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err("CertFile and KeyFile belong together; one is missing".to_owned()),
        };
        // Docker does not resume sessions, either: OpenSSL servers that want client certificates break off when a session is
        // resumed without a context id, which socat and others do not set.
        config.resumption = Resumption::disabled();
        Ok(TlsClient {
            config: Arc::new(config),
            server,
        })
    }

    /// Completes the handshake within the socket's deadline, so that a server that is refused, or refuses, got nothing of the
    /// request.
    pub(crate) fn handshake(&self, mut socket: Socket) -> io::Result<StreamOwned<ClientConnection, Socket>> {
        let mut tls = ClientConnection::new(self.config.clone(), self.server.clone()).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(tls, socket))
    }
}

/// The certificates to believe: those in the file, else those this host trusts.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca_file else {
        // Single certificates that cannot be read are no reason to refuse the others; having none is.
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(format!(
                "this host trusts no certificate authority ({}): name a CAFile",
                if why.is_empty() {
                    "ca-certificates is not installed".to_owned()
                } else {
                    why.join("; ")
                }
            ));
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| format!("CAFile {}: {error}", path.display()))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(&error))?;
    if certificates.is_empty() {
        return Err(failed(&"no certificate in it (PEM is expected)"));
    }
    Ok(certificates)
}

/// When the error is the server's refusal of our certificate: with TLS 1.3 it arrives after the request was
/// written, but a server that refuses the certificate has not read the request.
pub(crate) fn refused_certificate(error: &io::Error) -> Option<String> {
    let rustls::Error::AlertReceived(alert) = error.get_ref()?.downcast_ref()? else {
        return None;
    };
    match alert {
        AlertDescription::CertificateRequired => {
            Some("the server wants a client certificate: set CertFile and KeyFile".to_owned())
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::HandshakeFailure => Some(format!("the server refused the client certificate ({alert:?})")),
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
