//! Where a driver listens.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The address of one driver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// HTTP over TCP, unencrypted.
    Tcp {
        /// `host:port`.
        authority: String,
    },
    /// HTTPS.
    Tls {
        /// `host:port`; the host is the name the certificate must be for.
        authority: String,
        /// Which certificates are believed and shown.
        tls: TlsSettings,
    },
}

/// Which certificates are believed and shown, as in the `TLSConfig` of a plugin's `.json` file.
///
/// Unlike Docker, which verifies only when there is a `CAFile`, verification is on unless
/// `InsecureSkipVerify` says otherwise; without a `CAFile` the host's trusted roots decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSettings {
    /// Certificates of the authorities to believe, PEM. None: those the host trusts.
    #[serde(rename = "CAFile", default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain, PEM. Needs `key_file`.
    #[serde(rename = "CertFile", default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The client's private key, PEM. Needs `cert_file`.
    #[serde(rename = "KeyFile", default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Believe any server. Default false.
    #[serde(rename = "InsecureSkipVerify", default)]
    pub insecure_skip_verify: bool,
}

impl TlsSettings {
    /// Whether nothing is set, as in a spec without `TLSConfig` or with an empty one.
    pub fn is_empty(&self) -> bool {
        *self == TlsSettings::default()
    }
}

impl Endpoint {
    /// Reads an address: an absolute path or `unix://PATH`, `tcp://HOST:PORT`, `http://HOST:PORT`, `https://HOST[:PORT]`.
    ///
    /// A path after the authority is ignored, as in Docker.
    ///
    /// # Errors
    /// What is wrong with the address, and the accepted forms. TLS settings with an address that is not `https://` are refused: Docker
    /// then silently speaks plain text.
    pub fn parse(address: &str, tls: Option<TlsSettings>) -> Result<Endpoint, String> {
        let address = address.trim();
        let tls = tls.filter(|tls| !tls.is_empty());
        let refuse_tls = |endpoint| match tls {
            None => Ok(endpoint),
            Some(_) => Err(format!(
                "'{address}' has TLS settings but is not https://: it would be spoken in plain text; write \
                 https:// or remove the TLSConfig"
            )),
        };
        if address.starts_with('/') {
            return refuse_tls(Endpoint::Unix(PathBuf::from(address)));
        }
        let Some((scheme, rest)) = address.split_once("://") else {
            return Err(format!("'{address}' has no scheme: {ACCEPTED}"));
        };
        match scheme {
            "unix" if rest.starts_with('/') => refuse_tls(Endpoint::Unix(PathBuf::from(rest))),
            "unix" => Err(format!("'{address}': the path of a unix socket must be absolute")),
            "tcp" | "http" => refuse_tls(Endpoint::Tcp {
                authority: authority(address, rest, 80)?,
            }),
            "https" => {
                let tls = tls.clone().unwrap_or_default();
                if tls.cert_file.is_some() != tls.key_file.is_some() {
                    return Err(format!(
                        "'{address}': CertFile and KeyFile belong together; one is missing"
                    ));
                }
                Ok(Endpoint::Tls {
                    authority: authority(address, rest, 443)?,
                    tls,
                })
            }
            _ => Err(format!("'{address}' has the unknown scheme '{scheme}': {ACCEPTED}")),
        }
    }

    /// One text for one listener: two paths of sockets can lead to one socket through a symlink.
    pub fn listener(&self) -> String {
        match self {
            Endpoint::Unix(path) => {
                let real = std::fs::canonicalize(path);
                format!("unix://{}", real.as_ref().unwrap_or(path).display())
            }
            other => other.to_string(),
        }
    }

    /// The socket's path, when it is one.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Endpoint::Unix(path) => Some(path),
            _ => None,
        }
    }
}

const ACCEPTED: &str = "it should be unix:///PATH, tcp://HOST:PORT, http://HOST:PORT or https://HOST:PORT";

/// `host:port` of the part after `://`, checked by the parser that the requests will use.
fn authority(address: &str, rest: &str, default_port: u16) -> Result<String, String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let invalid = |why: &str| format!("'{address}' is no address: {why}");
    let parsed: http::uri::Authority = rest[..end].parse().map_err(|e| invalid(&format!("{e}")))?;
    if parsed.host().is_empty() {
        return Err(invalid("the host is missing"));
    }
    if parsed.as_str().contains('@') {
        return Err(invalid("user names and passwords are not sent to drivers"));
    }
    let host = parsed.host();
    let port = match parsed.as_str()[host.len()..].strip_prefix(':') {
        None => default_port,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("the port is no number from 1 to 65535"))?,
    };
    Ok(format!("{host}:{port}"))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp { authority } => write!(f, "tcp://{authority}"),
            Endpoint::Tls { authority, .. } => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(authority: &str) -> Endpoint {
        Endpoint::Tcp {
            authority: authority.to_owned(),
        }
    }

    #[test]
    fn every_accepted_form_is_read() {
        for (text, endpoint) in [
            ("/run/x.sock", Endpoint::Unix("/run/x.sock".into())),
            ("unix:///run/x.sock\n", Endpoint::Unix("/run/x.sock".into())),
            ("tcp://localhost:18787", tcp("localhost:18787")),
            ("http://[::1]:80/ignored?x", tcp("[::1]:80")),
            ("http://plugin.example", tcp("plugin.example:80")),
            (
                "https://plugin.example",
                Endpoint::Tls {
                    authority: "plugin.example:443".to_owned(),
                    tls: TlsSettings::default(),
                },
            ),
        ] {
            assert_eq!(Endpoint::parse(text, None), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_accepted_forms() {
        for text in [
            "",
            "localhost:80",
            "ftp://x",
            "unix://relative",
            "tcp://",
            "tcp://:7981",
            "tcp://x:0",
            "tcp://x:99999",
            "http://user:pw@x:1",
            "tcp://a b:1",
        ] {
            let message = Endpoint::parse(text, None).expect_err(text);
            assert!(
                message.contains("should be") || message.contains(text.trim()),
                "{text}: {message}"
            );
        }
    }

    #[test]
    fn plain_text_with_tls_settings_is_refused() {
        let tls = TlsSettings {
            ca_file: Some("/ca.pem".into()),
            ..TlsSettings::default()
        };
        for text in ["tcp://x:1", "http://x:1", "/run/x.sock"] {
            assert!(
                Endpoint::parse(text, Some(tls.clone()))
                    .unwrap_err()
                    .contains("plain text"),
                "{text}"
            );
        }
        assert!(Endpoint::parse("https://x:1", Some(tls)).is_ok());
        assert!(Endpoint::parse("tcp://x:1", Some(TlsSettings::default())).is_ok());
    }
}
