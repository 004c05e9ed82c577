//! What goes into the ledger and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use volume_driver_client::{Code, MountId};
use volume_labels::{Access, Lifetime, Owner};

use crate::error::{PrepareError, Problem};
use crate::mountpoint::Mountpoint;
use crate::origin::Origin;
use crate::types::{BindMount, ContainerId, Containerizer, Identity, VolumeKey};

/// One volume at one place in a container, with everything resolved that can be before it is
/// mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRequest {
    /// What requested it, for messages.
    pub origin: Origin,
    /// Driver and name.
    pub volume: VolumeKey,
    /// The id the driver gets with Mount and Unmount.
    pub mount_id: MountId,
    /// Where it goes, absolute, in the agent's file system.
    pub target: PathBuf,
    /// Whether the container may only read it.
    pub read_only: bool,
    /// Whether other containers of this agent may use the volume meanwhile.
    pub access: Access,
    /// How it is mounted when this container is the first user.
    pub spec: MountSpec,
}

/// What the first user of a volume decides about its Mount.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MountSpec {
    /// Create the volume with these options when the driver positively does not know it; `None`
    /// never creates.
    pub create: Option<BTreeMap<String, String>>,
    /// [`Lifetime::Container`]: it is made for its first user, under a name that nobody else makes
    /// ([`crate::ephemeral`]), and removed after its last. Every user of such a volume says so.
    pub lifetime: Lifetime,
    /// Who shall own the volume's root once it is mounted.
    pub owner: Option<Owner>,
    /// Whether a label of the container names that owner, and not the operator's default. A
    /// container that names one is refused while others use the volume with another owner. In no
    /// record: it counts when the container asks.
    pub is_owner_named: bool,
    /// Why the volume is not created although its source implies it, for the message when it is
    /// missing. In no record: no Mount is repeated from one.
    pub creation_denied: Option<String>,
}

/// Names one call to a driver, so that a late answer is told from the one waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub u64);

/// How a Mount ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountOutcome {
    /// The volume is at this path and the mount was seen in the agent's mount table.
    Mounted(Mountpoint),
    /// Nothing was mounted or attached: the call was not sent, or the driver refused and its
    /// profile forbids an Unmount after that. No Unmount follows.
    Failed(Problem),
    /// The driver refused, and may have left something behind all the same, such as an attachment.
    /// An Unmount follows.
    Refused(Problem),
    /// The driver mounted nothing because another host still holds the volume. Mesos offers a
    /// volume to other agents as soon as its task has ended, long before it is detached, so this is
    /// waited for.
    AttachedElsewhere(Problem),
    /// Nobody knows: the call was sent and no usable answer came, or what it mounted cannot be
    /// used.
    Uncertain(Problem),
}

/// How the Create of a volume that is made for a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The volume is there, and it is ours.
    Created,
    /// The driver certainly made nothing: nothing was sent, or what is there is somebody else's.
    Failed(Problem),
    /// The driver refused. Some make a volume, fail to format it, and leave it behind: a Remove
    /// settles that.
    Refused(Problem),
    /// Nobody knows: the call was sent and no usable answer came. It may still be carried out.
    Uncertain(Problem),
}

/// How a Remove ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// The volume is gone.
    Removed,
    /// The driver does not know it.
    Missing,
    /// The driver refused; the volume is still there.
    Failed(Problem),
    /// The driver refused because the volume is attached or mounted: an Unmount comes before the
    /// next attempt.
    InUse(Problem),
    /// Nobody knows.
    Uncertain(Problem),
    /// Never sent: nothing changed.
    NotSent(Problem),
}

/// How an Unmount ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnmountOutcome {
    /// Done, or the driver says there was nothing to do.
    Unmounted,
    /// The driver refused; its mount is still there.
    Failed(Problem),
    /// The driver refused although the agent's mount table shows that nothing is mounted. An
    /// attachment may still be there, so the Unmount is repeated; after
    /// [`UNMOUNTS_OF_NOTHING`](super::UNMOUNTS_OF_NOTHING) such answers in a row the volume counts
    /// as unmounted.
    NothingMounted(Problem),
    /// Nobody knows.
    Uncertain(Problem),
    /// Never sent: it was not known where the volume is mounted, and the driver says that it is
    /// here. Another volume may be mounted there, which would be taken from under its containers.
    Found(Mountpoint),
    /// The driver says that it is done, and the mount table does not: the volume is still mounted,
    /// or the table cannot be read. Another client of the driver may use the volume.
    Unproven(Problem),
    /// Never sent: nothing changed.
    NotSent(Problem),
}

impl MountOutcome {
    /// What went wrong, with the code that the kind of outcome implies.
    pub(crate) fn problem(&self) -> Option<(Code, &Problem)> {
        match self {
            Self::Mounted(_) => None,
            Self::Failed(problem) | Self::Refused(problem) => Some((problem.code, problem)),
            Self::AttachedElsewhere(problem) => Some((Code::AttachedElsewhere, problem)),
            Self::Uncertain(problem) => Some((Code::Uncertain, problem)),
        }
    }
}

impl CreateOutcome {
    /// What went wrong, with the code that the kind of outcome implies.
    pub(crate) fn problem(&self) -> Option<(Code, &Problem)> {
        match self {
            Self::Created => None,
            Self::Failed(problem) | Self::Refused(problem) => Some((problem.code, problem)),
            Self::Uncertain(problem) => Some((Code::Uncertain, problem)),
        }
    }
}

impl RemoveOutcome {
    /// What went wrong, with the code that the kind of outcome implies.
    pub(crate) fn problem(&self) -> Option<(Code, &Problem)> {
        match self {
            Self::Removed | Self::Missing => None,
            Self::Failed(problem) | Self::InUse(problem) | Self::NotSent(problem) => Some((problem.code, problem)),
            Self::Uncertain(problem) => Some((Code::Uncertain, problem)),
        }
    }
}

impl UnmountOutcome {
    /// What went wrong, with the code that the kind of outcome implies.
    pub(crate) fn problem(&self) -> Option<(Code, &Problem)> {
        match self {
            Self::Unmounted | Self::Found(_) => None,
            Self::Failed(problem) | Self::NothingMounted(problem) | Self::NotSent(problem) => {
                Some((problem.code, problem))
            }
            Self::Uncertain(problem) | Self::Unproven(problem) => Some((Code::Uncertain, problem)),
        }
    }
}

/// A container as its record and Mesos together tell it at agent start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the record says.
    pub record: Record,
    /// What Mesos says.
    pub presence: Presence,
    /// Whether the host rebooted since the record was written: then every mount is gone.
    pub rebooted: bool,
    /// Mountpoints of the record that the mount table does not show.
    pub lost: BTreeSet<PathBuf>,
}

/// What Mesos knows of a container at agent start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Still running.
    Running,
    /// Left over; Mesos will end it and call cleanup.
    Orphan,
    /// Unknown to Mesos: no call for it will ever come.
    Gone,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A driver was looked up for a volume, which the next [`Event::Acquire`] or [`Event::Restore`]
    /// names.
    Identified {
        /// The volume as it was spelled.
        volume: VolumeKey,
        /// What the spelling stands for.
        identities: BTreeSet<Identity>,
    },
    /// A container wants volumes (`prepare`).
    Acquire {
        /// Who.
        container: ContainerId,
        /// Which part of Mesos runs it; for its record.
        containerizer: Containerizer,
        /// What; never empty.
        requests: Vec<VolumeRequest>,
    },
    /// A container leaves (`cleanup`); also in the middle of its prepare, and for containers never
    /// heard of.
    Release {
        /// Who.
        container: ContainerId,
    },
    /// The time for a container's prepare is over.
    PrepareDeadline {
        /// Whose.
        container: ContainerId,
    },
    /// The time that a cleanup waits for the first unmount attempt is over.
    CleanupDeadline {
        /// Whose.
        container: ContainerId,
    },
    /// A record is on disk, or could not be put there.
    RecordWritten {
        /// Whose.
        container: ContainerId,
        /// The revision the effect named.
        revision: u64,
        /// The reason when it is not on disk.
        result: Result<(), String>,
    },
    /// A delay asked for with [`Effect::RetryRecordAfter`] is over.
    RecordRetryDue {
        /// Whose record is written again.
        container: ContainerId,
        /// The revision that the effect named.
        revision: u64,
    },
    /// The driver answered a Mount, or time ran out on it.
    MountDone {
        /// Which call.
        op: Op,
        /// How it ended.
        outcome: MountOutcome,
    },
    /// The mount table does not show the last known mount of a volume any more
    /// ([`super::Ledger::seemingly_the_same`]).
    MountGone {
        /// Which volume.
        volume: VolumeKey,
        /// What is not there.
        mountpoint: Mountpoint,
    },
    /// The driver answered a Create, or time ran out on it.
    CreateDone {
        /// Which call.
        op: Op,
        /// How it ended.
        outcome: CreateOutcome,
    },
    /// The driver answered a Remove, or time ran out on it.
    RemoveDone {
        /// Which call.
        op: Op,
        /// How it ended.
        outcome: RemoveOutcome,
    },
    /// The driver answered an Unmount, or time ran out on it.
    UnmountDone {
        /// Which call.
        op: Op,
        /// How it ended.
        outcome: UnmountOutcome,
    },
    /// A call was taken out of its queue before it was sent ([`Effect::Withdraw`]).
    Withdrawn {
        /// Which call.
        op: Op,
    },
    /// A delay asked for with [`Effect::RetryAfter`] is over.
    RetryDue {
        /// Which volume.
        volume: VolumeKey,
        /// The attempt the effect named.
        attempt: u32,
    },
    /// The agent starts: what the records say. Comes once, and nothing but [`Event::Identified`]
    /// before it.
    Restore(Vec<Restored>),
}

/// What is to be done now, in order. Each effect is carried out independently of the agent's
/// threads; its end comes back as an [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Put this record on disk, durably, then say [`Event::RecordWritten`].
    WriteRecord {
        /// To be named in the answer.
        revision: u64,
        /// What to write; it replaces the container's earlier record.
        record: Record,
    },
    /// Tell the operator that the disk refuses the record that a container has left, so that none of
    /// its volumes is unmounted, and say [`Event::RecordRetryDue`] after a delay.
    RetryRecordAfter {
        /// The container that has left.
        container: ContainerId,
        /// To be named in the event.
        revision: u64,
        /// Why the disk refuses the record.
        cause: String,
        /// How long to wait.
        delay: Duration,
    },
    /// Remove the container's record. Nothing waits for it.
    RemoveRecord {
        /// Whose.
        container: ContainerId,
    },
    /// Call the driver's Create, for a volume that is made for a container.
    Create {
        /// To be named in the answer.
        op: Op,
        /// Which volume.
        volume: VolumeKey,
        /// The driver's options.
        options: BTreeMap<String, String>,
    },
    /// Call the driver's Remove, once.
    Remove {
        /// To be named in the answer.
        op: Op,
        /// Which volume.
        volume: VolumeKey,
    },
    /// Call the driver's Mount.
    Mount {
        /// To be named in the answer.
        op: Op,
        /// Which volume.
        volume: VolumeKey,
        /// The id for the driver.
        mount_id: MountId,
        /// Create policy and owner.
        spec: MountSpec,
        /// An earlier mount that may still be there: when the mount table shows it, it is the
        /// answer and the driver is not called.
        adopt: Option<Mountpoint>,
    },
    /// Call the driver's Unmount, once.
    Unmount {
        /// To be named in the answer.
        op: Op,
        /// Which volume.
        volume: VolumeKey,
        /// The id for the driver.
        mount_id: MountId,
        /// Where it was mounted, when that is known.
        mountpoint: Option<Mountpoint>,
        /// Whether it was seen there since the host booted. Otherwise the driver is asked for the
        /// place first, and [`UnmountOutcome::Found`] is the answer when something is mounted
        /// there.
        is_place_known: bool,
        /// False while the volume is mounted under another of its names as well: a driver that
        /// counts keeps it mounted then.
        is_last: bool,
        /// The driver has said before that it is unmounted. Asking again could take the volume from
        /// another client of the driver, so the mount table is looked at first.
        was_confirmed: bool,
    },
    /// Take a call out of its queue and say [`Event::Withdrawn`]; when it has begun, do nothing.
    Withdraw {
        /// Which call.
        op: Op,
    },
    /// Say [`Event::RetryDue`] after a delay.
    RetryAfter {
        /// Which volume.
        volume: VolumeKey,
        /// To be named in the event.
        attempt: u32,
        /// How long.
        delay: Duration,
    },
    /// Tell the operator that the volume counts as unmounted although the driver keeps refusing its
    /// Unmount.
    TellSettled {
        /// Which volume.
        volume: VolumeKey,
        /// The driver's last refusal.
        refusal: String,
    },
    /// Answer a container's `prepare`.
    AnswerPrepare {
        /// Whose.
        container: ContainerId,
        /// The mounts, parents before what lies in them; or why not.
        result: Result<Vec<BindMount>, PrepareError>,
    },
    /// Answer a container's `cleanup`.
    AnswerCleanup {
        /// Whose.
        container: ContainerId,
    },
}

/// What stands on disk about one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub container: ContainerId,
    /// Which part of Mesos runs the container.
    pub containerizer: Containerizer,
    /// Whether the container has left and only work on its volumes remains.
    pub released: bool,
    /// Its volumes; of a released container those that still need work.
    pub volumes: Vec<RecordedVolume>,
}

/// One volume of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedVolume {
    /// What was asked for.
    pub request: VolumeRequest,
    /// How far it came.
    pub state: RecordedState,
}

/// How far a volume came, as far as the disk knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedState {
    /// A Mount may have been sent.
    Mounting,
    /// Mounted here.
    Mounted(Mountpoint),
    /// An Unmount may have been sent.
    Unmounting(Option<Mountpoint>),
}

impl RecordedState {
    /// The mountpoint, when one is known.
    pub fn mountpoint(&self) -> Option<&Mountpoint> {
        match self {
            Self::Mounting => None,
            Self::Mounted(mountpoint) => Some(mountpoint),
            Self::Unmounting(mountpoint) => mountpoint.as_ref(),
        }
    }
}

/// A volume's state as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VolumeState {
    /// Not mounted by us, nothing under way.
    Absent,
    /// A Create is under way.
    Creating,
    /// Wanted, and still held by another host; asked for again after a delay.
    AttachedElsewhere,
    /// A Mount is under way.
    Mounting,
    /// Mounted.
    Mounted,
    /// A Mount or an earlier life of the agent left a doubt that an Unmount has to settle.
    Uncertain,
    /// An Unmount is under way.
    Unmounting,
    /// An Unmount did not succeed; it is retried in the background.
    Stuck,
    /// Made for a container, not mounted, and to be removed; a Remove that did not succeed is
    /// retried in the background.
    Unremoved,
    /// A Remove is under way.
    Removing,
}

impl VolumeState {
    /// Every state, in the order in which a volume goes through them.
    pub const ALL: [Self; 10] = [
        Self::Absent,
        Self::Creating,
        Self::AttachedElsewhere,
        Self::Mounting,
        Self::Mounted,
        Self::Uncertain,
        Self::Unmounting,
        Self::Stuck,
        Self::Unremoved,
        Self::Removing,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Creating => "creating",
            Self::AttachedElsewhere => "elsewhere",
            Self::Mounting => "mounting",
            Self::Mounted => "mounted",
            Self::Uncertain => "uncertain",
            Self::Unmounting => "unmounting",
            Self::Stuck => "stuck",
            Self::Unremoved => "unremoved",
            Self::Removing => "removing",
        }
    }
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
