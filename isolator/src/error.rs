//! Why a container is refused its volumes.

use std::time::Duration;

use crate::request::spoken;
use crate::types::VolumeKey;

/// Why `prepare` failed. The text reaches the framework in the task's status, behind Mesos' own
/// "Failed to launch container: ", so it is one line that names the label and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The labels ask for something that cannot be given; nothing was sent to a driver.
    #[error("{0}")]
    Request(String),
    /// The paths in the container were not resolved in time; nothing was sent to a driver.
    #[error("the container's paths were not resolved within {0:?} (module parameter prepare_timeout)")]
    Unresolved(Duration),
    /// The volume could not be mounted.
    #[error("{}: volume {volume}: {cause}", spoken(.slot))]
    Mount {
        /// The label's slot.
        slot: String,
        /// The volume.
        volume: VolumeKey,
        /// The driver's words, or what was seen.
        cause: String,
    },
    /// The time for prepare passed. A Mount that was already sent is waited for in the background and undone.
    #[error(
        "{}: volume {volume}: not ready in time: {waiting_for} (module parameter prepare_timeout)",
        spoken(.slot)
    )]
    Deadline {
        /// The label's slot.
        slot: String,
        /// The first volume that was not ready.
        volume: VolumeKey,
        /// What was missing.
        waiting_for: String,
    },
    /// The agent cannot remember what it is about to do, so it does not do it.
    #[error("cannot write the record of this container's volumes: {0} (module parameter state_dir)")]
    Record(String),
    /// The container was destroyed while its volumes were being mounted.
    #[error("the container was destroyed while its volumes were being mounted")]
    Destroyed,
    /// A second prepare for a container that has one.
    #[error("container {0} is being prepared already")]
    Repeated(String),
    /// The agent is going away.
    #[error("the agent is shutting down")]
    Stopped,
}
