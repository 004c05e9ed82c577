//! The record that a container has left, which comes before every Unmount and Remove.
//!
//! An Unmount that was sent may be carried out long after its agent has ended. The next agent takes a
//! container whose record says that it has its volumes for one that has them, and lets other containers
//! join. So nothing is unmounted before the disk knows who has left: when the disk refuses that record,
//! the volumes stay as they are, and the record is written again after a delay.

use std::time::Duration;

use volume_driver_client::Code;

use super::Ledger;
use super::container::{Container, Phase};
use super::event::Effect;
use super::volume::{FIRST_RETRY, State, Volume};
use crate::error::Problem;
use crate::types::{ContainerId, VolumeKey};

/// No retry of a record waits longer than this: an operator who has made room sees the volumes go.
const LONGEST_WRITE_RETRY: Duration = Duration::from_secs(15);

/// The disk refuses the record that a container has left.
#[derive(Debug)]
pub(super) struct RefusedRecord {
    /// How often it was refused in a row.
    attempt: u32,
    /// What the volumes of the container wait for.
    problem: Problem,
}

impl Ledger {
    /// The disk knows that a container has left: its volumes can be unmounted.
    pub(super) fn departure_recorded(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.phase = Phase::Left;
        container.refused_record = None;
        for key in container.owed.clone() {
            let twins = self.twins(&key);
            self.advance(&key);
            self.advance_all(&twins);
        }
    }

    /// The disk refuses the record that a container has left. Its cleanup waits no longer than for a
    /// driver that refuses the Unmount.
    pub(super) fn departure_refused(&mut self, id: &ContainerId, cause: String) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let attempt = container
            .refused_record
            .as_ref()
            .map_or(1, |refused| refused.attempt + 1);
        let words = format!(
            "it is not unmounted until the record that container {id} has left can be written: {cause}: make room on the disk \
             of state_dir, or make it writable"
        );
        let problem = Problem::new(Code::Unreachable, words);
        container.refused_record = Some(RefusedRecord { attempt, problem });
        // What is said of the refused version a second time counts no more.
        self.last_revision += 1;
        container.revision = self.last_revision;
        self.effects.push(Effect::RetryRecordAfter {
            container: id.clone(),
            revision: container.revision,
            cause,
            delay: backoff::doubled(attempt, FIRST_RETRY, LONGEST_WRITE_RETRY),
        });
        for key in container.owed.clone() {
            if self.waits_for_disk(&key).is_some() {
                self.attempted(&key);
            }
        }
    }

    pub(super) fn record_retry_due(&mut self, id: &ContainerId, revision: u64) {
        let is_due = |container: &Container| container.phase == Phase::Departing && container.revision == revision;
        if self.containers.get(id).is_some_and(is_due) {
            self.write_record(id, Phase::Departing);
        }
    }

    /// Whether the disk knows of everybody who left this volume, under whichever of its names.
    pub(super) fn departures_recorded(&self, key: &VolumeKey) -> bool {
        let is_recorded = |volume: &Volume| {
            volume.leavers.iter().all(|id| {
                self.containers
                    .get(id)
                    .is_none_or(|container| container.phase == Phase::Left)
            })
        };
        is_recorded(&self.volumes[key]) && self.twins(key).iter().all(|twin| is_recorded(&self.volumes[twin]))
    }

    /// Why a volume that nobody uses is neither unmounted nor removed: the disk refuses the record that a
    /// container has left.
    pub(super) fn waits_for_disk(&self, key: &VolumeKey) -> Option<&Problem> {
        let volume = self.volumes.get(key)?;
        let is_idle = matches!(
            volume.state,
            State::Mounted { .. } | State::Uncertain { .. } | State::Stuck { .. } | State::Unremoved { .. }
        );
        if !is_idle || self.has_holder(key) {
            return None;
        }
        let twins = self.twins(key);
        let others = twins.iter().filter_map(|twin| self.volumes.get(twin));
        let leavers = [volume].into_iter().chain(others).flat_map(|volume| &volume.leavers);
        let refused = leavers.filter_map(|id| self.containers.get(id)?.refused_record.as_ref());
        refused.map(|refused| &refused.problem).next()
    }
}
