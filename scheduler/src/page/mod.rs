//! The page: server-rendered HTML without a script, readable on a phone.

mod agents;
mod dag;
mod frame;
mod jobs;
mod logs;
mod run;
mod volumes;

use std::convert::Infallible;

use axum::Router;
use axum::extract::{Extension, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::service::blocking::blocking;
use crate::service::logs::AgentAccess;
use crate::service::serve::Shared;
use crate::service::{Cause, RequestError};
use frame::View;

/// The page's routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route(
            "/",
            get(async |Looking(shared, still)| show(&shared, still, |view| Some(jobs::all(view)))),
        )
        .route(
            "/jobs/{name}",
            get(async |Looking(shared, still), Path(name): Path<String>| {
                show(&shared, still, |view| jobs::one(view, &name))
            }),
        )
        .route(
            "/runs/{id}",
            get(async |Looking(shared, still), Path(id): Path<String>| {
                show(&shared, still, |view| run::one(view, &id))
            }),
        )
        .route(
            "/volumes",
            get(async |Looking(shared, still)| show(&shared, still, |view| Some(volumes::all(view)))),
        )
        .route(
            "/volumes/{*id}",
            get(async |Looking(shared, still), Path(id): Path<String>| {
                show(&shared, still, |view| volumes::one(view, &id))
            }),
        )
        .route(
            "/agents",
            get(async |Looking(shared, still)| show(&shared, still, |view| Some(agents::all(view)))),
        )
        .route("/runs/{id}/tasks/{task}", get(log))
        .route("/jobs/{name}/run", post(begin))
        .route("/runs/{id}/cancel", post(cancel))
        .route(
            "/style.css",
            get(async || ([(header::CONTENT_TYPE, "text/css")], style())),
        )
        .route(
            "/icon.svg",
            get(async || ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("icon.svg"))),
        )
}

fn style() -> String {
    [include_str!("style.css"), crate::timeline::STYLE].concat()
}

/// The service, and whether the reader has asked for a page that is not reloaded (`?still`).
struct Looking(Shared, bool);

impl FromRequestParts<Shared> for Looking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        Ok(Self(shared.clone(), parts.uri.query() == Some("still")))
    }
}

/// The content security policy: a page loads only its own style, and runs no script.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn page(status: StatusCode, markup: Markup) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, markup.into_string()).into_response()
}

/// A page that shows nothing of the service, for clients that are not let in yet.
pub(crate) fn plain(status: StatusCode, title: &str, content: Markup) -> Response {
    page(status, frame::bare(title, content))
}

fn show(shared: &Shared, still: bool, look: impl FnOnce(View<'_>) -> Option<Markup>) -> Response {
    match shared.read(|service, now| look(View { service, now, still })) {
        Some(markup) => page(StatusCode::OK, markup),
        None => problem(
            shared,
            StatusCode::NOT_FOUND,
            "This page does not exist, or does not exist any more: only the latest runs of each job are kept.",
        ),
    }
}

fn problem(shared: &Shared, status: StatusCode, message: &str) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => "Not found",
        _ => "The request was refused",
    };
    let content = html! {
        h1 { (title) }
        div.empty { p { (message) } p { a href="/" { "To the jobs" } } }
    };
    let markup = shared.read(|service, now| {
        let still = true;
        frame::frame(View { service, now, still }, "", title, false, content)
    });
    page(status, markup)
}

fn done(shared: &Shared, outcome: Result<String, RequestError>) -> Response {
    match outcome {
        Ok(place) => Redirect::to(&place).into_response(),
        Err(error) => problem(shared, StatusCode::CONFLICT, &error.to_string()),
    }
}

async fn log(
    State(shared): State<Shared>,
    Extension(agents): Extension<AgentAccess>,
    Path((run, task)): Path<(String, String)>,
) -> Response {
    let sandbox = match shared.read(|service, _| service.sandbox(&run, &task)) {
        Ok(sandbox) => sandbox,
        Err(error) => return problem(&shared, StatusCode::NOT_FOUND, &error.to_string()),
    };
    let files = blocking(move || logs::read(&sandbox, &agents)).await;
    show(&shared, true, |view| Some(logs::one(view, &run, &task, &files)))
}

async fn begin(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let own = shared.clone();
    let begun = blocking(move || shared.change(|service, now| service.begin(&name, Cause::Request, now)));
    done(&own, begun.await.map(|id| format!("/runs/{id}")))
}

async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let own = shared.clone();
    let place = format!("/runs/{id}");
    let cancelled = blocking(move || shared.change(|service, now| Ok(((), service.cancel(&id, now)?))));
    done(&own, cancelled.await.map(|()| place))
}
