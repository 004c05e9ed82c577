//! What can happen in a history.

use fastrand::Rng;

/// Ids of containers. Mesos uses the id of a standalone or nested container again when the
/// container is over.
const CONTAINERS: u8 = 12;
/// Volumes that containers fight for.
pub(crate) const VOLUMES: u8 = 4;
/// The one of them that is made for its users and removed after them.
pub(crate) const MADE: u8 = 3;

/// One event of a history. Numbers that name one of several things are taken modulo how many there
/// are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are told with their action")]
pub enum Action {
    /// Mesos prepares a container that wants the volumes of a bit set. The two bits above them say
    /// whether it spells two of the volumes in their other way.
    Prepare {
        container: u8,
        volumes: u8,
        exclusive: bool,
    },
    /// Its time for prepare is over. When the alarm of an earlier container with the same id has
    /// not rung, that one rings.
    PrepareDeadline { container: u8 },
    /// It ends, or is destroyed in the middle of its prepare: Mesos calls cleanup.
    Cleanup { container: u8 },
    /// Its time for cleanup is over.
    CleanupDeadline { container: u8 },
    /// The oldest orders to the disk are carried out together; or the disk is full.
    Disk { orders: u8, fails: bool },
    /// The same, and after this many operations the device fails.
    DiskBreaks { orders: u8, after: u8 },
    /// A queued call goes out to the driver.
    Begin { call: u8 },
    /// The driver does what it was asked and says so.
    Answer { call: u8 },
    /// The driver refuses. Of a Create or a Mount it may have done a part before.
    Refuse { call: u8 },
    /// The driver stops waiting for its own work, refuses without a cause, and finishes the work
    /// later.
    RefuseWithoutCause { call: u8 },
    /// The driver says that it unmounted the volume and did nothing.
    PretendUnmount { call: u8 },
    /// The answer is lost; the work was done before, or will be before the driver's next call for
    /// that volume, or never.
    Lose { call: u8, work: Work },
    /// The driver says that it has mounted the volume, and did nothing, or mounted it out of the
    /// agent's sight.
    PretendMount { call: u8 },
    /// Another host has the volume.
    Elsewhere { call: u8 },
    /// Something the ledger has heard already is said again.
    Again { nth: u8 },
    /// The call could not be sent.
    NotSent { call: u8 },
    /// A delay before a retry is over: of a call to the driver, of the record that a container has left,
    /// or of the removal of a record.
    Retry { nth: u8 },
    /// The agent is killed, in the middle of a commit of so many orders after so many operations on
    /// the disk, and started again. The bits say, container by container, what Mesos then knows of
    /// it.
    Crash { known: u32, orders: u8, operations: u8 },
    /// The power fails, likewise, and the host boots: no container survives, no mount, but
    /// attachments do. What was not durable is lost, kept or torn as the seed has it.
    Reboot { lost: u64, orders: u8, operations: u8 },
    /// The driver carries out what it still has to do for a volume after calls whose answers nobody
    /// heard.
    LateWork { volume: u8 },
    /// Somebody unmounts a volume by hand.
    Umount { volume: u8 },
}

/// What became of a call whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It was done.
    Done,
    /// It will be done before the next call for that volume, as drivers that serialise by volume
    /// do.
    Late,
    /// It never will.
    Never,
}

impl Action {
    /// A random action; `crashes` is how many of a thousand are crashes or reboots.
    pub fn random(rng: &mut Rng, crashes: u32) -> Self {
        if rng.u32(0..1000) < crashes {
            let (orders, operations) = (rng.u8(0..4), rng.u8(0..16));
            return if rng.u8(0..4) == 0 {
                Self::Reboot {
                    lost: rng.u64(..),
                    orders,
                    operations,
                }
            } else {
                Self::Crash {
                    known: rng.u32(..),
                    orders,
                    operations,
                }
            };
        }
        let container = rng.u8(0..CONTAINERS);
        let call = rng.u8(..);
        match rng.u8(0..100) {
            0..15 => Self::Prepare {
                container,
                volumes: rng.u8(1..1 << VOLUMES) | rng.u8(0..4) << VOLUMES,
                exclusive: rng.u8(0..5) == 0,
            },
            15..16 => Self::PrepareDeadline { container },
            16..21 => Self::Cleanup { container },
            21..23 => Self::CleanupDeadline { container },
            23..49 => Self::Disk {
                orders: rng.u8(1..4),
                fails: rng.u8(0..25) == 0,
            },
            49..50 => Self::DiskBreaks {
                orders: rng.u8(1..4),
                after: rng.u8(0..16),
            },
            50..66 => Self::Begin { call },
            66..84 => Self::Answer { call },
            84..85 => Self::RefuseWithoutCause { call },
            85..86 => Self::PretendUnmount { call },
            86..87 => Self::Again { nth: call },
            87..88 => Self::Elsewhere { call },
            88..90 => Self::Refuse { call },
            90..91 => Self::PretendMount { call },
            91..94 => Self::Lose {
                call,
                work: *rng
                    .choice(&[Work::Done, Work::Late, Work::Never])
                    .unwrap_or(&Work::Done),
            },
            94..95 => Self::NotSent { call },
            95..98 => Self::Retry { nth: call },
            98..99 => Self::LateWork {
                volume: rng.u8(0..VOLUMES),
            },
            _ => Self::Umount {
                volume: rng.u8(0..VOLUMES),
            },
        }
    }

    /// A history from a seed.
    pub fn history(seed: u64) -> Vec<Self> {
        let mut rng = Rng::with_seed(seed);
        let length = rng.usize(10..200);
        let crashes = *rng.choice(&[0, 10, 40]).unwrap_or(&10);
        (0..length).map(|_| Self::random(&mut rng, crashes)).collect()
    }
}
