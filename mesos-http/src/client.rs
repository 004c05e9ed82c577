//! One JSON call by HTTP, and one stream of events.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Uri};
use http_transport::{Cause, Connection, Failure, Limits, Method, Request, Response, Reuse, Route, Stopper};

use crate::endpoint::Endpoint;
use crate::error::{Error, one_line};
use crate::recordio::{DEFAULT_MAX_RECORD, Decoder};

/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(15);

/// The largest response to an ordinary call, in bytes.
const RESPONSE_LIMIT: usize = 256 * 1024 * 1024;

/// The largest text of an error that is read when its status is 2xx, in bytes.
const ERROR_TEXT_LIMIT: usize = 64 * 1024;

const USER_AGENT: &str = concat!("mesos-http/", env!("CARGO_PKG_VERSION"));

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

/// Calls whose response is one JSON document or nothing. Connections are kept and shared.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    transport: http_transport::Client,
    deadline: Duration,
}

/// A response with a good status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Every call has to be answered within `deadline`.
    pub(crate) fn new(deadline: Duration, route: Route) -> Client {
        Client {
            transport: http_transport::Client::new(route, USER_AGENT),
            deadline,
        }
    }

    pub(crate) fn post(&self, url: &str, headers: &[Header<'_>], body: &[u8]) -> Result<Answer, Error> {
        let headers = with_json(headers);
        let limits = Limits {
            connect: CONNECT_DEADLINE.min(self.deadline),
            ..Limits::within(self.deadline)
        };
        let request = post(url, &headers, body);
        let response = self.transport.call(&request, &limits, RESPONSE_LIMIT, Reuse::Idle);
        let response = response.map_err(|failure| failed(url, failure))?;
        match response.status {
            200 | 202 => Ok(Answer { body: response.body }),
            status => Err(refused(url, status, &response.headers, &response.body)),
        }
    }
}

/// Ends a stream from another thread: what blocks on it returns at once.
pub(crate) type StreamStop = Stopper;

/// A subscription that has not been sent yet.
#[derive(Debug)]
pub(crate) struct StreamRequest {
    connection: Connection,
    tick: Duration,
    max_record: usize,
}

impl StreamRequest {
    /// `tick` is how often a silent stream gives [`Piece::Tick`]; the head of the response has to
    /// come within the same time.
    pub(crate) fn new(tick: Duration, route: &Route) -> StreamRequest {
        StreamRequest {
            connection: Connection::new(route, USER_AGENT),
            tick,
            max_record: DEFAULT_MAX_RECORD,
        }
    }

    /// The stream accepts records up to so many bytes.
    pub(crate) fn with_max_record(self, max_record: usize) -> StreamRequest {
        StreamRequest { max_record, ..self }
    }

    pub(crate) fn stopper(&self) -> StreamStop {
        self.connection.stopper()
    }

    pub(crate) fn send(mut self, url: &str, headers: &[Header<'_>], body: &[u8]) -> Result<Stream, Error> {
        let headers = with_json(headers);
        let limits = Limits {
            connect: CONNECT_DEADLINE,
            total: None,
            read: Some(self.tick),
            write: Some(CONNECT_DEADLINE),
        };
        let response = self.connection.send(&post(url, &headers, body), &limits);
        let response = response.map_err(|failure| failed(url, failure))?;
        if !matches!(response.status, 200 | 202) {
            let (status, headers) = (response.status, response.headers.clone());
            let body = response.complete(ERROR_TEXT_LIMIT).map(|response| response.body);
            return Err(refused(url, status, &headers, &body.unwrap_or_default()));
        }
        let stream_id = response.headers.get("Mesos-Stream-Id");
        let stream_id = stream_id.and_then(|id| id.to_str().ok()).map(str::to_string);
        Ok(Stream {
            url: url.to_string(),
            stream_id,
            response,
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
    response: Response,
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
            match self.response.read(&mut self.buffer) {
                Ok(0) => return Err(Error::Closed { url: self.url.clone() }),
                Ok(count) => {
                    self.heard = Instant::now();
                    self.decoder.push(&self.buffer[..count]);
                }
                Err(failure) if matches!(failure.cause, Cause::Silent) && self.tick > Duration::ZERO => {
                    return Ok(Piece::Tick);
                }
                // A peer that dies in the middle of a chunk: whatever the words, the stream is over.
                Err(_) => return Err(Error::Closed { url: self.url.clone() }),
            }
        }
    }
}

fn post<'a>(url: &'a str, headers: &'a [Header<'a>], body: &'a [u8]) -> Request<'a> {
    Request {
        method: Method::Post,
        url,
        headers,
        body,
    }
}

fn with_json<'a>(headers: &[Header<'a>]) -> Vec<Header<'a>> {
    let mut all = vec![("Content-Type", JSON)];
    if headers.iter().all(|(name, _)| *name != "Accept") {
        all.push(("Accept", JSON));
    }
    all.extend(headers);
    all
}

fn failed(url: &str, failure: Failure) -> Error {
    if !failure.sent
        && let Some(error) = not_connected(url, &failure.cause)
    {
        return error;
    }
    let (url, reason) = (url.to_string(), failure.to_string());
    match failure.cause {
        Cause::Tls(_) => Error::Tls { url, reason },
        _ if failure.sent => Error::Uncertain { url, reason },
        _ => Error::Unreachable { url, reason },
    }
}

/// When the address itself is at fault: which part of it.
fn not_connected(url: &str, cause: &Cause) -> Option<Error> {
    let url: Uri = url.parse().ok()?;
    match cause {
        Cause::HostNotFound => Some(Error::HostNotFound {
            host: url.host()?.to_owned(),
        }),
        Cause::Io(io) if io.kind() == ErrorKind::ConnectionRefused => Some(Error::NotListening {
            address: url.authority()?.to_string(),
        }),
        _ => None,
    }
}

/// What every status but 200 and 202 means.
fn refused(url: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let location = headers.get("Location").and_then(|location| location.to_str().ok());
    refusal(url, status, location, &String::from_utf8_lossy(body))
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
