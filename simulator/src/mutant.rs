//! Deliberate faults, to prove that the invariants would notice them. Each stands between the
//! ledger and the world, as the fault of an engine, a store or a driver client around a right
//! ledger would; most are faults that isolators of this kind have had.

use std::collections::BTreeSet;

use isolator::ledger::{
    CreateOutcome, Effect, Event, Ledger, MountOutcome, Phase, Presence, RecordedState, RemoveOutcome, Restored,
    UnmountOutcome,
};
use isolator::records::Change;
use volume_labels::{Access, Lifetime};

use crate::driver::{NO_CAUSE, NOT_SEEN};
use crate::world::{Order, World};

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The driver is called before the intent is on disk (mesos-module-dvdi, issue 93: a crash
    /// between mount and checkpoint).
    MountBeforeRecord,
    /// Of two containers on one volume, recovery remembers one (mesos-module-dvdi: checkpoint keyed
    /// by volume).
    RecoverForgetsSecondHolder,
    /// Recovery unmounts what a left-over container still uses (mesos-module-dvdi, issue 95).
    RecoverUnmountsOrphans,
    /// Recovery does not recognise a running container (mesos-module-dvdi: nested ids written one
    /// way and read another).
    RecoverConfusesIds,
    /// A record that tells of no mount yet is taken for no volume (docker/volume, MESOS-9507).
    RecoverSkipsUnfinished,
    /// A refused or lost Unmount counts as done (mesos-module-dvdi: a failing dvdcli is a warning).
    UnmountErrorIsSuccess,
    /// A Mount without an answer counts as not done (docker/volume: dvdcli is killed, the driver
    /// works on).
    LostMountIsFailure,
    /// Of several volumes to let go only the first is (mesos-module-dvdi: the loop ends at the
    /// first).
    UnmountStopsAtFirst,
    /// A failed Unmount is left for the next start (docker/volume).
    UnmountNeverRetried,
    /// The host's reboot goes unnoticed.
    RebootIgnored,
    /// Recorded mounts are believed without a look at the mount table.
    MountTableIgnored,
    /// Exclusive access is not exclusive.
    ExclusiveIgnored,
    /// What is taken over is not looked at.
    AdoptedUnseen,
    /// The record goes when the container leaves, before the volume is unmounted.
    RecordRemovedTooEarly,
    /// A call is said to be taken back that has begun.
    WithdrawnThoughBegun,
    /// A prepare is answered twice.
    PrepareAnsweredTwice,
    /// A cleanup is never answered.
    CleanupUnanswered,
    /// A record is renamed into place before what is in it is on disk.
    FileNotSynced,
    /// A record is reported as written before its name is on disk.
    FolderNotSynced,
    /// A record that could not be written counts as written.
    RecordErrorIsSuccess,
    /// A Create without an answer counts as not done.
    LostCreateIsFailure,
    /// A driver that refuses a Create is believed to have made nothing.
    RefusedCreateMadeNothing,
    /// A refused or lost Remove counts as done.
    RemoveErrorIsSuccess,
    /// What the driver does not know now is believed never to come, though a Create was never
    /// answered.
    LateCreateNotLookedFor,
    /// The record does not say that the volume is to be removed.
    LifetimeNotRecorded,
    /// Recovery takes every volume for one that was made for its container.
    RecoverRemovesEverything,
    /// A driver that refuses a Mount is believed to have attached nothing.
    RefusedMountLeftNothing,
    /// A refusal without a cause counts as a refusal.
    NoCauseIsRefusal,
    /// A driver that says that it unmounted a volume is believed against the mount table.
    UnmountBelieved,
    /// The Unmount of what is not mounted is repeated for as long as the driver refuses it.
    RefusedUnmountRepeatedForEver,
    /// A Remove that the driver refuses because the volume is in use is repeated without an
    /// Unmount.
    InUseNotUnmounted,
    /// Names are compared as they are spelled, though the driver ignores the letter case.
    CaseNotIgnored,
    /// Two mounts of one device are taken for two volumes.
    DeviceNotCompared,
    /// What a Mount without an answer left is unmounted without a look at who uses it under another
    /// name.
    PlaceNotAsked,
    /// A driver's word that a volume is mounted is enough (docker/volume).
    MountBelieved,
    /// The time limit of a container that is over ends the prepare of a later container with the
    /// same id.
    EarlierDeadlineHeeded,
    /// The record of a container that is over, which could not be removed, is removed again
    /// although a later container with the same id has written its own.
    EarlierRemovalRepeated,
    /// A container that has left counts as one of which the disk knows that, although the disk refused
    /// the record. One random history in some hundred thousand notices it, so it is in a history of its
    /// own and not in [`Mutant::ALL`].
    DepartureErrorIsSuccess,
}

impl Mutant {
    /// All that random histories notice soon.
    pub const ALL: [Self; 37] = [
        Self::MountBeforeRecord,
        Self::RecoverForgetsSecondHolder,
        Self::RecoverUnmountsOrphans,
        Self::RecoverConfusesIds,
        Self::RecoverSkipsUnfinished,
        Self::UnmountErrorIsSuccess,
        Self::LostMountIsFailure,
        Self::UnmountStopsAtFirst,
        Self::UnmountNeverRetried,
        Self::RebootIgnored,
        Self::MountTableIgnored,
        Self::ExclusiveIgnored,
        Self::AdoptedUnseen,
        Self::RecordRemovedTooEarly,
        Self::WithdrawnThoughBegun,
        Self::PrepareAnsweredTwice,
        Self::CleanupUnanswered,
        Self::FileNotSynced,
        Self::FolderNotSynced,
        Self::RecordErrorIsSuccess,
        Self::LostCreateIsFailure,
        Self::RefusedCreateMadeNothing,
        Self::RemoveErrorIsSuccess,
        Self::LateCreateNotLookedFor,
        Self::LifetimeNotRecorded,
        Self::RecoverRemovesEverything,
        Self::RefusedMountLeftNothing,
        Self::NoCauseIsRefusal,
        Self::UnmountBelieved,
        Self::RefusedUnmountRepeatedForEver,
        Self::InUseNotUnmounted,
        Self::CaseNotIgnored,
        Self::DeviceNotCompared,
        Self::PlaceNotAsked,
        Self::MountBelieved,
        Self::EarlierDeadlineHeeded,
        Self::EarlierRemovalRepeated,
    ];

    /// What the ledger hears instead.
    pub(crate) fn mutate_event(self, ledger: &Ledger, event: Event) -> Event {
        match (self, event) {
            (Self::UnmountErrorIsSuccess, Event::UnmountDone { op, .. }) => Event::UnmountDone {
                op,
                outcome: UnmountOutcome::Unmounted,
            },
            (
                Self::LostMountIsFailure,
                Event::MountDone {
                    op,
                    outcome: MountOutcome::Uncertain(words),
                },
            ) => Event::MountDone {
                op,
                outcome: MountOutcome::Failed(words),
            },
            (
                Self::LostCreateIsFailure,
                Event::CreateDone {
                    op,
                    outcome: CreateOutcome::Uncertain(words),
                },
            )
            | (
                Self::RefusedCreateMadeNothing,
                Event::CreateDone {
                    op,
                    outcome: CreateOutcome::Refused(words),
                },
            ) => Event::CreateDone {
                op,
                outcome: CreateOutcome::Failed(words),
            },
            (Self::RemoveErrorIsSuccess, Event::RemoveDone { op, .. })
            | (
                Self::LateCreateNotLookedFor,
                Event::RemoveDone {
                    op,
                    outcome: RemoveOutcome::Missing,
                },
            ) => Event::RemoveDone {
                op,
                outcome: RemoveOutcome::Removed,
            },
            (
                Self::ExclusiveIgnored,
                Event::Acquire {
                    container,
                    containerizer,
                    mut requests,
                },
            ) => {
                requests.iter_mut().for_each(|request| request.access = Access::Shared);
                Event::Acquire {
                    container,
                    containerizer,
                    requests,
                }
            }
            (
                Self::RecordErrorIsSuccess,
                Event::RecordWritten {
                    container, revision, ..
                },
            ) => Event::RecordWritten {
                container,
                revision,
                result: Ok(()),
            },
            (
                Self::DepartureErrorIsSuccess,
                Event::RecordWritten {
                    container, revision, ..
                },
            ) if ledger.phase(&container) == Some(Phase::Departing) => Event::RecordWritten {
                container,
                revision,
                result: Ok(()),
            },
            (Self::CaseNotIgnored, Event::Identified { volume, .. }) => Event::Identified {
                volume,
                identities: BTreeSet::new(),
            },
            (
                Self::DeviceNotCompared,
                Event::MountDone {
                    op,
                    outcome: MountOutcome::Mounted(at),
                },
            ) => Event::MountDone {
                op,
                outcome: MountOutcome::Mounted(at.path.into()),
            },
            (
                Self::RefusedMountLeftNothing,
                Event::MountDone {
                    op,
                    outcome: MountOutcome::Refused(words),
                },
            ) => Event::MountDone {
                op,
                outcome: MountOutcome::Failed(words),
            },
            (
                Self::NoCauseIsRefusal,
                Event::MountDone {
                    op,
                    outcome: MountOutcome::Uncertain(words),
                },
            ) if *words == *NO_CAUSE => Event::MountDone {
                op,
                outcome: MountOutcome::Failed(words),
            },
            (
                Self::UnmountBelieved,
                Event::UnmountDone {
                    op,
                    outcome: UnmountOutcome::Unproven(_),
                },
            ) => Event::UnmountDone {
                op,
                outcome: UnmountOutcome::Unmounted,
            },
            (
                Self::MountBelieved,
                Event::MountDone {
                    op,
                    outcome: MountOutcome::Uncertain(words),
                },
            ) if *words == *NOT_SEEN => Event::MountDone {
                op,
                outcome: MountOutcome::Mounted("/volumes".into()),
            },
            (
                Self::RefusedUnmountRepeatedForEver,
                Event::UnmountDone {
                    op,
                    outcome: UnmountOutcome::NothingMounted(words),
                },
            ) => Event::UnmountDone {
                op,
                outcome: UnmountOutcome::Failed(words),
            },
            (
                Self::InUseNotUnmounted,
                Event::RemoveDone {
                    op,
                    outcome: RemoveOutcome::InUse(words),
                },
            ) => Event::RemoveDone {
                op,
                outcome: RemoveOutcome::Failed(words),
            },
            (_, Event::Restore(restored)) => Event::Restore(self.misremember(restored)),
            (_, event) => event,
        }
    }

    fn misremember(self, mut restored: Vec<Restored>) -> Vec<Restored> {
        match self {
            Self::RecoverForgetsSecondHolder => {
                let mut seen = Vec::new();
                restored.retain(|entry| {
                    let volume = entry.record.volumes[0].request.volume.clone();
                    let first = !seen.contains(&volume);
                    seen.push(volume);
                    first
                });
            }
            Self::RecoverUnmountsOrphans => set_presence(&mut restored, Presence::Orphan),
            Self::RecoverConfusesIds => set_presence(&mut restored, Presence::Running),
            Self::RecoverSkipsUnfinished => {
                restored.retain(|entry| {
                    entry
                        .record
                        .volumes
                        .iter()
                        .all(|volume| volume.state != RecordedState::Mounting)
                });
            }
            Self::RebootIgnored => restored.iter_mut().for_each(|entry| {
                entry.rebooted = false;
                entry.lost.clear();
            }),
            Self::RecoverRemovesEverything => restored
                .iter_mut()
                .flat_map(|entry| &mut entry.record.volumes)
                .for_each(|volume| volume.request.spec.lifetime = Lifetime::Container),
            Self::MountTableIgnored => restored.iter_mut().for_each(|entry| entry.lost.clear()),
            _ => {}
        }
        restored
    }

    /// What is done instead of what the ledger asked for.
    pub(crate) fn mutate_effects(self, world: &mut World, effects: Vec<Effect>) -> (Vec<Effect>, Vec<Event>) {
        let mut unmounts = 0;
        let (mut kept, mut events) = (Vec::new(), Vec::new());
        for effect in effects {
            match (self, effect) {
                (Self::MountBeforeRecord, Effect::WriteRecord { revision, record }) if !record.released => {
                    let container = record.container.clone();
                    let order: Order = (Change::Write(record), None);
                    world.orders.push_back(order);
                    events.push(Event::RecordWritten {
                        container,
                        revision,
                        result: Ok(()),
                    });
                }
                (Self::LifetimeNotRecorded, Effect::WriteRecord { revision, mut record }) => {
                    record
                        .volumes
                        .iter_mut()
                        .for_each(|volume| volume.request.spec.lifetime = Lifetime::Persistent);
                    kept.push(Effect::WriteRecord { revision, record });
                }
                (Self::RecordRemovedTooEarly, Effect::WriteRecord { revision, record }) if record.released => {
                    let container = record.container;
                    kept.push(Effect::RemoveRecord {
                        container: container.clone(),
                    });
                    events.push(Event::RecordWritten {
                        container,
                        revision,
                        result: Ok(()),
                    });
                }
                (Self::UnmountStopsAtFirst, Effect::Unmount { op, .. }) if unmounts > 0 => {
                    events.push(Event::UnmountDone {
                        op,
                        outcome: UnmountOutcome::Unmounted,
                    });
                }
                (Self::UnmountNeverRetried, Effect::RetryAfter { .. })
                | (Self::CleanupUnanswered, Effect::AnswerCleanup { .. }) => {}
                (
                    Self::AdoptedUnseen,
                    Effect::Mount {
                        op, adopt: Some(path), ..
                    },
                ) => {
                    events.push(Event::MountDone {
                        op,
                        outcome: MountOutcome::Mounted(path),
                    });
                }
                (Self::WithdrawnThoughBegun, Effect::Withdraw { op }) if world.abandon(op) => {
                    events.push(Event::Withdrawn { op });
                }
                (Self::PrepareAnsweredTwice, effect @ Effect::AnswerPrepare { .. }) => {
                    kept.push(effect.clone());
                    kept.push(effect);
                }
                (_, effect) => {
                    unmounts += usize::from(matches!(effect, Effect::Unmount { .. }));
                    kept.push(effect);
                }
            }
        }
        (kept, events)
    }
}

/// Containers of this presence are taken for unknown.
fn set_presence(restored: &mut [Restored], taken: Presence) {
    restored
        .iter_mut()
        .filter(|entry| entry.presence == taken)
        .for_each(|entry| entry.presence = Presence::Gone);
}
