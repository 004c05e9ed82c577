//! Why there is no complete response, and whether the peer can have seen the request.

use std::io;

use ureq::Timeout;

use crate::progress::Progress;
use crate::tls;

/// Why a request got no complete response.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// Whether bytes of the request may have been sent. When false, the peer did nothing, and the
    /// request may be sent again.
    pub sent: bool,
    /// Whether the request used an idle connection of an earlier one. The peer may have closed it
    /// in the moment in which the request was written.
    pub reused: bool,
    /// The cause.
    pub cause: Cause,
}

/// The cause of a [`Failure`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The name in the URL has no address.
    #[error("the host name has no address (DNS)")]
    HostNotFound,
    /// There was no connection within the limit.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The response was not complete within the limit.
    #[error("no complete response in time ({0})")]
    ResponseTimeout(
        /// The limit that was reached, in ureq's words.
        String,
    ),
    /// Nothing came within the limit for one read. The response may still go on.
    #[error("nothing came within the time limit")]
    Silent,
    /// The socket could not be opened, or the connection broke.
    #[error("{0}")]
    Io(io::Error),
    /// There is no TLS connection, because one side does not trust the other. The peer has not
    /// read the request.
    #[error("{0}")]
    Tls(
        /// What is wrong, and what to look at.
        String,
    ),
    /// The response is longer than the request allows.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    /// The request is not one that can be sent, or the response is not HTTP.
    #[error("{0}")]
    Http(String),
}

/// There is no TLS connection: the handshake failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HandshakeFailed(pub(crate) String);

impl Failure {
    pub(crate) fn new(error: ureq::Error, progress: &Progress) -> Failure {
        use ureq::Error;
        let sent = progress.is_sent();
        let cause = match error {
            Error::HostNotFound => Cause::HostNotFound,
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => Cause::ConnectTimeout,
            Error::Timeout(_) if !sent => Cause::ConnectTimeout,
            Error::Timeout(Timeout::PerRead) => Cause::Silent,
            Error::Timeout(limit) => Cause::ResponseTimeout(limit.to_string()),
            Error::Io(error) => match refused_certificate(&error) {
                Some(reason) => Cause::Tls(reason),
                None => Cause::Io(error),
            },
            Error::Other(error) if error.is::<HandshakeFailed>() => Cause::Tls(error.to_string()),
            other => Cause::Http(other.to_string()),
        };
        Failure {
            // With TLS 1.3 a peer refuses our certificate after the request was written, but it
            // has not read the request then.
            sent: sent && !matches!(cause, Cause::Tls(_) | Cause::ConnectTimeout),
            reused: progress.is_reused(),
            cause,
        }
    }

    pub(crate) fn too_long(max: usize, progress: &Progress) -> Failure {
        Failure {
            sent: true,
            reused: progress.is_reused(),
            cause: Cause::TooLong(max),
        }
    }
}

fn refused_certificate(error: &io::Error) -> Option<String> {
    tls::refused_certificate(error.get_ref()?.downcast_ref()?)
}
