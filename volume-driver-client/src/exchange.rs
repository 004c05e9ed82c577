//! One request and its answer: sent at most once, with one deadline over everything.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ureq::{Agent, Timeout};

use crate::connect::{Dial, HostResolver, Progress};
use crate::endpoint::Endpoint;
use crate::operation::Operation;
use crate::tls::{TlsClient, refused_certificate};

/// Docker's media type. Go and Python servers ignore both headers, axum-style servers want a JSON content type.
const ACCEPT: &str = "application/vnd.docker.plugins.v1.2+json";
const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";
/// What Docker sends since 25.0: Go servers answer 400 to a missing `Host` or one with slashes in it.
const UNIX_HOST: &str = "plugin.moby.localhost";
/// Longest header of an answer, in bytes. Go's own limit for requests is larger, but a driver's answer has four short lines.
const HEADER_LIMIT: usize = 16 * 1024;
/// How much of an error's body is read: more would be cut from the message anyway.
const ERROR_LIMIT: u64 = 64 * 1024;
/// Idle connections kept for calls that change nothing, and for how long.
const IDLE_CONNECTIONS: usize = 2;
const IDLE_AGE: Duration = Duration::from_secs(10);

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

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Of an answer with status 200 all of it, of others at least the beginning.
    pub(crate) body: Vec<u8>,
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
    agents: Result<Agents, String>,
}

#[derive(Debug)]
struct Agents {
    /// Makes a connection for every call.
    fresh: Agent,
    /// Keeps idle connections, for calls that change nothing. Between the check that an idle connection is still open and the
    /// write to it the driver may close it: a call that changes nothing is then made on a fresh connection, and one that changes something
    /// would be uncertain for no reason.
    pooled: Agent,
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
            Endpoint::Tls { authority, tls } => TlsClient::new(authority, tls).map(Some),
            Endpoint::Unix(_) | Endpoint::Tcp { .. } => Ok(None),
        };
        let agents = tls.map(|tls| {
            let dial = Dial {
                socket: endpoint.socket().map(Into::into),
                tls,
            };
            Agents {
                pooled: agent(dial.clone(), IDLE_CONNECTIONS),
                fresh: agent(dial, 0),
            }
        });
        Client { endpoint, agents }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One call. A changing one is made again only when the connection was refused, never once it was made.
    pub(crate) fn call(&self, request: Request<'_>, deadline: Deadline) -> Result<Reply, Failure> {
        let agents = self
            .agents
            .as_ref()
            .map_err(|why| Failure::Misconfigured(why.clone()))?;
        let start = Instant::now();
        let attempt = |agent| {
            let left = deadline.total.saturating_sub(start.elapsed());
            self.attempt(agent, request, left, deadline.connect.min(left))
        };
        let mut pause = Duration::from_millis(10);
        loop {
            let result = if request.operation.is_mutating() {
                attempt(&agents.fresh)
            } else {
                match attempt(&agents.pooled) {
                    Err(Failure::Broken(_)) if Progress::get() == Progress::Idle => attempt(&agents.fresh),
                    result => result,
                }
            };
            match result {
                Err(Failure::NotSent(_)) if start.elapsed() + pause < deadline.wait.min(deadline.total) => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                result => return result,
            }
        }
    }

    fn attempt(
        &self,
        agent: &Agent,
        request: Request<'_>,
        left: Duration,
        connect: Duration,
    ) -> Result<Reply, Failure> {
        let Request {
            operation,
            body,
            max_answer,
        } = request;
        Progress::reset();
        let sent = agent
            .post(format!("{}/{}", base_url(&self.endpoint), operation.method()))
            .header("Content-Type", CONTENT_TYPE)
            .config()
            .timeout_global(Some(left))
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .build()
            .send(body);
        let mut response = sent.map_err(|error| {
            let connected = match Progress::get() {
                Progress::Connected => true,
                Progress::Dialing => false,
                // No connection was opened: an idle one was used, where there can be any.
                Progress::Idle => !operation.is_mutating(),
            };
            failure(error, connected)
        })?;
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        let reader = response.body_mut().as_reader();
        let limit = if status == 200 {
            max_answer as u64 + 1
        } else {
            ERROR_LIMIT
        };
        match reader.take(limit).read_to_end(&mut bytes) {
            Ok(_) if status == 200 && bytes.len() > max_answer => Err(Failure::Garbage(format!(
                "the answer is longer than {max_answer} bytes"
            ))),
            Ok(_) => Ok(Reply { status, body: bytes }),
            // The status alone says that the driver refused: what came of its words is enough.
            Err(_) if status != 200 => Ok(Reply { status, body: bytes }),
            Err(error) => Err(failure(error.into(), true)),
        }
    }
}

/// What an error of ureq means: without a connection nothing was sent.
fn failure(error: ureq::Error, connected: bool) -> Failure {
    use ureq::Error;
    match error {
        Error::HostNotFound => Failure::NotSent("the host name has no address".to_owned()),
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => Failure::NotSent("no connection in time".to_owned()),
        Error::Timeout(_) if !connected => Failure::NotSent("no connection in time".to_owned()),
        Error::Timeout(at) => Failure::Late(format!("no complete answer in time ({at})")),
        Error::Io(error) => match refused_certificate(&error) {
            Some(words) => Failure::NotSent(words),
            None if connected => Failure::Broken(io_words(&error)),
            None => Failure::NotSent(io_words(&error)),
        },
        other if connected => Failure::Garbage(other.to_string()),
        other => Failure::NotSent(other.to_string()),
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

fn agent(dial: Dial, idle: usize) -> Agent {
    let config = Agent::config_builder()
        // Each of these has a default that is wrong here: a driver is not reached through a web proxy, a redirect is not a
        // volume, and an error's body holds the driver's words.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("volume-driver-client/", env!("CARGO_PKG_VERSION")))
        .accept(ACCEPT)
        .accept_encoding("identity")
        .max_response_header_size(HEADER_LIMIT)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(IDLE_AGE)
        .build();
    let resolver = HostResolver {
        is_unix: dial.socket.is_some(),
        ..HostResolver::default()
    };
    Agent::with_parts(config, dial, resolver)
}
