//! What can go wrong with a call or a subscription, and what the caller does then.

use std::time::Duration;

use crate::recordio::FramingError;

/// Why a call or a subscription failed. [`Error::action`] says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was no connection, so nothing was sent.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// What was to be reached.
        url: String,
        /// The cause, in its own words.
        reason: String,
    },
    /// The host refuses the connection, so nothing was sent.
    #[error("nothing listens on {address}")]
    NotListening {
        /// Host and port.
        address: String,
    },
    /// The host's name has no address, so nothing was sent.
    #[error("cannot find the host '{host}' (DNS)")]
    HostNotFound {
        /// The host's name.
        host: String,
    },
    /// There was no TLS connection, because one side does not trust the other. Nothing was sent.
    #[error("no TLS with {url}: {reason}")]
    Tls {
        /// What was to be reached.
        url: String,
        /// What is wrong, and what to look at.
        reason: String,
    },
    /// The connection broke, or the deadline passed, after something was sent.
    #[error("no whole answer from {url}: {reason} (whether the call was carried out is not known)")]
    Uncertain {
        /// What was called.
        url: String,
        /// The cause, in its own words.
        reason: String,
    },
    /// Status 307: another master leads.
    #[error("{url} is not the leading master; {}", .leader.as_deref().map_or_else(|| "it knows no leader".to_owned(), |leader| format!("the leader is {leader}")))]
    NotLeading {
        /// What was called.
        url: String,
        /// The leader's address, if the answer had a usable one.
        leader: Option<String>,
    },
    /// The connection to the master or agent does not hold a subscription right now.
    #[error("not subscribed{}", .0.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    NotSubscribed(
        /// What the peer said, when it was the peer that said so.
        Option<String>,
    ),
    /// Status 401: the credentials are wrong or missing.
    #[error("{url} wants other credentials: {message}")]
    Unauthenticated {
        /// What was called.
        url: String,
        /// The answer's text.
        message: String,
    },
    /// Status 403: the principal may not do this.
    #[error("{url} forbids this: {message}")]
    Forbidden {
        /// What was called.
        url: String,
        /// The answer's text.
        message: String,
    },
    /// Status 404 or 503: a master or agent that starts, recovers, or knows no leader.
    #[error("{url} is not ready (status {status}): {message}")]
    NotReady {
        /// What was called.
        url: String,
        /// The status.
        status: u16,
        /// The answer's text.
        message: String,
    },
    /// Status 409 or 429: too many calls.
    #[error("{url} is busy (status {status}): {message}")]
    Busy {
        /// What was called.
        url: String,
        /// The status.
        status: u16,
        /// The answer's text.
        message: String,
    },
    /// Status 400, 405, 406, 415 or 501: the call itself is wrong.
    #[error("{url} does not accept the call (status {status}): {message}")]
    Invalid {
        /// What was called.
        url: String,
        /// The status.
        status: u16,
        /// The answer's text.
        message: String,
    },
    /// Any other status.
    #[error("unexpected answer of {url} (status {status}): {message}")]
    Unexpected {
        /// What was called.
        url: String,
        /// The status.
        status: u16,
        /// The answer's text.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("the answer of {url} cannot be read: {reason}")]
    Unreadable {
        /// What was called.
        url: String,
        /// The cause, in its own words.
        reason: String,
    },
    /// The stream of events is not framed as it must be.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The peer ended the stream of events.
    #[error("{url} closed the event stream")]
    Closed {
        /// The URL of the stream.
        url: String,
    },
    /// Nothing, not even a heartbeat, came for too long.
    #[error("nothing heard from {url} for {} seconds", .silence.as_secs_f64())]
    Silent {
        /// The URL of the stream.
        url: String,
        /// For how long.
        silence: Duration,
    },
    /// The master removed the framework: it was torn down, or its failover timeout passed. Its
    /// tasks are gone or going, and its id can never be used again.
    #[error("the master has removed the framework: {0}")]
    FrameworkRemoved(
        /// The master's words.
        String,
    ),
    /// Another scheduler has subscribed with the same framework id and took over.
    #[error("another scheduler took over the framework: {0}")]
    TakenOver(
        /// The master's words.
        String,
    ),
    /// An ERROR event with another text: the subscription is refused.
    #[error("the master refuses the subscription: {0}")]
    Refused(
        /// The master's words.
        String,
    ),
    /// The caller ended it.
    #[error("the connection was closed by this side")]
    Ended,
}

/// What to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Call again after a pause; nothing has been done.
    Retry,
    /// Wait until the connection has subscribed again, then decide again: offers are void.
    Resubscribe,
    /// Find out what has been done (RECONCILE) before calling again.
    Reconcile,
    /// Do not call again: the call, the configuration or the framework's life is at its end.
    GiveUp,
}

impl Error {
    /// What to do.
    pub fn action(&self) -> Action {
        match self {
            // A certificate that has expired is renewed, and another master may have a good one.
            Error::Unreachable { .. }
            | Error::NotListening { .. }
            | Error::HostNotFound { .. }
            | Error::Tls { .. }
            | Error::NotReady { .. }
            | Error::Busy { .. } => Action::Retry,
            Error::NotLeading { .. }
            | Error::NotSubscribed(_)
            | Error::Framing(_)
            | Error::Closed { .. }
            | Error::Silent { .. } => Action::Resubscribe,
            Error::Uncertain { .. } | Error::Unreadable { .. } => Action::Reconcile,
            // A 5xx other than 503: nothing says the call was not carried out.
            Error::Unexpected { status: 500.., .. } => Action::Reconcile,
            Error::Unexpected { .. }
            | Error::Unauthenticated { .. }
            | Error::Forbidden { .. }
            | Error::Invalid { .. }
            | Error::FrameworkRemoved(_)
            | Error::TakenOver(_)
            | Error::Refused(_)
            | Error::Ended => Action::GiveUp,
        }
    }
}

/// The longest part of an answer's text that goes into an error.
const MESSAGE_LIMIT: usize = 500;

/// An answer's text as one printable line.
pub(crate) fn one_line(text: &str) -> String {
    let text: String = text.trim().chars().take(MESSAGE_LIMIT).collect();
    let line = foreign_text::one_line(&text);
    if line.is_empty() { "(no text)".to_string() } else { line }
}
