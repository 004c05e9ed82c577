//! Volumes that are made for a container: created before its Mount, removed after its Unmount.
//!
//! Two promises: none of them is left behind, and nothing else is ever removed. Both rest on the
//! name, which nobody else makes up ([`crate::ephemeral`]), and on the record, which names it
//! before the Create is sent and as long as it may exist:
//!
//! * Whatever a Create without an answer, a refused one, or an agent that was killed left under
//!   that name is ours, so it is removed. What was there *before* the Create is not, and is not
//!   touched (`CreateOutcome::Failed`).
//! * That the driver does not know the name proves that nothing is left only when no Create can be
//!   carried out any more. After one without an answer it is asked [`LOOKS_FOR_A_LATE_CREATE`]
//!   times.

use super::Ledger;
use super::event::{CreateOutcome, Effect, Op, RecordedState, RecordedVolume, RemoveOutcome};
use super::volume::{FIRST_RETRY, LONGEST_RETRY, Owed, State};
use crate::error::Problem;
use crate::types::VolumeKey;
use volume_driver_client::Code;
use volume_labels::Lifetime;

/// How often a Remove must find nothing after a Create without an answer. With the delays between,
/// from half a second on and each twice the one before, that is a little over a minute.
pub const LOOKS_FOR_A_LATE_CREATE: u32 = 8;

/// What we made of a volume at its driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Made {
    /// Nothing: what the driver has is not ours.
    #[default]
    Nothing,
    /// No Create is under way any more, and what there is under this name is ours.
    Certainly,
    /// A Create may have been sent, and may still be carried out. Of several records the one that
    /// says so counts: another may tell of a volume that is gone since.
    Perhaps {
        /// How often a Remove found nothing.
        looks: u32,
    },
}

impl Made {
    /// What an earlier life of the agent made.
    pub(super) fn by_record(recorded: &RecordedVolume) -> Self {
        match (recorded.request.spec.lifetime, &recorded.state) {
            (Lifetime::Persistent, _) => Self::Nothing,
            // What was mounted had been created.
            (Lifetime::Container, RecordedState::Mounted(_) | RecordedState::Unmounting(Some(_))) => Self::Certainly,
            (Lifetime::Container, RecordedState::Mounting | RecordedState::Unmounting(None)) => {
                Self::Perhaps { looks: 0 }
            }
        }
    }
}

impl Ledger {
    pub(super) fn start_create(&mut self, key: &VolumeKey) {
        let request = self.next_mounter(key).expect("only called when somebody wants it");
        let (spec, mount_id) = (request.spec.clone(), request.mount_id.clone());
        let op = self.new_op(key);
        let volume = self.volumes.get_mut(key).expect("as above");
        volume.state = State::Creating { op, spec: spec.clone() };
        volume.mount_id = Some(mount_id);
        self.effects.push(Effect::Create {
            op,
            volume: key.clone(),
            options: spec.create.unwrap_or_default(),
        });
    }

    pub(super) fn start_remove(&mut self, key: &VolumeKey, attempt: u32) {
        let op = self.new_op(key);
        let volume = self.volumes.get_mut(key).expect("only called for a known volume");
        volume.state = State::Removing { op, attempt };
        self.effects.push(Effect::Remove {
            op,
            volume: key.clone(),
        });
    }

    /// Repeats a Remove; after an Unmount when the driver says that the volume is in use.
    pub(super) fn remove_again(&mut self, key: &VolumeKey, attempt: u32) {
        let volume = self.volumes.get_mut(key).expect("only called for a known volume");
        if std::mem::take(&mut volume.in_use) {
            self.start_unmount(key, 1);
        } else {
            self.start_remove(key, attempt);
        }
    }

    pub(super) fn create_done(&mut self, op: Op, outcome: CreateOutcome) {
        let Some(key) = self.ops.remove(&op) else {
            return;
        };
        let Some(volume) = self.volumes.get_mut(&key) else {
            return;
        };
        let State::Creating { spec, .. } = volume.state.clone() else {
            return;
        };
        let (made, refused) = match outcome {
            CreateOutcome::Created => (Made::Certainly, None),
            CreateOutcome::Failed(cause) => (Made::Nothing, Some(cause)),
            CreateOutcome::Refused(cause) => (Made::Certainly, Some(cause)),
            CreateOutcome::Uncertain(cause) => {
                let cause = Problem::new(Code::Uncertain, cause.words);
                (Made::Perhaps { looks: 0 }, Some(cause))
            }
        };
        volume.made = made;
        volume.state = volume.unmounted();
        match refused {
            Some(cause) => self.refuse_mounters(&key, &spec, &cause),
            None if self.next_mounter(&key).is_some() => self.start_mount(&key, None, Owed::Nothing, 0),
            None => {}
        }
        self.settle_covered(&key);
        self.advance(&key);
    }

    pub(super) fn remove_done(&mut self, op: Op, outcome: RemoveOutcome) {
        let Some(key) = self.ops.remove(&op) else {
            return;
        };
        let twins = self.twins(&key);
        let Some(volume) = self.volumes.get_mut(&key) else {
            return;
        };
        let State::Removing { attempt, .. } = volume.state else {
            return;
        };
        volume.in_use = matches!(outcome, RemoveOutcome::InUse(_));
        let error = match (outcome, &mut volume.made) {
            (RemoveOutcome::Removed, _) => None,
            (RemoveOutcome::Missing, Made::Perhaps { looks }) if *looks + 1 < LOOKS_FOR_A_LATE_CREATE => {
                *looks += 1;
                Some(Problem::new(
                    Code::Uncertain,
                    "the driver does not know it, but may still carry out a Create that it has not answered",
                ))
            }
            (RemoveOutcome::Missing, _) => None,
            (RemoveOutcome::Uncertain(error), _) => Some(Problem::new(Code::Uncertain, error.words)),
            (RemoveOutcome::Failed(error) | RemoveOutcome::InUse(error) | RemoveOutcome::NotSent(error), _) => {
                Some(error)
            }
        };
        volume.failed_removes = if error.is_some() { attempt } else { 0 };
        if error.is_none() {
            volume.made = Made::Nothing;
            volume.state = State::Absent;
            self.settle_covered(&key);
        } else {
            volume.state = State::Unremoved { attempt, error };
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
}
