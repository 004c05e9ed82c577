//! What is sent, within which limits, and what comes back.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::time::Duration;

use http::HeaderMap;
use ureq::BodyReader;

use crate::failure::Failure;
use crate::progress::Progress;

/// How much of the body is read when the status says that the request failed, in bytes. The body
/// holds the peer's words then, and more of them would not fit into a message.
const ERROR_BODY_LIMIT: u64 = 64 * 1024;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET, without a body.
    Get,
    /// POST, with a body.
    Post,
    /// PUT, with a body.
    Put,
    /// DELETE, without a body.
    Delete,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Scheme, host, port and path. Where the route is a unix socket, the host goes into the
    /// `Host` header only.
    pub url: &'a str,
    /// Headers in addition to `Host`, `Content-Length` and `User-Agent`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body of a POST or PUT.
    pub body: &'a [u8],
}

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Looking up the name, and likewise connecting, the TLS handshake included.
    pub connect: Duration,
    /// Everything, from the look-up to the last byte of the response.
    pub total: Option<Duration>,
    /// One read of the response: how long the peer may be silent.
    pub read: Option<Duration>,
    /// One write of the request.
    pub write: Option<Duration>,
}

impl Limits {
    /// Everything has to be done within `total`.
    pub fn within(total: Duration) -> Limits {
        Limits {
            connect: total,
            total: Some(total),
            read: None,
            write: None,
        }
    }
}

/// The head of a response, and its body as it comes.
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: BodyReader<'static>,
    progress: Progress,
}

/// A response that was read to its end.
#[derive(Debug)]
pub struct CompleteResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body when the status is 2xx; otherwise at least its beginning.
    pub body: Vec<u8>,
}

impl CompleteResponse {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        is_success(self.status)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl Response {
    pub(crate) fn new(response: http::Response<ureq::Body>, progress: Progress) -> Response {
        let (head, body) = response.into_parts();
        Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.into_reader(),
            progress,
        }
    }

    /// Reads what comes next of the body. Zero bytes are its end.
    ///
    /// # Errors
    /// [`Failure`]; after [`Cause::Silent`](crate::Cause::Silent) it may be called again.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match self.body.read(buffer) {
                Ok(amount) => return Ok(amount),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::new(error.into(), &self.progress)),
            }
        }
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// When the status is 2xx: [`Failure`] if the body does not come to its end, or has more than
    /// `max` bytes.
    pub fn complete(mut self, max: usize) -> Result<CompleteResponse, Failure> {
        let is_success = is_success(self.status);
        let limit = if is_success { max as u64 + 1 } else { ERROR_BODY_LIMIT };
        let mut body = Vec::new();
        match (&mut self.body).take(limit).read_to_end(&mut body) {
            Ok(_) if is_success && body.len() > max => return Err(Failure::too_long(max, &self.progress)),
            Ok(_) => {}
            Err(error) if is_success => return Err(Failure::new(error.into(), &self.progress)),
            // The status alone says that the peer refused: what came of its words is enough.
            Err(_) => {}
        }
        Ok(CompleteResponse {
            status: self.status,
            headers: self.headers,
            body,
        })
    }
}
