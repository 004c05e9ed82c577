//! TLS to masters and agents. Always verified: [`Tls::load`] takes no other way.

pub use http_transport::tls::{Tls, TlsError, TlsFiles, certificates, private_key, roots};
