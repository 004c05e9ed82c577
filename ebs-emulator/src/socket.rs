//! HTTP over unix sockets: binding one, serving a router on it.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tower::ServiceExt;

use crate::error::StorageError;

/// Marks a response that must not be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoAnswer;

impl NoAnswer {
    /// A response that closes the connection.
    pub(crate) fn response() -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(NoAnswer);
        response
    }
}

/// Binds a socket that only root may use. A socket file nobody listens on, as SIGKILL leaves it, is replaced.
///
/// # Errors
/// [`StorageError`] when somebody listens there, or something else than a socket is in the way.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, StorageError> {
    let action = || format!("listen on {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(StorageError::io(format!("make {}", parent.display())))?;
    }
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(StorageError::InvalidParameter(format!(
                "{} exists and is no socket",
                path.display()
            )));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(StorageError::InvalidParameter(format!(
                "another driver listens on {}",
                path.display()
            )));
        }
        fs::remove_file(path).map_err(StorageError::io(action()))?;
    }
    let listener = UnixListener::bind(path).map_err(StorageError::io(action()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(StorageError::io(action()))?;
    Ok(listener)
}

/// Serves `router` on `listener` until the future is dropped. Connections live on until their peers leave.
pub(crate) async fn serve(listener: UnixListener, router: Router) -> Infallible {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: wait for some to be closed.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let router = router.clone();
                async move {
                    let response = match router.oneshot(request.map(Body::new)).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    };
                    // hyper closes the connection without a byte when the service fails.
                    match response.extensions().get::<NoAnswer>() {
                        Some(_) => Err("closed on demand of a fault"),
                        None => Ok(response),
                    }
                }
            });
            if let Err(error) = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                tracing::debug!(%error, "connection");
            }
        });
    }
}
