//! One request and its answer: sent at most once, with one deadline over everything.

use std::io;
use std::time::{Duration, Instant};

use http_transport::tls::{Tls, TlsError, TlsFiles, server_name};
use http_transport::{Cause, CompleteResponse, Limits, Method, Reuse, Route};

use crate::endpoint::{Endpoint, TlsSettings};
use crate::operation::Operation;

/// Docker's media type. Go and Python servers ignore both headers, axum-style servers want a JSON
/// content type.
const ACCEPT: &str = "application/vnd.docker.plugins.v1.2+json";
const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";
/// What Docker sends since 25.0: Go servers answer 400 to a missing `Host` or one with slashes in
/// it.
const UNIX_HOST: &str = "plugin.moby.localhost";
/// The pauses before a driver that refuses connections is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const USER_AGENT: &str = concat!("volume-driver-client/", env!("CARGO_PKG_VERSION"));

/// Time for one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// The whole call.
    pub(crate) total: Duration,
    /// Connecting, within the whole.
    pub(crate) connect: Duration,
    /// For how long a driver that refuses connections is tried again, within the whole.
    pub(crate) wait: Duration,
}

/// Why there is no complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing of the request was sent.
    NotSent(String),
    /// Nothing was sent, and trying again cannot help until the operator acts.
    Misconfigured(String),
    /// The request may have been sent, in part or whole; no complete answer came in time.
    Late(String),
    /// The request may have been sent, in part or whole; the connection ended before the answer was complete.
    Broken(String),
    /// Something came that is not an HTTP answer within the limits.
    Garbage(String),
}

/// Sends requests to one endpoint.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    /// None when it is not possible as things are set, with the reason.
    transport: Result<http_transport::Client, TlsError>,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) operation: Operation,
    pub(crate) body: &'a [u8],
    /// Longest answer that is read, in bytes.
    pub(crate) max_answer: usize,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Client {
        let tls = match &endpoint {
            Endpoint::Tls { authority, tls } => load(authority, tls).map(Some),
            Endpoint::Unix(_) | Endpoint::Tcp { .. } => Ok(None),
        };
        let transport = tls.map(|tls| {
            let route = Route {
                socket: endpoint.socket().map(Into::into),
                tls,
                through_proxy: false,
            };
            http_transport::Client::new(route, USER_AGENT)
        });
        Client { endpoint, transport }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One call. A changing one is made again only when the connection was refused, never once it
    /// was made.
    pub(crate) fn call(&self, request: Request<'_>, deadline: Deadline) -> Result<CompleteResponse, Failure> {
        let transport = self
            .transport
            .as_ref()
            .map_err(|error| Failure::Misconfigured(error.to_string()))?;
        let start = Instant::now();
        let attempt = |reuse| {
            let left = deadline.total.saturating_sub(start.elapsed());
            self.attempt(transport, request, left, deadline.connect.min(left), reuse)
        };
        let mut attempts = 0;
        loop {
            let result = if request.operation.is_mutating() {
                attempt(Reuse::Never)
            } else {
                match attempt(Reuse::Idle) {
                    // The driver has closed the idle connection. A call that changes nothing may
                    // be made again.
                    Err(failure) if failure.reused && matches!(failure.cause, Cause::Io(_)) => attempt(Reuse::Never),
                    result => result,
                }
            };
            match result.map_err(Failure::from) {
                Err(Failure::NotSent(reason)) => {
                    attempts += 1;
                    let pause = backoff::doubled(attempts, FIRST_PAUSE, LONGEST_PAUSE);
                    if start.elapsed() + pause >= deadline.wait.min(deadline.total) {
                        return Err(Failure::NotSent(reason));
                    }
                    std::thread::sleep(pause);
                }
                result => return result,
            }
        }
    }

    fn attempt(
        &self,
        transport: &http_transport::Client,
        request: Request<'_>,
        left: Duration,
        connect: Duration,
        reuse: Reuse,
    ) -> Result<CompleteResponse, http_transport::Failure> {
        let url = format!("{}/{}", base_url(&self.endpoint), request.operation.method());
        let http = http_transport::Request {
            method: Method::Post,
            url: &url,
            headers: &[("Content-Type", CONTENT_TYPE), ("Accept", ACCEPT)],
            body: request.body,
        };
        let limits = Limits {
            connect,
            ..Limits::within(left)
        };
        transport.call(&http, &limits, request.max_answer, reuse)
    }
}

/// Reads the certificates and the key, and checks that a certificate can be for the host.
fn load(authority: &str, settings: &TlsSettings) -> Result<Tls, TlsError> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    server_name(host)?;
    let files = TlsFiles {
        ca_file: settings.ca_file.clone(),
        cert_file: settings.cert_file.clone(),
        key_file: settings.key_file.clone(),
    };
    if settings.insecure_skip_verify {
        Tls::load_unverified(&files)
    } else {
        Tls::load(&files)
    }
}

impl From<http_transport::Failure> for Failure {
    fn from(failure: http_transport::Failure) -> Failure {
        let reason = match &failure.cause {
            Cause::Io(error) => io_words(error),
            Cause::Tls(reason) => format!(
                "no TLS with the driver: {reason} (CAFile, CertFile and KeyFile in the TLSConfig of its .json file)"
            ),
            other => other.to_string(),
        };
        match failure.cause {
            _ if !failure.sent => Failure::NotSent(reason),
            Cause::ResponseTimeout(_) | Cause::Silent => Failure::Late(reason),
            Cause::Io(_) => Failure::Broken(reason),
            _ => Failure::Garbage(reason),
        }
    }
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if error.raw_os_error().is_some() => {
            "the socket is gone: the driver was stopped".to_owned()
        }
        io::ErrorKind::ConnectionRefused => "nothing listens there: the driver is not running".to_owned(),
        io::ErrorKind::UnexpectedEof => "the driver closed the connection before its answer was complete".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the driver broke the connection before its answer was complete".to_owned()
        }
        _ => error.to_string(),
    }
}

fn base_url(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Unix(_) => format!("http://{UNIX_HOST}"),
        Endpoint::Tcp { authority } => format!("http://{authority}"),
        Endpoint::Tls { authority, .. } => format!("https://{authority}"),
    }
}
