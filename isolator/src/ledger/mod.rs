//! The ledger: who uses which volume, as a pure state machine.
//!
//! [`Ledger::handle`] takes one [`Event`] and returns the [`Effect`]s it calls for. It does no I/O,
//! reads no clock and has no threads, so that histories with a crash between any two effects can be
//! run by the thousand.
//!
//! Every step of a volume and of a container, with its reason, is in `docs/states.md` beside this
//! crate; a test holds both against the code.
//!
//! A container's way, left to right; a refusal or a release leads to `Leaving` from everywhere:
//!
//! ```text
//! Waiting --admitted--> Recording --intent on disk--> Mounting --all mounted--> Confirming --on disk--> Held
//!                                                                                                        |
//!    (forgotten) <--every volume settled or covered by another user's record-- Leaving <--release--------+
//! ```
//!
//! A volume's way:
//!
//! ```text
//!   Absent --first user's intent on disk--> Mounting --ok--> Mounted --last user left, on disk--> Unmounting --ok--> Absent
//!                                              |  \--not sent--> Absent                              |
//!                                              +--refused or in doubt--> Uncertain --no holder--> Unmounting
//!                                                                                                    +--failed--> Stuck
//!   Mounting --another host holds it--> AttachedElsewhere --delay over--> Mounting
//!   Stuck --delay over--> Unmounting        Stuck --new user, refusal was certain--> Mounting (adopts what is still mounted)
//! ```
//!
//! One that is made for a container goes round outside (`made.rs`): every way back to `Absent`
//! leads through its removal.
//!
//! ```text
//!   Absent --first user's intent on disk--> Creating --ok--> Mounting ...  Unmounting --ok--> Unremoved --> Removing --ok--> Absent
//! ```
//!
//! Two entries that are one volume under two names share their users (`kinship.rs`, `shared.rs`).
//!
//! Four rules carry the promises:
//! * *A record before every call.* A Mount is sent only when the record of some container names the
//!   volume; a record is removed only when each of its volumes is absent or named by the record of
//!   another user.
//! * *A record before every Unmount.* A volume is unmounted only when the disk knows that everybody
//!   who had it has left (`departure.rs`).
//! * *All or nothing.* A container is admitted to all its volumes in one step or to none, so no two
//!   containers can each hold what the other waits for.
//! * *One call a volume.* At most one call for a volume is under way; whoever comes meanwhile
//!   waits.

mod container;
mod departure;
mod event;
mod kinship;
mod made;
mod overview;
mod restore;
mod shared;
mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use event::{
    CreateOutcome, Effect, Event, MountOutcome, MountSpec, Op, Presence, Record, RecordedState, RecordedVolume,
    RemoveOutcome, Restored, UnmountOutcome, VolumeRequest, VolumeState,
};
pub use made::LOOKS_FOR_A_LATE_CREATE;
pub use volume::UNMOUNTS_OF_NOTHING;

pub use overview::{Usage, VolumeOverview};

use crate::error::Problem;
use crate::mountpoint::Mountpoint;
use crate::origin::Origin;
use crate::types::{ContainerId, VolumeKey};
use container::Container;
pub use container::Phase;
use kinship::Kinship;
use volume::{State, Volume};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Ledger {
    containers: BTreeMap<ContainerId, Container>,
    volumes: BTreeMap<VolumeKey, Volume>,
    /// Containers not yet admitted, by order of arrival.
    waiting: BTreeMap<u64, ContainerId>,
    /// Which spellings are one volume.
    kinship: Kinship,
    ops: BTreeMap<Op, VolumeKey>,
    next_ticket: u64,
    next_op: u64,
    last_revision: u64,
    effects: Vec<Effect>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one event and returns what is to be done, in order. Events about containers, calls
    /// or attempts that are no longer of interest change nothing.
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Identified { volume, identities } => self.identified(&volume, identities),
            Event::Acquire {
                container,
                containerizer,
                requests,
            } => self.acquire(container, containerizer, requests),
            Event::Release { container } => self.release(&container),
            Event::PrepareDeadline { container } => self.prepare_deadline(&container),
            Event::CleanupDeadline { container } => self.answer_cleanup(&container),
            Event::RecordWritten {
                container,
                revision,
                result,
            } => self.record_written(&container, revision, result),
            Event::RecordRetryDue { container, revision } => self.record_retry_due(&container, revision),
            Event::MountDone { op, outcome } => self.mount_done(op, outcome),
            Event::UnmountDone { op, outcome } => self.unmount_done(op, outcome),
            Event::MountGone { volume, mountpoint } => self.mount_gone(&volume, &mountpoint),
            Event::CreateDone { op, outcome } => self.create_done(op, outcome),
            Event::RemoveDone { op, outcome } => self.remove_done(op, outcome),
            Event::Withdrawn { op } => self.withdrawn(op),
            Event::RetryDue { volume, attempt } => self.retry_due(&volume, attempt),
            Event::Restore(restored) => self.restore(restored),
        }
        std::mem::take(&mut self.effects)
    }

    /// The state of a volume; what the ledger never heard of is absent.
    pub fn volume_state(&self, volume: &VolumeKey) -> VolumeState {
        self.volumes.get(volume).map_or(VolumeState::Absent, |v| v.state.name())
    }

    /// Every volume that is not simply absent, with its state.
    pub fn volumes(&self) -> impl Iterator<Item = (&VolumeKey, VolumeState)> {
        self.volumes.iter().map(|(key, volume)| (key, volume.state.name()))
    }

    /// Every container with a record or a wish, and whether its prepare has succeeded and it has
    /// not left.
    pub fn containers(&self) -> impl Iterator<Item = (&ContainerId, bool)> {
        self.containers.iter().map(|(id, container)| (id, container.holds()))
    }

    /// Every container with a record or a wish, and how far it came.
    pub fn phases(&self) -> impl Iterator<Item = (&ContainerId, Phase)> {
        self.containers.iter().map(|(id, container)| (id, container.phase))
    }

    /// How far a container came; `None` of one that is not known.
    pub fn phase(&self, container: &ContainerId) -> Option<Phase> {
        self.containers.get(container).map(|container| container.phase)
    }

    /// Every volume that a container whose prepare succeeded holds, where it is known to be
    /// mounted.
    pub fn held(&self) -> impl Iterator<Item = Held<'_>> {
        self.in_hands(self.containers.iter(), |volume| Some((volume.mounted_at()?, ())))
            .map(|(held, ())| held)
    }

    /// As [`Self::held`], of one container.
    pub fn held_by(&self, container: &ContainerId) -> impl Iterator<Item = Held<'_>> {
        let one = self.containers.get_key_value(container);
        self.in_hands(one.into_iter(), |volume| Some((volume.mounted_at()?, ())))
            .map(|(held, ())| held)
    }

    /// Keeps what was found to be wrong with a mounted volume for the [`overview`](Self::overview),
    /// until it is mounted the next time.
    pub fn found(&mut self, volume: &VolumeKey, problem: Problem) {
        if let Some(volume) = self.volumes.get_mut(volume) {
            volume.found = Some(problem);
        }
    }

    /// Every volume that a container holds although its mount is gone, as a restarted agent finds,
    /// and how it was lost.
    pub fn lost(&self) -> impl Iterator<Item = (Held<'_>, &str)> {
        self.in_hands(self.containers.iter(), |volume| match &volume.state {
            State::Uncertain {
                why,
                mountpoint: Some(mountpoint),
                ..
            } => Some((mountpoint, &**why)),
            _ => None,
        })
    }

    fn in_hands<'a, T>(
        &'a self,
        containers: impl Iterator<Item = (&'a ContainerId, &'a Container)>,
        mountpoint_of: impl Fn(&'a Volume) -> Option<(&'a Mountpoint, T)> + Copy + 'a,
    ) -> impl Iterator<Item = (Held<'a>, T)> {
        let holders = containers.filter(|(_, container)| container.holds());
        holders.flat_map(move |(id, container)| {
            container.requests.iter().filter_map(move |request| {
                let (mountpoint, what) = mountpoint_of(self.volumes.get(&request.volume)?)?;
                let held = Held {
                    container: id,
                    origin: &request.origin,
                    volume: &request.volume,
                    mountpoint: &mountpoint.path,
                    read_only: request.read_only,
                };
                Some((held, what))
            })
        })
    }

    fn new_op(&mut self, volume: &VolumeKey) -> Op {
        self.next_op += 1;
        let op = Op(self.next_op);
        self.ops.insert(op, volume.clone());
        op
    }
}

/// A volume in a container's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// Who holds it.
    pub container: &'a ContainerId,
    /// What requested it.
    pub origin: &'a Origin,
    /// What.
    pub volume: &'a VolumeKey,
    /// Where it is mounted.
    pub mountpoint: &'a PathBuf,
    /// Whether it may only read it.
    pub read_only: bool,
}
