//! What the agent finds when it starts.

use std::collections::BTreeSet;

use tracing::{error, info};

use super::mount_table::MountTable;
use crate::ledger::{Presence, RecordedState, Restored};
use crate::records::{Found, Store};
use crate::types::{ContainerId, RecoveredContainer};

/// What the records say of before, beside what Mesos and the kernel say of now. A folder that cannot be read is told in the
/// log: the agent starts all the same. Of drivers whose volumes are plain directories the mount table says nothing.
pub(super) fn restored(
    store: &Store,
    running: &[RecoveredContainer],
    orphans: &[ContainerId],
    directory_backed: impl Fn(&str) -> bool,
) -> Vec<Restored> {
    let records = store.load().unwrap_or_else(|problem| {
        error!(%problem, "cannot read the records; what they name stays as it is until the next start");
        Vec::new()
    });
    let running: BTreeSet<&ContainerId> = running.iter().map(|container| &container.id).collect();
    let orphans: BTreeSet<&ContainerId> = orphans.iter().collect();
    let table = MountTable::read()
        .inspect_err(|problem| error!(%problem, "cannot read the mount table; recorded mounts are taken as they are"))
        .ok();
    let restored = records.into_iter().map(|Found { record, rebooted }| {
        let presence = match &record.container {
            id if running.contains(id) => Presence::Running,
            id if orphans.contains(id) => Presence::Orphan,
            _ => Presence::Gone,
        };
        let mounts = record
            .volumes
            .iter()
            .filter(|volume| !directory_backed(&volume.request.volume.driver));
        let lost = mounts.filter_map(|volume| match (&volume.state, &table) {
            (RecordedState::Mounted(at), Some(table)) if table.covering(&at.path).is_none() => Some(at.path.clone()),
            _ => None,
        });
        let lost = lost.collect();
        Restored {
            record,
            presence,
            rebooted,
            lost,
        }
    });
    let restored: Vec<Restored> = restored.collect();
    info!(
        records = restored.len(),
        running = running.len(),
        orphans = orphans.len(),
        "recovered"
    );
    restored
}
