//! Entries of the ledger that turn out to be one volume under two spellings: whoever uses one of
//! them uses the others.

use std::collections::BTreeSet;

use volume_driver_client::Code;

use super::Ledger;
use super::event::{Op, UnmountOutcome, VolumeRequest};
use super::kinship::{Mark, marks_of};
use super::volume::State;
use crate::error::{PrepareError, Problem};
use crate::mountpoint::Mountpoint;
use crate::types::{ContainerId, Identity, VolumeKey};

/// Spellings without an entry are forgotten when there are so many more of them than entries.
const FORGOTTEN_SPELLINGS: usize = 1000;

impl Ledger {
    /// Takes note of what a spelling stands for, before a container asks for it or a record that
    /// names it is restored.
    pub(super) fn identified(&mut self, key: &VolumeKey, identities: BTreeSet<Identity>) {
        if self.kinship.len() > 2 * (self.volumes.len() + self.waiting.len()) + FORGOTTEN_SPELLINGS {
            let waiting: BTreeSet<&VolumeKey> = self
                .waiting
                .values()
                .flat_map(|id| &self.containers[id].requests)
                .map(|request| &request.volume)
                .collect();
            let volumes = &self.volumes;
            self.kinship
                .retain(|key| volumes.contains_key(key) || waiting.contains(key));
        }
        self.kinship.add(key, identities.into_iter().map(Mark::Identity));
    }

    /// Lets each request use the spelling by which the ledger knows its volume already.
    pub(super) fn respell(&self, requests: &mut [VolumeRequest]) {
        for index in 0..requests.len() {
            let key = requests[index].volume.clone();
            if self.volumes.contains_key(&key) {
                continue;
            }
            let others = self.kinship.others_by_name(&key);
            if others.is_empty() {
                continue;
            }
            let earlier = &requests[..index];
            let waiting = self.waiting.values().flat_map(|id| &self.containers[id].requests);
            let known = self
                .containers
                .values()
                .filter(|_| others.iter().any(|other| self.volumes.contains_key(other)))
                .flat_map(|container| &container.requests)
                .chain(waiting)
                .chain(earlier)
                .find(|known| others.contains(&known.volume))
                .map(|known| (known.volume.clone(), known.mount_id.clone()));
            if let Some((volume, mount_id)) = known {
                requests[index].volume = volume;
                requests[index].mount_id = mount_id;
            }
        }
    }

    /// The other entries of the same volume.
    pub(super) fn twins(&self, key: &VolumeKey) -> BTreeSet<VolumeKey> {
        let mut others = self.kinship.others(key);
        others.retain(|other| self.volumes.contains_key(other));
        others
    }

    pub(super) fn are_one_volume(&self, a: &VolumeKey, b: &VolumeKey) -> bool {
        a == b || self.kinship.others(a).contains(b)
    }

    /// Whether a call under another spelling of the volume is under way.
    pub(super) fn twin_is_called(&self, key: &VolumeKey) -> bool {
        self.twins(key).iter().any(|twin| {
            matches!(
                self.volumes[twin].state,
                State::Mounting { .. } | State::Unmounting { .. } | State::Creating { .. } | State::Removing { .. }
            )
        })
    }

    /// Whether containers rely on the mount under another spelling of the volume.
    pub(super) fn twin_is_used(&self, key: &VolumeKey) -> bool {
        self.twins(key).iter().any(|twin| {
            let volume = &self.volumes[twin];
            self.has_holder(twin) || matches!(volume.state, State::Mounted { .. }) && !volume.users.is_empty()
        })
    }

    /// Whether an Unmount has to wait until other spellings of the volume are used no longer.
    pub(super) fn is_kept_by_twins(&self, key: &VolumeKey) -> bool {
        self.twin_is_called(key) || self.twin_is_used(key)
    }

    /// The Unmount under one spelling may take the mount from under the others, whether or not the
    /// driver counts Mounts. From here on none of the others counts as mounted, even one whose own
    /// Unmount was never sent.
    pub(super) fn doubt_twins(&mut self, key: &VolumeKey) {
        for twin in self.twins(key) {
            let volume = self.volumes.get_mut(&twin).expect("twins are entries");
            match &mut volume.state {
                State::Mounted { mountpoint } => {
                    volume.state = State::Uncertain {
                        why: Problem::new(Code::Busy, format!("it is being unmounted under its other name {key}")),
                        mountpoint: Some(mountpoint.clone()),
                        refused: false,
                    };
                }
                State::Stuck { mounted, .. } => *mounted = false,
                _ => {}
            }
        }
    }

    /// Whether other spellings of the volume still have a mount of it to undo.
    pub(super) fn twin_owes_unmount(&self, key: &VolumeKey) -> bool {
        self.twins(key)
            .iter()
            .any(|twin| self.volumes[twin].state.mountpoint().is_some())
    }

    /// Begins what waited for something to end under another spelling.
    pub(super) fn advance_all(&mut self, keys: &BTreeSet<VolumeKey>) {
        for key in keys {
            self.advance(key);
        }
    }

    /// A volume that was just mounted shows what another entry has mounted already. Says whether
    /// its Mount cannot be relied on, since the other one is being unmounted.
    pub(super) fn is_being_unmounted_as(&self, key: &VolumeKey) -> Option<VolumeKey> {
        self.twins(key).into_iter().find(|twin| {
            matches!(
                self.volumes[twin].state,
                State::Unmounting { .. } | State::Stuck { idle: false, .. }
            )
        })
    }

    /// The other volumes that the answer of a Mount makes the same volume, with their last known
    /// mounts, as far as nobody relies on those and no call for them is under way. The kernel uses
    /// the device number of a mount that is gone again, and so may drivers use a folder: only a
    /// mount that is still there tells that two volumes are one. Look for each of them in the mount
    /// table, and say [`Event::MountGone`](super::Event::MountGone) of those that are gone before
    /// [`Event::MountDone`](super::Event::MountDone).
    pub fn seemingly_the_same(&self, op: Op, at: &Mountpoint) -> Vec<(VolumeKey, Mountpoint)> {
        let Some(key) = self.ops.get(&op) else {
            return Vec::new();
        };
        let others = self
            .kinship
            .having(marks_of(at))
            .into_iter()
            .filter(|other| *other != key);
        others
            .filter_map(|other| Some((other.clone(), self.idle_mount(other)?.clone())))
            .collect()
    }

    /// Where a volume was mounted that nobody uses, and for which no call is under way.
    fn idle_mount(&self, key: &VolumeKey) -> Option<&Mountpoint> {
        match &self.volumes.get(key)?.state {
            State::Uncertain { mountpoint, .. } | State::Stuck { mountpoint, .. } if !self.has_holder(key) => {
                // Of a plain folder the mount table tells nothing.
                mountpoint.as_ref().filter(|at| at.mount.is_some())
            }
            _ => None,
        }
    }

    /// What was seen of a mount that is gone tells no more which volumes are one, nor where the
    /// volume is mounted. Before the next Unmount the driver is asked for the place, in case the
    /// volume was mounted again under another name.
    pub(super) fn mount_gone(&mut self, key: &VolumeKey, mountpoint: &Mountpoint) {
        if self.idle_mount(key) == Some(mountpoint) {
            let twins = self.twins(key);
            self.kinship.forget_mount(key);
            self.advance(key);
            self.advance_all(&twins);
        }
    }

    /// Refuses those who wait for a volume that others use under another spelling, when one of them
    /// wants it exclusively.
    pub(super) fn refuse_if_exclusive_elsewhere(&mut self, key: &VolumeKey) {
        let users = &self.volumes[key].users;
        let mut conflict = None;
        for twin in self.twins(key) {
            let (here, there) = (&self.volumes[key], &self.volumes[&twin]);
            let strangers = |ids: &BTreeSet<ContainerId>, alone: &ContainerId| ids.iter().any(|id| id != alone);
            let excluded = here
                .exclusive
                .as_ref()
                .is_some_and(|alone| strangers(&there.users, alone))
                || there
                    .exclusive
                    .as_ref()
                    .is_some_and(|alone| strangers(&here.users, alone));
            if excluded {
                conflict = Some(twin);
            }
        }
        let Some(twin) = conflict else {
            return;
        };
        let names: Vec<String> = self.volumes[&twin].users.iter().map(ToString::to_string).collect();
        let words = format!(
            "it is the same volume as {twin}, which container {} uses, and one of the two wants it exclusively: name the volume \
             in the same way everywhere, so that one container waits for the other",
            names.join(", ")
        );
        let cause = Problem::new(Code::Busy, words);
        let preparing = users
            .iter()
            .filter(|id| self.containers.get(*id).is_some_and(|it| !it.holds()));
        let refusals: Vec<(ContainerId, PrepareError)> = preparing
            .map(|id| {
                let origin = self.containers[id].request_of(key).origin.clone();
                let error = PrepareError::Mount {
                    origin,
                    volume: key.clone(),
                    cause: cause.clone(),
                };
                (id.clone(), error)
            })
            .collect();
        self.refuse_all(refusals);
    }

    /// An Unmount was not sent, since it was not known where the volume is mounted, and now is.
    pub(super) fn found_where(&mut self, key: &VolumeKey, outcome: &UnmountOutcome) -> bool {
        let UnmountOutcome::Found(at) = outcome else {
            return false;
        };
        let volume = self.volumes.get_mut(key).expect("callers hold a known volume");
        let refused = matches!(volume.state, State::Unmounting { refused: true, .. });
        volume.state = State::Uncertain {
            why: Problem::new(Code::Uncertain, "an earlier outcome is not known"),
            mountpoint: Some(at.clone()),
            refused,
        };
        self.kinship.add(key, marks_of(at));
        true
    }
}
