//! The HTTP API.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::blocking::blocking;
use super::logs::{AgentAccess, FILES, LogError};
use super::serve::Shared;
use super::{Cause, RequestError, RunEntry, Service, metrics, openapi};
use crate::report::Report;
use crate::state::Millis;

/// Everything that is served, without any check of the client: see
/// [`Access::protect`](crate::access::Access::protect).
pub fn router(shared: Shared, agents: AgentAccess) -> Router {
    Router::new()
        .route("/v1/jobs", get(jobs).post(create))
        .route("/v1/jobs/{name}", get(job).put(replace).delete(delete))
        .route("/v1/jobs/{name}/run", post(run))
        .route("/v1/jobs/{name}/pause", post(pause))
        .route("/v1/jobs/{name}/resume", post(resume))
        .route("/v1/runs", get(runs))
        .route("/v1/runs/{id}", get(one_run))
        .route("/v1/runs/{id}/explain", get(explain))
        .route("/v1/runs/{id}/cancel", post(cancel))
        .route("/v1/runs/{id}/tasks/{task}/{file}", get(log))
        .route("/v1/tasks/{id}/declare-dead", post(declare_dead))
        .route("/v1/claims", get(claims))
        .route("/openapi.json", get(openapi))
        .route("/metrics", get(metrics_text))
        .route("/health", get(health))
        .merge(crate::page::routes())
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is nothing here; see /openapi.json"))
        .layer(Extension(agents))
        .with_state(shared)
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"error": message}))).into_response()
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Bad(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unwritable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        problem(status, &self.to_string())
    }
}

fn job_json(service: &Service, name: &str) -> Option<Value> {
    let job = service.jobs().get(name)?;
    let runs: Vec<&String> = service
        .runs()
        .iter()
        .filter(|(_, run)| run.record.job == name)
        .map(|(id, _)| id)
        .collect();
    Some(
        json!({"name": name, "created_ms": job.created_ms, "next_ms": job.next_ms, "paused": job.paused, "queued_ms": job.queued_ms,
        "active_run": service.active_run(name), "runs": runs}),
    )
}

fn run_json(run: &RunEntry) -> Value {
    let mut report = serde_json::to_value(Report::new(run.plan(), run.state(), None))
        .expect("a report has text keys only, so it is JSON");
    if run.state().end.is_none() {
        report["status"] = "running".into();
    }
    report["number"] = run.record.number.into();
    report["cause"] = json!(run.cause());
    report
}

async fn jobs(State(shared): State<Shared>) -> axum::Json<Value> {
    axum::Json(shared.read(|service, _| {
        let jobs: Vec<_> = service
            .jobs()
            .keys()
            .filter_map(|name| job_json(service, name))
            .collect();
        json!({"jobs": jobs})
    }))
}

async fn job(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let found = shared.read(|service, _| {
        let mut json = job_json(service, &name)?;
        json["file"] = service.jobs().get(&name)?.text.clone().into();
        Some(json)
    });
    match found {
        Some(json) => axum::Json(json).into_response(),
        None => RequestError::Unknown(format!("job '{name}'")).into_response(),
    }
}

fn text(body: &Bytes) -> Result<String, RequestError> {
    String::from_utf8(body.to_vec()).map_err(|_| RequestError::Bad("the job file is not UTF-8".to_owned()))
}

async fn create(State(shared): State<Shared>, body: Bytes) -> Result<Response, RequestError> {
    let text = text(&body)?;
    let name = blocking(move || shared.change(|service, now| service.put(text, false, now))).await?;
    Ok((StatusCode::CREATED, axum::Json(json!({"name": name}))).into_response())
}

async fn replace(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, RequestError> {
    let text = text(&body)?;
    let name = blocking(move || shared.change(|service, now| service.put_as(&name, text, now))).await?;
    Ok(axum::Json(json!({"name": name})).into_response())
}

async fn delete(State(shared): State<Shared>, Path(name): Path<String>) -> Result<StatusCode, RequestError> {
    blocking(move || shared.change(|service, _| Ok(((), service.delete(&name)?)))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn run(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, RequestError> {
    let id = blocking(move || shared.change(|service, now| service.begin(&name, Cause::Request, now))).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({"run": id}))).into_response())
}

async fn pause(State(shared): State<Shared>, Path(name): Path<String>) -> Result<StatusCode, RequestError> {
    blocking(move || shared.change(|service, _| Ok(((), service.pause(&name)?)))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(State(shared): State<Shared>, Path(name): Path<String>) -> Result<StatusCode, RequestError> {
    blocking(move || shared.change(|service, now| Ok(((), service.resume(&name, now)?)))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn runs(State(shared): State<Shared>) -> axum::Json<Value> {
    axum::Json(shared.read(|service, _| {
        let runs: Vec<_> = service
            .runs()
            .iter()
            .map(|(id, run)| {
                let full = run_json(run);
                json!({"run": id, "job": full["job"], "status": full["status"], "cause": full["cause"],
                    "started_ms": full["started_ms"], "ended_ms": full["ended_ms"], "message": full["message"]})
            })
            .collect();
        json!({"runs": runs})
    }))
}

async fn one_run(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match shared.read(|service, _| service.runs().get(&id).map(run_json)) {
        Some(json) => axum::Json(json).into_response(),
        None => RequestError::Unknown(format!("run '{id}'")).into_response(),
    }
}

async fn explain(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let look = |service: &Service, now: Millis| Some(json!({"run": id, "tasks": service.explain(&id, now)?}));
    match shared.read(look) {
        Some(json) => axum::Json(json).into_response(),
        None => RequestError::Unknown(format!("run '{id}'")).into_response(),
    }
}

async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, RequestError> {
    blocking(move || shared.change(|service, now| Ok(((), service.cancel(&id, now)?)))).await?;
    Ok(StatusCode::ACCEPTED)
}

impl IntoResponse for LogError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::NotLaunched { .. } => StatusCode::CONFLICT,
            Self::Agent { .. } => StatusCode::BAD_GATEWAY,
        };
        problem(status, &self.to_string())
    }
}

async fn log(
    State(shared): State<Shared>,
    Extension(agents): Extension<AgentAccess>,
    Path((run, task, file)): Path<(String, String, String)>,
) -> Result<Response, LogError> {
    if !FILES.contains(&file.as_str()) {
        let known = FILES.join(" and ");
        return Err(LogError::Unknown(format!("file '{file}' of a task; there are {known}")));
    }
    let sandbox = shared.read(|service, _| service.sandbox(&run, &task))?;
    let text = blocking(move || sandbox.tail(&agents, &file)).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, text).into_response())
}

async fn declare_dead(State(shared): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, RequestError> {
    blocking(move || shared.change(|service, now| Ok(((), service.declare_dead(&id, now)?)))).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn claims(State(shared): State<Shared>) -> axum::Json<Value> {
    axum::Json(shared.read(|service, _| json!({"volumes": service.ledger().view()})))
}

async fn openapi() -> axum::Json<Value> {
    axum::Json(openapi::document())
}

async fn metrics_text(State(shared): State<Shared>) -> Response {
    let text = shared.read(metrics::text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn health(State(shared): State<Shared>) -> Response {
    let (problem, mut answer) = shared.read(|service, now| {
        let stream = service.operator_stream();
        let answer = json!({"connected": service.is_connected(), "operator_stream": {
            "open": stream.is_open, "since_ms": stream.since_ms, "error": stream.error}});
        (service.problem(now), answer)
    });
    match problem {
        None => axum::Json(answer).into_response(),
        Some(problem) => {
            answer["error"] = problem.into();
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(answer)).into_response()
        }
    }
}
