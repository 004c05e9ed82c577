//! Connections, each with limits on all that its peer may leave undone.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::{Peer, ServerTls};

/// How long it is waited after a connection could not be accepted, for instance because too many files are open.
const PAUSE: Duration = Duration::from_millis(100);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the TLS handshake, for a request's head, and for the time between two requests.
    pub head: Duration,
    /// For all of it. A peer that does not read its answers is cut off then.
    pub whole: Duration,
    /// So many connections there are at once; further ones wait.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            whole: Duration::from_secs(300),
            connections: 512,
        }
    }
}

/// Serves `router` on a listener until the runtime ends.
pub async fn serve(listener: TcpListener, tls: Option<ServerTls>, router: Router, limits: Limits) {
    let free = Arc::new(Semaphore::new(limits.connections));
    loop {
        // It is never closed.
        let Ok(place) = free.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            connection(stream, tls, router, limits).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<ServerTls>, router: Router, limits: Limits) {
    let local = stream.local_addr().ok().map(|address| address.ip());
    let Some(tls) = tls else {
        return requests(stream, router, local, false, limits).await;
    };
    // What fails or does not end here is a peer's that has said nothing yet.
    if let Ok(Ok(stream)) = timeout(limits.head, tls.acceptor().accept(stream)).await {
        let certified = stream.get_ref().1.peer_certificates().is_some();
        requests(stream, router, local, certified, limits).await;
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    local: Option<IpAddr>,
    certified: bool,
    limits: Limits,
) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer { local, certified });
        router.clone().oneshot(request.map(Body::new))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .serve_connection(TokioIo::new(stream), service)
    );
    // How a connection ends is its peer's business.
    let is_over = timeout(limits.whole, connection.as_mut()).await.is_ok();
    if !is_over {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.head, connection).await;
    }
}
