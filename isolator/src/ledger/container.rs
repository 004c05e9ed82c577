//! A container's way through the ledger.

use std::collections::BTreeSet;
use std::fmt;

use volume_labels::Access;

use super::Ledger;
use super::departure::RefusedRecord;
use super::event::{Effect, Record, RecordedState, RecordedVolume, VolumeRequest};
use super::volume::{State, Volume};
use volume_driver_client::Code;

use crate::error::{PrepareError, Problem};
use crate::types::{BindMount, ContainerId, Containerizer, VolumeKey};

/// How far a container came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not admitted: nothing on disk, no volume held.
    Waiting,
    /// Admitted; the record of the intent is being written.
    Recording,
    /// The intent is on disk; volumes are being mounted.
    Mounting,
    /// Everything is mounted; the record that says so is being written.
    Confirming,
    /// `prepare` succeeded.
    Held,
    /// Refused or released; the record that says so is being written, again and again while the disk
    /// refuses it.
    Departing,
    /// Refused or released, and the disk knows.
    Left,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Recording => "recording",
            Self::Mounting => "mounting",
            Self::Confirming => "confirming",
            Self::Held => "held",
            Self::Departing => "departing",
            Self::Left => "left",
        })
    }
}

#[derive(Debug)]
pub(super) struct Container {
    containerizer: Containerizer,
    pub(super) requests: Vec<VolumeRequest>,
    pub(super) phase: Phase,
    pub(super) revision: u64,
    ticket: u64,
    /// Of a container that left: its volumes that still need work.
    pub(super) owed: BTreeSet<VolumeKey>,
    /// Of those, the ones whose first unmount attempt is not over.
    pub(super) unattempted: BTreeSet<VolumeKey>,
    /// The disk refuses the record that it has left.
    pub(super) refused_record: Option<RefusedRecord>,
    cleanup_asked: bool,
}

impl Container {
    pub(super) fn restored(containerizer: Containerizer, requests: Vec<VolumeRequest>, phase: Phase) -> Self {
        Self {
            containerizer,
            requests,
            phase,
            revision: 0,
            ticket: 0,
            owed: BTreeSet::new(),
            unattempted: BTreeSet::new(),
            refused_record: None,
            cleanup_asked: false,
        }
    }

    pub(super) fn volumes(&self) -> BTreeSet<VolumeKey> {
        self.requests.iter().map(|request| request.volume.clone()).collect()
    }

    pub(super) fn holds(&self) -> bool {
        matches!(self.phase, Phase::Confirming | Phase::Held)
    }

    pub(super) fn left(&self) -> bool {
        matches!(self.phase, Phase::Departing | Phase::Left)
    }

    /// Whether a record that names its volumes is on disk.
    pub(super) fn recorded(&self) -> bool {
        matches!(self.phase, Phase::Mounting | Phase::Confirming | Phase::Held)
    }

    fn preparing(&self) -> bool {
        matches!(
            self.phase,
            Phase::Waiting | Phase::Recording | Phase::Mounting | Phase::Confirming
        )
    }

    pub(super) fn request_of(&self, volume: &VolumeKey) -> &VolumeRequest {
        self.requests
            .iter()
            .find(|request| &request.volume == volume)
            .expect("a container is listed only at volumes it asked for")
    }
}

impl Ledger {
    pub(super) fn acquire(&mut self, id: ContainerId, containerizer: Containerizer, mut requests: Vec<VolumeRequest>) {
        if self.containers.contains_key(&id) {
            let result = Err(PrepareError::Repeated(id.to_string()));
            self.effects.push(Effect::AnswerPrepare { container: id, result });
            return;
        }
        self.respell(&mut requests);
        if let Some(error) = requests.iter().find_map(|wanted| self.owned_by_another(wanted)) {
            let result = Err(error);
            self.effects.push(Effect::AnswerPrepare { container: id, result });
            return;
        }
        self.next_ticket += 1;
        let mut container = Container::restored(containerizer, requests, Phase::Waiting);
        container.ticket = self.next_ticket;
        self.waiting.insert(self.next_ticket, id.clone());
        self.containers.insert(id, container);
        self.admit_waiting();
    }

    /// Why a container cannot have a volume with the owner that its label names: others use the
    /// volume with another owner. The owner is given to the volume when it is mounted, and to
    /// change it then would take the volume from under the others. Who has to wait until they are
    /// gone is not refused.
    fn owned_by_another(&self, wanted: &VolumeRequest) -> Option<PrepareError> {
        let owner = wanted.spec.owner.as_ref().filter(|_| wanted.spec.is_owner_named)?;
        if !self.available(wanted) {
            return None;
        }
        let mut keys = self.twins(&wanted.volume);
        keys.insert(wanted.volume.clone());
        let (user, other) = keys.iter().find_map(|key| {
            self.volumes.get(key)?.users.iter().find_map(|user| {
                let other = self.containers[user].request_of(key).spec.owner.as_ref();
                other.filter(|other| *other != owner).map(|other| (user, other))
            })
        })?;
        let words = format!(
            "it asks for owner {owner}, and container {user} uses the volume with owner {other}: name the same owner in both, with a group \
             that all users are in if several write, or wait until that container has ended"
        );
        Some(PrepareError::Mount {
            origin: wanted.origin.clone(),
            volume: wanted.volume.clone(),
            cause: Problem::new(Code::Busy, words),
        })
    }

    /// Admits, in order of arrival, every waiting container whose volumes are all to be had.
    pub(super) fn admit_waiting(&mut self) {
        let mut ahead: Vec<VolumeRequest> = Vec::new();
        let waiting: Vec<(u64, ContainerId)> = self.waiting.iter().map(|(t, id)| (*t, id.clone())).collect();
        for (ticket, id) in waiting {
            let requests = self.containers[&id].requests.clone();
            // Nobody overtakes an earlier container that wants the same volume in a way that
            // conflicts.
            let overtakes = requests.iter().any(|wanted| {
                ahead.iter().any(|earlier| {
                    (earlier.access == Access::Exclusive || wanted.access == Access::Exclusive)
                        && self.are_one_volume(&earlier.volume, &wanted.volume)
                })
            });
            if overtakes || !requests.iter().all(|wanted| self.available(wanted)) {
                ahead.extend(requests);
                continue;
            }
            self.waiting.remove(&ticket);
            self.admit(&id);
        }
    }

    fn available(&self, wanted: &VolumeRequest) -> bool {
        let is_free = |key: &VolumeKey| {
            self.volumes.get(key).is_none_or(|volume| {
                volume.exclusive.is_none() && (wanted.access == Access::Shared || volume.users.is_empty())
            })
        };
        is_free(&wanted.volume) && self.twins(&wanted.volume).iter().all(is_free)
    }

    fn admit(&mut self, id: &ContainerId) {
        for request in self.containers[id].requests.clone() {
            let volume = self.volumes.entry(request.volume).or_default();
            volume.users.insert(id.clone());
            if request.access == Access::Exclusive {
                volume.exclusive = Some(id.clone());
            }
        }
        self.write_record(id, Phase::Recording);
        // An Unmount that has not begun need not: the new user wants the mount.
        for key in self.containers[id].volumes() {
            self.withdraw_unmount(&key);
        }
    }

    /// Asks for the record that goes with `phase`, and enters it.
    pub(super) fn write_record(&mut self, id: &ContainerId, phase: Phase) {
        let container = self.containers.get_mut(id).expect("callers hold a known container");
        container.phase = phase;
        // Of the whole ledger: an answer about an earlier container with the same id is never taken
        // for one about this.
        self.last_revision += 1;
        container.revision = self.last_revision;
        let revision = container.revision;
        let container = &self.containers[id];
        let released = container.left();
        let volumes = container
            .requests
            .iter()
            .filter(|request| !released || container.owed.contains(&request.volume))
            .map(|request| RecordedVolume {
                request: request.clone(),
                state: self
                    .volumes
                    .get(&request.volume)
                    .map_or(RecordedState::Mounting, |v| v.recorded(released)),
            })
            .collect();
        let record = Record {
            container: id.clone(),
            containerizer: container.containerizer,
            released,
            volumes,
        };
        self.effects.push(Effect::WriteRecord { revision, record });
    }

    pub(super) fn record_written(&mut self, id: &ContainerId, revision: u64, result: Result<(), String>) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if container.revision != revision {
            return;
        }
        match (container.phase, result) {
            (Phase::Recording, Ok(())) => {
                container.phase = Phase::Mounting;
                for key in container.volumes() {
                    self.settle_covered(&key);
                    self.start_mounting(&key);
                }
                self.confirm_if_mounted(id);
            }
            (Phase::Confirming, Ok(())) => self.grant(id),
            (Phase::Recording | Phase::Confirming, Err(cause)) => self.refuse(id, PrepareError::Record(cause)),
            (Phase::Departing, Ok(())) => self.departure_recorded(id),
            (Phase::Departing, Err(cause)) => self.departure_refused(id, cause),
            (Phase::Waiting | Phase::Mounting | Phase::Held | Phase::Left, _) => {}
        }
    }

    /// Goes on with a container in `Mounting` once all its volumes are mounted.
    pub(super) fn confirm_if_mounted(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        let mounted = |request: &VolumeRequest| matches!(self.volumes[&request.volume].state, State::Mounted { .. });
        if container.phase == Phase::Mounting && container.requests.iter().all(mounted) {
            self.write_record(id, Phase::Confirming);
        }
    }

    fn grant(&mut self, id: &ContainerId) {
        let container = self.containers.get_mut(id).expect("callers hold a known container");
        container.phase = Phase::Held;
        let mut mounts: Vec<BindMount> = container
            .requests
            .iter()
            .map(|request| {
                let State::Mounted { mountpoint } = &self.volumes[&request.volume].state else {
                    unreachable!("a volume stays mounted while a container confirms")
                };
                BindMount {
                    source: mountpoint.path.clone(),
                    target: request.target.clone(),
                    read_only: request.read_only,
                }
            })
            .collect();
        // Paths order by component, so a target comes before what lies in it.
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        self.effects.push(Effect::AnswerPrepare {
            container: id.clone(),
            result: Ok(mounts),
        });
    }

    /// Refuses a container that is being prepared, and lets go of what it has.
    pub(super) fn refuse(&mut self, id: &ContainerId, error: PrepareError) {
        self.refuse_all(vec![(id.clone(), error)]);
    }

    /// Refuses several at once: nothing is begun on behalf of one that is about to be refused.
    pub(super) fn refuse_all(&mut self, refusals: Vec<(ContainerId, PrepareError)>) {
        let ids: Vec<ContainerId> = refusals.iter().map(|(id, _)| id.clone()).collect();
        for (container, error) in refusals {
            self.effects.push(Effect::AnswerPrepare {
                container,
                result: Err(error),
            });
        }
        self.leave(&ids);
    }

    pub(super) fn prepare_deadline(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get(id).filter(|container| container.preparing()) else {
            return;
        };
        let unready = container
            .requests
            .iter()
            .find(|request| self.unready(id, request).is_some())
            .unwrap_or(&container.requests[0]);
        let error = PrepareError::Deadline {
            origin: unready.origin.clone(),
            volume: unready.volume.clone(),
            waiting_for: self
                .unready(id, unready)
                .unwrap_or_else(|| Problem::new(Code::Timeout, "its record is still being written")),
        };
        self.refuse(id, error);
    }

    /// What a container in preparation waits for at one volume.
    fn unready(&self, id: &ContainerId, request: &VolumeRequest) -> Option<Problem> {
        let is_admitted = |volume: &Volume| volume.users.contains(id);
        if !self.volumes.get(&request.volume).is_some_and(is_admitted) && !self.available(request) {
            let words = format!("{}, and one of them wants it exclusively", self.users_of(request));
            return Some(Problem::new(Code::Busy, words));
        }
        let volume = self.volumes.get(&request.volume)?;
        if let Some(problem) = self.waits_for_disk(&request.volume)
            && !matches!(volume.state, State::Mounted { .. })
        {
            return Some(problem.clone());
        }
        let (code, words) = match &volume.state {
            State::Mounted { .. } => return None,
            State::AttachedElsewhere { cause, .. } => return Some(cause.clone()),
            State::Absent => (Code::Timeout, "its turn has not come".to_owned()),
            State::Mounting { .. } => (Code::Timeout, "the driver has not answered Mount".to_owned()),
            State::Creating { .. } => (Code::Timeout, "the driver has not answered Create".to_owned()),
            State::Unremoved { error: Some(error), .. } => (
                Code::Busy,
                format!("an earlier volume of its name could not be removed: {error}"),
            ),
            State::Unremoved { error: None, .. } | State::Removing { .. } => (
                Code::Busy,
                "an earlier volume of its name is still being removed".to_owned(),
            ),
            State::Unmounting { .. } => (Code::Busy, "the driver has not answered an earlier Unmount".to_owned()),
            State::Uncertain { why, .. } => (Code::Busy, format!("an earlier outcome is not settled: {why}")),
            State::Stuck { error, .. } => (Code::Busy, format!("an earlier Unmount did not succeed: {error}")),
        };
        Some(Problem::new(code, words))
    }

    /// Who uses a volume, under whichever of its names.
    fn users_of(&self, request: &VolumeRequest) -> String {
        let words = |key: &VolumeKey| {
            let users = self.volumes.get(key).map(|volume| &volume.users)?;
            let names: Vec<String> = users.iter().map(ToString::to_string).collect();
            match (names.is_empty(), *key == request.volume) {
                (true, _) => None,
                (false, true) => Some(format!("container {} uses it", names.join(", "))),
                (false, false) => Some(format!(
                    "container {} uses it under its other name {key}",
                    names.join(", ")
                )),
            }
        };
        let twins = self.twins(&request.volume);
        let uses: Vec<String> = [&request.volume].into_iter().chain(&twins).filter_map(words).collect();
        uses.join(" and ")
    }

    pub(super) fn release(&mut self, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else {
            self.effects.push(Effect::AnswerCleanup { container: id.clone() });
            return;
        };
        container.cleanup_asked = true;
        if container.preparing() {
            self.refuse(id, PrepareError::Destroyed);
        } else if container.left() {
            self.answer_if_attempted(id);
        } else {
            self.leave(std::slice::from_ref(id));
        }
    }

    /// Takes containers from all their volumes. What only they stood for is now owed; the rest
    /// others stand for.
    fn leave(&mut self, ids: &[ContainerId]) {
        for id in ids {
            self.step_back(id);
        }
        for id in ids {
            self.depart(id);
        }
        self.admit_waiting();
    }

    fn step_back(&mut self, id: &ContainerId) {
        let container = &self.containers[id];
        self.waiting.remove(&container.ticket);
        if container.phase == Phase::Waiting {
            return;
        }
        for key in container.volumes() {
            let volume = self
                .volumes
                .get_mut(&key)
                .expect("an admitted container's volumes are known");
            volume.users.remove(id);
            if volume.exclusive.as_ref() == Some(id) {
                volume.exclusive = None;
            }
        }
    }

    fn depart(&mut self, id: &ContainerId) {
        if self.containers[id].phase == Phase::Waiting {
            self.forget(id, false);
            return;
        }
        let keys = self.containers[id].volumes();
        let owed: BTreeSet<VolumeKey> = keys.iter().filter(|key| !self.covered(key)).cloned().collect();
        for key in &owed {
            self.volumes
                .get_mut(key)
                .expect("what is not covered is known")
                .leavers
                .insert(id.clone());
        }
        let container = self.containers.get_mut(id).expect("callers hold a known container");
        container.owed.clone_from(&owed);
        container.unattempted.clone_from(&owed);
        if owed.is_empty() {
            self.forget(id, true);
        } else {
            self.write_record(id, Phase::Departing);
        }
        for key in &keys {
            let twins = self.twins(key);
            self.withdraw_mount(key);
            self.advance(key);
            self.advance_all(&twins);
        }
    }

    /// Whether nothing needs to be remembered about a volume beyond what other users' records say.
    pub(super) fn covered(&self, key: &VolumeKey) -> bool {
        let Some(volume) = self.volumes.get(key) else {
            return true;
        };
        volume.settled()
            || volume
                .users
                .iter()
                .any(|user| self.containers.get(user).is_some_and(Container::recorded))
    }

    /// Frees those who left from a volume that is settled or that another user's record names.
    pub(super) fn settle_covered(&mut self, key: &VolumeKey) {
        if !self.volumes.contains_key(key) || !self.covered(key) {
            return;
        }
        let leavers = std::mem::take(&mut self.volumes.get_mut(key).expect("just looked up").leavers);
        for id in leavers {
            let container = self
                .containers
                .get_mut(&id)
                .expect("a leaver is known until it owes nothing");
            container.owed.remove(key);
            container.unattempted.remove(key);
            if container.owed.is_empty() {
                self.forget(&id, true);
            } else {
                let phase = self.containers[&id].phase;
                self.write_record(&id, phase);
                self.answer_if_attempted(&id);
            }
        }
    }

    /// Notes that an attempt to unmount is over, well or not, and answers the cleanups that waited
    /// for it.
    pub(super) fn attempted(&mut self, key: &VolumeKey) {
        let leavers: Vec<ContainerId> = self.volumes[key].leavers.iter().cloned().collect();
        for id in leavers {
            if let Some(container) = self.containers.get_mut(&id) {
                container.unattempted.remove(key);
            }
            self.answer_if_attempted(&id);
        }
    }

    fn answer_if_attempted(&mut self, id: &ContainerId) {
        if self
            .containers
            .get(id)
            .is_some_and(|container| container.unattempted.is_empty())
        {
            self.answer_cleanup(id);
        }
    }

    pub(super) fn answer_cleanup(&mut self, id: &ContainerId) {
        if let Some(container) = self.containers.get_mut(id)
            && std::mem::take(&mut container.cleanup_asked)
        {
            self.effects.push(Effect::AnswerCleanup { container: id.clone() });
        }
    }

    pub(super) fn forget(&mut self, id: &ContainerId, has_record: bool) {
        if has_record {
            self.effects.push(Effect::RemoveRecord { container: id.clone() });
        }
        self.answer_cleanup(id);
        self.containers.remove(id);
    }

    /// The spec of the first user, in order of id, that waits for this volume with its intent on
    /// disk.
    pub(super) fn next_mounter(&self, key: &VolumeKey) -> Option<&VolumeRequest> {
        self.volumes[key]
            .users
            .iter()
            .filter_map(|user| self.containers.get(user))
            .find(|container| container.phase == Phase::Mounting)
            .map(|container| container.request_of(key))
    }

    /// Whether a container holds the volume, or is about to.
    pub(super) fn has_holder(&self, key: &VolumeKey) -> bool {
        self.volumes[key]
            .users
            .iter()
            .any(|user| self.containers.get(user).is_some_and(Container::holds))
    }

    /// Users that wait for the Mount with their intent on disk.
    pub(super) fn mounters(&self, key: &VolumeKey) -> Vec<(ContainerId, VolumeRequest)> {
        self.volumes[key]
            .users
            .iter()
            .filter_map(|id| {
                let container = self.containers.get(id)?;
                (container.phase == Phase::Mounting).then(|| (id.clone(), container.request_of(key).clone()))
            })
            .collect()
    }
}
