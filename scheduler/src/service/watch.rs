//! Whether the operator stream is open, by which the tasks of other frameworks are seen.

use mesos_http::operator::ClusterEvent;

use super::Service;
use crate::state::Millis;

/// How long the stream may be closed before the service reports a problem, in milliseconds. A
/// master that takes over, or one that restarts, needs a while.
const PATIENCE: Millis = 60_000;

/// The operator stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorStream {
    /// Whether events of the cluster arrive.
    pub is_open: bool,
    /// Since when it is open or closed, in milliseconds since the epoch.
    pub since_ms: Millis,
    /// Why it is not open.
    pub error: Option<String>,
}

impl OperatorStream {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            is_open: false,
            since_ms: now,
            error: None,
        }
    }

    pub(super) fn take(&mut self, event: &ClusterEvent, now: Millis) {
        let error = match event {
            ClusterEvent::Snapshot(_) => None,
            ClusterEvent::Disconnected(error) => Some(error.to_string()),
            // Without a snapshot that can be read, the changes that follow have no meaning.
            ClusterEvent::Other {
                kind,
                unreadable: Some(reason),
                ..
            } if kind == "SUBSCRIBED" => Some(format!("the master's snapshot cannot be read: {reason}")),
            _ => return,
        };
        let is_open = error.is_none();
        if is_open != self.is_open {
            self.since_ms = now;
        }
        (self.is_open, self.error) = (is_open, error);
    }
}

impl Service {
    /// The operator stream.
    pub fn operator_stream(&self) -> &OperatorStream {
        &self.operator_stream
    }

    /// What keeps the service from its work, in one line; `None` when nothing does.
    pub fn problem(&self, now: Millis) -> Option<String> {
        if !self.is_connected() {
            return Some("not subscribed to a master".to_owned());
        }
        let stream = &self.operator_stream;
        let closed_for = now.saturating_sub(stream.since_ms);
        (!stream.is_open && closed_for > PATIENCE).then(|| {
            let error = stream.error.as_deref().unwrap_or("the master has not answered");
            format!(
                "the operator stream has not been open for {} s, so tasks of other frameworks are not seen: {error}",
                closed_for / 1000
            )
        })
    }
}
