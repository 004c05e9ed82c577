//! One connection, and the requests that follow each other on it.

use std::time::Duration;

use ureq::config::Config;
use ureq::{Agent, Proxy};

use crate::connect::Route;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::request::{Limits, Method, Request, Response};

/// Longest head of a response, in bytes. The peers' heads have a few short lines.
const HEAD_LIMIT: usize = 16 * 1024;
/// For how long an idle connection is kept.
const IDLE_AGE: Duration = Duration::from_secs(10);

/// One connection to a peer. It is opened when the first request is sent, and opened again when it
/// was closed.
#[derive(Debug)]
pub struct Connection {
    /// Has one connection at the most, so what `progress` says is about the request under way.
    agent: Agent,
    progress: Progress,
}

/// Ends a [`Connection`] from another thread: what waits for it returns at once.
#[derive(Debug, Clone)]
pub struct Stopper(Agent);

impl Stopper {
    /// Closes the socket. No other request can be sent.
    pub fn stop(&self) {
        self.0.clone().shutdown();
    }
}

impl Connection {
    /// A connection that is closed after each response.
    pub fn new(route: &Route, user_agent: &'static str) -> Connection {
        Connection::keeping(route, user_agent, 0)
    }

    /// A connection that stays open after a response, for up to ten seconds.
    pub(crate) fn kept(route: &Route, user_agent: &'static str) -> Connection {
        Connection::keeping(route, user_agent, 1)
    }

    fn keeping(route: &Route, user_agent: &'static str, idle: usize) -> Connection {
        let progress = Progress::default();
        Connection {
            agent: route.agent(config(route, user_agent, idle), progress.clone()),
            progress,
        }
    }

    /// What ends it from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.agent.clone())
    }

    /// Sends the request, once, and waits for the head of the response. The response has to be
    /// read or dropped before the next request.
    ///
    /// # Errors
    /// [`Failure`] says whether the peer can have seen the request.
    pub fn send(&mut self, request: &Request<'_>, limits: &Limits) -> Result<Response, Failure> {
        self.progress.reset();
        let (agent, url) = (&self.agent, request.url);
        let sent = match request.method {
            Method::Get => with_headers(agent.get(url), request, limits).call(),
            Method::Delete => with_headers(agent.delete(url), request, limits).call(),
            Method::Post => with_headers(agent.post(url), request, limits).send(request.body),
            Method::Put => with_headers(agent.put(url), request, limits).send(request.body),
        };
        match sent {
            Ok(response) => Ok(Response::new(response, self.progress.clone())),
            Err(error) => Err(Failure::new(error, &self.progress)),
        }
    }
}

fn with_headers<B>(
    builder: ureq::RequestBuilder<B>,
    request: &Request<'_>,
    limits: &Limits,
) -> ureq::RequestBuilder<B> {
    let headers = request.headers.iter();
    let builder = headers.fold(builder, |builder, (name, value)| builder.header(*name, *value));
    limited(builder, limits)
}

fn limited<B>(builder: ureq::RequestBuilder<B>, limits: &Limits) -> ureq::RequestBuilder<B> {
    builder
        .config()
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_global(limits.total)
        .timeout_per_read(limits.read)
        .timeout_per_write(limits.write)
        .build()
}

fn config(route: &Route, user_agent: &'static str, idle: usize) -> Config {
    Agent::config_builder()
        // Each of these has a default that is wrong here: a redirect is not followed, since it
        // loses a POST's body and must not choose where this host connects to, and the body of an
        // error holds the peer's words.
        .proxy(if route.through_proxy {
            Proxy::try_from_env()
        } else {
            None
        })
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .user_agent(user_agent)
        .max_response_header_size(HEAD_LIMIT)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(IDLE_AGE)
        .build()
}
