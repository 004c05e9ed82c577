//! The answer to one call of the agent, as the Rust side holds it.

use std::sync::Arc;

use cxx::UniquePtr;

use crate::{ffi, guard};

/// Where an answer goes. The first of the two calls counts, whichever thread it comes from; when
/// neither comes, the C++ destructor decides: a promise fails with a clear text, a watch stays
/// pending.
pub(crate) trait Reply: Send + Sync + 'static {
    /// Hands over the wire bytes of the answer's message; empty when it has none.
    fn ready(&self, message: &[u8]);
    /// Fails the agent's future with a one-line reason.
    fn fail(&self, reason: &str);
}

impl Reply for UniquePtr<ffi::Answer> {
    fn ready(&self, message: &[u8]) {
        if let Some(answer) = self.as_ref() {
            answer.ready(message);
        }
    }

    fn fail(&self, reason: &str) {
        if let Some(answer) = self.as_ref() {
            answer.fail(reason);
        }
    }
}

/// A reply that two may hold: the isolator, which gives the answer, and the call that set it to
/// work, which fails it when the isolator panics.
pub(crate) struct Promise<R>(Arc<R>);

impl<R: Reply> Promise<R> {
    pub(crate) fn new(reply: R) -> Self {
        Self(Arc::new(reply))
    }

    /// Another handle on the same reply.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn ready(&self, message: &[u8]) {
        self.0.ready(message);
    }

    /// One line, whatever the reason holds: it reaches the framework as the message of the task's
    /// status.
    pub(crate) fn fail(&self, reason: &str) {
        self.0.fail(&guard::flat(reason));
    }
}

#[allow(unsafe_code, reason = "cxx cannot know which C++ types may change threads")]
mod threads {
    use super::ffi;

    // SAFETY: `Answer` promises both calls for any thread (host.hpp). The shim's one holds a
    // libprocess future, whose shared state has a lock of its own, and its destructor does nothing
    // but complete that future.
    unsafe impl Send for ffi::Answer {}
    // SAFETY: as above; both calls are const and serialized by the future's lock.
    unsafe impl Sync for ffi::Answer {}
    // SAFETY: `Log` promises `write` for any thread (host.hpp); the shim's one has no state, and
    // glog locks.
    unsafe impl Send for ffi::Log {}
    // SAFETY: as above.
    unsafe impl Sync for ffi::Log {}
}
