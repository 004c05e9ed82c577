//! The ledger for people: every volume with its state, what is wrong with it and who is about it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Ledger;
use super::container::Phase;
use super::event::VolumeState;
use super::volume::{State, Volume};
use crate::error::Problem;
use crate::types::{ContainerId, VolumeKey};

/// One volume as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeOverview<'a> {
    /// Driver and name.
    pub volume: &'a VolumeKey,
    /// Its state.
    pub state: VolumeState,
    /// Where it is mounted, or was when last heard of.
    pub mountpoint: Option<&'a Path>,
    /// How often the step it is at was tried, this time included; 0 when nothing was tried.
    pub attempt: u32,
    /// What went wrong last, in the driver's words or ours.
    pub problem: Option<&'a Problem>,
    /// The containers it matters to.
    pub users: Vec<(&'a ContainerId, Usage)>,
}

/// What a container has to do with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// It has it.
    Holds,
    /// It is being prepared.
    Preparing,
    /// It waits until the volume is to be had.
    Waiting,
    /// It has left, and what is left to do about the volume is in its record.
    Leaving,
}

impl Usage {
    /// The word in `status.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Preparing => "preparing",
            Self::Waiting => "waiting",
            Self::Leaving => "leaving",
        }
    }
}

impl Ledger {
    /// Every volume that is not simply absent, in order.
    pub fn overview(&self) -> impl Iterator<Item = VolumeOverview<'_>> {
        let mut waiting: BTreeMap<&VolumeKey, Vec<&ContainerId>> = BTreeMap::new();
        for id in self.waiting.values() {
            for request in &self.containers[id].requests {
                waiting.entry(&request.volume).or_default().push(id);
            }
        }
        self.volumes.iter().map(move |(key, volume)| {
            let waiting = waiting.remove(key).unwrap_or_default();
            self.overview_of(key, volume, &waiting)
        })
    }

    fn overview_of<'a>(
        &'a self,
        key: &'a VolumeKey,
        volume: &'a Volume,
        waiting: &[&'a ContainerId],
    ) -> VolumeOverview<'a> {
        let (attempt, problem) = match &volume.state {
            State::AttachedElsewhere { attempt, cause } => (*attempt, Some(cause)),
            State::Mounting { attempt, .. } => (attempt + 1, None),
            State::Unmounting { attempt, .. } => (*attempt, None),
            State::Uncertain { why, .. } => (0, Some(why)),
            State::Stuck { attempt, error, .. } => (*attempt, Some(error)),
            State::Unremoved { attempt, error } => (*attempt, error.as_ref()),
            State::Removing { attempt, .. } => (*attempt, None),
            State::Creating { .. } => (1, None),
            State::Mounted { .. } => (0, volume.found.as_ref()),
            State::Absent => (0, None),
        };
        let problem = self.waits_for_disk(key).or(problem);
        let users = volume.users.iter().map(|id| {
            let held = self
                .containers
                .get(id)
                .is_some_and(|container| container.phase == Phase::Held);
            (id, if held { Usage::Holds } else { Usage::Preparing })
        });
        let waiting = waiting.iter().map(|id| (*id, Usage::Waiting));
        let leaving = volume.leavers.iter().map(|id| (id, Usage::Leaving));
        VolumeOverview {
            volume: key,
            state: volume.state.name(),
            mountpoint: volume.state.mountpoint().map(AsRef::as_ref),
            attempt,
            problem,
            users: users.chain(waiting).chain(leaving).collect(),
        }
    }
}
