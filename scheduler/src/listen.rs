//! Where `scheduler serve` listens, and which clients it lets in.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use scheduler::access::{Access, Hosts, ServerTls, ServerTlsFiles, Sessions, Token};
use tokio::net::TcpListener;

use crate::{Failure, usage};

#[derive(Args)]
pub(crate) struct ListenArgs {
    /// The address of the API and the page. A client that is let in can run commands on the
    /// cluster, so an address that other hosts reach needs --token-file or --tls-client-ca
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8180")]
    pub(crate) listen: SocketAddr,
    /// The name or address by which clients reach the scheduler, with or without a port; requests
    /// for it are answered
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Option<String>,
    /// A further host name to answer to, such as that of a proxy. May be repeated. Without it these are localhost and the
    /// addresses of this host
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// A file with the token that programs send as `Authorization: Bearer TOKEN` and people give in a form
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Serve with TLS: the certificate, in PEM, with its chain
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let in clients with a certificate of these authorities, in PEM. With --token-file, a
    /// certificate or the token is enough
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Listen where other hosts reach it without a token and a client certificate, because something else keeps them away
    #[arg(long)]
    insecure_listen: bool,
}

/// What decides which clients are let in, read and checked.
pub(crate) struct Entrance {
    hosts: Vec<String>,
    token: Option<Token>,
    pub(crate) tls: Option<ServerTls>,
}

impl ListenArgs {
    /// Reads the files, and refuses settings that would let every client in.
    pub(crate) fn entrance(&self) -> Result<Entrance, Failure> {
        let token = self.token_file.as_deref().map(Token::read).transpose().map_err(usage)?;
        let is_open = token.is_none() && self.tls_client_ca.is_none() && !self.listen.ip().to_canonical().is_loopback();
        if is_open && !self.insecure_listen {
            return Err(usage(format!(
                "--listen {0}: every host that reaches this address could run commands on the cluster; give --token-file, or \
                 --tls-client-ca with --tls-cert, or --insecure-listen when something else keeps others away",
                self.listen
            )));
        }
        if is_open {
            warn(&format!(
                "every client that reaches {} can run commands on the cluster (--insecure-listen)",
                self.listen
            ));
        } else if token.is_some() && self.tls_cert.is_none() && !self.listen.ip().to_canonical().is_loopback() {
            warn("the token goes over the network in clear text; --tls-cert and --tls-key protect it");
        }
        let hosts: Vec<String> = self.advertise.iter().chain(&self.allow_host).cloned().collect();
        let mut checked = Hosts::default();
        for host in &hosts {
            checked
                .allow(host)
                .map_err(|error| usage(format!("--allow-host or --advertise: {error}")))?;
        }
        Ok(Entrance {
            hosts,
            tls: self.tls(token.is_some())?,
            token,
        })
    }

    fn tls(&self, certificate_is_optional: bool) -> Result<Option<ServerTls>, Failure> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let files = ServerTlsFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: self.tls_client_ca.clone(),
            certificate_is_optional,
        };
        ServerTls::load(&files).map(Some).map_err(usage)
    }

    pub(crate) async fn bind(&self) -> Result<TcpListener, Failure> {
        let bound = TcpListener::bind(self.listen).await;
        bound.map_err(|error| {
            usage(match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!("{} is used by another program; give another --listen", self.listen)
                }
                _ => format!("--listen {}: {error}", self.listen),
            })
        })
    }
}

impl Entrance {
    /// The rules for requests to a service that listens on `address`.
    pub(crate) fn access(&self, address: SocketAddr) -> Access {
        let mut hosts = Hosts::listening_on(address);
        for host in &self.hosts {
            // The host was checked before the start.
            let _ = hosts.allow(host);
        }
        Access::new(
            hosts,
            self.token.clone(),
            Sessions::new(address.port(), self.tls.is_some()),
        )
    }
}

fn warn(message: &str) {
    eprintln!("scheduler: warning: {message}");
}
