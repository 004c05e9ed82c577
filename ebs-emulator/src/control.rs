//! The control API of [`api`](crate::api), answered.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::{
    ApiError, AttachVolume, ClearFaults, Cleared, CreateVolume, DescribeVolumes, DetachVolume, EventsAfter, FaultId,
    VolumeDescription, VolumeName,
};
use crate::error::StorageError;
use crate::faults::FaultRule;
use crate::storage::{NewVolume, Storage};

type Shared = State<Arc<Storage>>;

/// The endpoints of the control socket.
pub fn router(storage: Arc<Storage>) -> Router {
    Router::new()
        .route("/CreateVolume", post(create))
        .route("/DescribeVolumes", post(describe))
        .route("/DeleteVolume", post(delete))
        .route("/AttachVolume", post(attach))
        .route("/DetachVolume", post(detach))
        .route("/Hosts", post(hosts))
        .route("/Events", post(events))
        .route("/SetFault", post(set_fault))
        .route("/ListFaults", post(list_faults))
        .route("/ClearFaults", post(clear_faults))
        .fallback(async |uri: http::Uri, _: Bytes| {
            answer::<()>(Err(StorageError::InvalidParameter(format!(
                "there is no action {}",
                uri.path()
            ))))
        })
        .with_state(storage)
}

async fn create(State(storage): Shared, body: Bytes) -> Response {
    let made = finish(async move {
        let request: CreateVolume = parse(&body)?;
        let new = NewVolume {
            name: request.name,
            size_gib: request.size,
            zone: request.zone,
            volume_type: request.volume_type.unwrap_or_else(|| "gp3".into()),
            unique_name: false,
        };
        storage.create(new).await
    });
    answer(made.await.map(|volume| VolumeDescription::from(&volume)))
}

async fn describe(State(storage): Shared, _: Bytes) -> Response {
    answer(Ok(DescribeVolumes {
        volumes: storage.volumes().iter().map(VolumeDescription::from).collect(),
    }))
}

async fn delete(State(storage): Shared, body: Bytes) -> Response {
    let deleted = finish(async move {
        let request: VolumeName = parse(&body)?;
        storage.delete(&request.volume).await
    });
    answer(deleted.await.map(|()| json!({})))
}

async fn attach(State(storage): Shared, body: Bytes) -> Response {
    let attached = finish(async move {
        let request: AttachVolume = parse(&body)?;
        storage.attach_foreign(&request.volume, &request.instance).await
    });
    answer(attached.await.map(|volume| VolumeDescription::from(&volume)))
}

async fn detach(State(storage): Shared, body: Bytes) -> Response {
    let detached = finish(async move {
        let request: DetachVolume = parse(&body)?;
        match request.force {
            true => storage.force_detach(&request.volume).await,
            false => storage.detach_by_operator(&request.volume).await,
        }
    });
    answer(detached.await.map(|()| json!({})))
}

async fn hosts(State(storage): Shared, _: Bytes) -> Response {
    answer(Ok(storage.hosts()))
}

async fn events(State(storage): Shared, body: Bytes) -> Response {
    answer(parse::<EventsAfter>(&body).map(|request| storage.history.since(request.after)))
}

async fn set_fault(State(storage): Shared, body: Bytes) -> Response {
    answer(parse::<FaultRule>(&body).map(|rule| FaultId {
        id: storage.faults.set(rule),
    }))
}

async fn list_faults(State(storage): Shared, _: Bytes) -> Response {
    answer(Ok(storage.faults.list()))
}

async fn clear_faults(State(storage): Shared, body: Bytes) -> Response {
    answer(parse::<ClearFaults>(&body).map(|request| Cleared {
        cleared: storage.faults.clear(request.id),
    }))
}

/// Work as a task of its own: a client that gives up drops the request, and must not leave a volume half changed.
async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(StorageError::io("finish the action")(std::io::Error::other(error))),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(body).map_err(|error| StorageError::InvalidParameter(format!("request body: {error}")))
}

fn answer<T: Serialize>(result: Result<T, StorageError>) -> Response {
    let (status, body) = match result {
        Ok(value) => (StatusCode::OK, serde_json::to_vec(&value)),
        Err(error) => (
            StatusCode::BAD_REQUEST,
            serde_json::to_vec(&ApiError {
                error: error.to_string(),
            }),
        ),
    };
    let body = body.expect("answers are plain data");
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    response
        .body(Body::from(body))
        .expect("status and header are constants")
}
