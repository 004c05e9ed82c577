//! What can happen in a history.

use fastrand::Rng;

pub(crate) const AGENTS: u8 = 3;
pub(crate) const VOLUMES: u8 = 3;

/// One event. Numbers that name one of several things are taken modulo how many there are; an action that does not apply
/// does nothing, so that any part of a history is a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A task wants volumes (a bit set) on an agent.
    ClaimRequest {
        agent: u8,
        volumes: u8,
        reads: bool,
    },
    /// The oldest ACCEPT arrives at the agent, or is lost on its way and the master says so.
    Accept {
        lost: bool,
    },
    /// A task that was launched mounts its volumes and runs; or fails when the storage refuses.
    Run {
        task: u8,
    },
    /// A running task ends.
    End {
        task: u8,
    },
    /// An agent unmounts what ended tasks used.
    Unmount {
        agent: u8,
    },
    /// The oldest update arrives.
    Update,
    /// The master loses an agent and says so; the agent goes on.
    Lose {
        agent: u8,
    },
    /// It is back.
    Back {
        agent: u8,
    },
    /// Its machine is switched off, and an operator says so. Its attachments stay.
    Gone {
        agent: u8,
    },
    /// An operator detaches a volume from all hosts, by force.
    Detach {
        volume: u8,
    },
    /// A host that is no agent attaches the volume that several may attach, or lets go of it, and the storage says so at
    /// once. Of any other volume the storage itself refuses the second host.
    Foreign,
    /// An operator deletes a volume that no host has.
    Delete {
        volume: u8,
    },
    /// The storage is asked.
    Ask,
    /// Its oldest answer arrives.
    Listing,
    /// A listing comes that does not name every volume: an empty one, or one of another source.
    Partial {
        empty: bool,
        volume: u8,
    },
    /// The scheduler dies and comes back with what is on disk; with the master's tasks, or without.
    Crash {
        before_save: bool,
        snapshot: bool,
    },
    /// The ledger on disk is lost and rebuilt from master and storage.
    Rebuild,
    /// Another framework launches a task on a volume that no task has, and the operator stream tells.
    Other {
        agent: u8,
        volume: u8,
    },
    Pass {
        millis: u16,
    },
}

impl Action {
    fn random(rng: &mut Rng) -> Self {
        let (agent, volume, task) = (rng.u8(0..AGENTS), rng.u8(0..VOLUMES), rng.u8(..));
        match rng.u8(0..100) {
            0..18 => Self::ClaimRequest {
                agent,
                volumes: rng.u8(1..1 << VOLUMES),
                reads: rng.u8(0..3) == 0,
            },
            18..30 => Self::Accept {
                lost: rng.u8(0..12) == 0,
            },
            30..44 => Self::Run { task },
            44..52 => Self::End { task },
            52..60 => Self::Unmount { agent },
            60..76 => Self::Update,
            76..79 => Self::Lose { agent },
            79..82 => Self::Back { agent },
            82..83 => Self::Gone { agent },
            83..84 => match rng.u8(0..4) {
                0 => Self::Detach { volume },
                1 => Self::Delete { volume },
                2 => Self::Foreign,
                _ => Self::Partial {
                    empty: rng.bool(),
                    volume,
                },
            },
            84..88 => Self::Ask,
            88..92 => Self::Listing,
            92..95 => Self::Crash {
                before_save: rng.bool(),
                snapshot: rng.bool(),
            },
            95..96 => Self::Rebuild,
            96..98 => Self::Other { agent, volume },
            _ => Self::Pass {
                millis: rng.u16(1..2_000),
            },
        }
    }

    /// A history from a seed.
    pub(crate) fn history(seed: u64) -> Vec<Self> {
        let mut rng = Rng::with_seed(seed);
        let length = rng.usize(10..160);
        (0..length).map(|_| Self::random(&mut rng)).collect()
    }
}
