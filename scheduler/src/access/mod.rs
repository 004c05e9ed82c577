//! Who may ask the API and the page of a service for anything.
//!
//! ```text
//! connection ──> host name ──> origin ──> token or certificate ──> whole request in time ──> the API
//! ```
//!
//! A job file runs commands on the cluster, so the API is as powerful as a shell there. The host
//! name keeps out pages that a browser loaded under another name which now leads here (DNS
//! rebinding); the origin keeps out pages of other sites that the browser still sends requests for;
//! the token keeps out all other clients that reach the address.

mod browser;
mod host;
mod listen;
mod session;
mod tls;
mod token;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

pub use host::{HostError, Hosts};
pub use listen::{Limits, serve};
pub use session::Sessions;
pub use tls::{ServerTls, ServerTlsFiles};
pub use token::{Token, TokenError};

/// The largest body of a request, in bytes: 2 MiB.
const MAX_BODY: usize = 2 << 20;
/// Within this a request's body has to be there.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// What is served without a token: the way to give one, what that page looks like, and whether the service is well.
const OPEN: [&str; 5] = ["/login", "/logout", "/style.css", "/icon.svg", "/health"];

/// What is known of the connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address of this host that the peer has connected to.
    pub local: Option<IpAddr>,
    /// Whether it has shown a certificate of the authority that clients are believed by.
    pub certified: bool,
}

/// Who may ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    hosts: Hosts,
    /// `None`: every client that reaches the address is let in, or every client with a certificate.
    token: Option<Token>,
    sessions: Sessions,
}

impl Access {
    /// Requests have to be for one of `hosts`, and have to have the token if there is one.
    pub fn new(hosts: Hosts, token: Option<Token>, sessions: Sessions) -> Self {
        Self(Arc::new(Rules { hosts, token, sessions }))
    }

    /// Puts these rules before everything that `router` serves.
    pub fn protect(&self, router: Router) -> Router {
        router
            .merge(session::routes(self.clone()))
            .layer(middleware::from_fn_with_state(self.clone(), guard))
    }

    fn token(&self) -> Option<&Token> {
        self.0.token.as_ref()
    }

    fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Whether the request comes from a client that is let in.
    fn knows(&self, request: &Request) -> bool {
        let Some(token) = self.token() else { return true };
        if peer(request).certified {
            return true;
        }
        match request.headers().get(header::AUTHORIZATION) {
            Some(given) => given
                .to_str()
                .ok()
                .and_then(|given| given.split_once(' '))
                .is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim())),
            None => self.sessions().has(request.headers()),
        }
    }
}

fn peer(request: &Request) -> Peer {
    let unknown = Peer {
        local: None,
        certified: false,
    };
    request.extensions().get().copied().unwrap_or(unknown)
}

async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let mut response = match checked(&access, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    // Responses are about jobs and volumes, so no cache may keep them.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The request with its whole body, or why it is refused.
async fn checked(access: &Access, request: Request) -> Result<Request, Response> {
    if let Err(error) = access.0.hosts.check(&request, peer(&request).local) {
        let status = match error {
            HostError::Missing => StatusCode::BAD_REQUEST,
            _ => StatusCode::MISDIRECTED_REQUEST,
        };
        return Err(refusal(status, &error.to_string()));
    }
    browser::check(&request).map_err(|error| refusal(StatusCode::FORBIDDEN, &error.to_string()))?;
    if !OPEN.contains(&request.uri().path()) && !access.knows(&request) {
        return Err(unknown(&request));
    }
    whole(request).await
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"error": message}))).into_response()
}

/// Browsers are redirected to the form for the token. Other clients get the error that the token is
/// missing.
fn unknown(request: &Request) -> Response {
    let accepted = request.headers().get(header::ACCEPT);
    let is_page = accepted.and_then(|accepted| accepted.to_str().ok());
    if request.method() == Method::GET && is_page.is_some_and(|accepted| accepted.contains("text/html")) {
        return Redirect::to("/login").into_response();
    }
    let message = "this scheduler wants its token: send the header 'Authorization: Bearer TOKEN', or log in at /login";
    let mut response = refusal(StatusCode::UNAUTHORIZED, message);
    let scheme = HeaderValue::from_static("Bearer realm=\"scheduler\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    response
}

/// Reads the body before anything is done: a request that does not end must not hold anything else.
async fn whole(request: Request) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(BODY_LIMIT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => Err(refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("the body cannot be read, or it has more than {MAX_BODY} bytes"),
        )),
        Err(_) => Err(refusal(
            StatusCode::REQUEST_TIMEOUT,
            &format!("the body was not there within {} s", BODY_LIMIT.as_secs()),
        )),
    }
}
