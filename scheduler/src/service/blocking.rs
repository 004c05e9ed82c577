//! Changes of the service block, and the threads that answer requests must not.

/// Runs `act`, which writes to disk or waits for the master, on a thread that may block. The
/// threads that answer requests must not.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(act).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
