//! A call that the ledger asks for. It becomes exactly one event, whatever happens to the call.

use std::collections::BTreeMap;

use volume_driver_client::MountId;

use super::calls::Call;
use super::queues::Urgency;
use crate::error::Problem;
use crate::ledger::{CreateOutcome, Event, MountOutcome, MountSpec, Op, RemoveOutcome, UnmountOutcome};
use crate::mountpoint::Mountpoint;
use crate::types::VolumeKey;

/// One call for a volume.
pub(super) struct DriverCall {
    pub(super) op: Op,
    pub(super) volume: VolumeKey,
    pub(super) kind: CallKind,
}

/// The fields are those of the ledger's effects with the same names.
pub(super) enum CallKind {
    Create {
        options: BTreeMap<String, String>,
    },
    Mount {
        mount_id: MountId,
        spec: MountSpec,
        adopt: Option<Mountpoint>,
    },
    Unmount {
        mount_id: MountId,
        mountpoint: Option<Mountpoint>,
        was_confirmed: bool,
        is_place_known: bool,
        is_last: bool,
    },
    Remove,
}

impl DriverCall {
    pub(super) fn urgency(&self) -> Urgency {
        match self.kind {
            CallKind::Create { .. } | CallKind::Mount { .. } => Urgency::Container,
            CallKind::Unmount { .. } | CallKind::Remove => Urgency::Background,
        }
    }

    /// Makes the call, and waits for the driver.
    pub(super) fn run(&self, call: &Call<'_>) -> Event {
        let op = self.op;
        match &self.kind {
            CallKind::Create { options } => Event::CreateDone {
                op,
                outcome: call.create(options),
            },
            CallKind::Mount { mount_id, spec, adopt } => Event::MountDone {
                op,
                outcome: call.mount(mount_id, spec, adopt.as_ref()),
            },
            CallKind::Unmount {
                mount_id,
                mountpoint,
                was_confirmed,
                is_place_known,
                is_last,
            } => Event::UnmountDone {
                op,
                outcome: call.unmount(mount_id, mountpoint.as_ref(), *was_confirmed, *is_place_known, *is_last),
            },
            CallKind::Remove => Event::RemoveDone {
                op,
                outcome: call.remove(),
            },
        }
    }

    /// The call panicked: it may have been sent.
    pub(super) fn uncertain(&self, problem: Problem) -> Event {
        let op = self.op;
        match self.kind {
            CallKind::Create { .. } => Event::CreateDone {
                op,
                outcome: CreateOutcome::Uncertain(problem),
            },
            CallKind::Mount { .. } => Event::MountDone {
                op,
                outcome: MountOutcome::Uncertain(problem),
            },
            CallKind::Unmount { .. } => Event::UnmountDone {
                op,
                outcome: UnmountOutcome::Uncertain(problem),
            },
            CallKind::Remove => Event::RemoveDone {
                op,
                outcome: RemoveOutcome::Uncertain(problem),
            },
        }
    }

    /// The call cannot be queued: it was not sent, and will not be.
    pub(super) fn not_sent(&self, problem: Problem) -> Event {
        let op = self.op;
        match self.kind {
            CallKind::Create { .. } => Event::CreateDone {
                op,
                outcome: CreateOutcome::Failed(problem),
            },
            CallKind::Mount { .. } => Event::MountDone {
                op,
                outcome: MountOutcome::Failed(problem),
            },
            CallKind::Unmount { .. } => Event::UnmountDone {
                op,
                outcome: UnmountOutcome::NotSent(problem),
            },
            CallKind::Remove => Event::RemoveDone {
                op,
                outcome: RemoveOutcome::NotSent(problem),
            },
        }
    }
}
