//! The page: server-rendered HTML without a script, readable on a phone.

mod dag;
mod frame;
mod jobs;
mod run;
mod timeline;
mod volumes;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::service::serve::Shared;
use crate::service::{Cause, RequestError, Service};
use crate::state::Millis;

/// The page's routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route(
            "/",
            get(async |State(shared): State<Shared>| show(&shared, |service, now| Some(jobs::all(service, now)))),
        )
        .route(
            "/jobs/{name}",
            get(async |State(shared): State<Shared>, Path(name): Path<String>| {
                show(&shared, |service, now| jobs::one(service, &name, now))
            }),
        )
        .route(
            "/runs/{id}",
            get(async |State(shared): State<Shared>, Path(id): Path<String>| {
                show(&shared, |service, now| run::one(service, &id, now))
            }),
        )
        .route(
            "/volumes",
            get(async |State(shared): State<Shared>| show(&shared, |service, now| Some(volumes::all(service, now)))),
        )
        .route(
            "/volumes/{*id}",
            get(async |State(shared): State<Shared>, Path(id): Path<String>| {
                show(&shared, |service, now| volumes::one(service, &id, now))
            }),
        )
        .route(
            "/agents",
            get(async |State(shared): State<Shared>| show(&shared, |service, now| Some(volumes::agents(service, now)))),
        )
        .route("/jobs/{name}/run", post(begin))
        .route("/runs/{id}/cancel", post(cancel))
        .route(
            "/style.css",
            get(async || ([(header::CONTENT_TYPE, "text/css")], include_str!("style.css"))),
        )
}

/// Nothing but its own style is loaded, and nothing is run.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn page(status: StatusCode, markup: Markup) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, markup.into_string()).into_response()
}

fn show(shared: &Shared, look: impl FnOnce(&Service, Millis) -> Option<Markup>) -> Response {
    match shared.read(look) {
        Some(markup) => page(StatusCode::OK, markup),
        None => problem(shared, StatusCode::NOT_FOUND, "There is no such thing here any more."),
    }
}

fn problem(shared: &Shared, status: StatusCode, message: &str) -> Response {
    let markup = shared.read(|service, now| {
        frame::frame(
            service,
            "Sorry",
            now,
            false,
            html! { h1 { "Sorry" } p { (message) } p { a href="/" { "Jobs" } } },
        )
    });
    page(status, markup)
}

fn done(shared: &Shared, outcome: Result<String, RequestError>) -> Response {
    match outcome {
        Ok(place) => Redirect::to(&place).into_response(),
        Err(error) => problem(shared, StatusCode::CONFLICT, &error.to_string()),
    }
}

async fn begin(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let own = shared.clone();
    let begun =
        crate::service::api::blocking(move || shared.change(|service, now| service.begin(&name, Cause::Request, now)));
    done(&own, begun.await.map(|id| format!("/runs/{id}")))
}

async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let own = shared.clone();
    let place = format!("/runs/{id}");
    let cancelled =
        crate::service::api::blocking(move || shared.change(|service, now| Ok(((), service.cancel(&id, now)?))));
    done(&own, cancelled.await.map(|()| place))
}
