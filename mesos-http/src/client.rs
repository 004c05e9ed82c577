//! One JSON call by HTTP, and one stream of events: the only place that knows ureq.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use ureq::{Agent, BodyReader, Timeout};

use crate::dial::{Dial, HandshakeFailed};
use crate::endpoint::Endpoint;
use crate::error::{Error, one_line};
use crate::recordio::{DEFAULT_MAX_RECORD, Decoder};
use crate::tls::refused_certificate;

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// The largest answer to an ordinary call.
const ANSWER_LIMIT: u64 = 256 * 1024 * 1024;

/// The largest part of an error's text that is read.
const ERROR_TEXT_LIMIT: u64 = 64 * 1024;

const JSON: &str = "application/json";

/// Headers in addition to those that every call has.
pub(crate) type Header<'a> = (&'static str, &'a str);

/// The value of an `Authorization` header for HTTP basic authentication.
pub(crate) fn basic(principal: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{principal}:{secret}")))
}

/// The header, when there is a value for it.
pub(crate) fn authorization(value: Option<&str>) -> impl Iterator<Item = Header<'_>> {
    value.map(|value| ("Authorization", value)).into_iter()
}

/// Calls whose answer is one JSON document or nothing. Connections are kept and shared.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
}

/// An answer with a good status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Every call has to be answered within `deadline`.
    pub(crate) fn new(deadline: Duration, dial: Dial) -> Client {
        let config = base_config()
            .timeout_connect(Some(CONNECT_DEADLINE.min(deadline)))
            .timeout_global(Some(deadline))
            .build();
        Client {
            agent: dial.agent(config),
        }
    }

    pub(crate) fn post(&self, url: &str, headers: &[Header<'_>], body: &[u8]) -> Result<Answer, Error> {
        let response = send(&self.agent, url, headers, body)?;
        let mut response = successful(url, response)?;
        let body = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec();
        let body = body.map_err(|e| Error::Uncertain {
            url: url.to_string(),
            reason: e.to_string(),
        })?;
        Ok(Answer { body })
    }
}

/// Ends a stream from another thread: what blocks on it returns at once.
#[derive(Debug, Clone)]
pub(crate) struct StreamStop(Agent);

impl StreamStop {
    pub(crate) fn stop(&self) {
        self.0.clone().shutdown();
    }
}

/// A subscription that has not been sent yet.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    agent: Agent,
    tick: Duration,
    max_record: usize,
}

impl StreamRequest {
    /// `tick` is how often a silent stream gives [`Piece::Tick`]; the answer's head has to come
    /// within the same time.
    pub(crate) fn new(tick: Duration, dial: Dial) -> StreamRequest {
        let config = base_config()
            .timeout_connect(Some(CONNECT_DEADLINE))
            .timeout_per_read(Some(tick))
            .timeout_per_write(Some(CONNECT_DEADLINE))
            .build();
        StreamRequest {
            agent: dial.agent(config),
            tick,
            max_record: DEFAULT_MAX_RECORD,
        }
    }

    /// The stream accepts records up to so many bytes.
    pub(crate) fn with_max_record(self, max_record: usize) -> StreamRequest {
        StreamRequest { max_record, ..self }
    }

    pub(crate) fn stopper(&self) -> StreamStop {
        StreamStop(self.agent.clone())
    }

    pub(crate) fn send(self, url: &str, headers: &[Header<'_>], body: &[u8]) -> Result<Stream, Error> {
        let response = send(&self.agent, url, headers, body)?;
        let response = successful(url, response)?;
        let stream_id = response.headers().get("Mesos-Stream-Id");
        let stream_id = stream_id.and_then(|id| id.to_str().ok()).map(str::to_string);
        Ok(Stream {
            url: url.to_string(),
            stream_id,
            reader: response.into_body().into_reader(),
            decoder: Decoder::with_max_record(self.max_record),
            heard: Instant::now(),
            tick: self.tick,
            buffer: vec![0; 64 * 1024],
        })
    }
}

/// What a stream gives next.
#[derive(Debug)]
pub(crate) enum Piece {
    /// One record.
    Record(Vec<u8>),
    /// Nothing came for about one tick.
    Tick,
}

/// A stream of records.
pub(crate) struct Stream {
    pub(crate) url: String,
    pub(crate) stream_id: Option<String>,
    reader: BodyReader<'static>,
    decoder: Decoder,
    heard: Instant,
    tick: Duration,
    buffer: Vec<u8>,
}

impl Stream {
    /// How long nothing has come.
    pub(crate) fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Blocks for the next record, at most about one tick.
    pub(crate) fn next(&mut self) -> Result<Piece, Error> {
        loop {
            if let Some(record) = self.decoder.next_record()? {
                return Ok(Piece::Record(record));
            }
            match self.reader.read(&mut self.buffer) {
                Ok(0) => return Err(Error::Closed { url: self.url.clone() }),
                Ok(count) => {
                    self.heard = Instant::now();
                    self.decoder.push(&self.buffer[..count]);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) && self.tick > Duration::ZERO => return Ok(Piece::Tick),
                // A peer that dies in the middle of a chunk: whatever the words, the stream is over.
                Err(_) => return Err(Error::Closed { url: self.url.clone() }),
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(Timeout::PerRead)))
}

fn base_config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        // A redirected call has lost its subscription, and ureq would not repeat a POST's body.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // A proxy of the environment is for the outside world, not for a cluster's own traffic.
        .proxy(None)
        .user_agent(concat!("mesos-http/", env!("CARGO_PKG_VERSION")))
}

fn send(agent: &Agent, url: &str, headers: &[Header<'_>], body: &[u8]) -> Result<http::Response<ureq::Body>, Error> {
    let mut request = agent.post(url).header("Content-Type", JSON);
    if headers.iter().all(|(name, _)| *name != "Accept") {
        request = request.header("Accept", JSON);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send(body).map_err(|error| {
        if let Some(error) = not_connected(url, &error) {
            return error;
        }
        let (url, reason) = (url.to_string(), error.to_string());
        if let Some(reason) = tls_failure(&error) {
            Error::Tls { url, reason }
        } else if is_before_sending(&error) {
            Error::Unreachable { url, reason }
        } else {
            Error::Uncertain { url, reason }
        }
    })
}

/// When no TLS connection came about: why. A peer that refuses our certificate may say so only after the request was
/// written, which it has not read then.
fn tls_failure(error: &ureq::Error) -> Option<String> {
    match error {
        ureq::Error::Other(other) => Some(other.downcast_ref::<HandshakeFailed>()?.to_string()),
        ureq::Error::Io(error) => refused_certificate(error.get_ref()?.downcast_ref()?),
        _ => None,
    }
}

/// When the address itself is at fault: which part of it.
fn not_connected(url: &str, error: &ureq::Error) -> Option<Error> {
    let url: Uri = url.parse().ok()?;
    match error {
        ureq::Error::HostNotFound => Some(Error::HostNotFound {
            host: url.host()?.to_owned(),
        }),
        ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => Some(Error::NotListening {
            address: url.authority()?.to_string(),
        }),
        _ => None,
    }
}

/// Whether nothing can have been sent yet. A refused or unroutable connect comes as an I/O error
/// of just these kinds, which no send or receive has.
fn is_before_sending(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::TlsRequired => true,
        ureq::Error::Io(e) => matches!(
            e.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable
                // A unix socket that is not there.
                | ErrorKind::NotFound
        ),
        _ => false,
    }
}

/// Turns every status but 200 and 202 into an error.
fn successful(url: &str, mut response: http::Response<ureq::Body>) -> Result<http::Response<ureq::Body>, Error> {
    let status = response.status().as_u16();
    if matches!(status, 200 | 202) {
        return Ok(response);
    }
    let location = response
        .headers()
        .get("Location")
        .and_then(|l| l.to_str().ok())
        .map(str::to_string);
    let body = response
        .body_mut()
        .with_config()
        .limit(ERROR_TEXT_LIMIT)
        .read_to_vec()
        .unwrap_or_default();
    Err(refusal(
        url,
        status,
        location.as_deref(),
        &String::from_utf8_lossy(&body),
    ))
}

/// What a status other than success means (src/master/http.cpp and src/slave/http.cpp of Mesos).
pub(crate) fn refusal(url: &str, status: u16, location: Option<&str>, body: &str) -> Error {
    let (url, message) = (url.to_string(), one_line(body));
    match status {
        307 => Error::NotLeading {
            leader: location.and_then(|location| leader(&url, location)),
            url,
        },
        // A restarted master, or one that has seen a newer subscription: the documentation says
        // 403 for the first, the code says 400.
        400 if is_about_subscription(&message) => Error::NotSubscribed(Some(message)),
        403 if message.contains("not subscribed") => Error::NotSubscribed(Some(message)),
        401 => Error::Unauthenticated { url, message },
        403 => Error::Forbidden { url, message },
        404 | 503 => Error::NotReady { url, status, message },
        409 | 429 => Error::Busy { url, status, message },
        400 | 405 | 406 | 415 | 501 => Error::Invalid { url, status, message },
        _ => Error::Unexpected { url, status, message },
    }
}

fn is_about_subscription(message: &str) -> bool {
    [
        "stream ID",
        "Mesos-Stream-Id",
        "Framework cannot be found",
        "Executor cannot be found",
    ]
    .iter()
    .any(|text| message.contains(text))
}

fn leader(url: &str, location: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let base: Endpoint = format!("{scheme}://{}", rest.split('/').next()?).parse().ok()?;
    Some(base.redirected(location)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Action;

    #[test]
    fn every_status_has_its_meaning() {
        let cases = [
            (307, "", Action::Resubscribe),
            (400, "Framework cannot be found", Action::Resubscribe),
            (
                400,
                "The stream ID 'x' included in this request didn't match",
                Action::Resubscribe,
            ),
            (
                400,
                "Failed to validate scheduler::Call: 'framework_id' differs",
                Action::GiveUp,
            ),
            (401, "", Action::GiveUp),
            (403, "Framework is not subscribed", Action::Resubscribe),
            (403, "not authorized", Action::GiveUp),
            (404, "", Action::Retry),
            (406, "", Action::GiveUp),
            (409, "", Action::Retry),
            (415, "", Action::GiveUp),
            (429, "", Action::Retry),
            (500, "", Action::Reconcile),
            (503, "Master has not finished recovery", Action::Retry),
        ];
        for (status, body, action) in cases {
            assert_eq!(
                refusal("http://m:5050/x", status, None, body).action(),
                action,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_redirect_names_the_leader() {
        let error = refusal(
            "http://m1:5050/api/v1/scheduler",
            307,
            Some("//m2:5050/api/v1/scheduler"),
            "",
        );
        let leader = Some("http://m2:5050".to_string());
        assert_eq!(
            error,
            Error::NotLeading {
                url: "http://m1:5050/api/v1/scheduler".into(),
                leader
            }
        );
    }

    #[test]
    fn an_answers_text_becomes_one_short_line() {
        let body = format!("bad\nthing\x1b[0m{}", "x".repeat(1000));
        let Error::Invalid { message, .. } = refusal("http://m:1/", 400, None, &body) else {
            panic!()
        };
        assert!(
            message.starts_with("bad thing [0mxxx") && message.len() == 500,
            "{message}"
        );
    }
}
