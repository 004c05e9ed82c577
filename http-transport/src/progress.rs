//! How far the request that a connection carries has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const DIALED: u8 = 1;
const SENT: u8 = 2;

/// How far the current request of one [`Connection`](crate::Connection) has come. The connection
/// and its transport share it; a connection carries one request at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// A new request begins.
    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// A socket is opened for this request.
    pub(crate) fn dialed(&self) {
        self.0.fetch_or(DIALED, Ordering::Relaxed);
    }

    /// Bytes of the request are about to be given to the socket.
    pub(crate) fn sent(&self) {
        self.0.fetch_or(SENT, Ordering::Relaxed);
    }

    /// Whether the request uses a connection of an earlier one.
    pub(crate) fn is_reused(&self) -> bool {
        self.0.load(Ordering::Relaxed) & DIALED == 0
    }

    /// Whether bytes of the request may have been sent.
    pub(crate) fn is_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SENT != 0
    }
}
