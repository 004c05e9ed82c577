//! The messages to the ledger's thread, and its answers.

use crate::error::PrepareError;
use crate::health::HealthReport;
use crate::ledger::{Event, VolumeRequest};
use crate::ledger_reader::ReadLedger;
use crate::runtime::writer::Written;
use crate::types::{Answer, BindMount, ContainerId, Containerizer, Limitation, RecoveredContainer};

/// Answers a prepare.
pub(crate) type PrepareAnswer = Box<dyn FnOnce(Result<Option<Vec<BindMount>>, PrepareError>) + Send>;

/// Answers a watch. It is dropped uncalled when the container leaves and no volume gave a reason to
/// end it.
pub(crate) type Watcher = Box<dyn FnOnce(Limitation) + Send>;

/// Numbers every prepare, so that what was begun for an earlier container with the same id is not
/// taken for what the present one waits for: Mesos uses the ids of standalone containers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(pub(crate) u64);

/// A message to the ledger's thread.
pub(crate) enum Message {
    /// Mesos called `recover()`.
    Recover {
        running: Vec<RecoveredContainer>,
        orphans: Vec<ContainerId>,
        answer: Answer,
    },
    /// Mesos called `prepare()` for a container that requests volumes; its targets are being
    /// resolved.
    Prepare {
        id: ContainerId,
        turn: Turn,
        answer: PrepareAnswer,
    },
    /// The container's targets are resolved, or cannot be.
    Resolved {
        id: ContainerId,
        turn: Turn,
        containerizer: Containerizer,
        result: Result<Vec<VolumeRequest>, PrepareError>,
    },
    /// Mesos called `cleanup()`.
    Cleanup { id: ContainerId, answer: Answer },
    /// A driver answered, or the identity of a volume became known.
    Event(Event),
    /// A change of a record is on disk, or failed.
    Written(Written),
    /// The health monitor found a fault in a mounted volume.
    Health(HealthReport),
    /// Another thread reads the ledger.
    Read(ReadLedger),
    /// Mesos called `watch()`; the watcher ends the container.
    Watch { id: ContainerId, watcher: Watcher },
    /// The agent ends.
    Stop,
}
