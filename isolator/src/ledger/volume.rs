//! A volume's way through the ledger.

use std::collections::BTreeSet;
use std::time::Duration;

use volume_driver_client::MountId;
use volume_labels::Lifetime;

use super::Ledger;
use super::event::{Effect, MountOutcome, MountSpec, Op, RecordedState, UnmountOutcome, VolumeState};
use super::kinship::marks_of;
use super::made::Made;
use volume_driver_client::Code;

use crate::error::{PrepareError, Problem};
use crate::mountpoint::Mountpoint;
use crate::types::{ContainerId, VolumeKey};

/// The first retry of a failed Unmount or Remove comes after this; every further one after twice
/// the time before.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The first look whether another host has let go of a volume; every further one after twice the
/// time before.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// No look waits longer than this.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// After so many refused Unmounts in a row a volume of which nothing is mounted counts as
/// unmounted. With the delays between them, from half a second on and each twice the one before,
/// that takes a little over four minutes, so that a storage whose interface fails for a moment does
/// not make the agent forget an attachment.
pub const UNMOUNTS_OF_NOTHING: u32 = 10;
/// No retry waits longer than this.
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// What earlier calls for a volume may have left at the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    Nothing,
    /// The driver refused the Mount, and may have attached the volume before that.
    Attachment,
    /// A mount that was never undone.
    Mount,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Absent,
    AttachedElsewhere {
        attempt: u32,
        cause: Problem,
    },
    Mounting {
        op: Op,
        spec: MountSpec,
        /// What an earlier Mount left, which a failure now does not undo.
        owes: Owed,
        /// Where that earlier mount is, when this Mount is to take it over.
        adopt: Option<Mountpoint>,
        /// How often another host was in the way before.
        attempt: u32,
    },
    Mounted {
        mountpoint: Mountpoint,
    },
    Uncertain {
        why: Problem,
        mountpoint: Option<Mountpoint>,
        /// The driver refused the Mount, so that at most an attachment is left.
        refused: bool,
    },
    Unmounting {
        op: Op,
        attempt: u32,
        mountpoint: Option<Mountpoint>,
        /// As in `Uncertain`.
        refused: bool,
        /// No Unmount was sent before: as long as this one is not, the volume is mounted.
        mounted: bool,
        /// The driver had answered whatever it was sent before.
        idle: bool,
        /// The driver has said before that the volume is unmounted.
        was_confirmed: bool,
    },
    Stuck {
        attempt: u32,
        error: Problem,
        mountpoint: Option<Mountpoint>,
        /// As in `Uncertain`.
        refused: bool,
        /// No Unmount was sent yet: the volume is mounted.
        mounted: bool,
        /// The driver works on nothing of this volume, so a new user may take over what the mount
        /// table still shows.
        idle: bool,
        /// The driver has said that the volume is unmounted: a new user needs a Mount of its own,
        /// whatever is still mounted.
        was_confirmed: bool,
    },
    Creating {
        op: Op,
        spec: MountSpec,
    },
    /// Not mounted, and to be removed, whoever waits for it: a new user gets a new volume.
    Unremoved {
        /// How often that was tried.
        attempt: u32,
        error: Option<Problem>,
    },
    Removing {
        op: Op,
        attempt: u32,
    },
}

impl State {
    pub(super) fn name(&self) -> VolumeState {
        match self {
            Self::Absent => VolumeState::Absent,
            Self::AttachedElsewhere { .. } => VolumeState::AttachedElsewhere,
            Self::Mounting { .. } => VolumeState::Mounting,
            Self::Mounted { .. } => VolumeState::Mounted,
            Self::Uncertain { .. } => VolumeState::Uncertain,
            Self::Unmounting { .. } => VolumeState::Unmounting,
            Self::Stuck { .. } => VolumeState::Stuck,
            Self::Creating { .. } => VolumeState::Creating,
            Self::Unremoved { .. } => VolumeState::Unremoved,
            Self::Removing { .. } => VolumeState::Removing,
        }
    }

    pub(super) fn mountpoint(&self) -> Option<&Mountpoint> {
        match self {
            Self::Absent
            | Self::AttachedElsewhere { .. }
            | Self::Creating { .. }
            | Self::Unremoved { .. }
            | Self::Removing { .. } => None,
            Self::Mounted { mountpoint } => Some(mountpoint),
            Self::Mounting { adopt, .. } => adopt.as_ref(),
            Self::Uncertain { mountpoint, .. }
            | Self::Unmounting { mountpoint, .. }
            | Self::Stuck { mountpoint, .. } => mountpoint.as_ref(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Volume {
    pub(super) state: State,
    /// Admitted containers.
    pub(super) users: BTreeSet<ContainerId>,
    /// The one of them that wants no other.
    pub(super) exclusive: Option<ContainerId>,
    /// Containers that left and whose records still stand for this volume.
    pub(super) leavers: BTreeSet<ContainerId>,
    pub(super) mount_id: Option<MountId>,
    /// How many Unmounts in a row the driver refused although nothing is mounted.
    pub(super) refusals: u32,
    /// How many Removes in a row did not succeed.
    pub(super) failed_removes: u32,
    /// The driver says that what is to be removed is in use: an Unmount comes before the next
    /// Remove.
    pub(super) in_use: bool,
    /// What we made at the driver, or may have made.
    pub(super) made: Made,
    /// What is wrong with the volume as it is mounted now, for people: nothing is decided by it.
    pub(super) found: Option<Problem>,
}

impl Volume {
    /// What a volume is that is certainly not mounted.
    pub(super) fn unmounted(&self) -> State {
        match self.made {
            Made::Nothing => State::Absent,
            Made::Perhaps { .. } | Made::Certainly => State::Unremoved {
                attempt: 0,
                error: None,
            },
        }
    }

    /// Whether nothing of it is left for us to do, once nobody wants it.
    pub(super) fn settled(&self) -> bool {
        matches!(self.state, State::Absent | State::AttachedElsewhere { .. }) && self.made == Made::Nothing
    }

    pub(super) fn mounted_at(&self) -> Option<&Mountpoint> {
        match &self.state {
            State::Mounted { mountpoint } => Some(mountpoint),
            _ => None,
        }
    }

    pub(super) fn recorded(&self, released: bool) -> RecordedState {
        match (&self.state, released) {
            (State::Mounted { mountpoint }, false) => RecordedState::Mounted(mountpoint.clone()),
            (_, false)
            | (
                State::Absent
                | State::AttachedElsewhere { .. }
                | State::Creating { .. }
                | State::Mounting { adopt: None, .. },
                true,
            ) => RecordedState::Mounting,
            (state, true) => RecordedState::Unmounting(state.mountpoint().cloned()),
        }
    }
}

impl Ledger {
    /// Begins whatever the volume is ready for.
    pub(super) fn advance(&mut self, key: &VolumeKey) {
        let Some(volume) = self.volumes.get(key) else {
            return;
        };
        if self.twin_is_called(key) {
            // What ends under another name of the volume comes back here.
            self.attempted_if_owed(key);
            return;
        }
        match &volume.state {
            State::Absent => {
                if let Some(request) = self.next_mounter(key) {
                    match request.spec.lifetime {
                        Lifetime::Persistent => self.start_mount(key, None, Owed::Nothing, 0),
                        Lifetime::Container => self.start_create(key),
                    }
                } else if volume.users.is_empty() && volume.leavers.is_empty() {
                    self.drop_entry(key);
                }
            }
            State::AttachedElsewhere { .. } if volume.made != Made::Nothing => {
                if volume.users.is_empty() {
                    self.give_up(key);
                }
            }
            State::AttachedElsewhere { .. } => {
                if volume.users.is_empty() && volume.leavers.is_empty() {
                    self.drop_entry(key);
                }
            }
            State::Unremoved { attempt: 0, .. } => {
                if !self.has_holder(key) && self.departures_recorded(key) {
                    let attempt = volume.failed_removes + 1;
                    self.start_remove(key, attempt);
                }
            }
            State::Mounted { .. } => {
                if volume.users.is_empty() && self.departures_recorded(key) {
                    self.unmount_unless_kept(key);
                }
            }
            State::Uncertain { .. } => {
                if !self.has_holder(key) && self.departures_recorded(key) {
                    self.unmount_unless_kept(key);
                }
            }
            State::Stuck {
                idle: true,
                mountpoint,
                refused,
                was_confirmed,
                ..
            } if volume.made == Made::Nothing && self.next_mounter(key).is_some() => {
                let adopt = mountpoint.clone().filter(|_| !was_confirmed);
                let owes = if *refused { Owed::Attachment } else { Owed::Mount };
                self.start_mount(key, adopt, owes, 0);
            }
            State::Stuck { .. }
            | State::Mounting { .. }
            | State::Unmounting { .. }
            | State::Creating { .. }
            | State::Unremoved { .. }
            | State::Removing { .. } => {}
        }
    }

    fn drop_entry(&mut self, key: &VolumeKey) {
        self.volumes.remove(key);
        // A container that waits may still ask for it by this name.
        let waited_for = self.waiting.values().any(|id| {
            self.containers[id]
                .requests
                .iter()
                .any(|request| request.volume == *key)
        });
        if !waited_for {
            self.kinship.forget(key);
        }
    }

    fn unmount_unless_kept(&mut self, key: &VolumeKey) {
        if self.is_kept_by_twins(key) {
            self.attempted_if_owed(key);
        } else {
            self.start_unmount(key, 1);
        }
    }

    /// A cleanup does not wait for the containers that use the volume under another name.
    fn attempted_if_owed(&mut self, key: &VolumeKey) {
        if !self.volumes[key].leavers.is_empty() {
            self.attempted(key);
        }
    }

    /// As [`Self::advance`], and for a new user also retries at once what waits for its delay.
    pub(super) fn start_mounting(&mut self, key: &VolumeKey) {
        self.advance(key);
        if self.is_kept_by_twins(key) {
            return;
        }
        match self.volumes.get(key).map(|volume| &volume.state) {
            Some(State::Stuck { attempt, .. }) if self.departures_recorded(key) => {
                let attempt = *attempt;
                self.start_unmount(key, attempt + 1);
            }
            // What may still come late is looked for at its own pace.
            Some(State::Unremoved { attempt, .. })
                if *attempt > 0 && self.volumes[key].made == Made::Certainly && self.departures_recorded(key) =>
            {
                let attempt = *attempt;
                self.remove_again(key, attempt + 1);
            }
            _ => {}
        }
    }

    pub(super) fn start_mount(&mut self, key: &VolumeKey, adopt: Option<Mountpoint>, owes: Owed, attempt: u32) {
        let request = self
            .next_mounter(key)
            .expect("only called when somebody wants the mount")
            .clone();
        let op = self.new_op(key);
        let volume = self.volumes.get_mut(key).expect("as above");
        volume.found = None;
        volume.state = State::Mounting {
            op,
            spec: request.spec.clone(),
            owes,
            adopt: adopt.clone(),
            attempt,
        };
        volume.mount_id = Some(request.mount_id.clone());
        self.effects.push(Effect::Mount {
            op,
            volume: key.clone(),
            mount_id: request.mount_id,
            spec: request.spec,
            adopt,
        });
    }

    pub(super) fn start_unmount(&mut self, key: &VolumeKey, attempt: u32) {
        self.doubt_twins(key);
        let is_last = !self.twin_owes_unmount(key);
        let is_place_known = self.kinship.knows_place(key);
        let op = self.new_op(key);
        let volume = self.volumes.get_mut(key).expect("only called for a known volume");
        let mountpoint = volume.state.mountpoint().cloned();
        let (mounted, idle, refused, was_confirmed) = match &volume.state {
            State::Mounted { .. } => (true, true, false, false),
            State::Stuck {
                mounted,
                idle,
                refused,
                was_confirmed,
                ..
            } => (*mounted, *idle, *refused, *was_confirmed),
            State::Uncertain { refused, .. } => (false, false, *refused, false),
            // The driver says that a volume which is not mounted is in use: that can only be an
            // attachment.
            State::Unremoved { .. } => (false, false, true, false),
            _ => (false, false, false, false),
        };
        let mount_id = volume
            .mount_id
            .clone()
            .expect("set with the first Mount, or from the record");
        volume.state = State::Unmounting {
            op,
            attempt,
            mountpoint: mountpoint.clone(),
            refused,
            mounted,
            idle,
            was_confirmed,
        };
        self.effects.push(Effect::Unmount {
            op,
            volume: key.clone(),
            mount_id,
            mountpoint,
            is_place_known,
            is_last,
            was_confirmed,
        });
    }

    /// Takes back a Mount, or the Create before it, that nobody wants any more, if it has not
    /// begun.
    pub(super) fn withdraw_mount(&mut self, key: &VolumeKey) {
        if let Some(volume) = self.volumes.get(key)
            && let State::Mounting { op, .. } | State::Creating { op, .. } = volume.state
            && volume.users.is_empty()
        {
            self.effects.push(Effect::Withdraw { op });
        }
    }

    /// Takes back an Unmount, if it has not begun and the volume is known to be mounted without it.
    pub(super) fn withdraw_unmount(&mut self, key: &VolumeKey) {
        if let Some(State::Unmounting { op, mounted: true, .. }) = self.volumes.get(key).map(|volume| &volume.state) {
            let op = *op;
            self.effects.push(Effect::Withdraw { op });
        }
    }

    pub(super) fn mount_done(&mut self, op: Op, outcome: MountOutcome) {
        let Some(key) = self.ops.remove(&op) else {
            return;
        };
        let Some(State::Mounting {
            spec,
            owes,
            adopt,
            attempt,
            ..
        }) = self.volumes.get(&key).map(|volume| volume.state.clone())
        else {
            return;
        };
        let unsettled = |why: &Problem, refused| State::Uncertain {
            why: why.clone(),
            mountpoint: adopt.clone(),
            refused,
        };
        let unmounted = self.volumes[&key].unmounted();
        if let MountOutcome::Mounted(mountpoint) = &outcome {
            self.kinship.add(&key, marks_of(mountpoint));
        }
        let unmounted_as = self.is_being_unmounted_as(&key);
        let (state, refused) = match outcome {
            MountOutcome::Mounted(mountpoint) => match unmounted_as {
                None => (State::Mounted { mountpoint }, None),
                Some(other) => {
                    let words = format!("it is the same volume as {other}, which is being unmounted: try again");
                    let why = Problem::new(Code::Busy, words);
                    let state = State::Uncertain {
                        why: why.clone(),
                        mountpoint: Some(mountpoint),
                        refused: false,
                    };
                    (state, Some(why))
                }
            },
            MountOutcome::Failed(cause) | MountOutcome::AttachedElsewhere(cause) if owes != Owed::Nothing => {
                (unsettled(&cause, owes == Owed::Attachment), Some(cause))
            }
            MountOutcome::Failed(cause) => (unmounted, Some(cause)),
            MountOutcome::AttachedElsewhere(cause) => {
                let cause = Problem::new(Code::AttachedElsewhere, cause.words);
                let attempt = attempt + 1;
                let delay = backoff::doubled(attempt, FIRST_LOOK, LONGEST_LOOK);
                let volume = key.clone();
                self.effects.push(Effect::RetryAfter { volume, attempt, delay });
                (State::AttachedElsewhere { attempt, cause }, None)
            }
            MountOutcome::Refused(cause) => (unsettled(&cause, owes != Owed::Mount), Some(cause)),
            MountOutcome::Uncertain(cause) => {
                let cause = Problem::new(Code::Uncertain, cause.words);
                (unsettled(&cause, false), Some(cause))
            }
        };
        let volume = self.volumes.get_mut(&key).expect("just looked up");
        volume.state = state;
        self.refuse_if_exclusive_elsewhere(&key);
        self.confirm_mounted(&key);
        if let Some(cause) = refused {
            self.refuse_mounters(&key, &spec, &cause);
        }
        let twins = self.twins(&key);
        self.settle_covered(&key);
        self.advance(&key);
        self.advance_all(&twins);
    }

    /// Whoever asked for the same gets the same answer; a container with other options has a try of
    /// its own.
    pub(super) fn refuse_mounters(&mut self, key: &VolumeKey, spec: &MountSpec, cause: &Problem) {
        let same = self
            .mounters(key)
            .into_iter()
            .filter(|(_, request)| request.spec == *spec);
        let refusals = same.map(|(id, request)| {
            let error = PrepareError::Mount {
                origin: request.origin,
                volume: request.volume,
                cause: cause.clone(),
            };
            (id, error)
        });
        self.refuse_all(refusals.collect());
    }

    pub(super) fn unmount_done(&mut self, op: Op, outcome: UnmountOutcome) {
        let Some(key) = self.ops.remove(&op) else {
            return;
        };
        let twins = self.twins(&key);
        let Some(volume) = self.volumes.get_mut(&key) else {
            return;
        };
        let State::Unmounting {
            attempt,
            mountpoint,
            refused,
            mounted,
            idle,
            was_confirmed,
            ..
        } = volume.state.clone()
        else {
            return;
        };
        let was_confirmed = was_confirmed || matches!(outcome, UnmountOutcome::Unproven(_));
        if self.found_where(&key, &outcome) {
            self.advance(&key);
            return;
        }
        let volume = self.volumes.get_mut(&key).expect("just looked up");
        let stuck = |error, mounted, idle| State::Stuck {
            attempt,
            error,
            mountpoint: mountpoint.clone(),
            refused,
            mounted,
            idle,
            was_confirmed,
        };
        volume.refusals = match &outcome {
            UnmountOutcome::NothingMounted(_) => volume.refusals + 1,
            // What the driver refused to mount, it need not have anything to unmount of.
            UnmountOutcome::Failed(_) if refused => volume.refusals + 1,
            UnmountOutcome::NotSent(_) | UnmountOutcome::Found(_) => volume.refusals,
            UnmountOutcome::Unmounted
            | UnmountOutcome::Failed(_)
            | UnmountOutcome::Unproven(_)
            | UnmountOutcome::Uncertain(_) => 0,
        };
        volume.state = match outcome {
            UnmountOutcome::Unmounted => volume.unmounted(),
            UnmountOutcome::Failed(refusal) | UnmountOutcome::NothingMounted(refusal)
                if volume.refusals >= UNMOUNTS_OF_NOTHING =>
            {
                volume.refusals = 0;
                self.effects.push(Effect::TellSettled {
                    volume: key.clone(),
                    refusal: refusal.words,
                });
                volume.unmounted()
            }
            UnmountOutcome::NothingMounted(error) => stuck(error, false, true),
            UnmountOutcome::Failed(error) | UnmountOutcome::Unproven(error) => {
                stuck(error, false, refused || mountpoint.is_some())
            }
            UnmountOutcome::Uncertain(error) => stuck(Problem::new(Code::Uncertain, error.words), false, false),
            UnmountOutcome::NotSent(error) => stuck(error, mounted, idle),
            UnmountOutcome::Found(_) => unreachable!("it was looked at before"),
        };
        if matches!(volume.state, State::Absent | State::Unremoved { .. }) {
            self.kinship.forget_mount(&key);
            self.settle_covered(&key);
        } else {
            let delay = backoff::doubled(attempt, FIRST_RETRY, LONGEST_RETRY);
            self.effects.push(Effect::RetryAfter {
                volume: key.clone(),
                attempt,
                delay,
            });
            self.attempted(&key);
        }
        self.advance(&key);
        self.advance_all(&twins);
    }

    /// A call that was never sent changed nothing: the volume is as it was before.
    pub(super) fn withdrawn(&mut self, op: Op) {
        let Some(key) = self.ops.remove(&op) else {
            return;
        };
        let Some(volume) = self.volumes.get_mut(&key) else {
            return;
        };
        volume.state = match &volume.state {
            State::Mounting {
                owes: Owed::Nothing, ..
            } => volume.unmounted(),
            State::Creating { .. } => State::Absent,
            State::Unmounting {
                mountpoint: Some(mountpoint),
                mounted: true,
                ..
            } => State::Mounted {
                mountpoint: mountpoint.clone(),
            },
            other => State::Uncertain {
                why: Problem::new(Code::Uncertain, "an earlier Unmount did not succeed"),
                mountpoint: other.mountpoint().cloned(),
                refused: match other {
                    State::Mounting { owes, .. } => *owes == Owed::Attachment,
                    State::Unmounting { refused, .. } => *refused,
                    _ => false,
                },
            },
        };
        let twins = self.twins(&key);
        self.confirm_mounted(&key);
        self.settle_covered(&key);
        self.advance(&key);
        self.advance_all(&twins);
    }

    fn confirm_mounted(&mut self, key: &VolumeKey) {
        if matches!(self.volumes[key].state, State::Mounted { .. }) {
            for (id, _) in self.mounters(key) {
                self.confirm_if_mounted(&id);
            }
        }
    }

    pub(super) fn retry_due(&mut self, key: &VolumeKey, attempt: u32) {
        if let Some(State::AttachedElsewhere { attempt: current, .. }) =
            self.volumes.get(key).map(|volume| &volume.state)
            && *current == attempt
        {
            if self.next_mounter(key).is_some() {
                if self.twin_is_called(key) {
                    self.retry_later(key, attempt);
                    return;
                }
                self.start_mount(key, None, Owed::Nothing, attempt);
            } else {
                // Whoever wanted it is gone, or has not said so on disk yet.
                self.give_up(key);
            }
            return;
        }
        let stuck = self.volumes.get(key).map(|volume| &volume.state);
        if matches!(stuck, Some(State::Stuck { attempt: current, .. }) if *current == attempt) {
            if self.is_kept_by_twins(key) || !self.departures_recorded(key) {
                self.retry_later(key, attempt);
                return;
            }
            self.start_unmount(key, attempt + 1);
        } else if matches!(stuck, Some(State::Unremoved { attempt: current, .. }) if *current == attempt) {
            if !self.departures_recorded(key) {
                self.retry_later(key, attempt);
                return;
            }
            self.remove_again(key, attempt + 1);
        }
    }

    /// Another name of the volume is in the way, or the disk does not know yet who has left.
    fn retry_later(&mut self, key: &VolumeKey, attempt: u32) {
        self.effects.push(Effect::RetryAfter {
            volume: key.clone(),
            attempt,
            delay: backoff::doubled(attempt, FIRST_RETRY, LONGEST_RETRY),
        });
    }

    /// No Mount is asked for any more.
    fn give_up(&mut self, key: &VolumeKey) {
        if let Some(volume) = self.volumes.get_mut(key) {
            volume.state = volume.unmounted();
            self.advance(key);
        }
    }
}
