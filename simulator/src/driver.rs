//! The driver: what it has, what it is asked for, and what it still does when nobody waits for it
//! any more.

use std::collections::BTreeSet;

use isolator::ledger::{
    CreateOutcome, Event, LOOKS_FOR_A_LATE_CREATE, MountOutcome, Op, RemoveOutcome, UNMOUNTS_OF_NOTHING, UnmountOutcome,
};
use isolator::{Mountpoint, Problem, VolumeKey};

use crate::spelling::{has_unknown_name, mountpoint, real};
use crate::world::World;

/// A volume as the driver has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backing {
    pub(crate) mounted: bool,
    pub(crate) attached: bool,
    /// The spellings by which it is mounted.
    pub(crate) mounted_as: BTreeSet<VolumeKey>,
    /// Of a volume that is made for containers: it is there. The others always are.
    pub(crate) exists: bool,
    /// How many Unmounts in a row were refused while the volume was attached.
    pub(crate) refusals: u32,
    /// Somebody unmounted it once, and the driver did not know.
    pub(crate) unmounted_by_hand: bool,
    /// It was not mounted when the agent last started and looked at its mount table, and nothing
    /// has mounted it since.
    pub(crate) gone_at_start: bool,
    /// The driver said that it detached the volume and did not.
    pub(crate) pretended: bool,
    /// Work of calls whose answer was lost, still to come.
    pub(crate) late: Vec<Late>,
}

/// Work that a driver does after it was given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    kind: Kind,
    /// So many calls for the volume come before it.
    after: u8,
}

/// What a driver is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Mount,
    Unmount,
    Remove,
}

/// A call to the driver, queued or under way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) volume: VolumeKey,
    pub(crate) kind: Kind,
    /// Where an earlier mount is: of a Mount the one to take over, of an Unmount the one to undo.
    pub(crate) knows_place: bool,
    pub(crate) begun: bool,
}

/// Whether the volume's driver refuses every Unmount of what is neither mounted nor attached, as
/// docker-volume-s3 does.
pub(crate) fn refuses_what_is_not_mounted(volume: &VolumeKey) -> bool {
    volume.name.starts_with("v1")
}

/// What the agent says of a volume that the driver unmounted in words only.
pub(crate) const STILL_MOUNTED: &str = "the driver says that it is unmounted, and it is still mounted";
/// What the agent says of a volume that the driver mounted in words only, or out of sight.
pub(crate) const NOT_SEEN: &str = "the driver says that it is mounted, where this agent sees no mount";
/// What a driver says that gives no cause.
pub(crate) const NO_CAUSE: &str = "failed: ";

/// Whether the volume is made for containers. Outside of here each container, or pod, has one of
/// its own; here they share one, at once and after each other, which is harder.
pub(crate) fn is_made(volume: &VolumeKey) -> bool {
    isolator::ephemeral::spelled(&volume.name).is_some()
}

impl World {
    /// The driver will do it: before its next call for that volume, as drivers that serialise by
    /// volume do. That much is not asked of a Create.
    pub(crate) fn later(&mut self, call: &Call, whim: u32) {
        let after = match call.kind {
            Kind::Create => u8::try_from(whim % LOOKS_FOR_A_LATE_CREATE).unwrap_or(0),
            _ => 0,
        };
        let late = Late { kind: call.kind, after };
        self.driver.entry(real(&call.volume)).or_default().late.push(late);
    }

    /// The driver does what it still had to do for the volume. A Create that was never answered may
    /// come even later.
    pub(crate) fn catch_up(&mut self, volume: &VolumeKey) -> Result<(), String> {
        let late = &mut self.driver.entry(real(volume)).or_default().late;
        let (creates, others) = std::mem::take(late)
            .into_iter()
            .partition(|late| late.kind == Kind::Create);
        *late = creates;
        let others: Vec<Late> = others;
        for late in others {
            self.do_now(volume, late.kind)?;
        }
        Ok(())
    }

    /// What the agent makes of a refused Unmount, after a look at its mount table. A storage does
    /// not fail so often in a row that an attachment is forgotten: `None` then, and the driver does
    /// what it is asked.
    pub(crate) fn refuse_unmount(&mut self, call: &Call) -> Option<Event> {
        let backing = self.driver.entry(real(&call.volume)).or_default();
        if backing.attached {
            backing.refusals += 1;
            if backing.refusals >= UNMOUNTS_OF_NOTHING {
                return None;
            }
        }
        let refusal = "refused".to_owned();
        let outcome = if backing.mounted {
            UnmountOutcome::Failed(refusal.into())
        } else {
            UnmountOutcome::NothingMounted(refusal.into())
        };
        Some(Event::UnmountDone { op: call.op, outcome })
    }

    /// The driver works on one volume, after whatever it still had to do there. Says whether there
    /// was anything to do.
    pub(crate) fn work(&mut self, volume: &VolumeKey, kind: Kind) -> Result<bool, String> {
        let late = std::mem::take(&mut self.driver.entry(real(volume)).or_default().late);
        for late in late {
            if late.after == 0 {
                self.do_now(volume, late.kind)?;
            } else {
                let after = late.after - 1;
                let kept = Late { after, ..late };
                self.driver.entry(real(volume)).or_default().late.push(kept);
            }
        }
        self.do_now(volume, kind)
    }

    fn do_now(&mut self, volume: &VolumeKey, kind: Kind) -> Result<bool, String> {
        let mut running = self.containers.iter().filter(|(_, life)| life.running);
        let used = running.find(|(_, life)| life.volumes.contains(&real(volume)));
        let backing = self.driver.entry(real(volume)).or_default();
        let is_made = is_made(volume);
        match kind {
            Kind::Create | Kind::Remove if !is_made => {
                return Err(format!("{kind:?} of {volume}, which is not ours to make or remove"));
            }
            Kind::Create if backing.exists => return Err(format!("{volume} was created twice")),
            Kind::Mount if is_made && !backing.exists => {
                return Err(format!("{volume} was to be mounted, and is not there"));
            }
            // Whoever used it had lost it to the hand before.
            Kind::Unmount if backing.unmounted_by_hand && has_unknown_name(volume) => {}
            Kind::Unmount if backing.mounted => {
                if let Some((user, _)) = used {
                    return Err(format!("{volume} was unmounted while container {user} used it"));
                }
            }
            // A driver that still has it attached refuses: the volume stays.
            Kind::Remove if backing.attached && backing.pretended => return Ok(true),
            Kind::Remove if backing.attached => {
                return Err(format!("{volume} was removed before it was unmounted"));
            }
            _ => {}
        }
        let before = backing.clone();
        match kind {
            Kind::Create => backing.exists = true,
            Kind::Remove => backing.exists = false,
            Kind::Mount | Kind::Unmount => {
                backing.mounted = kind == Kind::Mount;
                backing.gone_at_start &= !backing.mounted;
                backing.attached = backing.mounted;
                if backing.mounted {
                    backing.mounted_as.insert(volume.clone());
                } else {
                    backing.mounted_as.clear();
                }
                backing.refusals = 0;
                backing.pretended = false;
            }
        }
        Ok(before.exists != backing.exists || before.attached != backing.attached)
    }

    /// Whether the mount table shows this mount.
    pub(crate) fn shows(&self, volume: &VolumeKey, at: &Mountpoint) -> bool {
        self.driver
            .get(&real(volume))
            .is_some_and(|backing| backing.mounted_as.contains(volume))
            && mountpoint(volume) == *at
    }

    /// Whether a Mount or a Create of this volume may be under way or may have been lost.
    pub(crate) fn may_come_up(&self, volume: &VolumeKey) -> bool {
        let comes_up = |kind| matches!(kind, Kind::Mount | Kind::Create);
        let begun = self.calls.iter().filter(|call| call.begun);
        let late = self
            .driver
            .get(&real(volume))
            .into_iter()
            .flat_map(|backing| &backing.late);
        begun
            .filter(|call| real(&call.volume) == real(volume))
            .any(|call| comes_up(call.kind))
            || late.map(|late| late.kind).any(comes_up)
    }
}

impl Call {
    pub(crate) fn mounted(&self, outcome: MountOutcome) -> Event {
        Event::MountDone { op: self.op, outcome }
    }

    pub(crate) fn refused(&self, words: &str) -> Event {
        let words = words.into();
        self.over(
            CreateOutcome::Refused,
            MountOutcome::Refused,
            UnmountOutcome::Failed,
            RemoveOutcome::Failed,
            words,
        )
    }

    pub(crate) fn not_sent(&self) -> Event {
        let words = "connection refused".into();
        self.over(
            CreateOutcome::Failed,
            MountOutcome::Failed,
            UnmountOutcome::NotSent,
            RemoveOutcome::NotSent,
            words,
        )
    }

    pub(crate) fn lost(&self) -> Event {
        self.uncertain("no answer")
    }

    /// A refusal without a cause means as little as no answer.
    pub(crate) fn refused_without_cause(&self) -> Event {
        self.uncertain(NO_CAUSE)
    }

    fn uncertain(&self, words: &str) -> Event {
        let words = words.into();
        self.over(
            CreateOutcome::Uncertain,
            MountOutcome::Uncertain,
            UnmountOutcome::Uncertain,
            RemoveOutcome::Uncertain,
            words,
        )
    }

    fn over(
        &self,
        create: fn(Problem) -> CreateOutcome,
        mount: fn(Problem) -> MountOutcome,
        unmount: fn(Problem) -> UnmountOutcome,
        remove: fn(Problem) -> RemoveOutcome,
        words: Problem,
    ) -> Event {
        let op = self.op;
        match self.kind {
            Kind::Create => Event::CreateDone {
                op,
                outcome: create(words),
            },
            Kind::Mount => self.mounted(mount(words)),
            Kind::Unmount => Event::UnmountDone {
                op,
                outcome: unmount(words),
            },
            Kind::Remove => Event::RemoveDone {
                op,
                outcome: remove(words),
            },
        }
    }
}
