//! Logging in with a browser: a form for the token, and a cookie for what follows.
//!
//! The cookie holds a random session id and not the token. Scripts cannot read it (`HttpOnly`), no other site's page has it
//! sent (`SameSite=Strict`), and with TLS it goes over TLS only.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::html;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Access;
use crate::page;

/// How long a session lasts.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// So many sessions are there at most; the oldest makes room.
const MOST: usize = 1000;

type Key = [u8; 32];

/// The sessions of browsers that have given the token. They end with the process.
#[derive(Debug)]
pub struct Sessions {
    cookie: String,
    secure: bool,
    /// The digests of session ids, each with the session's end.
    open: Mutex<BTreeMap<Key, Instant>>,
}

impl Sessions {
    /// The sessions of a service on this port; cookies are not kept apart by port, so the name does that. With `secure`
    /// the cookie goes over TLS only.
    pub fn new(port: u16, secure: bool) -> Self {
        // Browsers take a cookie of this prefix from its own host by TLS only.
        let prefix = if secure { "__Host-" } else { "" };
        Self {
            cookie: format!("{prefix}scheduler-session-{port}"),
            secure,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Instant>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has the cookie of an open session.
    pub(super) fn has(&self, headers: &HeaderMap) -> bool {
        let Some(key) = self.key(headers) else { return false };
        self.lock().get(&key).is_some_and(|end| *end > Instant::now())
    }

    fn key(&self, headers: &HeaderMap) -> Option<Key> {
        let cookies = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut cookies = cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|one| one.trim().split_once('='));
        cookies.find(|(name, _)| *name == self.cookie).map(|(_, id)| key(id))
    }

    /// Opens a session, and gives the cookie for it.
    fn begin(&self) -> String {
        // Its 122 random bits come from the system.
        let id = Uuid::new_v4().simple().to_string();
        let now = Instant::now();
        let mut open = self.lock();
        open.retain(|_, end| *end > now);
        if open.len() >= MOST
            && let Some(oldest) = open.iter().min_by_key(|(_, end)| **end).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        open.insert(key(&id), now + LIFETIME);
        self.cookie(&id, LIFETIME)
    }

    fn end(&self, headers: &HeaderMap) -> String {
        if let Some(key) = self.key(headers) {
            self.lock().remove(&key);
        }
        self.cookie("", Duration::ZERO)
    }

    fn cookie(&self, value: &str, lifetime: Duration) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
            self.cookie,
            lifetime.as_secs()
        )
    }
}

fn key(id: &str) -> Key {
    Sha256::digest(id.as_bytes()).into()
}

pub(super) fn routes(access: Access) -> Router {
    Router::new()
        .route("/login", get(form).post(log_in))
        .route("/logout", post(log_out))
        .with_state(access)
}

async fn form(State(access): State<Access>, headers: HeaderMap) -> Response {
    show(&access, access.sessions().has(&headers), StatusCode::OK, None)
}

#[derive(Deserialize)]
struct Given {
    token: String,
}

async fn log_in(State(access): State<Access>, Form(given): Form<Given>) -> Response {
    match access.token() {
        Some(token) if token.is(given.token.trim()) => with_cookie(&access.sessions().begin(), "/"),
        Some(_) => show(&access, false, StatusCode::UNAUTHORIZED, Some("This is not the token.")),
        None => Redirect::to("/").into_response(),
    }
}

async fn log_out(State(access): State<Access>, headers: HeaderMap) -> Response {
    with_cookie(&access.sessions().end(&headers), "/login")
}

fn with_cookie(cookie: &str, place: &str) -> Response {
    let mut response = Redirect::to(place).into_response();
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn show(access: &Access, is_in: bool, status: StatusCode, problem: Option<&str>) -> Response {
    let content = html! {
        h1 { "Log in" }
        @if access.token().is_none() {
            p { "This scheduler wants no token. " a href="/" { "To the jobs" } }
        } @else if is_in {
            p { "You are logged in. " a href="/" { "To the jobs" } }
            form method="post" action="/logout" { button { "Log out" } }
        } @else {
            @if let Some(problem) = problem { div.alarm role="alert" { strong { (problem) } } }
            form method="post" action="/login" {
                // Programs that keep passwords want a name to keep this one under.
                input type="text" name="user" value="scheduler" autocomplete="username" hidden;
                p {
                    label for="token" { "The token in the file of --token-file" }
                }
                p {
                    input #token name="token" type="password" autocomplete="current-password" required autofocus;
                    " " button.primary { "Log in" }
                }
            }
        }
    };
    page::plain(status, "Log in", content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        let sent = cookie.split(';').next().expect("it has a first part");
        let sent = format!("other=1; {sent}");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&sent).expect("it is one"))])
    }

    #[test]
    fn a_session_lasts_until_it_is_ended_and_its_cookie_is_for_this_site_alone() {
        let sessions = Sessions::new(8180, true);
        let cookie = sessions.begin();
        assert!(cookie.starts_with("__Host-scheduler-session-8180="), "{cookie}");
        for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
            assert!(cookie.contains(part), "{cookie} has no {part}");
        }
        assert!(sessions.has(&with(&cookie)));
        assert!(!sessions.has(&with("__Host-scheduler-session-8180=")));
        assert!(!sessions.has(&HeaderMap::new()));
        let another = sessions.begin();
        sessions.end(&with(&cookie));
        assert!(!sessions.has(&with(&cookie)) && sessions.has(&with(&another)));
    }

    #[test]
    fn the_oldest_session_makes_room_for_one_too_many() {
        let sessions = Sessions::new(1, false);
        let first = sessions.begin();
        let rest: Vec<String> = (0..MOST).map(|_| sessions.begin()).collect();
        assert!(!sessions.has(&with(&first)));
        assert!(sessions.has(&with(&rest[0])) && sessions.has(&with(&rest[MOST - 1])));
    }
}
