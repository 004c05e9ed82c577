//! TLS for those who ask, and certificates that they show.

use std::path::PathBuf;
use std::sync::Arc;

use mesos_http::tls::{TlsError, certificates, private_key, roots};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// The files that TLS needs, in PEM.
#[derive(Clone, Debug)]
pub struct ServerTlsFiles {
    /// The service's certificate, with its chain.
    pub cert: PathBuf,
    /// The private key of the certificate, in PEM.
    pub key: PathBuf,
    /// The authorities by which clients are believed; without it clients show no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a client may come without a certificate, because the token can identify it as well.
    pub certificate_is_optional: bool,
}

/// The service's side of TLS. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be read or used.
    pub fn load(files: &ServerTlsFiles) -> Result<Self, TlsError> {
        let failed = |error| TlsError::pair(&files.cert, &files.key, &error);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let authorities = Arc::new(roots(Some(authorities))?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider);
                if files.certificate_is_optional {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier
                    .build()
                    .map_err(|error| failed(rustls::Error::General(error.to_string())))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates(&files.cert)?;
        let mut config = builder
            .with_single_cert(chain, private_key(&files.key)?)
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}
